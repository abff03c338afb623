//! Stacks that a BPF program has walked: each comes once, and is named by a key from then on.

use rustc_hash::FxHashMap;

use super::waits::{Waited, Waker};
use super::{OUTSIDE, Recorder};
use crate::model::{CodeAddress, FoundBy, ImageId, ProfileBuilder, StackEnd, StackId, StringId, Timestamp, Truncation};
use crate::process::{KernelPlaces, proc};
use crate::unwind::WalkedFrame;

/// A stack as a program sends it, its frames innermost first.
#[derive(Clone, Copy, Debug)]
pub struct KernelStack<'a> {
    /// What it is called from then on.
    pub key: u64,
    /// Process.
    pub pid: u32,
    /// The kernel's part; all but the first are return addresses.
    pub kernel: &'a [u64],
    /// The user's part.
    pub user: &'a [UserFrame],
    /// How it ends.
    pub end: StackEnd,
    /// When it came.
    pub time: u64,
}

/// A frame in user mode; its address is one of the instruction itself, or of the call that has not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserFrame {
    /// At an offset of an image.
    Image(ImageId, u64, FoundBy),
    /// At an address of the process.
    Address(u64, FoundBy),
}

/// What is known of a stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    stack: StackId,
    end: StackEnd,
    /// The name of the process whose it was.
    name: StringId,
    /// How many of its frames are of an interrupt.
    interrupt: Option<usize>,
    at: Timestamp,
    /// How callers in user mode were found.
    found: [u16; FoundBy::ALL.len()],
}

/// Stacks by key.
#[derive(Debug, Default)]
pub(super) struct KernelStacks {
    known: FxHashMap<u64, Known>,
    places: Option<KernelPlaces>,
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
}

/// Which stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackOf {
    /// That of a key.
    Key(u64),
    /// One that was found otherwise.
    Found(super::waiting::Found),
    /// It was lost.
    Lost,
}

/// Who woke a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakerOf {
    /// Key of its stack; nothing if it was lost, or nobody was seen.
    pub stack: Option<u64>,
    /// Its number; 0 for a CPU that was idle.
    pub tid: u32,
}

impl Recorder {
    /// Takes in a stack.
    pub fn add_kernel_stack(&mut self, stack: &KernelStack<'_>) {
        let KernelStack { key, pid, kernel, user, end, time } = *stack;
        let Some(waits) = &mut self.waits else { return };
        let places = waits.stacks.places.get_or_insert_with(KernelPlaces::read);
        let kernel = places.without_tracing(kernel);
        let interrupt = places.interrupt(kernel);
        let mut frames = std::mem::take(&mut self.frames);
        frames.clear();
        let modules = &self.processes.kernel.modules;
        for (at, word) in kernel.iter().enumerate() {
            let address = if at == 0 { None } else { CodeAddress::from_return(*word) };
            let address = address.unwrap_or(CodeAddress::Ip(*word));
            frames.push(WalkedFrame::at(modules, ProfileBuilder::KERNEL, address, FoundBy::Kernel));
        }
        let process = self.processes.followed(pid);
        let name = process.as_ref().map(|process| process.name.clone()).unwrap_or_default();
        let space = process.map(|process| process.space.clone()).unwrap_or_default();
        for frame in user {
            frames.push(match *frame {
                UserFrame::Image(image, offset, by) => WalkedFrame { image, by, offset },
                UserFrame::Address(address, by) => {
                    WalkedFrame::at(&space, ProfileBuilder::UNMAPPED, CodeAddress::Ip(address), by)
                }
            });
        }
        let mut found = [0u16; FoundBy::ALL.len()];
        let mut interned = StackId(0);
        for WalkedFrame { image, by, offset } in frames.iter().rev() {
            found[*by as usize] = found[*by as usize].saturating_add(1);
            let frame = self.builder.found_frame(*image, *offset, *by);
            interned = self.builder.stack(interned, frame);
        }
        self.frames = frames;
        // Who wakes may be anyone: its name is there now, and may not be later.
        let name = match name.is_empty() && pid != OUTSIDE {
            true => proc::comm(pid, pid).unwrap_or_default(),
            false => name,
        };
        let name = self.builder.string(if name.is_empty() { "[unknown]" } else { &name });
        let Some(waits) = &mut self.waits else { return };
        let known = Known { stack: interned, end, name, interrupt, at: Timestamp(time), found };
        waits.stacks.known.insert(key, known);
    }

    /// Takes in waits that were added up; says whether their stack and thread are known.
    pub fn add_summed_waits(&mut self, summed: &SummedWaits) -> bool {
        let lost = StackEnd::Truncated(Truncation::NoRegisters);
        let known = |recorder: &Recorder, key: u64| recorder.waits.as_ref()?.stacks.known.get(&key).copied();
        let (stack, end, at) = match summed.stack {
            StackOf::Key(key) => match known(self, key) {
                Some(known) => {
                    for (sum, count) in self.counters.found.iter_mut().zip(known.found) {
                        *sum = sum.saturating_add(u64::from(count).saturating_mul(summed.count));
                    }
                    (known.stack, known.end, known.at)
                }
                None => (StackId(0), lost, Timestamp(0)),
            },
            StackOf::Found(found) => (found.stack, found.end, Timestamp(0)),
            StackOf::Lost => (StackId(0), lost, Timestamp(0)),
        };
        let waker = summed.waker.map(|WakerOf { stack, tid }| {
            let known = stack.and_then(|key| known(self, key));
            match known {
                Some(Known { stack, interrupt: Some(count), .. }) => Waker::Interrupt(stack, count),
                // Whatever an idle CPU does, it was not asked for by itself.
                Some(Known { stack, .. }) if tid == OUTSIDE => Waker::Interrupt(stack, usize::MAX),
                Some(Known { stack, end, name, .. }) => Waker::Thread(stack, end, name),
                None => Waker::Unknown,
            }
        });
        let Some(thread) = self.thread_of(summed.pid, summed.tid) else { return false };
        let SummedWaits { runnable, before, still, time, count, .. } = *summed;
        self.add_wait(&Waited { thread, stack, end, waker, runnable, before, still, time, count, at });
        stack != StackId(0)
    }
}
