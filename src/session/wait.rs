//! Waits until a recording is to end.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use super::stop::Stop;

/// How often things that cannot be waited for are looked at.
pub(super) const SHORT_TICK: Duration = Duration::from_millis(100);
/// Often enough for a line that shows progress, and next to no cost.
pub(super) const LONG_TICK: Duration = Duration::from_millis(250);

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that was to be sampled has ended.
    Target,
    /// The time that was asked for is over.
    Time,
    /// Told from outside.
    Stopped,
}

/// The tasks whose end ends the recording.
#[derive(Debug)]
pub(super) enum Watched {
    /// Nothing: it goes on until it is told to end.
    Nothing,
    /// Processes, all of which must have ended.
    Processes(Vec<u32>),
    /// Threads, likewise.
    Threads(Vec<u32>),
}

/// Waits for the end; `tick` is called each `interval`, which is less than a second, or more often.
pub(super) fn until_end(
    watched: &Watched,
    stop: &Stop,
    end: Option<Instant>,
    interval: Duration,
    mut tick: impl FnMut(),
) -> Ended {
    let (mut open, unwatchable) = match watched {
        Watched::Nothing => (Vec::new(), Vec::new()),
        // There are descriptors for threads only since Linux 6.9.
        Watched::Threads(tids) => (Vec::new(), tids.clone()),
        Watched::Processes(pids) => split(pids),
    };
    let interval = if unwatchable.is_empty() { interval } else { interval.min(SHORT_TICK) };
    loop {
        tick();
        let nothing_left = open.is_empty() && !unwatchable.iter().any(|id| exists(*id));
        if !matches!(watched, Watched::Nothing) && nothing_left {
            return Ended::Target;
        }
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ended::Time;
        }
        let sleep = left.map_or(interval, |left| left.min(interval));
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(sleep.subsec_nanos()) };
        let mut polled = vec![PollFd::from_borrowed_fd(stop.pressed(), PollFlags::IN)];
        polled.extend(open.iter().map(|pidfd: &OwnedFd| PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)));
        // Interrupted by a signal: that is what the next turn is for.
        let _ = rustix::event::poll(&mut polled, Some(&timeout));
        if !polled[0].revents().is_empty() {
            return Ended::Stopped;
        }
        // A process descriptor is readable once the process has ended (pidfd_open(2)).
        let ended: Vec<bool> = polled[1..].iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut row = 0;
        open.retain(|_| {
            row += 1;
            !ended[row - 1]
        });
    }
}

/// Descriptors of the processes, and those processes that none can be had for (before Linux 5.3).
fn split(pids: &[u32]) -> (Vec<OwnedFd>, Vec<u32>) {
    let (mut open, mut unwatchable) = (Vec::new(), Vec::new());
    for &pid in pids {
        let opened = Pid::from_raw(pid as i32).map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()));
        match opened {
            Some(Ok(pidfd)) => open.push(pidfd),
            Some(Err(rustix::io::Errno::SRCH)) | None => {}
            Some(Err(_)) => unwatchable.push(pid),
        }
    }
    (open, unwatchable)
}

fn exists(id: u32) -> bool {
    crate::process::proc::status(id).is_ok_and(|status| !matches!(status.state, 'Z' | 'X'))
}
