//! The profile: tables, and rows that refer to them.

use super::address::{BuildId, Mode};
use super::id::{EventId, FrameId, FunctionId, ImageId, ProcessId, StackId, StringId};
use super::intern::StringTable;
use super::reason::{FoundBySet, Unnamed};
use super::samples::SampleTable;
use super::stats::CaptureStats;
use super::unit::Unit;
use crate::error::{Error, ErrorKind, Result};

/// What was counted by the samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The kernel's name: `cpu-clock`, `cycles:P`, `sched:sched_switch`.
    pub name: StringId,
    /// What the values of its samples count.
    pub unit: Unit,
    /// Nominal value of one sample, if the event is sampled at a fixed rate: the period of a clock event.
    pub period: Option<u64>,
}

/// An event's name without how precise its addresses are (`p` and `P`, `perf-list(1)`), if that is its only modifier: it counts the same.
pub fn plain_event(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((event, modifiers)) if modifiers.bytes().all(|letter| matches!(letter, b'p' | b'P')) => event,
        _ => name,
    }
}

/// A process.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Its id in the profiler's own pid namespace.
    pub pid: u32,
    /// Its name (`comm`), the last one seen.
    pub name: StringId,
}

/// A thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Thread {
    /// Whose it is.
    pub process: ProcessId,
    /// Its id in the profiler's own pid namespace.
    pub tid: u32,
    /// Its name (`comm`), the last one seen.
    pub name: StringId,
}

/// What sort of thing an [`Image`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ImageKind {
    /// An ELF file; offsets are file offsets.
    File,
    /// The code that the kernel maps into every process; offsets are into its ELF image.
    Vdso,
    /// The kernel and its modules; "offsets" are addresses.
    Kernel,
    /// Memory of one process (its pid here) that no file backs; "offsets" are addresses.
    Jit(u32),
    /// The dump that a JIT has written of its code (`jit-PID.dump`); offsets are into it.
    JitDump,
    /// Nothing known was mapped there; "offsets" are addresses.
    Unmapped,
}

/// What code is in.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// What sort of thing it is.
    pub kind: ImageKind,
    /// The path as the process saw it; `[vdso]`, `[kernel]` and the like for what is no file.
    pub path: StringId,
    /// What identifies its contents, if it is known.
    pub build_id: Option<BuildId>,
    /// Whether debug information of it was found; false before its frames were named.
    pub debug_info: bool,
}

/// What a frame is before it has a name: equal keys are one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrameKey {
    /// Code at an offset of an image; the offset is that of [`super::CodeAddress::lookup`].
    Code {
        /// In which image.
        image: ImageId,
        /// Where in it, as its [`ImageKind`] says.
        offset: u64,
    },
    /// A bare name: an imported frame, or a note such as `[not sampled]`.
    Name {
        /// The name.
        name: StringId,
        /// How it is to be drawn.
        kind: FrameKind,
    },
}

/// What sort of code a frame shows; told apart by colour, and by suffix in folded stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrameKind {
    /// The program and its libraries.
    User,
    /// The kernel.
    Kernel,
    /// A function that the compiler copied into its caller.
    Inlined,
    /// Code made while the program ran.
    Jit,
    /// A process or thread, as the base of its stacks.
    Task,
    /// Not code: what is missing, and why.
    Note,
    /// Not code: that a thread was off the CPU, and how it came on again (the names of [`super::off_cpu`]).
    OffCpu,
}

/// One frame: its key and, after symbolization, its names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// What it is.
    pub key: FrameKey,
    /// Its names.
    pub resolution: Resolution,
    /// How it was found; nothing for what is no code, and where another program found it and did not say.
    pub found_by: FoundBySet,
}

/// What symbolization found for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// Rows `first .. first + count` of [`Profile::lines`], innermost first; all but the last were inlined.
    Lines {
        /// First row.
        first: u32,
        /// How many rows, at least one.
        count: u32,
    },
    /// No name.
    Unknown {
        /// Why.
        reason: Unnamed,
        /// What stands for the name.
        place: Place,
    },
    /// The frame is a bare name ([`FrameKey::Name`]).
    Name,
}

/// Where code without a name is, as far as it is known; addresses are as the object file states them (svma), which is
/// what `addr2line` and `objdump` take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Nowhere but at the offset of its key: its file was not read, or it is in none.
    Offset,
    /// At this address; no function is known to cover it.
    Address(u64),
    /// In the function that begins at this address: all frames of a function have the same place.
    Function(u64),
}

/// One function at one place of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which function.
    pub function: FunctionId,
    /// The source file; the empty string if unknown.
    pub file: StringId,
    /// The line in it, from 1; 0 if unknown.
    pub line: u32,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    /// The name as it is shown, demangled.
    pub name: StringId,
    /// The name as the object file has it.
    pub raw_name: StringId,
}

/// A stack: a frame and the stack that called it.
///
/// The caller's row stands before its own: `parent < self`, so a loop over the table in order sees callers first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stack {
    /// The callers; `StackId(0)` for none.
    pub parent: StackId,
    /// The innermost frame. Meaningless for row 0, the empty stack.
    pub frame: FrameId,
}

/// A profile. Its tables are public to be read; [`super::ProfileBuilder`] writes them and [`Profile::check`] says what must hold.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// All strings.
    pub strings: StringTable,
    /// All images; `images[0]` is the kernel, `images[1]` is [`ImageKind::Unmapped`].
    pub images: Vec<Image>,
    /// All functions.
    pub functions: Vec<Function>,
    /// All lines, referred to by [`Resolution::Lines`].
    pub lines: Vec<Line>,
    /// All frames.
    pub frames: Vec<Frame>,
    /// All stacks; row 0 is the empty one.
    pub stacks: Vec<Stack>,
    /// All processes.
    pub processes: Vec<Process>,
    /// All threads.
    pub threads: Vec<Thread>,
    /// All events.
    pub events: Vec<Event>,
    /// The event that is drawn and summed up, unless another is asked for. Row 0 of a profile without events too.
    pub main: EventId,
    /// The samples, in order of time.
    pub samples: SampleTable,
    /// What the recording took, missed and cost.
    pub stats: CaptureStats,
}

impl Profile {
    /// The frames of `stack`, innermost first.
    pub fn frames_of(&self, stack: StackId) -> impl Iterator<Item = FrameId> + '_ {
        let mut at = stack;
        std::iter::from_fn(move || {
            if at == StackId(0) {
                return None;
            }
            let Stack { parent, frame } = self.stacks[at.index()];
            at = parent;
            Some(frame)
        })
    }

    /// The name of the main event; empty if there are no events.
    pub fn main_event(&self) -> &str {
        self.events.get(self.main.index()).map_or("", |event| self.strings.get(event.name))
    }

    /// Makes the first event that has samples the main one; row 0 if none has.
    pub fn choose_main(&mut self) {
        let mut counts = vec![0u64; self.events.len()];
        self.samples.iter().for_each(|sample| counts[sample.event.index()] += 1);
        self.main = EventId::from_index(counts.iter().position(|count| *count > 0).unwrap_or(0));
    }

    /// The lines of `frame`, innermost first; none if it has no name or is a bare name.
    pub fn lines_of(&self, frame: FrameId) -> &[Line] {
        match self.frames[frame.index()].resolution {
            Resolution::Lines { first, count } => &self.lines[first as usize..first as usize + count as usize],
            Resolution::Unknown { .. } | Resolution::Name => &[],
        }
    }

    /// The processor's mode in `frame`.
    pub fn mode_of(&self, frame: FrameId) -> Mode {
        match self.frames[frame.index()].key {
            FrameKey::Code { image, .. } if self.images[image.index()].kind == ImageKind::Kernel => Mode::Kernel,
            FrameKey::Name { kind: FrameKind::Kernel, .. } => Mode::Kernel,
            _ => Mode::User,
        }
    }

    /// Says whether the tables are sound: every id is a row of its table, parents stand before children, only frames of
    /// object files have an address in one, and `StringId(0)` is empty.
    pub fn check(&self) -> Result<()> {
        let broken = |what: String| Err(Error::new(ErrorKind::Malformed, what));
        if !self.strings.get(StringId(0)).is_empty() {
            return broken("string 0 is not empty".into());
        }
        let string = |id: StringId| id.index() < self.strings.count();
        if !self.images.iter().all(|image| string(image.path))
            || !self.processes.iter().all(|process| string(process.name))
            || !self.threads.iter().all(|thread| string(thread.name))
            || !self.events.iter().all(|event| string(event.name))
            || !self.functions.iter().all(|function| string(function.name) && string(function.raw_name))
            || !self.lines.iter().all(|line| string(line.file))
        {
            return broken("a row refers to a string that is not there".into());
        }
        if let Some(row) = self.lines.iter().position(|line| line.function.index() >= self.functions.len()) {
            return broken(format!("line {row} refers to a function that is not there"));
        }
        for (row, frame) in self.frames.iter().enumerate() {
            let key = match frame.key {
                FrameKey::Code { image, .. } => image.index() < self.images.len(),
                FrameKey::Name { name, .. } => string(name),
            };
            let resolution = match frame.resolution {
                Resolution::Lines { first, count } => count > 0 && first as usize + count as usize <= self.lines.len(),
                // A bare name may stand for code that whoever wrote it had no name for: `[libc.so.6]`.
                Resolution::Unknown { place: Place::Offset, .. } => true,
                Resolution::Unknown { .. } => matches!(frame.key, FrameKey::Code { .. }),
                Resolution::Name => matches!(frame.key, FrameKey::Name { .. }),
            };
            if !key || !resolution {
                return broken(format!("frame {row} refers to a row that is not there"));
            }
            if let Resolution::Unknown { place: Place::Address(_) | Place::Function(_), .. } = frame.resolution
                && let FrameKey::Code { image, .. } = frame.key
                && !matches!(self.images[image.index()].kind, ImageKind::File | ImageKind::Vdso)
            {
                return broken(format!("frame {row} has an address of an object file but is in none"));
            }
        }
        for (row, stack) in self.stacks.iter().enumerate().skip(1) {
            if stack.parent.index() >= row {
                return broken(format!("stack {row} stands before its parent {}", stack.parent.0));
            }
            if stack.frame.index() >= self.frames.len() {
                return broken(format!("stack {row} refers to a frame that is not there"));
            }
        }
        if let Some(row) = self.threads.iter().position(|thread| thread.process.index() >= self.processes.len()) {
            return broken(format!("thread {row} refers to a process that is not there"));
        }
        if !self.events.is_empty() && self.main.index() >= self.events.len() {
            return broken("the main event is not there".into());
        }
        for (row, sample) in self.samples.iter().enumerate() {
            if sample.thread.index() >= self.threads.len()
                || sample.stack.index() >= self.stacks.len()
                || sample.event.index() >= self.events.len()
            {
                return broken(format!("sample {row} refers to a row that is not there"));
            }
        }
        Ok(())
    }
}
