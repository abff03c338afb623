//! The frames of a picture that is read back.
//!
//! A picture has functions, each by name and kind, with the name of the file that its code is in, a source file and the first line that
//! was seen in it. A frame is made of each; functions that were inlined are lines of the frame that they were inlined into, as they
//! were when it was recorded:
//!
//! ```text
//! node             stack                         frame
//! main             main                          main (a.rs:3) in prog
//!   push inlined   main with push in it          push (vec.rs:7), main (a.rs:3) in prog
//!     memcpy       main with push in it, memcpy  memcpy in libc.so.6
//! ```
//!
//! Addresses are not in a picture: all that is known of a frame is that it is in its file.

use rustc_hash::FxHashMap;

use super::broken;
use crate::error::Result;
use crate::formats::picture::{KINDS, Unpacked};
use crate::model::{
    FoundBy, FoundBySet, FrameId, FrameKey, FrameKind, ImageId, ImageKind, Line, Profile, ProfileBuilder, ThreadId,
    Truncation, Unnamed, UnnamedImage,
};

/// No compiler goes deeper; each frame has all the lines of those that it was inlined into.
const MOST_LINES: usize = 64;
/// Lines of all frames together: so many, and so many a node, whatever the paths.
const MOST_LINES_OF_ALL: (usize, usize) = (1 << 20, 16);

/// What a row of the functions is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    Frame,
    /// The base of stacks: a process, by a thread that stands for it if samples do not tell theirs.
    Process(Option<ThreadId>),
    Cut(Truncation),
    Root,
}

/// A row of the functions that is a frame.
#[derive(Clone, Copy, Debug)]
struct Code<'a> {
    name: &'a str,
    kind: FrameKind,
    /// The name of the file, empty if it is not known.
    image: &'a str,
    file: &'a str,
    line: u32,
    found_by: FoundBySet,
}

/// Makes the frames of functions as nodes ask for them.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    pub functions: Vec<Function>,
    code: Vec<Code<'a>>,
    images: FxHashMap<(FrameKind, &'a str), ImageId>,
    /// By the row of a function and the frame that it was inlined into.
    known: FxHashMap<(u32, Option<FrameId>), FrameId>,
    found_by: Vec<(FrameId, FoundBySet)>,
    /// Lines that all frames together may have.
    most_lines: usize,
    /// Why code had no name in the recording, by the path of its image, and by the last part of that if all that share it have one reason.
    unnamed: FxHashMap<&'a str, Unnamed>,
    unnamed_by_name: FxHashMap<&'a str, Option<Unnamed>>,
}

impl<'a> Frames<'a> {
    /// Reads the functions. `has_tasks` says whether each process is to have a thread; `unnamed` is what had no name.
    pub fn read(
        data: &Unpacked,
        text: &[&'a str],
        has_tasks: bool,
        unnamed: &'a [UnnamedImage],
        builder: &mut ProfileBuilder,
    ) -> Result<Frames<'a>> {
        let rows = data.rows("name").max(data.rows("kind"));
        let string = |row: u64| usize::try_from(row).ok().and_then(|row| text.get(row)).copied();
        let column = |name| data.numbers(name);
        let numbers = column("name").zip(column("kind")).zip(column("image")).zip(column("file"));
        let numbers = numbers.zip(column("first_line")).zip(column("found_by"));
        let (mut functions, mut code) = (Vec::new(), Vec::new());
        for (row, (((((name, kind), image), file), line), bits)) in numbers.take(rows as usize).enumerate() {
            let name = string(name).ok_or_else(|| broken("a function without a name"))?;
            let places = string(image).zip(string(file));
            let (image, file) = places.ok_or_else(|| broken("a function in a file without a name"))?;
            let kind = usize::try_from(kind).ok().and_then(|kind| KINDS.get(kind));
            let kind = *kind.ok_or_else(|| broken("a frame of no known kind"))?;
            functions.push(match (kind, Truncation::of_note(name)) {
                _ if row == 0 => Function::Root,
                (FrameKind::Task, _) => Function::Process(has_tasks.then(|| {
                    let process = builder.add_process(0, name);
                    builder.add_thread(process, 0, name)
                })),
                (FrameKind::Note, Some(reason)) => Function::Cut(reason),
                _ => Function::Frame,
            });
            let line = u32::try_from(line).unwrap_or(0);
            code.push(Code { name, kind, image, file, line, found_by: found_by(bits) });
        }
        let (mut by_path, mut by_name) = (FxHashMap::default(), FxHashMap::default());
        for row in unnamed {
            by_path.entry(row.image.as_str()).or_insert(row.reason);
            let name = row.image.rsplit('/').next().unwrap_or_default();
            let reason = by_name.entry(name).or_insert(Some(row.reason));
            *reason = reason.filter(|first| *first == row.reason);
        }
        let nodes = usize::try_from(data.rows("up").max(data.rows("function"))).unwrap_or(usize::MAX);
        Ok(Frames {
            functions,
            code,
            images: FxHashMap::default(),
            known: FxHashMap::default(),
            found_by: Vec::new(),
            most_lines: nodes.saturating_mul(MOST_LINES_OF_ALL.1).saturating_add(MOST_LINES_OF_ALL.0),
            unnamed: by_path,
            unnamed_by_name: by_name,
        })
    }

    /// Whether a function is a part of the frame of its caller.
    pub fn is_inlined(&self, function: usize, caller: FrameId, profile: &Profile) -> bool {
        let lines = profile.lines_of(caller).len();
        let is_inlined = self.code[function].kind == FrameKind::Inlined && (1..MOST_LINES).contains(&lines);
        is_inlined && profile.lines.len() < self.most_lines
    }

    /// The frame of a function: of one that was inlined with all that the frame `into` has.
    pub fn frame(&mut self, function: usize, into: Option<FrameId>, builder: &mut ProfileBuilder) -> FrameId {
        let key = (function as u32, into);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let Code { name, file, line, mut found_by, .. } = self.code[function];
        let frame = match into {
            Some(into) => {
                let of = builder.profile().frames[into.index()];
                found_by = intersection(found_by, self.found_by(into));
                let mut lines = vec![Line { function: builder.function(name, name), file: builder.string(file), line }];
                lines.extend_from_slice(builder.profile().lines_of(into));
                builder.resolved_frame(of.key, &lines)
            }
            None => self.outermost(function, builder),
        };
        self.known.insert(key, frame);
        self.found_by.push((frame, found_by));
        frame
    }

    fn found_by(&self, frame: FrameId) -> FoundBySet {
        // Frames are made one after the other, and so stand in order.
        let row = self.found_by.binary_search_by_key(&frame, |(frame, _)| *frame);
        row.map_or_else(|_| FoundBySet::default(), |row| self.found_by[row].1)
    }

    fn outermost(&mut self, function: usize, builder: &mut ProfileBuilder) -> FrameId {
        let Code { name, kind, image, file, line, .. } = self.code[function];
        let has_image = !image.is_empty() && matches!(kind, FrameKind::User | FrameKind::Kernel | FrameKind::Jit);
        if has_image && let Some((offset, reason)) = self.nameless(name, kind, image) {
            let image = self.image(kind, image, builder);
            return builder.nameless_code_frame(image, offset, reason);
        }
        if !has_image && file.is_empty() {
            return match self.unnamed.get(name) {
                Some(reason) => builder.nameless_frame(name, kind, *reason),
                None => builder.name_frame(name, kind),
            };
        }
        let key = match has_image {
            true => FrameKey::Code { image: self.image(kind, image, builder), offset: 0 },
            false => FrameKey::Name { name: builder.string(name), kind },
        };
        let line = Line { function: builder.function(name, name), file: builder.string(file), line };
        builder.resolved_frame(key, &[line])
    }

    fn image(&mut self, kind: FrameKind, name: &'a str, builder: &mut ProfileBuilder) -> ImageId {
        let of = match (kind, name) {
            (FrameKind::Kernel, "[kernel]") => return ProfileBuilder::KERNEL,
            (FrameKind::Kernel, _) => ImageKind::Kernel,
            (FrameKind::Jit, name) if name.ends_with(".dump") => ImageKind::JitDump,
            (FrameKind::Jit, _) => ImageKind::Jit(0),
            (_, "[unmapped]") => return ProfileBuilder::UNMAPPED,
            (_, "[vdso]") => ImageKind::Vdso,
            _ => ImageKind::File,
        };
        *self.images.entry((kind, name)).or_insert_with(|| builder.add_image(of, name, None))
    }

    /// Where code is whose name is what stands for one (`Profile::stand_in`), and why it has none, as far as the recording's figures
    /// tell it.
    fn nameless(&self, name: &str, kind: FrameKind, image: &str) -> Option<(u64, Unnamed)> {
        let inner = name.strip_prefix('[')?.strip_suffix(']')?;
        match (kind, inner) {
            (FrameKind::Jit, "anonymous") => return Some((0, Unnamed::Anonymous)),
            (FrameKind::Kernel, "kernel") => return Some((0, Unnamed::KernelHidden)),
            (FrameKind::User, "unmapped") if image == name => return Some((0, Unnamed::NotMapped)),
            _ => {}
        }
        let (base, address) = inner.rsplit_once('+')?;
        let bare = image.strip_prefix('[').and_then(|image| image.strip_suffix(']')).unwrap_or(image);
        let number = u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()?;
        if base != bare || format!("{number:#x}") != address {
            return None;
        }
        // Of several reasons it is not known which is that of this code.
        let reason = self.unnamed_by_name.get(image).copied().flatten();
        Some((number, reason.unwrap_or(Unnamed::NotInInput)))
    }

    /// Says of the frames of a finished profile how they were found.
    pub fn note_ways(self, profile: &mut Profile) {
        for (frame, by) in self.found_by {
            profile.frames[frame.index()].found_by = by;
        }
    }
}

fn found_by(bits: u64) -> FoundBySet {
    FoundBy::ALL.into_iter().filter(|by| bits & 1 << *by as u8 != 0).fold(FoundBySet::default(), FoundBySet::with)
}

fn intersection(one: FoundBySet, other: FoundBySet) -> FoundBySet {
    one.iter().filter(|by| other.has(*by)).fold(FoundBySet::default(), FoundBySet::with)
}
