//! The perf.data container: a header, what the events are, records, and sections about the machine.
//!
//! ```text
//! file:  header | ids | attributes | records ................ | where the sections are | sections
//! pipe:  header | records: ATTR, FEATURE, ..., MMAP, SAMPLE, ...
//! ```
//! Reading works on bytes that are all there ([`header`], [`features`]) or still coming ([`walk`]).
//!
//! See tools/perf/Documentation/perf.data-file-format.txt and tools/perf/util/header.c.

pub mod compressed;
pub mod features;
pub mod header;
pub mod simpleperf;
pub mod tracing;
pub mod walk;
pub mod write;

/// `PERF_AUX_FLAG_TRUNCATED`: some of a hardware trace was lost.
pub const AUX_TRUNCATED: u64 = 1;

/// Types of records that only perf writes: `enum perf_user_event_type`, tools/lib/perf/include/perf/event.h.
pub mod kind {
    /// An attribute and its ids (pipe mode).
    pub const ATTR: u32 = 64;
    /// The name of an event (perf before 3.0).
    pub const EVENT_TYPE: u32 = 65;
    /// The formats of tracepoints, which follow the record.
    pub const TRACING_DATA: u32 = 66;
    /// The build id of a file.
    pub const BUILD_ID: u32 = 67;
    /// All rings were read once more.
    pub const FINISHED_ROUND: u32 = 68;
    /// Hardware trace, which follows the record.
    pub const AUXTRACE: u32 = 71;
    /// More about an event (pipe mode): its unit, scale, name, CPUs.
    pub const EVENT_UPDATE: u32 = 78;
    /// A section about the machine (pipe mode).
    pub const FEATURE: u32 = 80;
    /// Compressed records.
    pub const COMPRESSED: u32 = 81;
    /// What runs already has been written down.
    pub const FINISHED_INIT: u32 = 82;
    /// Compressed records, with their size.
    pub const COMPRESSED2: u32 = 83;
    /// What is below is the kernel's, what is not is a tool's.
    pub const FIRST: u32 = 64;
}
