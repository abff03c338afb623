//! Which samples are kept of a profile: by time, task and CPU.

use std::str::FromStr;

use rustc_hash::FxHashSet;

use super::address::Timestamp;
use super::id::{FrameId, StackId};
use super::profile::{Profile, Stack};
use super::samples::Sample;
use crate::error::{Error, ErrorKind, Result};

/// What a [`Filter`] leaves out, as it is counted in [`super::CaptureStats::skipped`].
pub const NOT_ASKED_FOR: &str = "samples not asked for";

/// Which samples are kept; the default keeps all. Lists that are empty ask for nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// From when to when.
    pub time: TimeRange,
    /// Processes by id.
    pub pids: Vec<u32>,
    /// Threads by id.
    pub tids: Vec<u32>,
    /// Names of threads or of their processes.
    pub comms: Vec<String>,
    /// CPUs.
    pub cpus: Vec<u32>,
}

/// A part of a recording; either end may be open, both belong to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeRange {
    /// Samples before are not kept.
    pub from: Option<TimeBound>,
    /// Samples after are not kept.
    pub to: Option<TimeBound>,
}

/// One end of a [`TimeRange`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimeBound {
    /// Nanoseconds since the first sample.
    Since(u64),
    /// A share of the time from the first sample to the last, 0..1.
    Share(f64),
    /// A time on the recording's clock, as `perf script` prints it.
    At(Timestamp),
}

impl FromStr for TimeRange {
    type Err = Error;

    /// `1.5..3` (seconds since the first sample), `10%..20%` (of the recording), `@12.25..@13` (the recording's clock), with
    /// either end left out.
    fn from_str(text: &str) -> Result<TimeRange> {
        let wrong = || {
            Error::new(ErrorKind::Usage, format!("{text} is no part of a recording"))
                .with_hint("a part is like 1.5..3 (seconds since the first sample), 2.., 10%..20%, or @12.25..@13")
        };
        // The dots of `1...2` are of nobody.
        let (from, to) = text.split_once("..").filter(|(_, to)| !to.starts_with('.')).ok_or_else(wrong)?;
        let bound = |text: &str| match text.trim() {
            "" => Some(None),
            text => TimeBound::parse(text).map(Some),
        };
        match (bound(from), bound(to)) {
            (Some(None), Some(None)) => Err(wrong()),
            (Some(from), Some(to)) if is_backwards(from, to) => Err(wrong()),
            (Some(from), Some(to)) => Ok(TimeRange { from, to }),
            _ => Err(wrong()),
        }
    }
}

/// Whether a range ends before it begins, as far as its ends are of one kind.
fn is_backwards(from: Option<TimeBound>, to: Option<TimeBound>) -> bool {
    match (from, to) {
        (Some(TimeBound::Since(from)), Some(TimeBound::Since(to))) => from > to,
        (Some(TimeBound::Share(from)), Some(TimeBound::Share(to))) => from > to,
        (Some(TimeBound::At(from)), Some(TimeBound::At(to))) => from > to,
        _ => false,
    }
}

impl TimeBound {
    fn parse(text: &str) -> Option<TimeBound> {
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.parse().ok()?;
            return (0.0..=100.0).contains(&percent).then_some(TimeBound::Share(percent / 100.0));
        }
        match text.strip_prefix('@') {
            Some(text) => Some(TimeBound::At(Timestamp(nanoseconds(text)?))),
            None => Some(TimeBound::Since(nanoseconds(text)?)),
        }
    }

    fn resolve(self, first: u64, last: u64) -> u64 {
        match self {
            TimeBound::Since(nanoseconds) => first.saturating_add(nanoseconds),
            TimeBound::Share(share) => first.saturating_add(((last - first) as f64 * share) as u64),
            TimeBound::At(Timestamp(time)) => time,
        }
    }
}

/// Decimal seconds to nanoseconds, without rounding; finer digits are cut.
fn nanoseconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let fraction = digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    whole.checked_mul(1_000_000_000)?.checked_add(fraction)
}

impl Filter {
    /// Whether all samples are kept.
    pub fn is_open(&self) -> bool {
        *self == Filter::default()
    }

    /// Keeps the samples that match, and of stacks and frames only what they use, so that nothing else is to be named.
    ///
    /// Images, strings and tasks keep their rows. What was left out is counted in `CaptureStats::skipped`, and a note says so if
    /// nothing is left. Call [`Profile::summarize`] afterwards. Fails if something is asked for that no sample carries: a
    /// time or a CPU.
    pub fn apply(&self, profile: &mut Profile) -> Result<()> {
        if self.is_open() || profile.samples.is_empty() {
            return Ok(());
        }
        let (from, to) = self.times(profile)?;
        let is_any_time = self.time == TimeRange::default();
        if !self.cpus.is_empty() && profile.samples.iter().all(|sample| sample.cpu == Sample::NO_CPU) {
            return Err(Error::new(ErrorKind::Usage, "cannot filter by CPU: the samples do not say theirs")
                .with_hint("leave --cpu out; `perf record --sample-cpu` makes recordings that say it"));
        }
        let wanted_threads: Vec<bool> = profile
            .threads
            .iter()
            .map(|thread| {
                let process = &profile.processes[thread.process.index()];
                let named = |name| self.comms.iter().any(|comm| comm == profile.strings.get(name));
                (self.pids.is_empty() || self.pids.contains(&process.pid))
                    && (self.tids.is_empty() || self.tids.contains(&thread.tid))
                    && (self.comms.is_empty() || named(thread.name) || named(process.name))
            })
            .collect();
        let cpus: FxHashSet<u32> = self.cpus.iter().copied().collect();
        let before = profile.samples.len();
        profile.samples.retain(|sample| {
            (is_any_time || sample.has_time() && (from..=to).contains(&sample.time.0))
                && wanted_threads[sample.thread.index()]
                && (cpus.is_empty() || cpus.contains(&sample.cpu))
        });
        let left_out = (before - profile.samples.len()) as u64;
        if left_out > 0 {
            profile.stats.is_as_recorded = false;
            *profile.stats.skipped.entry(NOT_ASKED_FOR.into()).or_default() += left_out;
        }
        if profile.samples.is_empty() {
            profile.stats.notes.push(format!("none of the {before} samples matches what was asked for"));
        }
        compact(profile);
        if left_out > 0 {
            profile.recount_frames();
        }
        Ok(())
    }

    fn times(&self, profile: &Profile) -> Result<(u64, u64)> {
        if self.time == TimeRange::default() {
            return Ok((0, u64::MAX));
        }
        // What was added up over all the time is of no part of it.
        let times = || profile.samples.iter().filter(Sample::has_time).map(|sample| sample.time.0);
        let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        if last == 0 {
            return Err(Error::new(ErrorKind::Usage, "cannot filter by time: the samples do not say theirs")
                .with_hint("leave --time out; folded stacks have no times, perf.data and `perf script` do"));
        }
        let resolve = |bound: Option<TimeBound>, open| bound.map_or(open, |bound| bound.resolve(first, last));
        Ok((resolve(self.time.from, 0), resolve(self.time.to, u64::MAX)))
    }
}

/// Drops the stacks and frames that no sample uses.
fn compact(profile: &mut Profile) {
    let mut used = vec![false; profile.stacks.len()];
    for sample in &profile.samples {
        used[sample.stack.index()] = true;
    }
    // Callers stand before: from the end, each marks its own.
    for row in (1..profile.stacks.len()).rev() {
        if used[row] {
            used[profile.stacks[row].parent.index()] = true;
        }
    }
    let mut new_frame: Vec<Option<FrameId>> = vec![None; profile.frames.len()];
    let mut new_stack = vec![StackId(0); profile.stacks.len()];
    let mut frames = Vec::new();
    let mut stacks: Vec<Stack> = profile.stacks.first().copied().into_iter().collect();
    for row in 1..profile.stacks.len() {
        if !used[row] {
            continue;
        }
        let Stack { parent, frame } = profile.stacks[row];
        let frame = *new_frame[frame.index()].get_or_insert_with(|| {
            frames.push(profile.frames[frame.index()]);
            FrameId::from_index(frames.len() - 1)
        });
        new_stack[row] = StackId::from_index(stacks.len());
        stacks.push(Stack { parent: new_stack[parent.index()], frame });
    }
    profile.samples.change(|sample| sample.stack = new_stack[sample.stack.index()]);
    (profile.frames, profile.stacks) = (frames, stacks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FoundBy, FrameKey, FrameKind, ProfileBuilder, StackEnd, Unit};

    /// Two processes; a sample each second from 10 s on, on CPUs 0, 1, 0, 1, ..., in functions f0, f1, ...
    fn profile() -> Profile {
        let mut builder = ProfileBuilder::new();
        let event = builder.add_event("cpu-clock", Unit::Nanoseconds, None);
        let processes = [builder.add_process(7, "server"), builder.add_process(8, "client")];
        let threads = [builder.add_thread(processes[0], 70, "worker"), builder.add_thread(processes[1], 8, "client")];
        let main = builder.name_frame("main", FrameKind::User);
        for second in 0..10u64 {
            let frame = builder.name_frame(&format!("f{second}"), FrameKind::User);
            let base = builder.stack(StackId(0), main);
            let stack = builder.stack(base, frame);
            builder.add_sample(Sample {
                time: Timestamp((10 + second) * 1_000_000_000),
                thread: threads[usize::from(second >= 5)],
                cpu: (second % 2) as u32,
                stack,
                end: StackEnd::Root,
                event,
                value: 1,
                count: 1,
            });
        }
        builder.finish()
    }

    fn kept(filter: &Filter) -> Vec<u64> {
        let mut profile = profile();
        filter.apply(&mut profile).unwrap();
        profile.check().unwrap();
        for sample in &profile.samples {
            let frame = profile.frames_of(sample.stack).next().unwrap();
            let FrameKey::Name { name, .. } = profile.frames[frame.index()].key else { panic!() };
            let second = sample.time.0 / 1_000_000_000 - 10;
            assert_eq!(profile.strings.get(name), format!("f{second}"));
        }
        assert_eq!(profile.frames.len(), profile.samples.len() + 1, "main and a function each");
        profile.samples.iter().map(|sample| sample.time.0 / 1_000_000_000 - 10).collect()
    }

    #[test]
    fn samples_are_kept_by_what_they_carry() {
        let check = |filter: Filter, expected: &[u64]| assert_eq!(kept(&filter), expected);
        let time = |text: &str| Filter { time: text.parse().unwrap(), ..Filter::default() };
        check(time("1.5..3"), &[2, 3]);
        check(time("..1"), &[0, 1]);
        check(time("8.."), &[8, 9]);
        check(time("@12..@13.5"), &[2, 3]);
        check(time("50%..70%"), &[5, 6]);
        check(Filter { pids: vec![8], ..Filter::default() }, &[5, 6, 7, 8, 9]);
        check(Filter { tids: vec![70], ..Filter::default() }, &[0, 1, 2, 3, 4]);
        check(Filter { comms: vec!["worker".into()], ..Filter::default() }, &[0, 1, 2, 3, 4]);
        check(Filter { comms: vec!["server".into()], ..Filter::default() }, &[0, 1, 2, 3, 4]);
        check(Filter { pids: vec![8], cpus: vec![1, 3], ..Filter::default() }, &[5, 7, 9]);
    }

    #[test]
    fn callers_are_counted_anew() {
        let mut profile = profile();
        for (row, frame) in profile.frames.iter_mut().enumerate() {
            // The first is main, which has called all others.
            let by = if row == 0 { FoundBy::UnwindInfo } else { FoundBy::Sample };
            frame.found_by = frame.found_by.with(FoundBy::Sample).with(by);
        }
        profile.stats.frames = [("unwind info", 10)].into();
        Filter { pids: vec![8], ..Filter::default() }.apply(&mut profile).unwrap();
        assert_eq!(profile.stats.frames, [("unwind info", 5)].into());
    }

    #[test]
    fn nothing_left_is_said() {
        let mut profile = profile();
        Filter { pids: vec![99], ..Filter::default() }.apply(&mut profile).unwrap();
        profile.check().unwrap();
        assert!(profile.samples.is_empty() && profile.frames.is_empty());
        assert_eq!(profile.stats.notes, ["none of the 10 samples matches what was asked for"]);
        assert_eq!(profile.stats.skipped["samples not asked for"], 10);
    }

    #[test]
    fn what_no_sample_carries_cannot_be_asked_for() {
        let mut profile = profile();
        profile.samples.change(|sample| (sample.time, sample.cpu) = (Timestamp(0), Sample::NO_CPU));
        let time = Filter { time: "1..2".parse().unwrap(), ..Filter::default() };
        assert!(time.apply(&mut profile).is_err());
        assert!(Filter { cpus: vec![0], ..Filter::default() }.apply(&mut profile).is_err());
        assert_eq!(profile.samples.len(), 10);
    }

    #[test]
    fn what_has_no_time_is_of_no_part_of_it() {
        let mut profile = profile();
        let sum = Sample { time: Timestamp::UNKNOWN, ..profile.samples.get(9) };
        profile.samples.push(sum);
        profile.samples.sort_by_time();
        let mut part = profile.clone();
        Filter { time: "0..3".parse().unwrap(), ..Filter::default() }.apply(&mut part).unwrap();
        assert_eq!((part.samples.len(), part.stats.skipped["samples not asked for"]), (4, 7));
        Filter { pids: vec![8], ..Filter::default() }.apply(&mut profile).unwrap();
        assert_eq!(profile.samples.len(), 6);
    }

    #[test]
    fn wrong_times_are_refused() {
        for text in ["", "..", "1", "1-2", "a..b", "1...2", "-1..2", "101%..", "1e3..", ".. .", "@..@"] {
            assert!(text.parse::<TimeRange>().is_err(), "{text}");
        }
        let at = TimeBound::At(Timestamp(12_250_000_000));
        assert_eq!("@12.25..".parse::<TimeRange>().unwrap(), TimeRange { from: Some(at), to: None });
    }
}
