//! Completes stacks that are larger than their copies: what is missing is read from the process, which has gone on since.
//!
//! ```text
//! at the sample   sp |======= copy =======|                     | root
//! soon after                     |==same==|======= rest =======|
//!                                ^ read again, and equal to the last bit
//! ```
//! The outer part of a stack changes seldom. That it has not is proven twice: the last part of the copy is still there, before and
//! after the rest is read; and each caller in the rest does call the function that is above it. What memory holds below the stack
//! pointer of a thread that has since returned is equal too, and what has been called from there on has overwritten some of the
//! rest: there, callers and callees do not fit.
//!
//! The sooner it is read, the more is still the same. So the stacks of threads of which more was needed before are read as soon as
//! their samples come in, and not only when it is their turn to be walked.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::called::Calls;
use crate::image::Images;
use crate::model::StackEnd;
use crate::perf::record::{Identity, Sample};
use crate::process::{AddressSpace, ProcessMemory};
use crate::unwind::{Registers, StackBytes, Unwinder, WalkedFrame};

/// So much is read first, of what follows the copy.
const FIRST_READ: usize = 32 << 10;
/// And so much at most: three thousand frames of a usual size.
const MOST_READ: usize = 2 << 20;
/// The part of the copy that must still be equal: this many bytes at the least, or all of it,
const SMALLEST_OVERLAP: usize = 512;
/// and at the least this part of the copy.
const OVERLAP_PART: usize = 4;
/// Where a walk goes on at another stack, what it reads next may stand this much below the word that it asked for first.
const BELOW: u64 = 1024;
/// Share of the time that reading may take, so that it is never the reason for losing samples.
const SHARE: f64 = 0.25;
/// So much time may be saved up.
const MOST_SAVED: Duration = Duration::from_millis(250);
/// Of so many threads it is known how much of their stacks was needed.
const MOST_THREADS: usize = 4096;
/// A thread's stacks are read ahead until so many in a row were whole without.
const PATIENCE: u8 = 8;
/// So many bytes are held that were read ahead.
const MOST_AHEAD: usize = 8 << 20;

/// Completes stacks, of processes that run.
#[derive(Debug)]
pub(super) struct Late {
    memory: ProcessMemory,
    calls: Calls,
    /// By thread: how much of its stacks has been needed.
    needs: FxHashMap<u32, Need>,
    /// In the order in which the samples came.
    ahead: VecDeque<Ahead>,
    bytes_ahead: usize,
    /// Buffers to be reused.
    free: Vec<Vec<u8>>,
    overlap: Vec<u8>,
    frames: Vec<WalkedFrame>,
    /// Time that may be used, in nanoseconds; what was used too much is paid back first.
    saved: i64,
    last: Instant,
    /// How many stacks were wanted.
    pub wanted: u64,
    /// How many of them were completed.
    pub completed: u64,
}

/// How much of a thread's stacks has been needed.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// Bytes behind the copy.
    size: usize,
    /// Counts down with each stack that was whole without.
    patience: u8,
}

/// What was read of a stack when its sample came.
#[derive(Debug)]
struct Ahead {
    tid: u32,
    time: u64,
    rest: Rest,
}

/// What was read behind a copy.
#[derive(Debug, Default)]
struct Rest {
    bytes: Vec<u8>,
    /// Whether there is no memory behind that.
    is_all: bool,
}

impl Default for Late {
    fn default() -> Late {
        Late {
            memory: ProcessMemory::default(),
            calls: Calls::default(),
            needs: FxHashMap::default(),
            ahead: VecDeque::new(),
            bytes_ahead: 0,
            free: Vec::new(),
            overlap: Vec::new(),
            frames: Vec::new(),
            saved: MOST_SAVED.as_nanos() as i64,
            last: Instant::now(),
            wanted: 0,
            completed: 0,
        }
    }
}

/// A stack that is to be unwound, or that was cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut<'a> {
    pub sample: &'a Sample<'a>,
    pub space: &'a AddressSpace,
    pub images: &'a Images,
    pub registers: &'a Registers,
    pub stack: &'a StackBytes<'a>,
}

/// The last part of a copy, with its address: it must be the same if what follows is to belong to it.
fn part_of<'a>(stack: &StackBytes<'a>) -> (u64, &'a [u8]) {
    let copy = stack.bytes;
    let count = (copy.len() / OVERLAP_PART).max(SMALLEST_OVERLAP).min(copy.len());
    (stack.end().saturating_sub(count as u64), &copy[copy.len() - count..])
}

/// What a signal has put on its stack: the stack that it has left stands still as long as this is there, as it holds all the
/// registers of that moment.
fn signal_of<'a>(stack: &StackBytes<'a>, address: u64) -> Option<(u64, &'a [u8])> {
    const SMALLEST: usize = 304;
    const LARGEST: usize = 1024;
    let bytes = stack.bytes.get(usize::try_from(address.checked_sub(stack.start)?).ok()?..)?;
    (bytes.len() >= SMALLEST).then_some((address, &bytes[..bytes.len().min(LARGEST)]))
}

/// Where it was cut: the frames that are known begin at `first`, and the word at `missing` was not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub first: usize,
    pub known: usize,
    pub missing: u64,
    /// Where a signal put the registers that it has interrupted, if the walk came past one.
    pub signal: Option<u64>,
}

impl Late {
    /// The process is another program now, or gone.
    pub fn forget(&mut self, pid: u32) {
        self.memory.forget(pid);
    }

    /// Whether a process's memory was not ours to read.
    pub fn was_denied(&self) -> bool {
        self.memory.was_denied()
    }

    /// A sample has come in, whose turn it is later: reads what will be needed of its stack, if that is likely.
    pub fn arrives(&mut self, sample: &Sample<'_>, stack: &StackBytes<'_>) {
        let Identity { pid, tid, time, .. } = sample.identity;
        let size = self.needs.get(&tid).map_or(FIRST_READ, |need| if need.patience > 0 { need.size } else { 0 });
        if size == 0 || self.bytes_ahead + size > MOST_AHEAD || !self.may_read() {
            return;
        }
        let mut rest = self.empty();
        let overlap = part_of(stack);
        if self.is_same(pid, overlap) && self.read(pid, stack.end(), size, &mut rest) && self.is_same(pid, overlap) {
            self.bytes_ahead += rest.bytes.len();
            self.ahead.push_back(Ahead { tid, time, rest });
        } else {
            self.free.push(rest.bytes);
        }
        self.stop_reading();
    }

    /// A stack was whole as it came.
    pub fn was_not_needed(&mut self, sample: &Sample<'_>) {
        if !sample.user_stack_full {
            return;
        }
        if let Some(rest) = self.take_ahead(sample) {
            self.free.push(rest.bytes);
        }
        let need = self.need(sample.identity.tid);
        need.patience = need.patience.saturating_sub(1);
    }

    /// Completes a stack that `unwinder` has just found to be cut; if that succeeds, its frames are whole, and it says how the
    /// stack ends.
    pub fn complete(
        &mut self,
        cut: &Cut<'_>,
        place: Place,
        unwinder: &mut Unwinder,
        frames: &mut Vec<WalkedFrame>,
    ) -> Option<StackEnd> {
        let Place { first, known, .. } = place;
        self.wanted += 1;
        self.need(cut.sample.identity.tid).patience = PATIENCE;
        let may_read = self.may_read();
        let mut rest = match self.take_ahead(cut.sample) {
            Some(rest) => rest,
            None if may_read => self.empty(),
            None => return None,
        };
        let mut found = std::mem::take(&mut self.frames);
        let end = self.walk(cut, unwinder, place, &mut rest, &mut found);
        self.free.push(rest.bytes);
        let end = end.filter(|_| {
            found.len() > known
                && found[..known] == frames[first..first + known]
                && self.calls.fit(cut.images, cut.registers.processor, &found[known.saturating_sub(1)..])
        });
        if end.is_some() {
            frames.truncate(first);
            frames.extend_from_slice(&found);
            self.completed += 1;
        }
        self.frames = found;
        self.stop_reading();
        end
    }

    /// Unwinds with as much of the rest as it takes; some of it may be there.
    fn walk(
        &mut self,
        cut: &Cut<'_>,
        unwinder: &mut Unwinder,
        place: Place,
        rest: &mut Rest,
        found: &mut Vec<WalkedFrame>,
    ) -> Option<StackEnd> {
        let Cut { sample, space, images, registers, stack } = *cut;
        let Identity { pid, tid, .. } = sample.identity;
        let (behind, missing) = (stack.end(), place.missing);
        // Where the stack goes on behind the copy, or where another one is.
        let goes_on = missing.saturating_add(8) > behind && missing.saturating_sub(behind) < MOST_READ as u64;
        let start = if goes_on { behind } else { missing.saturating_sub(BELOW) };
        let overlap = match place.signal {
            _ if goes_on => part_of(stack),
            Some(signal) => signal_of(stack, signal)?,
            None => (stack.start, stack.bytes),
        };
        if !goes_on {
            rest.bytes.clear();
            rest.is_all = false;
        }
        let distance = usize::try_from(missing.saturating_sub(start)).ok()?;
        let mut wanted = distance.saturating_add(FIRST_READ).min(MOST_READ);
        loop {
            if rest.bytes.len() < wanted && !rest.is_all {
                // What is read in pieces is of one stack only if it stands still all the while.
                let is_proven = !rest.bytes.is_empty() || self.is_same(pid, overlap);
                if !is_proven && !stack.full {
                    // The kernel copies no page that has not been touched, as of a large array: from now on it has been.
                    self.read(pid, start, wanted, rest);
                }
                if !is_proven || !self.read(pid, start, wanted, rest) || !self.is_same(pid, overlap) {
                    return None;
                }
            }
            let longer = StackBytes { rest_start: start, rest: &rest.bytes, ..*stack };
            found.clear();
            match unwinder.unwind(space, images, registers, &longer, found) {
                StackEnd::Root => {
                    if goes_on {
                        self.need(tid).size = rest.bytes.len().next_power_of_two().clamp(FIRST_READ, MOST_READ);
                    }
                    return Some(StackEnd::Root);
                }
                _ if rest.is_all || rest.bytes.len() >= MOST_READ => return None,
                _ => unwinder.missing()?,
            };
            wanted = (rest.bytes.len() * 2).min(MOST_READ);
        }
    }

    /// Reads up to `size` bytes of what is at `start`, of which some may be there; says whether there was anything more.
    fn read(&mut self, pid: u32, start: u64, size: usize, rest: &mut Rest) -> bool {
        let there = rest.bytes.len();
        rest.bytes.resize(size, 0);
        let read = self.memory.read(pid, start.saturating_add(there as u64), &mut rest.bytes[there..]);
        rest.bytes.truncate(there + read);
        rest.is_all = rest.bytes.len() < size;
        read > 0
    }

    /// Whether what was copied from an address on is still there.
    fn is_same(&mut self, pid: u32, (address, copy): (u64, &[u8])) -> bool {
        self.overlap.resize(copy.len(), 0);
        !copy.is_empty() && self.memory.read(pid, address, &mut self.overlap) == copy.len() && self.overlap == copy
    }

    fn need(&mut self, tid: u32) -> &mut Need {
        if self.needs.len() >= MOST_THREADS && !self.needs.contains_key(&tid) {
            self.needs.clear();
        }
        self.needs.entry(tid).or_insert(Need { size: FIRST_READ, patience: PATIENCE })
    }

    fn empty(&mut self) -> Rest {
        let mut bytes = self.free.pop().unwrap_or_default();
        bytes.clear();
        Rest { bytes, is_all: false }
    }

    /// What was read of a sample's stack when it came; what is older is given up.
    fn take_ahead(&mut self, sample: &Sample<'_>) -> Option<Rest> {
        let Identity { tid, time, .. } = sample.identity;
        while self.ahead.front().is_some_and(|ahead| ahead.time < time)
            && let Some(old) = self.ahead.pop_front()
        {
            self.bytes_ahead -= old.rest.bytes.len();
            self.free.push(old.rest.bytes);
        }
        let row = self.ahead.iter().position(|ahead| (ahead.tid, ahead.time) == (tid, time))?;
        let ahead = self.ahead.remove(row)?;
        self.bytes_ahead -= ahead.rest.bytes.len();
        Some(ahead.rest)
    }

    /// Whether there is time to read; it is counted from now on.
    fn may_read(&mut self) -> bool {
        let now = Instant::now();
        let earned = now.saturating_duration_since(self.last).mul_f64(SHARE).min(MOST_SAVED);
        self.saved = (self.saved + earned.as_nanos() as i64).min(MOST_SAVED.as_nanos() as i64);
        self.last = now;
        self.saved > 0
    }

    fn stop_reading(&mut self) {
        let now = Instant::now();
        self.saved = self.saved.saturating_sub_unsigned(now.saturating_duration_since(self.last).as_nanos() as u64);
        self.last = now;
    }
}
