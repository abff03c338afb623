//! Out of a signal handler on arm64: what returns to the kernel has no call frame information there, or one that loses where the
//! program was interrupted.
//!
//! ```text
//! sp --> siginfo   128 bytes
//!        ucontext  flags, link, stack, mask: 176 bytes with what is kept free
//!                  fault address, x0 to x30, sp, pc
//! ```
//! The kernel's own trampoline has its information commented out, so that unwinders recognise its two instructions
//! (arch/arm64/kernel/vdso/sigreturn.S); musl's is the same two without any. `struct rt_sigframe`: arch/arm64/kernel/signal.c;
//! `struct ucontext`, `struct sigcontext`: arch/arm64/include/uapi/asm/ucontext.h and sigcontext.h.

use super::registers::{Processor, Registers};

/// `mov x8, #139` (`__NR_rt_sigreturn`), `svc #0`.
pub(super) const TRAMPOLINE: [u8; 8] = [0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];
/// Bytes of an instruction.
const INSTRUCTION: usize = 4;
/// From the stack pointer to x0 in the interrupted context.
const CONTEXT: u64 = 128 + 176 + 8;

/// Whether the code at an offset of a file is a trampoline: the byte before it, as a return address to it is looked up, or one of
/// its two instructions.
pub(super) fn is_trampoline(code: &[u8], offset: u64) -> bool {
    let Ok(offset) = usize::try_from(offset) else { return false };
    let stands_at = |start: Option<usize>| {
        let bytes = start.and_then(|start| code.get(start..start.checked_add(TRAMPOLINE.len())?));
        bytes == Some(&TRAMPOLINE[..])
    };
    if is_return(offset as u64) {
        return stands_at(offset.checked_add(1));
    }
    stands_at(Some(offset)) || stands_at(offset.checked_sub(INSTRUCTION))
}

/// Whether an offset is that of a return address as it is looked up: instructions stand at multiples of four.
pub(super) fn is_return(offset: u64) -> bool {
    offset % INSTRUCTION as u64 == INSTRUCTION as u64 - 1
}

/// The registers of who was interrupted, from the frame that the kernel made at `sp`.
///
/// # Errors
/// The address of the word that `read` does not have.
pub(super) fn interrupted<E>(sp: u64, mut read: impl FnMut(u64) -> Result<u64, E>) -> Result<Registers, E> {
    const SP: u16 = Processor::Aarch64.sp();
    let mut word = |number: u16| read(sp.wrapping_add(CONTEXT + u64::from(number) * 8));
    let mut registers = Registers::new(Processor::Aarch64, Processor::Aarch64.address(word(SP + 1)?), word(SP)?);
    for number in 0..SP {
        registers.set(number, Some(word(number)?));
    }
    Ok(registers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trampoline_is_found_from_each_of_its_places() {
        let code = [&[0x1f, 0x20, 0x03, 0xd5][..], &TRAMPOLINE, &[0; 4]].concat();
        let found: Vec<_> = (0..20).filter(|offset| is_trampoline(&code, *offset)).collect();
        assert_eq!(found, [3, 4, 8]);
        assert!(!is_trampoline(&TRAMPOLINE, u64::MAX) && !is_trampoline(&code[..11], 4) && is_trampoline(&code, 3));
    }

    #[test]
    fn registers_are_read_where_the_kernel_puts_them() {
        // `offsetof` of the structures: x0 is 312 bytes from the stack pointer, sp 560, pc 568.
        let registers = interrupted::<()>(0x1000, |address| Ok(address - 0x1000)).unwrap();
        assert_eq!((registers.get(0), registers.get(29), registers.get(30)), (Some(312), Some(544), Some(552)));
        assert_eq!((registers.sp(), registers.ip), (560, 568));
        assert_eq!(interrupted(0x1000, Err::<u64, _>), Err(0x1000 + 568));
    }
}
