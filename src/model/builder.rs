//! The only writer of samples, frames and stacks.

use rustc_hash::FxHashMap;

use super::address::BuildId;
use super::id::{EventId, FrameId, FunctionId, ImageId, ProcessId, StackId, StringId, ThreadId};
use super::profile::{
    Event, Frame, FrameKey, FrameKind, Function, Image, ImageKind, Line, Place, Process, Profile, Resolution, Stack,
    Thread,
};
use super::reason::{FoundBy, FoundBySet, StackEnd, Unnamed};
use super::samples::Sample;
use super::unit::Unit;

/// Builds a [`Profile`] sample by sample; equal frames and stacks are stored once.
#[derive(Debug)]
pub struct ProfileBuilder {
    profile: Profile,
    /// With the ways in which each was found: whoever looks it up has them at hand, and so the table need not be touched.
    frames: FxHashMap<FrameKey, (FrameId, FoundBySet)>,
    functions: FxHashMap<Function, FunctionId>,
    /// The first stack that each stack called, which is the only one of most: chains of frames lie side by side and are found
    /// without hashing. 0 for none. Shorter than the table of stacks where nobody has looked for one since.
    first_called: Vec<StackId>,
    /// All others.
    stacks: FxHashMap<Stack, StackId>,
}

impl Default for ProfileBuilder {
    fn default() -> Self {
        ProfileBuilder::new()
    }
}

impl ProfileBuilder {
    /// The kernel's image.
    pub const KERNEL: ImageId = ImageId(0);
    /// The image of addresses that are in no known mapping.
    pub const UNMAPPED: ImageId = ImageId(1);

    /// A builder with the two images that every profile has.
    pub fn new() -> ProfileBuilder {
        let mut builder = ProfileBuilder {
            profile: Profile::default(),
            frames: FxHashMap::default(),
            functions: FxHashMap::default(),
            first_called: vec![StackId(0)],
            stacks: FxHashMap::default(),
        };
        builder.add_image(ImageKind::Kernel, "[kernel]", None);
        builder.add_image(ImageKind::Unmapped, "[unmapped]", None);
        // Row 0 is the empty stack; its frame is never looked at.
        builder.profile.stacks.push(Stack { parent: StackId(0), frame: FrameId(0) });
        builder
    }

    /// What has been built so far.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Interns a string.
    pub fn string(&mut self, string: &str) -> StringId {
        self.profile.strings.intern(string)
    }

    /// Adds an event; the first one is the main one, unless `Profile::main` is set.
    pub fn add_event(&mut self, name: &str, unit: Unit, period: Option<u64>) -> EventId {
        let name = self.string(name);
        self.profile.events.push(Event { name, unit, period });
        EventId::from_index(self.profile.events.len() - 1)
    }

    /// Adds an image; whoever adds it keeps track of which it is.
    pub fn add_image(&mut self, kind: ImageKind, path: &str, build_id: Option<BuildId>) -> ImageId {
        let path = self.string(path);
        self.profile.images.push(Image { kind, path, build_id, debug_info: false });
        ImageId::from_index(self.profile.images.len() - 1)
    }

    /// Adds a process.
    pub fn add_process(&mut self, pid: u32, name: &str) -> ProcessId {
        let name = self.string(name);
        self.profile.processes.push(Process { pid, name });
        ProcessId::from_index(self.profile.processes.len() - 1)
    }

    /// Adds a thread of a process.
    pub fn add_thread(&mut self, process: ProcessId, tid: u32, name: &str) -> ThreadId {
        let name = self.string(name);
        self.profile.threads.push(Thread { process, tid, name });
        ThreadId::from_index(self.profile.threads.len() - 1)
    }

    /// Renames a process; only its last name is kept.
    pub fn rename_process(&mut self, process: ProcessId, name: &str) {
        self.profile.processes[process.index()].name = self.profile.strings.intern(name);
    }

    /// Renames a thread; only its last name is kept.
    pub fn rename_thread(&mut self, thread: ThreadId, name: &str) {
        self.profile.threads[thread.index()].name = self.profile.strings.intern(name);
    }

    /// Sets what identifies an image's contents, once it is known.
    pub fn set_build_id(&mut self, image: ImageId, build_id: BuildId) {
        self.profile.images[image.index()].build_id = Some(build_id);
    }

    /// The frame of code at `offset` of `image`.
    pub fn code_frame(&mut self, image: ImageId, offset: u64) -> FrameId {
        self.frame(FrameKey::Code { image, offset })
    }

    /// The frame of code at `offset` of `image`, which was found so.
    pub fn found_frame(&mut self, image: ImageId, offset: u64, by: FoundBy) -> FrameId {
        let (frame, found_by) = self.entry(FrameKey::Code { image, offset });
        *found_by = found_by.with(by);
        frame
    }

    /// The same frame with its code in another place, which became known later; it was found as it was.
    pub fn frame_in(&mut self, frame: FrameId, image: ImageId, offset: u64) -> FrameId {
        let key = self.profile.frames[frame.index()].key;
        let by = self.frames.get(&key).map_or_else(FoundBySet::default, |(_, by)| *by);
        let (frame, found_by) = self.entry(FrameKey::Code { image, offset });
        *found_by = found_by.union(by);
        frame
    }

    /// The frame of a bare name.
    pub fn name_frame(&mut self, name: &str, kind: FrameKind) -> FrameId {
        let name = self.string(name);
        self.frame(FrameKey::Name { name, kind })
    }

    /// The frame of a bare name that stands for code without a name.
    pub fn nameless_frame(&mut self, name: &str, kind: FrameKind, reason: Unnamed) -> FrameId {
        let frame = self.name_frame(name, kind);
        self.profile.frames[frame.index()].resolution = Resolution::Unknown { reason, place: Place::Offset };
        frame
    }

    /// The frame of code at `offset` of `image` that whoever wrote the stack had no name for, and nobody will look up.
    pub fn nameless_code_frame(&mut self, image: ImageId, offset: u64, reason: Unnamed) -> FrameId {
        let frame = self.code_frame(image, offset);
        self.profile.frames[frame.index()].resolution = Resolution::Unknown { reason, place: Place::Offset };
        frame
    }

    /// A function, by the name that is shown and the one that its object file has.
    pub fn function(&mut self, name: &str, raw_name: &str) -> FunctionId {
        let function = Function { name: self.string(name), raw_name: self.string(raw_name) };
        let functions = &mut self.profile.functions;
        *self.functions.entry(function).or_insert_with(|| {
            functions.push(function);
            FunctionId::from_index(functions.len() - 1)
        })
    }

    /// A frame with these lines, innermost first, of which there is at least one; it is no other frame, even one of an equal key.
    pub fn resolved_frame(&mut self, key: FrameKey, lines: &[Line]) -> FrameId {
        let profile = &mut self.profile;
        let first = u32::try_from(profile.lines.len()).expect("a table holds fewer than 2^32 rows");
        let count = u32::try_from(lines.len()).expect("a table holds fewer than 2^32 rows");
        profile.lines.extend_from_slice(lines);
        let resolution = Resolution::Lines { first, count };
        profile.frames.push(Frame { key, resolution, found_by: FoundBySet::default() });
        FrameId::from_index(profile.frames.len() - 1)
    }

    fn frame(&mut self, key: FrameKey) -> FrameId {
        self.entry(key).0
    }

    fn entry(&mut self, key: FrameKey) -> (FrameId, &mut FoundBySet) {
        let frames = &mut self.profile.frames;
        let (frame, found_by) = self.frames.entry(key).or_insert_with(|| {
            let resolution = match key {
                FrameKey::Code { .. } => Resolution::Unknown { reason: Unnamed::NotAsked, place: Place::Offset },
                FrameKey::Name { .. } => Resolution::Name,
            };
            frames.push(Frame { key, resolution, found_by: FoundBySet::default() });
            (FrameId::from_index(frames.len() - 1), FoundBySet::default())
        });
        (*frame, found_by)
    }

    /// The stack of `frame` called by `parent`; `StackId(0)` is the empty stack.
    pub fn stack(&mut self, parent: StackId, frame: FrameId) -> StackId {
        if self.first_called.len() < self.profile.stacks.len() {
            self.index_stacks();
        }
        let stack = Stack { parent, frame };
        let rows = &self.profile.stacks;
        let first = &mut self.first_called[parent.index()];
        if *first == StackId(0) {
            *first = StackId::from_index(rows.len());
            let new = *first;
            self.profile.stacks.push(stack);
            self.first_called.push(StackId(0));
            return new;
        }
        if rows[first.index()].frame == frame {
            return *first;
        }
        *self.stacks.entry(stack).or_insert_with(|| {
            self.profile.stacks.push(stack);
            self.first_called.push(StackId(0));
            StackId::from_index(self.profile.stacks.len() - 1)
        })
    }

    /// The stack of `frame` called by `parent`, which the caller knows to be none that is there: it is not looked for.
    #[inline]
    pub fn new_stack(&mut self, parent: StackId, frame: FrameId) -> StackId {
        self.profile.stacks.push(Stack { parent, frame });
        StackId::from_index(self.profile.stacks.len() - 1)
    }

    /// Makes the stacks that were added as new ones known.
    #[cold]
    fn index_stacks(&mut self) {
        for row in self.first_called.len()..self.profile.stacks.len() {
            let stack = self.profile.stacks[row];
            self.first_called.push(StackId(0));
            match &mut self.first_called[stack.parent.index()] {
                first @ StackId(0) => *first = StackId::from_index(row),
                _ => drop(self.stacks.insert(stack, StackId::from_index(row))),
            }
        }
    }

    /// Adds a sample.
    pub fn add_sample(&mut self, sample: Sample) {
        self.profile.samples.push(sample);
    }

    /// Gives the sample of a row another stack: one of which more became known later.
    pub fn replace_stack(&mut self, row: usize, stack: StackId, end: StackEnd) {
        let sample = self.profile.samples.get(row);
        self.profile.samples.set(row, Sample { stack, end, ..sample });
    }

    /// Gives the sample of a row another value.
    pub fn set_value(&mut self, row: usize, value: u64) {
        let sample = self.profile.samples.get(row);
        self.profile.samples.set(row, Sample { value, ..sample });
    }

    /// The finished profile, without names; its samples are sorted by time.
    pub fn finish(mut self) -> Profile {
        for (frame, found_by) in self.frames.values() {
            self.profile.frames[frame.index()].found_by = *found_by;
        }
        self.profile.samples.sort_by_time();
        self.profile
    }
}
