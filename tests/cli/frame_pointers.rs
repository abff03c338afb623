//! What the kernel finds by frame pointers, and the processor by itself, and what is made of it.

use crate::common::account::{self, Account};
use crate::common::programs;
use crate::common::run::{Recording, finish, profile, record, stderr};
use crate::need;

const KEPT: [&str; 2] = ["-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"];

#[test]
fn the_caller_of_a_leaf_without_a_frame_is_there() {
    // A leaf sets up no frame as it needs none, and the kernel's chain passes over its caller.
    let program = programs::c_with("busy", &["-fno-omit-frame-pointer", "-momit-leaf-frame-pointer"]);
    let recording = record(Account::Own, &["--unwind", "fp", "-F", "997"], &program, &["1"]);
    let in_leaf = recording.folded.weight(|row| row.has("leaf_40"));
    let right =
        recording.folded.weight(|row| row.frames.windows(3).any(|frames| frames == ["burn", "dispatch", "leaf_40"]));
    assert!(in_leaf > 500 && right as f64 >= 0.995 * in_leaf as f64, "{right} of {in_leaf}");
    // And nothing is there twice.
    let twice = recording.folded.weight(|row| row.frames.iter().filter(|frame| *frame == "dispatch").count() > 1);
    assert_eq!(twice, 0);
}

#[test]
fn a_leaf_with_a_frame_has_its_caller_once() {
    let program = programs::c_with("busy", &KEPT);
    let recording = record(Account::Own, &["--unwind", "fp", "-F", "997"], &program, &["1"]);
    let in_leaf = recording.folded.weight(|row| row.has("leaf_40"));
    let right = recording.folded.weight(|row| {
        row.frames.windows(3).any(|frames| frames == ["burn", "dispatch", "leaf_40"])
            && row.frames.iter().filter(|frame| *frame == "dispatch").count() == 1
    });
    assert!(in_leaf > 500 && right as f64 >= 0.995 * in_leaf as f64, "{right} of {in_leaf}");
}

/// Recursion 60 deep that is larger than its copy: the share of stacks that reach their beginning, and the recording.
fn cloned(account: Account, arguments: &[&str]) -> (f64, Recording) {
    // Nothing of its stack is in libc, whose functions keep no frame pointer, but a function that clone(2) begins with.
    let program = programs::c_with("cloned", &KEPT);
    let recording = record(account, &["-F", "199", "--stack-size", "1024"], &program, arguments);
    let deep = recording.folded.weight(|row| row.has("at_the_bottom"));
    let whole = recording.folded.weight(|row| {
        let recursions = row.frames.iter().filter(|frame| *frame == "recurses").count();
        row.has("at_the_bottom") && recursions == 60 && row.has("begins")
    });
    assert!(deep > 100, "{deep}");
    (whole as f64 / deep as f64, recording)
}

#[test]
fn what_is_behind_a_copy_is_read_and_proven() {
    let (whole, recording) = cloned(Account::Own, &["1", "60"]);
    assert!(whole >= 0.9 && recording.summary.number("complete") >= 0.9, "{whole} {}", recording.summary.json());
}

#[test]
fn what_may_not_be_read_is_taken_from_the_chain_and_marked() {
    need!(
        account::is_root(),
        "what_may_not_be_read_is_taken_from_the_chain_and_marked",
        "needs root: to be somebody else"
    );
    let (whole, recording) = cloned(Account::Plain, &["1", "60", "hidden"]);
    let summary = recording.summary.json();
    assert!(whole >= 0.99, "{whole} {summary}");
    // A chain may have skipped callers: it is no proof.
    assert_eq!(recording.summary.count("completed_late"), 0, "{summary}");
    assert!(summary["truncated"]["frame pointers"].as_f64().unwrap_or(0.0) > 0.9, "{summary}");
    assert!(summary["frames"]["call chain"].as_u64().unwrap_or(0) > 20 * 100, "{summary}");
    assert!(summary["notes"].to_string().contains("ptrace_scope"), "{summary}");
}

#[test]
fn calls_of_a_processor_that_records_none_are_refused_with_a_way_out() {
    let mut command = profile(Account::Own);
    command.args(["--unwind", "lbr", "-e", "cpu-clock", "-f", "folded", "--annotate", "--", "true"]);
    let output = finish(command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn());
    // No clock records branches, on any processor.
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("LBR") && stderr(&output).contains("--unwind lbr"), "{}", stderr(&output));
}
