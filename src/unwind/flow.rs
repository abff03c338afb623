//! Where a function's return address is, by what its instructions do to the stack pointer: for code without call frame information.
//!
//! ```text
//! push %rbx        from the function's begin to here: what was put on the stack until now
//! sub  $8,%rsp
//! call ...    <--  here
//! add  $8,%rsp     from here to the function's return: what will be taken from the stack until then
//! pop  %rbx
//! ret
//! ```
//! Compilers leave the stack equally deep at an instruction however it is reached, so one way to a return is enough; but a call
//! may never come back, and what stands behind it is of another function. So several returns are asked, and what is found is
//! believed only if a return address is there indeed, see [`calls`].

use rustc_hash::FxHashSet;
use std::collections::VecDeque;

use super::rule::Base;
use super::x86::{Effect, FP, decode};
use crate::image::ElfImage;

/// Most instructions that are looked at for one address.
const MOST_INSTRUCTIONS: usize = 4000;
/// Most returns that are asked.
const MOST_RETURNS: usize = 9;
/// Most places among which the return address is looked for.
const MOST_PLACES: usize = 4;
/// Most bytes of code in one file whose functions are looked for.
const MOST_CODE: usize = 16 << 20;
/// Longest function that is gone through from its begin.
const MOST_FUNCTION: u64 = 64 << 10;

/// Where the caller's registers are, in bytes from one of this frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// From which.
    pub base: Base,
    /// Where the return address is.
    pub ra: i32,
    /// Where the caller's frame pointer is; nothing if it is in its register still.
    pub fp: Option<i32>,
}

/// What the instructions from an address on say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// It returns, and the return address is at one of these, the likeliest first.
    At([Option<Place>; MOST_PLACES]),
    /// It ends its thread or process: nobody waits for it.
    Never,
    /// That cannot be told.
    Unknown,
}

/// Registers during a way through the code, by where they are from its begin.
#[derive(Clone, Copy, Debug)]
struct State {
    /// What the stack pointer is: so many bytes from what a register was.
    sp: Option<(Base, i32)>,
    fp: FramePointer,
    /// Where the frame pointer was put, from what the stack pointer was, until it is taken from there.
    saved: Option<i32>,
}

#[derive(Clone, Copy, Debug)]
enum FramePointer {
    /// As it was.
    Own,
    /// So many bytes from what the stack pointer was.
    Frame(i32),
    /// What stood there, from what a register was.
    Loaded(Base, i32),
}

impl State {
    const BEGIN: State = State { sp: Some((Base::Sp, 0)), fp: FramePointer::Own, saved: None };

    /// The state behind an instruction; nothing if the way ends there.
    fn after(mut self, effect: Effect) -> Option<State> {
        match effect {
            Effect::Push(register) => {
                self.add(-8)?;
                if let (FP, FramePointer::Own, Some((Base::Sp, at))) = (register, self.fp, self.sp) {
                    self.saved = self.saved.or(Some(at));
                }
            }
            Effect::Add(bytes) => self.add(bytes)?,
            Effect::Pop(register) => {
                if register == FP {
                    let (base, at) = self.sp?;
                    // It was put there on this way.
                    let is_own = base == Base::Sp && at < 0;
                    self.saved = self.saved.filter(|saved| base == Base::Fp || *saved != at);
                    self.fp = if is_own { FramePointer::Own } else { FramePointer::Loaded(base, at) };
                }
                self.add(8)?;
            }
            Effect::FromFrame(bytes) => {
                self.sp = Some(match self.fp {
                    FramePointer::Own => (Base::Fp, bytes),
                    FramePointer::Frame(at) => (Base::Sp, at.checked_add(bytes)?),
                    FramePointer::Loaded(..) => return None,
                });
            }
            Effect::ToFrame(bytes) => match self.sp {
                Some((Base::Sp, at)) => self.fp = FramePointer::Frame(at.checked_add(bytes)?),
                _ => return None,
            },
            Effect::Leave => return self.after(Effect::FromFrame(0))?.after(Effect::Pop(FP)),
            // A stack that is aligned, or of a size known only then, is found again by the frame pointer.
            Effect::Unknown => self.sp = None,
            _ => {}
        }
        Some(self)
    }

    fn add(&mut self, bytes: i32) -> Option<()> {
        if let Some((_, at)) = &mut self.sp {
            *at = at.checked_add(bytes)?;
        }
        Some(())
    }

    /// The place of the return address at a `ret`.
    fn at_return(self) -> Option<Place> {
        let (base, ra) = self.sp?;
        let fp = match self.fp {
            FramePointer::Own => None,
            FramePointer::Loaded(from, at) if from == base => Some(at),
            FramePointer::Frame(_) | FramePointer::Loaded(..) => return None,
        };
        // The return address is not below the stack pointer.
        (base == Base::Fp || ra >= 0).then_some(Place { base, ra, fp })
    }
}

/// The code at an address of a file, up to its segment's end.
pub fn code(image: &ElfImage, svma: u64) -> Option<&[u8]> {
    let segment = image.segments().iter().find(|segment| {
        segment.executable && svma.checked_sub(segment.svma).is_some_and(|distance| distance < segment.file_size)
    })?;
    let distance = svma - segment.svma;
    let start = usize::try_from(segment.offset.checked_add(distance)?).ok()?;
    let size = usize::try_from(segment.file_size - distance).unwrap_or(usize::MAX);
    let rest = image.data().get(start..)?;
    Some(&rest[..size.min(rest.len())])
}

/// The ways through code that are still to be gone.
struct Ways {
    ways: VecDeque<(u64, State)>,
    known: FxHashSet<u64>,
    left: usize,
}

impl Ways {
    fn from(start: u64) -> Ways {
        Ways { ways: VecDeque::from([(start, State::BEGIN)]), known: FxHashSet::default(), left: MOST_INSTRUCTIONS }
    }

    /// Goes on to the next instruction that was not looked at yet, on the way that `here` is on if there is one.
    fn next(&mut self, here: Option<(u64, State)>) -> Option<(u64, State)> {
        let mut here = here.or_else(|| self.ways.pop_front())?;
        self.left = self.left.checked_sub(1)?;
        while !self.known.insert(here.0) {
            here = self.ways.pop_front()?;
            self.left = self.left.checked_sub(1)?;
        }
        Some(here)
    }

    /// Where it goes on behind an instruction that ends before `next`; the other way of a branch is left for later.
    fn go_on(&mut self, next: u64, effect: Effect, state: State) -> Option<(u64, State)> {
        let target = |distance: i32| next.wrapping_add_signed(distance.into());
        match effect {
            Effect::Return | Effect::Leap | Effect::Anywhere | Effect::Away => None,
            Effect::Jump(distance) => Some((target(distance), state)),
            Effect::Branch(distance) => {
                self.ways.push_back((target(distance), state));
                Some((next, state))
            }
            _ => Some((next, state)),
        }
    }
}

/// Where the instructions from `start` on lead.
pub fn to_return(image: &ElfImage, start: u64) -> Return {
    let mut ways = Ways::from(start);
    let mut places = [None; MOST_PLACES];
    let (mut asked, mut ends, mut is_straight, mut after_call) = (0, false, true, false);
    let mut asks_kernel = false;
    let mut here = None;
    while asked < MOST_RETURNS
        && let Some((svma, state)) = ways.next(here.take())
    {
        let Some(bytes) = code(image, svma) else { continue };
        let Some((length, effect)) = decode(bytes) else { continue };
        let next = svma.wrapping_add(length as u64);
        // The call before this did not come back.
        let is_foreign = after_call && (effect == Effect::Landing || is_padding(&bytes[..length], svma));
        after_call = matches!(effect, Effect::Call(_));
        is_straight &= !matches!(effect, Effect::Call(_) | Effect::Branch(_) | Effect::Jump(_));
        let Some(state) = state.after(effect).filter(|_| !is_foreign) else { continue };
        match effect {
            Effect::Return | Effect::Leap => {
                asked += 1;
                let Some(place) = state.at_return() else { continue };
                if let Some(free) = places.iter_mut().find(|known| known.is_none_or(|known| known == place)) {
                    *free = Some(place);
                }
            }
            Effect::Away => ends |= asks_kernel,
            Effect::SystemCall => asks_kernel = true,
            _ => {}
        }
        here = ways.go_on(next, effect, state);
    }
    match places[0] {
        Some(_) => Return::At(places),
        None if ends && is_straight => Return::Never,
        None => Return::Unknown,
    }
}

/// What assemblers put between functions: `nop`s up to the next 16 bytes.
fn is_padding(instruction: &[u8], svma: u64) -> bool {
    let is_nop = match instruction {
        [0x90] | [0x66, 0x90] => true,
        [0x66, rest @ ..] => rest.windows(2).any(|pair| pair == [0x0f, 0x1f]),
        [0x0f, 0x1f, ..] => true,
        _ => false,
    };
    is_nop && svma.wrapping_add(instruction.len() as u64).is_multiple_of(16)
}

/// Where the return address is at `svma`, by the instructions from the function's begin on.
pub fn from_start(image: &ElfImage, start: u64, svma: u64) -> Option<Place> {
    let mut ways = Ways::from(start);
    let mut here = None;
    while let Some((at, state)) = ways.next(here.take()) {
        if at == svma {
            return match (state.sp, state.fp) {
                (Some((Base::Sp, sp)), _) => {
                    Some(Place { base: Base::Sp, ra: sp.checked_neg()?, fp: state.saved.map(|at| at.wrapping_sub(sp)) })
                }
                (_, FramePointer::Frame(fp)) => {
                    Some(Place { base: Base::Fp, ra: fp.checked_neg()?, fp: state.saved.map(|at| at.wrapping_sub(fp)) })
                }
                _ => None,
            };
        }
        let Some((length, effect)) = code(image, at).and_then(decode) else { continue };
        let next = at.wrapping_add(length as u64);
        let Some(state) = state.after(effect) else { continue };
        here = ways.go_on(next, effect, state);
    }
    None
}

/// Where functions of a file begin, as its own code tells: what is called, and that of which the address is taken.
#[derive(Debug, Default)]
pub struct Starts(Vec<u64>);

impl Starts {
    /// Goes through all code of a file once.
    pub fn of(image: &ElfImage) -> Starts {
        let mut starts = vec![image.entry()];
        let mut left = MOST_CODE;
        for segment in image.segments().iter().filter(|segment| segment.executable) {
            let Some(bytes) = code(image, segment.svma) else { continue };
            let bytes = &bytes[..bytes.len().min(left)];
            left -= bytes.len();
            let mut at = 0;
            while at < bytes.len() {
                // Where there is no instruction, there may be one behind it.
                let (length, effect) = decode(&bytes[at..]).unwrap_or((1, Effect::None));
                at += length;
                if let Effect::Call(Some(distance)) | Effect::Address(distance) = effect {
                    let target = segment.svma.wrapping_add(at as u64).wrapping_add_signed(distance.into());
                    let is_inside = target.checked_sub(segment.svma).is_some_and(|it| it < bytes.len() as u64);
                    starts.extend(is_inside.then_some(target));
                }
            }
        }
        starts.sort_unstable();
        starts.dedup();
        Starts(starts)
    }

    /// The begin of the function that an address may be in.
    pub fn before(&self, svma: u64) -> Option<u64> {
        let start = *self.0.get(self.0.partition_point(|start| *start <= svma).checked_sub(1)?)?;
        (svma - start <= MOST_FUNCTION).then_some(start)
    }
}

/// Whether the instruction before a return address is a call; nothing if it is none, else to where, if it says so.
pub fn calls(image: &ElfImage, address: u64) -> Option<Option<u64>> {
    // Calls are two to seven bytes long.
    let before = code(image, address.checked_sub(7)?)?.get(..7)?;
    if let Some((5, Effect::Call(Some(distance)))) = decode(&before[2..]) {
        return Some(Some(address.wrapping_add_signed(distance.into())));
    }
    let is_call = |from: usize| decode(&before[from..]) == Some((7 - from, Effect::Call(None)));
    (0..=5).any(is_call).then_some(None)
}

/// Whether the instructions from `start` on lead to `svma`, or may lead there, calls left aside: within the function, or by a
/// jump to another, which a register may tell.
pub fn reaches(image: &ElfImage, start: u64, svma: u64) -> bool {
    let mut ways = Ways::from(start);
    let mut here = None;
    while let Some((at, state)) = ways.next(here.take()) {
        if at == svma {
            return true;
        }
        let Some((length, effect)) = code(image, at).and_then(decode) else { continue };
        if effect == Effect::Anywhere {
            return true;
        }
        here = ways.go_on(at.wrapping_add(length as u64), effect, state);
    }
    false
}

/// Whether the code at an address is a jump to elsewhere, as in a PLT.
pub fn is_jump(image: &ElfImage, svma: u64) -> bool {
    let Some(mut bytes) = code(image, svma) else { return false };
    if let Some((length, Effect::Landing)) = decode(bytes) {
        bytes = &bytes[length..];
    }
    matches!(decode(bytes), Some((_, Effect::Leap | Effect::Jump(_))))
}

/// Whether the code at an address is what a signal's handler returns to (`mov $15,%rax; syscall`, as debuggers know it too).
pub fn returns_from_signal(image: &ElfImage, svma: u64) -> bool {
    let Some(bytes) = code(image, svma) else { return false };
    SIGNAL_RETURNS.iter().any(|instructions| bytes.starts_with(instructions))
}

/// Ways to write that.
pub const SIGNAL_RETURNS: [&[u8]; 2] = [b"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", b"\xb8\x0f\x00\x00\x00\x0f\x05"];

#[cfg(test)]
mod tests;
