//! What a recorder is told about the recording.

use std::num::NonZeroUsize;

use rustc_hash::{FxHashMap, FxHashSet};

use super::OUTSIDE;
use super::waits::WaitOptions;
use crate::model::{BuildId, EventId, StackEnd, Truncation, Unit};
use crate::process::Membership;
use crate::unwind::Processor;

/// How user stacks are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserStacks {
    /// From the copy of the stack; where there is none, from the call chain (frame pointers, or the hardware's call stack).
    #[default]
    Auto,
    /// From the copy of the stack only.
    Dwarf,
    /// From the kernel's chain of frame pointers.
    FramePointers,
    /// From the calls that the processor has recorded (LBR), as far as it holds them; where the outermost of those is in the copy
    /// of the stack or in the call chain, it goes on there.
    CallStack,
    /// Not at all: only the innermost frame.
    None,
}

/// What a sample of an event counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// Its period.
    #[default]
    Period,
    /// Always the same: occurrences of a tracepoint, whose samples may have something else for a period (`sched_stat_runtime`
    /// has nanoseconds).
    Fixed(u64),
}

/// An event of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its name.
    pub name: String,
    /// What its values count.
    pub unit: Unit,
    /// Nominal value of a sample, if it has one.
    pub period: Option<u64>,
    /// What a sample counts for.
    pub weight: Weight,
    /// Whether its samples are taken when a task goes off the CPU (`sched:sched_switch`).
    pub is_switch: bool,
    /// Where the next task's id stands in the raw data of such a sample, if the recording says.
    pub next_pid: Option<usize>,
}

impl RecordedEvent {
    /// An event whose samples count for their period.
    pub fn new(name: &str, unit: Unit, period: Option<u64>) -> RecordedEvent {
        let name = name.to_owned();
        RecordedEvent { name, unit, period, weight: Weight::Period, is_switch: false, next_pid: None }
    }
}

/// Where records come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// They happen now: `/proc` tells more about their processes.
    #[default]
    Live,
    /// They were recorded, perhaps elsewhere.
    Recording {
        /// Of which processor its stack copies are; nothing if of one whose stacks are not unwound.
        processor: Option<Processor>,
        /// Whether its times are those of `CLOCK_MONOTONIC`, the clock of JITs' dumps.
        is_monotonic: bool,
        /// Paths of which the recording has symbols; they may look like no path of a file.
        symbols_of: FxHashSet<Box<[u8]>>,
        /// Build ids that the recording has apart from its mappings, by path.
        build_ids: FxHashMap<Box<[u8]>, BuildId>,
    },
}

impl Origin {
    /// Of which processor the stacks of programs are that have registers of `abi` (`PERF_SAMPLE_REGS_ABI_*`).
    pub(super) fn processor(&self, abi: u64) -> Option<Processor> {
        match self {
            Origin::Live => Processor::HERE,
            Origin::Recording { processor, .. } => *processor,
        }?
        .with_abi(abi)
    }

    pub(super) fn is_monotonic(&self) -> bool {
        match self {
            Origin::Live => true,
            Origin::Recording { is_monotonic, .. } => *is_monotonic,
        }
    }

    pub(super) fn has_symbols_of(&self, path: &[u8]) -> bool {
        match self {
            Origin::Live => false,
            Origin::Recording { symbols_of, .. } => symbols_of.contains(path),
        }
    }

    pub(super) fn build_id_of(&self, path: &[u8]) -> Option<BuildId> {
        match self {
            Origin::Live => None,
            Origin::Recording { build_ids, .. } => build_ids.get(path).copied(),
        }
    }

    /// How a stack ends that somebody else has walked.
    pub(super) fn end_of_chain(&self) -> StackEnd {
        match self {
            Origin::Live => StackEnd::Truncated(Truncation::FramePointers),
            Origin::Recording { .. } => StackEnd::Unstated,
        }
    }

    /// What a process is called that has no name.
    pub(super) fn name_of_nameless(&self, pid: u32) -> String {
        match self {
            Origin::Live if pid == OUTSIDE => "[idle, or of another pid namespace]".to_owned(),
            Origin::Live => String::new(),
            // As perf calls them.
            Origin::Recording { .. } if pid == OUTSIDE => "swapper".to_owned(),
            Origin::Recording { .. } => format!(":{}", pid as i32),
        }
    }
}

impl RecorderOptions {
    /// Which event the rows of time off the CPU are of: the first, which is that of time on the CPU if both are recorded.
    pub(super) fn event_of_waits(&self, events: &[EventId]) -> EventId {
        events.first().copied().unwrap_or(EventId(0))
    }
}

/// What a recording is of.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Which tasks are kept.
    pub membership: Membership,
    /// Its events; a sample says which it is of.
    pub events: Vec<RecordedEvent>,
    /// How many events count the same thing side by side: a sample's value is its period by this number.
    pub streams: u64,
    /// How user stacks are found.
    pub user_stacks: UserStacks,
    /// How many bytes of the stack a sample has if there are as many; 0 if that is not known.
    pub stack_copy: usize,
    /// A process whose exec begins the recording; what is before is not kept.
    pub begins_with_exec_of: Option<u32>,
    /// Where records come from.
    pub origin: Origin,
    /// How time off the CPU is kept, of a recording of tasks that run.
    pub waits: Option<WaitOptions>,
    /// How many threads walk stacks, of a recording that is there already.
    pub threads: NonZeroUsize,
}
