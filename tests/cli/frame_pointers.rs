//! What the kernel finds by frame pointers, and the processor by itself, and what is made of it.

use crate::common::account::Account;
use crate::common::programs;
use crate::common::run::{finish, profile, record, stderr};

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

#[test]
fn what_is_behind_a_copy_is_taken_from_a_chain_that_leads_to_a_root() {
    // Nothing of its stack is in libc, whose functions keep no frame pointer: main, a function that clone(2) begins with.
    let program = programs::c_with("cloned", &KEPT);
    let recording = record(Account::Own, &["-F", "199", "--stack-size", "1024"], &program, &["1", "60"]);
    let deep = recording.folded.weight(|row| row.has("at_the_bottom"));
    let whole = recording.folded.weight(|row| {
        row.has("at_the_bottom")
            && !row.mentions("[truncated")
            && row.frames.iter().filter(|frame| *frame == "recurses").count() == 60
            && row.has("begins")
    });
    assert!(deep > 100 && whole as f64 >= 0.99 * deep as f64, "{whole} of {deep}");
    let by_chain = recording.summary.json()["frames"]["call chain"].as_u64().unwrap_or(0);
    // Half of the frames are behind the copy.
    assert!(by_chain > 20 * whole, "{}", recording.summary.json());
}

#[test]
fn calls_of_a_processor_that_records_none_are_refused_with_a_way_out() {
    let mut command = profile(Account::Own);
    command.args(["--unwind", "lbr", "-e", "cpu-clock", "-f", "folded", "--", "true"]);
    let output = finish(command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn());
    // No clock records branches, on any processor.
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("LBR") && stderr(&output).contains("--unwind lbr"), "{}", stderr(&output));
}
