//! Where stacks end: at the program's entry, or somewhere else, and whether it is said.
//!
//! Three kinds of samples are counted apart, as no stack of theirs can reach the program's entry: those of the dynamic loader before
//! the program begins (their root is the loader's own entry), those of a task that has no user part at that moment (in the
//! middle of an exec, or at its end), and the kernel's own threads.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::Range;
use std::process::Command;

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
    /// Stacks with a call that the program does not make, a name that cannot be there, or another depth than the program's.
    pub wrong: usize,
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
            // Two runs: both shares are counted.
            Goal::AsPerf => {
                let share = best / 100.0;
                best - 1.0_f64.max(330.0 * (2.0 * share * (1.0 - share) / self.samples.max(1) as f64).sqrt())
            }
            Goal::Marked => 0.0,
        };
        let leaves = self.leaves_percent().is_none_or(|share| share >= 99.0);
        self.samples >= least
            && self.reached_percent() >= goal
            && leaves
            // Code that begins or ends a thread, of which the judge does not know all, is a sample in some hundreds.
            && self.unmarked <= self.samples / 500
            && self.bogus == 0
            && self.wrong == 0
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
    let mut entries = Entries::of(row);
    for sample in &recorded.seen.samples {
        let all = recorded.seen.stack(sample);
        let user: Vec<&Frame> = all.iter().copied().filter(|frame| frame.place != Place::Kernel).collect();
        let is_within = |names: &[&str]| all.iter().any(|frame| names.iter().any(|name| frame.name().contains(name)));
        let has_no_user = is_within(IN_EXEC) || user.is_empty() && is_within(WITHOUT_USER);
        let is_loader = !user.is_empty() && user.iter().all(|frame| frame.file().starts_with("ld-linux"));
        let is_root = user.last().is_some_and(|frame| is_root(row, frame, &mut entries));
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
        if let Some(what) = wrong(row, &user, is_root) {
            note(&what);
            ends.wrong += 1;
        }
    }
    ends
}

/// What the program's source says that cannot be.
fn wrong(row: &Row, user: &[&Frame], is_whole: bool) -> Option<String> {
    for pair in user.windows(2) {
        let [called, caller] = [pair[0].name(), pair[1].name()];
        let callers = row.calls.iter().find(|(name, _)| *name == called).map(|(_, callers)| *callers);
        if callers.is_some_and(|callers| !callers.contains(&caller)) {
            return Some(format!("{called} called by {caller}"));
        }
    }
    let has = |name: &&str| user.iter().any(|frame| frame.name() == *name);
    if let Some([a, b]) = row.never_together.iter().find(|pair| pair.iter().all(has)) {
        return Some(format!("{a} and {b}"));
    }
    let (name, depth) = row.depth?;
    let found = user.iter().filter(|frame| frame.name() == name).count();
    let is_within = user.len() > found + 3;
    (is_whole && is_within && found != depth && has(&"at_the_bottom")).then(|| format!("{name} {found} times"))
}

/// Whether a stack's outermost frame is one that nobody has called.
fn is_root(row: &Row, last: &Frame, entries: &mut Entries) -> bool {
    last.names.iter().any(|name| ROOTS.contains(&name.as_str()) || row.roots.contains(&name.as_str()))
        || entries.is_entry(last)
}

/// The code with which files and threads begin, as offsets in the file: found by the ELF header and by the instructions, as a libc
/// without symbols names neither, and tables of unwinding are what is on trial.
#[derive(Debug, Default)]
struct Entries {
    known: HashMap<String, Vec<Range<u64>>>,
    /// Of a program without names.
    of_twin: Vec<Range<u64>>,
}

impl Entries {
    /// With those of the program that is the same, and has names.
    fn of(row: &Row) -> Entries {
        let Some(twin) = row.twin else { return Entries::default() };
        let path = twin();
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let names = Command::new("nm").arg("-S").arg(&path).output().expect("binutils are there");
        let names = String::from_utf8_lossy(&names.stdout);
        let roots = names.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (address, size, name) = (words.next()?, words.next()?, words.nth(1)?);
            let [address, size] = [address, size].map(|number| u64::from_str_radix(number, 16).ok());
            let offset = offset_of(&bytes, address?)?;
            (ROOTS.contains(&name) || row.roots.contains(&name)).then_some(offset..offset + size?)
        });
        let of_twin: Vec<_> = roots.collect();
        assert!(!of_twin.is_empty(), "{} has no roots", path.display());
        Entries { of_twin, ..Entries::default() }
    }

    /// Whether a frame is in such code: `_start`, or the part of `clone3` that calls a new thread's function.
    fn is_entry(&mut self, frame: &Frame) -> bool {
        let Some(offset) = frame.offset else { return false };
        if !self.known.contains_key(&frame.image) {
            let bytes = fs::read(&frame.image).unwrap_or_default();
            // The loader's is the longest.
            let mut entries = Vec::from_iter(entry_of(&bytes).map(|entry| entry..entry + 0x80));
            if frame.file().starts_with("libc.so") {
                entries.extend(clones_of(&bytes));
            }
            self.known.insert(frame.image.clone(), entries);
        }
        let is_named = frame.names.len() > 1 || frame.name() != "[unknown]";
        let of_twin = if is_named { [].iter() } else { self.of_twin.iter() };
        self.known[&frame.image].iter().chain(of_twin).any(|entry| entry.contains(&offset))
    }
}

/// Where x86-64 code calls the kernel for a new thread: `mov $NUMBER, %eax; syscall`, the numbers of `clone` and `clone3`.
fn clones_of(bytes: &[u8]) -> impl Iterator<Item = Range<u64>> {
    const CLONES: [[u8; 7]; 2] =
        [[0xb8, 56, 0, 0, 0, 0x0f, 0x05], [0xb8, (435_u16 & 0xff) as u8, (435_u16 >> 8) as u8, 0, 0, 0x0f, 0x05]];
    let found = bytes.windows(7).enumerate().filter(|(_, code)| CLONES.iter().any(|clone| code == clone));
    // Behind the system call the new thread calls its function.
    found.map(|(at, _)| at as u64 + 7..at as u64 + 0x30)
}

/// `e_entry` as an offset in the file; ELF-64 and ELF-32 Object File Format, "ELF header".
fn entry_of(bytes: &[u8]) -> Option<u64> {
    let word = word_of(bytes)?;
    offset_of(bytes, number(bytes, 24, word)?)
}

/// The size of an address.
fn word_of(bytes: &[u8]) -> Option<usize> {
    match bytes.get(..5)? {
        [0x7f, b'E', b'L', b'F', class] => Some(if *class == 2 { 8 } else { 4 }),
        _ => None,
    }
}

fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + size)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Where in the file an address is; the same, "Program header".
fn offset_of(bytes: &[u8], wanted: u64) -> Option<u64> {
    let word = word_of(bytes)?;
    let headers = number(bytes, 24 + word, word)? as usize;
    let (size_at, count_at) = if word == 8 { (54, 56) } else { (42, 44) };
    let (size, count) = (number(bytes, size_at, 2)? as usize, number(bytes, count_at, 2)? as usize);
    (0..count).find_map(|row| {
        let at = headers + row * size;
        let (offset, address, length) = if word == 8 { (at + 8, at + 16, at + 32) } else { (at + 4, at + 8, at + 16) };
        let [offset, address, length] = [offset, address, length].map(|at| number(bytes, at, word));
        let (offset, address, length) = (offset?, address?, length?);
        let is_loaded = number(bytes, at, 4)? == 1 && (address..address + length).contains(&wanted);
        is_loaded.then_some(wanted.wrapping_sub(address).wrapping_add(offset))
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
    let entry = entry_of(&fs::read(&program).expect("it is there")).expect("it is an ELF file");
    let frame = |offset| Frame {
        names: vec!["[unknown]".into()],
        image: path.clone(),
        place: Place::User,
        offset: Some(offset),
    };
    let mut entries = Entries::default();
    assert!(entries.is_entry(&frame(entry)) && entries.is_entry(&frame(entry + 0x21)));
    assert!(!entries.is_entry(&frame(entry - 1)) && !entries.is_entry(&frame(entry + 0x80)));
    assert_eq!(entry_of(b"\x7fELF"), None);
}
