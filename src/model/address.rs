//! Addresses, build ids and times, with their meaning in the type.

use std::fmt;
use std::num::NonZeroU64;

/// The processor's mode when a frame was on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// The program.
    User,
    /// The operating system's kernel.
    Kernel,
}

/// A code address as it was found on a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodeAddress {
    /// The instruction pointer itself: of the innermost frame, or of one that a signal interrupted.
    Ip(u64),
    /// A return address: the instruction *after* the call.
    Return(NonZeroU64),
}

impl CodeAddress {
    /// The address to look names and unwind rules up with.
    ///
    /// For a return address that is one byte back, inside the call: a call to a `noreturn` function may be the last
    /// instruction of its function, and the return address then belongs to the next one. No other place of the house
    /// subtracts.
    pub fn lookup(self) -> u64 {
        match self {
            CodeAddress::Ip(ip) => ip,
            CodeAddress::Return(address) => address.get() - 1,
        }
    }

    /// A return address, or nothing if it is zero.
    pub fn from_return(address: u64) -> Option<CodeAddress> {
        NonZeroU64::new(address).map(CodeAddress::Return)
    }
}

/// What identifies the contents of an ELF file: the descriptor of its `NT_GNU_BUILD_ID` note (at most 20 bytes).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BuildId {
    length: u8,
    bytes: [u8; 20],
}

impl BuildId {
    /// A build id of 1 to 20 bytes; longer ones are cut as the kernel cuts them (`BUILD_ID_SIZE_MAX`,
    /// `include/linux/buildid.h`), an empty or all-zero one is none.
    pub fn new(id: &[u8]) -> Option<BuildId> {
        let id = &id[..id.len().min(20)];
        if id.iter().all(|byte| *byte == 0) {
            return None;
        }
        let mut bytes = [0; 20];
        bytes[..id.len()].copy_from_slice(id);
        Some(BuildId { length: id.len() as u8, bytes })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildId({self})")
    }
}

/// A time in nanoseconds on the recording's clock (`CLOCK_MONOTONIC` for our own recordings).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Nobody knows when it was, or it is of no moment: a sum. Clocks of recordings begin long before their first sample.
    pub const UNKNOWN: Timestamp = Timestamp(0);
}
