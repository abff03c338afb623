//! How a recording is told to end from outside.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec};

/// Ends a recording early and keeps its result; clones are the same switch.
#[derive(Clone, Debug)]
pub struct Stop {
    ends: Arc<(OwnedFd, OwnedFd)>,
}

impl Stop {
    /// A switch that is not pressed.
    ///
    /// # Errors
    /// If no descriptors can be had.
    pub fn new() -> io::Result<Stop> {
        let ends = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK)?;
        Ok(Stop { ends: Arc::new(ends) })
    }

    /// Ends the recording.
    pub fn press(&self) {
        // A full pipe has been written to already.
        let _ = rustix::io::write(&self.ends.1, &[1]);
    }

    /// Whether it is pressed.
    pub fn is_pressed(&self) -> bool {
        let mut ends = [PollFd::from_borrowed_fd(self.pressed(), PollFlags::IN)];
        rustix::event::poll(&mut ends, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// A descriptor that ends the recording when something is written to it, for signal handlers.
    ///
    /// # Errors
    /// If no descriptor can be had.
    pub fn writer(&self) -> io::Result<OwnedFd> {
        self.ends.1.try_clone()
    }

    /// Readable once it is pressed.
    pub(super) fn pressed(&self) -> BorrowedFd<'_> {
        self.ends.0.as_fd()
    }
}
