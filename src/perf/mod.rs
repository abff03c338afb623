//! The kernel's perf ABI as plain data: attributes, records, their order in time, and the perf.data container. No system calls.
//!
//! Facts are from `include/uapi/linux/perf_event.h` and `perf_event_open(2)`.

mod attr;
mod attr_read;
pub mod data;
mod fields;
mod layouts;
pub mod names;
mod order;
pub mod record;

pub use attr::{AttrFlags, EventAttr, SampleFields, Sampling, branch_type, read_format};
pub use attr_read::SMALLEST as SMALLEST_ATTR;
pub use fields::{ByteOrder, Words};
pub use layouts::Layouts;
pub use order::RoundSorter;
pub use record::{Layout, Record};
