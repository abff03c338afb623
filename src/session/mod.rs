//! One recording from start to profile: threads, queues, progress. What a library user calls.
//!
//! ```text
//! main thread     open events -> wait (target's end, Ctrl-C, -d) -> stop -> names -> Profile
//! drain thread         rings --------------------------> chunks
//! record thread                                             chunks -> order -> Recorder
//! ```

mod cpu_split;
pub mod doctor;
mod finish;
mod plan;
mod record;
mod stop;
mod tasks;
mod wait;
mod worker;

pub use record::{Progress, RecordOptions, Recording, record};
pub use stop::Stop;
pub use wait::Ended;
