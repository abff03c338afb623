//! Live capture by perf events: which to open, on what, and the rings that the kernel fills.

mod ring;
pub mod sys;

pub use ring::RingBuffer;
