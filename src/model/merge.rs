//! Several profiles to one.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::address::BuildId;
use super::builder::ProfileBuilder;
use super::id::{EventId, FrameId, FunctionId, ImageId, ProcessId, StackId, StringId, ThreadId};
use super::profile::{
    Event, Frame, FrameKey, Function, Image, ImageKind, Line, Process, Profile, Resolution, Stack, Thread,
};
use super::samples::Sample;
use super::stats::CaptureStats;
use super::unit::Unit;

/// Merges profiles; their samples come to stand in order of time.
///
/// What is equal becomes one row: strings, images (by kind, path and build id; memory without a file is of its own
/// profile), functions, lines, stacks, and events by name and unit. Frames are equal if their names are too: the same
/// kernel address is another function after another boot. Processes and threads stay apart, as ids are given anew on each
/// machine. The main event is that of the first profile with samples. Sums of shares are left to [`Profile::summarize`].
pub fn merge(profiles: Vec<Profile>) -> Profile {
    let mut rest = profiles.into_iter();
    let Some(first) = rest.next() else { return ProfileBuilder::new().finish() };
    let Some(second) = rest.next() else { return first };
    let mut merger = Merger::default();
    [first, second].into_iter().chain(rest).for_each(|profile| merger.add(profile));
    merger.finish()
}

/// Profiles as they are merged, one after the other: none has to wait for the others.
#[derive(Clone, Debug, Default)]
pub struct Merger {
    merged: Profile,
    count: usize,
    images: FxHashMap<(ImageKind, StringId, Option<BuildId>), ImageId>,
    functions: FxHashMap<Function, FunctionId>,
    lines: FxHashMap<Vec<(FunctionId, StringId, u32)>, u32>,
    frames: FxHashMap<(FrameKey, Resolution), FrameId>,
    stacks: FxHashMap<Stack, StackId>,
    events: FxHashMap<(StringId, Unit), EventId>,
}

impl Merger {
    /// Everything that was added, as [`merge`] says.
    pub fn finish(mut self) -> Profile {
        if self.count == 0 {
            return ProfileBuilder::new().finish();
        }
        self.merged.samples.sort_by_time();
        self.merged
    }

    /// Adds one.
    pub fn add(&mut self, profile: Profile) {
        let is_first = self.count == 0;
        self.count += 1;
        let strings: Vec<StringId> = profile.strings.iter().map(|text| self.merged.strings.intern(text)).collect();
        let string = |id: StringId| strings[id.index()];
        let images: Vec<ImageId> = profile
            .images
            .iter()
            .map(|image| self.image(Image { path: string(image.path), ..image.clone() }))
            .collect();
        let function = |of: &Function| Function { name: string(of.name), raw_name: string(of.raw_name) };
        let functions: Vec<FunctionId> = profile.functions.iter().map(|of| self.function(function(of))).collect();
        let frames: Vec<FrameId> = profile
            .frames
            .iter()
            .map(|frame| {
                let key = match frame.key {
                    FrameKey::Code { image, offset } => FrameKey::Code { image: images[image.index()], offset },
                    FrameKey::Name { name, kind } => FrameKey::Name { name: string(name), kind },
                };
                let resolution = match frame.resolution {
                    Resolution::Lines { first, count } => {
                        let lines = &profile.lines[first as usize..first as usize + count as usize];
                        let line = |of: &Line| (functions[of.function.index()], string(of.file), of.line);
                        Resolution::Lines { first: self.lines(lines.iter().map(line).collect()), count }
                    }
                    resolution => resolution,
                };
                self.frame(Frame { key, resolution, found_by: frame.found_by })
            })
            .collect();
        let stacks = self.stacks(&profile.stacks, &frames);
        let events: Vec<EventId> = profile
            .events
            .iter()
            .map(|event| self.event(Event { name: string(event.name), ..event.clone() }))
            .collect();
        let first_process = self.merged.processes.len();
        let processes = profile.processes.iter().map(|process| Process { name: string(process.name), ..*process });
        self.merged.processes.extend(processes);
        let first_thread = self.merged.threads.len();
        self.merged.threads.extend(profile.threads.iter().map(|thread| Thread {
            process: ProcessId::from_index(first_process + thread.process.index()),
            tid: thread.tid,
            name: string(thread.name),
        }));
        if self.merged.samples.is_empty() && !profile.events.is_empty() {
            self.merged.main = events[profile.main.index()];
        }
        self.merged.samples.extend(profile.samples.iter().map(|sample| Sample {
            thread: ThreadId::from_index(first_thread + sample.thread.index()),
            stack: stacks[sample.stack.index()],
            event: events[sample.event.index()],
            ..sample
        }));
        match is_first {
            true => self.merged.stats = profile.stats,
            false => add_stats(&mut self.merged.stats, profile.stats),
        }
    }

    fn image(&mut self, image: Image) -> ImageId {
        let key = (image.kind, image.path, image.build_id);
        // A JIT's memory at one address is another thing in each recording.
        let known = self.images.get(&key).filter(|_| !matches!(image.kind, ImageKind::Jit(_)));
        if let Some(id) = known {
            self.merged.images[id.index()].debug_info |= image.debug_info;
            return *id;
        }
        let id = ImageId::from_index(self.merged.images.len());
        self.merged.images.push(image);
        self.images.insert(key, id);
        id
    }

    fn function(&mut self, function: Function) -> FunctionId {
        let functions = &mut self.merged.functions;
        *self.functions.entry(function).or_insert_with(|| {
            functions.push(function);
            FunctionId::from_index(functions.len() - 1)
        })
    }

    /// The first row of these lines.
    fn lines(&mut self, lines: Vec<(FunctionId, StringId, u32)>) -> u32 {
        let rows = &mut self.merged.lines;
        *self.lines.entry(lines).or_insert_with_key(|lines| {
            let first = u32::try_from(rows.len()).expect("a table holds fewer than 2^32 rows");
            rows.extend(lines.iter().map(|(function, file, line)| Line {
                function: *function,
                file: *file,
                line: *line,
            }));
            first
        })
    }

    fn frame(&mut self, frame: Frame) -> FrameId {
        let frames = &mut self.merged.frames;
        let id = *self.frames.entry((frame.key, frame.resolution)).or_insert_with(|| {
            frames.push(frame);
            FrameId::from_index(frames.len() - 1)
        });
        let found_by = &mut frames[id.index()].found_by;
        *found_by = found_by.union(frame.found_by);
        id
    }

    fn stacks(&mut self, stacks: &[Stack], frames: &[FrameId]) -> Vec<StackId> {
        let merged = &mut self.merged.stacks;
        if merged.is_empty() {
            merged.push(Stack { parent: StackId(0), frame: FrameId(0) });
        }
        let mut ids = Vec::with_capacity(stacks.len());
        ids.push(StackId(0));
        for stack in stacks.iter().skip(1) {
            let stack = Stack { parent: ids[stack.parent.index()], frame: frames[stack.frame.index()] };
            // Profiles of one program have most stacks in one order, so that the next is the one behind the last.
            let next = ids[ids.len() - 1].index() + 1;
            if next < merged.len() && merged[next] == stack {
                ids.push(StackId::from_index(next));
                continue;
            }
            ids.push(*self.stacks.entry(stack).or_insert_with(|| {
                merged.push(stack);
                StackId::from_index(merged.len() - 1)
            }));
        }
        ids
    }

    fn event(&mut self, event: Event) -> EventId {
        let events = &mut self.merged.events;
        let period = event.period;
        let id = *self.events.entry((event.name, event.unit)).or_insert_with(|| {
            events.push(event);
            EventId::from_index(events.len() - 1)
        });
        let known = &mut events[id.index()];
        if known.period != period {
            // A number of samples says nothing if they are worth different things.
            known.period = None;
        }
        id
    }
}

/// Adds up what was taken and missed; what cannot be added is not known of the sum.
fn add_stats(sum: &mut CaptureStats, other: CaptureStats) {
    sum.origin = sum.origin.max(other.origin);
    sum.is_as_recorded = false;
    sum.run = None;
    if sum.rate != other.rate {
        sum.rate = None;
    }
    if sum.event != other.event {
        sum.event.clear();
    }
    sum.duration = sum.duration.saturating_add(other.duration);
    sum.samples = sum.samples.saturating_add(other.samples);
    sum.lost = sum.lost.saturating_add(other.lost);
    sum.throttled = sum.throttled.saturating_add(other.throttled);
    sum.cpu_time = sum.cpu_time.zip(other.cpu_time).map(|(a, b)| a.saturating_add(b));
    if sum.coverage != other.coverage {
        sum.coverage = None;
    }
    sum.own_cpu = sum.own_cpu.saturating_add(other.own_cpu);
    sum.peak_rss_bytes = sum.peak_rss_bytes.max(other.peak_rss_bytes);
    for (sum, other) in [(&mut sum.records, other.records), (&mut sum.skipped, other.skipped)] {
        add_counts(sum, other);
    }
    sum.trimmed = sum.trimmed.saturating_add(other.trimmed);
    sum.completed_late = sum.completed_late.saturating_add(other.completed_late);
    add_counts(&mut sum.frames, other.frames);
    // Their shares are of no whole any more; what helps is kept.
    sum.unnamed_images.extend(other.unnamed_images);
    sum.is_cut |= other.is_cut;
    for note in other.notes {
        if !sum.notes.contains(&note) {
            sum.notes.push(note);
        }
    }
    for (sum, other) in [(&mut sum.target, other.target), (&mut sum.host, other.host)] {
        if !other.is_empty() && *sum != other {
            *sum = if sum.is_empty() { other } else { format!("{sum}, {other}") };
        }
    }
    sum.started_unix = [sum.started_unix, other.started_unix].into_iter().filter(|time| *time > 0).min().unwrap_or(0);
}

fn add_counts<K: Ord>(sum: &mut BTreeMap<K, u64>, other: BTreeMap<K, u64>) {
    for (what, count) in other {
        let known = sum.entry(what).or_default();
        *known = known.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FrameKind, StackEnd, Timestamp, Unnamed};

    fn profile(names: &[&str], event: (&str, Unit), time: u64) -> Profile {
        let mut builder = ProfileBuilder::new();
        let event = builder.add_event(event.0, event.1, None);
        let process = builder.add_process(1, "prog");
        let thread = builder.add_thread(process, 1, "prog");
        let file = builder.add_image(ImageKind::File, "/bin/prog", None);
        let jit = builder.add_image(ImageKind::Jit(1), "[anon]", None);
        let mut stack = StackId(0);
        let frames: Vec<FrameId> =
            [file, jit, ProfileBuilder::KERNEL].iter().map(|image| builder.code_frame(*image, 16)).collect();
        for frame in &frames {
            stack = builder.stack(stack, *frame);
        }
        for name in names {
            let frame = builder.name_frame(name, FrameKind::User);
            stack = builder.stack(stack, frame);
        }
        let (time, end) = (Timestamp(time), StackEnd::Root);
        builder.add_sample(Sample { time, thread, cpu: 0, stack, end, event, value: 5, count: 1 });
        let mut profile = builder.finish();
        let (name, raw_name) = (profile.strings.intern(names[0]), profile.strings.intern("raw"));
        profile.functions = vec![Function { name, raw_name }];
        profile.lines = vec![Line { function: FunctionId(0), file: raw_name, line: 7 }];
        profile.frames[frames[2].index()].resolution = Resolution::Lines { first: 0, count: 1 };
        profile.frames[frames[0].index()].resolution =
            Resolution::Unknown { reason: Unnamed::NoSymbols, place: super::super::Place::Function(4) };
        profile.stats.records.insert("sample".into(), 1);
        profile.stats.frames.insert("unwind info", 4);
        profile.check().unwrap();
        profile
    }

    #[test]
    fn equal_things_become_one_row() {
        let one = profile(&["a", "b"], ("cycles", Unit::Count), 20);
        let two = profile(&["a", "c"], ("cycles", Unit::Count), 10);
        let merged = merge(vec![one.clone(), two]);
        merged.check().unwrap();
        assert_eq!(merged.events.len(), 1);
        // The kernel, what is unmapped, the file; generated code of each.
        assert_eq!(merged.images.len(), 5);
        assert_eq!((merged.functions.len(), merged.lines.len()), (1, 1));
        // prog, two of generated code, one of the kernel, a, b, c.
        assert_eq!(merged.frames.len(), 7);
        assert_eq!((merged.processes.len(), merged.threads.len()), (2, 2));
        assert_eq!(merged.samples.iter().map(|sample| sample.time.0).collect::<Vec<_>>(), [10, 20]);
        assert_eq!((merged.stats.records["sample"], merged.stats.frames["unwind info"]), (2, 8));
        let again = merge(vec![one.clone(), one.clone()]);
        assert_eq!(again.frames.len(), one.frames.len() + 1, "only the generated code is another");
    }

    #[test]
    fn a_kernel_address_with_another_name_is_another_frame() {
        let merged = merge(vec![profile(&["a"], ("x", Unit::Count), 1), profile(&["b"], ("x", Unit::Nanoseconds), 2)]);
        merged.check().unwrap();
        let kernel = |frame: &&Frame| matches!(frame.key, FrameKey::Code { image: ProfileBuilder::KERNEL, .. });
        assert_eq!(merged.frames.iter().filter(kernel).count(), 2);
        assert_eq!(merged.events.len(), 2);
        assert_eq!(merged.main, EventId(0));
    }

    #[test]
    fn no_profiles_and_empty_ones() {
        merge(Vec::new()).check().unwrap();
        let empty = ProfileBuilder::new().finish();
        let mut empty_but_named = ProfileBuilder::new();
        empty_but_named.add_event("y", Unit::Bytes, None);
        let full = profile(&["a"], ("x", Unit::Count), 1);
        let merged = merge(vec![empty.clone(), empty_but_named.finish(), full, empty]);
        merged.check().unwrap();
        assert_eq!(merged.main_event(), "x");
        assert_eq!(merged.samples.len(), 1);
    }
}
