//! What bad input gets: a clear message with what to do, status 2, and no file, whole or half.

use std::process::{Command, Output, Stdio};

use crate::common::account::{self, Account};
use crate::common::programs;
use crate::common::run::{Target, finish, free_pid, names_in, profile, stderr, text};
use crate::need;

/// Runs `profile ARGUMENTS -o FILE` and checks that it refuses, says these words (in any case), and leaves no file.
#[track_caller]
fn refuses(account: Account, arguments: &[&str], words: &[&str]) {
    let folder = account::folder();
    let out = folder.path().join("out.svg");
    let mut command = profile(account);
    // Options first: what stands after `--` is the command's.
    command.arg("-o").arg(&out).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command.spawn());
    says(&output, words);
    assert_eq!(names_in(folder.path()), [""; 0], "no file, whole or half, is left");
}

/// Checks the shape of a refusal: `error: ...`, a line of help, and these words; status 2.
#[track_caller]
pub fn says(output: &Output, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.lines().any(|line| line.starts_with("error: ")), "no error:\n{said}");
    assert!(!said.contains("panicked"), "{said}");
    // Our own hints, or clap's pointer to --help.
    assert!(said.contains("help: ") || said.contains("--help") || said.contains("tip: "), "no help:\n{said}");
    for word in words {
        assert!(said.to_lowercase().contains(&word.to_lowercase()), "does not say {word:?}:\n{said}");
    }
}

#[test]
fn pid_that_is_gone() {
    let pid = free_pid().to_string();
    refuses(Account::Own, &["-p", &pid, "-d", "1"], &[&pid]);
    refuses(Account::Plain, &["-p", &pid, "-d", "1"], &[&pid]);
}

#[test]
fn pid_that_cannot_be() {
    refuses(Account::Own, &["-p", "0", "-d", "1"], &["0"]);
    refuses(Account::Own, &["-p", "abc", "-d", "1"], &["abc", "pgrep -a"]);
    refuses(Account::Own, &["-p", "99999999999", "-d", "1"], &["99999999999"]);
    refuses(Account::Own, &["-p", "-1", "-d", "1"], &[]);
}

#[test]
fn zombie() {
    for account in [Account::Own, Account::Plain] {
        let parent = Target::start(account, &programs::c("actor"), &["zombie"]);
        let zombie = parent.numbers()[0].to_string();
        refuses(account, &["-p", &zombie, "-d", "1"], &[&zombie, "zombie"]);
    }
}

#[test]
fn thread_that_is_gone() {
    let tid = free_pid().to_string();
    refuses(Account::Own, &["-t", &tid, "-d", "1"], &[&tid]);
}

#[test]
fn unknown_event() {
    refuses(Account::Own, &["-e", "no-such-event", "--", "true"], &["no-such-event"]);
    refuses(Account::Own, &["-e", "sched:no_such_tracepoint", "--", "true"], &["no_such_tracepoint"]);
    refuses(Account::Own, &["-e", "", "--", "true"], &[]);
}

#[test]
fn colours_that_a_chart_has_not() {
    refuses(
        Account::Own,
        &["--view", "chart", "--palette", "self", "--", "true"],
        &["--palette self", "binary or hash"],
    );
}

#[test]
fn rate_of_zero() {
    refuses(Account::Own, &["-F", "0", "--", "true"], &["0"]);
    refuses(Account::Own, &["-F", "-5", "--", "true"], &[]);
    refuses(Account::Own, &["-F", "many", "--", "true"], &["many"]);
    refuses(Account::Own, &["-c", "0", "--", "true"], &["0"]);
}

#[test]
fn rate_and_period_at_once() {
    refuses(Account::Own, &["-F", "99", "-c", "1000", "--", "true"], &["-c"]);
}

#[test]
fn no_target() {
    refuses(Account::Own, &[], &["-p"]);
}

#[test]
fn cpu_that_is_not_there() {
    refuses(Account::Own, &["-a", "-C", "99999", "-d", "1"], &["99999"]);
}

#[test]
fn cgroup_that_is_not_there() {
    refuses(Account::Own, &["-G", "no-such-cgroup", "-d", "1"], &["no-such-cgroup"]);
}

#[test]
fn command_that_is_not_there() {
    refuses(Account::Own, &["--", "no-such-command-here"], &["no-such-command-here"]);
    refuses(Account::Plain, &["--", "/no/such/path"], &["/no/such/path"]);
    // There, but it cannot be executed.
    refuses(Account::Own, &["--", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")], &["cargo.toml"]);
}

#[test]
fn format_that_is_not_there() {
    refuses(Account::Own, &["-f", "no-such-format", "--", "true"], &["no-such-format"]);
}

#[test]
fn process_of_another_user() {
    need!(account::is_root(), "process_of_another_user", "needs root: two users");
    let mut command = Command::new(programs::c("actor"));
    let target = Target::start_command(command.arg("spin"));
    refuses(Account::Plain, &["-p", &target.pid_text(), "-d", "1"], &[&target.pid_text(), "permi"]);
}

#[test]
fn whole_system_without_privilege() {
    need!(!may_see_all(), "whole_system_without_privilege", "needs kernel.perf_event_paranoid > 0");
    refuses(Account::Plain, &["-a", "-d", "1"], &["perf_event_paranoid"]);
}

/// Whether any user may record the whole system here.
fn may_see_all() -> bool {
    let level = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    level.trim().parse::<i32>().is_ok_and(|level| level <= 0)
}

#[test]
fn folder_that_is_not_there() {
    let folder = account::folder();
    let out = text(&folder.path().join("missing/out.svg"));
    let output = profile(Account::Own).args(["-o", &out, "--", "true"]).output().expect("it runs");
    says(&output, &["missing/out.svg"]);
    assert_eq!(names_in(folder.path()), [""; 0]);
}

#[test]
fn failure_keeps_what_was_there() {
    let folder = account::folder();
    let out = folder.path().join("out.svg");
    std::fs::write(&out, "before").expect("it is ours");
    let pid = free_pid().to_string();
    let output = profile(Account::Own).args(["-p", &pid, "-d", "1", "-o", &text(&out)]).output().expect("it runs");
    says(&output, &[&pid]);
    assert_eq!(std::fs::read_to_string(&out).expect("it is still there"), "before");
    assert_eq!(names_in(folder.path()), ["out.svg"]);
}

#[test]
fn full_device_on_standard_output() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("there is a /dev/full");
    let mut command = profile(Account::Own);
    command.args(["-F", "999", "-f", "svg", "--"]).arg(programs::c("actor")).args(["busy", "50"]);
    let output = finish(command.stdout(full).stderr(Stdio::piped()).spawn());
    says(&output, &["space"]);
}

#[test]
fn full_device_by_name() {
    // As a plain user, who could not replace the device by a file if that were tried.
    let account = Account::Plain;
    let actor = account.reachable(&programs::c("actor"));
    let mut command = profile(account);
    command.args(["-F", "999", "-f", "svg", "-o", "/dev/full", "--"]).arg(actor).args(["busy", "50"]);
    says(&finish(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()), &["/dev/full", "space"]);
}

#[test]
fn full_disk() {
    need!(account::is_root(), "full_disk", "needs root: mounts a tiny file system");
    let folder = account::folder();
    let (profile, actor) = (text(&crate::common::run::binary()), text(&programs::c("actor")));
    // 16 KiB: a page for what was there before, and too little for a picture.
    let script = "mount -t tmpfs -o size=16k tiny \"$1\" && echo before > \"$1/out.svg\" || exit 99
        \"$2\" -F 999 -o \"$1/out.svg\" -- \"$3\" busy 100; status=$?
        echo \"files: $(ls -A \"$1\")\"; echo \"content: $(head -c 20 \"$1/out.svg\")\"; exit $status";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", &text(folder.path()), &profile, &actor]);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    says(&output, &["out.svg", "space"]);
    let left = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(left.contains("files: out.svg\n") && left.contains("content: before"), "{left}");
}

#[test]
fn perf_map_full_of_junk() {
    for account in [Account::Own, Account::Plain] {
        let run = crate::common::run::record(account, &["-F", "999"], &programs::c("actor"), &["jit", "300"]);
        let map = run.printed.trim().strip_prefix("ready ").expect("it names its map");
        let removed = std::fs::remove_file(map);
        assert!(run.folded.total_of("jitted_loop") >= 20, "{account:?}:\n{}", run.folded.counterexamples(|_| false));
        assert!(
            !run.folded.rows.iter().any(|row| row.mentions("wraps_") || row.mentions("nnnnnnnn")),
            "junk became a name"
        );
        removed.expect("the map was there");
    }
}
