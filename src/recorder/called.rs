//! Whether a caller calls the function that is above it on a stack.
//!
//! Where the instruction before a return address is a call with a target in it, that is where the callee began; or a function
//! from which it was reached by jumps (a tail call, the cold part of it), or a stub of the linker. Of calls through registers and
//! memory nothing is known, and they fit. What no call stands before is no return address.

use rustc_hash::FxHashSet;

use crate::image::{ElfImage, FrameEntry, Images};
use crate::unwind::{Processor, WalkedFrame};

/// Pairs that fit are remembered, so many of them.
const REMEMBERED: usize = 1 << 16;
/// So much of a function is looked at for jumps.
const MOST_CODE: usize = 64 << 10;
/// So many jumps may lead from one function to another, one after the other.
const MOST_JUMPS: u32 = 2;

/// Which callers fit their callees, as far as it was found out.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Image and offset of a caller, and of its callee.
    known: FxHashSet<(u32, u64, u32, u64)>,
}

impl Calls {
    /// Whether each of these frames, innermost first, may have been called by the next one.
    pub fn fit(&mut self, images: &Images, processor: Processor, frames: &[WalkedFrame]) -> bool {
        frames.windows(2).all(|pair| self.fits(images, processor, &pair[0], &pair[1]))
    }

    fn fits(&mut self, images: &Images, processor: Processor, callee: &WalkedFrame, caller: &WalkedFrame) -> bool {
        let key = (caller.image.0, caller.offset, callee.image.0, callee.offset);
        if self.known.contains(&key) {
            return true;
        }
        let callee_in = images.get(callee.image);
        let signal = callee_in.is_some_and(|image| is_signal(image, callee.offset));
        let fits = match images.get(caller.image) {
            // Who is interrupted by a signal calls nothing, and its handler's caller was never called.
            Some(image) if !signal && !is_signal(image, caller.offset) => {
                let is_same = caller.image == callee.image;
                may_call(image, processor, caller.offset, is_same.then_some(callee.offset))
            }
            _ => true,
        };
        if fits {
            if self.known.len() >= REMEMBERED {
                self.known.clear();
            }
            self.known.insert(key);
        }
        fits
    }
}

fn is_signal(image: &ElfImage, offset: u64) -> bool {
    let entry = image.svma_of_offset(offset).and_then(|svma| image.frame_tables().find(image, svma));
    entry.is_some_and(|entry| entry.is_signal())
}

/// Whether the call whose last byte is at `caller` may lead to `callee`, both offsets in the file; without `callee` to code of
/// another file, which is called by way of stubs.
fn may_call(image: &ElfImage, processor: Processor, caller: u64, callee: Option<u64>) -> bool {
    let Some(returns_to) = image.svma_of_offset(caller).and_then(|svma| svma.checked_add(1)) else { return true };
    let target = match call_before(image, processor, caller, returns_to) {
        Call::To(target) => target,
        Call::Anywhere => return true,
        Call::None => return false,
    };
    let tables = image.frame_tables();
    let start = match callee {
        Some(callee) => {
            let callee = image.svma_of_offset(callee).and_then(|svma| tables.find(image, svma));
            let Some(callee) = callee else { return true };
            Some(callee.start())
        }
        None => None,
    };
    start == Some(target) || is_stub(image, target) || jumps_to(image, processor, target, start, MOST_JUMPS)
}

/// The call before a return address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// It says where to.
    To(u64),
    /// It does not.
    Anywhere,
    /// There is none.
    None,
}

/// The call whose last byte is at an offset, and that returns to an address.
fn call_before(image: &ElfImage, processor: Processor, last_byte: u64, returns_to: u64) -> Call {
    let end = usize::try_from(last_byte).ok().and_then(|last| last.checked_add(1));
    let before = |count: usize| end.and_then(|end| image.data().get(end.checked_sub(count)?..end));
    match processor {
        // `call rel32`, `call r/m`: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, CALL. The second has
        // two to seven bytes.
        Processor::X86_64 | Processor::X86 => {
            let to = |distance: [u8; 4]| {
                let distance = i64::from(i32::from_le_bytes(distance));
                Call::To(narrow(processor, returns_to.wrapping_add_signed(distance)))
            };
            let through = |count| matches!(before(count), Some([0xff, modrm, ..]) if modrm >> 3 & 7 == 2);
            match before(5) {
                Some([0xe8, a, b, c, d]) => to([*a, *b, *c, *d]),
                _ if (2..=7).any(through) => Call::Anywhere,
                _ => Call::None,
            }
        }
        // `bl imm26`: Arm Architecture Reference Manual for A-profile, C6.2, BL. The return address less one is within it.
        Processor::Aarch64 => {
            let word = before(4).and_then(|bytes| bytes.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes));
            let bl = word.filter(|word| word >> 26 == 0b10_0101);
            bl.map_or(Call::Anywhere, |word| {
                Call::To(returns_to.wrapping_sub(4).wrapping_add_signed(branch_distance(word)))
            })
        }
    }
}

/// Whether a place is a stub of the linker, which jumps to wherever.
fn is_stub(image: &ElfImage, svma: u64) -> bool {
    [".plt", ".plt.sec", ".plt.got", ".iplt"].into_iter().any(|name| {
        let section = image.section(name);
        section.is_some_and(|section| svma.checked_sub(section.svma).is_some_and(|distance| distance < section.size))
    })
}

/// Whether the function that is at `from` jumps into the one that begins at `to` (none of this file, if not given), or may jump
/// anywhere.
///
/// Any bytes that look like such a jump count, whether or not an instruction begins there.
fn jumps_to(image: &ElfImage, processor: Processor, from: u64, to: Option<u64>, jumps: u32) -> bool {
    let tables = image.frame_tables();
    let Some(function) = tables.find(image, from) else { return true };
    if Some(function.start()) == to {
        return true;
    }
    let Some(code) = code_of(image, &function) else { return true };
    let start_of = |svma: u64| tables.find(image, svma).map(|entry| entry.start());
    let mut elsewhere = Vec::new();
    for (at, bytes) in code.windows(4).enumerate() {
        let Some(target) = target_of_jump(processor, function.start(), at, bytes, code) else { continue };
        match target {
            Jump::Anywhere => return true,
            Jump::OtherFile if to.is_none() => return true,
            Jump::OtherFile => {}
            Jump::To(target) if Some(target) == to => return true,
            Jump::To(target) if is_stub(image, target) => return true,
            Jump::To(target) => match start_of(target) {
                Some(start) if Some(start) == to => return true,
                Some(start) if start != function.start() && jumps > 1 && start == target => elsewhere.push(target),
                _ => {}
            },
        }
    }
    elsewhere.sort_unstable();
    elsewhere.dedup();
    elsewhere.into_iter().any(|target| jumps_to(image, processor, target, to, jumps - 1))
}

/// A jump out of a function.
enum Jump {
    /// It says where to.
    To(u64),
    /// It does not.
    Anywhere,
    /// It leads to another file.
    OtherFile,
}

/// What looks like a jump at `at` of `code`, which begins at `start`.
fn target_of_jump(processor: Processor, start: u64, at: usize, bytes: &[u8], code: &[u8]) -> Option<Jump> {
    match processor {
        Processor::X86_64 | Processor::X86 => {
            // `jmp rel32`, `jcc rel32`, `jmp r/m` (the same manual, JMP and Jcc).
            let length = match bytes {
                [0xe9, ..] => 1,
                [0x0f, 0x80..=0x8f, ..] => 2,
                // Through rsi or rdi it is not looked for: 0xff ends a short way back, and 0x66 begins many instructions.
                // By way of the global offset table: the function is in another file.
                [0xff, 0x25, ..] => return Some(Jump::OtherFile),
                [0xff, 0x20..=0x23 | 0x60..=0x63 | 0xa0..=0xa3 | 0xe0..=0xe7, ..] => {
                    return (!is_switch(&code[..at])).then_some(Jump::Anywhere);
                }
                _ => return None,
            };
            let distance = i32::from_le_bytes(*code.get(at + length..)?.first_chunk()?);
            let next = start.wrapping_add((at + length + 4) as u64);
            Some(Jump::To(narrow(processor, next.wrapping_add_signed(i64::from(distance)))))
        }
        Processor::Aarch64 if at.is_multiple_of(4) => {
            let word = u32::from_le_bytes(*bytes.first_chunk()?);
            // `b imm26`, `br Xn`; conditional ones stay within a function.
            match word {
                _ if word >> 26 == 0b00_0101 => {
                    let here = start.wrapping_add(at as u64);
                    Some(Jump::To(here.wrapping_add_signed(branch_distance(word))))
                }
                _ if word & 0xffff_fc1f == 0xd61f_0000 => Some(Jump::Anywhere),
                _ => None,
            }
        }
        Processor::Aarch64 => None,
    }
}

/// Whether the code before a jump is that of a `switch`: the distance out of a table is added to where the table is
/// (`add %rdx,%rax`), with `notrack` behind it where jumps are guarded.
fn is_switch(before: &[u8]) -> bool {
    let before = before.strip_suffix(&[0x3e]).unwrap_or(before);
    matches!(before, [.., 0x48 | 0x49 | 0x4c | 0x4d, 0x01, 0xc0..=0xff])
}

fn code_of<'a>(image: &'a ElfImage, function: &FrameEntry<'_>) -> Option<&'a [u8]> {
    let start = usize::try_from(image.offset_of_svma(function.start())?).ok()?;
    let length = usize::try_from(function.length()).ok()?;
    // One that is too long is not looked at.
    image.data().get(start..start.checked_add(length)?).filter(|code| code.len() <= MOST_CODE)
}

/// The distance of an arm64 branch, in bytes: 26 bits with a sign, of words.
fn branch_distance(word: u32) -> i64 {
    i64::from(((word << 6) as i32) >> 6) * 4
}

fn narrow(processor: Processor, address: u64) -> u64 {
    if processor.word() == 4 { address & 0xffff_ffff } else { address }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::image::function_starts;

    #[test]
    fn callers_fit_what_they_call_and_little_else() {
        let image = ElfImage::open(&std::env::current_exe().unwrap()).unwrap();
        let code = image.segments().iter().find(|segment| segment.executable).unwrap();
        let probes: Vec<u64> = (code.svma..code.svma + code.file_size).step_by(32).collect();
        let mut starts: Vec<u64> = function_starts(&image, &probes).into_iter().flatten().collect();
        starts.dedup();
        let processor = Processor::X86_64;
        let (mut calls, mut wrong, mut elsewhere, mut mid) = (0, 0, 0, 0);
        for pair in starts.windows(2).step_by(7).take(3000) {
            let Some(function) = image.frame_tables().find(&image, pair[0]) else { continue };
            let (Some(code), Some(begin)) = (code_of(&image, &function), image.offset_of_svma(pair[0])) else {
                continue;
            };
            for at in (0..code.len().saturating_sub(4)).filter(|at| code[*at] == 0xe8) {
                let last_byte = begin + at as u64 + 4;
                let call = call_before(&image, processor, last_byte, pair[0] + at as u64 + 5);
                let Call::To(target) = call else { panic!("{call:?}") };
                // A byte that happens to look like a call leads to no beginning of a function.
                let (Ok(_), Some(callee)) = (starts.binary_search(&target), image.offset_of_svma(target)) else {
                    continue;
                };
                assert!(may_call(&image, processor, last_byte, Some(callee)), "{target:x} from {last_byte:x}");
                calls += 1;
                let neighbour = image.offset_of_svma(pair[1]);
                wrong += u32::from(may_call(&image, processor, last_byte, neighbour));
                // Many end with a jump to libc's `free`.
                let target = image.frame_tables().find(&image, target).and_then(|entry| code_of(&image, &entry));
                let leads_away = target.is_some_and(|code| code.windows(2).any(|bytes| bytes == [0xff, 0x25]));
                elsewhere += u32::from(!leads_away && may_call(&image, processor, last_byte, None));
                mid += u32::from(may_call(&image, processor, last_byte + 1, None));
            }
        }
        assert!(calls > 500, "{calls}");
        assert!(wrong < calls / 5, "{wrong} of {calls} calls fit a function that they do not call");
        assert!(elsewhere < calls / 5, "{elsewhere} of {calls} calls fit another file");
        assert!(mid < calls / 10, "{mid} of {calls} places behind no call fit");
    }

    #[test]
    fn branches_of_arm64_are_read() {
        // `b .+8`, `bl .-4`.
        assert_eq!((branch_distance(0x1400_0002), branch_distance(0x97ff_ffff)), (8, -4));
    }
}
