//! Where the records of a recording go: into a profile, or into a perf.data.

use crate::perf::Layout;
use crate::recorder::{Counters, KernelLists, Recorder, Sink, Tap};

/// Where the records of a recording go.
#[derive(Debug)]
pub(super) enum Keeper {
    /// Into a profile.
    Profile(Box<Recorder>),
    /// Into a perf.data.
    File(Box<Tap>),
}

impl Keeper {
    /// See [`Recorder::add_waiting`].
    pub fn add_waiting(&mut self, pid: u32) {
        match self {
            Keeper::Profile(recorder) => recorder.add_waiting(pid),
            Keeper::File(tap) => tap.add_waiting(pid),
        }
    }

    /// See [`Recorder::add_existing`].
    pub fn add_existing(&mut self, pid: u32) -> bool {
        match self {
            Keeper::Profile(recorder) => recorder.add_existing(pid),
            Keeper::File(tap) => tap.add_existing(pid),
        }
    }

    /// See [`Recorder::set_kernel_lists`].
    pub fn set_kernel_lists(&mut self, lists: KernelLists) {
        if let Keeper::Profile(recorder) = self {
            recorder.set_kernel_lists(lists);
        }
    }

    /// See [`Recorder::begin`].
    pub fn begin(&mut self, time: u64) {
        match self {
            Keeper::Profile(recorder) => recorder.begin(time),
            Keeper::File(tap) => tap.begin(time),
        }
    }

    /// See [`Recorder::add_waiting_threads`].
    pub fn add_waiting_threads(&mut self, pid: u32) {
        match self {
            Keeper::Profile(recorder) => recorder.add_waiting_threads(pid),
            Keeper::File(_) => {}
        }
    }

    /// See [`Recorder::watch_jit_code`].
    pub fn watch_jit_code(&mut self) {
        match self {
            Keeper::Profile(recorder) => recorder.watch_jit_code(),
            Keeper::File(_) => {}
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        match self {
            Keeper::Profile(recorder) => recorder.counters(),
            Keeper::File(tap) => tap.counters(),
        }
    }

    /// How many stacks were to be completed from the memory of processes.
    pub fn stacks_wanted(&self) -> u64 {
        match self {
            Keeper::Profile(recorder) => recorder.stacks_wanted(),
            Keeper::File(_) => 0,
        }
    }

    /// Whether going on is of no use.
    pub fn has_failed(&self) -> bool {
        match self {
            Keeper::Profile(_) => false,
            Keeper::File(tap) => tap.has_failed(),
        }
    }
}

impl Sink for Keeper {
    fn take<'a>(&mut self, records: impl Iterator<Item = (&'a [u8], &'a Layout)>) {
        match self {
            Keeper::Profile(recorder) => recorder.take(records),
            Keeper::File(tap) => tap.take(records),
        }
    }

    fn arrives(&mut self, record: &[u8], layout: &Layout) {
        match self {
            Keeper::Profile(recorder) => Sink::arrives(&mut **recorder, record, layout),
            Keeper::File(_) => {}
        }
    }

    fn end_round(&mut self) {
        match self {
            Keeper::Profile(recorder) => recorder.end_round(),
            Keeper::File(tap) => tap.end_round(),
        }
    }

    fn end(&mut self, late: u64) {
        match self {
            Keeper::Profile(recorder) => recorder.end(late),
            Keeper::File(tap) => tap.end(late),
        }
    }
}
