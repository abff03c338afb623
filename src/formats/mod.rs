//! Schemas that are written in one room and written or read back in another.

pub mod picture;
pub mod pprof;
pub mod protobuf;
mod stats;
mod stats_read;

pub use stats::stats_json;
pub use stats_read::{StatsRead, read_stats};
