//! Stacks of 32-bit programs under a 64-bit kernel: `testdata/programs/narrow.c`, recorded live, and by perf.

mod common;

use std::process::{Command, Stdio};

use common::account::{self, Account, have};
use common::folded::{Folded, Row};
use common::run::{finish, profile, record, stderr};
use common::{programs, skip, summary};
use std::path::{Path, PathBuf};

/// The program, unless this machine cannot compile for 32 bits.
fn compiled(test: &str, flags: &[&str]) -> Option<PathBuf> {
    let folder = account::folder();
    let probe = folder.path().join("probe.c");
    std::fs::write(&probe, "#include <stdlib.h>\nint main(void) { return 0; }\n").expect("/tmp is writable");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let done = Command::new(compiler).args(["-m32", "-o"]).arg(folder.path().join("probe")).arg(&probe).output();
    if !done.is_ok_and(|done| done.status.success()) {
        skip::skip(test, "no gcc-multilib");
        return None;
    }
    Some(programs::c_with("narrow", &[&["-m32", "-fomit-frame-pointer"], flags].concat()))
}

/// Whether a stack that passes through `work` is as the source has it.
fn is_true(row: &Row) -> bool {
    let names: Vec<&str> = row.frames[1..].iter().map(|frame| frame.split("_[").next().unwrap_or(frame)).collect();
    let Some(at) = names.iter().position(|name| *name == "work") else { return true };
    let by = at.checked_sub(1).map(|before| names[before]);
    let below = &names[at + 1..];
    let is_handled = |name: &&str| ["on_plain", "on_info"].contains(name);
    let from = match below.iter().position(is_handled) {
        // raise, in libc, and the trampoline.
        Some(handler) => &below[handler + 1..],
        None => below,
    };
    let knows = |name: &&str| ["in_handler", "burn", "in_libc", "in_calls"].contains(name);
    by.is_some_and(|by| by == "main" || by == "thread")
        && (!names.contains(&"in_handler") || from.first() == Some(&"in_handler"))
        && below.iter().filter(|name| knows(name)).count() <= 2
}

#[test]
fn stacks_are_whole_live() {
    for flags in [&[][..], &["-static"]] {
        let Some(program) = compiled("stacks_are_whole_live", flags) else { return };
        let recording = record(Account::Own, &["-F", "997"], &program, &["1"]);
        let (folded, summary) = (&recording.folded, &recording.summary);
        let complete = summary.number("complete");
        println!("{flags:?}: {} samples, {complete} complete", summary.count("samples"));
        assert!(summary.count("samples") > 300, "{}", summary.json());
        assert!(complete >= 0.99, "{}\n{}", summary.json(), folded.counterexamples(|row| !row.mentions("[truncated")));
        for name in ["in_handler", "in_calls", "in_libc", "thread", "main", "on_plain", "on_info"] {
            assert!(folded.total_of(name) > 0, "{name} is nowhere");
        }
        assert_eq!(folded.weight(|row| !is_true(row)), 0, "{}", folded.counterexamples(is_true));
        let handlers = folded.weight(|row| row.has("in_handler"));
        let whole = folded.weight(|row| row.has("in_handler") && row.has("work"));
        assert!(whole as f64 >= 0.99 * handlers as f64, "{whole} of {handlers} handlers");
    }
}

/// A recording holds no vdso: what goes through it is cut there, and says so.
#[test]
fn stacks_of_a_recording_are_true_as_far_as_they_go() {
    const TEST: &str = "stacks_of_a_recording_are_true_as_far_as_they_go";
    need!(have("perf"), TEST, "no perf");
    let Some(program) = compiled(TEST, &[]) else { return };
    let folder = account::folder();
    let data = folder.path().join("perf.data");
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-B", "-N", "-F", "997", "-e", "cpu-clock", "--call-graph", "dwarf,8192", "-o"]);
    perf.arg(&data).arg("--").arg(&program).arg("1").stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = finish(perf.spawn());
    assert!(done.status.success(), "{}", stderr(&done));
    let (folded, summary) = import(&data);
    println!("{} samples, {}", summary.count("samples"), summary.json()["truncated"]);
    assert!(summary.count("samples") > 300);
    let outside = |row: &&Row| !row.mentions("[vdso");
    let all: u64 = folded.rows.iter().filter(outside).map(|row| row.weight).sum();
    let whole: u64 =
        folded.rows.iter().filter(outside).filter(|row| !row.mentions("[truncated")).map(|row| row.weight).sum();
    assert!(all > 100 && whole as f64 >= 0.97 * all as f64, "{whole} of {all} that are not in the vdso");
    let is_marked = |row: &Row| !row.mentions("[vdso") || row.frames[1] == "[truncated: no unwind info]";
    assert_eq!(folded.weight(|row| !is_marked(row)), 0, "{}", folded.counterexamples(is_marked));
    assert_eq!(folded.weight(|row| !is_true(row)), 0, "{}", folded.counterexamples(is_true));
}

fn import(data: &Path) -> (Folded, summary::Summary) {
    let folder = account::folder();
    let (stacks, stats) = (folder.path().join("out.folded"), folder.path().join("stats.json"));
    let mut command = profile(Account::Own);
    command.arg("import").arg(data).args(["-f", "folded", "--annotate", "-o"]).arg(&stacks).arg("--stats").arg(&stats);
    let output = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, stderr(&output));
    let read = |path: &Path| std::fs::read_to_string(path).expect("it was written");
    (Folded::parse(&read(&stacks)), summary::Summary::parse(&read(&stats)))
}
