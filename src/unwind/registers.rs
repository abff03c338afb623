//! What a stack is unwound from: the registers of its thread, and a copy of its memory.

/// A kind of processor whose stacks are unwound, as the program that runs on it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Processor {
    /// x86 in 64-bit mode.
    X86_64,
    /// x86 in 32-bit mode.
    X86,
    /// arm64.
    Aarch64,
}

/// Registers by their numbers in DWARF, and where each stands in `sample_regs_user`.
///
/// DWARF: System V ABI, "DWARF Register Number Mapping" (x86-64 figure 3.36, i386 table 2.14), "DWARF for the Arm 64-bit
/// Architecture", section 4.1. perf: `arch/x86/include/uapi/asm/perf_regs.h`, `arch/arm64/include/uapi/asm/perf_regs.h`.
struct Numbers {
    /// By DWARF's number, perf's.
    perf: &'static [u8],
    /// perf's number of the instruction pointer.
    ip: u32,
}

const X86_64: Numbers = Numbers { perf: &[0, 3, 2, 1, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23], ip: 8 };
const X86: Numbers = Numbers { perf: &[0, 2, 3, 1, 7, 6, 4, 5], ip: 8 };
const AARCH64: Numbers = Numbers {
    perf: &[
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
        30, 31,
    ],
    ip: 32,
};

impl Processor {
    /// The one that this program runs on; nothing if its stacks are not unwound.
    pub const HERE: Option<Processor> = if cfg!(target_arch = "x86_64") {
        Some(Processor::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Processor::Aarch64)
    } else {
        None
    };

    /// The one that a machine's name stands for (`uname -m`), for programs of the machine's own width.
    pub fn of_machine(machine: &str) -> Option<Processor> {
        match machine {
            "x86_64" | "amd64" => Some(Processor::X86_64),
            "i386" | "i486" | "i586" | "i686" | "x86" => Some(Processor::X86),
            "aarch64" | "arm64" => Some(Processor::Aarch64),
            _ => None,
        }
    }

    /// What files of code for it say (`e_machine`, elf(5)).
    pub fn machine(self) -> u16 {
        match self {
            Processor::X86_64 => object::elf::EM_X86_64.0,
            Processor::X86 => object::elf::EM_386.0,
            Processor::Aarch64 => object::elf::EM_AARCH64.0,
        }
    }

    /// The one that a program with registers of `abi` sees, on a machine of this kind: `PERF_SAMPLE_REGS_ABI_32` (1) or
    /// `_64` (2).
    pub fn with_abi(self, abi: u64) -> Option<Processor> {
        match (self, abi) {
            (Processor::X86_64 | Processor::X86, 1) => Some(Processor::X86),
            (Processor::X86_64 | Processor::Aarch64, 2) => Some(self),
            _ => None,
        }
    }

    /// Which registers a sample must carry to be unwound (`sample_regs_user`), on a machine of this kind.
    pub const fn registers_mask(self) -> u64 {
        match self {
            // All general ones; the segment registers (12 to 15) are refused with EINVAL.
            Processor::X86_64 => 0xff_0fff,
            Processor::X86 => 0x0fff,
            Processor::Aarch64 => (1 << 33) - 1,
        }
    }

    /// Bytes of an address.
    pub const fn word(self) -> u64 {
        match self {
            Processor::X86_64 | Processor::Aarch64 => 8,
            Processor::X86 => 4,
        }
    }

    /// DWARF's number of the stack pointer.
    pub const fn sp(self) -> u16 {
        match self {
            Processor::X86_64 => 7,
            Processor::X86 => 4,
            Processor::Aarch64 => 31,
        }
    }

    /// DWARF's number of the frame pointer.
    pub const fn fp(self) -> u16 {
        match self {
            Processor::X86_64 => 6,
            Processor::X86 => 5,
            Processor::Aarch64 => 29,
        }
    }

    /// DWARF's number of the register that a call puts the return address into, where there is one.
    pub const fn lr(self) -> Option<u16> {
        match self {
            Processor::X86_64 | Processor::X86 => None,
            Processor::Aarch64 => Some(30),
        }
    }

    /// The address that a stored one means: without the signature that may stand in its upper bits (arm64's PAC; user
    /// addresses have at most 48 bits unless a program asks for more).
    pub const fn address(self, stored: u64) -> u64 {
        match self {
            Processor::X86_64 => stored,
            Processor::X86 => stored & 0xffff_ffff,
            Processor::Aarch64 => stored & 0x0000_ffff_ffff_ffff,
        }
    }

    const fn numbers(self) -> Numbers {
        match self {
            Processor::X86_64 => X86_64,
            Processor::X86 => X86,
            Processor::Aarch64 => AARCH64,
        }
    }
}

/// Which registers a live sample must carry to be unwound (`sample_regs_user`).
pub const REGISTERS_MASK: u64 = match Processor::HERE {
    Some(processor) => processor.registers_mask(),
    None => 0,
};

/// Most registers that are followed.
const COUNT: usize = 32;

/// The registers of one frame, as far as they are known, by DWARF's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Whose they are.
    pub processor: Processor,
    /// Instruction pointer.
    pub ip: u64,
    values: [u64; COUNT],
    /// A bit for each that is known.
    known: u32,
}

impl Registers {
    /// Only these two are known.
    pub fn new(processor: Processor, ip: u64, sp: u64) -> Registers {
        let mut registers = Registers { processor, ip, values: [0; COUNT], known: 0 };
        registers.set(processor.sp(), Some(sp));
        registers
    }

    /// Takes them from a sample's user registers, which `get` reads by perf's number; nothing without instruction and
    /// stack pointer.
    pub fn from_sample(processor: Processor, get: impl Fn(u32) -> Option<u64>) -> Option<Registers> {
        let numbers = processor.numbers();
        let narrow = |value: u64| if processor.word() == 4 { value & 0xffff_ffff } else { value };
        let mut registers = Registers { processor, ip: narrow(get(numbers.ip)?), values: [0; COUNT], known: 0 };
        for (number, perf) in numbers.perf.iter().enumerate() {
            registers.set(number as u16, get(u32::from(*perf)).map(narrow));
        }
        registers.get(processor.sp())?;
        Some(registers)
    }

    /// The register with a number of DWARF's.
    pub fn get(&self, number: u16) -> Option<u64> {
        let bit = 1u32.checked_shl(u32::from(number))?;
        (self.known & bit != 0).then(|| self.values[usize::from(number)])
    }

    /// Sets the register with a number of DWARF's; one that is not followed is passed over.
    pub fn set(&mut self, number: u16, value: Option<u64>) {
        let Some(bit) = 1u32.checked_shl(u32::from(number)) else { return };
        match value {
            Some(value) => {
                self.known |= bit;
                self.values[usize::from(number)] = value;
            }
            None => self.known &= !bit,
        }
    }

    /// The stack pointer.
    pub fn sp(&self) -> u64 {
        self.get(self.processor.sp()).expect("a frame's stack pointer is always known")
    }

    /// The numbers of all that are known.
    pub fn numbers(&self) -> impl Iterator<Item = u16> + use<> {
        let known = self.known;
        (0..COUNT as u16).filter(move |number| known & 1 << number != 0)
    }
}

/// A copy of the top of a stack, which begins at the stack pointer; numbers in it have their lowest byte first.
#[derive(Clone, Copy, Debug, Default)]
pub struct StackBytes<'a> {
    /// Address of the first byte.
    pub start: u64,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Where `rest` begins.
    pub rest_start: u64,
    /// More of the memory, as it was read later: what follows, or another stack.
    pub rest: &'a [u8],
    /// Whether the copy is as large as was asked for, so that the stack may go on behind it.
    pub full: bool,
}

impl StackBytes<'_> {
    /// The word of 8 bytes at `address`.
    #[inline]
    pub fn word(&self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.wrapping_sub(self.start)).ok()?;
        match self.bytes.get(offset..offset.checked_add(8)?) {
            Some(bytes) => Some(u64::from_le_bytes(bytes.try_into().expect("eight bytes"))),
            None => self.behind(address, 8),
        }
    }

    /// The number of `size` bytes, at most 8, at `address`.
    pub fn read(&self, address: u64, size: u64) -> Option<u64> {
        let offset = usize::try_from(address.wrapping_sub(self.start)).ok()?;
        match self.bytes.get(offset..offset.checked_add(usize::try_from(size).ok()?)?) {
            Some(bytes) => Some(number(bytes)),
            None => self.behind(address, size),
        }
    }

    /// Of what was read later; a number that stands across the border is put together.
    #[cold]
    fn behind(&self, address: u64, size: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        for (at, byte) in (0..size.min(8)).zip(&mut bytes) {
            let address = address.checked_add(at)?;
            let get = |start: u64, bytes: &[u8]| bytes.get(usize::try_from(address.checked_sub(start)?).ok()?).copied();
            *byte = get(self.start, self.bytes).or_else(|| get(self.rest_start, self.rest))?;
        }
        Some(u64::from_le_bytes(bytes))
    }

    /// Whether `address` lies behind the end of the copy, where the stack may go on.
    pub fn is_behind(&self, address: u64) -> bool {
        self.full && address.saturating_add(8) > self.end()
    }

    /// One past the last address of the copy.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }

    /// Whether `address` is of the copy, or of what was read later.
    pub fn holds(&self, address: u64) -> bool {
        let inside = |start: u64, bytes: &[u8]| address.wrapping_sub(start) < bytes.len() as u64;
        inside(self.start, self.bytes) || inside(self.rest_start, self.rest)
    }
}

fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    let count = bytes.len().min(8);
    all[..count].copy_from_slice(&bytes[..count]);
    u64::from_le_bytes(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_stand_at_dwarfs_numbers() {
        let mask = Processor::X86_64.registers_mask();
        let by_perf = |number: u32| (mask & 1 << number != 0).then_some(u64::from(number) << 32 | 0x100);
        let registers = Registers::from_sample(Processor::X86_64, by_perf).unwrap();
        assert_eq!((registers.ip >> 32, registers.sp() >> 32), (8, 7));
        // rbx is 3 in DWARF and 1 in perf, r15 15 and 23.
        assert_eq!((registers.get(3).unwrap() >> 32, registers.get(15).unwrap() >> 32), (1, 23));
        assert_eq!(registers.numbers().count(), 16);
        let narrow = Registers::from_sample(Processor::X86, by_perf).unwrap();
        assert_eq!((narrow.ip, narrow.get(6), narrow.get(8)), (0x100, Some(0x100), None));
        assert_eq!(Registers::from_sample(Processor::Aarch64, by_perf), None);
    }

    #[test]
    fn what_was_read_later_follows_the_copy() {
        let bytes: Vec<u8> = (0..24).collect();
        let start = 0x1000;
        let stack = StackBytes { start, bytes: &bytes[..12], rest_start: 0x100c, rest: &bytes[12..], full: true };
        let whole = StackBytes { start, bytes: &bytes, full: true, ..StackBytes::default() };
        for address in 0xff0..0x1020 {
            assert_eq!(stack.word(address), whole.word(address), "{address:x}");
            assert_eq!(stack.read(address, 4), whole.read(address, 4), "{address:x}");
        }
        assert_eq!((stack.word(0x1010), stack.word(0x1011), whole.end()), (whole.word(0x1010), None, 0x1018));
        assert!(whole.is_behind(0x1011) && !whole.is_behind(0x1010) && stack.word(u64::MAX).is_none());
        assert!(stack.holds(0x1017) && !stack.holds(0x1018) && !stack.holds(0xfff));
    }
}
