//! The thread that empties the rings, and does nothing else.
//!
//! ```text
//! rings --copy--> chunk --bounded queue--> who parses
//!                   ^------ empty chunks -----'
//! ```
//! When who parses falls behind, stack copies are cut: the fuller the queue, the shorter. When it is full for all that, the rings
//! fill, and the kernel counts what it loses: memory stays bounded and every loss is known.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::ring::RingBuffer;
use crate::error::{Error, Result};
use crate::perf::Layout;
use crate::perf::record::TRIMMED;

/// Most bytes in a chunk; larger than any record (65,535 bytes).
///
/// Handing one over wakes the thread that parses, so a round of a small machine is to fit into two or three.
const CHUNK: usize = 2 << 20;
/// Most bytes in the queue, give or take a chunk.
const MOST_QUEUED: usize = 24 << 20;
/// From so many bytes in the queue on, so much of a stack copy is taken: a part of a stack is worth more than none.
const SHORTER: [(usize, usize); 2] = [(MOST_QUEUED / 4 * 3, TRIMMED[1]), (MOST_QUEUED / 2, TRIMMED[0])];
/// How long the thread sleeps if no ring wakes it: records are at most that old. A new process must be found before it is
/// gone, if its files are to be looked for in its own root.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);
/// The same where a ring cannot wake it.
const SLEEP_BY_THE_CLOCK: Duration = Duration::from_millis(100);

/// How long it sleeps in haste: what is wanted of a process's memory is to be read before it has changed.
const HASTY_SLEEP: Duration = Duration::from_millis(1);
/// For so many hasty sleeps the haste lasts, about a second.
const HASTY_SLEEPS: u32 = 1000;

/// Bytes of whole records of one or more rings.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The records, one after the other; each begins with its header.
    pub bytes: Vec<u8>,
    /// Whether all rings have been read since the last chunk that said so (see [`crate::perf::RoundSorter`]).
    pub ends_round: bool,
}

/// A ring of another kind that is read beside the events' own.
pub trait Beside: std::fmt::Debug + Send {
    /// Appends what has come as records of `layout` to `out`, but no more than about `limit` bytes; says whether that is all.
    fn drain(&mut self, layout: &Layout, limit: usize, out: &mut Vec<u8>) -> bool;

    /// What is readable when it is to be read at once.
    fn wakes(&self) -> BorrowedFd<'_>;

    /// How often it is to be read, as full as it was lately.
    fn pace(&self) -> Pace;
}

/// How often a ring is read that does not wake us as it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After so long at the latest.
    pub sleep: Duration,
    /// The same while it hardly fills.
    pub at_ease: Duration,
    /// When it has woken us, not once more for so long: each time all rings are read.
    pub rest: Duration,
}

/// A running drain thread.
#[derive(Debug)]
pub struct Drain {
    stop: rustix::fd::OwnedFd,
    thread: JoinHandle<Vec<RingBuffer>>,
}

/// The other end of its queue.
#[derive(Debug)]
pub struct Chunks {
    full: Receiver<Chunk>,
    empty: Sender<Vec<u8>>,
    level: Arc<Level>,
}

/// What both ends know of the queue.
#[derive(Debug, Default)]
struct Level {
    chunks: AtomicUsize,
    bytes: AtomicUsize,
    /// How many more sleeps are to be short.
    haste: AtomicU32,
}

/// The thread's end of the queue.
#[derive(Debug)]
struct Queue {
    full: Sender<Chunk>,
    empty: Receiver<Vec<u8>>,
    level: Arc<Level>,
}

impl Queue {
    /// Hands a chunk over; waits if the queue is full. Says whether anybody is there to take it.
    fn send(&self, bytes: Vec<u8>, ends_round: bool) -> bool {
        /// While the rings fill.
        const SLEEP: Duration = Duration::from_millis(1);
        while self.level.bytes.load(Ordering::Relaxed) >= MOST_QUEUED {
            // The other end has the other reference.
            if Arc::strong_count(&self.level) < 2 {
                return false;
            }
            std::thread::sleep(SLEEP);
        }
        self.level.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        self.level.chunks.fetch_add(1, Ordering::Relaxed);
        self.full.send(Chunk { bytes, ends_round }).is_ok()
    }

    /// An empty chunk.
    fn fresh(&self) -> Vec<u8> {
        self.empty.try_recv().unwrap_or_default()
    }

    /// How much of a stack copy is taken, as full as the queue is.
    fn stack_limit(&self) -> usize {
        let queued = self.level.bytes.load(Ordering::Relaxed);
        SHORTER.into_iter().find(|(bytes, _)| queued >= *bytes).map_or(usize::MAX, |(_, stack)| stack)
    }

    /// Takes one of the short sleeps that were asked for, if there is one left.
    fn is_hasty(&self) -> bool {
        self.level.haste.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Whether who parses has taken everything.
    fn is_empty(&self) -> bool {
        self.level.chunks.load(Ordering::Relaxed) == 0
    }
}

impl Chunks {
    /// The next chunk; nothing once the thread has ended and all chunks are taken.
    pub fn next(&self) -> Option<Chunk> {
        let chunk = self.full.recv().ok()?;
        self.level.bytes.fetch_sub(chunk.bytes.len(), Ordering::Relaxed);
        self.level.chunks.fetch_sub(1, Ordering::Relaxed);
        Some(chunk)
    }

    /// Lets records come as soon as they are there, for the next second; it costs a hundredth of a CPU.
    pub fn hasten(&self) {
        self.level.haste.store(HASTY_SLEEPS, Ordering::Relaxed);
    }

    /// Gives a chunk's memory back.
    pub fn recycle(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        // If the thread has ended, the memory is simply freed.
        let _ = self.empty.send(bytes);
    }
}

impl Drain {
    /// Starts emptying `rings`, whose records have `layout`.
    ///
    /// # Errors
    /// If no thread or descriptor can be had.
    pub fn start(rings: Vec<RingBuffer>, layout: Layout) -> Result<(Drain, Chunks)> {
        Drain::start_with(rings, None, layout)
    }

    /// The same with a ring that is read beside them.
    ///
    /// # Errors
    /// As [`Drain::start`].
    pub fn start_with(
        rings: Vec<RingBuffer>,
        beside: Option<Box<dyn Beside>>,
        layout: Layout,
    ) -> Result<(Drain, Chunks)> {
        let failed = |error: std::io::Error| Error::io("cannot start the thread that empties the rings", error);
        let stop =
            rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let stopped = stop.try_clone().map_err(failed)?;
        let ((full_sender, full), (empty, empty_receiver)) = (channel(), channel());
        let level = Arc::<Level>::default();
        let queue = Queue { full: full_sender, empty: empty_receiver, level: level.clone() };
        let thread = std::thread::Builder::new()
            .name("drain".into())
            .spawn(move || {
                // A ring that waits loses samples; where we may, we go before what we measure.
                let _ = rustix::process::setpriority_process(None, -20);
                run(rings, beside, &layout, stopped.as_fd(), &queue)
            })
            .map_err(failed)?;
        Ok((Drain { stop, thread }, Chunks { full, empty, level }))
    }

    /// Reads what is still in the rings, and ends the thread; the events must have been stopped before.
    pub fn stop(self) -> Vec<RingBuffer> {
        // The write can only fail if the counter is at its limit, and then it is readable too.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        self.thread.join().unwrap_or_default()
    }
}

fn run(
    mut rings: Vec<RingBuffer>,
    mut beside: Option<Box<dyn Beside>>,
    layout: &Layout,
    stop: BorrowedFd<'_>,
    queue: &Queue,
) -> Vec<RingBuffer> {
    // A ring whose task has ended reports a hang-up at once, each time; it is read by the clock from then on.
    let mut hung_up = vec![false; rings.len()];
    // Rounds that must still be ended for all records to have been released.
    let mut open_rounds = 0;
    let mut woken = None;
    loop {
        let stopping = wait(&rings, stop, &mut hung_up, queue, beside.as_deref(), &mut woken);
        let mut chunk = queue.fresh();
        for ring in &mut rings {
            // No more than there can be in it: one that fills as fast as it is read must not keep the round from its end.
            for _ in 0..=ring.size() / (CHUNK / 2) {
                let (_, all) = ring.drain(layout, CHUNK, queue.stack_limit(), &mut chunk);
                if all {
                    break;
                }
                if !queue.send(std::mem::take(&mut chunk), false) {
                    return rings;
                }
                open_rounds = 2;
                chunk = queue.fresh();
            }
        }
        while let Some(beside) = &mut beside
            && !beside.drain(layout, CHUNK, &mut chunk)
        {
            if !queue.send(std::mem::take(&mut chunk), false) {
                return rings;
            }
            open_rounds = 2;
            chunk = queue.fresh();
        }
        if !chunk.is_empty() {
            open_rounds = 2;
        }
        if open_rounds > 0 {
            open_rounds -= 1;
            if !queue.send(chunk, true) {
                return rings;
            }
        }
        if stopping {
            return rings;
        }
    }
}

/// Sleeps until a ring fills up, it is time, or `stop` is written to; says whether it is the last. `woken` is when the ring beside
/// has woken us.
fn wait(
    rings: &[RingBuffer],
    stop: BorrowedFd<'_>,
    hung_up: &mut [bool],
    queue: &Queue,
    beside: Option<&dyn Beside>,
    woken: &mut Option<Instant>,
) -> bool {
    let mut polled: Vec<PollFd<'_>> = Vec::with_capacity(rings.len() + 2);
    polled.push(PollFd::from_borrowed_fd(stop, PollFlags::IN));
    let rows: Vec<usize> = (0..rings.len()).filter(|row| !hung_up[*row]).collect();
    polled.extend(rows.iter().map(|row| PollFd::from_borrowed_fd(rings[*row].event(), PollFlags::IN)));
    let mut longest = if rows.len() == rings.len() { LONGEST_SLEEP } else { SLEEP_BY_THE_CLOCK };
    if let Some(beside) = beside {
        let Pace { sleep, rest, .. } = beside.pace();
        let rest = woken.map_or(Duration::ZERO, |woken| rest.saturating_sub(woken.elapsed()));
        if rest.is_zero() {
            polled.push(PollFd::from_borrowed_fd(beside.wakes(), PollFlags::IN));
            longest = longest.min(sleep);
        } else {
            longest = longest.min(rest);
        }
    }
    let is_hasty = queue.is_hasty();
    let end = Instant::now() + longest;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let is_over = left.is_zero();
        let left = if is_hasty { left.min(HASTY_SLEEP) } else { left };
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        let Ok(ready) = rustix::event::poll(&mut polled, Some(&timeout)) else { return false };
        let mut ended = false;
        for (row, fd) in rows.iter().zip(&polled[1..]) {
            hung_up[*row] = fd.revents().intersects(PollFlags::HUP | PollFlags::ERR);
            ended |= hung_up[*row];
        }
        let stopping = !polled[0].revents().is_empty();
        let is_called = polled.get(1 + rows.len()).is_some_and(|fd| !fd.revents().is_empty());
        if is_called {
            *woken = Some(Instant::now());
        }
        // There is no haste while there is something to parse.
        let is_time = ready == 0 && (!is_hasty || is_over || queue.is_empty());
        // The kernel wakes us whenever half a ring has been written since it last did, however much of it we have read
        // since. Up to a quarter, the next time comes well before the ring is full.
        if stopping || ended || is_called || is_time || rings.iter().any(|ring| ring.used() > ring.size() / 4) {
            return stopping;
        }
    }
}
