//! What a number counts.

/// The unit of an event's values; it travels with the number to the last label printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Nanoseconds of time.
    Nanoseconds,
    /// Plain occurrences: cycles, page faults, context switches.
    Count,
    /// Bytes.
    Bytes,
}
