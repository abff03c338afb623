//! What one instruction of x86 in 64-bit mode does to the stack pointer, and how long it is.
//!
//! Of all others but those that move the stack pointer, push, pop, jump, call and return only the length is wanted.
//!
//! See "Intel 64 and IA-32 Architectures Software Developer's Manual", volume 2, chapter 2 (format), appendix A (opcodes).

/// What an instruction does, as far as stacks are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// A word is put on the stack: the register of this number, or something else (0).
    Push(u8),
    /// A word is taken from the stack into the register of this number, or to somewhere else (0).
    Pop(u8),
    /// This is added to the stack pointer.
    Add(i32),
    /// The stack pointer becomes the frame pointer plus this.
    FromFrame(i32),
    /// The frame pointer becomes the stack pointer plus this.
    ToFrame(i32),
    /// `leave`: the stack pointer becomes the frame pointer, which is taken from the stack.
    Leave,
    /// A call, to this distance from the next instruction if that is stated.
    Call(Option<i32>),
    /// A jump to this distance from the next instruction.
    Jump(i32),
    /// The same, or not.
    Branch(i32),
    /// The address of this distance from the next instruction is taken.
    Address(i32),
    /// Takes the return address from the stack.
    Return,
    /// Jumps to an address in memory that no register tells, as from a PLT: to another function, whose caller is ours.
    Leap,
    /// Asks the kernel.
    SystemCall,
    /// Jumps to an address that a register tells: within the function, or to another one.
    Anywhere,
    /// Does not go on: `ud2`, `hlt`, `int3`.
    Away,
    /// The stack pointer becomes something else.
    Unknown,
    /// `endbr64`: something jumps or calls here indirectly.
    Landing,
}

/// Number of the register `rsp`.
const SP: u8 = 4;
/// Number of the register `rbp`.
pub const FP: u8 = 5;

/// Length and effect of the instruction at the begin of `bytes`; nothing if it is cut or there is none like that.
pub fn decode(bytes: &[u8]) -> Option<(usize, Effect)> {
    let mut code = Code { bytes, at: 0, rex: 0, small: false };
    let effect = code.instruction()?;
    // No instruction is longer.
    (code.at <= 15.min(bytes.len())).then_some((code.at, effect))
}

struct Code<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The `REX` prefix, or 0.
    rex: u8,
    /// Whether operands have 16 bits.
    small: bool,
}

/// The operands that a ModRM byte states.
#[derive(Clone, Copy)]
struct Operands {
    /// 3: the second one is a register.
    mode: u8,
    /// The register, and in some instructions more of the opcode; without the bit that `REX` adds.
    field: u8,
    reg: u8,
    /// The register that the second one is, or begins with; `None`: the instruction pointer, or no register.
    base: Option<u8>,
    is_indexed: bool,
    displacement: i32,
}

impl Code<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn i8(&mut self) -> Option<i32> {
        Some(i32::from(self.byte()? as i8))
    }

    fn i32(&mut self) -> Option<i32> {
        let bytes = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += 4;
        Some(i32::from_le_bytes(*bytes))
    }

    fn skip(&mut self, bytes: usize) -> Option<Effect> {
        self.at += bytes;
        Some(Effect::None)
    }

    /// A number of 4 bytes, or 2 with small operands.
    fn number(&mut self) -> Option<i32> {
        if !self.small {
            return self.i32();
        }
        let (low, high) = (self.byte()?, self.byte()?);
        Some(i32::from(i16::from_le_bytes([low, high])))
    }

    fn operands(&mut self) -> Option<Operands> {
        let byte = self.byte()?;
        let (mode, field, rm) = (byte >> 6, byte >> 3 & 7, byte & 7);
        let reg = field | (self.rex & 4) << 1;
        let extended = |number: u8| number | (self.rex & 1) << 3;
        let mut operands = Operands { mode, field, reg, base: Some(extended(rm)), is_indexed: false, displacement: 0 };
        if mode == 3 {
            return Some(operands);
        }
        let mut no_base = rm == 5;
        if rm == 4 {
            let rex = self.rex;
            let scale = self.byte()?;
            operands.base = Some(scale & 7 | (rex & 1) << 3);
            operands.is_indexed = scale >> 3 & 7 | (rex & 2) << 2 != 4;
            no_base = scale & 7 == 5;
        }
        if mode == 0 && no_base {
            operands.base = None;
            // With an index it is not the instruction pointer that it counts from.
            operands.is_indexed |= rm == 4;
        }
        operands.displacement = match mode {
            1 => self.i8()?,
            2 => self.i32()?,
            _ if no_base => self.i32()?,
            _ => 0,
        };
        Some(operands)
    }

    fn instruction(&mut self) -> Option<Effect> {
        let opcode = loop {
            match self.byte()? {
                0x66 => self.small = true,
                0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x67 | 0xf0 | 0xf2 | 0xf3 => {}
                other => break other,
            }
            if self.at > 14 {
                return None;
            }
        };
        let opcode = if opcode & 0xf0 == 0x40 {
            self.rex = opcode;
            self.small &= opcode & 8 == 0;
            self.byte()?
        } else {
            opcode
        };
        match opcode {
            0x0f => self.two_bytes(),
            0xc5 => {
                self.skip(1)?;
                self.vector(1)
            }
            0xc4 => {
                let map = self.byte()? & 0x1f;
                self.skip(1)?;
                self.vector(map)
            }
            0x62 => {
                let map = self.byte()? & 7;
                self.skip(2)?;
                self.vector(map)
            }
            _ => self.one_byte(opcode),
        }
    }

    /// What is left of an instruction with a VEX or EVEX prefix.
    fn vector(&mut self, map: u8) -> Option<Effect> {
        let opcode = self.byte()?;
        if map == 1 && opcode == 0x77 {
            return Some(Effect::None);
        }
        self.operands()?;
        let has_number = map == 3 || map == 1 && matches!(opcode, 0x70..=0x73 | 0xc2 | 0xc4..=0xc6);
        self.skip(has_number.into())
    }

    fn two_bytes(&mut self) -> Option<Effect> {
        match self.byte()? {
            0x0b | 0xff => Some(Effect::Away),
            0x05 => Some(Effect::SystemCall),
            0x06..=0x09 | 0x0e | 0x30..=0x37 | 0x77 | 0xa2 | 0xaa | 0xc8..=0xcf => Some(Effect::None),
            0x80..=0x8f => Some(Effect::Branch(self.i32()?)),
            0xa0 | 0xa8 => Some(Effect::Push(0)),
            0xa1 | 0xa9 => Some(Effect::Pop(0)),
            0x38 => {
                self.byte()?;
                self.operands().map(|_| Effect::None)
            }
            0x3a => {
                self.byte()?;
                self.operands()?;
                self.skip(1)
            }
            0x0f | 0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => {
                self.operands()?;
                self.skip(1)
            }
            0x1e if self.bytes.get(self.at) == Some(&0xfa) && self.bytes.first() == Some(&0xf3) => {
                self.skip(1)?;
                Some(Effect::Landing)
            }
            // cmov, imul, movzx, movsx, bsf and the like.
            0x40..=0x4f | 0xaf | 0xb6..=0xb8 | 0xbc..=0xbf => {
                let reg = self.operands()?.reg;
                Some(if reg == SP { Effect::Unknown } else { Effect::None })
            }
            _ => self.operands().map(|_| Effect::None),
        }
    }

    fn one_byte(&mut self, opcode: u8) -> Option<Effect> {
        let register = opcode & 7 | (self.rex & 1) << 3;
        match opcode {
            // Arithmetic: to memory or a register, to a register, with a number.
            0x00..=0x3f => match opcode & 7 {
                form @ 0..=3 => {
                    let it = self.operands()?;
                    let to = if form < 2 { it.base.filter(|_| it.mode == 3) } else { Some(it.reg) };
                    let compares = opcode >= 0x38;
                    Some(if to == Some(SP) && !compares { Effect::Unknown } else { Effect::None })
                }
                4 => self.skip(1),
                5 => self.number().map(|_| Effect::None),
                _ => None,
            },
            0x50..=0x57 if !self.small => Some(Effect::Push(register)),
            0x58..=0x5f if !self.small && register == SP => Some(Effect::Unknown),
            0x58..=0x5f if !self.small => Some(Effect::Pop(register)),
            0x63 => self.load(),
            0x68 if !self.small => self.i32().map(|_| Effect::Push(0)),
            0x6a => self.i8().map(|_| Effect::Push(0)),
            0x69 => {
                let effect = self.load()?;
                self.number()?;
                Some(effect)
            }
            0x6b => {
                let effect = self.load()?;
                self.i8()?;
                Some(effect)
            }
            0x6c..=0x6f | 0x90 | 0x98 | 0x99 | 0x9b | 0x9e | 0x9f => Some(Effect::None),
            0x70..=0x7f | 0xe0..=0xe3 => Some(Effect::Branch(self.i8()?)),
            0x80 | 0xc0 | 0xc6 => {
                self.operands()?;
                self.skip(1)
            }
            0x81 | 0x83 => {
                let it = self.operands()?;
                let number = if opcode == 0x81 { self.number()? } else { self.i8()? };
                Some(match (it.mode, it.base, it.field) {
                    (3, Some(SP), 0) => Effect::Add(number),
                    (3, Some(SP), 5) => Effect::Add(number.checked_neg()?),
                    (3, Some(SP), 7) => Effect::None,
                    (3, Some(SP), _) => Effect::Unknown,
                    _ => Effect::None,
                })
            }
            0x84 | 0x85 | 0x88 | 0x8c | 0x8e | 0xd0 | 0xd2 | 0xd8..=0xdf => self.operands().map(|_| Effect::None),
            0x86 | 0x87 => {
                let it = self.operands()?;
                let is_sp = it.reg == SP || it.mode == 3 && it.base == Some(SP);
                Some(if is_sp { Effect::Unknown } else { Effect::None })
            }
            0x89 => {
                let it = self.operands()?;
                Some(if it.mode == 3 { moved(it.base, Some(it.reg)) } else { Effect::None })
            }
            0x8a => self.operands().map(|_| Effect::None),
            0x8b => {
                let it = self.operands()?;
                Some(moved(Some(it.reg), it.base.filter(|_| it.mode == 3)))
            }
            0x8d => {
                let it = self.operands()?;
                Some(match (it.reg, it.base) {
                    (SP, Some(SP)) if !it.is_indexed => Effect::Add(it.displacement),
                    (SP, Some(FP)) if !it.is_indexed => Effect::FromFrame(it.displacement),
                    (SP, _) => Effect::Unknown,
                    (FP, Some(SP)) if !it.is_indexed => Effect::ToFrame(it.displacement),
                    (_, None) if !it.is_indexed => Effect::Address(it.displacement),
                    _ => Effect::None,
                })
            }
            0x8f => {
                self.operands()?;
                Some(Effect::Pop(0))
            }
            0x91..=0x97 => Some(if register == SP { Effect::Unknown } else { Effect::None }),
            0x9c => Some(Effect::Push(0)),
            0x9d => Some(Effect::Pop(0)),
            0xa0..=0xa3 => self.skip(8),
            0xa4..=0xa7 | 0xaa..=0xaf | 0xd7 | 0xec..=0xef | 0xf5 | 0xf8..=0xfd => Some(Effect::None),
            0xa8 | 0xb0..=0xb7 | 0xcd | 0xe4..=0xe7 => self.skip(1),
            0xa9 => self.number().map(|_| Effect::None),
            0xb8..=0xbf => {
                if self.rex & 8 != 0 {
                    self.skip(8)?;
                } else {
                    self.number()?;
                }
                Some(if register == SP { Effect::Unknown } else { Effect::None })
            }
            0xc1 => {
                let it = self.operands()?;
                self.skip(1)?;
                Some(written(it))
            }
            0xc2 => {
                self.skip(2)?;
                Some(Effect::Return)
            }
            0xc3 => Some(Effect::Return),
            0xc7 => {
                let it = self.operands()?;
                self.number()?;
                Some(written(it))
            }
            0xc8 => {
                self.skip(3)?;
                Some(Effect::Unknown)
            }
            0xc9 => Some(Effect::Leave),
            0xcc | 0xf1 | 0xf4 => Some(Effect::Away),
            0xd1 | 0xd3 => Some(written(self.operands()?)),
            0xe8 => Some(Effect::Call(Some(self.i32()?))),
            0xe9 => Some(Effect::Jump(self.i32()?)),
            0xeb => Some(Effect::Jump(self.i8()?)),
            0xf6 => {
                let it = self.operands()?;
                self.skip((it.field < 2).into())
            }
            0xf7 => {
                let it = self.operands()?;
                if it.field < 2 {
                    self.number()?;
                }
                Some(if matches!(it.field, 2 | 3) { written(it) } else { Effect::None })
            }
            0xfe => self.operands().map(|_| Effect::None),
            0xff => {
                let it = self.operands()?;
                match it.field {
                    0 | 1 => Some(written(it)),
                    2 => Some(Effect::Call(None)),
                    4 if it.mode == 0 && it.base.is_none() && !it.is_indexed => Some(Effect::Leap),
                    4 | 5 => Some(Effect::Anywhere),
                    6 => Some(Effect::Push(0)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// An instruction that puts something into its register.
    fn load(&mut self) -> Option<Effect> {
        let reg = self.operands()?.reg;
        Some(if reg == SP { Effect::Unknown } else { Effect::None })
    }
}

/// What an instruction does that changes its second operand.
fn written(it: Operands) -> Effect {
    if it.mode == 3 && it.base == Some(SP) { Effect::Unknown } else { Effect::None }
}

fn moved(to: Option<u8>, from: Option<u8>) -> Effect {
    match (to, from) {
        (Some(SP), Some(FP)) => Effect::FromFrame(0),
        (Some(FP), Some(SP)) => Effect::ToFrame(0),
        (Some(SP), _) => Effect::Unknown,
        _ => Effect::None,
    }
}

#[cfg(test)]
mod tests;
