//! Live capture by perf events: which to open, on what, and the rings that the kernel fills.

mod accepted;
#[cfg(feature = "bpf")]
pub mod bpf;
pub mod choose;
mod cpu_time;
pub mod cpus;
mod drain;
pub mod event;
pub mod facts;
mod names;
mod open;
pub mod peel;
pub mod permission;
pub mod pmu;
pub mod probe;
mod ring;
mod ring_sizes;
mod streams;
pub mod sys;
mod target;
mod tracing_data;

pub use cpu_time::Denominator;
pub use cpus::CpuList;
pub use drain::{Beside, Chunk, Chunks, Drain, Pace};
pub use event::EventSpec;
pub use open::{OpenRequest, Opened, OpenedEvent, Stacks, Switches, Tasks, open};
pub use pmu::Sources;
pub use ring::RingBuffer;
pub use ring_sizes::StackSize;
pub use streams::Streams;
// The words of this room's own requests.
pub use crate::perf::Sampling;
pub use target::{Target, sampled_cpus};
pub use tracing_data::tracing_data;
