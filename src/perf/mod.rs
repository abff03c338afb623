//! The kernel's perf ABI as plain data: attributes, records, their order in time. No system calls.
//!
//! Facts are from `include/uapi/linux/perf_event.h` and `perf_event_open(2)`.

mod attr;
mod fields;
mod order;
pub mod record;

pub use attr::{AttrFlags, EventAttr, SampleFields, Sampling, read_format};
pub use fields::Words;
pub use order::RoundSorter;
pub use record::{Layout, Record};
