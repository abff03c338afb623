//! What is counted while records are taken in.

use std::collections::BTreeMap;

use crate::model::FoundBy;

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records lost because a ring was full.
    pub lost: u64,
    /// Samples lost before they reached a ring.
    pub lost_samples: u64,
    /// How often an event was throttled.
    pub throttled: u64,
    /// Records that were shorter than their type says, or contradicted themselves.
    pub malformed: u64,
    /// Of those, samples.
    pub malformed_samples: u64,
    /// Records that came later than one of a later time had been taken in.
    pub late: u64,
    /// Samples kept.
    pub samples: u64,
    /// Sum of their values.
    pub value: u64,
    /// Bytes of hardware trace, which is not decoded.
    pub aux_bytes: u64,
    /// Times that hardware trace was lost.
    pub aux_lost: u64,
    /// Waits that ended only with the thread's next sample, and waits that did not end, of a recording of switches.
    pub waits_by_next_sample: u64,
    /// See [`Counters::waits_by_next_sample`].
    pub open_waits: u64,
    /// Samples of which less of the stack came than was asked for, as they came faster than they could be taken in.
    pub trimmed: u64,
    /// Stacks larger than their copies that were completed from the memory of the process.
    pub completed_late: u64,
    /// Whether the memory of a process was not ours to read for that.
    pub memory_denied: bool,
    /// Whether threads waited already when the recording began, in processes whose memory could not be read for want of permission.
    pub waiting_denied: bool,
    /// Samples whose stacks were walked in the kernel.
    pub unwound: u64,
    /// Of those, samples whose stack never came.
    pub lost_stacks: u64,
    /// Of those, samples whose stack was cut where other code was mapped than the kernel was told.
    pub mappings_changed: u64,
    /// How often there was no room for all mappings that a process has made.
    pub mappings_forgotten: u64,
    /// Frames by how they were found, each as often as a sample has it, in the order of [`FoundBy::ALL`].
    pub found: [u64; FoundBy::ALL.len()],
}

impl Counters {
    /// How many callers in user mode were found in each way.
    pub fn frames(&self) -> BTreeMap<&'static str, u64> {
        let ways = FoundBy::ALL.into_iter().zip(self.found);
        ways.filter(|(by, count)| by.is_of_callers() && *count > 0).map(|(by, count)| (by.as_str(), count)).collect()
    }
}
