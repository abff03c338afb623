//! What a wait was, and who ended it.

use crate::model::{StackEnd, StackId, StringId, ThreadId, Timestamp};

/// Waits that are alike.
#[derive(Clone, Copy, Debug)]
pub struct Waited {
    /// Of which thread.
    pub thread: ThreadId,
    /// The stack at which it went off the CPU.
    pub stack: StackId,
    /// How that stack ends.
    pub end: StackEnd,
    /// Who woke it, if that was asked.
    pub waker: Option<Waker>,
    /// Whether it could have run all the while.
    pub runnable: bool,
    /// Whether it had begun before the recording.
    pub before: bool,
    /// Whether it had not ended when the recording did.
    pub still: bool,
    /// How long, in nanoseconds.
    pub time: u64,
    /// How often.
    pub count: u64,
    /// When the first of them began, as far as that is known.
    pub at: Timestamp,
}

/// Who woke a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waker {
    /// It was not seen.
    Unknown,
    /// A thread: its stack, and its name.
    Thread(StackId, StackEnd, StringId),
    /// An interrupt: so many innermost frames of this stack.
    Interrupt(StackId, usize),
}
