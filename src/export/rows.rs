//! What the exporters share: the rows that one frame is, and the samples thread by thread.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use crate::model::{EventId, FrameId, FrameKey, FrameKind, ImageId, Profile, Resolution, Sample, ThreadId, Truncation};
use crate::model::{StackEnd, Thread};

/// One row of a frame: its function, one that was inlined into it, or what stands for a name.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub name: Cow<'a, str>,
    pub kind: FrameKind,
    pub image: Option<ImageId>,
    /// The source file; empty if unknown.
    pub file: &'a str,
    /// The line in it; 0 if unknown.
    pub line: u32,
}

/// The rows of `frame`, outermost first.
pub(super) fn rows_of(profile: &Profile, frame: FrameId) -> Vec<Row<'_>> {
    let key = profile.frames[frame.index()].key;
    let kind = profile.kind_of(frame);
    let image = match key {
        FrameKey::Code { image, .. } => Some(image),
        FrameKey::Name { .. } => None,
    };
    if matches!(profile.frames[frame.index()].resolution, Resolution::Lines { .. }) {
        let lines = profile.lines_of(frame).iter().rev().enumerate();
        return lines
            .map(|(at, line)| Row {
                name: name_of(profile.strings.get(profile.functions[line.function.index()].name)),
                // Only the outermost line is the function whose code it is; all others were copied into it.
                kind: if at == 0 { kind } else { FrameKind::Inlined },
                image,
                file: profile.strings.get(line.file),
                line: line.line,
            })
            .collect();
    }
    let name = match (profile.stand_in(frame), key) {
        (Some(stand_in), _) => Cow::Owned(stand_in),
        (None, FrameKey::Name { name, .. }) => name_of(profile.strings.get(name)),
        (None, FrameKey::Code { .. }) => name_of(""),
    };
    vec![Row { name, kind, image, file: "", line: 0 }]
}

/// A name that is empty is said to be.
fn name_of(name: &str) -> Cow<'_, str> {
    Cow::Borrowed(if name.is_empty() { "[no name]" } else { name })
}

/// Why the stack of `sample` is cut, if it is known to be.
pub(super) fn cut_of(sample: &Sample) -> Option<Truncation> {
    match sample.end {
        StackEnd::Root | StackEnd::Unstated => None,
        StackEnd::Truncated(reason) => Some(reason),
    }
}

/// The samples of one event on one thread: those that tell when they were, or those that do not.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub event: EventId,
    pub thread: ThreadId,
    /// Where its samples stand in [`ByThread::order`].
    pub range: Range<usize>,
    /// Their sum; cut at 2^64 - 1.
    pub value: u64,
    /// Whether its samples tell when they were; folded stacks, pprof, and waits that were added up do not.
    pub has_times: bool,
}

/// The samples of a profile by event and thread: rows of its table, no copy of them.
#[derive(Debug)]
pub(super) struct ByThread {
    pub groups: Vec<Group>,
    order: Vec<u32>,
}

impl ByThread {
    /// Sorts the samples by event and thread: in order of time, those without times apart from them and by stack.
    pub fn new(profile: &Profile) -> io::Result<ByThread> {
        let rows = u32::try_from(profile.samples.len()).map_err(|_| io::Error::other("more than 2^32 samples"))?;
        let get = |row: u32| profile.samples.get(row as usize);
        let mut order: Vec<u32> = (0..rows).collect();
        order.sort_by_key(|row| {
            let sample = get(*row);
            (sample.event, sample.thread, !sample.has_time())
        });
        let mut groups: Vec<Group> = Vec::new();
        for (at, row) in order.iter().enumerate() {
            let sample = get(*row);
            match groups.last_mut() {
                Some(last)
                    if (last.event, last.thread, last.has_times)
                        == (sample.event, sample.thread, sample.has_time()) =>
                {
                    last.range.end = at + 1;
                    last.value = last.value.saturating_add(sample.value);
                }
                _ => groups.push(Group {
                    event: sample.event,
                    thread: sample.thread,
                    range: at..at + 1,
                    value: sample.value,
                    has_times: sample.has_time(),
                }),
            }
        }
        for group in &mut groups {
            let rows = &mut order[group.range.clone()];
            let (first, last) = (get(rows[0]).time, get(rows[rows.len() - 1]).time);
            group.has_times &= first != last || rows.len() == 1;
            if !group.has_times {
                rows.sort_by_key(|row| (get(*row).stack, get(*row).end));
            }
        }
        Ok(ByThread { groups, order })
    }

    /// The samples of a group: in order of time, or by stack where there are no times.
    pub fn samples<'a>(&'a self, profile: &'a Profile, group: &Group) -> impl Iterator<Item = Sample> + 'a {
        self.order[group.range.clone()].iter().map(|row| profile.samples.get(*row as usize))
    }
}

/// Samples with those that follow each other with one stack as one: the first of them, with their sum.
pub(super) fn merged(samples: impl Iterator<Item = Sample>) -> impl Iterator<Item = Sample> {
    let mut samples = samples.peekable();
    std::iter::from_fn(move || {
        let mut sum = samples.next()?;
        while let Some(next) = samples.next_if(|next| next.stack == sum.stack && cut_of(next) == cut_of(&sum)) {
            sum.value = sum.value.saturating_add(next.value);
            sum.count = sum.count.saturating_add(next.count);
        }
        Some(sum)
    })
}

/// A thread as a person knows it: `server (7)`, `server/worker (7/9)`, or a bare name where ids are not known.
pub(super) fn thread_label(profile: &Profile, thread: &Thread) -> String {
    let process = &profile.processes[thread.process.index()];
    let (of_process, of_thread) = (profile.strings.get(process.name), profile.strings.get(thread.name));
    let mut label = name_of(of_process).into_owned();
    if of_thread != of_process && !of_thread.is_empty() {
        label = format!("{label}/{of_thread}");
    }
    match (process.pid, thread.tid) {
        (0, 0) => label,
        (0, tid) => format!("{label} ({})", tid as i32),
        (pid, tid) if pid == tid || tid == 0 => format!("{label} ({})", pid as i32),
        (pid, tid) => format!("{label} ({}/{})", pid as i32, tid as i32),
    }
}
