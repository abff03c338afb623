//! What a profile *is*: interned tables, samples that refer to them by small numbers, and what was missed.
//!
//! Capture and imports write it through [`ProfileBuilder`]; symbolization fills in the names of its frames; everything
//! else reads it. It stands on the ground: it imports nothing of the house but `error`.
//!
//! ```text
//! sample --> thread --> process --> name
//!       \--> stack --> (parent stack, frame) --> lines (innermost first) --> function --> name
//!       \--> event --> unit                 \--> image (file, kernel, JIT)
//! ```

mod address;
mod builder;
mod filter;
mod id;
mod intern;
mod merge;
pub mod off_cpu;
mod profile;
mod reason;
mod samples;
mod shown;
mod stats;
mod summarize;
mod unit;
mod unnamed;

pub use address::{BuildId, CodeAddress, Mode, Timestamp};
pub use builder::ProfileBuilder;
pub use filter::{Filter, NOT_ASKED_FOR, TimeBound, TimeRange};
pub use id::{EventId, FrameId, FunctionId, ImageId, ProcessId, StackId, StringId, ThreadId};
pub use intern::{Interner, StringTable};
pub use merge::{Merger, merge};
pub use off_cpu::OffCpuStats;
pub use profile::{
    Event, Frame, FrameKey, FrameKind, Function, Image, ImageKind, Line, Place, Process, Profile, Resolution, Stack,
    Thread, plain_event,
};
pub use reason::{ESTIMATES, FoundBy, FoundBySet, StackEnd, Truncation, Unnamed};
pub use samples::{Sample, SampleTable, Samples};
pub use stats::{CaptureStats, KernelWalks, Origin, RunMark, UnnamedImage};
pub use unit::Unit;
