//! The truth in a register: each sample of `testdata/programs/truth_paths.c` says which path of functions was being run.
//!
//! Between a call and the moment when the callee has set the register, it still says the caller's path, so that a stack is right
//! if it is the path, or the path of one that is called from there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::peers::{Recorded, Registers, Words};
use super::seen::{Claim, Frame, Place, Sample, Seen};
use crate::common::programs;

/// `MAGIC` of truth.h.
const MAGIC: u64 = 0x7a6d_f1a6;

/// Wrong stacks, of a thousand.
pub const MOST_WRONG: f64 = 1.0;
/// Stacks that are cut and say so, of a thousand.
pub const MOST_MARKED: f64 = 5.0;
/// So many tagged samples are needed.
pub const LEAST_TAGGED: usize = 3000;

/// How the program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    Plain,
    FramePointers,
    /// The program and its library without any unwind table; libc has its own.
    NoTables,
}

/// The program, for so many CPU seconds on each of two threads.
pub fn words(build: Build, seconds: &str) -> Words {
    let flags: &[&str] = match build {
        Build::Plain => &["-ffixed-r15", "-fomit-frame-pointer"],
        Build::FramePointers => &["-ffixed-r15", "-fno-omit-frame-pointer"],
        Build::NoTables => &["-ffixed-r15", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"],
    };
    let program = programs::c_with("truth_paths", flags);
    let library = programs::c_with("truth_library", &[flags, &["-shared", "-fPIC"]].concat());
    Words::new([program.into_os_string(), seconds.into(), "2".into(), library.into_os_string()])
}

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// This function.
    Own(String),
    /// This function, or none.
    Maybe(String),
    /// This function, as often as the register says.
    Repeated(String),
    /// So many functions, or more, that are no part of any path: libc's.
    Foreign(usize),
}

/// The paths that the program prints.
#[derive(Clone, Debug)]
pub struct Paths {
    /// By number; those of `ROOT` in both ways. Outermost first.
    ways: HashMap<u16, Vec<Vec<Part>>>,
    /// Who is called from a path.
    callees: HashMap<u16, Vec<u16>>,
    /// All functions of the paths.
    own: BTreeSet<String>,
}

impl Paths {
    /// The last functions of the paths that have no samples.
    pub fn unseen(&self, tally: &Tally) -> Vec<String> {
        let mut numbers: Vec<_> = self.ways.keys().filter(|number| !tally.by_path.contains_key(number)).collect();
        numbers.sort();
        let name = |number: &u16| match self.ways[number][0].last() {
            Some(Part::Own(name) | Part::Maybe(name) | Part::Repeated(name)) => name.clone(),
            _ => String::new(),
        };
        numbers.into_iter().map(name).collect()
    }

    /// Reads the lines that begin with `PATH`.
    pub fn parse(printed: &str) -> Paths {
        let mut paths = Paths { ways: HashMap::new(), callees: HashMap::new(), own: BTreeSet::new() };
        for line in printed.lines().filter_map(|line| line.strip_prefix("PATH ")) {
            let mut words = line.splitn(3, ' ');
            let mut next = || words.next().unwrap_or_else(|| panic!("no path: {line:?}"));
            let number: u16 = next().parse().expect("a number");
            for caller in next().split(',').filter(|caller| *caller != "-") {
                paths.callees.entry(caller.parse().expect("a number")).or_default().push(number);
            }
            let functions = next();
            let roots: &[&str] =
                if functions.contains("ROOT") { &["_start + main", "+ thread_main"] } else { &["ROOT"] };
            for root in roots {
                let way: Vec<Part> = functions.replace("ROOT", root).split(' ').map(part).collect();
                for part in &way {
                    match part {
                        Part::Own(name) | Part::Maybe(name) | Part::Repeated(name) => paths.own.insert(name.clone()),
                        Part::Foreign(_) => false,
                    };
                }
                paths.ways.entry(number).or_default().push(way);
            }
        }
        assert!(paths.ways.len() >= 20, "the program printed no paths:\n{printed}");
        paths
    }
}

fn part(word: &str) -> Part {
    if word == "+" {
        Part::Foreign(1)
    } else if word == "~" {
        Part::Foreign(0)
    } else if let Some(name) = word.strip_suffix('?') {
        Part::Maybe(name.to_owned())
    } else if let Some(name) = word.strip_suffix('*') {
        Part::Repeated(name.to_owned())
    } else {
        Part::Own(word.to_owned())
    }
}

/// How a stack compares to a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    /// It is another one.
    Other,
    /// It is the inner part of it.
    Inner,
    /// It is it.
    Whole,
}

impl Paths {
    /// Compares a stack, innermost first, to one way.
    fn compare(&self, stack: &[&Frame], way: &[Part], repeated: u16) -> Match {
        let is_foreign = |frame: &&Frame| !self.own.contains(frame.name());
        let foreign = |at: usize| stack[at..].iter().take_while(|frame| is_foreign(frame)).count();
        // Functions of libc that the last one has called.
        let mut at = foreign(0);
        for part in way.iter().rev() {
            let (name, times) = match part {
                Part::Foreign(least) => {
                    match foreign(at) {
                        run if run >= *least => at += run,
                        _ if at == stack.len() => return Match::Inner,
                        _ => return Match::Other,
                    }
                    continue;
                }
                Part::Maybe(name) => {
                    at += usize::from(stack.get(at).is_some_and(|frame| frame.name() == name));
                    continue;
                }
                Part::Own(name) => (name, 1),
                Part::Repeated(name) => (name, repeated),
            };
            for _ in 0..times {
                match stack.get(at) {
                    None => return Match::Inner,
                    Some(frame) if frame.name() == name => at += 1,
                    Some(_) => return Match::Other,
                }
            }
        }
        if at == stack.len() { Match::Whole } else { Match::Other }
    }

    /// Compares a stack to what the register says.
    fn judge(&self, stack: &[&Frame], path: u16, number: u16) -> Match {
        if stack.iter().any(|frame| frame.place == Place::Unmapped) {
            return Match::Other;
        }
        let own = self.ways.get(&path).into_iter().flatten().map(|way| (way, number));
        // A callee that counts has one more, or begins to count.
        let callees = self.callees.get(&path).into_iter().flatten().filter_map(|callee| self.ways.get(callee));
        let callees = callees.flatten().flat_map(|way| [(way, number), (way, number + 1)]);
        let recursion = self.ways.get(&path).into_iter().flatten().map(|way| (way, number + 1));
        let all = own.chain(callees).chain(recursion);
        all.map(|(way, number)| self.compare(stack, way, number)).max().unwrap_or(Match::Other)
    }
}

/// A way to make stacks wrong on purpose: the judge must see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    None,
    /// Of each 50th sample the first caller is left out.
    DropFrameOne,
    /// Of each 50th sample the outermost three frames are left out, and nobody says so.
    CutRoot,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub tagged: usize,
    pub untagged: usize,
    pub right: usize,
    /// Cut, and it says so; or whole, and said to be cut.
    pub marked: usize,
    /// Cut, and nobody says so, in a tool that says nothing at all.
    pub silent: usize,
    /// Another path; or cut, and said to be whole.
    pub wrong: usize,
    /// Tagged samples by path, and how many of them are right.
    pub by_path: BTreeMap<u16, (usize, usize)>,
    /// What is not right, with how often.
    pub examples: BTreeMap<String, usize>,
}

impl Tally {
    pub fn wrong_of_1000(&self) -> f64 {
        self.wrong as f64 * 1000.0 / self.tagged.max(1) as f64
    }

    pub fn marked_of_1000(&self) -> f64 {
        self.marked as f64 * 1000.0 / self.tagged.max(1) as f64
    }

    /// Whether it keeps what is promised.
    pub fn holds(&self) -> bool {
        self.tagged >= LEAST_TAGGED
            && self.silent == 0
            && self.wrong_of_1000() <= MOST_WRONG
            && self.marked_of_1000() <= MOST_MARKED
    }

    /// The figures in a line.
    pub fn line(&self) -> String {
        let percent = |count: usize| count as f64 * 100.0 / self.tagged.max(1) as f64;
        format!(
            "tagged {:5} (of {:5})  right {:6.2} %  cut and marked {:5.2} %  cut, unsaid {:5.2} %  wrong {:5.2} % ({})",
            self.tagged,
            self.tagged + self.untagged,
            percent(self.right),
            percent(self.marked),
            percent(self.silent),
            percent(self.wrong),
            self.wrong,
        )
    }

    /// The most frequent of what is not right.
    pub fn worst(&self, most: usize) -> String {
        let mut examples: Vec<_> = self.examples.iter().collect();
        examples.sort_by_key(|(what, count)| (std::cmp::Reverse(**count), (*what).clone()));
        examples.iter().take(most).map(|(what, count)| format!("    {count:5} x {what}\n")).collect()
    }
}

/// Judges all samples of a recording.
pub fn judge(recorded: &Recorded, sabotage: Sabotage) -> Tally {
    judge_stacks(&recorded.seen, &recorded.registers, &Paths::parse(&recorded.printed), sabotage)
}

fn judge_stacks(seen: &Seen, registers: &Registers, paths: &Paths, sabotage: Sabotage) -> Tally {
    let mut tally = Tally::default();
    for sample in &seen.samples {
        let register = registers.get(&(sample.tid, sample.time)).copied().unwrap_or(0);
        let (number, path) = ((register >> 16) as u16, register as u16);
        if register >> 32 != MAGIC || !paths.ways.contains_key(&path) {
            tally.untagged += 1;
            continue;
        }
        tally.tagged += 1;
        let mut stack = seen.stack(sample);
        stack.retain(|frame| frame.place != Place::Kernel);
        let mut claim = sample.claim;
        if tally.tagged % 50 == 0 {
            match sabotage {
                Sabotage::None => {}
                Sabotage::DropFrameOne if stack.len() > 1 => drop(stack.remove(1)),
                Sabotage::DropFrameOne => {}
                Sabotage::CutRoot => {
                    stack.truncate(stack.len().saturating_sub(3));
                    claim = Claim::Complete;
                }
            }
        }
        let found = paths.judge(&stack, path, number);
        let place = tally.by_path.entry(path).or_default();
        place.0 += 1;
        let what = match (found, claim) {
            (Match::Whole, Claim::Complete | Claim::Silent) => {
                tally.right += 1;
                place.1 += 1;
                continue;
            }
            (Match::Whole, Claim::Marked(why)) => {
                tally.marked += 1;
                format!("whole, but marked `{}`", seen.reasons[why])
            }
            (Match::Inner, Claim::Marked(why)) => {
                tally.marked += 1;
                format!("cut, marked `{}`", seen.reasons[why])
            }
            (Match::Inner, Claim::Silent) => {
                tally.silent += 1;
                "cut, unsaid".to_owned()
            }
            (Match::Inner, Claim::Complete) => {
                tally.wrong += 1;
                "cut, said to be whole".to_owned()
            }
            (Match::Other, _) => {
                tally.wrong += 1;
                "another path".to_owned()
            }
        };
        *tally.examples.entry(format!("{what}: path {path}/{number}: {}", show(&stack, sample))).or_default() += 1;
    }
    tally
}

fn show(stack: &[&Frame], _sample: &Sample) -> String {
    let name = |frame: &&Frame| match frame.name() {
        "[unknown]" => format!("[{}+{:x}]", frame.file(), frame.offset.unwrap_or(0)),
        name => name.to_owned(),
    };
    let names: Vec<String> = stack.iter().map(name).collect();
    match names.len() {
        0 => "(nothing)".to_owned(),
        1..=14 => names.join(" < "),
        many => format!("{} < ... {} ... < {}", names[..7].join(" < "), many - 12, names[many - 5..].join(" < ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        let mut printed = String::from(
            "PATH 1 - _start + main\nPATH 2 1 ROOT worker\nPATH 3 2 ROOT worker sorts\nPATH 4 3 ROOT worker sorts + compares\n\
             PATH 5 2 ROOT worker recurses*\nPATH 6 2 ROOT worker victim tiny? + ticks\nPATH 7 2 ROOT worker walks ~ visits\n",
        );
        for number in 100..120 {
            printed.push_str(&format!("PATH {number} - other_{number}\n"));
        }
        Paths::parse(&printed)
    }

    fn check(path: u16, number: u16, innermost_first: &str, expected: Match) {
        let frames: Vec<Frame> = innermost_first
            .split_whitespace()
            .map(|name| Frame {
                names: vec![name.to_owned()],
                image: String::new(),
                place: if name == "bogus" { Place::Unmapped } else { Place::User },
                offset: None,
            })
            .collect();
        let stack: Vec<&Frame> = frames.iter().collect();
        assert_eq!(paths().judge(&stack, path, number), expected, "{path}/{number}: {innermost_first}");
    }

    #[test]
    fn a_path_is_recognized() {
        check(4, 0, "compares msort qsort sorts worker main call_main _start", Match::Whole);
        check(4, 0, "memcpy compares qsort sorts worker thread_main start_thread clone3", Match::Whole);
        check(5, 2, "recurses recurses worker main call_main _start", Match::Whole);
        check(6, 0, "ticks restore_rt tiny victim worker main call_main _start", Match::Whole);
        check(6, 0, "ticks restore_rt victim worker main call_main _start", Match::Whole);
        check(7, 0, "visits recurse recurse walks worker main call_main _start", Match::Whole);
        check(7, 0, "visits walks worker main call_main _start", Match::Whole);
    }

    #[test]
    fn a_callee_that_has_not_set_the_register_is_recognized() {
        check(3, 0, "compares msort qsort sorts worker main call_main _start", Match::Whole);
        check(5, 2, "recurses recurses recurses worker main call_main _start", Match::Whole);
        check(2, 0, "recurses worker main call_main _start", Match::Whole);
    }

    #[test]
    fn a_part_is_told_from_another_path() {
        check(4, 0, "compares msort qsort sorts", Match::Inner);
        check(4, 0, "compares msort", Match::Inner);
        check(4, 0, "compares msort qsort sorts worker main call_main", Match::Inner);
        check(4, 0, "compares msort qsort sorts worker thread_main", Match::Inner);
        for wrong in [
            "compares sorts worker main call_main _start",
            "compares qsort worker main call_main _start",
            "compares qsort sorts main call_main _start",
            "compares qsort sorts worker main _start",
            "compares qsort sorts worker other_100 main call_main _start",
            "compares bogus sorts worker main call_main _start",
            "compares qsort sorts worker main call_main _start junk",
        ] {
            check(4, 0, wrong, Match::Other);
        }
        check(5, 3, "recurses recurses worker main call_main _start", Match::Other);
    }
}
