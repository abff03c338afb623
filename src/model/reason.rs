//! Why a stack is not whole and why a frame has no name: values, not errors.

/// How a stack's outermost frame was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StackEnd {
    /// The unwinder reached the thread's first frame: the stack is complete.
    Root,
    /// Callers are missing.
    Truncated(Truncation),
    /// Whoever recorded the stack does not say whether it is whole: a call chain or a text made by another tool.
    Unstated,
}

/// How a frame of a stack was found: from the frame that it called, but for the innermost one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum FoundBy {
    /// It is where the processor was.
    Sample,
    /// By unwind information (call frame information).
    UnwindInfo,
    /// By the stack sizes that a Go program has of its functions.
    GoTable,
    /// By a frame pointer in the copy of the stack, in code without unwind information.
    FramePointer,
    /// By what the code's own instructions do to the stack, as it has no unwind information; a call that leads there stands before
    /// the return address.
    Instructions,
    /// By the kernel, which followed frame pointers.
    CallChain,
    /// By the processor, which recorded calls that had not returned (LBR).
    CallStack,
    /// It is the kernel's own code, and the kernel found it.
    Kernel,
}

impl FoundBy {
    /// All ways, in the order in which they are listed.
    pub const ALL: [FoundBy; 8] = [
        FoundBy::Sample,
        FoundBy::UnwindInfo,
        FoundBy::GoTable,
        FoundBy::FramePointer,
        FoundBy::Instructions,
        FoundBy::CallChain,
        FoundBy::CallStack,
        FoundBy::Kernel,
    ];

    /// Whether it tells how a caller in user mode was found, which is what may go wrong.
    pub fn is_of_callers(self) -> bool {
        !matches!(self, FoundBy::Sample | FoundBy::Kernel)
    }

    /// The way in words, as it is shown to the user and used as key in `--stats`.
    pub fn as_str(self) -> &'static str {
        match self {
            FoundBy::Sample => "sample",
            FoundBy::UnwindInfo => "unwind info",
            FoundBy::GoTable => "go table",
            FoundBy::FramePointer => "frame pointer",
            FoundBy::Instructions => "instructions",
            FoundBy::CallChain => "call chain",
            FoundBy::CallStack => "call stack",
            FoundBy::Kernel => "kernel",
        }
    }
}

/// In which ways a frame was found, on the stacks that it is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FoundBySet(u8);

impl FoundBySet {
    /// Whether it was found so.
    pub fn has(self, by: FoundBy) -> bool {
        self.0 & 1 << by as u8 != 0
    }

    /// The set with this way too.
    #[must_use]
    pub fn with(self, by: FoundBy) -> FoundBySet {
        FoundBySet(self.0 | 1 << by as u8)
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: FoundBySet) -> FoundBySet {
        FoundBySet(self.0 | other.0)
    }

    /// All ways in it.
    pub fn iter(self) -> impl Iterator<Item = FoundBy> {
        FoundBy::ALL.into_iter().filter(move |by| self.has(*by))
    }
}

/// Why callers are missing from a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Truncation {
    /// The stack is larger than the copy that the kernel made of it.
    StackCopy,
    /// A frame's code has no unwind information.
    NoUnwindInfo,
    /// A frame's code is in no known mapping.
    NotMapped,
    /// Memory that the rule for the caller needs was not there.
    Unreadable,
    /// The next frame would not be further up the stack.
    NoProgress,
    /// More frames than we follow.
    TooDeep,
    /// A chain of frame pointers came to its end; that it ended at the root is not proven.
    FramePointers,
    /// The processor holds so many calls (LBR) and no more.
    CallStack,
    /// The kernel gave no user registers, nor a call chain; or the rule for the caller needs registers that were not followed.
    NoRegisters,
    /// The user part of stacks was not asked for.
    NotAsked,
    /// The stack is of a kind of processor that we cannot unwind here.
    OtherProcessor,
    /// The user part was to come later, and did not.
    Deferred,
    /// It goes on on another stack, of which there is no copy.
    OtherStack,
    /// It was walked in the kernel, and found no room on the way from there.
    LostStack,
    /// It was walked in the kernel by mappings that were not those of the process any more.
    MappingsChanged,
    /// It was walked in the kernel before the table of a file, or what is mapped in the process, was known there.
    NoTableYet,
}

impl Truncation {
    /// All reasons, in the order in which they are listed.
    pub const ALL: [Truncation; 16] = [
        Truncation::StackCopy,
        Truncation::NoUnwindInfo,
        Truncation::NotMapped,
        Truncation::Unreadable,
        Truncation::NoProgress,
        Truncation::TooDeep,
        Truncation::FramePointers,
        Truncation::CallStack,
        Truncation::NoRegisters,
        Truncation::NotAsked,
        Truncation::OtherProcessor,
        Truncation::Deferred,
        Truncation::OtherStack,
        Truncation::LostStack,
        Truncation::MappingsChanged,
        Truncation::NoTableYet,
    ];

    /// The reason in words, as it is shown to the user and used as key in `--stats`.
    pub fn as_str(self) -> &'static str {
        match self {
            Truncation::StackCopy => "stack copy",
            Truncation::NoUnwindInfo => "no unwind info",
            Truncation::NotMapped => "not mapped",
            Truncation::Unreadable => "unreadable",
            Truncation::NoProgress => "no progress",
            Truncation::TooDeep => "too deep",
            Truncation::FramePointers => "frame pointers",
            Truncation::CallStack => "call stack of the processor",
            Truncation::NoRegisters => "no registers",
            Truncation::NotAsked => "not asked",
            Truncation::OtherProcessor => "other processor",
            Truncation::Deferred => "deferred",
            Truncation::OtherStack => "other stack",
            Truncation::LostStack => "lost stack",
            Truncation::MappingsChanged => "mappings changed",
            Truncation::NoTableYet => "no table yet",
        }
    }
}

impl Truncation {
    /// The name of the frame that stands below a cut stack, in place of its callers: `[truncated: stack copy]`.
    pub fn note(self) -> String {
        format!("[truncated: {}]", self.as_str())
    }

    /// The reason of which this is the [`Truncation::note`].
    pub fn of_note(name: &str) -> Option<Truncation> {
        let reason = name.strip_prefix("[truncated: ")?.strip_suffix(']')?;
        Truncation::ALL.into_iter().find(|known| known.as_str() == reason)
    }
}

/// The names of frames that stand for an estimate of what was not sampled; samples in them have a value, and a count of 0.
pub const ESTIMATES: [&str; 2] = ["[not sampled]", "[kernel, not permitted]"];

/// Why a frame has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Unnamed {
    /// Not asked for yet: symbolization has not run.
    NotAsked,
    /// The file has no symbol table and no debug information.
    NoSymbols,
    /// The file has symbols, but none covers the address.
    NoMatch,
    /// The file could not be opened.
    NoFile,
    /// The file, or one that may hold its names, may not be opened by this user.
    Permission,
    /// The file changed since it was mapped: another build id, or cut short.
    FileChanged,
    /// The address was in no known mapping.
    NotMapped,
    /// Memory that no file backs, and no perf map names: a JIT's code.
    Anonymous,
    /// The kernel hides its symbols (`kernel.kptr_restrict`, or no `CAP_SYSLOG`).
    KernelHidden,
    /// The recording does not say which build of the file was mapped, and was made elsewhere: no file is proven to be it.
    NoBuildId,
    /// The recording was made on another kernel than the one whose symbols are here.
    OtherKernel,
    /// Whoever wrote the stacks that were read had no name for it.
    NotInInput,
}

impl Unnamed {
    /// All reasons that can remain after symbolization, in the order in which they are listed.
    pub const ALL: [Unnamed; 11] = [
        Unnamed::NoSymbols,
        Unnamed::NoMatch,
        Unnamed::NoFile,
        Unnamed::Permission,
        Unnamed::FileChanged,
        Unnamed::NotMapped,
        Unnamed::Anonymous,
        Unnamed::KernelHidden,
        Unnamed::NoBuildId,
        Unnamed::OtherKernel,
        Unnamed::NotInInput,
    ];

    /// The reason in words, as it is shown to the user and used as key in `--stats`.
    pub fn as_str(self) -> &'static str {
        match self {
            Unnamed::NotAsked => "not asked",
            Unnamed::NoSymbols => "no symbols",
            Unnamed::NoMatch => "no match",
            Unnamed::NoFile => "no file",
            Unnamed::Permission => "permission",
            Unnamed::FileChanged => "file changed",
            Unnamed::NotMapped => "not mapped",
            Unnamed::Anonymous => "anonymous",
            Unnamed::KernelHidden => "kernel hidden",
            Unnamed::NoBuildId => "no build id",
            Unnamed::OtherKernel => "other kernel",
            Unnamed::NotInInput => "unnamed in the input",
        }
    }
}
