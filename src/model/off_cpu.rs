//! What is said of time off the CPU: the names of the frames that stand for it, and the figures of a recording of it.
//!
//! ```text
//! worker                                   worker
//!   main                                     main
//!     read_all                                 read_all
//!       read                                     read
//!         schedule [kernel]  12 ms: blocked        [runnable]  3 ms: could have run, and waited for a CPU
//!           [woken by]       with --wakers
//!             try_to_wake_up [kernel]
//!               write
//!                 main
//!                   writer   the name of who woke it
//! ```

use std::time::Duration;

/// The event of single waits, where the switches of a recording tell them: a sample's time is when the wait began, its value how
/// long it was.
pub const EVENT: &str = "off-cpu";
/// The innermost frame of time in which a thread could have run, and waited for a CPU: it was woken or preempted.
pub const RUNNABLE: &str = "[runnable]";
/// The innermost frame of time off the CPU where time on it is shown beside.
pub const OFF_CPU: &str = "[off-CPU]";
/// The innermost frame of waits that had not ended when the recording did.
pub const STILL_BLOCKED: &str = "[still blocked]";
/// The innermost frame of waits that began before the recording did; what counts is their time since.
pub const BLOCKED_BEFORE: &str = "[blocked before]";
/// Between the stack at which a thread blocked and the stack of who woke it.
pub const WOKEN_BY: &str = "[woken by]";
/// Who woke a thread was no thread: an interrupt, on whichever stack it came.
pub const INTERRUPT: &str = "[interrupt]";
/// Who woke a thread is not known.
pub const UNKNOWN_WAKER: &str = "[not known]";
/// Time on the CPU that no sample shows the stack of.
pub const NOT_SAMPLED: &str = "[on CPU, not sampled]";

/// All these names but the last, which is no time off the CPU.
pub const NAMES: [&str; 7] = [RUNNABLE, OFF_CPU, STILL_BLOCKED, BLOCKED_BEFORE, WOKEN_BY, INTERRUPT, UNKNOWN_WAKER];

/// What a recording of time off the CPU took and missed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OffCpuStats {
    /// Time blocked, all threads together; waits for a CPU are not in it.
    pub blocked: Duration,
    /// How many waits that was.
    pub waits: u64,
    /// Time that threads could have run and waited for a CPU.
    pub runnable: Duration,
    /// How often.
    pub runnable_waits: u64,
    /// How many waits had not ended when the recording did; their time until then is in `blocked`.
    pub still_blocked: u64,
    /// How many waits had begun before the recording did; their time since then is in `blocked`.
    pub blocked_before: u64,
    /// Of the waits that were woken: how many of whose wakers are known; nothing if it was not asked.
    pub wakers_known: Option<u64>,
    /// Waits that were seen and have no row, as there was no room for them.
    pub lost_waits: u64,
    /// Their time.
    pub lost: Duration,
    /// Waits left out as they were shorter or longer than asked for, or of another state.
    pub left_out: u64,
    /// Time of the threads on the CPU, if that is known.
    pub on_cpu: Option<Duration>,
    /// From when each thread was first seen to when it was last, all threads together, if that is known.
    pub wall: Option<Duration>,
}

impl OffCpuStats {
    /// Time on and off the CPU in relation to the time that the threads lived: 1 is perfect.
    pub fn coverage(&self) -> Option<f64> {
        // If no thread is known to have been on a CPU, none was seen there.
        let (on, wall) = (self.on_cpu.unwrap_or_default(), self.wall?);
        let off = self.blocked + self.runnable;
        (!wall.is_zero()).then(|| (on + off).as_secs_f64() / wall.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_all_time_by_life() {
        let mut stats = OffCpuStats {
            blocked: Duration::from_secs(6),
            runnable: Duration::from_secs(1),
            on_cpu: Some(Duration::from_secs(2)),
            ..OffCpuStats::default()
        };
        assert_eq!(stats.coverage(), None);
        stats.wall = Some(Duration::from_secs(10));
        assert!(stats.coverage().is_some_and(|coverage| (coverage - 0.9).abs() < 1e-9));
        // All slept all the time.
        stats.on_cpu = None;
        assert!(stats.coverage().is_some_and(|coverage| (coverage - 0.7).abs() < 1e-9));
    }
}
