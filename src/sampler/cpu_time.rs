//! How much the targets really did: the number that samples x period is held against.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::cpus::CpuList;
use super::event::{EventKind, EventSpec};
use super::sys::{self, OpenEvent, Scope};
use crate::perf::{AttrFlags, EventAttr};

/// `PERF_TYPE_SOFTWARE` and its `PERF_COUNT_SW_TASK_CLOCK`.
const TASK_CLOCK: (u32, u64) = (1, 1);

/// What is counted beside the samples.
#[derive(Debug)]
pub enum Denominator {
    /// An event on each task, which its threads and children inherit.
    Tasks(Box<EventAttr>, Vec<OwnedFd>),
    /// CPU time of everything that ran on these CPUs since the number of nanoseconds.
    Cpus(CpuList, u64),
    /// CPU time of a cgroup since the number of nanoseconds.
    Cgroup(PathBuf, u64),
    /// Nothing can be counted.
    Unknown,
}

impl Denominator {
    /// What the samples of `spec` on tasks are held against: their CPU time for a clock, else the event's own count; of
    /// `tids` and what they start. It counts from their exec on, if `on_exec`, else from [`Denominator::start`] on.
    pub fn of_tasks(kernel: &impl OpenEvent, spec: &EventSpec, tids: &[u32], on_exec: bool) -> Denominator {
        let Some(event) = counted(spec) else { return Denominator::Unknown };
        let start = if on_exec { AttrFlags::DISABLED.with(AttrFlags::ENABLE_ON_EXEC) } else { AttrFlags::DISABLED };
        let sides = AttrFlags::EXCLUDE_KERNEL.with(AttrFlags::EXCLUDE_USER).with(AttrFlags::EXCLUDE_HV);
        let attr = EventAttr {
            config1: event.config1,
            config2: event.config2,
            flags: start.with(AttrFlags::INHERIT).with(AttrFlags(event.flags.0 & sides.0)),
            ..EventAttr::counting(event.kind, event.config)
        };
        let mut counters = Denominator::Tasks(Box::new(attr), Vec::with_capacity(tids.len()));
        counters.add_tasks(kernel, tids);
        counters
    }

    /// Counts further tasks.
    pub fn add_tasks(&mut self, kernel: &impl OpenEvent, tids: &[u32]) {
        let Denominator::Tasks(attr, events) = self else { return };
        for tid in tids {
            match kernel.open(attr, Scope::Task(*tid as i32)) {
                Ok(event) => events.push(event),
                // A thread that has just ended counts no more.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                // A part is no denominator.
                Err(_) => {
                    *self = Denominator::Unknown;
                    return;
                }
            }
        }
    }

    /// CPU time of all that runs on `cpus`.
    pub fn of_cpus(cpus: CpuList) -> Denominator {
        match cpus_ns(&cpus) {
            Some(before) => Denominator::Cpus(cpus, before),
            None => Denominator::Unknown,
        }
    }

    /// CPU time of the cgroup in `directory`.
    pub fn of_cgroup(directory: PathBuf) -> Denominator {
        match cgroup_ns(&directory) {
            Some(before) => Denominator::Cgroup(directory, before),
            None => Denominator::Unknown,
        }
    }

    /// Begins to count.
    pub fn start(&mut self) {
        match self {
            Denominator::Tasks(_, events) => {
                for event in events {
                    // Fails only for a task that has ended, which counts no more.
                    let _ = sys::enable(event);
                }
            }
            Denominator::Cpus(cpus, before) => *before = cpus_ns(cpus).unwrap_or(*before),
            Denominator::Cgroup(directory, before) => *before = cgroup_ns(directory).unwrap_or(*before),
            Denominator::Unknown => {}
        }
    }

    /// Stops counting, and says how much it was: nanoseconds of CPU time, or the event's own count.
    pub fn finish(&self) -> Option<u64> {
        match self {
            Denominator::Tasks(_, events) => {
                let mut sum = 0u64;
                for event in events {
                    let _ = sys::disable(event);
                    sum += sys::read_count(event, 0).ok()?.value;
                }
                Some(sum)
            }
            Denominator::Cpus(cpus, before) => cpus_ns(cpus)?.checked_sub(*before),
            Denominator::Cgroup(directory, before) => cgroup_ns(directory)?.checked_sub(*before),
            Denominator::Unknown => None,
        }
    }
}

/// The event to count; none where core types count by events of their own.
fn counted(spec: &EventSpec) -> Option<EventAttr> {
    match (spec.kind, spec.attrs.as_slice()) {
        (EventKind::Clock, attrs) => {
            let flags = attrs.first().map_or(AttrFlags(0), |(attr, _)| attr.flags);
            Some(EventAttr { flags, ..EventAttr::counting(TASK_CLOCK.0, TASK_CLOCK.1) })
        }
        (_, [(attr, None)]) => Some(attr.clone()),
        _ => None,
    }
}

/// Time that tasks have run on `cpus`, idling left out.
///
/// Field 7 of a `cpu` line of `/proc/schedstat` ("sum of all time spent running by tasks on this processor", in
/// nanoseconds; `Documentation/scheduler/sched-stats.rst`), else user, nice and system time of `/proc/stat` in ticks.
fn cpus_ns(cpus: &CpuList) -> Option<u64> {
    let sum = |text: &str, value: fn(&[u64]) -> Option<u64>| {
        let mut found = 0;
        let mut sum = 0u64;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let Some(cpu) = words.next().and_then(|word| word.strip_prefix("cpu")?.parse::<u32>().ok()) else {
                continue;
            };
            if cpus.contains(cpu) {
                let numbers: Vec<u64> = words.map(|word| word.parse().unwrap_or(0)).collect();
                sum += value(&numbers)?;
                found += 1;
            }
        }
        (found == cpus.as_slice().len()).then_some(sum)
    };
    if let Ok(text) = std::fs::read_to_string("/proc/schedstat")
        && let Some(total) = sum(&text, |numbers| numbers.get(6).copied()).filter(|total| *total > 0)
    {
        return Some(total);
    }
    let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    Some(sum(&text, |numbers| Some(numbers.get(..3)?.iter().sum::<u64>()))? * tick)
}

/// `usage_usec` of a cgroup's `cpu.stat` (`Documentation/admin-guide/cgroup-v2.rst`).
fn cgroup_ns(directory: &std::path::Path) -> Option<u64> {
    let text = std::fs::read_to_string(directory.join("cpu.stat")).ok()?;
    let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    Some(usage.trim().parse::<u64>().ok()? * 1000)
}
