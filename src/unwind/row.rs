//! The slow way from a frame to its caller: its row of call frame information, with all registers.

use gimli::{CfaRule, EvaluationResult, Location, Register, RegisterRule, UnwindTableRow, Value};

use super::registers::{Registers, StackBytes};
use crate::image::{Bytes, FrameEntry};

/// Why a row gives no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The word at this address is not there.
    Memory(u64),
    /// The row makes no sense, or needs a register that is not known.
    Senseless,
}

/// The registers of the caller; its stack pointer and instruction pointer are always known.
///
/// Nothing if there is none: the return address is undefined.
pub fn caller(
    entry: &FrameEntry<'_>,
    row: &UnwindTableRow<usize>,
    registers: &Registers,
    stack: &StackBytes<'_>,
) -> Result<Option<Registers>, Failure> {
    let processor = registers.processor;
    let frame = Frame { entry, registers, stack };
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            frame.register(*register).ok_or(Failure::Senseless)?.wrapping_add_signed(*offset)
        }
        CfaRule::Expression(expression) => frame.evaluate(expression, None)?,
    };
    let cfa = processor.address(cfa);
    let ra_register = Register(entry.return_address_register());
    let mut caller = Registers::new(processor, 0, cfa);
    for number in registers.numbers().filter(|number| entry.is_signal() || is_preserved(processor, *number)) {
        if number != processor.sp() {
            caller.set(number, registers.get(number));
        }
    }
    let mut ra = None;
    for (register, rule) in row.registers() {
        let value = match rule {
            RegisterRule::Undefined if *register == ra_register => return Ok(None),
            RegisterRule::Undefined => None,
            RegisterRule::SameValue => frame.register(*register),
            RegisterRule::Offset(offset) => match cfa.wrapping_add_signed(*offset) {
                // Below the stack pointer it was taken from the stack again, as at a `ret`, of which rows say nothing.
                at if at < registers.sp() && *register != ra_register => frame.register(*register),
                at => Some(frame.read(at)?),
            },
            RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add_signed(*offset)),
            RegisterRule::Register(other) => frame.register(*other),
            RegisterRule::Expression(expression) => Some(frame.read(frame.evaluate(expression, Some(cfa))?)?),
            RegisterRule::ValExpression(expression) => Some(frame.evaluate(expression, Some(cfa))?),
            RegisterRule::Constant(value) => Some(*value),
            _ => return Err(Failure::Senseless),
        };
        if *register == ra_register {
            ra = value;
            // The register keeps what was put into it only if it is one of its own.
            if processor.lr() != Some(register.0) {
                continue;
            }
        }
        caller.set(register.0, value);
    }
    // Where no rule says otherwise, it is in its register still, if it is one: on arm64, glibc's rawmemchr keeps it in x15.
    let in_register = processor.lr().is_some() && row.register(ra_register).is_none();
    let ra = ra.or_else(|| registers.get(ra_register.0).filter(|_| in_register));
    caller.ip = processor.address(ra.ok_or(Failure::Senseless)?);
    if caller.get(processor.sp()).is_none() {
        return Err(Failure::Senseless);
    }
    Ok(Some(caller))
}

/// Whether a function gives a register back as it was, by the processor's calling convention: System V ABI, x86-64 figure 3.4,
/// i386 table 2.3; "Procedure Call Standard for the Arm 64-bit Architecture", section 6.1.1.
fn is_preserved(processor: super::Processor, number: u16) -> bool {
    match processor {
        super::Processor::X86_64 => matches!(number, 3 | 6 | 12..=15),
        super::Processor::X86 => matches!(number, 3 | 5..=7),
        super::Processor::Aarch64 => matches!(number, 19..=29),
    }
}

struct Frame<'f, 'a> {
    entry: &'f FrameEntry<'a>,
    registers: &'f Registers,
    stack: &'f StackBytes<'f>,
}

impl<'a> Frame<'_, 'a> {
    fn register(&self, register: Register) -> Option<u64> {
        // The column of the return address stands for the instruction pointer, where there is no register for it.
        let is_ip = register.0 == self.entry.return_address_register() && self.registers.processor.lr().is_none();
        if is_ip { Some(self.registers.ip) } else { self.registers.get(register.0) }
    }

    fn read(&self, address: u64) -> Result<u64, Failure> {
        self.read_size(address, self.registers.processor.word())
    }

    fn read_size(&self, address: u64, size: u64) -> Result<u64, Failure> {
        let address = self.registers.processor.address(address);
        self.stack.read(address, size).ok_or(Failure::Memory(address))
    }

    /// Runs an expression; `cfa` is what is on its stack at the beginning.
    fn evaluate(&self, expression: &gimli::UnwindExpression<usize>, cfa: Option<u64>) -> Result<u64, Failure> {
        let senseless = |_| Failure::Senseless;
        let expression = self.entry.expression(expression).ok_or(Failure::Senseless)?;
        let length = expression.0.len();
        let mut evaluation = expression.evaluation(self.entry.encoding());
        // One that runs more operations than it has bytes goes backwards, as only a hostile one does.
        evaluation.set_max_iterations(u32::try_from(length).unwrap_or(u32::MAX));
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let mut result = evaluation.evaluate().map_err(senseless)?;
        // Each turn runs an operation, of which there are so many at most.
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresMemory { address, size, space: None, .. } => {
                    let value = self.read_size(address, u64::from(size.min(8)))?;
                    evaluation.resume_with_memory(Value::Generic(value))
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = self.register(register).ok_or(Failure::Senseless)?;
                    evaluation.resume_with_register(Value::Generic(value))
                }
                _ => return Err(Failure::Senseless),
            }
            .map_err(senseless)?;
        }
        match evaluation.result().first().map(|piece: &gimli::Piece<Bytes<'a>>| &piece.location) {
            Some(Location::Address { address }) => Ok(*address),
            _ => Err(Failure::Senseless),
        }
    }
}
