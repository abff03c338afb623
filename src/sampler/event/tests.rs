//! The machines that names are resolved on, as trees of files.

use std::fs;

use super::*;

/// A machine: PMU files, and tracepoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    Intel,
    Hybrid,
    Amd,
    BigLittle,
    Bare,
}

/// Builds the machine's sysfs and tracefs below a temporary directory.
pub(crate) fn machine(machine: Machine) -> (tempfile::TempDir, Sources) {
    let root = tempfile::tempdir().unwrap();
    let devices = "sys/bus/event_source/devices";
    let pmus: &[(&str, &[(&str, &str)])] = match machine {
        Machine::Intel => &[
            (
                "cpu",
                &[
                    ("type", "4"),
                    ("caps/max_precise", "3"),
                    ("format/event", "config:0-7"),
                    ("format/umask", "config:8-15"),
                    ("format/ldlat", "config1:0-15"),
                    ("events/mem-loads", "event=0xcd,umask=0x1,ldlat=3"),
                ],
            ),
            ("uncore_imc_0", &[("type", "14"), ("cpumask", "0,8"), ("format/event", "config:0-7")]),
        ],
        Machine::Hybrid => &[
            (
                "cpu_core",
                &[
                    ("type", "4"),
                    ("cpus", "0-7"),
                    ("caps/max_precise", "3"),
                    ("format/event", "config:0-7"),
                    ("events/mem-stores", "event=0xcd"),
                ],
            ),
            (
                "cpu_atom",
                &[("type", "10"), ("cpus", "8-15"), ("caps/max_precise", "3"), ("format/event", "config:0-7")],
            ),
        ],
        Machine::Amd => &[
            ("cpu", &[("type", "4"), ("caps/max_precise", "0"), ("format/event", "config:0-7,32-35")]),
            ("ibs_op", &[("type", "11"), ("format/cnt_ctl", "config:19")]),
        ],
        Machine::BigLittle => &[
            (
                "armv8_cortex_a53",
                &[
                    ("type", "8"),
                    ("cpus", "0-3"),
                    ("format/event", "config:0-15"),
                    ("events/cpu_cycles", "event=0x0011"),
                ],
            ),
            (
                "armv8_cortex_a72",
                &[
                    ("type", "9"),
                    ("cpus", "4-5"),
                    ("format/event", "config:0-15"),
                    ("events/cpu_cycles", "event=0x0011"),
                ],
            ),
        ],
        Machine::Bare => &[("software", &[("type", "1")])],
    };
    let mut files = vec![("tracing/events/sched/sched_switch/id".to_owned(), "316\n")];
    for (pmu, entries) in pmus {
        files.extend(entries.iter().map(|(name, text)| (format!("{devices}/{pmu}/{name}"), *text)));
    }
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let sources = Sources { sysfs: root.path().join("sys"), tracefs: vec![root.path().join("tracing")] };
    (root, sources)
}

fn check(on: Machine, text: &str, expected: &[(u32, u64, &str)]) {
    let (_root, sources) = machine(on);
    let spec = EventSpec::parse(text, &sources).unwrap_or_else(|error| panic!("{text}: {error}"));
    let got: Vec<_> = spec
        .attrs
        .iter()
        .map(|(attr, cpus)| (attr.kind, attr.config, cpus.as_ref().map(ToString::to_string).unwrap_or_default()))
        .collect();
    let expected: Vec<_> = expected.iter().map(|(kind, config, cpus)| (*kind, *config, (*cpus).to_owned())).collect();
    assert_eq!(got, expected, "{text} on {on:?}");
    assert_eq!(spec.name, text);
}

fn check_error(on: Machine, text: &str, kind: ErrorKind, says: &str) {
    let (_root, sources) = machine(on);
    let error = EventSpec::parse(text, &sources).expect_err(text);
    assert_eq!(error.kind(), kind, "{text}: {error}");
    let all = format!("{error} / {}", error.hint().unwrap_or("no hint"));
    assert!(all.contains(says), "{text}: {all}");
}

#[test]
fn names_mean_the_same_everywhere() {
    for on in [Machine::Intel, Machine::Amd, Machine::Bare] {
        check(on, "cycles", &[(0, 0, "")]);
        check(on, "cpu-cycles", &[(0, 0, "")]);
        check(on, "branch-instructions", &[(0, 4, "")]);
        check(on, "LLC-load-misses", &[(3, 0x1_0002, "")]);
        check(on, "cpu-clock", &[(1, 0, "")]);
        check(on, "faults:u", &[(1, 2, "")]);
        check(on, "cs", &[(1, 3, "")]);
        check(on, "r01c2", &[(4, 0x1c2, "")]);
        check(on, "sched:sched_switch", &[(2, 316, "")]);
        check(on, "sched:sched_switch:k", &[(2, 316, "")]);
    }
}

#[test]
fn hybrid_machines_open_one_event_per_core_type() {
    check(Machine::Hybrid, "cycles:P", &[(0, 10 << 32, "8-15"), (0, 4 << 32, "0-7")]);
    check(Machine::Hybrid, "L1-dcache-loads", &[(3, 10 << 32, "8-15"), (3, 4 << 32, "0-7")]);
    check(Machine::Hybrid, "r3c", &[(10, 0x3c, "8-15"), (4, 0x3c, "0-7")]);
    check(Machine::Hybrid, "cpu_atom/event=0x3c/u", &[(10, 0x3c, "8-15")]);
    check(Machine::Hybrid, "mem-stores", &[(4, 0xcd, "0-7")]);
    check(Machine::Hybrid, "cpu-clock", &[(1, 0, "")]);
    check(Machine::BigLittle, "cycles", &[(8, 0x11, "0-3"), (9, 0x11, "4-5")]);
    check(Machine::BigLittle, "ref-cycles", &[(0, 8 << 32 | 9, "0-3"), (0, 9 << 32 | 9, "4-5")]);
}

#[test]
fn pmu_events_are_read_from_sysfs() {
    check(Machine::Intel, "cpu/event=0x3c,umask=0x1/", &[(4, 0x13c, "")]);
    check(Machine::Intel, "cpu/event=0x3c/ppp", &[(4, 0x3c, "")]);
    check(Machine::Intel, "mem-loads:p", &[(4, 0x1cd, "")]);
    check(Machine::Intel, "cpu/mem-loads,ldlat=30/P", &[(4, 0x1cd, "")]);
    check(Machine::Intel, "uncore_imc_0/event=1/", &[(14, 1, "0,8")]);
    check(Machine::Amd, "cpu/event=0x1c1/", &[(4, 0x1_0000_00c1, "")]);
    check(Machine::Amd, "ibs_op/cnt_ctl=1/", &[(11, 1 << 19, "")]);
}

#[test]
fn what_is_unknown_is_said_with_what_lies_near() {
    check_error(Machine::Bare, "cylces", ErrorKind::Usage, "did you mean cycles?");
    check_error(Machine::Bare, "cpu-clok:u", ErrorKind::Usage, "did you mean cpu-clock?");
    check_error(Machine::Bare, "sched_switch", ErrorKind::Usage, "did you mean sched:sched_switch?");
    check_error(Machine::Bare, "sched:sched_swich", ErrorKind::Usage, "did you mean sched:sched_switch?");
    check_error(Machine::Intel, "mem-load", ErrorKind::Usage, "did you mean mem-loads?");
    check_error(Machine::Intel, "cpo/event=1/", ErrorKind::Usage, "did you mean cpu?");
    check_error(Machine::Bare, "cpu/event=1/", ErrorKind::Usage, "the PMUs here are: software");
    check_error(Machine::Intel, "cpu/evt=1/", ErrorKind::Usage, "its terms are: event, ldlat, umask");
    check_error(Machine::Bare, "cycles:z", ErrorKind::Usage, "unknown modifier 'z'");
    check_error(Machine::Bare, "cycles:pppp", ErrorKind::Usage, "precision above 3");
    check_error(Machine::Bare, "cpu-clock:ppp", ErrorKind::Usage, "cannot be precise");
    check_error(Machine::Bare, "", ErrorKind::Usage, "no event is named");
    check_error(Machine::Bare, "..:..", ErrorKind::Usage, "unknown event");
    check_error(Machine::Bare, "r", ErrorKind::Usage, "unknown event");
    check_error(Machine::Bare, "rfffffffffffffffff", ErrorKind::Usage, "unknown event");
    check_error(Machine::Bare, "é/é/é", ErrorKind::Usage, "names a PMU that is not here");
}

#[test]
fn without_tracefs_a_tracepoint_is_unsupported() {
    let (_root, mut sources) = machine(Machine::Bare);
    sources.tracefs = vec!["/nonexistent/tracing".into()];
    let error = EventSpec::parse("sched:sched_switch", &sources).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap().contains("mount -t tracefs"));
    let error = EventSpec::parse("cpu-clok:u", &sources).unwrap_err();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::Usage, Some("did you mean cpu-clock?")));
}

#[test]
fn modifiers_leave_in_what_they_name() {
    let (_root, sources) = machine(Machine::Intel);
    let check = |text, flags: &[AttrFlags], precise| {
        let spec = EventSpec::parse(text, &sources).unwrap();
        let expected = flags.iter().fold(AttrFlags(0), |all, flag| all.with(*flag));
        assert_eq!((spec.attrs[0].0.flags, spec.precise), (expected, precise), "{text}");
    };
    use AttrFlags as F;
    check("cycles", &[], Precise::Level(0));
    check("cycles:u", &[F::EXCLUDE_KERNEL, F::EXCLUDE_HV], Precise::Level(0));
    check("cycles:k", &[F::EXCLUDE_USER, F::EXCLUDE_HV], Precise::Level(0));
    check("cycles:uk", &[F::EXCLUDE_HV], Precise::Level(0));
    check("cycles:upp", &[F::EXCLUDE_KERNEL, F::EXCLUDE_HV], Precise::Level(2));
    check("cycles:P", &[], Precise::Highest);
    check("cycles:G", &[F::EXCLUDE_HOST], Precise::Level(0));
    check("cycles:H", &[F::EXCLUDE_GUEST], Precise::Level(0));
    check("cycles:GH", &[], Precise::Level(0));
    check("cpu/event=0x3c/uI", &[F::EXCLUDE_KERNEL, F::EXCLUDE_HV, F::EXCLUDE_IDLE], Precise::Level(0));
}

#[test]
fn kinds_units_and_default_sampling() {
    let (_root, sources) = machine(Machine::Intel);
    let check = |text, kind, unit, sampling| {
        let spec = EventSpec::parse(text, &sources).unwrap();
        assert_eq!((spec.kind, spec.unit, spec.default_sampling), (kind, unit, sampling), "{text}");
    };
    check("cpu-clock", EventKind::Clock, Unit::Nanoseconds, DefaultSampling::Rate);
    check("task-clock", EventKind::Clock, Unit::Nanoseconds, DefaultSampling::Rate);
    check("cycles", EventKind::Hardware, Unit::Count, DefaultSampling::Rate);
    check("page-faults", EventKind::Software, Unit::Count, DefaultSampling::Every(32));
    check("context-switches", EventKind::Software, Unit::Count, DefaultSampling::Each);
    check("dummy", EventKind::Software, Unit::Count, DefaultSampling::Never);
    check("sched:sched_switch", EventKind::Tracepoint, Unit::Count, DefaultSampling::Each);
    assert_eq!(EventSpec::cycles(&sources).precise, Precise::Highest);
}
