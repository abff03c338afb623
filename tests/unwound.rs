//! Stacks unwound from copies, frame by frame beside those of elfutils' libdw and of the crate framehop: programs of several kinds
//! are recorded by perf, and every stack in the file is unwound by all three.
//!
//! They are second opinions, not the truth: where two differ, a rule says why by what the file's tables say, or the test fails.
#![cfg(target_arch = "x86_64")]

#[path = "unwound/by_framehop.rs"]
mod by_framehop;
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
enum Fault {
    Theirs(&'static str),
    Ours(&'static str),
}

/// Why two stacks differ; nothing if that is not known.
type Rule = fn(&Parted<'_>) -> Option<Fault>;

/// Two stacks that differ.
struct Parted<'p> {
    difference: Difference,
    ours: &'p Stack,
    end: StackEnd,
    theirs: &'p Theirs,
    /// How many frames both have.
    common: usize,
}

impl Parted<'_> {
    /// A sample in the middle of an exec: the memory is gone, the registers are still those of before.
    fn is_in_exec(&self) -> bool {
        self.common == 0
            && self.ours.len() == 1
            && self.ours[0].0 == "-"
            && self.end == StackEnd::Truncated(Truncation::NotMapped)
    }

    /// What the tables say about the last frame that both have.
    fn said(&self) -> Option<tables::Said> {
        let (path, offset) = &self.ours[self.common.checked_sub(1)?];
        Some(tables::row(path, *offset))
    }
}

/// libdw's faults.
fn of_libdw(parted: &Parted<'_>) -> Option<Fault> {
    let Parted { difference, ours, theirs, common, .. } = *parted;
    if parted.is_in_exec() && theirs.frames.is_empty() {
        return Some(Fault::Theirs("nothing is mapped in the middle of an exec: the registers' frame is not given"));
    }
    let goes_nowhere = theirs.frames.get(common).is_some_and(|(path, _)| path == "-");
    match (parted.said()?.row, difference) {
        // A leaf of code without tables: lld's PLT, clone3 behind its system call, _init. Its caller is at the stack pointer.
        (Row::None, Difference::TheirsIsShorter) => Some(Fault::Theirs("no tables for the code: it stops")),
        // There it tries the frame pointer, which need not be one.
        (Row::None, _) if goes_nowhere => {
            Some(Fault::Theirs("no tables for the code: it goes on to where nothing is mapped"))
        }
        // Or finds that of the caller, whose own caller it then takes for ours: one frame is missing.
        (Row::None, Difference::Part(_)) if ours.get(common + 1..) == theirs.frames.get(common..) => {
            Some(Fault::Theirs("no tables for the code: it takes the caller's frame pointer, and misses the caller"))
        }
        // At a `ret` the row still says where the frame pointer was saved: below the stack pointer, where the copy has nothing. It is
        // in its register again, which it does not take.
        (Row::Ordinary, Difference::TheirsIsShorter) if tables::row(&ours[0].0, ours[0].1).restored => {
            Some(Fault::Theirs("at a return it wants the frame pointer from below the stack"))
        }
        _ => None,
    }
}

/// framehop's faults: it follows rip, rsp and rbp alone. Where it cannot follow a row it tries rbp as a frame pointer.
fn of_framehop(parted: &Parted<'_>) -> Option<Fault> {
    let Parted { difference, ours, end, theirs, common } = *parted;
    let goes_nowhere = theirs.frames.get(common).is_some_and(|(path, _)| path == "-");
    // What a signal handler returns to was never called, so that it is looked up where it is, and not a byte before.
    if let (Some((mine, at)), Some((path, before))) = (ours.get(common), theirs.frames.get(common))
        && (mine, *at) == (path, before + 1)
        && tables::row(mine, *at).is_signal
    {
        return Some(Fault::Theirs("a signal frame is taken for a call, and is the last"));
    }
    match (parted.said()?.row, difference) {
        (Row::OtherRegister, _) => Some(Fault::Theirs("the frame is found by another register than rsp and rbp")),
        (Row::ReturnInRegister, _) => Some(Fault::Theirs("the return address is in a register")),
        // What the kernel has put on the stack: the number of arguments.
        (Row::None, Difference::OursIsShorter) if end == StackEnd::Root && goes_nowhere => {
            Some(Fault::Theirs("the entry, which nothing calls: it goes on to where nothing is mapped"))
        }
        // It reads instructions, too.
        (Row::None, Difference::OursIsShorter) if end == StackEnd::Truncated(Truncation::NoUnwindInfo) => {
            Some(Fault::Ours("no tables for the code: the stack is cut, and marked"))
        }
        (Row::None, Difference::TheirsIsShorter | Difference::Part(_)) => {
            Some(Fault::Theirs("no tables for the code: the frame pointer is taken, which need not be one"))
        }
        (Row::Ordinary, Difference::TheirsIsShorter) if tables::row(&ours[0].0, ours[0].1).restored => {
            Some(Fault::Theirs("at a return it wants the frame pointer from below the stack"))
        }
        _ => None,
    }
}

/// Compares all stacks of a recording; prints the figures, and fails at what no rule explains.
///
/// Returns how many stacks there are, and in how many of them the fault is ours.
fn compare(
    name: &str,
    theirs: &[Theirs],
    ours: &BTreeMap<(u32, u64), (Stack, StackEnd)>,
    rule: Rule,
) -> (usize, usize) {
    let (mut stacks, mut equal, mut missing) = (0, 0, 0);
    let mut explained: BTreeMap<Fault, usize> = BTreeMap::new();
    let mut unexplained: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for theirs in theirs {
        let Some((ours, end)) = ours.get(&(theirs.tid, theirs.time)) else {
            missing += 1;
            continue;
        };
        stacks += 1;
        let Some(difference) = difference(ours, &theirs.frames) else {
            equal += 1;
            continue;
        };
        let common = ours.iter().zip(&theirs.frames).take_while(|(ours, theirs)| ours == theirs).count();
        if let Some(why) = rule(&Parted { difference, ours, end: *end, theirs, common }) {
            *explained.entry(why).or_default() += 1;
            continue;
        }
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
    let wrong = explained.iter().filter(|(fault, _)| matches!(fault, Fault::Ours(_))).map(|(_, count)| count).sum();
    (stacks, wrong)
}

/// Two stacks side by side around the frame at which they part.
fn show(ours: &Stack, theirs: &Theirs, common: usize) -> String {
    let rows = common.saturating_sub(3)..ours.len().max(theirs.frames.len()).min(common + 5);
    let cell =
        |stack: &Stack, row: usize| stack.get(row).map_or("".into(), |(path, offset)| format!("{path}+{offset:x}"));
    rows.map(|row| format!("      {row:3} {:60} {}\n", cell(ours, row), cell(&theirs.frames, row))).collect()
}

/// Records a program with small and large copies, and compares.
fn check(test: &str, program: fn() -> Option<recorded::Program>) {
    /// Of a thousand stacks; one is nobody's share.
    const MOST_WRONG: f64 = 1.0;
    need!(have("perf"), test, "no perf");
    let Some(harness) = harness::compiled() else {
        return common::skip::skip(test, "no libdw-dev (elfutils/libdwfl.h)");
    };
    assert!(harness.exists());
    let Some(program) = program() else { return common::skip::skip(test, "the program is not installed") };
    let (mut stacks, mut wrong) = (0, [0; 2]);
    for size in [8192, 65528] {
        let path = &program.record(size).path;
        let ours = ours(path);
        let opinions: [(&str, Vec<Theirs>, Rule); 2] =
            [("libdw", harness::unwind(path), of_libdw), ("framehop", by_framehop::unwind(path), of_framehop)];
        for ((other, theirs, rule), wrong) in opinions.iter().zip(&mut wrong) {
            let name = format!("{}, {size} bytes, {other}", program.name);
            let (compared, more) = compare(&name, theirs, &ours, *rule);
            assert!(compared * 20 >= ours.len() * 19 || compared >= program.at_least, "{name}: few of {}", ours.len());
            *wrong += more;
        }
        stacks += ours.len();
    }
    assert!(stacks >= program.at_least, "{}: only {stacks} stacks", program.name);
    let most = (MOST_WRONG * stacks as f64 / 1000.0).max(1.0);
    assert!(wrong.iter().all(|wrong| *wrong as f64 <= most), "{}: {wrong:?} of {stacks} are wrong", program.name);
}

#[test]
fn c_threads() {
    check("c_threads", recorded::c_threads);
}

#[test]
fn c_in_libc() {
    check("c_in_libc", recorded::c_in_libc);
}

#[test]
fn rust() {
    check("rust", recorded::rust);
}

#[test]
fn handlers_and_libraries() {
    check("handlers_and_libraries", recorded::handlers_and_libraries);
}

#[test]
fn shell_with_children() {
    check("shell_with_children", recorded::shell_with_children);
}

#[test]
fn compression() {
    check("compression", recorded::compression);
}

#[test]
fn compiler() {
    check("compiler", recorded::compiler);
}
