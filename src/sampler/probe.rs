//! Events that are opened only to see whether they open.

use std::io;

use crate::error::Result;
use crate::perf::{AttrFlags, EventAttr, SampleFields, Sampling};

use super::event::EventSpec;
use super::pmu::Sources;
use super::sys::{OpenEvent, Scope};

/// What a timer that is tried is to sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// User mode only.
    User,
    /// User and kernel mode.
    UserAndKernel,
    /// User mode, with registers and the largest copy of the stack.
    StackCopy,
}

/// The largest stack copy: a multiple of 8 that fits in 16 bits with what stands before it.
const LARGEST_COPY: u32 = 65_528;

/// The registers that unwinding takes: all that `asm/perf_regs.h` numbers, without x86's segments 12 to 15.
const REGISTERS: u64 = if cfg!(target_arch = "x86_64") {
    0xff_0fff
} else if cfg!(target_arch = "aarch64") {
    (1 << 33) - 1
} else {
    1
};

/// Opens and closes the CPU clock, which every kernel has: what is refused is refused for want of permission.
///
/// # Errors
/// The kernel's answer.
pub fn clock(open: &impl OpenEvent, scope: Scope<'_>, tried: Tried) -> io::Result<()> {
    let spec = EventSpec::cpu_clock();
    let (attr, _) = &spec.attrs[0];
    let mut attr = sampled(attr, Sampling::Frequency(99));
    if tried != Tried::UserAndKernel {
        attr.flags = attr.flags.with(AttrFlags::EXCLUDE_KERNEL);
    }
    if tried == Tried::StackCopy {
        attr.sample_fields = attr.sample_fields.with(SampleFields::REGS_USER).with(SampleFields::STACK_USER);
        attr.sample_regs_user = REGISTERS;
        attr.sample_stack_user = LARGEST_COPY;
    }
    open.open(&attr, scope).map(drop)
}

/// Looks up a tracepoint that every kernel has, and opens and closes it on one's own process.
///
/// # Errors
/// Outside: it cannot be looked up. Inside: the kernel's answer.
pub fn tracepoint(open: &impl OpenEvent, sources: &Sources) -> Result<io::Result<()>> {
    let spec = EventSpec::parse("sched:sched_switch", sources)?;
    let (attr, _) = &spec.attrs[0];
    let mut attr = sampled(attr, Sampling::Period(1));
    attr.sample_fields = attr.sample_fields.with(SampleFields::RAW);
    Ok(open.open(&attr, Scope::Task(0)).map(drop))
}

fn sampled(attr: &EventAttr, sampling: Sampling) -> EventAttr {
    let flags = attr.flags.with(AttrFlags::DISABLED);
    EventAttr { sampling, flags, sample_fields: SampleFields::IP.with(SampleFields::TID), ..attr.clone() }
}
