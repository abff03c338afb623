//! From a frame to its caller where there is no call frame information: what makes sense is taken, the rest is not guessed.
//!
//! ```text
//! code in a file       its instructions tell where the return address is; believed if a call stands before that
//! any code             a frame pointer, if it leads up the stack to a return address behind a call
//! code in no file      one word above the stack pointer, as in a trampoline, if an indirect call of a file's code stands before
//! ```

use super::flow::{self, Place, Return, Starts};
use super::places::{Code, Places, bounded};
use super::registers::{Processor, Registers};
use super::rule::Base;
use super::walk::{Frame, Stop, Walk, is_entry};
use crate::model::{CodeAddress, FoundBy, StackEnd};

/// The caller of a frame whose code, at `offset` of its image, has no call frame information.
pub(super) fn caller(walk: &mut Walk<'_, '_>, here: &Frame, offset: u64) -> Result<Frame, Stop> {
    if walk.end_without_tables(offset) == StackEnd::Root {
        return Err(Stop::End(StackEnd::Root));
    }
    let image = walk.image().filter(|_| walk.processor == Processor::X86_64);
    let image = image.filter(|image| image.is_64() && !image.is_big_endian());
    // A frame that has called goes on behind the call.
    let ahead = u64::from(matches!(here.address, CodeAddress::Return(_)));
    let code =
        image.and_then(|image| Some((walk.image_id(), image, image.svma_of_offset(offset)?.checked_add(ahead)?)));
    let Some(code) = code else {
        if walk.processor == Processor::X86 && walk.image().is_none() && walk.is_in_vdso() {
            // Its ways into the kernel and out of a signal's handler keep no frame pointer (arch/x86/entry/vdso/vdso32); which
            // functions do is not known without it.
            return Err(Stop::End(walk.end_without_tables(offset)));
        }
        let found = by_frame_pointer(walk, here).or_else(|| by_trampoline(walk, here));
        let end = Stop::End(walk.end_without_tables(offset));
        return found.ok_or_else(|| frame_pointer_behind(walk, here).unwrap_or(end));
    };
    let mut missing = None;
    match walk.places.ahead(code) {
        Return::Never => return Err(Stop::End(StackEnd::Root)),
        Return::At(places) => {
            for place in places.into_iter().flatten() {
                match by_place(walk, here, code, place) {
                    Ok(Some(caller)) => return Ok(caller),
                    Ok(None) => {}
                    Err(stop) => missing = missing.or(Some(stop)),
                }
            }
        }
        Return::Unknown => {}
    }
    if let Some(caller) = by_frame_pointer(walk, here) {
        return Ok(caller);
    }
    if let Some(place) = walk.places.behind(code) {
        match by_place(walk, here, code, place) {
            Ok(Some(caller)) => return Ok(caller),
            Ok(None) => {}
            Err(stop) => missing = missing.or(Some(stop)),
        }
    }
    let missing = missing.or_else(|| frame_pointer_behind(walk, here));
    Err(missing.unwrap_or(Stop::End(walk.end_without_tables(offset))))
}

/// The word that a frame pointer leads to, if that lies behind the copy and not too far away to be of the stack.
fn frame_pointer_behind(walk: &Walk<'_, '_>, here: &Frame) -> Option<Stop> {
    /// What a thread's stack has by default (setrlimit(2), `RLIMIT_STACK`).
    const STACK: u64 = 8 << 20;
    let distance = here.fp.checked_sub(here.sp)?;
    let is_likely = distance < STACK && here.fp.is_multiple_of(walk.processor.word());
    (is_likely && walk.stack.is_behind(here.fp)).then_some(Stop::Memory(here.fp))
}

/// A frame pointer makes sense if it leads up the stack, to a frame whose return address is behind a call.
fn by_frame_pointer(walk: &mut Walk<'_, '_>, here: &Frame) -> Option<Frame> {
    let word = walk.processor.word();
    if here.fp < here.sp || !here.fp.is_multiple_of(word) {
        return None;
    }
    let fp = walk.read(here.fp).ok()?;
    let ra = walk.read(here.fp.checked_add(word)?).ok()?;
    let sp = here.fp.checked_add(2 * word)?;
    let caller = walk.called(ra, sp, fp, FoundBy::FramePointer).ok()?;
    walk.space.find(caller.address.lookup())?;
    may_return_to(walk, ra).then_some(caller)
}

/// Whether something may return to an address of code, as far as that can be seen: a call stands before it, or a signal's
/// handler returns there. Go puts the begin of `runtime.goexit` there itself.
fn may_return_to(walk: &mut Walk<'_, '_>, ra: u64) -> bool {
    if walk.processor != Processor::X86_64 {
        return true;
    }
    let Some((id, image, before)) = ra.checked_sub(1).and_then(|before| walk.place(before)) else { return true };
    *bounded(&mut walk.places.returned_to).entry((id, before)).or_insert_with(|| {
        let address = before.saturating_add(1);
        let is_seen = flow::calls(image, address).is_some() || flow::returns_from_signal(image, address);
        is_seen || !image.is_64() || image.go_table().is_some()
    })
}

/// Where the instructions say that it is, if there is a call before it that leads here.
fn by_place(walk: &mut Walk<'_, '_>, here: &Frame, code: Code<'_>, place: Place) -> Result<Option<Frame>, Stop> {
    let base = if place.base == Base::Sp { here.sp } else { here.fp };
    let at = base.wrapping_add_signed(place.ra.into());
    if at < here.sp {
        return Ok(None);
    }
    let ra = walk.read(at)?;
    if !leads_to(walk, ra, code) {
        return Ok(None);
    }
    let kept = place.fp.map(|distance| base.wrapping_add_signed(distance.into())).filter(|kept| *kept >= here.sp);
    let fp = kept.map_or(Ok(here.fp), |kept| walk.read(kept))?;
    walk.called(ra, at.wrapping_add(8), fp, FoundBy::Instructions).map(Some)
}

/// Whether a return address has a call before it, which leads to the function of `image` that `svma` is in, or may lead there.
fn leads_to(walk: &mut Walk<'_, '_>, ra: u64, (id, image, svma): Code<'_>) -> bool {
    let Some((its_id, its, before)) = ra.checked_sub(1).and_then(|before| walk.place(before)) else { return false };
    let Places { calls, starts, .. } = walk.places;
    *bounded(calls).entry((its_id, before, id, svma)).or_insert_with(|| {
        let mut begins_at = |target| starts.entry(id).or_insert_with(|| Starts::of(image)).before(svma) == Some(target);
        match before.checked_add(1).and_then(|address| flow::calls(its, address)) {
            None => false,
            Some(None) => true,
            // All that runs in the program's first thread was called from here, how ever it was reached.
            Some(Some(_)) if is_entry(its, before) => true,
            Some(Some(target)) => {
                flow::is_jump(its, target) || its_id == id && (flow::reaches(image, target, svma) || begins_at(target))
            }
        }
    })
}

/// A trampoline of CPython (`-X perf`) is in memory of no file, and takes one word of the stack:
/// `sub $8,%rsp; call *%rcx; add $8,%rsp; ret` (`Python/asm_trampoline.S`).
fn by_trampoline(walk: &Walk<'_, '_>, here: &Frame) -> Option<Frame> {
    if !matches!(here.address, CodeAddress::Return(_)) || walk.processor != Processor::X86_64 {
        return None;
    }
    let at = here.sp.checked_add(8)?;
    let ra = walk.read(at).ok()?;
    let (_, image, before) = walk.place(ra.checked_sub(1)?)?;
    if flow::calls(image, before.checked_add(1)?)?.is_some() {
        return None;
    }
    walk.called(ra, at.checked_add(8)?, here.fp, FoundBy::Instructions).ok()
}

/// The registers that a signal has interrupted, as the kernel has put them on the stack: `struct ucontext` and
/// `struct sigcontext` of `arch/x86/include/uapi/asm`.
pub(super) fn interrupted(walk: &Walk<'_, '_>, here: &Frame) -> Result<Registers, Stop> {
    /// Where the registers begin: behind `uc_flags`, `uc_link` and `uc_stack`.
    const BEGIN: u64 = 40;
    /// DWARF's numbers of the registers there, in their order; then comes the instruction pointer.
    const NUMBERS: [u16; 16] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7];
    let at = |row: usize| here.sp.wrapping_add(BEGIN + 8 * row as u64);
    let mut registers = Registers::new(walk.processor, walk.read(at(NUMBERS.len()))?, 0);
    for (row, number) in NUMBERS.into_iter().enumerate() {
        registers.set(number, Some(walk.read(at(row))?));
    }
    Ok(registers)
}
