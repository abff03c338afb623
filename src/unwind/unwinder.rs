//! The walk up a stack.
//!
//! ```text
//! address --> mapping --> image, offset --> rule (cache; else the row of call frame information) --> caller
//!                                            no information: frame pointer, if it makes sense; else the stack is cut
//! ```
//! The fast walk follows instruction, stack and frame pointer, which nearly all rules need and nothing more. Where a row needs
//! another register the walk begins anew with all of them: they are in the sample and in the copy of the stack.

use gimli::UnwindContext;

use super::arm64_signal;
use super::cache::RuleCache;
use super::flow;
use super::go;
use super::places::Places;
use super::registers::{Processor, Registers, StackBytes};
use super::row::{self, Failure};
use super::rule::{Base, Rule, Saved, Slot, Switch};
use super::walk::{At, Frame, Stop, Walk};
use super::without_tables;
use crate::image::{ElfImage, FrameEntry, Images};
use crate::model::{CodeAddress, FoundBy, ImageId, ProfileBuilder, StackEnd, Truncation};
use crate::process::{AddressSpace, Mapping};

/// More frames than a stack copy of 64 KiB can hold return addresses.
const MOST_FRAMES: usize = 10_000;

/// Frames that may need nothing of the stack: the sampled one, and those that signals interrupted.
const LEAVES: usize = 64;

/// A frame of a stack: where its code is, as [`CodeAddress::lookup`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkedFrame {
    /// In which image; [`ProfileBuilder::UNMAPPED`] if in none that is known.
    pub image: ImageId,
    /// How it was found.
    pub by: FoundBy,
    /// Where in the image; the address itself if in none.
    pub offset: u64,
}

const _: () = assert!(size_of::<WalkedFrame>() == 16, "a batch of samples has a hundred thousand of them");

impl WalkedFrame {
    /// The frame at an address of a space; in `outside` if nothing is mapped there.
    pub fn at(space: &AddressSpace, outside: ImageId, address: CodeAddress, by: FoundBy) -> WalkedFrame {
        let lookup = address.lookup();
        match space.find(lookup) {
            Some(mapping) => WalkedFrame { image: mapping.image, by, offset: mapping.offset_of(lookup) },
            None => WalkedFrame { image: outside, by, offset: lookup },
        }
    }
}

/// Whether frames may be found without call frame information.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutTables {
    /// By what there is instead: a Go program's table, frame pointers that make sense.
    #[default]
    Try,
    /// The stack is cut there.
    Stop,
}

/// Unwinds stacks of any number of processes.
#[derive(Default)]
pub struct Unwinder {
    cache: RuleCache,
    context: Box<UnwindContext<usize>>,
    without_tables: WithoutTables,
    missing: Option<u64>,
    other_stack: Option<(u64, bool)>,
    signal: Option<u64>,
    places: Places,
}

impl std::fmt::Debug for Unwinder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (lookups, misses) = self.cache.lookups_and_misses();
        f.debug_struct("Unwinder").field("lookups", &lookups).field("misses", &misses).finish_non_exhaustive()
    }
}

impl Unwinder {
    /// An unwinder that goes on so where code has no call frame information.
    pub fn new(without_tables: WithoutTables) -> Unwinder {
        Unwinder { without_tables, ..Unwinder::default() }
    }

    /// Appends the stack's frames to `frames`, innermost first, and says how it ended.
    pub fn unwind(
        &mut self,
        space: &AddressSpace,
        images: &Images,
        registers: &Registers,
        stack: &StackBytes<'_>,
        frames: &mut Vec<WalkedFrame>,
    ) -> StackEnd {
        self.unwind_from(At::default(), space, images, registers, stack, frames)
    }

    /// The same, if it is known already where the innermost frame is.
    pub(super) fn unwind_from(
        &mut self,
        at: At<'_>,
        space: &AddressSpace,
        images: &Images,
        registers: &Registers,
        stack: &StackBytes<'_>,
        frames: &mut Vec<WalkedFrame>,
    ) -> StackEnd {
        let first = frames.len();
        self.missing = None;
        self.other_stack = None;
        self.signal = None;
        let mut walk = self.walker(at, (space, images), stack, registers.processor);
        let stop = match walk.run(registers, frames, first, false) {
            Stop::Registers => {
                frames.truncate(first);
                walk.run(registers, frames, first, true)
            }
            stop => stop,
        };
        match stop {
            Stop::End(end) => end,
            Stop::Memory(address) => {
                self.missing = Some(address);
                StackEnd::Truncated(if stack.is_behind(address) {
                    Truncation::StackCopy
                } else {
                    Truncation::Unreadable
                })
            }
            Stop::OtherStack { fp, misses_one } => {
                self.missing = (!misses_one).then_some(fp);
                self.other_stack = Some((fp, misses_one));
                StackEnd::Truncated(Truncation::OtherStack)
            }
            // Who calls puts a return address there: a zero is of a row that is wrong, as glibc's of i386 memcpy, or of a guess, or of
            // memory that was read too late.
            Stop::Zero => StackEnd::Truncated(Truncation::NotMapped),
            Stop::Registers => StackEnd::Truncated(Truncation::NoProgress),
        }
    }

    fn walker<'w, 'u>(
        &'u mut self,
        at: At<'w>,
        (space, images): (&'w AddressSpace, &'w Images),
        stack: &'w StackBytes<'w>,
        processor: Processor,
    ) -> Walker<'w, 'u> {
        let Unwinder { cache, context, without_tables, signal, places, .. } = self;
        let walk = Walk { space, images, stack, processor, at, places };
        Walker { walk, cache, context, without_tables: *without_tables, signal }
    }

    /// The frame pointer at which the last stack goes on elsewhere, if it ended with [`Truncation::OtherStack`] and that is known;
    /// and whether a caller is lost on the way there.
    pub fn other_stack(&self) -> Option<(u64, bool)> {
        self.other_stack
    }

    /// Where on the last stack a signal put the registers that it has interrupted; the outermost signal, if there are several.
    pub fn signal(&self) -> Option<u64> {
        self.signal
    }

    /// Who called the innermost function, by its call frame information, and the frame pointer there; nothing if it has none or if
    /// that needs memory that is not there.
    pub fn caller(
        &mut self,
        space: &AddressSpace,
        images: &Images,
        registers: &Registers,
        stack: &StackBytes<'_>,
    ) -> Option<(CodeAddress, u64)> {
        let processor = registers.processor;
        let mut walk = self.walker(At::default(), (space, images), stack, processor);
        let here = Frame { by: FoundBy::Sample, ..walk.walk.interrupted(registers) };
        if !walk.walk.enter(here.address.lookup()) {
            return None;
        }
        let image = walk.walk.at.mapping.image;
        let offset = walk.walk.at.mapping.offset_of(here.address.lookup());
        let caller = match walk.rule(image, offset, here.address) {
            rule @ (Rule::Offset { .. } | Rule::Far { .. } | Rule::Deref { .. } | Rule::Plt { .. }) => {
                walk.by_rule(&here, rule)
            }
            Rule::Row => walk.by_row(&here, image, offset, &mut Some(*registers)),
            _ => return None,
        };
        caller.ok().map(|caller| (caller.address, caller.fp))
    }

    /// Whether nobody has called the code at an address.
    pub fn is_root(&mut self, space: &AddressSpace, images: &Images, processor: Processor, address: u64) -> bool {
        let stack = &StackBytes::default();
        let mut walk = self.walker(At::default(), (space, images), stack, processor);
        if !walk.walk.enter(address) {
            return false;
        }
        let Mapping { image, .. } = walk.walk.at.mapping;
        walk.rule(image, walk.walk.at.mapping.offset_of(address), CodeAddress::Ip(address)) == Rule::Root
    }

    /// The address of the word that the last stack ended for want of, if it did.
    pub fn missing(&self) -> Option<u64> {
        self.missing
    }

    /// How many rules were asked for, and how many of them had to be made.
    pub fn lookups_and_misses(&self) -> (u64, u64) {
        self.cache.lookups_and_misses()
    }
}

/// A walk, and what it learns.
struct Walker<'w, 'u> {
    walk: Walk<'w, 'u>,
    cache: &'u mut RuleCache,
    context: &'u mut UnwindContext<usize>,
    without_tables: WithoutTables,
    signal: &'u mut Option<u64>,
}

impl Walker<'_, '_> {
    /// Walks up; with `follow_all` each row is evaluated with all registers.
    fn run(&mut self, registers: &Registers, frames: &mut Vec<WalkedFrame>, first: usize, follow_all: bool) -> Stop {
        let words = (self.walk.stack.bytes.len() + self.walk.stack.rest.len()) / self.walk.processor.word() as usize;
        let mut all = Some(*registers);
        let mut here = Frame { by: FoundBy::Sample, ..self.walk.interrupted(registers) };
        loop {
            let count = frames.len() - first;
            if count >= MOST_FRAMES {
                return Stop::End(StackEnd::Truncated(Truncation::TooDeep));
            }
            // Each call puts a word on the stack, but for a leaf's of some processors: more frames come of hostile tables.
            if count > words + LEAVES {
                return Stop::End(StackEnd::Truncated(Truncation::NoProgress));
            }
            let lookup = here.address.lookup();
            if !self.walk.enter(lookup) {
                // A return address that is in no code is likely to be none: nothing is shown that nobody has run.
                if here.by == FoundBy::Sample {
                    frames.push(WalkedFrame { image: ProfileBuilder::UNMAPPED, by: here.by, offset: lookup });
                }
                return Stop::End(StackEnd::Truncated(Truncation::NotMapped));
            }
            let Mapping { image, .. } = self.walk.at.mapping;
            let offset = self.walk.at.mapping.offset_of(lookup);
            let rule = self.rule(image, offset, here.address);
            let is_signal = matches!(rule, Rule::Signal | Rule::SignalCode);
            if is_signal {
                *self.signal = Some(here.sp);
            }
            if is_signal && let CodeAddress::Return(address) = here.address {
                // A trampoline that the handler returns to was never called: it is looked up where it is.
                here.address = CodeAddress::Ip(address.get());
                frames.push(WalkedFrame::at(self.walk.space, ProfileBuilder::UNMAPPED, here.address, here.by));
            } else {
                frames.push(WalkedFrame { image, by: here.by, offset });
            }
            let next = match rule {
                Rule::Root => return Stop::End(StackEnd::Root),
                Rule::NoInfo => match self.without_tables {
                    WithoutTables::Try => {
                        let found = without_tables::caller(&mut self.walk, &here, offset);
                        all = all.and_then(|_| found.as_ref().ok().map(|frame| self.walk.registers_of(frame)));
                        found
                    }
                    WithoutTables::Stop => Err(Stop::End(self.walk.end_without_tables(offset))),
                },
                Rule::SignalCode => {
                    let interrupted = match self.walk.processor {
                        Processor::Aarch64 => arm64_signal::interrupted(here.sp, |address| self.walk.read(address)),
                        _ => without_tables::interrupted(&self.walk, &here),
                    };
                    all = interrupted.as_ref().ok().copied();
                    interrupted.map(|registers| self.walk.interrupted(&registers))
                }
                Rule::Go { depth, switch } => {
                    let found = go::caller(&self.walk, &here, depth, switch);
                    // Go's functions keep nothing but the frame pointer.
                    all = all.and_then(|_| found.as_ref().ok().map(|frame| self.walk.registers_of(frame)));
                    found
                }
                Rule::Row | Rule::Signal => self.by_row(&here, image, offset, &mut all),
                _ if follow_all => self.by_row(&here, image, offset, &mut all),
                rule => {
                    all = None;
                    self.by_rule(&here, rule)
                }
            };
            let next = match next {
                Ok(next) => next,
                Err(stop) => return stop,
            };
            // A leaf of a processor with a link register may have nothing on the stack, be it sampled or interrupted.
            let may_stay = matches!(here.address, CodeAddress::Ip(_));
            let may_fall = is_signal || matches!(rule, Rule::Go { switch: Switch::LeadsBack, .. });
            if next.sp < here.sp && !may_fall || next.sp == here.sp && !may_stay {
                return Stop::End(StackEnd::Truncated(Truncation::NoProgress));
            }
            here = next;
        }
    }

    #[inline]
    fn rule(&mut self, image: ImageId, offset: u64, address: CodeAddress) -> Rule {
        let Some(file) = self.walk.at.image else { return self.rule_without_file(image, offset) };
        let (processor, context) = (self.walk.processor, &mut *self.context);
        let by_go = self.without_tables == WithoutTables::Try;
        let mut make = || make(file, offset, address, processor, context, by_go);
        // Only of x86-64 is more looked at than the row: what a handler returns to was not called, and begins one byte behind.
        let kind = match (processor, address) {
            (Processor::X86_64, CodeAddress::Return(_)) => 3,
            (processor, _) => processor as u8,
        };
        match RuleCache::key(image.0, offset, kind) {
            Some(key) => self.cache.get(key, make),
            None => make(),
        }
    }

    #[cold]
    fn rule_without_file(&mut self, image: ImageId, offset: u64) -> Rule {
        if let Some((entry, svma)) = self.walk.images.jit_frame_entry(image, offset, self.walk.processor.machine()) {
            let processor = self.walk.processor;
            return entry.row(svma, self.context).map_or(Rule::NoInfo, |row| Rule::of_row(&entry, row, processor));
        }
        // Of arm64's vdso nothing is returned to but the trampoline; its functions call none.
        let is_trampoline = self.walk.processor == Processor::Aarch64 && arm64_signal::is_return(offset);
        if is_trampoline && self.walk.images.is_vdso(image) { Rule::SignalCode } else { Rule::NoInfo }
    }

    #[inline]
    fn by_rule(&self, here: &Frame, rule: Rule) -> Result<Frame, Stop> {
        let word = self.walk.processor.word();
        let words = |address: u64, words: i64| address.wrapping_add_signed(words * word as i64);
        let base = |base: Base| if base == Base::Sp { here.sp } else { here.fp };
        const BEFORE: Option<Slot> = Slot::new(Saved::AtCfa(-1));
        let (cfa, ra, fp) = match rule {
            Rule::Offset { base: from, ra, fp, cfa } => (words(base(from), i64::from(cfa)), ra, fp),
            Rule::Far { base: from, fp, cfa } => {
                (words(base(from), i64::from(cfa)), BEFORE.ok_or(Stop::Registers)?, fp)
            }
            Rule::Deref { base: from, add, ra, fp, at } => {
                (words(self.walk.read(words(base(from), i64::from(at)))?, i64::from(add)), ra, fp)
            }
            Rule::Plt { from } => {
                let pushed = u64::from(here.address.lookup() & 15 >= u64::from(from));
                const { assert!(BEFORE.is_some()) };
                let (Some(ra), Some(fp)) = (BEFORE, Slot::new(Saved::InRegister)) else {
                    return Err(Stop::Registers);
                };
                (words(here.sp, 1 + pushed as i64), ra, fp)
            }
            _ => return Err(Stop::Registers),
        };
        let cfa = self.walk.processor.address(cfa);
        let ra = match ra.saved() {
            Saved::AtCfa(at) => self.walk.read(words(cfa, i64::from(at)))?,
            Saved::InRegister => here.lr.ok_or(Stop::End(StackEnd::Truncated(Truncation::NoProgress)))?,
            Saved::AtFp => self.walk.read(here.fp)?,
        };
        let fp = match fp.saved() {
            Saved::InRegister => here.fp,
            // Below the stack pointer it was taken from the stack again, as at a `ret`, of which rows say nothing.
            Saved::AtCfa(at) => match words(cfa, i64::from(at)) {
                at if at < here.sp => here.fp,
                at => self.walk.read(at)?,
            },
            Saved::AtFp => self.walk.read(here.fp)?,
        };
        self.walk.called(ra, cfa, fp, FoundBy::UnwindInfo)
    }

    #[cold]
    fn by_row(
        &mut self,
        here: &Frame,
        image: ImageId,
        offset: u64,
        all: &mut Option<Registers>,
    ) -> Result<Frame, Stop> {
        debug_assert_eq!(image, self.walk.at.mapping.image);
        let Some(registers) = all else { return Err(Stop::Registers) };
        let senseless = Stop::End(StackEnd::Truncated(Truncation::NoProgress));
        let (entry, svma) = match self.walk.at.image {
            Some(file) => {
                let svma = file.svma_of_offset(offset).ok_or(senseless)?;
                entry_of(file, offset, svma)
            }
            None => self.walk.images.jit_frame_entry(image, offset, self.walk.processor.machine()),
        }
        .ok_or(senseless)?;
        let row = entry.row(svma, &mut *self.context).ok_or(senseless)?;
        registers.ip = here.address.lookup();
        let caller = match row::caller(&entry, row, registers, self.walk.stack) {
            Ok(Some(caller)) => caller,
            Ok(None) => return Err(Stop::End(StackEnd::Root)),
            Err(Failure::Memory(address)) => return Err(Stop::Memory(address)),
            Err(Failure::Senseless) => return Err(senseless),
        };
        *all = Some(caller);
        if entry.is_signal() {
            return Ok(self.walk.interrupted(&caller));
        }
        let (sp, fp) = (caller.sp(), caller.get(self.walk.processor.fp()).unwrap_or(0));
        self.walk.called(caller.ip, sp, fp, FoundBy::UnwindInfo)
    }
}

/// The rule for an offset of a file, of code that was called or interrupted there; `by_go`: whether Go's table and instructions may
/// tell it.
pub(super) fn make(
    file: &ElfImage,
    offset: u64,
    address: CodeAddress,
    processor: Processor,
    context: &mut UnwindContext<usize>,
    by_go: bool,
) -> Rule {
    // Code of another width or processor has registers of other numbers.
    if file.is_big_endian() || file.is_64() != (processor.word() == 8) {
        return Rule::NoInfo;
    }
    let Some(svma) = file.svma_of_offset(offset) else { return Rule::NoInfo };
    if matches!(address, CodeAddress::Return(_))
        && processor == Processor::X86_64
        && flow::returns_from_signal(file, svma.wrapping_add(1))
        && by_go
    {
        return Rule::SignalCode;
    }
    if processor == Processor::Aarch64 && arm64_signal::is_trampoline(file.data(), offset) {
        return Rule::SignalCode;
    }
    // It knows more than what Go's linker makes of it for debuggers, and need not be unpacked. Of functions that put another stack in
    // place those tables say that they do not.
    match go::rule(file, svma, processor) {
        Some(rule) if by_go => return rule,
        Some(Rule::Go { switch: Switch::LeadsBack | Switch::Lost | Switch::NewThread, .. }) => return Rule::NoInfo,
        _ => {}
    }
    let Some((entry, svma)) = entry_of(file, offset, svma) else { return Rule::NoInfo };
    match entry.row(svma, context) {
        Some(row) => Rule::of_row(&entry, row, processor),
        None => Rule::NoInfo,
    }
}

/// The entry for an address, and the address whose row counts: behind a system call that is not expected to return, as the last
/// instruction of `__restore_rt`, that is the system call.
fn entry_of(file: &ElfImage, offset: u64, svma: u64) -> Option<(FrameEntry<'_>, u64)> {
    if let Some(entry) = file.frame_tables().find(file, svma) {
        return Some((entry, svma));
    }
    let before = usize::try_from(offset).ok()?.checked_sub(2)?;
    // `syscall`, `int $0x80`, `sysenter`.
    let is_call = matches!(file.data().get(before..)?.first_chunk()?, [0x0f, 0x05] | [0xcd, 0x80] | [0x0f, 0x34]);
    let is_x86 = matches!(file.machine(), MACHINE_386 | MACHINE_X86_64);
    let before = svma.checked_sub(1).filter(|_| is_call && is_x86)?;
    Some((file.frame_tables().find(file, before)?, before))
}

/// `EM_386` and `EM_X86_64` (elf(5)).
const MACHINE_386: u16 = 3;
const MACHINE_X86_64: u16 = 62;

#[cfg(test)]
mod tests;
