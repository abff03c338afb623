//! Stacks unwound from copies, frame by frame beside those of elfutils' libdw: programs of several kinds are recorded by perf, and
//! every stack in the file is unwound by both.
//!
//! libdw is a second opinion, not the truth: where the two differ, a rule of `rule` says why, or the test fails.

mod common;
#[path = "unwound/harness.rs"]
mod harness;
#[path = "unwound/programs.rs"]
mod recorded;
#[path = "unwound/tables.rs"]
mod tables;

use std::collections::BTreeMap;
use std::path::Path;

use common::account::have;
use flameprofile::import::{ImportOptions, Input};
use flameprofile::model::{FrameKey, ImageKind, StackEnd, Truncation};
use harness::{Stack, Theirs};
use tables::Row;

/// Stacks by thread and time, as they are unwound here.
fn ours(path: &Path) -> BTreeMap<(u32, u64), (Stack, StackEnd)> {
    let profile =
        flameprofile::import::import(vec![Input::Path(path.to_owned())], &ImportOptions::default(), &mut |_| {});
    let profile = profile.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut stacks = BTreeMap::new();
    for sample in profile.samples.iter() {
        let mut frames = Stack::new();
        let mut stack = sample.stack;
        while stack.0 != 0 {
            let row = profile.stacks[stack.index()];
            stack = row.parent;
            let FrameKey::Code { image, offset } = profile.frames[row.frame.index()].key else { continue };
            let image = &profile.images[image.index()];
            match image.kind {
                ImageKind::Kernel => {}
                ImageKind::Unmapped => frames.push(("-".to_owned(), offset)),
                ImageKind::File | ImageKind::Vdso | ImageKind::Jit(_) | ImageKind::JitDump => {
                    frames.push((profile.strings.get(image.path).to_owned(), offset));
                }
            }
        }
        let tid = profile.threads[sample.thread.index()].tid;
        stacks.insert((tid, sample.time.0), (frames, sample.end));
    }
    stacks
}

/// How two stacks of one sample differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// Ours is the beginning of theirs.
    OursIsShorter,
    /// Theirs is the beginning of ours.
    TheirsIsShorter,
    /// They part at this frame, and each goes on.
    Part(usize),
}

fn difference(ours: &Stack, theirs: &Stack) -> Option<Difference> {
    let same = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
    match (same == ours.len(), same == theirs.len()) {
        (true, true) => None,
        (true, false) => Some(Difference::OursIsShorter),
        (false, true) => Some(Difference::TheirsIsShorter),
        (false, false) => Some(Difference::Part(same)),
    }
}

/// Whose fault a difference is, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// libdw's.
    Theirs(&'static str),
    /// Ours: a limit of the crate framehop, which issue 4 replaces.
    Framehop(&'static str),
}

/// Why two stacks differ; nothing if that is not known. What the tables say about the last frame that both have decides.
fn rule(difference: Difference, ours: &Stack, end: StackEnd, theirs: &Theirs) -> Option<Cause> {
    let common = ours.iter().zip(&theirs.frames).take_while(|(ours, theirs)| ours == theirs).count();
    let Some((path, offset)) = common.checked_sub(1).map(|last| &ours[last]) else {
        // A sample in the middle of an exec: the memory is gone, the registers are still those of before.
        let is_lone = theirs.frames.is_empty() && ours.len() == 1 && ours[0].0 == "-";
        return (is_lone && end == StackEnd::Truncated(Truncation::NotMapped)).then_some(Cause::Theirs(
            "nothing is mapped in the middle of an exec: libdw does not give the registers' frame",
        ));
    };
    // What a signal handler returns to was never called, so that it is looked up where it is, and not a byte before.
    if let (Some((mine, before)), Some((path, at))) = (ours.get(common), theirs.frames.get(common))
        && (mine, before + 1) == (path, *at)
        && tables::row(path, *at).is_signal
    {
        return Some(Cause::Framehop("a signal frame is taken for a call, and is the last"));
    }
    let innermost = tables::row(&ours[0].0, ours[0].1);
    let goes_nowhere = theirs.frames.get(common).is_some_and(|(path, _)| path == "-");
    match (tables::row(path, *offset).row, difference) {
        // A leaf of code without tables: lld's PLT, clone3 behind its system call, _init. Its caller is at the stack pointer.
        (Row::None, Difference::TheirsIsShorter) => Some(Cause::Theirs("no tables for the code: libdw stops")),
        // There libdw tries the frame pointer, which need not be one.
        (Row::None, _) if goes_nowhere => {
            Some(Cause::Theirs("no tables for the code: libdw goes on to where nothing is mapped"))
        }
        // Or finds that of the caller, whose own caller it then takes for ours: one frame is missing.
        (Row::None, Difference::Part(_)) if ours.get(common + 1..) == theirs.frames.get(common..) => {
            Some(Cause::Theirs("no tables for the code: libdw takes the caller's frame pointer, and misses the caller"))
        }
        // At a `ret` the row still says where the frame pointer was saved: below the stack pointer, where the copy has nothing. It is
        // in its register again, which libdw does not take.
        (Row::Ordinary, Difference::TheirsIsShorter) if innermost.restored => {
            Some(Cause::Theirs("at a return libdw wants the frame pointer from below the stack"))
        }
        // _dl_runtime_resolve: the frame is found by rbx, which framehop does not follow.
        (Row::OtherRegister, _) => Some(Cause::Framehop("the frame is found by another register than rsp and rbp")),
        // vfork: framehop takes a return address from the stack or nowhere, and says that the stack is at its root.
        (Row::ReturnInRegister, _) => Some(Cause::Framehop("the return address is in a register")),
        _ => None,
    }
}

/// Compares all stacks of a recording; prints the figures, and fails at what no rule explains.
///
/// Returns how many stacks there are, and in how many of them libdw is right and we are not.
fn compare(name: &str, path: &Path) -> (usize, usize) {
    let theirs = harness::unwind(path);
    let ours = ours(path);
    let (mut stacks, mut equal, mut missing) = (0, 0, 0);
    let mut explained: BTreeMap<Cause, usize> = BTreeMap::new();
    let mut unexplained: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for theirs in &theirs {
        let Some((ours, end)) = ours.get(&(theirs.tid, theirs.time)) else {
            missing += 1;
            continue;
        };
        stacks += 1;
        let Some(difference) = difference(ours, &theirs.frames) else {
            equal += 1;
            continue;
        };
        if let Some(why) = rule(difference, ours, *end, theirs) {
            *explained.entry(why).or_default() += 1;
            continue;
        }
        let common = ours.iter().zip(&theirs.frames).take_while(|(ours, theirs)| ours == theirs).count();
        let last = common.checked_sub(1).map(|last| &ours[last]);
        let kind = match difference {
            Difference::Part(_) => "they part".to_owned(),
            other => format!("{other:?}"),
        };
        let key = format!("{kind} behind {last:x?}, ours ends {end:?}, theirs {}", theirs.end);
        let row = unexplained.entry(key).or_insert_with(|| (0, show(ours, theirs, common)));
        row.0 += 1;
    }
    println!(
        "{name}: {stacks} stacks, {equal} equal ({:.3} %), explained {explained:?}",
        equal as f64 * 100.0 / stacks.max(1) as f64
    );
    for (what, (count, example)) in &unexplained {
        println!("  {count} x {what}\n{example}");
    }
    assert_eq!(missing, 0, "{name}: samples that were not imported");
    assert!(unexplained.is_empty(), "{name}: differences that nothing explains");
    let wrong = explained.iter().filter(|(cause, _)| !matches!(cause, Cause::Theirs(_))).map(|(_, count)| count).sum();
    (stacks, wrong)
}

/// Two stacks side by side around the frame at which they part.
fn show(ours: &Stack, theirs: &Theirs, common: usize) -> String {
    let rows = common.saturating_sub(3)..ours.len().max(theirs.frames.len()).min(common + 5);
    let cell =
        |stack: &Stack, row: usize| stack.get(row).map_or("".into(), |(path, offset)| format!("{path}+{offset:x}"));
    rows.map(|row| format!("      {row:3} {:60} {}\n", cell(ours, row), cell(&theirs.frames, row))).collect()
}

/// Records a program with small and large copies, and compares; of 1000 stacks at most so many may be wrong.
fn check(test: &str, program: fn() -> Option<recorded::Program>, most_wrong: f64) {
    need!(have("perf"), test, "no perf");
    let Some(harness) = harness::compiled() else {
        return common::skip::skip(test, "no libdw-dev (elfutils/libdwfl.h)");
    };
    assert!(harness.exists());
    let Some(program) = program() else { return common::skip::skip(test, "the program is not installed") };
    let (mut stacks, mut wrong) = (0, 0);
    for size in [8192, 65528] {
        let recording = program.record(size);
        let (more_stacks, more_wrong) = compare(&format!("{}, {size} bytes", program.name), &recording.path);
        stacks += more_stacks;
        wrong += more_wrong;
    }
    assert!(stacks >= program.at_least, "{}: only {stacks} stacks", program.name);
    assert!(
        wrong as f64 <= most_wrong * stacks as f64 / 1000.0,
        "{}: {wrong} of {stacks} stacks are wrong",
        program.name
    );
}

/// What is promised.
const PROMISED: f64 = 1.0;
/// Where programs start all the time: the loader's `_dl_runtime_resolve` and vfork are framehop's limits.
const STARTING: f64 = 10.0;

#[test]
fn c_threads() {
    check("c_threads", recorded::c_threads, PROMISED);
}

#[test]
fn c_in_libc() {
    check("c_in_libc", recorded::c_in_libc, PROMISED);
}

#[test]
fn rust() {
    check("rust", recorded::rust, PROMISED);
}

/// framehop goes through no signal frame: what is wrong here is all of that kind, up to the half that is in a handler.
const IN_HANDLERS: f64 = 700.0;

#[test]
fn handlers_and_libraries() {
    check("handlers_and_libraries", recorded::handlers_and_libraries, IN_HANDLERS);
}

#[test]
fn shell_with_children() {
    check("shell_with_children", recorded::shell_with_children, STARTING);
}

#[test]
fn compression() {
    check("compression", recorded::compression, STARTING);
}

#[test]
fn compiler() {
    check("compiler", recorded::compiler, STARTING);
}
