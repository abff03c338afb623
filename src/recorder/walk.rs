//! Which addresses are on a sample's stack: the kernel's chain, then the user part by the best means there are.

use std::sync::{Mutex, PoisonError};

use super::options::{RecorderOptions, UserStacks};
use super::{Admitted, record};
use crate::image::Images;
use crate::model::{CodeAddress, StackEnd, Truncation};
use crate::perf::record::{CpuMode, context};
use crate::unwind::{Registers, StackBytes, Unwinder};

/// What all walks have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    pub images: &'a Images,
    pub options: &'a RecorderOptions,
}

/// What a walk found besides addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walked {
    /// How many addresses.
    pub count: usize,
    /// How many of them, the first ones, are of the kernel.
    pub kernel: usize,
    /// How the stack ends.
    pub end: StackEnd,
    /// What names the record that brings the user part later.
    pub deferred: Option<u64>,
}

/// The walks of some samples in a row, their addresses one after the other.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub walked: Vec<Walked>,
    pub addresses: Vec<CodeAddress>,
}

impl Walk<'_> {
    /// Walks the stacks of many samples, with a thread for each unwinder; the parts come out in the order of the samples, and keep
    /// their memory from call to call.
    pub fn all(self, unwinders: &mut [Unwinder], samples: &[Admitted<'_>], parts: &mut Vec<Part>) {
        /// Samples that a thread takes at a time.
        const PART: usize = 32;
        for part in &mut *parts {
            part.walked.clear();
            part.addresses.clear();
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
                    let walked = self.addresses(unwinder, sample, &mut part.addresses);
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

    /// Appends the addresses on a sample's stack, innermost first.
    pub fn addresses(
        self,
        unwinder: &mut Unwinder,
        admitted: &Admitted<'_>,
        addresses: &mut Vec<CodeAddress>,
    ) -> Walked {
        let first = addresses.len();
        let sample = &admitted.sample;
        let (kernel, deferred) = kernel_frames(sample, addresses);
        let end = match deferred {
            Some(_) => StackEnd::Truncated(Truncation::Deferred),
            None => self.user_frames(unwinder, admitted, addresses, first),
        };
        Walked { count: addresses.len() - first, kernel, end, deferred }
    }

    /// Appends the user part of the stack; says how it ended.
    fn user_frames(
        self,
        unwinder: &mut Unwinder,
        admitted: &Admitted<'_>,
        addresses: &mut Vec<CodeAddress>,
        begin: usize,
    ) -> StackEnd {
        let Admitted { sample, space, .. } = admitted;
        let first = addresses.len();
        let (stacks, origin) = (self.options.user_stacks, &self.options.origin);
        let by_tables = matches!(stacks, UserStacks::Auto | UserStacks::Dwarf);
        let copied = by_tables && !sample.user_stack.is_empty();
        let values = sample.user_registers.filter(|values| by_tables && origin.can_unwind() && values.abi == 2);
        let registers = values.and_then(|values| Registers::from_sample(|number| values.get(number)));
        let mut unwind = |registers: &Registers, addresses: &mut Vec<CodeAddress>| {
            let stack = StackBytes { start: registers.sp, bytes: sample.user_stack, full: sample.user_stack_full };
            unwinder.unwind(space, self.images, registers, &stack, addresses)
        };
        if let Some(registers) = registers.filter(|_| copied) {
            return unwind(&registers, addresses);
        }
        if matches!(stacks, UserStacks::Auto) && sample.branches.is_call_stack && sample.branches.count() > 0 {
            call_stack(sample, addresses);
        } else if matches!(stacks, UserStacks::Auto | UserStacks::FramePointers) {
            user_chain(sample.callchain.iter(), addresses);
        }
        if addresses.len() > first {
            return origin.end_of_chain();
        }
        // Nothing of the stack could be copied, as in an exec that replaces it: the innermost frame is known all the same.
        if let Some(registers) = registers.filter(|registers| registers.ip != 0) {
            return unwind(&registers, addresses);
        }
        if addresses.len() == begin && sample.ip != 0 {
            addresses.push(CodeAddress::Ip(sample.ip));
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
            _ if copied && !origin.can_unwind() => StackEnd::Truncated(Truncation::OtherProcessor),
            _ => StackEnd::Truncated(Truncation::NoRegisters),
        }
    }
}

/// Appends the kernel part of the call chain; says how many frames it has, and what names the user part if that comes later.
fn kernel_frames(sample: &record::Sample<'_>, addresses: &mut Vec<CodeAddress>) -> (usize, Option<u64>) {
    let first = addresses.len();
    let mut in_kernel = false;
    let mut deferred = None;
    let mut words = sample.callchain.iter();
    while let Some(word) = words.next() {
        if word == context::USER_DEFERRED {
            deferred = words.next();
        } else if word >= context::FIRST {
            in_kernel = word == context::KERNEL;
        } else if in_kernel {
            push(word, first, addresses);
        }
    }
    // An event that was recorded without call chains.
    if addresses.len() == first && sample.mode == CpuMode::Kernel && sample.ip != 0 {
        addresses.push(CodeAddress::Ip(sample.ip));
    }
    (addresses.len() - first, deferred)
}

/// Appends the user part of a call chain.
pub(super) fn user_chain(chain: impl Iterator<Item = u64>, addresses: &mut Vec<CodeAddress>) {
    let first = addresses.len();
    let mut in_user = false;
    for word in chain {
        if word >= context::FIRST {
            in_user = word == context::USER;
        } else if in_user {
            push(word, first, addresses);
        }
    }
}

/// Appends the user part of the hardware's call stack: where the latest call went to, and from where each one came
/// (`resolve_lbr_callchain_sample`, tools/perf/util/machine.c).
fn call_stack(sample: &record::Sample<'_>, addresses: &mut Vec<CodeAddress>) {
    let first = addresses.len();
    // The branch that led here may be long ago; where the program is now is the first of the user chain.
    let mut chain = sample.callchain.iter().skip_while(|word| *word != context::USER);
    chain.next();
    let here = chain.next().filter(|word| *word < context::FIRST);
    let latest = sample.branches.iter().next().map(|(_, to)| to);
    if let Some(word) = here.or(latest) {
        push(word, first, addresses);
    }
    // From where a call came is the call itself, not what is behind it.
    addresses.extend(sample.branches.iter().filter(|(from, _)| *from != 0).map(|(from, _)| CodeAddress::Ip(from)));
}

/// The first address of a chain, at `first`, is an instruction pointer; the others are return addresses.
fn push(word: u64, first: usize, addresses: &mut Vec<CodeAddress>) {
    let is_first = addresses.len() == first;
    // Frame pointers that are none lead to anything, zeros among it: as perf shows them, they are kept.
    addresses.push(CodeAddress::from_return(word).filter(|_| !is_first).unwrap_or(CodeAddress::Ip(word)));
}
