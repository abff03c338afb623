//! Which addresses are on a sample's stack: the kernel's chain, then the user part by the best means there are.

use std::sync::{Mutex, PoisonError};

use super::late::{Cut, Late, Place};
use super::options::{Origin, RecorderOptions, UserStacks};
use super::{Admitted, record};
use crate::image::Images;
use crate::model::{CodeAddress, FoundBy, ImageId, ProfileBuilder, StackEnd, Truncation};
use crate::perf::record::{CpuMode, context};
use crate::process::AddressSpace;
use crate::unwind::{Registers, StackBytes, Unwinder, WalkedFrame};

/// What all walks have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    pub images: &'a Images,
    /// What of the kernel has a place of its own.
    pub modules: &'a AddressSpace,
    pub options: &'a RecorderOptions,
}

/// What a walk found besides frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walked {
    /// How many frames.
    pub count: usize,
    /// How the stack ends.
    pub end: StackEnd,
    /// What names the record that brings the user part later.
    pub deferred: Option<u64>,
}

/// The walks of some samples in a row, their frames one after the other.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub walked: Vec<Walked>,
    pub frames: Vec<WalkedFrame>,
}

impl Walk<'_> {
    /// Walks the stacks of many samples, with a thread for each unwinder; the parts come out in the order of the samples, and keep
    /// their memory from call to call.
    pub fn all(self, unwinders: &mut [Unwinder], samples: &[Admitted<'_>], parts: &mut Vec<Part>) {
        /// Samples that a thread takes at a time.
        const PART: usize = 32;
        for part in &mut *parts {
            part.walked.clear();
            part.frames.clear();
        }
        parts.resize_with(samples.len().div_ceil(PART).max(parts.len()), Part::default);
        // Call chains are as good as walked.
        let is_work = samples.iter().any(|admitted| !admitted.sample.user_stack.is_empty());
        let queue = Mutex::new(parts.iter_mut().zip(samples.chunks(PART)));
        let work = |unwinder: &mut Unwinder| {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((part, samples)) = next else { break };
                for sample in samples {
                    let walked = self.frames(unwinder, None, sample, &mut part.frames);
                    part.walked.push(walked);
                }
            }
        };
        let Some((first, others)) = unwinders.split_first_mut() else { return };
        if others.is_empty() || samples.len() <= PART || !is_work {
            return work(first);
        }
        std::thread::scope(|scope| {
            for unwinder in others {
                scope.spawn(|| work(unwinder));
            }
            work(first);
        });
    }

    /// Appends the frames of a sample's stack, innermost first; with `late` stacks that are larger than their copies are completed.
    pub fn frames(
        self,
        unwinder: &mut Unwinder,
        late: Option<&mut Late>,
        admitted: &Admitted<'_>,
        frames: &mut Vec<WalkedFrame>,
    ) -> Walked {
        let first = frames.len();
        let deferred = self.kernel_frames(&admitted.sample, frames);
        let end = match deferred {
            Some(_) => StackEnd::Truncated(Truncation::Deferred),
            None => self.user_frames(unwinder, late, admitted, frames, first),
        };
        Walked { count: frames.len() - first, end, deferred }
    }

    /// Appends the user part of the stack; says how it ended.
    fn user_frames(
        self,
        unwinder: &mut Unwinder,
        late: Option<&mut Late>,
        admitted: &Admitted<'_>,
        frames: &mut Vec<WalkedFrame>,
        begin: usize,
    ) -> StackEnd {
        let Admitted { sample, space, .. } = admitted;
        let first = frames.len();
        let (stacks, origin) = (self.options.user_stacks, &self.options.origin);
        let by_tables = matches!(stacks, UserStacks::Auto | UserStacks::Dwarf);
        let copied = by_tables && !sample.user_stack.is_empty();
        let values = sample.user_registers.filter(|_| by_tables);
        let processor = values.and_then(|values| origin.processor(values.abi));
        let all_registers = registers_of(sample, origin);
        let registers = all_registers.filter(|_| by_tables);
        if stacks == UserStacks::CallStack {
            return self.by_call_stack(unwinder, sample, space, all_registers.as_ref(), frames);
        }
        if let Some(registers) = registers.filter(|_| copied) {
            let stack = &stack_of(sample, &registers);
            let cut = Cut { sample, space, images: self.images, registers: &registers, stack };
            let end = unwinder.unwind(space, self.images, &registers, stack, frames);
            let known = frames.len() - first;
            let signal = unwinder.signal();
            let place = unwinder.missing().map(|missing| Place { first, known, missing, signal });
            let end = match end {
                StackEnd::Truncated(Truncation::OtherStack) => self.other_stack(unwinder, &cut, frames),
                _ if stacks == UserStacks::Auto && self.behind_copy(unwinder, &cut, frames) => {
                    // It may have skipped callers that keep no frame pointer.
                    StackEnd::Truncated(Truncation::FramePointers)
                }
                end => end,
            };
            let Some(late) = late else { return end };
            let Some(place) = place.filter(|_| end != StackEnd::Root) else {
                late.was_not_needed(sample);
                return end;
            };
            return late.complete(&cut, place, unwinder, frames).unwrap_or(end);
        }
        if stacks == UserStacks::Auto && sample.branches.is_call_stack && sample.branches.count() > 0 {
            return self.by_call_stack(unwinder, sample, space, None, frames);
        }
        if matches!(stacks, UserStacks::Auto | UserStacks::FramePointers) {
            user_chain(sample.callchain.iter(), space, frames);
            if let Some(registers) = all_registers.filter(|_| frames.len() > first) {
                let stack = &stack_of(sample, &registers);
                let cut = Cut { sample, space, images: self.images, registers: &registers, stack };
                self.insert_caller(unwinder, &cut, (frames, first));
            }
            if *origin == Origin::Live {
                // Frame pointers that are none lead to anything. What was recorded elsewhere is shown as perf shows it.
                let bogus = frames[first..].iter().skip(1).position(|frame| frame.image == ProfileBuilder::UNMAPPED);
                frames.truncate(bogus.map_or(frames.len(), |at| first + 1 + at));
            }
        }
        if frames.len() > first {
            return origin.end_of_chain();
        }
        // Nothing of the stack could be copied, as in an exec that replaces it: the innermost frame is known all the same.
        if let Some(registers) = registers.filter(|registers| registers.ip != 0) {
            return unwinder.unwind(space, self.images, &registers, &stack_of(sample, &registers), frames);
        }
        if frames.len() == begin && sample.ip != 0 {
            let ip = CodeAddress::Ip(sample.ip);
            frames.push(WalkedFrame::at(space, ProfileBuilder::UNMAPPED, ip, FoundBy::Sample));
        }
        // A recording without call chains.
        if !copied && sample.callchain.count() == 0 && origin.end_of_chain() == StackEnd::Unstated {
            return StackEnd::Truncated(Truncation::NotAsked);
        }
        // Neither registers nor a chain: a kernel thread, or a task that has left its memory, has no user stack to miss.
        if sample.user_registers.is_none() && first > begin {
            return StackEnd::Root;
        }
        match stacks {
            UserStacks::None => StackEnd::Truncated(Truncation::NotAsked),
            _ if copied && processor.is_none() => StackEnd::Truncated(Truncation::OtherProcessor),
            _ => StackEnd::Truncated(Truncation::NoRegisters),
        }
    }

    /// Appends the kernel part of the call chain; says what names the user part if that comes later.
    fn kernel_frames(self, sample: &record::Sample<'_>, frames: &mut Vec<WalkedFrame>) -> Option<u64> {
        let mut chain = Chain::new(self.modules, ProfileBuilder::KERNEL, FoundBy::Kernel, frames);
        let mut in_kernel = false;
        let mut deferred = None;
        let mut words = sample.callchain.iter();
        while let Some(word) = words.next() {
            if word == context::USER_DEFERRED {
                deferred = words.next();
            } else if word >= context::FIRST {
                in_kernel = word == context::KERNEL;
            } else if in_kernel {
                chain.push(word);
            }
        }
        // An event that was recorded without call chains.
        if chain.is_empty() && sample.mode == CpuMode::Kernel && sample.ip != 0 {
            chain.push(sample.ip);
        }
        deferred
    }
}

/// A sample's user registers, if they can be unwound from.
pub(super) fn registers_of(sample: &record::Sample<'_>, origin: &Origin) -> Option<Registers> {
    let values = sample.user_registers?;
    Registers::from_sample(origin.processor(values.abi)?, |number| values.get(number))
}

/// The copy of a sample's stack.
pub(super) fn stack_of<'a>(sample: &record::Sample<'a>, registers: &Registers) -> StackBytes<'a> {
    let (start, bytes, full) = (registers.sp(), sample.user_stack, sample.user_stack_full);
    StackBytes { start, bytes, full, ..StackBytes::default() }
}

/// Appends the user part of a call chain.
pub(super) fn user_chain(words: impl Iterator<Item = u64>, space: &AddressSpace, frames: &mut Vec<WalkedFrame>) {
    let mut chain = Chain::new(space, ProfileBuilder::UNMAPPED, FoundBy::CallChain, frames);
    let mut in_user = false;
    for word in words {
        if word >= context::FIRST {
            in_user = word == context::USER;
        } else if in_user {
            chain.push(word);
        }
    }
}

/// Appends the user part of the hardware's call stack: where the latest call went to, and from where each one came
/// (`resolve_lbr_callchain_sample`, tools/perf/util/machine.c).
pub(super) fn call_stack(sample: &record::Sample<'_>, space: &AddressSpace, frames: &mut Vec<WalkedFrame>) {
    // The branch that led here may be long ago; where the program is now is the first of the user chain.
    let mut chain = sample.callchain.iter().skip_while(|word| *word != context::USER);
    chain.next();
    let here = chain.next().filter(|word| *word < context::FIRST);
    let latest = sample.branches.iter().next().map(|(_, to)| to);
    if let Some(word) = here.or(latest) {
        Chain::new(space, ProfileBuilder::UNMAPPED, FoundBy::CallChain, frames).push(word);
    }
    // From where a call came is the call itself, not what is behind it.
    let calls = sample.branches.iter().filter(|(from, _)| *from != 0).map(|(from, _)| CodeAddress::Ip(from));
    frames.extend(calls.map(|call| WalkedFrame::at(space, ProfileBuilder::UNMAPPED, call, FoundBy::CallStack)));
}

/// A call chain, which is appended to frames word by word.
struct Chain<'c> {
    space: &'c AddressSpace,
    outside: ImageId,
    by: FoundBy,
    frames: &'c mut Vec<WalkedFrame>,
    first: usize,
}

impl<'c> Chain<'c> {
    fn new(space: &'c AddressSpace, outside: ImageId, by: FoundBy, frames: &'c mut Vec<WalkedFrame>) -> Chain<'c> {
        let first = frames.len();
        Chain { space, outside, by, frames, first }
    }

    fn is_empty(&self) -> bool {
        self.frames.len() == self.first
    }

    /// The first address of a chain is an instruction pointer; the others are return addresses.
    fn push(&mut self, word: u64) {
        // Frame pointers that are none lead to anything, zeros among it: as perf shows them, they are kept.
        let (address, by) = match CodeAddress::from_return(word) {
            Some(address) if !self.is_empty() => (address, self.by),
            _ => (CodeAddress::Ip(word), FoundBy::Sample),
        };
        self.frames.push(WalkedFrame::at(self.space, self.outside, address, by));
    }
}
