//! The text of `perf script`, perf 3 to 7, with whichever fields it was asked for.
//!
//! ```text
//! prog 4121/4122 [001] 12.345678:   250000 cycles:P:      a first line (`header`)
//!             55d0c5a0 leaf+0x1f (/usr/bin/prog)          its call chain, innermost first (`frame`)
//!             55d0c5c0 main+0x2f (/usr/bin/prog)
//!                                                         a blank line ends it
//! prog  4121 12.345679: 1 cycles:  55d0c5a0 leaf (/usr/bin/prog)     without a call chain it is one line
//! ```
//! The same lines come again and again: each is read once, then found by its hash (`ByteTable`), so that in the steady state
//! nothing is parsed and nothing allocated but for the first lines.

mod frame;
mod header;

use std::io::Read;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::byte_table::ByteTable;
use super::lines::Lines;
use super::source::refused;
use super::tasks::Tasks;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    ESTIMATES, EventId, FrameId, FrameKind, Origin, Profile, ProfileBuilder, Sample, StackEnd, StackId, ThreadId,
    Timestamp, Truncation, Unit, Unnamed,
};
use frame::{FrameLine, TextFrame};
use header::Header;

/// The name of the event where the text has none.
const NAMELESS: &str = "samples";

/// Reads text; `name` is what errors call it.
pub(super) fn read(name: &str, text: impl Read) -> Result<Profile> {
    let mut lines = Lines::new(text);
    let mut reader = Reader::new();
    while let Some(line) = lines.next().map_err(|error| refused(name, &error))? {
        reader.line(line);
    }
    let count = lines.number();
    reader.finish(name, count)
}

/// Whether text begins with a first line and what belongs to it.
pub(super) fn is_applicable(head: &[u8]) -> bool {
    let mut after_header = false;
    for line in head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).take(2_000) {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if after_header && line[0].is_ascii_whitespace() && matches!(frame::parse(line), FrameLine::Frame(_)) {
            return true;
        }
        after_header = match header::parse(line) {
            Some(header) if frame::is_one_line(header.rest) => return true,
            Some(header) => header.time.is_some() || !header.event.is_empty(),
            None => false,
        };
    }
    after_header
}

/// What a line of a call chain was found to be: a frame, or, with the highest bit, a row of `Reader::meanings`.
type LineValue = u32;
const MEANING: LineValue = 1 << 31;
/// The first rows of `Reader::meanings`: lines that differ and mean the same.
const BRANCHES: LineValue = 0;
const SOURCE_LINE: LineValue = 1;
const OTHER: LineValue = 2;

/// What a line is that is no single frame.
#[derive(Clone, Debug)]
enum Meaning {
    /// Several frames, innermost first.
    Frames(Vec<FrameId>),
    /// The stack is cut here.
    End(Truncation),
    /// The sample is an estimate of what was not sampled.
    Estimate(FrameId),
    Branches,
    SourceLine,
    Other,
}

/// A sample whose lines are being read.
#[derive(Clone, Copy, Debug)]
struct Pending {
    time: u64,
    thread: ThreadId,
    cpu: u32,
    event: EventId,
    value: u64,
    count: u32,
    end: StackEnd,
}

#[derive(Debug)]
struct Reader {
    builder: ProfileBuilder,
    tasks: Tasks,
    /// What `Header::task` stands for.
    task_rows: ByteTable,
    /// The lines of call chains.
    line_rows: ByteTable,
    meanings: Vec<Meaning>,
    events: FxHashMap<(Box<[u8]>, bool), EventId>,
    last_event: Option<(Box<[u8]>, bool, EventId)>,
    pending: Option<Pending>,
    /// A frame on the first line, which holds if no call chain follows.
    tentative: Option<LineValue>,
    /// The frames of the pending sample, innermost first.
    frames: Vec<FrameId>,
    /// The stack of the sample before, outermost first: the next one shares most of it.
    before: Vec<(FrameId, StackId)>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    samples: u64,
    lost: u64,
    comments: u64,
    branches: u64,
    source_lines: u64,
    strange: u64,
    /// Records that are no samples, by type.
    records: FxHashMap<String, u64>,
}

impl Reader {
    fn new() -> Reader {
        Reader {
            builder: ProfileBuilder::new(),
            tasks: Tasks::default(),
            task_rows: ByteTable::new(),
            line_rows: ByteTable::new(),
            meanings: vec![Meaning::Branches, Meaning::SourceLine, Meaning::Other],
            events: FxHashMap::default(),
            last_event: None,
            pending: None,
            tentative: None,
            frames: Vec::new(),
            before: Vec::new(),
            counts: Counts::default(),
        }
    }

    #[inline]
    fn line(&mut self, line: &[u8]) {
        match line.first() {
            None => self.flush(),
            Some(b'\t') if self.pending.is_some() => self.frame(line),
            Some(b' ') if self.pending.is_some() => self.indented(line),
            Some(b'#') => self.counts.comments += 1,
            Some(_) => self.first_line(line),
        }
    }

    /// A line that begins with blanks within a sample: of its call chain, or the first line of one that has none, whose name perf
    /// moves to the right.
    fn indented(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return self.flush();
        }
        if self.frames.is_empty() && header::parse(line).is_some() {
            return self.first_line(line);
        }
        self.frame(line);
    }

    #[inline]
    fn frame(&mut self, line: &[u8]) {
        let value = match self.line_rows.get(line) {
            Ok(value) => value,
            Err(vacant) => {
                let value = self.meaning_of(line);
                self.line_rows.insert(vacant, value);
                value
            }
        };
        self.push(value);
    }

    #[inline]
    fn push(&mut self, value: LineValue) {
        if value & MEANING == 0 {
            self.frames.push(FrameId(value));
            return;
        }
        match &self.meanings[(value & !MEANING) as usize] {
            Meaning::Frames(frames) => self.frames.extend_from_slice(frames),
            Meaning::End(reason) => {
                if let Some(pending) = &mut self.pending {
                    pending.end = StackEnd::Truncated(*reason);
                }
            }
            Meaning::Estimate(frame) => {
                self.frames.push(*frame);
                if let Some(pending) = &mut self.pending {
                    pending.count = 0;
                }
            }
            Meaning::Branches => self.counts.branches += 1,
            Meaning::SourceLine => self.counts.source_lines += 1,
            Meaning::Other => self.counts.strange += 1,
        }
    }

    #[cold]
    fn meaning_of(&mut self, line: &[u8]) -> LineValue {
        let meaning = match frame::parse(line) {
            FrameLine::Frame(frame) => self.frame_meaning(&frame),
            FrameLine::Branches => return MEANING | BRANCHES,
            FrameLine::SourceLine => return MEANING | SOURCE_LINE,
            FrameLine::Other => return MEANING | OTHER,
        };
        if let Meaning::Frames(frames) = &meaning
            && let [only] = frames.as_slice()
            && only.0 & MEANING == 0
        {
            return only.0;
        }
        self.meanings.push(meaning);
        MEANING | (self.meanings.len() - 1) as u32
    }

    fn frame_meaning(&mut self, frame: &TextFrame<'_>) -> Meaning {
        if let [name] = frame.names.as_slice() {
            if let Some(reason) = Truncation::of_note(name) {
                return Meaning::End(reason);
            }
            if ESTIMATES.contains(&&**name) {
                return Meaning::Estimate(self.builder.name_frame(name, FrameKind::Note));
            }
            if frame.is_nameless {
                return Meaning::Frames(vec![self.builder.nameless_frame(name, frame.kind, Unnamed::NotInInput)]);
            }
        }
        let last = frame.names.len() - 1;
        let kind = |row: usize| if row == 0 || row > last { frame.kind } else { FrameKind::Inlined };
        let frames = frame.names.iter().enumerate().rev();
        Meaning::Frames(frames.map(|(row, name)| self.builder.name_frame(name, kind(row))).collect())
    }

    fn first_line(&mut self, line: &[u8]) {
        self.flush();
        let Some(header) = header::parse(line) else {
            if !line.trim_ascii().is_empty() {
                self.counts.strange += 1;
            }
            return;
        };
        if header.event.starts_with(b"PERF_RECORD_") {
            return self.record(header.event, header.rest);
        }
        if header.rest.starts_with(b"PERF_RECORD_") && header.event.is_empty() {
            return self.record(header.rest, header.rest);
        }
        let thread = self.thread(&header);
        let event = self.event(header.event, header.period.is_some());
        self.pending = Some(Pending {
            time: header.time.unwrap_or(0),
            thread,
            cpu: header.cpu.unwrap_or(Sample::NO_CPU),
            event,
            value: header.period.unwrap_or(1),
            count: 1,
            end: StackEnd::Root,
        });
        if frame::is_one_line(header.rest) {
            let value = match self.line_rows.get(header.rest) {
                Ok(value) => value,
                Err(vacant) => {
                    let value = self.meaning_of(header.rest);
                    self.line_rows.insert(vacant, value);
                    value
                }
            };
            self.tentative = Some(value);
        }
    }

    /// `--show-mmap-events` and the like: records that are no samples.
    fn record(&mut self, kind: &[u8], text: &[u8]) {
        let kind = kind.split(|byte| matches!(byte, b' ' | b':' | b'(')).next().unwrap_or_default();
        let mut words = text.split(|byte| *byte == b' ');
        if words.any(|word| word == b"lost") {
            let number = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
            self.counts.lost = self.counts.lost.saturating_add(number.unwrap_or(0));
        }
        *self.counts.records.entry(String::from_utf8_lossy(kind).into_owned()).or_default() += 1;
    }

    fn thread(&mut self, header: &Header<'_>) -> ThreadId {
        match self.task_rows.get(header.task) {
            Ok(row) => ThreadId(row),
            Err(vacant) => {
                let comm = String::from_utf8_lossy(header.comm);
                let thread = self.tasks.thread(&mut self.builder, header.pid.unwrap_or(0), header.tid, &comm);
                self.task_rows.insert(vacant, thread.0);
                thread
            }
        }
    }

    fn event(&mut self, name: &[u8], has_period: bool) -> EventId {
        if let Some((last, period, event)) = &self.last_event
            && **last == *name
            && *period == has_period
        {
            return *event;
        }
        let builder = &mut self.builder;
        let event = *self.events.entry((name.into(), has_period)).or_insert_with(|| {
            let text = String::from_utf8_lossy(name);
            // Without its period a sample of a clock is a sample, of a length that is not known.
            let unit = if has_period && is_clock(&text) { Unit::Nanoseconds } else { Unit::Count };
            builder.add_event(if text.is_empty() { NAMELESS } else { &text }, unit, None)
        });
        self.last_event = Some((name.into(), has_period, event));
        event
    }

    fn flush(&mut self) {
        let tentative = self.tentative.take();
        if self.pending.is_none() {
            return;
        }
        if let Some(value) = tentative.filter(|_| self.frames.is_empty()) {
            self.push(value);
        }
        let Some(pending) = self.pending.take() else { return };
        let mut stack = StackId(0);
        let mut is_shared = true;
        let depth = self.frames.len();
        for (level, frame) in self.frames.drain(..).rev().enumerate() {
            match self.before.get(level) {
                Some((known, row)) if is_shared && *known == frame => stack = *row,
                _ => {
                    if is_shared {
                        self.before.truncate(level);
                        is_shared = false;
                    }
                    stack = self.builder.stack(stack, frame);
                    self.before.push((frame, stack));
                }
            }
        }
        self.before.truncate(depth);
        self.counts.samples += 1;
        self.builder.add_sample(Sample {
            time: Timestamp(pending.time),
            thread: pending.thread,
            cpu: pending.cpu,
            stack,
            end: pending.end,
            event: pending.event,
            value: pending.value,
            count: pending.count,
        });
    }

    fn finish(mut self, name: &str, lines: u64) -> Result<Profile> {
        self.flush();
        let Counts { samples, lost, comments, branches, source_lines, strange, records } = self.counts;
        if samples == 0 && strange > 0 && records.is_empty() {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("none of the {lines} lines of {name} begins a sample"),
            )
            .with_hint("text of `perf script` has lines like `prog 4121 12.345678: 1 cycles:`"));
        }
        let mut profile = self.builder.finish();
        profile.choose_main();
        fix_periods(&mut profile);
        let stats = &mut profile.stats;
        stats.origin = Origin::Stacks;
        stats.lost = lost;
        let first = profile.samples.iter().map(|sample| sample.time.0).find(|time| *time > 0);
        if let (Some(first), Some(last)) = (first, profile.samples.last()) {
            stats.duration = Duration::from_nanos(last.time.0 - first);
        }
        stats.records.insert("samples".into(), samples);
        stats.records.insert("lines".into(), lines);
        stats.records.extend(records);
        for (what, count) in [
            ("comments", comments),
            ("lines of branches", branches),
            ("source lines", source_lines),
            ("lines that are no sample and no frame", strange),
        ] {
            if count > 0 {
                stats.skipped.insert(what.into(), count);
            }
        }
        Ok(profile)
    }
}

/// Whether an event counts nanoseconds: the kernel's software clocks.
fn is_clock(event: &str) -> bool {
    matches!(event.split(':').next(), Some("cpu-clock" | "task-clock"))
}

/// Clocks whose samples are all worth the same have that as their nominal value.
fn fix_periods(profile: &mut Profile) {
    let mut periods: Vec<Option<Option<u64>>> = vec![None; profile.events.len()];
    for sample in &profile.samples {
        let period = &mut periods[sample.event.index()];
        match period {
            None => *period = Some(Some(sample.value)),
            Some(known) if *known != Some(sample.value) => *known = None,
            Some(_) => {}
        }
    }
    for (event, period) in profile.events.iter_mut().zip(periods) {
        if event.unit == Unit::Nanoseconds {
            event.period = period.flatten().filter(|period| *period > 0);
        }
    }
}

#[cfg(test)]
mod tests;
