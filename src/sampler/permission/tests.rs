use std::io;

use super::*;
use crate::sampler::facts::tests::{STATUS, roots, tree};

const EPERM: i32 = 1;
const ESRCH: i32 = 3;
const EACCES: i32 = 13;

/// A machine by its files, an attempt, the kernel's answer; and what error and hint must say.
fn check(files: &[(&str, &str)], attempt: Attempt, errno: i32, kind: ErrorKind, says: &[&str]) {
    let mut all = vec![
        ("proc/self/status", STATUS),
        ("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"),
        ("proc/7/status", "State:\tS (sleeping)\nUid:\t1000\t1000\t1000\t1000\n"),
        ("proc/8/status", "State:\tS (sleeping)\nUid:\t33\t33\t33\t33\n"),
        ("proc/9/status", "State:\tZ (zombie)\nUid:\t1000\t1000\t1000\t1000\n"),
    ];
    all.extend_from_slice(files);
    let root = tree(&all);
    let facts = Facts::read_from(&roots(&root));
    let error = facts.explain(attempt, io::Error::from_raw_os_error(errno));
    let text = format!("{error} / {}", error.hint().expect("a hint"));
    assert_eq!(error.kind(), kind, "{text}");
    for part in says {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

const LEVEL: &str = "proc/sys/kernel/perf_event_paranoid";

#[test]
fn each_cause_has_its_own_hint() {
    use ErrorKind::{NotFound, Permission};
    let filter = STATUS.replace("Seccomp:\t0", "Seccomp:\t2");
    let filter: &[(&str, &str)] = &[("proc/self/status", &filter), (LEVEL, "2")];
    check(filter, Attempt::Task(42), EPERM, Permission, &["seccomp", "--cap-add PERFMON", "--security-opt seccomp="]);
    check(filter, Attempt::Cpu(0), EPERM, Permission, &["cannot sample all of CPU 0", "seccomp"]);
    // The filter lets it pass, and the kernel itself refuses.
    check(filter, Attempt::Cpu(0), EACCES, Permission, &["perf_event_paranoid is 2", "perf_event_paranoid=0"]);

    check(&[(LEVEL, "3")], Attempt::Task(7), EACCES, Permission, &["is 3 (Debian", "perf_event_paranoid=2", "setcap"]);
    check(&[(LEVEL, "4")], Attempt::Task(7), EACCES, Permission, &["is 4 (Ubuntu", "perf_event_paranoid=2", "sudo"]);
    check(&[(LEVEL, "2")], Attempt::TaskKernel(7), EACCES, Permission, &["perf_event_paranoid=1"]);
    check(&[(LEVEL, "2")], Attempt::Task(7), EACCES, Permission, &["hide from their own user"]);
    check(&[(LEVEL, "2")], Attempt::Task(8), EACCES, Permission, &["another user's processes", "cap_perfmon"]);
    check(&[(LEVEL, "2")], Attempt::Process(8), EACCES, Permission, &["cannot read process 8", "another user's"]);

    let yama = "proc/sys/kernel/yama/ptrace_scope";
    check(&[(yama, "1")], Attempt::Memory(7), EPERM, Permission, &["Yama", "kernel.yama.ptrace_scope=0"]);
    check(&[(yama, "3")], Attempt::Memory(7), EPERM, Permission, &["until the next boot"]);
    check(&[], Attempt::Memory(8), EPERM, Permission, &["run with sudo"]);

    let mounts = "22 27 0:21 / /proc rw,relatime - proc proc rw,hidepid=invisible\n";
    check(&[("proc/self/mountinfo", mounts)], Attempt::Task(5), ESRCH, NotFound, &["hidepid=invisible", "hidepid=0"]);

    check(&[], Attempt::Task(5), ESRCH, NotFound, &["there is no such process"]);
    check(&[], Attempt::Task(9), ESRCH, NotFound, &["zombie"]);
    check(&[], Attempt::Task(9), EACCES, NotFound, &["zombie"]);
    check(&[("proc/self/uid_map", "0 1000 1\n")], Attempt::Cpu(0), EACCES, Permission, &["user namespace"]);
    check(
        &[("proc/sys/kernel/perf_event_mlock_kb", "516")],
        Attempt::Ring(2048),
        EPERM,
        Permission,
        &["ring of 2048 pages", "perf_event_mlock_kb is 516", "ulimit -l"],
    );
    let limits = ("proc/self/limits", "Max open files            1024       4096       files\n");
    check(&[limits], Attempt::Task(7), 24, ErrorKind::Io, &["too many open files", "ulimit -n 4096"]);
    // Before 5.8 there was no CAP_PERFMON.
    check(
        &[("proc/sys/kernel/osrelease", "5.4.0\n"), (LEVEL, "3")],
        Attempt::Task(7),
        EACCES,
        Permission,
        &["cap_sys_admin"],
    );
}

#[test]
fn rates_above_the_limit_are_lowered_and_said() {
    let root = tree(&[("proc/sys/kernel/perf_event_max_sample_rate", "50000\n")]);
    let facts = Facts::read_from(&roots(&root));
    assert_eq!(facts.allowed_rate(99), (99, None));
    assert_eq!(facts.allowed_rate(50_000), (50_000, None));
    let (rate, note) = facts.allowed_rate(100_000);
    assert_eq!(rate, 50_000);
    assert!(note.unwrap().contains("kernel.perf_event_max_sample_rate"));
}
