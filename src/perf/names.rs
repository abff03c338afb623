//! Names of events by their numbers: what perf calls them where a recording does not say.

use super::attr::EventAttr;

/// `PERF_TYPE_HARDWARE` and the others: `enum perf_type_id`, `include/uapi/linux/perf_event.h`.
pub mod kind {
    /// Generic hardware events.
    pub const HARDWARE: u32 = 0;
    /// The kernel's software events.
    pub const SOFTWARE: u32 = 1;
    /// Tracepoints.
    pub const TRACEPOINT: u32 = 2;
    /// Generic cache events.
    pub const CACHE: u32 = 3;
    /// Events by the processor's own numbers.
    pub const RAW: u32 = 4;
    /// Breakpoints.
    pub const BREAKPOINT: u32 = 5;
}

/// `PERF_COUNT_SW_CPU_CLOCK`.
pub const CPU_CLOCK: u64 = 0;
/// `PERF_COUNT_SW_TASK_CLOCK`.
pub const TASK_CLOCK: u64 = 1;

const HARDWARE: [&str; 10] = [
    "cycles",
    "instructions",
    "cache-references",
    "cache-misses",
    "branches",
    "branch-misses",
    "bus-cycles",
    "stalled-cycles-frontend",
    "stalled-cycles-backend",
    "ref-cycles",
];
const SOFTWARE: [&str; 12] = [
    "cpu-clock",
    "task-clock",
    "page-faults",
    "context-switches",
    "cpu-migrations",
    "minor-faults",
    "major-faults",
    "alignment-faults",
    "emulation-faults",
    "dummy",
    "bpf-output",
    "cgroup-switches",
];
const CACHES: [&str; 7] = ["L1-dcache", "L1-icache", "LLC", "dTLB", "iTLB", "branch", "node"];
const OPERATIONS: [&str; 3] = ["load", "store", "prefetch"];

/// The name of an event of which only the attribute is known.
pub fn of(attr: &EventAttr) -> String {
    // The upper half says which PMU of a hybrid processor.
    let config = attr.config as u32 as usize;
    let known = match attr.kind {
        kind::HARDWARE => HARDWARE.get(config).map(|name| (*name).to_owned()),
        kind::SOFTWARE => SOFTWARE.get(config).map(|name| (*name).to_owned()),
        kind::TRACEPOINT => Some(format!("tracepoint {}", attr.config)),
        kind::CACHE => cache(config),
        kind::RAW => Some(format!("r{:x}", attr.config)),
        kind::BREAKPOINT => Some(format!("mem:{:#x}", attr.config1)),
        _ => None,
    };
    known.unwrap_or_else(|| format!("event {}/{:#x}", attr.kind, attr.config))
}

fn cache(config: usize) -> Option<String> {
    let (cache, operation) = (CACHES.get(config & 0xff)?, OPERATIONS.get((config >> 8) & 0xff)?);
    Some(match config >> 16 {
        0 => format!("{cache}-{operation}s"),
        1 => format!("{cache}-{operation}-misses"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_perfs_names() {
        for (kind, config, expected) in [
            (0, 0, "cycles"),
            (0, (4u64 << 32) | 1, "instructions"),
            (1, 0, "cpu-clock"),
            (3, 0x1_0000, "L1-dcache-load-misses"),
            (3, 0x0103, "dTLB-stores"),
            (4, 0x1a8, "r1a8"),
            (2, 301, "tracepoint 301"),
            (9, 5, "event 9/0x5"),
        ] {
            assert_eq!(of(&EventAttr::counting(kind, config)), expected);
        }
    }
}
