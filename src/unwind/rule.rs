//! How to get from a frame to its caller: one row of call frame information, in 8 bytes.
//!
//! Rows are turned into rules by [`Rule::of_row`] alone. In user space rules are made on demand and kept in a cache; the
//! tables that programs in the kernel search are made of the same ones, for the whole of a file (`table`).
//!
//! A rule covers what nearly all rows say: where the canonical frame address (CFA) is, the stack pointer before the call, and
//! that return address and frame pointer are in their registers or lie at an offset from it. What else there is (CFA by another
//! register, general expressions, signal frames) is left to the row itself, see `row`.

use gimli::{CfaRule, Operation, RegisterRule, UnwindTableRow};

use super::registers::Processor;
use crate::image::{Bytes, FrameEntry};

/// A register that a frame is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Base {
    /// Stack pointer.
    Sp,
    /// Frame pointer.
    Fp,
}

/// Where a register of the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// In its register still.
    InRegister,
    /// At the CFA plus this, in words.
    AtCfa(i16),
    /// Where the frame pointer points to.
    AtFp,
}

/// Whether code of Go puts another stack in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It does not.
    None,
    /// It does, and the frame pointer leads back to the one before.
    LeadsBack,
    /// It does, and nothing leads back.
    Lost,
    /// It does in a thread that it has made, which nobody has called.
    NewThread,
}

/// How to get from a frame to its caller. Offsets are in words of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No call frame information covers the code.
    NoInfo,
    /// Nothing called it: the return address is undefined.
    Root,
    /// The CFA is the base plus `cfa`.
    Offset {
        /// From which register.
        base: Base,
        /// Where the return address is.
        ra: Slot,
        /// Where the caller's frame pointer is.
        fp: Slot,
        /// How far the CFA is from the base.
        cfa: i16,
    },
    /// The CFA is the base plus `cfa`, further than `Offset` can say, and the return address is the word before it: a function
    /// that keeps arrays of more than 256 KiB on the stack, as rustc's own does that all of it is called by.
    Far {
        /// From which register.
        base: Base,
        /// Where the caller's frame pointer is.
        fp: Slot,
        /// How far the CFA is from the base; less than [`Rule::FARTHEST`].
        cfa: i32,
    },
    /// The CFA is what stands at the base plus `at`, plus `add`.
    Deref {
        /// From which register.
        base: Base,
        /// What is added to what stands there.
        add: i8,
        /// Where the return address is.
        ra: Slot,
        /// Where the caller's frame pointer is.
        fp: Slot,
        /// How far from the base it stands.
        at: i8,
    },
    /// A stub of a PLT: one word more is on the stack from byte `from` of its 16 on.
    Plt {
        /// From which byte.
        from: u8,
    },
    /// Code of Go.
    Go {
        /// How many words of the stack it has taken.
        depth: i16,
        /// Whether it puts another stack in place then.
        switch: Switch,
    },
    /// None of these: the row is to be evaluated, with all registers.
    Row,
    /// As `Signal`, but only its instructions tell: what it returns to lies on the stack as the kernel has put it there.
    SignalCode,
    /// As `Row`; and the caller was interrupted by a signal, it did not call.
    Signal,
}

const _: () = assert!(size_of::<Rule>() <= 8, "a slot of the cache is one cache line's quarter");

/// [`Saved`] in two bytes: on arm64, return address and frame pointer are at the bottom of a frame, which may be large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(i16);

impl Slot {
    const IN_REGISTER: i16 = i16::MIN;
    const AT_FP: i16 = i16::MAX;

    /// Nothing if it is too far away.
    pub const fn new(saved: Saved) -> Option<Slot> {
        match saved {
            Saved::InRegister => Some(Slot(Slot::IN_REGISTER)),
            Saved::AtFp => Some(Slot(Slot::AT_FP)),
            Saved::AtCfa(Slot::IN_REGISTER | Slot::AT_FP) => None,
            Saved::AtCfa(words) => Some(Slot(words)),
        }
    }

    /// Where it is.
    #[inline]
    pub const fn saved(self) -> Saved {
        match self.0 {
            Slot::IN_REGISTER => Saved::InRegister,
            Slot::AT_FP => Saved::AtFp,
            words => Saved::AtCfa(words),
        }
    }
}

impl Rule {
    /// How far the CFA may be: 32 MiB, in words of 8 bytes.
    pub const FARTHEST: i32 = 1 << 22;

    /// The rule that a row of call frame information is.
    pub fn of_row(entry: &FrameEntry<'_>, row: &UnwindTableRow<usize>, processor: Processor) -> Rule {
        if entry.is_signal() {
            return Rule::Signal;
        }
        let ra_register = gimli::Register(entry.return_address_register());
        let ra_rule = row.register(ra_register);
        if matches!(ra_rule, Some(RegisterRule::Undefined)) {
            return Rule::Root;
        }
        Rule::of_ordinary_row(entry, row, processor, ra_register, ra_rule).unwrap_or(Rule::Row)
    }

    fn of_ordinary_row(
        entry: &FrameEntry<'_>,
        row: &UnwindTableRow<usize>,
        processor: Processor,
        ra_register: gimli::Register,
        ra_rule: Option<RegisterRule<usize>>,
    ) -> Option<Rule> {
        let word = processor.word() as i64;
        let words = |bytes: i64| (bytes % word == 0).then(|| i16::try_from(bytes / word).ok()).flatten();
        let ra = match ra_rule {
            Some(RegisterRule::Offset(bytes)) => Saved::AtCfa(words(bytes)?),
            None | Some(RegisterRule::SameValue) if processor.lr() == Some(ra_register.0) => Saved::InRegister,
            _ => return None,
        };
        let fp = match row.register(gimli::Register(processor.fp())) {
            // Undefined is what compilers say of one that nobody needs.
            None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => Saved::InRegister,
            Some(RegisterRule::Offset(bytes)) => Saved::AtCfa(words(bytes)?),
            Some(RegisterRule::Expression(expression)) => {
                match operations(entry, &expression)?.as_slice() {
                    // gcc, of a function that aligns its stack.
                    [Operation::RegisterOffset { register, offset: 0, .. }] if register.0 == processor.fp() => {
                        Saved::AtFp
                    }
                    _ => return None,
                }
            }
            Some(_) => return None,
        };
        // The caller's stack pointer is the CFA, unless a row says otherwise.
        if !matches!(row.register(gimli::Register(processor.sp())), None | Some(RegisterRule::ValOffset(0))) {
            return None;
        }
        let (ra, fp) = (Slot::new(ra)?, Slot::new(fp)?);
        let base_of = |register: gimli::Register| match register.0 {
            number if number == processor.sp() => Some(Base::Sp),
            number if number == processor.fp() => Some(Base::Fp),
            _ => None,
        };
        match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                let base = base_of(*register)?;
                match words(*offset) {
                    Some(cfa) => Some(Rule::Offset { base, ra, fp, cfa }),
                    None if offset % word == 0 && ra == Slot(-1) => {
                        let cfa = i32::try_from(offset / word)
                            .ok()
                            .filter(|cfa| cfa.unsigned_abs() < Rule::FARTHEST.unsigned_abs())?;
                        Some(Rule::Far { base, fp, cfa })
                    }
                    None => None,
                }
            }
            CfaRule::Expression(expression) => match operations(entry, expression)?.as_slice() {
                [
                    Operation::RegisterOffset { register, offset, .. },
                    Operation::Deref { size, space: false, .. },
                    rest @ ..,
                ] if i64::from(*size) == word => {
                    let add = match rest {
                        [] => 0,
                        [Operation::PlusConstant { value }] => {
                            i8::try_from(words(i64::try_from(*value).ok()?)?).ok()?
                        }
                        _ => return None,
                    };
                    let at = i8::try_from(words(*offset)?).ok()?;
                    Some(Rule::Deref { base: base_of(*register)?, add, ra, fp, at })
                }
                // What GNU ld writes for a PLT: sp + word + ((ip & 15) >= n) * word.
                [
                    Operation::RegisterOffset { register: sp, offset: first, .. },
                    Operation::RegisterOffset { register: ip, offset: 0, .. },
                    Operation::UnsignedConstant { value: 15 },
                    Operation::And,
                    Operation::UnsignedConstant { value: from @ 0..=15 },
                    Operation::Ge,
                    Operation::UnsignedConstant { value: shift },
                    Operation::Shl,
                    Operation::Plus,
                ] if sp.0 == processor.sp()
                    && *ip == ra_register
                    && *first == word
                    && *shift == u64::from(word.trailing_zeros())
                    && (ra, fp) == (Slot(-1), Slot(Slot::IN_REGISTER)) =>
                {
                    Some(Rule::Plt { from: *from as u8 })
                }
                _ => None,
            },
        }
    }
}

/// The operations of an expression, if there are few.
fn operations<'a>(
    entry: &FrameEntry<'a>,
    expression: &gimli::UnwindExpression<usize>,
) -> Option<Vec<Operation<Bytes<'a>>>> {
    const MOST: usize = 9;
    let mut operations = Vec::with_capacity(MOST);
    let mut iterator = entry.expression(expression)?.operations(entry.encoding());
    while let Some(operation) = iterator.next().ok()? {
        if operations.len() == MOST {
            return None;
        }
        operations.push(operation);
    }
    Some(operations)
}
