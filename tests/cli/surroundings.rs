//! What is around a recording: what ran in the same process before, limits, ignored signals, files that others put there.

use std::fs;
use std::process::{Command, Output, Stdio};

use crate::common::account::{self, Account};
use crate::common::run::{self, binary, profile, stderr, stdout, text};
use crate::common::{programs, summary::Summary};

/// Runs a script of bash that finds `profile` in `$P`, a folder in `$F` and the actor in `$A`.
fn script(account: Account, folder: &tempfile::TempDir, script: &str) -> Output {
    let mut command = account.command("bash");
    command.env("P", account.reachable(&binary())).env("F", folder.path());
    command.env("A", account.reachable(&programs::c("actor"))).args(["-c", script]);
    command.stdin(Stdio::null()).output().expect("there is a bash")
}

fn summary_in(folder: &tempfile::TempDir) -> Summary {
    Summary::parse(&fs::read_to_string(folder.path().join("stats.json")).expect("it was written"))
}

#[test]
fn what_ran_before_our_exec_is_not_recorded() {
    for account in [Account::Own, Account::Plain] {
        let (folder, stolen_before) = (account::folder(), run::stolen());
        // The shell's children are ours once it executes us.
        let run = script(
            account,
            &folder,
            "\"$A\" busy 1000; exec \"$P\" -F 999 -q --stats \"$F/stats.json\" -o \"$F/x.folded\" -- \"$A\" busy 200",
        );
        assert!(run.status.success(), "{}", stderr(&run));
        let (used, own) = (summary_in(&folder).number("cpu_seconds"), summary_in(&folder).number("own_cpu_seconds"));
        // To the kernel's clock of a task a guest runs while its host does not let it.
        let stolen = run::stolen() - stolen_before;
        assert!((0.19..0.6 + stolen).contains(&used), "{account:?}: the command used {used} s, {stolen} s stolen");
        assert!(own < 0.9 + stolen, "{account:?}: we used {own} s, {stolen} s stolen");
    }
}

#[test]
fn command_keeps_its_limit_of_open_files() {
    let folder = account::folder();
    let run = script(Account::Own, &folder, "ulimit -Sn 300; \"$P\" -q -o \"$F/x.svg\" -- bash -c 'ulimit -Sn >&2'");
    assert_eq!(stderr(&run).lines().next(), Some("300"), "{}", stderr(&run));
}

#[test]
fn ignored_signals_stay_ignored() {
    let folder = account::folder();
    let run = script(Account::Own, &folder, "trap '' HUP; \"$P\" -q -o \"$F/x.svg\" -- sh -c 'kill -HUP $$; exit 5'");
    assert_eq!(run.status.code(), Some(5), "{}", stderr(&run));
}

#[test]
fn command_that_is_not_let_run_ends_in_peace() {
    for _ in 0..10 {
        let mut command = profile(Account::Own);
        command.args(["-e", "sched:no_such_event", "--", "true"]);
        let run = command.stdin(Stdio::null()).output().expect("profile can be started");
        assert_eq!(run.status.code(), Some(2));
        assert!(!stderr(&run).contains("abort"), "{}", stderr(&run));
    }
}

#[test]
fn ids_that_are_named_twice_count_once() {
    let mut target = Command::new(programs::c("actor"));
    let mut target = crate::common::run::Target::start_command(target.arg("spin"));
    let pid = target.pid_text();
    for ids in [["-p", &format!("{pid},{pid},{pid}")], ["-t", &format!("{pid},{pid}")]] {
        let folder = account::folder();
        let mut command = profile(Account::Own);
        command.args(ids).args(["-F", "999", "-d", "0.5", "-q", "--stats"]).arg(folder.path().join("stats.json"));
        command.arg("-o").arg(folder.path().join("x.folded"));
        assert!(command.status().expect("profile can be started").success());
        let coverage = summary_in(&folder).number("coverage");
        assert!((0.8..1.2).contains(&coverage), "{ids:?}: coverage {coverage}");
    }
    target.kill();
}

#[test]
fn files_of_others_are_not_written_through() {
    let folder = account::folder();
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").expect("it is ours");
    // Links at the names that part files might have: what is foreseeable can be put there beforehand.
    let run = script(
        Account::Own,
        &folder,
        "ln -s \"$F/victim\" \"$F/.x.svg.$$.part\"; ln -s \"$F/victim\" \"$F/.x.svg.part\"; \
         exec \"$P\" -q -o \"$F/x.svg\" -- true",
    );
    assert!(run.status.success(), "{}", stderr(&run));
    assert_eq!(fs::read_to_string(&victim).expect("it is there"), "precious");
    assert!(!folder.path().join("x.svg").is_symlink());
}

#[test]
fn one_file_is_not_written_twice() {
    let folder = account::folder();
    let file = text(&folder.path().join("x.json"));
    let mut command = profile(Account::Own);
    command.args(["-o", &file, "--stats", &file, "--", "true"]);
    let run = command.stdin(Stdio::null()).output().expect("profile can be started");
    assert_eq!((run.status.code(), folder.path().join("x.json").exists()), (Some(2), false), "{}", stderr(&run));
}

#[test]
fn name_without_a_known_format_is_refused() {
    let folder = account::folder();
    let run = script(Account::Own, &folder, "\"$P\" -o \"$F/x.foo\" -- true; echo $?; ls -A \"$F\"");
    assert_eq!(stdout(&run).trim(), "2", "{}", stderr(&run));
    assert!(stderr(&run).contains("help:"), "{}", stderr(&run));
}
