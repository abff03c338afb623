//! Stacks that a BPF program has walked: each comes once, and is named by a key from then on.

use rustc_hash::FxHashMap;

use super::unwound::Kept;
use super::waited::{Waited, Waker};
use super::{OUTSIDE, Recorder};
use crate::model::{FoundBy, StackEnd, StackId, StringId, Timestamp, Truncation};
use crate::process::{KernelPlaces, proc};

/// What is known of a stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    stack: StackId,
    end: StackEnd,
    /// How many of its frames are of an interrupt.
    interrupt: Option<usize>,
    /// How frames were found.
    found: [u32; FoundBy::ALL.len()],
}

/// Stacks by key.
#[derive(Debug, Default)]
pub(super) struct KernelStacks {
    known: FxHashMap<u64, Known>,
    places: Option<KernelPlaces>,
    /// The names of threads that have woken others, by their numbers.
    wakers: FxHashMap<u32, StringId>,
}

/// Waits that a BPF program has added up.
#[derive(Clone, Copy, Debug)]
pub struct SummedWaits {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Key of the stack at which it went off the CPU, or what is known of it otherwise.
    pub stack: StackOf,
    /// By which epoch of its process's address space that was walked; 0 if by none.
    pub epoch: u32,
    /// Who woke it, if that was asked.
    pub waker: Option<WakerOf>,
    /// Whether it could have run.
    pub runnable: bool,
    /// Whether it had begun before the recording.
    pub before: bool,
    /// Whether it had not ended when the recording did.
    pub still: bool,
    /// Nanoseconds.
    pub time: u64,
    /// How often.
    pub count: u64,
    /// When, as far as that is known: what code was where then.
    pub at: u64,
}

/// Which stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackOf {
    /// That of a key.
    Key(u64),
    /// One that was found otherwise.
    Found(super::waiting::Found),
    /// There was nothing on it yet.
    Empty,
    /// It was lost.
    Lost,
}

/// Who woke a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakerOf {
    /// Key of its stack; nothing if it was lost, or nobody was seen.
    pub stack: Option<u64>,
    /// By which epoch of its process's address space that was walked; 0 if by none.
    pub epoch: u32,
    /// Its number; 0 for a CPU that was idle.
    pub tid: u32,
}

impl KernelStacks {
    /// Where the kernel's tracing is, if not where that of the running kernel is.
    #[cfg(test)]
    pub fn set_places(&mut self, places: KernelPlaces) {
        self.places = Some(places);
    }
}

impl Recorder {
    /// The stack of a key, as it was sent, without the frames of the tracing itself; nothing if it never came.
    fn known_stack(&mut self, key: u64, pid: u32) -> Option<Known> {
        if let Some(known) = self.waits.as_ref()?.stacks.known.get(&key) {
            return Some(*known);
        }
        let known = match self.unwound.stacks.remove(&key)? {
            Kept::Row(stack, end, found) => {
                let known = Known { stack, end, interrupt: None, found: *found };
                self.unwound.stacks.insert(key, Kept::Row(stack, end, found));
                known
            }
            Kept::AsItCame(kernel, words, end) => {
                let places = self.waits.as_mut()?.stacks.places.get_or_insert_with(KernelPlaces::read);
                let own = places.without_tracing(&words[..kernel.min(words.len())]);
                let (tracing, interrupt) = (kernel.min(words.len()) - own.len(), places.interrupt(own));
                let space = self.processes.followed(pid).map(|process| process.space.clone()).unwrap_or_default();
                let mut frames = std::mem::take(&mut self.frames);
                frames.clear();
                self.unwound_frames(kernel, &words, &space, &mut frames);
                let before = self.counters.found;
                let stack = self.stack(&frames[tracing..]);
                let found = std::array::from_fn(|way| (self.counters.found[way] - before[way]) as u32);
                self.counters.found = before;
                self.frames = frames;
                Known { stack, end, interrupt, found }
            }
        };
        self.waits.as_mut()?.stacks.known.insert(key, known);
        Some(known)
    }

    /// The same, up to what is to be trusted.
    fn trusted_stack(&mut self, key: u64, pid: u32, epoch: u32) -> Option<Known> {
        let known = self.known_stack(key, pid)?;
        if epoch == 0 {
            return Some(known);
        }
        let Some(suspects) = self.suspects_of_wait(epoch) else { return Some(known) };
        let space = self.processes.followed(pid).map(|process| process.space.clone()).unwrap_or_default();
        let Some((stack, end)) = self.trusted(known.stack, &suspects, (&space, false)) else { return Some(known) };
        self.counters.mappings_changed += 1;
        Some(Known { stack, end, ..known })
    }

    /// Whether a stack was walked before what it leads through was known to programs.
    pub fn came_too_early(&mut self, key: u64, pid: u32) -> bool {
        self.known_stack(key, pid).is_some_and(|known| known.end == StackEnd::Truncated(Truncation::NoTableYet))
    }

    /// The name of a thread that has woken another, which may be anyone's, and may have ended.
    fn name_of_waker(&mut self, tid: u32) -> StringId {
        if let Some(name) = self.waits.as_ref().and_then(|waits| waits.stacks.wakers.get(&tid)) {
            return *name;
        }
        let name =
            self.kept_name(tid).or_else(|| proc::comm(tid, tid).ok()).unwrap_or_else(|| format!("[thread {tid}]"));
        let name = self.builder.string(&name);
        if let Some(waits) = &mut self.waits {
            waits.stacks.wakers.insert(tid, name);
        }
        name
    }

    /// Takes in waits that were added up; says whether their thread is known.
    pub fn add_summed_waits(&mut self, summed: &SummedWaits) -> bool {
        let lost = StackEnd::Truncated(Truncation::LostStack);
        let (stack, end) = match summed.stack {
            StackOf::Key(key) => match self.trusted_stack(key, summed.pid, summed.epoch) {
                Some(known) => {
                    for (sum, count) in self.counters.found.iter_mut().zip(known.found) {
                        *sum = sum.saturating_add(u64::from(count).saturating_mul(summed.count));
                    }
                    (known.stack, known.end)
                }
                None => (StackId(0), lost),
            },
            StackOf::Found(found) => (found.stack, found.end),
            StackOf::Empty => (StackId(0), StackEnd::Root),
            StackOf::Lost => (StackId(0), lost),
        };
        let waker = summed.waker.map(|WakerOf { stack, epoch, tid }| {
            // Whose addresses they are is not known, of what is in no file.
            match stack.and_then(|key| self.trusted_stack(key, OUTSIDE, epoch)) {
                Some(Known { stack, interrupt: Some(count), .. }) => Waker::Interrupt(stack, count),
                // Whatever an idle CPU does, it was not asked for by itself.
                Some(Known { stack, .. }) if tid == OUTSIDE => Waker::Interrupt(stack, usize::MAX),
                Some(Known { stack, end, .. }) => Waker::Thread(stack, end, self.name_of_waker(tid)),
                // Its name is known if not its stack.
                None if tid != OUTSIDE => Waker::Thread(StackId(0), lost, self.name_of_waker(tid)),
                None => Waker::Unknown,
            }
        });
        let Some(thread) = self.thread_of(summed.pid, summed.tid) else { return false };
        let at = Timestamp(summed.at);
        let SummedWaits { runnable, before, still, time, count, .. } = *summed;
        self.add_wait(&Waited { thread, stack, end, waker, runnable, before, still, time, count, at });
        true
    }
}
