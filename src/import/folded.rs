//! Folded stacks: `process;outermost;...;innermost weight`, of FlameGraph's collapsers, of ours, and of many other tools.
//!
//! - The first name is the process, as all collapsers of perf's stacks and we write it, if all first names can be of processes ([`First`]);
//!   other tools' outermost function stands there, and is a function.
//! - A second column of weights makes it a difference: the columns are the events `base` and `new`, and `new` is drawn. Whether
//!   there are two is told by the first lines.
//! - No weight is less than 0: such a line is counted and left out.
//! - `_[k]`, `_[i]` and `_[j]` at the end of a name say that it is of the kernel, inlined, or made by a JIT; `_[w]` that it is of who
//!   woke the thread.
//! - `[truncated: ...]` above the process is what our own output has for a stack that is cut; it is read back as that.

mod first;

use std::io::Read;

use memchr::{memchr, memrchr};
use rustc_hash::FxHashSet;

pub(super) use self::first::First;
use super::byte_table::ByteTable;
use super::lines::Lines;
use super::path_table::{Hash, Path, PathTable};
use super::source::refused;
use super::tasks::Tasks;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    ESTIMATES, EventId, FrameId, FrameKind, Origin, Profile, ProfileBuilder, Sample, StackEnd, StackId, ThreadId,
    Timestamp, Truncation, Unit, off_cpu,
};

/// Whether text begins with folded stacks.
pub(super) fn is_applicable(head: &[u8], is_whole: bool) -> bool {
    let mut lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
    // The last one may be cut.
    if !is_whole && lines.len() > 1 {
        lines.pop();
    }
    // One line that is longer than all that is looked at: of deep stacks with long names.
    if !is_whole && lines.len() == 1 {
        let is_text = !head.iter().any(|byte| byte.is_ascii_control());
        return is_text && head.iter().filter(|byte| **byte == b';').count() > 10 && !head.starts_with(b"<");
    }
    let lines =
        lines.into_iter().map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let (mut stacks, mut others, mut deep) = (0, 0, 0);
    for line in lines.take(100) {
        match weight(line).map(|(path, _)| path).or_else(|| negative(line)) {
            Some(path) if !path.is_empty() && !line[0].is_ascii_whitespace() => {
                stacks += 1;
                deep += u32::from(path.contains(&b';'));
            }
            _ => others += 1,
        }
    }
    deep > 0 && others * 10 <= stacks
}

/// Reads folded stacks; `head` are their first bytes, `name` is what errors call them.
pub(super) fn read(name: &str, head: &[u8], text: impl Read, first: First) -> Result<Profile> {
    let mut reader = Reader::new(has_two_columns(head), first);
    let (mut lines, mut places) = (Lines::new(text), Vec::new());
    while reader.lines(lines.next_few(AT_ONCE, &mut places).map_err(|error| refused(name, &error))?) {}
    if reader.stacks == 0 && reader.negative > 0 {
        let message = format!("all weights of {name} are negative");
        return Err(Error::new(ErrorKind::Malformed, message)
            .with_hint("folded stacks count samples; two files of them are compared by `profile diff BASE NEW`"));
    }
    if reader.stacks == 0 && reader.strange > 0 {
        let message = format!("none of the {} lines of {name} is a folded stack", lines.number());
        return Err(
            Error::new(ErrorKind::Malformed, message).with_hint("folded stacks are lines like `prog;main;work 12`")
        );
    }
    Ok(reader.finish(lines.number()))
}

/// Whether each of the first lines ends in two numbers, some of which may be negative.
fn has_two_columns(head: &[u8]) -> bool {
    let end = head.iter().rposition(|byte| *byte == b'\n').unwrap_or(head.len());
    let lines = head[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let number = |line| weight(line).map(|(rest, _)| rest).or_else(|| negative(line));
    let mut is_plain = false;
    let all = lines.all(|line| {
        is_plain |= weight(line).is_some_and(|(rest, _)| weight(rest).is_some());
        number(line).is_some_and(|rest| number(rest).is_some())
    });
    all && is_plain
}

/// What stands before a weight that is less than 0, which no number of samples is.
fn negative(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii_end();
    let sign = line.iter().rposition(|byte| *byte == b'-')?;
    let before = line[..sign].last().is_some_and(|byte| *byte == b' ' || *byte == b'\t');
    let is_number = line[sign + 1..].iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    (before && is_number && line.len() > sign + 1).then(|| line[..sign].trim_ascii_end())
}

/// Splits off a weight; one with a fraction is rounded.
#[inline]
fn weight(line: &[u8]) -> Option<(&[u8], u64)> {
    let line = line.trim_ascii_end();
    let blank = line.iter().rposition(|byte| *byte == b' ' || *byte == b'\t')?;
    let word = &line[blank + 1..];
    if !word.first()?.is_ascii_digit() {
        return None;
    }
    // Numbers of so many digits fit.
    let digits = if word.len() < 20 { word } else { &[] };
    let weight =
        digits.iter().try_fold(0, |sum: u64, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')));
    let weight = match weight {
        Some(weight) if !digits.is_empty() => weight,
        _ => large_weight(word)?,
    };
    Some((line[..blank].trim_ascii_end(), weight))
}

/// A weight that has a fraction or many digits.
#[cold]
fn large_weight(word: &[u8]) -> Option<u64> {
    let word = std::str::from_utf8(word).ok()?;
    if !word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    word.parse::<u64>().ok().or_else(|| Some(word.parse::<f64>().ok()?.round() as u64))
}

/// Splits off the first name of a path; nothing is behind the last one.
#[inline]
fn first_name(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    memchr(b';', path).map_or((path, None), |at| (&path[..at], Some(&path[at + 1..])))
}

/// Lines that are read at once, so that what they need of large tables is waited for together.
const AT_ONCE: usize = 16;
/// Begins of each whose place in the table is loaded before: the ones that are looked up first. Most lines are but for a few frames
/// the begin of another.
const LOADED: usize = 4;

/// A line of text.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    process: &'a [u8],
    end: StackEnd,
    values: [u64; 2],
    /// The names of its frames, if it has any.
    path: Option<Path<'a>>,
    /// Those of the hashes that are of it.
    hashes: (usize, usize),
}

struct Reader {
    builder: ProfileBuilder,
    first: First,
    tasks: Tasks,
    processes: ByteTable,
    /// The process of the last line: most are of one.
    process: (Vec<u8>, ThreadId),
    names: PathTable,
    /// The stacks of all paths without process and note, so that a stack that is in none is a new one.
    paths: PathTable,
    /// Whether two names may be one frame (`f` and `f_[w]`), so that a path that is new may be a stack that is there.
    has_aliases: bool,
    /// Stacks with a frame that is no code but an estimate.
    estimates: FxHashSet<StackId>,
    events: Vec<EventId>,
    /// Begins of lines that are read at once: lengths and hashes, the longest first.
    hashes: Vec<(usize, Hash)>,
    /// The begins of a path that are not known, the longest first.
    unknown: Vec<(usize, Hash)>,
    stacks: u64,
    strange: u64,
    negative: u64,
}

impl Reader {
    fn new(two_columns: bool, first: First) -> Reader {
        let mut builder = ProfileBuilder::new();
        let events: &[&str] = if two_columns { &["base", "new"] } else { &["samples"] };
        let events = events.iter().map(|name| builder.add_event(name, Unit::Count, None)).collect();
        Reader {
            builder,
            first,
            tasks: Tasks::default(),
            processes: ByteTable::new(),
            process: (Vec::new(), ThreadId(0)),
            names: PathTable::new(),
            paths: PathTable::new(),
            has_aliases: false,
            estimates: FxHashSet::default(),
            events,
            hashes: Vec::new(),
            unknown: Vec::new(),
            stacks: 0,
            strange: 0,
            negative: 0,
        }
    }

    /// Reads some lines; says whether there was one.
    fn lines<'a>(&mut self, texts: impl Iterator<Item = &'a [u8]>) -> bool {
        let (mut lines, mut count) = ([const { None }; AT_ONCE], 0);
        self.paths.clear_paths();
        self.hashes.clear();
        for (text, line) in texts.zip(&mut lines) {
            *line = self.parse(text);
            count += 1;
        }
        self.paths.load(self.hashes.iter().map(|(_, hash)| hash));
        lines.into_iter().take(count).flatten().for_each(|line| self.line(&line));
        count > 0
    }

    /// The parts of a line, if it has a weight.
    #[inline]
    fn parse<'a>(&mut self, text: &'a [u8]) -> Option<Line<'a>> {
        if text.first().is_none_or(|first| *first == b'#') {
            return None;
        }
        let mut values = [0; 2];
        let mut path = text;
        for value in values[..self.events.len()].iter_mut().rev() {
            match weight(path) {
                Some((rest, weight)) => (path, *value) = (rest, weight),
                None => {
                    match negative(path) {
                        Some(_) => self.negative += 1,
                        None => self.strange += 1,
                    }
                    return None;
                }
            }
        }
        if path.is_empty() {
            self.strange += 1;
            return None;
        }
        self.stacks += 1;
        let (process, mut path) = match self.first {
            First::Process => first_name(path),
            First::Function => (&b""[..], Some(path)),
        };
        let mut end = StackEnd::Root;
        while let Some(frames) = path.filter(|path| path.first() == Some(&b'[')) {
            let (name, rest) = first_name(frames);
            let Some(reason) = Truncation::of_note(&String::from_utf8_lossy(name)) else { break };
            (end, path) = (StackEnd::Truncated(reason), rest);
        }
        let path = path.map(|path| self.paths.take_up(path));
        let first = self.hashes.len();
        if let Some(path) = path {
            let lengths = std::iter::successors(Some(path.bytes.len()), |length| memrchr(b';', &path.bytes[..*length]));
            self.hashes.extend(lengths.take(LOADED).map(|length| (length, self.paths.hash(path, length))));
        }
        Some(Line { process, end, values, path, hashes: (first, self.hashes.len()) })
    }

    fn line(&mut self, line: &Line<'_>) {
        let thread = self.thread(line.process);
        let stack = line.path.map_or(StackId(0), |path| {
            self.stack(path, line.hashes).unwrap_or_else(|| {
                // Bytes that are no text become text, and are then as any other that reads the same.
                let text = String::from_utf8_lossy(path.bytes);
                let path = self.paths.take_up(text.as_bytes());
                self.stack(path, (0, 0)).unwrap_or_default()
            })
        });
        let is_estimate = !self.estimates.is_empty() && self.estimates.contains(&stack);
        for (event, value) in self.events.iter().zip(line.values) {
            if value == 0 {
                continue;
            }
            let count = if is_estimate { 0 } else { u32::try_from(value).unwrap_or(u32::MAX) };
            let (time, cpu) = (Timestamp(0), Sample::NO_CPU);
            let (end, event) = (line.end, *event);
            self.builder.add_sample(Sample { time, thread, cpu, stack, end, event, value, count });
        }
    }

    /// The stack of a path of frames, some of whose hashes are known; nothing if a new frame is no text.
    #[inline]
    fn stack(&mut self, path: Path<'_>, (mut next, last): (usize, usize)) -> Option<StackId> {
        self.unknown.clear();
        let (mut stack, mut begin, mut length) = (StackId(0), 0, path.bytes.len());
        loop {
            let hash = if next < last { self.hashes[next].1 } else { self.paths.hash(path, length) };
            if let Some(row) = self.paths.get(hash) {
                (stack, begin) = (StackId(row), length + 1);
                break;
            }
            self.unknown.push((length, hash));
            next += 1;
            let shorter = if next < last { Some(self.hashes[next].0) } else { memrchr(b';', &path.bytes[..length]) };
            match shorter {
                Some(shorter) => length = shorter,
                None => break,
            }
        }
        while let Some((end, hash)) = self.unknown.pop() {
            let name = &path.bytes[begin..end];
            let frame = self.frame(name)?;
            let parent = stack;
            stack = match self.has_aliases {
                true => self.builder.stack(parent, frame),
                false => self.builder.new_stack(parent, frame),
            };
            self.paths.insert(hash, stack.0);
            let is_estimate = name.first() == Some(&b'[') && ESTIMATES.iter().any(|note| note.as_bytes() == name);
            if is_estimate || (!self.estimates.is_empty() && self.estimates.contains(&parent)) {
                self.estimates.insert(stack);
            }
            begin = end + 1;
        }
        Some(stack)
    }

    fn thread(&mut self, name: &[u8]) -> ThreadId {
        if name == self.process.0 && !name.is_empty() {
            return self.process.1;
        }
        let thread = match self.processes.get(name) {
            Ok(row) => ThreadId(row),
            Err(vacant) => {
                let thread = self.tasks.thread(&mut self.builder, 0, 0, &String::from_utf8_lossy(name));
                self.processes.insert(vacant, thread.0);
                thread
            }
        };
        self.process.0.clear();
        self.process.0.extend_from_slice(name);
        self.process.1 = thread;
        thread
    }

    /// The frame of a name; nothing if that is no text.
    #[inline]
    fn frame(&mut self, name: &[u8]) -> Option<FrameId> {
        self.names.clear_paths();
        let hash = self.names.take_up(name);
        let hash = self.names.hash(hash, name.len());
        // Numbers are one more than rows: none is 0.
        match self.names.get(hash) {
            Some(number) => Some(FrameId(number - 1)),
            None => {
                let frame = self.new_frame(str::from_utf8(name).ok()?);
                self.names.insert(hash, frame.0 + 1);
                Some(frame)
            }
        }
    }

    fn new_frame(&mut self, text: &str) -> FrameId {
        let suffixes = [
            ("_[k]", FrameKind::Kernel),
            ("_[i]", FrameKind::Inlined),
            ("_[j]", FrameKind::Jit),
            ("_[w]", FrameKind::User),
        ];
        let suffix = suffixes.iter().find_map(|(suffix, kind)| Some((text.strip_suffix(suffix)?, *kind)));
        self.has_aliases |= text.ends_with("_[w]");
        let (plain, kind) = match suffix {
            Some(known) => known,
            None if ESTIMATES.contains(&text) => (text, FrameKind::Note),
            None if off_cpu::NAMES.contains(&text) => (text, FrameKind::OffCpu),
            None => (text, FrameKind::User),
        };
        self.builder.name_frame(plain, kind)
    }

    fn finish(self, lines: u64) -> Profile {
        let mut profile = self.builder.finish();
        profile.main = EventId::from_index(self.events.len() - 1);
        let stats = &mut profile.stats;
        stats.origin = Origin::Stacks;
        stats.records.insert("lines".into(), lines);
        stats.records.insert("stacks".into(), self.stacks);
        if self.strange > 0 {
            stats.skipped.insert("lines without a weight".into(), self.strange);
        }
        if self.negative > 0 {
            stats.skipped.insert("lines with a negative weight".into(), self.negative);
        }
        profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FrameKey;

    fn read_text(text: &str) -> Profile {
        let profile = read("x", text.as_bytes(), text.as_bytes(), First::of(text.as_bytes())).unwrap();
        profile.check().unwrap();
        profile
    }

    fn check(text: &str, expected: &[&str]) {
        let profile = read_text(text);
        let lines: Vec<String> = profile
            .samples
            .iter()
            .map(|sample| {
                let thread = &profile.threads[sample.thread.index()];
                let mut names = vec![profile.strings.get(profile.processes[thread.process.index()].name).to_owned()];
                let mut frames: Vec<FrameId> = profile.frames_of(sample.stack).collect();
                frames.reverse();
                names.extend(frames.iter().map(|frame| match profile.frames[frame.index()].key {
                    FrameKey::Name { name, kind } => format!("{}/{kind:?}", profile.strings.get(name)),
                    FrameKey::Code { .. } => unreachable!(),
                }));
                let end = if sample.end == StackEnd::Root { "" } else { " cut" };
                let event = profile.strings.get(profile.events[sample.event.index()].name);
                format!("{}{end} {event} {} {}", names.join(";"), sample.value, sample.count)
            })
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn one_column() {
        check(
            "# made by hand\nprog;main;f_[k] 12\nprog;main;g h_[i] 3\r\n\nprog 7\nno weight\nprog;[truncated: too deep];x_[j] 1\n\
             prog;[not sampled] 5\nprog;a 2.6",
            &[
                "prog;main/User;f/Kernel samples 12 12",
                "prog;main/User;g h/Inlined samples 3 3",
                "prog samples 7 7",
                "prog;x/Jit cut samples 1 1",
                "prog;[not sampled]/Note samples 5 0",
                "prog;a/User samples 3 3",
            ],
        );
        assert_eq!(read_text("a 1\nb\n").stats.skipped["lines without a weight"], 1);
    }

    /// Names that read the same are one, however they were written, and of each process and end.
    #[test]
    fn no_stack_is_there_twice() {
        let names: [&[u8]; 11] = [
            b"a",
            b"a_[w]",
            b"b_[k]",
            b"",
            b"\xff",
            b"\xfe",
            "\u{fffd}".as_bytes(),
            b"[not sampled]",
            b"[x]",
            b"a\0",
            b"[truncated: too deep]",
        ];
        let mut text = Vec::new();
        let mut expected: Vec<(Vec<String>, u32)> = Vec::new();
        for number in 0..4_000usize {
            let line: Vec<&[u8]> =
                (0..1 + number % 5).map(|at| names[number / 7usize.pow(at as u32) % names.len()]).collect();
            text.extend(format!("p{};", number % 3).bytes());
            text.extend(line.join(&b';'));
            text.extend(b" 2\n");
            let mut shown: Vec<String> = line.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            let notes = shown.iter().take_while(|name| Truncation::of_note(name).is_some()).count();
            shown.drain(..notes);
            let count = if shown.iter().any(|name| ESTIMATES.contains(&name.as_str())) { 0 } else { 2 };
            expected.push((
                shown.iter().map(|name| name.trim_end_matches("_[k]").trim_end_matches("_[w]").to_owned()).collect(),
                count,
            ));
        }
        let profile = read("x", &text, &text[..], First::Process).unwrap();
        profile.check().unwrap();
        let rows: FxHashSet<_> = profile.stacks[1..].iter().map(|stack| (stack.parent, stack.frame)).collect();
        assert_eq!(rows.len() + 1, profile.stacks.len());
        assert_eq!(profile.samples.len(), expected.len());
        for (sample, expected) in profile.samples.iter().zip(expected) {
            let name = |frame: FrameId| match profile.frames[frame.index()].key {
                FrameKey::Name { name, .. } => profile.strings.get(name).to_owned(),
                FrameKey::Code { .. } => unreachable!(),
            };
            let mut names: Vec<String> = profile.frames_of(sample.stack).map(name).collect();
            names.reverse();
            assert_eq!((names, sample.count), expected);
        }
    }

    #[test]
    fn what_can_be_no_process_has_none() {
        check(
            "main;work 2\nmain 1\nmain;[x] 4",
            &[";main/User;work/User samples 2 2", ";main/User samples 1 1", ";main/User;[x]/User samples 4 4"],
        );
    }

    #[test]
    fn two_columns_are_two_events() {
        let text = "p;a 1 2\np;b 0 5\n";
        check(text, &["p;a/User base 1 1", "p;a/User new 2 2", "p;b/User new 5 5"]);
        assert_eq!(read_text(text).main_event(), "new");
    }

    #[test]
    fn negative_weights_are_counted_and_left_out() {
        let skipped = |text: &str| read_text(text).stats.skipped.get("lines with a negative weight").copied();
        let text = "p;a 5\np;b -5\np;c -0.5\np;d-1 2\n";
        check(text, &["p;a/User samples 5 5", "p;d-1/User samples 2 2"]);
        assert_eq!(skipped(text), Some(2));
        for text in ["p;a 5 1\np;b -5 3\n", "p;a 5 1\np;b 5 -3\n", "p;b -5 -3\np;a 5 1\n"] {
            check(text, &["p;a/User base 5 5", "p;a/User new 1 1"]);
            assert_eq!(skipped(text), Some(1), "{text}");
            assert!(is_applicable(text.as_bytes(), true));
        }
        let all = "p;a -5\np;b -6\n";
        assert!(is_applicable(all.as_bytes(), true));
        let error = read("x.folded", all.as_bytes(), all.as_bytes(), First::Process).unwrap_err();
        assert_eq!(error.to_string(), "all weights of x.folded are negative");
        assert!(error.hint().is_some_and(|hint| hint.contains("profile diff")));
    }

    #[test]
    fn told_by_its_first_lines() {
        for (text, expected) in [
            ("a;b 1\nc;d 2\n", true),
            ("a;b 1\nc;d 2 3\n", true),
            ("hello world\n", false),
            ("a 1\n", false),
            ("", false),
            ("\t a;b 1\n", false),
        ] {
            assert_eq!(is_applicable(text.as_bytes(), true), expected, "{text}");
        }
        assert!(read("x", b"hello\n", &b"hello\n"[..], First::Process).is_err());
    }
}
