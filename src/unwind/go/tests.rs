//! Stacks of a hand-made Go program: `fuzz/seeds/go_table/go120`, whose functions `src/image/go_table/tests.rs` lists.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::image::Images;
use crate::model::ImageId;
use crate::process::{AddressSpace, Mapping};
use crate::unwind::walk::At;
use crate::unwind::{Registers, StackBytes, Unwinder, WithoutTables};

/// Where the file's code is mapped, and at which offset of the file it is.
const CODE: u64 = 0x7000_0000;
const CODE_OFFSET: u64 = 0x200;
const STACK: u64 = 0xc000_0000;

/// Addresses in functions: `main.leaf`, which takes nothing of the stack; `main.main`, where it has taken 0x88 bytes;
/// behind the first byte of `runtime.goexit`; in `runtime.systemstack` and `runtime.morestack`.
const LEAF: u64 = CODE + 0x10;
const MAIN: u64 = CODE + 0x40;
const GOEXIT: u64 = CODE + 0x61;
const SYSTEMSTACK: u64 = CODE + 0xf0;
const MORESTACK: u64 = CODE + 0x110;
const MAIN_DEPTH: u64 = 0x88;

/// Unwinds a stack whose words, counted from the stack pointer, are zero but for these.
fn unwind(ip: u64, fp: u64, words: &[(u64, u64)]) -> (Vec<(u64, FoundBy)>, StackEnd, Option<u64>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/go_table/go120");
    let image = Arc::new(ElfImage::open(&path).unwrap());
    let mut bytes = vec![0; 0x400];
    for (at, word) in words {
        bytes[*at as usize..][..8].copy_from_slice(&word.to_le_bytes());
    }
    let stack = StackBytes { start: STACK, bytes: &bytes, full: true, ..StackBytes::default() };
    let mut registers = Registers::new(Processor::X86_64, ip, STACK);
    registers.set(Processor::X86_64.fp(), Some(fp));
    let mapping = Mapping { start: CODE, end: CODE + 0x1000, offset: CODE_OFFSET, image: ImageId(1) };
    let (space, images) = (AddressSpace::default(), Images::default());
    let mut unwinder = Unwinder::new(WithoutTables::Try);
    let mut frames = Vec::new();
    let at = At { mapping, image: Some(&image) };
    let end = unwinder.unwind_from(at, &space, &images, &registers, &stack, &mut frames);
    let frames = frames.iter().map(|frame| (frame.offset + CODE - CODE_OFFSET, frame.by)).collect();
    (frames, end, unwinder.other_stack().map(|(fp, _)| fp))
}

#[test]
fn frames_are_as_large_as_the_table_says() {
    let words = [(0, MAIN), (8 + MAIN_DEPTH, GOEXIT)];
    let (frames, end, _) = unwind(LEAF, 0, &words);
    let expected = [(LEAF, FoundBy::Sample), (MAIN - 1, FoundBy::GoTable), (GOEXIT - 1, FoundBy::GoTable)];
    assert_eq!((&frames[..], end), (&expected[..], StackEnd::Root));
}

#[test]
fn stack_goes_on_where_the_frame_pointer_leads() {
    let elsewhere = 0x1234_5670;
    // `leaf` is called by `systemstack` on a stack of its own.
    let (frames, end, other) = unwind(LEAF, elsewhere, &[(0, SYSTEMSTACK)]);
    assert_eq!(frames.len(), 2);
    assert_eq!((end, other), (StackEnd::Truncated(Truncation::OtherStack), Some(elsewhere)));
    // The frame pointer of a function that has a frame is kept below its return address.
    let kept = STACK + MAIN_DEPTH - 8;
    let (_, end, other) = unwind(MAIN, kept, &[(MAIN_DEPTH - 8, elsewhere), (MAIN_DEPTH, SYSTEMSTACK)]);
    assert_eq!((end, other), (StackEnd::Truncated(Truncation::OtherStack), Some(elsewhere)));
    // What leads back into the copy is followed there.
    let frame = STACK + 0x200;
    let (frames, end, _) = unwind(LEAF, frame, &[(0, SYSTEMSTACK), (0x200, 0), (0x208, GOEXIT)]);
    assert_eq!((frames.len(), end), (3, StackEnd::Root));
    assert_eq!(frames[2], (GOEXIT - 1, FoundBy::FramePointer));
}

#[test]
fn nothing_leads_back_from_a_stack_that_grows() {
    let (frames, end, other) = unwind(LEAF, STACK + 0x200, &[(0, MORESTACK), (0x208, GOEXIT)]);
    assert_eq!((frames.len(), end, other), (2, StackEnd::Truncated(Truncation::OtherStack), None));
}

#[test]
fn innermost_frame_may_be_on_the_first_stack_still() {
    let (frames, end, _) = unwind(CODE + 0xe2, 0, &[(0, GOEXIT)]);
    assert_eq!((frames.len(), end), (2, StackEnd::Root));
}
