//! From a frame of Go's to its caller: by Go's own table, which stripped programs have too, and across the stacks that Go changes.
//!
//! ```text
//! goroutine's stack          thread's stack (g0)
//!   main.work                  runtime.(*mheap).alloc.func1
//!   runtime.systemstack  --->  runtime.systemstack           the frame pointer still is that of the goroutine's stack
//! ```
//! A goroutine's stack is somewhere in the heap, of which a sample has no copy; the kernel's call chain follows the frame
//! pointer there. Up to Go 1.20 `systemstack` has no frame, so that chain lacks the function that called it.

use super::registers::Processor;
use super::rule::{Rule, Switch};
use super::walk::{Frame, Stop, Walk};
use crate::image::{ElfImage, GoFrame};
use crate::model::{CodeAddress, FoundBy, StackEnd, Truncation};

/// The rule for an address of a Go program; nothing if its table does not know it.
pub(super) fn rule(file: &ElfImage, svma: u64, processor: Processor) -> Option<Rule> {
    let table = file.go_table()?;
    let frame = table.frame(file, svma)?;
    rule_of(&frame, table.function_name(file, svma), processor)
}

/// The rule for a frame of a function of that name.
pub(super) fn rule_of(frame: &GoFrame, function: Option<&str>, processor: Processor) -> Option<Rule> {
    let word = processor.word() as i32;
    let depth = (frame.depth % word == 0).then(|| i16::try_from(frame.depth / word).ok()).flatten()?;
    if frame.outermost {
        return Some(Rule::Root);
    }
    let switch = match function {
        Some("runtime.clone") => Switch::NewThread,
        _ if !frame.writes_stack_pointer => Switch::None,
        // `newstack` runs on behalf of a function that has not begun yet, nor has it set the frame pointer.
        Some("runtime.morestack") => Switch::Lost,
        _ => Switch::LeadsBack,
    };
    Some(Rule::Go { depth, switch })
}

/// The caller of a frame that has taken `depth` words of the stack, and may have put another one in place.
pub(super) fn caller(walk: &Walk<'_, '_>, here: &Frame, depth: i16, switch: Switch) -> Result<Frame, Stop> {
    if switch == Switch::None {
        return on_same_stack(walk, here, depth);
    }
    // The innermost frame may not have done it yet, or have undone it.
    if matches!(here.address, CodeAddress::Ip(_))
        && let Ok(caller) = on_same_stack(walk, here, depth)
        && walk.is_go(caller.address.lookup())
    {
        return Ok(caller);
    }
    if switch == Switch::NewThread {
        return Err(Stop::End(StackEnd::Root));
    }
    if switch == Switch::Lost || here.fp == 0 {
        return Err(Stop::End(StackEnd::Truncated(Truncation::OtherStack)));
    }
    // Up to Go 1.20 it has no frame: the frame pointer is that of its caller, which so is passed over.
    if depth == 0 {
        return Err(Stop::OtherStack { fp: here.fp, misses_one: true });
    }
    let word = walk.processor.word();
    let (Ok(fp), Ok(ra)) = (walk.read(here.fp), walk.read(here.fp.wrapping_add(word))) else {
        return Err(Stop::OtherStack { fp: here.fp, misses_one: false });
    };
    walk.called(ra, here.fp.wrapping_add(2 * word), fp, FoundBy::FramePointer)
}

fn on_same_stack(walk: &Walk<'_, '_>, here: &Frame, depth: i16) -> Result<Frame, Stop> {
    let word = walk.processor.word();
    let above = |words: i64| here.sp.wrapping_add_signed(words * word as i64);
    let depth = i64::from(depth);
    // A function that has a frame keeps its caller's frame pointer next to the return address, and points there.
    let (ra, sp, kept) = match walk.processor {
        Processor::X86_64 | Processor::X86 => (walk.read(above(depth))?, above(depth + 1), above(depth - 1)),
        Processor::Aarch64 if depth == 0 => {
            (here.lr.ok_or(Stop::End(StackEnd::Truncated(Truncation::NoProgress)))?, here.sp, above(-1))
        }
        Processor::Aarch64 => (walk.read(here.sp)?, above(depth), above(-1)),
    };
    let fp = if here.fp == kept && depth > 0 { walk.read(kept)? } else { here.fp };
    walk.called(ra, sp, fp, FoundBy::GoTable)
}

#[cfg(test)]
mod tests;
