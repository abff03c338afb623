//! The rows that one frame is shown as: its function, the functions inlined into it, or what stands for a name.

use std::ops::Range;

use super::view::{Key, View};
use crate::model::{
    FrameId, FrameKey, FrameKind, ImageId, Process, Profile, Resolution, Sample, StackId, StringId, StringTable,
    Thread, Truncation,
};

/// One row of a frame: what becomes a node of the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The name, in the tree's own table.
    pub name: StringId,
    pub kind: FrameKind,
    pub image: Option<ImageId>,
    /// The source file, in the tree's own table.
    pub file: StringId,
    pub line: u32,
}

/// Expands frames to rows, each frame once.
#[derive(Debug)]
pub(super) struct FrameNames<'a> {
    profile: &'a Profile,
    /// The tree's name of each of the profile's strings; made when first asked for.
    strings: Vec<Option<StringId>>,
    expanded: Vec<Option<(u32, u32)>>,
    rows: Vec<Row>,
    /// Whether stacks of a process of which neither name nor id is known stand on nothing: whoever wrote them had no processes.
    is_without_processes: bool,
    pub names: StringTable,
}

impl<'a> FrameNames<'a> {
    pub fn new(profile: &'a Profile) -> FrameNames<'a> {
        FrameNames {
            profile,
            strings: vec![None; profile.strings.count()],
            expanded: vec![None; profile.frames.len()],
            rows: Vec::new(),
            is_without_processes: is_without_processes(profile),
            names: StringTable::default(),
        }
    }

    /// The name of a string of the profile in the tree's table; a name that is empty is said to be.
    fn name(&mut self, string: StringId) -> StringId {
        match self.profile.strings.get(string) {
            "" => self.names.intern("[no name]"),
            _ => self.string(string),
        }
    }

    /// What stacks of this thread and end stand on, outermost first: the process, the thread, and that they are cut.
    pub fn rows_of_base(&mut self, key: Key, view: &View) -> Vec<Row> {
        let thread = &self.profile.threads[key.thread.index()];
        let process = &self.profile.processes[thread.process.index()];
        let mut rows = Vec::new();
        let is_known = self.is_shown(process);
        if is_known {
            rows.push(named(self.process_name(process, view.per_process), FrameKind::Task));
        }
        if view.per_thread && (is_known || thread.tid != 0) {
            rows.push(named(self.thread_name(thread), FrameKind::Task));
        }
        if let Some(row) = usize::from(key.end).checked_sub(1) {
            rows.push(named(self.names.intern(&Truncation::ALL[row].note()), FrameKind::Note));
        }
        rows
    }

    /// Whether stacks of `process` stand on it.
    pub fn is_shown(&self, process: &Process) -> bool {
        !(self.is_without_processes && is_unknown(self.profile, process))
    }

    /// The rows of `frame`, outermost first.
    pub fn rows_of(&mut self, frame: FrameId) -> Range<usize> {
        let (first, end) = match self.expanded[frame.index()] {
            Some(range) => range,
            None => {
                let first = self.rows.len() as u32;
                self.expand(frame);
                let range = (first, self.rows.len() as u32);
                self.expanded[frame.index()] = Some(range);
                range
            }
        };
        first as usize..end as usize
    }

    pub fn row(&self, row: usize) -> Row {
        self.rows[row]
    }

    /// The name of a process, with its id if processes of one name are told apart and it is known.
    pub fn process_name(&mut self, process: &Process, with_id: bool) -> StringId {
        if !with_id || process.pid == 0 {
            return self.name(process.name);
        }
        let name = self.with_id(process.name, process.pid);
        self.names.intern(&name)
    }

    /// The name of a thread, with its id: threads of one name are many.
    pub fn thread_name(&mut self, thread: &Thread) -> StringId {
        let name = self.with_id(thread.name, thread.tid);
        self.names.intern(&name)
    }

    fn with_id(&self, name: StringId, id: u32) -> String {
        // An id alone would look like a negative number; an empty name without an id is said so when it is shown.
        let name = self.profile.strings.get(name);
        format!("{}-{}", if name.is_empty() { "[no name]" } else { name }, id as i32)
    }

    fn expand(&mut self, id: FrameId) {
        let profile = self.profile;
        let frame = profile.frames[id.index()];
        let image = match frame.key {
            FrameKey::Name { kind, .. } if matches!(frame.resolution, Resolution::Lines { .. }) => {
                return self.expand_lines(id, kind, None);
            }
            FrameKey::Name { name, kind } => {
                let name = self.name(name);
                return self.rows.push(Row { name, kind, image: None, file: StringId(0), line: 0 });
            }
            FrameKey::Code { image, .. } => image,
        };
        let kind = profile.kind_of(id);
        if let Some(stand_in) = profile.stand_in(id) {
            let name = self.names.intern(&stand_in);
            return self.rows.push(Row { name, kind, image: Some(image), file: StringId(0), line: 0 });
        }
        self.expand_lines(id, kind, Some(image));
    }

    fn expand_lines(&mut self, id: FrameId, kind: FrameKind, image: Option<ImageId>) {
        let profile = self.profile;
        // Only the outermost line is the function whose code it is; all others were copied into it.
        for (at, line) in profile.lines_of(id).iter().rev().enumerate() {
            let name = self.name(profile.functions[line.function.index()].name);
            let file = self.string(line.file);
            let kind = if at == 0 { kind } else { FrameKind::Inlined };
            self.rows.push(Row { name, kind, image, file, line: line.line });
        }
    }

    fn string(&mut self, string: StringId) -> StringId {
        *self.strings[string.index()].get_or_insert_with(|| self.names.intern(self.profile.strings.get(string)))
    }
}

fn named(name: StringId, kind: FrameKind) -> Row {
    Row { name, kind, image: None, file: StringId(0), line: 0 }
}

fn is_unknown(profile: &Profile, process: &Process) -> bool {
    process.pid == 0 && profile.strings.get(process.name).is_empty()
}

/// Whether all stacks of processes that are not known have frames, and no time: without frames a sample would be of nothing, and what has a
/// time is in the lane of a thread, which is named.
fn is_without_processes(profile: &Profile) -> bool {
    if !profile.processes.iter().any(|process| is_unknown(profile, process)) {
        return false;
    }
    let of_thread = |thread: &Thread| is_unknown(profile, &profile.processes[thread.process.index()]);
    let is_of_unknown: Vec<bool> = profile.threads.iter().map(of_thread).collect();
    let needs_process = |sample: Sample| sample.stack == StackId(0) || sample.has_time();
    !profile.samples.iter().any(|sample| needs_process(sample) && is_of_unknown[sample.thread.index()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ImageKind, Place, ProfileBuilder, Unnamed};

    #[test]
    fn nameless_frames_of_a_function_are_one_name() {
        let mut builder = ProfileBuilder::new();
        let file = builder.add_image(ImageKind::File, "/usr/lib/libc.so.6", None);
        let places = [
            (0x3fbc2, Place::Function(0x3f980), "[libc.so.6+0x3f980]"),
            (0x3fbfb, Place::Function(0x3f980), "[libc.so.6+0x3f980]"),
            (0x3fc00, Place::Address(0x40c00), "[libc.so.6+0x40c00]"),
            (0x3fc10, Place::Offset, "[libc.so.6+0x3fc10]"),
        ];
        let frames: Vec<FrameId> = places.iter().map(|(offset, ..)| builder.code_frame(file, *offset)).collect();
        let mut profile = builder.finish();
        for (frame, (_, place, _)) in frames.iter().zip(places) {
            profile.frames[frame.index()].resolution = Resolution::Unknown { reason: Unnamed::NoMatch, place };
        }
        profile.check().unwrap();
        let mut names = FrameNames::new(&profile);
        let mut found = Vec::new();
        for (frame, (_, _, expected)) in frames.iter().zip(places) {
            let row = names.rows_of(*frame).start;
            let row = names.row(row);
            assert_eq!((names.names.get(row.name), row.image, row.kind), (expected, Some(file), FrameKind::User));
            found.push(row.name);
        }
        assert_eq!(found[0], found[1]);
    }
}
