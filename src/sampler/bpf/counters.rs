//! What programs have counted.

use std::collections::BTreeMap;

use super::abi;

/// What the programs have counted, all CPUs together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By number, see the constants of [`abi`].
    pub(super) of: Vec<u64>,
}

impl Counters {
    /// One of them, by its number in [`abi`].
    pub fn get(&self, number: u32) -> u64 {
        self.of.get(number as usize).copied().unwrap_or(0)
    }

    /// All that are not zero, by name.
    pub fn named(&self) -> BTreeMap<&'static str, u64> {
        NAMES.iter().map(|(number, name)| (*name, self.get(*number))).filter(|(_, count)| *count > 0).collect()
    }

    /// Nanoseconds that a call of a program took on average, as far as calls were timed.
    pub fn mean_call(&self) -> Option<f64> {
        let calls = self.get(abi::TIMED_CALLS);
        (calls > 0).then(|| self.get(abi::TIMED_NANOSECONDS) as f64 / calls as f64)
    }
}

const NAMES: &[(u32, &str)] = &[
    (abi::SWITCHES, "switches"),
    (abi::SWITCHES_OUT, "switches_out"),
    (abi::SWITCHES_IN, "switches_in"),
    (abi::NO_BEGIN, "waits_without_begin"),
    (abi::BELOW_MIN, "waits_below_min"),
    (abi::ABOVE_MAX, "waits_above_max"),
    (abi::OTHER_STATE, "waits_in_other_state"),
    (abi::NO_STORAGE, "no_task_storage"),
    (abi::WAITS_FULL, "waits_full"),
    (abi::WAITS_FULL_TIME, "waits_full_ns"),
    (abi::RING_FULL, "ring_full_stacks"),
    (abi::RING_FULL_SAMPLES, "ring_full_samples"),
    (abi::COLLISIONS, "hash_collisions"),
    (abi::SAMPLES, "samples"),
    (abi::SAMPLES_LEFT, "samples_left_to_perf_events"),
    (abi::SAMPLES_OTHER, "samples_of_others"),
    (abi::TIMED_CALLS, "timed_calls"),
    (abi::TIMED_NANOSECONDS, "timed_ns"),
    (abi::CALLS, "calls"),
    (abi::NO_SCRATCH, "no_scratch"),
    (abi::FRAMES, "user_frames"),
    (abi::STALE_SENT, "stale_processes_told"),
    (abi::WAKEUPS, "wakeups"),
    (abi::KERNEL_STACK_FAILED, "kernel_stack_failed"),
    (abi::MEMBERS_FULL, "members_full"),
    (abi::THREADS_FULL, "threads_full"),
    (abi::REUSED, "stacks_reused"),
    (abi::LEFT, "waits_of_who_left"),
    (abi::NO_END, "waits_without_end"),
    (abi::NO_END_TIME, "waits_without_end_ns"),
    (abi::END_FIRST + abi::END_ROOT, "end_root"),
    (abi::END_FIRST + abi::END_NOT_MAPPED, "end_not_mapped"),
    (abi::END_FIRST + abi::END_NO_INFO, "end_no_info"),
    (abi::END_FIRST + abi::END_NO_TABLE, "end_no_table"),
    (abi::END_FIRST + abi::END_UNREADABLE, "end_unreadable"),
    (abi::END_FIRST + abi::END_TOO_DEEP, "end_too_deep"),
    (abi::END_FIRST + abi::END_NO_PROGRESS, "end_no_progress"),
    (abi::END_FIRST + abi::END_ROW, "end_row"),
    (abi::END_FIRST + abi::END_OTHER_STACK, "end_other_stack"),
    (abi::END_FIRST + abi::END_NOT_KNOWN, "end_process_not_known"),
    (abi::END_FIRST + abi::END_STALE, "end_process_stale"),
    (abi::END_FIRST + abi::END_OTHER_PROCESSOR, "end_other_processor"),
    (abi::END_FIRST + abi::END_NO_REGISTERS, "end_no_registers"),
    (abi::END_FIRST + abi::END_KERNEL_THREAD, "end_kernel_thread"),
    (abi::END_FIRST + abi::END_NOT_ASKED, "end_not_asked"),
];
