//! How the targets' CPU time splits into user mode and the kernel, by the tick.

use std::time::Duration;

use crate::process::proc;

/// User and kernel time in clock ticks.
type Ticks = (u64, u64);

/// User and kernel CPU time of processes and the children that they waited for, as last read: they may end at any time.
#[derive(Clone, Debug, Default)]
pub(super) struct CpuSplit {
    /// By process: first and last reading in ticks.
    readings: Vec<(u32, Ticks, Ticks)>,
}

impl CpuSplit {
    /// Begins with the processes as they are.
    pub(super) fn start(pids: &[u32]) -> CpuSplit {
        let read = |pid: &u32| proc::cpu_ticks(*pid).ok().map(|now| (*pid, now, now));
        CpuSplit { readings: pids.iter().filter_map(read).collect() }
    }

    /// Reads those that are still there.
    pub(super) fn update(&mut self) {
        for (pid, _, last) in &mut self.readings {
            if let Ok(now) = proc::cpu_ticks(*pid) {
                *last = now;
            }
        }
    }

    /// User and kernel time since the start.
    pub(super) fn times(&self) -> (Duration, Duration) {
        let tick = Duration::from_secs(1) / rustix::param::clock_ticks_per_second().max(1) as u32;
        let sum = |field: fn(&Ticks) -> u64| {
            self.readings.iter().map(|(_, first, last)| field(last).saturating_sub(field(first))).sum::<u64>()
        };
        (tick * sum(|times| times.0) as u32, tick * sum(|times| times.1) as u32)
    }
}
