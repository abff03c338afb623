//! The tables of one thread of the Firefox Profiler's format: its stacks, frames, functions, resources and strings.
//!
//! ```text
//! sample -> stackTable (prefix, frame) -> frameTable (category, line) -> funcTable (name, file) -> resourceTable -> libs
//! ```
//! A function is a name in a file of one image; its frames differ in their lines and kinds. Addresses are left out (-1): what the viewer
//! would look up by them is known, and is an offset of the file rather than what it takes for one.

use std::io::Write;

use rustc_hash::FxHashMap;
use serde_json::json;

use super::rows::{Row, cut_of, rows_of};
use crate::model::{FrameId, FrameKey, FrameKind, ImageId, Profile, Sample, StackId, Truncation, off_cpu};

/// What kinds of frames are called, in the order of their rows, and the viewer's colour for each. One that is grey is required.
pub(super) const CATEGORIES: [(FrameKind, &str, &str); 7] = [
    (FrameKind::Note, "Note", "grey"),
    (FrameKind::User, "User", "yellow"),
    (FrameKind::Kernel, "Kernel", "orange"),
    (FrameKind::Inlined, "Inlined", "blue"),
    (FrameKind::Jit, "JIT", "green"),
    (FrameKind::OffCpu, "Off-CPU", "purple"),
    (FrameKind::Task, "Task", "grey"),
];

/// Where `CATEGORIES` has a kind.
fn category(kind: FrameKind) -> usize {
    CATEGORIES.iter().position(|(of, ..)| *of == kind).unwrap_or_default()
}

/// Type 1 of a resource is a library (`resourceTypes` in `src/profile-logic/data-structures.ts`).
const LIBRARY: u32 = 1;

type Index = u32;

pub(super) struct ThreadTables<'a> {
    profile: &'a Profile,
    strings: Interned<String>,
    /// Which images.
    resources: Interned<ImageId>,
    /// Name, file and image.
    functions: Interned<(Index, Option<Index>, Option<ImageId>)>,
    /// Function, kind and line, and how many inlined ones lead here.
    frames: Interned<(Index, FrameKind, u32, u32)>,
    /// Caller and frame.
    stacks: Interned<(Option<Index>, Index)>,
    of_frame: FxHashMap<FrameId, Vec<Index>>,
    of_stack: FxHashMap<(StackId, Option<Truncation>), Index>,
}

impl<'a> ThreadTables<'a> {
    pub fn new(profile: &'a Profile) -> ThreadTables<'a> {
        ThreadTables {
            profile,
            strings: Interned::default(),
            resources: Interned::default(),
            functions: Interned::default(),
            frames: Interned::default(),
            stacks: Interned::default(),
            of_frame: FxHashMap::default(),
            of_stack: FxHashMap::default(),
        }
    }

    /// The row of a string.
    pub fn string(&mut self, text: &str) -> Index {
        match self.strings.rows.get(text) {
            Some(known) => *known,
            None => self.strings.row(text.to_owned()),
        }
    }

    /// The row of a sample's stack; none if it is empty.
    pub fn stack(&mut self, sample: &Sample) -> Option<Index> {
        let cut = cut_of(sample);
        let mut walk = Vec::new();
        let mut at = sample.stack;
        let mut row = loop {
            if at == StackId(0) {
                break cut.map(|reason| self.cut(reason));
            }
            if let Some(known) = self.of_stack.get(&(at, cut)) {
                break Some(*known);
            }
            walk.push(at);
            at = self.profile.stacks[at.index()].parent;
        };
        while let Some(at) = walk.pop() {
            let frame = self.profile.stacks[at.index()].frame;
            self.know(frame);
            for frame in &self.of_frame[&frame] {
                row = Some(self.stacks.row((row, *frame)));
            }
            if let Some(row) = row {
                self.of_stack.insert((at, cut), row);
            }
        }
        row
    }

    /// The outermost frame of stacks that are cut.
    fn cut(&mut self, reason: Truncation) -> Index {
        let name = self.string(&reason.note());
        let function = self.functions.row((name, None, None));
        let frame = self.frames.row((function, FrameKind::Note, 0, 0));
        self.stacks.row((None, frame))
    }

    fn know(&mut self, frame: FrameId) {
        if self.of_frame.contains_key(&frame) {
            return;
        }
        let mut rows = Vec::new();
        for (depth, Row { name, kind, image, file, line }) in rows_of(self.profile, frame).into_iter().enumerate() {
            let name = self.string(&name);
            let file = (!file.is_empty()).then(|| self.string(file));
            image.map(|image| self.resources.row(image));
            let function = self.functions.row((name, file, image));
            rows.push(self.frames.row((function, kind, line, depth as u32)));
        }
        self.of_frame.insert(frame, rows);
    }

    /// Writes all tables, as members that follow others.
    pub fn write(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        let profile = self.profile;
        let names: Vec<Index> = self
            .resources
            .table
            .clone()
            .into_iter()
            .map(|image| {
                let path = profile.strings.get(profile.images[image.index()].path);
                let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path);
                self.string(name)
            })
            .collect();
        write!(out, ",\n\"resourceTable\":{{\"length\":{}", names.len())?;
        column(out, "lib", self.resources.table.iter(), |image, out| write!(out, "{}", image.0))?;
        column(out, "name", names.iter(), |name, out| write!(out, "{name}"))?;
        column(out, "host", names.iter(), |_, out| out.write_all(b"null"))?;
        column(out, "type", names.iter(), |_, out| write!(out, "{LIBRARY}"))?;

        let functions = || self.functions.table.iter();
        write!(out, "}},\n\"funcTable\":{{\"length\":{}", functions().len())?;
        column(out, "name", functions(), |(name, ..), out| write!(out, "{name}"))?;
        column(out, "isJS", functions(), |_, out| out.write_all(b"false"))?;
        column(out, "relevantForJS", functions(), |_, out| out.write_all(b"false"))?;
        column(out, "resource", functions(), |(_, _, image), out| {
            match image.and_then(|image| self.resources.rows.get(&image)) {
                Some(row) => write!(out, "{row}"),
                None => out.write_all(b"-1"),
            }
        })?;
        column(out, "fileName", functions(), |(_, file, _), out| write!(out, "{}", json!(file)))?;
        column(out, "lineNumber", functions(), |_, out| out.write_all(b"null"))?;
        column(out, "columnNumber", functions(), |_, out| out.write_all(b"null"))?;

        let frames = || self.frames.table.iter();
        write!(out, "}},\n\"frameTable\":{{\"length\":{}", frames().len())?;
        column(out, "address", frames(), |_, out| out.write_all(b"-1"))?;
        column(out, "inlineDepth", frames(), |(.., depth), out| write!(out, "{depth}"))?;
        column(out, "category", frames(), |(_, kind, ..), out| write!(out, "{}", category(*kind)))?;
        column(out, "subcategory", frames(), |_, out| out.write_all(b"0"))?;
        column(out, "func", frames(), |(function, ..), out| write!(out, "{function}"))?;
        column(out, "nativeSymbol", frames(), |_, out| out.write_all(b"null"))?;
        column(out, "innerWindowID", frames(), |_, out| out.write_all(b"0"))?;
        column(out, "line", frames(), |(_, _, line, _), out| write!(out, "{}", json!((*line > 0).then_some(line))))?;
        column(out, "column", frames(), |_, out| out.write_all(b"null"))?;

        let stacks = || self.stacks.table.iter();
        write!(out, "}},\n\"stackTable\":{{\"length\":{}", stacks().len())?;
        column(out, "prefix", stacks(), |(prefix, _), out| write!(out, "{}", json!(prefix)))?;
        column(out, "frame", stacks(), |(_, frame), out| write!(out, "{frame}"))?;
        out.write_all(
            b"},\n\"nativeSymbols\":{\"length\":0,\"address\":[],\"functionSize\":[],\"libIndex\":[],\"name\":[]}",
        )?;
        column(out, "stringArray", self.strings.table.iter(), |text, out| write!(out, "{}", json!(text)))
    }
}

/// Rows of a table, numbered as they are first seen.
struct Interned<T> {
    rows: FxHashMap<T, Index>,
    table: Vec<T>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Interned { rows: FxHashMap::default(), table: Vec::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Interned<T> {
    fn row(&mut self, value: T) -> Index {
        let next = self.table.len() as Index;
        *self.rows.entry(value).or_insert_with_key(|value| {
            self.table.push(value.clone());
            next
        })
    }
}

/// Whether a stack is one of time off the CPU.
pub(super) fn is_waiting(profile: &Profile, stack: StackId) -> bool {
    let off_cpu = |frame: FrameId| profile.kind_of(frame) == FrameKind::OffCpu;
    // The mark stands innermost, that of who woke it below the waker's frames.
    let is_mark = |frame: FrameId| match profile.frames[frame.index()].key {
        FrameKey::Name { name, .. } => off_cpu::NAMES.contains(&profile.strings.get(name)),
        FrameKey::Code { .. } => false,
    };
    profile.frames_of(stack).any(|frame| off_cpu(frame) && is_mark(frame))
}

/// A column of a table.
pub(super) fn column<T, W: Write>(
    out: &mut W,
    name: &str,
    rows: impl Iterator<Item = T>,
    mut each: impl FnMut(&T, &mut W) -> std::io::Result<()>,
) -> std::io::Result<()> {
    write!(out, ",\n\"{name}\":[")?;
    for (at, row) in rows.enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        each(&row, out)?;
    }
    out.write_all(b"]")
}
