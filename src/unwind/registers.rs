//! What a stack is unwound from.

/// Numbers of the registers in `sample_regs_user`: `arch/x86/include/uapi/asm/perf_regs.h`.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const FP: u32 = 6;
    pub const SP: u32 = 7;
    pub const IP: u32 = 8;
    /// All general registers; the segment registers (12 to 15) are refused with EINVAL.
    pub const MASK: u64 = 0xff_0fff;
}

/// Numbers of the registers in `sample_regs_user`: `arch/arm64/include/uapi/asm/perf_regs.h`.
#[cfg(target_arch = "aarch64")]
mod number {
    pub const FP: u32 = 29;
    pub const LR: u32 = 30;
    pub const SP: u32 = 31;
    pub const IP: u32 = 32;
    pub const MASK: u64 = (1 << 33) - 1;
}

/// Which registers a sample must carry to be unwound (`sample_regs_user`).
pub const REGISTERS_MASK: u64 = number::MASK;

/// The registers that unwinding begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Instruction pointer.
    pub ip: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer.
    pub fp: u64,
    /// Link register, where the architecture has one.
    pub lr: u64,
}

impl Registers {
    /// Takes them from a sample's user registers, which `get` reads by number.
    pub fn from_sample(get: impl Fn(u32) -> Option<u64>) -> Option<Registers> {
        Some(Registers {
            ip: get(number::IP)?,
            sp: get(number::SP)?,
            fp: get(number::FP)?,
            #[cfg(target_arch = "aarch64")]
            lr: get(number::LR)?,
            #[cfg(not(target_arch = "aarch64"))]
            lr: 0,
        })
    }
}

/// A copy of the top of a stack, which begins at the stack pointer.
#[derive(Clone, Copy, Debug, Default)]
pub struct StackBytes<'a> {
    /// Address of the first byte.
    pub start: u64,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Whether the copy is as large as was asked for, so that the stack may go on behind it.
    pub full: bool,
}

impl StackBytes<'_> {
    /// The word at `address`.
    pub fn word(&self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(self.start)?).ok()?;
        let bytes = self.bytes.get(offset..offset.checked_add(8)?)?;
        Some(u64::from_ne_bytes(bytes.try_into().expect("eight bytes")))
    }

    /// Whether `address` lies behind the copy's end, where the stack may go on.
    pub fn is_behind(&self, address: u64) -> bool {
        self.full && address.saturating_add(8) > self.start.saturating_add(self.bytes.len() as u64)
    }
}
