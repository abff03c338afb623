//! One recording from start to profile: threads, queues, progress. What a library user calls.
//!
//! ```text
//! main thread     open events -> wait (target's end, Ctrl-C, -d) -> stop -> names -> Profile
//! drain thread         rings --------------------------> chunks
//! record thread                                             chunks -> order -> Recorder, or a perf.data
//! ```

#[cfg(feature = "bpf")]
mod bpf;
#[cfg(feature = "bpf")]
mod bpf_waits;
mod command;
#[cfg(feature = "bpf")]
mod compile_tables;
mod cpu_split;
pub mod doctor;
mod early;
mod finish;
#[cfg(feature = "bpf")]
mod inbox;
mod keeper;
mod machine;
mod off_cpu;
mod options;
mod plan;
mod record;
mod series;
mod stop;
#[cfg(feature = "bpf")]
mod tables;
mod tasks;
mod turns;
mod wait;
#[cfg(not(feature = "bpf"))]
mod without_bpf;
mod worker;

pub use finish::LateNames;
pub use off_cpu::{OffCpuOptions, RecordedTime, States};
pub use options::{CommandStreams, RecordOptions, UseBpf};
pub use record::{PerfData, Progress, Recording, Written, record, record_perf_data};
pub use series::{Series, SeriesCommand, SeriesOptions, SeriesProgress, SeriesRun};
pub use stop::Stop;
pub use wait::Ended;
