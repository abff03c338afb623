//! Root, a plain user, and a user with `CAP_PERFMON` alone: what each gets, and what each is told.

use std::process::Stdio;

use crate::common::account::{self, Account};
use crate::common::programs;
use crate::common::run::{Running, Target, finish, profile, record, stderr, stdout};
use crate::need;

/// What `profile doctor` tells an account.
fn doctor(account: Account) -> String {
    let output = finish(
        profile(account).arg("doctor").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn(),
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

/// The line of `profile doctor` about an ability.
#[track_caller]
fn line_about<'a>(told: &'a str, ability: &str) -> &'a str {
    let line = told.lines().find(|line| line.to_lowercase().contains(ability));
    line.unwrap_or_else(|| panic!("doctor says nothing about {ability:?}:\n{told}"))
}

const ABILITIES: [&str; 7] =
    ["own processes", "other", "system-wide", "kernel frames", "kernel names", "tracepoints", "bpf"];

#[test]
fn doctor_tells_root() {
    need!(account::is_root(), "doctor_tells_root", "needs root");
    let told = doctor(Account::Own);
    for ability in ABILITIES {
        line_about(&told, ability);
    }
    for ability in ["own processes", "system-wide", "kernel frames"] {
        assert!(line_about(&told, ability).contains("yes"), "{told}");
    }
}

#[test]
fn doctor_tells_a_plain_user() {
    need!(account::is_root(), "doctor_tells_a_plain_user", "needs root: to be sure that nothing is allowed");
    let told = doctor(Account::Plain);
    for ability in ABILITIES {
        line_about(&told, ability);
    }
    assert!(line_about(&told, "own processes").contains("yes"), "{told}");
    assert!(line_about(&told, "system-wide").contains("no"), "{told}");
    assert!(
        told.contains("perf_event_paranoid") && told.to_lowercase().contains("cap_perfmon"),
        "what to type:\n{told}"
    );
}

#[test]
fn doctor_tells_perfmon() {
    need!(account::is_root(), "doctor_tells_perfmon", "needs root: to give a single capability");
    let told = doctor(Account::Perfmon);
    for ability in ["own processes", "system-wide", "kernel frames"] {
        assert!(line_about(&told, ability).contains("yes"), "{told}");
    }
}

#[test]
fn perfmon_alone_sees_the_system() {
    need!(account::is_root(), "perfmon_alone_sees_the_system", "needs root: to give a single capability");
    let _target = Target::start(Account::Plain, &programs::c("actor"), &["spin"]);
    let run = Running::start(Account::Perfmon, &["-F", "999", "-d", "1", "-a"]).finish();
    assert!(run.folded.total_of("busy_work") > 0, "{}", run.folded.counterexamples(|_| false));
}

#[test]
fn root_sees_the_kernel() {
    need!(account::is_root(), "root_sees_the_kernel", "needs root");
    let run = record(Account::Own, &["-F", "999"], &programs::c("actor"), &["kernel", "400"]);
    let in_kernel = run.folded.weight(|row| row.frames.iter().any(|frame| frame.ends_with("_[k]")));
    assert!(in_kernel >= 100, "{}", run.folded.counterexamples(|_| false));
    let through =
        run.folded.weight(|row| row.has("kernel_work") && row.frames.iter().any(|frame| frame.ends_with("_[k]")));
    assert!(
        through * 10 >= in_kernel * 9,
        "kernel frames stand on their user frames:\n{}",
        run.folded.counterexamples(|_| false)
    );
}

#[test]
fn plain_user_is_told_of_the_kernel() {
    need!(account::is_root(), "plain_user_is_told_of_the_kernel", "needs root: to be sure that nothing is allowed");
    let run = record(Account::Plain, &["-F", "999"], &programs::c("actor"), &["kernel", "400"]);
    // 400 samples are due; what happened in the kernel is not seen, but weighed.
    let missing = run.folded.weight(|row| row.mentions("[kernel, not permitted]"));
    assert!(missing >= 200, "{}", run.folded.counterexamples(|_| false));
    let all = run.folded.sampled() + run.folded.missing();
    assert!((360..=460).contains(&all), "{all} of about 400");
    assert!(!run.folded.rows.iter().any(|row| row.frames.iter().any(|frame| frame.ends_with("_[k]"))));
    assert!(run.said.contains("kernel"), "less than asked is said:\n{}", run.said);
}
