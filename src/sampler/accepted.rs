//! Opens many events that differ in little, on a kernel that may not know all that is asked.

use std::io;
use std::os::fd::OwnedFd;

use super::peel::{Peeled, peel};
use super::sys::{OpenEvent, Scope};
use crate::perf::{AttrFlags, EventAttr};

/// Opens events of one kind: what an old kernel does not know is taken off the first, and left off the others.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    /// The first one as it was asked for and as it was accepted.
    first: Option<(EventAttr, EventAttr)>,
    peeled: Vec<Peeled>,
}

impl Accepted {
    /// Opens one.
    pub(super) fn open(&mut self, kernel: &impl OpenEvent, attr: &EventAttr, scope: Scope<'_>) -> io::Result<OwnedFd> {
        let Some((asked, accepted)) = &self.first else {
            let (event, accepted, peeled) = peel(kernel, attr, scope)?;
            self.first = Some((attr.clone(), accepted));
            self.peeled = peeled;
            return Ok(event);
        };
        let attr = EventAttr {
            flags: AttrFlags(attr.flags.0 & !(asked.flags.0 & !accepted.flags.0)),
            read_format: accepted.read_format,
            clockid: accepted.clockid,
            sample_max_stack: accepted.sample_max_stack,
            ..attr.clone()
        };
        kernel.open(&attr, scope)
    }

    /// What reading one of the events returns.
    pub(super) fn read_format(&self) -> u64 {
        self.first.as_ref().map_or(0, |(_, accepted)| accepted.read_format)
    }

    /// The first event's attributes as the kernel took them.
    pub(super) fn attr(&self) -> Option<&EventAttr> {
        self.first.as_ref().map(|(_, accepted)| accepted)
    }

    /// The first event's flags as the kernel took them.
    pub(super) fn flags(&self) -> AttrFlags {
        self.attr().map_or(AttrFlags(0), |attr| attr.flags)
    }

    /// What was taken off, in words.
    pub(super) fn note(&self) -> Option<String> {
        let missing: Vec<&str> = self.peeled.iter().map(|peeled| peeled.as_str()).collect();
        (!missing.is_empty()).then(|| format!("this kernel is too old for: {}", missing.join(", ")))
    }
}
