//! The samples of each thread in the order of time: a flame chart.
//!
//! A sample is a point, and stands for a length of time:
//!
//! ```text
//! time      ---x-------x-------x-----------------------x-------x---
//! lengths   [  .  ][   .  ][   .   ]               [   .  ][   .  ]
//! main      [======================]               [==============]     shared by neighbours: one span
//! work      [=============]                        [==============]
//! wait                     [=======]
//!                                   gap: nothing was sampled; the thread did not run, or was not seen
//! ```
//!
//! - **Length**: the nominal period of a clock event; its own value if it counts time without a fixed period; else the median
//!   distance of neighbouring samples of a thread, as a sample of so many cache misses says nothing of time.
//! - **Place**: a sample is the middle of its length. The timer strikes at a random moment of what runs, so that of two neighbours
//!   with different stacks the change is as likely before the middle between them as after it; lengths that end at their
//!   sample would show each function late by half a period. A wait is no sample but was measured: it begins at its time and has its length.
//! - **Gap**: where the next sample is further away than 1.5 lengths. Nothing is drawn through one. Nearer neighbours touch.
//! - **Without time**: estimates of what was not sampled, and rows that stand for several samples or waits added up, have no place:
//!   they are left out, and their sum is [`Timeline::without_time`].

use super::frame_names::FrameNames;
use super::view::View;
use crate::model::{
    EventId, FrameKind, ImageId, Profile, Sample, StackEnd, StackId, StringId, StringTable, ThreadId, Unit, off_cpu,
};

/// What each thread was in, and when.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// All names.
    pub names: StringTable,
    /// When the first sample begins, in nanoseconds of the recording's clock.
    pub start: u64,
    /// When the last one ends.
    pub end: u64,
    /// All threads that have samples with a time, the one with the largest value first, equal ones by name.
    pub lanes: Vec<Lane>,
    /// The event's name.
    pub event: String,
    /// What values count.
    pub unit: Unit,
    /// Value of the samples that have no place in time, and so are in no lane.
    pub without_time: u64,
}

/// A thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// Its name and id: `worker-4122`.
    pub name: String,
    /// The name of its process; with its id, if the view tells processes of one name apart.
    pub process: String,
    /// Value of its samples.
    pub value: u64,
    /// Number of its samples.
    pub samples: u64,
    /// What it was in, in order of begin; of those that begin together the outer one first.
    pub spans: Vec<Span>,
    /// How many rows the spans take.
    pub rows: u32,
}

/// A function that a thread was in for some time.
///
/// Spans of one row do not overlap, and each lies within one of the row before. One without a length is of a sample that others were
/// taken at the same time as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// When it begins, in nanoseconds since [`Timeline::start`].
    pub start: u64,
    /// When it ends.
    pub end: u64,
    /// How far from the outermost frame, which has row 0. Where a stack is cut, row 0 says so.
    pub row: u32,
    /// Its name, in [`Timeline::names`].
    pub name: StringId,
    /// What sort of code it is.
    pub kind: FrameKind,
    /// What its code is in; where neighbours of one name are in several, the first.
    pub image: Option<ImageId>,
    /// Number of samples in it.
    pub samples: u64,
    /// Their value.
    pub value: u64,
}

impl Timeline {
    /// Builds the timeline of the event that `view` selects, a lane for each thread. Nothing if its samples have no times.
    ///
    /// Takes time linear in samples x depth; what a sample shares with the one before it is not walked again.
    pub fn build(profile: &Profile, view: &View) -> Option<Timeline> {
        let event = view.event.unwrap_or(profile.main);
        let lengths = Lengths::of(profile, event)?;
        let (placed, without_time) = by_thread(profile, event);
        if !has_times(profile, &placed, &lengths) {
            return None;
        }
        let lengths = lengths.with_median(profile, &placed);
        let mut weaver = Weaver {
            profile,
            view,
            frames: FrameNames::new(profile),
            foot: None,
            walked: Vec::new(),
            open: Vec::new(),
        };
        let mut lanes: Vec<(Lane, u64, u64)> = Vec::new();
        for (thread, rows) in &placed {
            lanes.push(weaver.lane(*thread, rows, &lengths));
        }
        let start = lanes.iter().map(|(_, start, _)| *start).min()?;
        let end = lanes.iter().map(|(_, _, end)| *end).max()?;
        let mut lanes: Vec<Lane> = lanes.into_iter().map(|(lane, ..)| lane).collect();
        for span in lanes.iter_mut().flat_map(|lane| &mut lane.spans) {
            (span.start, span.end) = (span.start - start, span.end - start);
        }
        lanes.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| (&a.process, &a.name).cmp(&(&b.process, &b.name))));
        let event = &profile.events[event.index()];
        Some(Timeline {
            names: weaver.frames.names,
            start,
            end,
            lanes,
            event: profile.strings.get(event.name).to_owned(),
            unit: event.unit,
            without_time,
        })
    }
}

/// Whether a sample has a place in time.
pub(super) fn has_place(sample: &Sample) -> bool {
    sample.count == 1 && sample.has_time()
}

/// Rows of samples that have a place in time, by thread and in order of time, and the value of those that have none.
fn by_thread(profile: &Profile, event: EventId) -> (Vec<(ThreadId, Vec<u32>)>, u64) {
    let mut of_thread: Vec<Vec<u32>> = vec![Vec::new(); profile.threads.len()];
    let mut without_time = 0u64;
    for (row, sample) in profile.samples.iter().enumerate().filter(|(_, sample)| sample.event == event) {
        if !has_place(&sample) {
            without_time = without_time.saturating_add(sample.value);
            continue;
        }
        of_thread[sample.thread.index()].push(row as u32);
    }
    let time = |row: &u32| profile.samples.get(*row as usize).time;
    for rows in &mut of_thread {
        if !rows.is_sorted_by_key(time) {
            rows.sort_by_key(time);
        }
    }
    let threads = of_thread.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
    (threads.map(|(row, rows)| (ThreadId::from_index(row), rows)).collect(), without_time)
}

/// Whether times tell samples apart: not all are the same, or it is known how long the only moment was.
fn has_times(profile: &Profile, placed: &[(ThreadId, Vec<u32>)], lengths: &Lengths) -> bool {
    let mut times = placed.iter().flat_map(|(_, rows)| rows).map(|row| profile.samples.get(*row as usize).time.0);
    let Some(first) = times.next() else { return false };
    times.any(|time| time != first) || (first > 0 && !matches!(lengths, Lengths::Median))
}

/// The row of samples that have no frame at all.
const NO_FRAMES: &str = "[no frames]";

/// How long a sample is, and where its time is in that.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lengths {
    /// So many nanoseconds around its time.
    Fixed(u64),
    /// Its value around its time.
    Own,
    /// Its value from its time on.
    Wait,
    /// The median distance, which is not known yet, around its time.
    Median,
}

impl Lengths {
    fn of(profile: &Profile, event: EventId) -> Option<Lengths> {
        let event = profile.events.get(event.index())?;
        Some(match (event.unit, event.period) {
            (Unit::Nanoseconds, Some(period)) => Lengths::Fixed(period),
            (Unit::Nanoseconds, None) if profile.strings.get(event.name) == off_cpu::EVENT => Lengths::Wait,
            (Unit::Nanoseconds, None) => Lengths::Own,
            (Unit::Count | Unit::Bytes, _) => Lengths::Median,
        })
    }

    /// The same, with the median worked out if it is needed.
    fn with_median(self, profile: &Profile, placed: &[(ThreadId, Vec<u32>)]) -> Lengths {
        if self != Lengths::Median {
            return self;
        }
        let time = |row: &u32| profile.samples.get(*row as usize).time.0;
        let distances = placed.iter().flat_map(|(_, rows)| rows.windows(2)).map(|two| time(&two[1]) - time(&two[0]));
        let mut distances: Vec<u64> = distances.filter(|distance| *distance > 0).collect();
        if distances.is_empty() {
            // Each thread has one moment only: what would be between them were they evenly spread.
            let times = || placed.iter().flat_map(|(_, rows)| rows).map(time);
            let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
            return Lengths::Fixed(((last - first) / placed.len().max(1) as u64).max(1));
        }
        let middle = distances.len() / 2;
        Lengths::Fixed(*distances.select_nth_unstable(middle).1)
    }

    fn place(self, sample: &Sample) -> Place {
        let (length, is_begin) = match self {
            Lengths::Fixed(length) => (length, false),
            Lengths::Own | Lengths::Median => (sample.value, false),
            Lengths::Wait => (sample.value, true),
        };
        Place { time: sample.time.0, length, is_begin }
    }
}

/// The length of time that a sample stands for.
#[derive(Clone, Copy, Debug)]
struct Place {
    time: u64,
    length: u64,
    /// Whether `time` is its begin, and not its middle.
    is_begin: bool,
}

impl Place {
    fn begin(&self) -> u64 {
        if self.is_begin { self.time } else { self.time.saturating_sub(self.length / 2) }
    }

    fn end(&self) -> u64 {
        let behind = if self.is_begin { self.length } else { self.length - self.length / 2 };
        self.time.saturating_add(behind)
    }

    /// Where `next`, which is no earlier, begins if it touches this one; nothing if there is a gap between.
    fn touches(&self, next: &Place) -> Option<u64> {
        if self.is_begin {
            return (next.time <= self.end()).then_some(next.time);
        }
        let (distance, lengths) =
            (u128::from(next.time - self.time), u128::from(self.length) + u128::from(next.length));
        // One and a half of the mean of both.
        if distance * 4 > lengths * 3 {
            return None;
        }
        let part = (distance * u128::from(self.length)).checked_div(lengths).unwrap_or(0);
        Some(self.time + part as u64)
    }
}

/// Makes the spans of one thread after the other.
struct Weaver<'a> {
    profile: &'a Profile,
    view: &'a View,
    frames: FrameNames<'a>,
    /// What the last sample's stack stands on, if that is no frame: that it is cut, or that there is none.
    foot: Option<StringId>,
    /// The last sample's stack from its outermost frame inwards, and one past each frame's last row.
    walked: Vec<(StackId, usize)>,
    /// The span that is open in each row.
    open: Vec<usize>,
}

impl Weaver<'_> {
    /// The lane of a thread, when its first sample begins, and when its last one ends.
    fn lane(&mut self, thread: ThreadId, rows: &[u32], lengths: &Lengths) -> (Lane, u64, u64) {
        let thread = &self.profile.threads[thread.index()];
        let process = &self.profile.processes[thread.process.index()];
        let (name, process) =
            (self.frames.thread_name(thread), self.frames.process_name(process, self.view.per_process));
        let name_of = |name: StringId| self.frames.names.get(name).to_owned();
        let (name, process) = (name_of(name), name_of(process));
        let mut lane = Lane { name, process, value: 0, samples: 0, spans: Vec::new(), rows: 0 };
        let mut last: Option<Place> = None;
        for row in rows {
            let sample = self.profile.samples.get(*row as usize);
            let place = lengths.place(&sample);
            let begin = match last.and_then(|last| last.touches(&place)) {
                Some(begin) => begin,
                None => {
                    self.close(&mut lane, last.map_or(0, |last| last.end()));
                    place.begin()
                }
            };
            self.turn(&mut lane, &sample, begin);
            lane.samples += 1;
            lane.value = lane.value.saturating_add(sample.value);
            last = Some(place);
        }
        let end = last.map_or(0, |last| last.end());
        self.close(&mut lane, end);
        let start = lane.spans.first().map_or(0, |span| span.start);
        (lane, start, end)
    }

    /// From `at` on the thread is in the stack of `sample`: what is not in it ends, what was not open begins.
    fn turn(&mut self, lane: &mut Lane, sample: &Sample, at: u64) {
        let profile = self.profile;
        let foot = match sample.end {
            StackEnd::Truncated(reason) => Some(self.frames.names.intern(&reason.note())),
            StackEnd::Root | StackEnd::Unstated if sample.stack == StackId(0) => {
                Some(self.frames.names.intern(NO_FRAMES))
            }
            StackEnd::Root | StackEnd::Unstated => None,
        };
        if self.open.is_empty() || foot != self.foot {
            self.close(lane, at);
            self.foot = foot;
            if let Some(name) = foot {
                self.open(lane, (name, FrameKind::Note, None), at);
            }
        }
        // Callers stand before what they called, so both stacks are walked outwards to where they meet in one go.
        let mut new = Vec::new();
        let (mut stack, mut shared) = (sample.stack, self.walked.len());
        while stack != StackId(0) {
            while shared > 0 && self.walked[shared - 1].0 > stack {
                shared -= 1;
            }
            if shared > 0 && self.walked[shared - 1].0 == stack {
                break;
            }
            new.push(stack);
            stack = profile.stacks[stack.index()].parent;
        }
        if stack == StackId(0) {
            shared = 0;
        }
        self.walked.truncate(shared);
        let mut row = self.walked.last().map_or(usize::from(foot.is_some()), |(_, end)| *end);
        // Other code of the same functions is the same spans.
        for stack in new.into_iter().rev() {
            for line in self.frames.rows_of(profile.stacks[stack.index()].frame) {
                let line = self.frames.row(line);
                let known = self.open.get(row).map(|open| &lane.spans[*open]);
                if known.is_none_or(|known| (known.name, known.kind) != (line.name, line.kind)) {
                    self.close_from(lane, row, at);
                    self.open(lane, (line.name, line.kind, line.image), at);
                }
                row += 1;
            }
            self.walked.push((stack, row));
        }
        self.close_from(lane, row, at);
        lane.rows = lane.rows.max(row as u32);
    }

    fn open(&mut self, lane: &mut Lane, (name, kind, image): (StringId, FrameKind, Option<ImageId>), at: u64) {
        let row = self.open.len() as u32;
        self.open.push(lane.spans.len());
        // Until it is closed it has what the lane had before it.
        lane.spans.push(Span { start: at, end: at, row, name, kind, image, samples: lane.samples, value: lane.value });
    }

    /// Ends what is open in `row` and further in.
    fn close_from(&mut self, lane: &mut Lane, row: usize, at: u64) {
        for open in self.open.drain(row.min(self.open.len())..) {
            let span = &mut lane.spans[open];
            span.end = at;
            span.samples = lane.samples - span.samples;
            span.value = lane.value - span.value;
        }
    }

    /// Ends all: what comes next is shared with nothing.
    fn close(&mut self, lane: &mut Lane, at: u64) {
        self.close_from(lane, 0, at);
        self.walked.clear();
        self.foot = None;
    }
}

#[cfg(test)]
mod tests;
