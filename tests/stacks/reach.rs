//! Where stacks end: at the program's entry, or somewhere else, and whether it is said.
//!
//! Three kinds of samples are counted apart, as no stack of theirs can reach the program's entry: those of the dynamic loader before
//! the program begins (their root is the loader's own entry), those of a task that has no user part at that moment (in the
//! middle of an exec, or at its end), and the kernel's own threads.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use super::peers::Recorded;
use super::rows::{Goal, Row};
use super::seen::{Claim, Frame, Place};

/// What is a program's or a thread's first function, and called by none.
const ROOTS: &[&str] = &[
    "_start",
    "__start",
    "_start_c",
    "clone",
    "clone3",
    "__clone",
    "__clone3",
    "__clone_internal",
    "runtime.goexit",
    "runtime.goexit.abi0",
    "runtime.rt0_go",
    "runtime.rt0_go.abi0",
    "runtime.mstart",
    "runtime.mstart.abi0",
    "_rt0_amd64_linux",
];

/// Functions whose callers are nothing but the way to a root.
const ENTRIES: &[&str] = &[
    "main",
    "__libc_start_main",
    "__libc_start_main_impl",
    "__libc_start_call_main",
    "libc_start_main_stage2",
    "start_thread",
    "start",
    "runtime.main",
];

/// Kernel functions in which a task has no user part: before its first instruction, and at its end.
const WITHOUT_USER: &[&str] = &["ret_from_fork", "do_exit", "exit_mm", "do_group_exit", "schedule_tail"];

/// Kernel functions of an exec: the old memory is gone, or goes, and the registers are still those of before.
const IN_EXEC: &[&str] = &["bprm_execve", "begin_new_exec", "load_elf_binary", "exec_mmap", "do_execveat_common"];

/// How the stacks of a recording end.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// Samples with a user part, after the program has begun.
    pub samples: usize,
    /// Samples of the dynamic loader, before.
    pub startup: usize,
    /// Samples without a user part.
    pub no_user: usize,
    /// Stacks that reach the entry.
    pub reached: usize,
    /// Stacks that are said to be whole.
    pub complete: usize,
    /// Stacks that are said to be cut.
    pub marked: usize,
    /// Stacks that are said to be whole, and do not end at a root.
    pub unmarked: usize,
    /// Stacks with frames outside of what is mapped, other than the innermost.
    pub bogus: usize,
    /// Of samples in the row's leaves: all, and those with the right caller.
    pub leaves: (usize, usize),
    /// Stacks with a name that cannot be there.
    pub misnamed: usize,
    /// What does not reach the entry, or says what is not so, with how often.
    pub examples: BTreeMap<String, usize>,
}

impl Ends {
    pub fn percent(&self, count: usize) -> f64 {
        count as f64 * 100.0 / self.samples.max(1) as f64
    }

    pub fn reached_percent(&self) -> f64 {
        self.percent(self.reached)
    }

    /// The share of leaves with the right caller; nothing if the row has none.
    pub fn leaves_percent(&self) -> Option<f64> {
        (self.leaves.0 > 0).then(|| self.leaves.1 as f64 * 100.0 / self.leaves.0 as f64)
    }

    /// Whether the row's promise is kept by at least so many samples; `best` is the share that perf reaches in its better mode.
    pub fn holds(&self, row: &Row, best: f64, least: usize) -> bool {
        let goal = match row.goal {
            Goal::Native => 99.0,
            Goal::AsPerf => best - 1.0,
            Goal::Marked => 0.0,
        };
        let leaves = self.leaves_percent().is_none_or(|share| share >= 99.0);
        self.samples >= least
            && self.reached_percent() >= goal
            && leaves
            && self.unmarked == 0
            && self.bogus == 0
            && self.misnamed == 0
    }

    /// The most frequent examples.
    pub fn worst(&self, most: usize) -> String {
        let mut examples: Vec<_> = self.examples.iter().collect();
        examples.sort_by_key(|(what, count)| (std::cmp::Reverse(**count), (*what).clone()));
        examples.iter().take(most).map(|(what, count)| format!("    {count:5} x {what}\n")).collect()
    }
}

/// Counts how the stacks of a recording end.
pub fn ends(recorded: &Recorded, row: &Row) -> Ends {
    let mut ends = Ends::default();
    let mut entries = Entries::default();
    for sample in &recorded.seen.samples {
        let all = recorded.seen.stack(sample);
        let user: Vec<&Frame> = all.iter().copied().filter(|frame| frame.place != Place::Kernel).collect();
        let is_within = |names: &[&str]| all.iter().any(|frame| names.iter().any(|name| frame.name().contains(name)));
        let has_no_user = is_within(IN_EXEC) || user.is_empty() && is_within(WITHOUT_USER);
        let is_loader = !user.is_empty() && user.iter().all(|frame| frame.file().starts_with("ld-linux"));
        let is_root = user.last().is_some_and(|frame| is_root(row, frame, &user, &mut entries));
        let is_unmarked = sample.claim == Claim::Complete && !is_root;
        let mut note = |what: &str| {
            let why = match sample.claim {
                Claim::Complete => "said to be whole",
                Claim::Marked(why) => &recorded.seen.reasons[why],
                Claim::Silent => "unsaid",
            };
            *ends.examples.entry(format!("{what} ({why}): {}", show(&user))).or_default() += 1;
        };
        if is_unmarked && !user.is_empty() {
            note("not a root");
            ends.unmarked += 1;
        }
        if has_no_user {
            ends.no_user += 1;
            continue;
        }
        if is_loader {
            ends.startup += 1;
            continue;
        }
        ends.samples += 1;
        match sample.claim {
            Claim::Complete => ends.complete += 1,
            Claim::Marked(_) => ends.marked += 1,
            Claim::Silent => {}
        }
        let is_entry =
            |frame: &&Frame| frame.names.iter().any(|name| row.is_entry(name) || ENTRIES.contains(&name.as_str()));
        if is_root || user.iter().any(is_entry) {
            ends.reached += 1;
        } else if !is_unmarked {
            note("not reached");
        }
        if user.iter().skip(1).any(|frame| frame.place == Place::Unmapped) {
            note("bogus frame");
            ends.bogus += 1;
        }
        if let Some((leaves, callers)) = row.leaves
            && let Some(leaf) = user.first()
            && leaves.contains(&leaf.name())
        {
            ends.leaves.0 += 1;
            if user.get(1).is_some_and(|caller| callers.contains(&caller.name())) {
                ends.leaves.1 += 1;
            } else {
                note("leaf without its caller");
            }
        }
        if row.never_together.iter().any(|pair| pair.iter().all(|name| user.iter().any(|frame| frame.name() == *name)))
        {
            note("misnamed");
            ends.misnamed += 1;
        }
    }
    ends
}

/// Whether a stack's outermost frame is one that nobody has called.
fn is_root(row: &Row, last: &Frame, user: &[&Frame], entries: &mut Entries) -> bool {
    // A thread's first function is libc's `clone3`, which has no name in a libc without symbols: then it and `start_thread` stand
    // outside of the thread's own functions.
    let is_libc = |frame: &&&Frame| frame.file().starts_with("libc.so") || frame.file().starts_with("ld-musl");
    let in_libc = user.iter().rev().take_while(is_libc).count();
    let is_thread = in_libc >= 1
        && in_libc < user.len()
        && user.iter().rev().nth(in_libc).is_some_and(|frame| row.is_thread(frame.name()));
    is_thread
        || last.names.iter().any(|name| ROOTS.contains(&name.as_str()) || row.roots.contains(&name.as_str()))
        || entries.is_entry(last)
}

/// Where ELF files begin, as offsets in the file.
#[derive(Debug, Default)]
struct Entries {
    known: HashMap<String, Option<u64>>,
}

impl Entries {
    /// Whether a frame is in the code with which its file begins: `_start`, some instructions of assembly.
    fn is_entry(&mut self, frame: &Frame) -> bool {
        /// The loader's is the longest.
        const LONGEST: u64 = 0x80;
        let Some(offset) = frame.offset else { return false };
        if !self.known.contains_key(&frame.image) {
            self.known.insert(frame.image.clone(), entry_of(&frame.image));
        }
        self.known[&frame.image].is_some_and(|entry| (entry..entry + LONGEST).contains(&offset))
    }
}

/// `e_entry` as an offset in the file; ELF-64 and ELF-32 Object File Format, "ELF header" and "Program header".
fn entry_of(path: &str) -> Option<u64> {
    let bytes = fs::read(path).ok()?;
    let is_64 = match bytes.get(..5)? {
        [0x7f, b'E', b'L', b'F', class] => *class == 2,
        _ => return None,
    };
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = bytes.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let word = if is_64 { 8 } else { 4 };
    let entry = number(24, word)?;
    let headers = number(24 + word, word)? as usize;
    let (size_at, count_at) = if is_64 { (54, 56) } else { (42, 44) };
    let (size, count) = (number(size_at, 2)? as usize, number(count_at, 2)? as usize);
    (0..count).find_map(|row| {
        let at = headers + row * size;
        let (offset, address, length) = if is_64 { (at + 8, at + 16, at + 32) } else { (at + 4, at + 8, at + 16) };
        let (offset, address, length) = (number(offset, word)?, number(address, word)?, number(length, word)?);
        let is_loaded = number(at, 4)? == 1 && (address..address + length).contains(&entry);
        is_loaded.then_some(entry - address + offset)
    })
}

/// A stack in a line, innermost first.
fn show(stack: &[&Frame]) -> String {
    let names: Vec<String> = stack
        .iter()
        .map(|frame| match (frame.name(), frame.place) {
            (_, Place::Unmapped) => "UNMAPPED".to_owned(),
            ("[unknown]", _) if std::ptr::eq(*frame, stack[stack.len() - 1]) => {
                format!("[{}+{:x}]", frame.file(), frame.offset.unwrap_or(0))
            }
            ("[unknown]", _) => format!("[{}]", frame.file()),
            (name, _) => name.chars().take(40).collect(),
        })
        .collect();
    match names.len() {
        0 => "(nothing)".to_owned(),
        1..=8 => names.join(" < "),
        many => format!("{} < .. {} .. < {}", names[..4].join(" < "), many - 8, names[many - 4..].join(" < ")),
    }
}

#[test]
fn entries_are_found() {
    let program = crate::common::programs::c("nested");
    let path = program.to_str().expect("test paths are UTF-8").to_owned();
    let entry = entry_of(&path).expect("it is an ELF file");
    let frame = |offset| Frame {
        names: vec!["[unknown]".into()],
        image: path.clone(),
        place: Place::User,
        offset: Some(offset),
    };
    let mut entries = Entries::default();
    assert!(entries.is_entry(&frame(entry)) && entries.is_entry(&frame(entry + 0x21)));
    assert!(!entries.is_entry(&frame(entry - 1)) && !entries.is_entry(&frame(entry + 0x80)));
    assert_eq!(entry_of("/dev/null"), None);
}
