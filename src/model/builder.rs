//! The only writer of samples, frames and stacks.

use rustc_hash::FxHashMap;

use super::address::BuildId;
use super::id::{EventId, FrameId, ImageId, ProcessId, StackId, StringId, ThreadId};
use super::intern::Interner;
use super::profile::{
    Event, Frame, FrameKey, FrameKind, Image, ImageKind, Place, Process, Profile, Resolution, Sample, Stack, Thread,
};
use super::reason::{StackEnd, Unnamed};
use super::unit::Unit;

/// Builds a [`Profile`] sample by sample; equal frames and stacks are stored once.
#[derive(Debug)]
pub struct ProfileBuilder {
    profile: Profile,
    frames: Interner<FrameKey>,
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
        let mut builder =
            ProfileBuilder { profile: Profile::default(), frames: Interner::default(), stacks: FxHashMap::default() };
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
        self.profile.images.push(Image { kind, path, build_id });
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

    fn frame(&mut self, key: FrameKey) -> FrameId {
        let id = self.frames.intern(key);
        if id as usize == self.profile.frames.len() {
            let resolution = match key {
                FrameKey::Code { .. } => Resolution::Unknown { reason: Unnamed::NotAsked, place: Place::Offset },
                FrameKey::Name { .. } => Resolution::Name,
            };
            self.profile.frames.push(Frame { key, resolution });
        }
        FrameId(id)
    }

    /// The stack of `frame` called by `parent`; `StackId(0)` is the empty stack.
    pub fn stack(&mut self, parent: StackId, frame: FrameId) -> StackId {
        let stack = Stack { parent, frame };
        *self.stacks.entry(stack).or_insert_with(|| {
            self.profile.stacks.push(stack);
            StackId::from_index(self.profile.stacks.len() - 1)
        })
    }

    /// Adds a sample.
    pub fn add_sample(&mut self, sample: Sample) {
        self.profile.samples.push(sample);
    }

    /// Gives the sample of a row another stack: one of which more became known later.
    pub fn replace_stack(&mut self, row: usize, stack: StackId, end: StackEnd) {
        let sample = &mut self.profile.samples[row];
        (sample.stack, sample.end) = (stack, end);
    }

    /// The finished profile, without names; its samples are sorted by time.
    pub fn finish(mut self) -> Profile {
        self.profile.samples.sort_by_key(|sample| sample.time);
        self.profile
    }
}
