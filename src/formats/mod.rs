//! Schemas that are written in one room and written or read back in another.

mod stats;

pub use stats::stats_json;
