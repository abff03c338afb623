//! The names of events that the kernel itself defines, as perf spells them, and what lies near a misspelt one.
//!
//! Numbers are from `include/uapi/linux/perf_event.h`, names from `perf-list(1)`.

use crate::perf::EventAttr;

/// `PERF_TYPE_HARDWARE`.
pub(super) const HARDWARE: u32 = 0;
/// `PERF_TYPE_SOFTWARE`.
pub(super) const SOFTWARE: u32 = 1;
/// `PERF_TYPE_TRACEPOINT`.
pub(super) const TRACEPOINT: u32 = 2;
/// `PERF_TYPE_HW_CACHE`.
pub(super) const HW_CACHE: u32 = 3;
/// `PERF_TYPE_RAW`.
pub(super) const RAW: u32 = 4;

/// `PERF_COUNT_SW_CPU_CLOCK`.
pub(super) const CPU_CLOCK: u64 = 0;
/// `PERF_COUNT_SW_TASK_CLOCK`.
pub(super) const TASK_CLOCK: u64 = 1;

/// `PERF_COUNT_SW_CONTEXT_SWITCHES`.
pub(super) const CONTEXT_SWITCHES: u64 = 3;
/// `PERF_COUNT_SW_CPU_MIGRATIONS`.
pub(super) const CPU_MIGRATIONS: u64 = 4;
/// `PERF_COUNT_SW_CGROUP_SWITCHES`.
pub(super) const CGROUP_SWITCHES: u64 = 11;

/// Software events: number, name, other name.
const SOFTWARE_NAMES: [(u64, &str, &str); 12] = [
    (CPU_CLOCK, "cpu-clock", ""),
    (TASK_CLOCK, "task-clock", ""),
    (2, "page-faults", "faults"),
    (CONTEXT_SWITCHES, "context-switches", "cs"),
    (CPU_MIGRATIONS, "cpu-migrations", "migrations"),
    (5, "minor-faults", ""),
    (6, "major-faults", ""),
    (7, "alignment-faults", ""),
    (8, "emulation-faults", ""),
    (9, "dummy", ""),
    (10, "bpf-output", ""),
    (CGROUP_SWITCHES, "cgroup-switches", ""),
];

/// Generic hardware events: number, name, other name, and the event that an ARM PMU calls by its own name in sysfs
/// (as `armv8_pmuv3_perf_map` of the kernel's `drivers/perf/arm_pmuv3.c` pairs them).
const HARDWARE_NAMES: [(u64, &str, &str, &str); 10] = [
    (0, "cycles", "cpu-cycles", "cpu_cycles"),
    (1, "instructions", "", "inst_retired"),
    (2, "cache-references", "", "l1d_cache"),
    (3, "cache-misses", "", "l1d_cache_refill"),
    (4, "branches", "branch-instructions", "br_retired"),
    (5, "branch-misses", "", "br_mis_pred"),
    (6, "bus-cycles", "", "bus_cycles"),
    (7, "stalled-cycles-frontend", "idle-cycles-frontend", "stall_frontend"),
    (8, "stalled-cycles-backend", "idle-cycles-backend", "stall_backend"),
    (9, "ref-cycles", "", ""),
];

/// Caches: canonical name first; and which of read, write, prefetch they know.
const CACHES: [(&[&str], [bool; 3]); 7] = [
    (&["L1-dcache", "l1-d", "l1d", "L1-data"], [true, true, true]),
    (&["L1-icache", "l1-i", "l1i", "L1-instruction"], [true, false, true]),
    (&["LLC", "L2"], [true, true, true]),
    (&["dTLB", "d-tlb", "Data-TLB"], [true, true, true]),
    (&["iTLB", "i-tlb", "Instruction-TLB"], [true, false, false]),
    (&["branch", "branches", "bpu", "btb", "bpc"], [true, false, false]),
    (&["node"], [true, true, true]),
];
const OPERATIONS: [&[&str]; 3] = [
    &["loads", "load", "read"],
    &["stores", "store", "write"],
    &["prefetches", "prefetch", "speculative-read", "speculative-load"],
];
const RESULTS: [&[&str]; 2] = [&["refs", "reference", "ops", "access"], &["misses", "miss"]];

/// The software event of this name, and its canonical name.
pub(super) fn software(name: &str) -> Option<(EventAttr, &'static str)> {
    let known = SOFTWARE_NAMES.iter().find(|known| known.1 == name || (known.2 == name && !name.is_empty()))?;
    Some((EventAttr::counting(SOFTWARE, known.0), known.1))
}

/// The generic hardware event of this name, its canonical name, and its name in an ARM PMU's sysfs.
pub(super) fn hardware(name: &str) -> Option<(EventAttr, &'static str, &'static str)> {
    let known = HARDWARE_NAMES.iter().find(|known| known.1 == name || (known.2 == name && !name.is_empty()))?;
    Some((EventAttr::counting(HARDWARE, known.0), known.1, known.3))
}

/// The cache event of this name: a cache, then an operation and a result, both optional and in any order.
pub(super) fn cache(name: &str) -> Option<EventAttr> {
    for (number, (aliases, operations)) in CACHES.iter().enumerate() {
        for alias in *aliases {
            let Some(rest) = strip_word(name, alias) else { continue };
            let Some((operation, result)) = operation_and_result(rest) else { continue };
            if operations[operation] {
                let config = number as u64 | (operation as u64) << 8 | (result as u64) << 16;
                return Some(EventAttr::counting(HW_CACHE, config));
            }
        }
    }
    None
}

fn operation_and_result(mut rest: &str) -> Option<(usize, usize)> {
    let (mut operation, mut result) = (None, None);
    while !rest.is_empty() {
        rest = rest.strip_prefix('-')?;
        let found = |words: &[&[&str]]| {
            let known = words.iter().enumerate().flat_map(|(at, list)| list.iter().map(move |word| (at, *word)));
            known.filter_map(|(at, word)| Some((at, strip_word(rest, word)?))).next()
        };
        match (found(&OPERATIONS), found(&RESULTS)) {
            (Some((at, after)), _) if operation.is_none() => (operation, rest) = (Some(at), after),
            (_, Some((at, after))) if result.is_none() => (result, rest) = (Some(at), after),
            _ => return None,
        }
    }
    Some((operation.unwrap_or(0), result.unwrap_or(0)))
}

/// What follows `word` in `text`, letters compared without case, if the word ends there.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let rest = &text[word.len()..];
    (head.eq_ignore_ascii_case(word) && (rest.is_empty() || rest.starts_with('-'))).then_some(rest)
}

/// All names that are defined here, cache events by their canonical spelling.
pub(super) fn all() -> Vec<String> {
    let mut names: Vec<String> =
        SOFTWARE_NAMES.iter().flat_map(|known| [known.1, known.2]).map(str::to_owned).collect();
    names.extend(HARDWARE_NAMES.iter().flat_map(|known| [known.1, known.2]).map(str::to_owned));
    names.retain(|name| !name.is_empty());
    for (aliases, operations) in CACHES {
        for (operation, _) in OPERATIONS.iter().zip(operations).filter(|(_, known)| *known) {
            names.push(format!("{}-{}", aliases[0], operation[0]));
            names.push(format!("{}-{}-misses", aliases[0], operation[1]));
        }
    }
    names
}

/// The up to three of `known` that are nearest to a misspelt `name`; none where nothing is near.
pub(super) fn nearest(name: &str, known: impl IntoIterator<Item = String>) -> Vec<String> {
    let bound = (name.chars().count() / 3).clamp(1, 4);
    let mut near: Vec<(usize, String)> = known
        .into_iter()
        .map(|other| (distance(name, &other, bound), other))
        .filter(|(distance, _)| *distance <= bound)
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(3).map(|(_, other)| other).collect()
}

/// How many letters must be put in, left out, or changed (without case) to make one word of the other; above `bound`
/// any number above it.
fn distance(one: &str, other: &str, bound: usize) -> usize {
    let letters = |text: &str| text.chars().take(128).map(|letter| letter.to_ascii_lowercase()).collect::<Vec<_>>();
    let (one, other) = (letters(one), letters(other));
    if one.len().abs_diff(other.len()) > bound {
        return bound + 1;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_events_are_made_of_cache_operation_and_result() {
        let check = |name, expected| assert_eq!(cache(name).map(|attr| attr.config), expected, "{name}");
        check("L1-dcache-load-misses", Some(0x1_0000));
        check("L1-dcache-loads", Some(0));
        check("L1-dcache-stores", Some(0x100));
        check("L1-icache-load-misses", Some(0x1_0001));
        check("LLC-loads", Some(2));
        check("LLC-misses", Some(0x1_0002));
        check("LLC-store-misses", Some(0x1_0102));
        check("LLC-prefetch-misses", Some(0x1_0202));
        check("dTLB-load-misses", Some(0x1_0003));
        check("dtlb-misses-stores", Some(0x1_0103));
        check("iTLB-loads", Some(4));
        check("iTLB-stores", None);
        check("L1-icache-stores", None);
        check("branch-load-misses", Some(0x1_0005));
        check("node-prefetches", Some(0x206));
        check("L1-dcache-loads-stores", None);
        check("L1-dcachex", None);
        check("L1-dcache-", None);
    }

    #[test]
    fn every_listed_name_is_known() {
        for name in all() {
            assert!(software(&name).is_some() || hardware(&name).is_some() || cache(&name).is_some(), "{name}");
        }
    }

    #[test]
    fn near_names_are_found() {
        assert_eq!(nearest("cylces", all()), ["cycles"]);
        assert_eq!(nearest("CPU-CLOK", all())[0], "cpu-clock");
        assert_eq!(nearest("LLC-load-mises", all())[0], "LLC-load-misses");
        assert!(nearest("xyzzy-frobnicate", all()).is_empty());
    }
}
