//! How a recording ends, what status it passes on, and whose output goes where.

use std::process::Stdio;

use rustix::process::Signal;

use crate::common::account;
use crate::common::account::Account;
use crate::common::folded::Folded;
use crate::common::programs;
use crate::common::run::{Running, Target, finish, profile, record, stderr, stdout, text};

/// Runs `profile -o FILE -- actor ARGUMENTS` and returns its status.
fn status_of(account: Account, arguments: &[&str]) -> Option<i32> {
    let folder = account::folder();
    let mut command = profile(account);
    command.arg("-o").arg(folder.path().join("out.svg")).arg("--").arg(account.reachable(&programs::c("actor")));
    let output =
        finish(command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(folder.path().join("out.svg").exists(), "the picture is written whatever the status:\n{}", stderr(&output));
    output.status.code()
}

#[test]
fn status_of_the_command_is_passed_on() {
    for account in [Account::Own, Account::Plain] {
        assert_eq!(status_of(account, &["exit", "0"]), Some(0));
        assert_eq!(status_of(account, &["exit", "7"]), Some(7));
        assert_eq!(status_of(account, &["exit", "255"]), Some(255));
        assert_eq!(status_of(account, &["kill", "15"]), Some(128 + 15));
        assert_eq!(status_of(account, &["kill", "9"]), Some(128 + 9));
    }
}

#[test]
fn command_keeps_its_standard_output() {
    let folder = account::folder();
    let out = folder.path().join("out.folded");
    let mut command = profile(Account::Own);
    command.args(["-F", "999", "-o", &text(&out), "--"]).arg(programs::c("actor")).arg("print");
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert_eq!(stdout(&output), "to stdout\n", "nothing of ours is mixed in");
    assert!(stderr(&output).contains("to stderr\n"));
    let written = std::fs::read_to_string(&out).expect("it was written");
    assert!(!written.contains("to stdout"), "nothing of the command's is mixed in");
}

#[test]
fn picture_on_standard_output_is_not_mixed() {
    let mut command = profile(Account::Own);
    command.args(["-F", "999", "-f", "folded", "--annotate", "--", "sh", "-c"]);
    command.arg(format!("{0} print; {0} busy 100", text(&programs::c("actor"))));
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{}", stderr(&output));
    let folded = Folded::parse(&stdout(&output));
    assert!(folded.total_of("busy_work") > 0);
    assert!(!stdout(&output).contains("to stdout"));
    assert!(stderr(&output).contains("to stdout\n"), "what the command printed is not lost:\n{}", stderr(&output));
}

#[test]
fn duration_ends_a_recording() {
    for account in [Account::Own, Account::Plain] {
        let target = Target::start(account, &programs::c("actor"), &["spin"]);
        let run = Running::start(account, &["-F", "999", "-d", "1", "-p", &target.pid_text()]).finish();
        assert!(run.folded.total_of("busy_work") >= 100, "{:?}", run.folded);
        let seconds = run.summary.number("duration_seconds");
        assert!(seconds >= 0.9, "ended after {seconds} s");
    }
}

#[test]
fn signals_end_a_recording() {
    for account in [Account::Own, Account::Plain] {
        for signal in [Signal::INT, Signal::TERM] {
            let target = Target::start(account, &programs::c("actor"), &["spin"]);
            let running = Running::start(account, &["-F", "999", "-p", &target.pid_text()]);
            running.signal(signal);
            let run = running.finish();
            assert!(run.summary.has("samples"), "{account:?} {signal:?}");
        }
    }
}

/// `timeout(1)` signals its child, and then the group that it is in.
#[test]
fn signals_that_come_together_are_one_request() {
    let target = Target::start(Account::Own, &programs::c("actor"), &["spin"]);
    let running = Running::start(Account::Own, &["-F", "999", "-p", &target.pid_text()]);
    for signal in [Signal::TERM, Signal::TERM, Signal::INT] {
        running.signal(signal);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let run = running.finish();
    assert!(run.summary.has("samples"), "{}", run.said);
}

#[test]
fn end_of_the_target_ends_a_recording() {
    for account in [Account::Own, Account::Plain] {
        let mut target = Target::start(account, &programs::c("actor"), &["spin"]);
        let running = Running::start(account, &["-F", "999", "-p", &target.pid_text()]);
        crate::common::run::wait_until("the target has been sampled for a while", cpu_time_passes(target.pid(), 20));
        target.kill();
        let run = running.finish();
        assert!(run.folded.total_of("busy_work") > 0, "{account:?}: killed in the middle, still named\n{}", run.said);
    }
}

#[test]
fn library_cut_while_mapped_kills_only_its_user() {
    let folder = account::folder();
    let library = folder.path().join("late.so");
    std::fs::copy(programs::c_with("late_library", &["-shared", "-fPIC"]), &library).expect("it can be copied");
    let mut target = Target::start(Account::Own, &programs::c("actor"), &["dlopen", &text(&library), "100000"]);
    let running = Running::start(Account::Own, &["-F", "999", "-p", &target.pid_text()]);
    target.go();
    crate::common::run::wait_until("the library works", cpu_time_passes(target.pid(), 20));
    let file = std::fs::OpenOptions::new().write(true).open(&library).expect("it is ours");
    file.set_len(100).expect("a library that is mapped can be cut");
    // Its code is no longer there: SIGBUS. We have the file mapped too, perhaps.
    assert!(!target.wait().success());
    let run = running.finish();
    assert!(run.folded.sampled() >= 50, "{}", run.said);
}

/// Whether a process has used more CPU time since, in hundredths of a second.
fn cpu_time_passes(pid: u32, ticks: u64) -> impl FnMut() -> bool {
    let used = move || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        after_name.split(' ').nth(11).and_then(|user| user.parse::<u64>().ok()).unwrap_or(0)
    };
    let begin = used();
    move || used() >= begin + ticks
}

#[test]
fn interrupt_from_the_terminal_ends_command_and_recording() {
    for account in [Account::Own, Account::Plain] {
        let actor = text(&account.reachable(&programs::c("actor")));
        let mut running = Running::start_group(account, &["-F", "999", "--", &actor, "spin"]);
        assert_eq!(running.line(), "ready\n", "the command runs, and what it prints passes through at once");
        running.signal_group(Signal::INT);
        drop(running.finish_with(128 + 2));
    }
}

#[test]
fn summary_has_all_keys() {
    let run = record(Account::Own, &["-F", "999"], &programs::c("actor"), &["busy", "200"]);
    for key in [
        "rate",
        "duration_seconds",
        "samples",
        "lost",
        "throttled",
        "coverage",
        "complete",
        "own_cpu_seconds",
        "peak_rss_bytes",
    ] {
        run.summary.number(key);
    }
    assert!(run.summary.json()["event"].is_string(), "{}", run.summary.json());
    for share in [run.summary.number("complete"), run.summary.sum("truncated"), run.summary.sum("unnamed")] {
        assert!((0.0..=1.0).contains(&share), "{}", run.summary.json());
    }
    let whole = run.summary.number("complete") + run.summary.sum("truncated");
    assert!((whole - 1.0).abs() < 1e-6, "a stack is complete or truncated: {whole}");
    // The same honesty is said to whoever reads no JSON.
    assert!(run.said.contains("coverage") && run.said.contains("lost"), "{}", run.said);
}
