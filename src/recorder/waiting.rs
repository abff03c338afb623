//! The stacks of threads that wait already when a recording begins: read once, from outside.
//!
//! What of a thread's registers is needed comes from a BPF program, or as far as `/proc` tells: where it is in user mode, and its
//! stack pointer. The memory of the process gives the rest, and is that of this wait if the thread is still where it was
//! afterwards.

use std::fs;

use super::Recorder;
use crate::model::{CodeAddress, FoundBy, FrameKind, ProfileBuilder, StackEnd, StackId, Truncation};
use crate::process::proc;
use crate::unwind::{Processor, Registers, StackBytes, WalkedFrame};

/// So much of a stack is read first,
const FIRST_READ: usize = 16 << 10;
/// and so much at most.
const MOST_READ: usize = 2 << 20;

/// A stack as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its innermost frame, and so all.
    pub stack: StackId,
    /// How it ends.
    pub end: StackEnd,
}

/// Where a thread waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitingThread<'a> {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// The kernel's part of its stack, innermost first.
    pub kernel: &'a [u64],
    /// What it had in its registers when it went into the kernel; nothing of a kernel thread.
    pub registers: Option<Registers>,
}

impl WaitingThread<'_> {
    fn is_there(&self, registers: &Registers) -> bool {
        place_of(self.pid, self.tid).is_some_and(|(sp, ip)| (sp, ip) == (registers.sp(), registers.ip))
    }
}

impl Recorder {
    /// The stack at which a thread waits whose registers are known.
    pub fn stack_of_waiting_at(&mut self, waiting: &WaitingThread<'_>) -> Found {
        let mut frames: Vec<WalkedFrame> = Vec::new();
        let space = &self.processes.kernel.modules;
        for (at, word) in waiting.kernel.iter().enumerate() {
            let address = if at == 0 { Some(CodeAddress::Ip(*word)) } else { CodeAddress::from_return(*word) };
            let address = address.unwrap_or(CodeAddress::Ip(*word));
            frames.push(WalkedFrame::at(space, ProfileBuilder::KERNEL, address, FoundBy::Kernel));
        }
        let end = match waiting.registers {
            Some(registers) => self.user_part(waiting, &registers, &mut frames),
            None => StackEnd::Root,
        };
        Found { stack: self.stack(&frames), end }
    }

    /// The user part of the stack; what changed while it was read is left out.
    fn user_part(
        &mut self,
        waiting: &WaitingThread<'_>,
        registers: &Registers,
        frames: &mut Vec<WalkedFrame>,
    ) -> StackEnd {
        let cut = StackEnd::Truncated(Truncation::Unreadable);
        let Some(process) = self.processes.followed(waiting.pid) else { return cut };
        let space = process.space.clone();
        let Some(waits) = &mut self.waits else { return cut };
        let (first, sp) = (frames.len(), registers.sp());
        let mut bytes = Vec::new();
        let mut size = FIRST_READ;
        loop {
            bytes.resize(size, 0);
            let read = waits.memory.read(waiting.pid, sp, &mut bytes);
            bytes.truncate(read);
            let stack = StackBytes { start: sp, bytes: &bytes, full: read == size, ..StackBytes::default() };
            frames.truncate(first);
            let end = self.unwinders[0].unwind(&space, &self.images, registers, &stack, frames);
            if end == StackEnd::Truncated(Truncation::StackCopy) && size < MOST_READ {
                size *= 4;
                continue;
            }
            if !waiting.is_there(registers) {
                frames.truncate(first);
                return cut;
            }
            return end;
        }
    }

    /// The stack at which a thread waits, as far as `/proc` tells: the kernel's part by its names, for whoever may see them.
    pub(super) fn stack_of_waiting(&mut self, pid: u32, tid: u32) -> Found {
        let registers = place_of(pid, tid).zip(Processor::HERE);
        let registers = registers.map(|((sp, ip), processor)| Registers::new(processor, ip, sp));
        let kernel = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stack")).unwrap_or_default();
        let is_kernel_thread = proc::maps(pid).is_ok_and(|maps| maps.is_empty());
        let Found { mut stack, end } = match (registers, is_kernel_thread) {
            (None, false) => Found { stack: StackId(0), end: StackEnd::Truncated(Truncation::NoRegisters) },
            (_, true) => Found { stack: StackId(0), end: StackEnd::Root },
            (registers, false) => self.stack_of_waiting_at(&WaitingThread { pid, tid, kernel: &[], registers }),
        };
        let names: Vec<&str> = kernel.lines().filter_map(kernel_name).collect();
        for name in names.iter().rev() {
            let frame = self.builder.name_frame(name, FrameKind::Kernel);
            stack = self.builder.stack(stack, frame);
        }
        Found { stack, end }
    }
}

/// The stack pointer and the place in user mode of a thread that waits (`proc_pid_syscall(5)`).
fn place_of(pid: u32, tid: u32) -> Option<(u64, u64)> {
    parse_place(&fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).ok()?)
}

/// The last two words: of a call its number and arguments stand before them, else -1.
fn parse_place(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_ascii_whitespace().rev();
    let mut number = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let (ip, sp) = (number()?, number()?);
    (ip != 0 && sp != 0).then_some((sp, ip))
}

/// The function of a line of `/proc/PID/stack`: `[<0>] do_epoll_wait+0x5a1/0x710`.
fn kernel_name(line: &str) -> Option<&str> {
    let name = line.split_once("] ")?.1;
    let name = name.split_once('+').map_or(name, |(name, _)| name).trim();
    // How old kernels end it.
    (!name.is_empty() && !name.starts_with("0x")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_in_the_last_words() {
        let call = "232 0x5 0x7ffc00 0x40 0xffffffff 0x0 0x8 0x7ffe1234 0x7f0055\n";
        assert_eq!(parse_place(call), Some((0x7ffe_1234, 0x7f_0055)));
        assert_eq!(parse_place("-1 0x7ffe1234 0x7f0055\n"), Some((0x7ffe_1234, 0x7f_0055)));
        for nothing in ["running\n", "", "0 0x0 0x0", "-1 0x0 0x0"] {
            assert_eq!(parse_place(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn names_of_the_kernel_are_taken_from_lines() {
        assert_eq!(kernel_name("[<0>] do_epoll_wait+0x5a1/0x710"), Some("do_epoll_wait"));
        assert_eq!(kernel_name("[<ffffffff8100>] ext4_read+0x1/0x2 [ext4]"), Some("ext4_read"));
        assert_eq!(kernel_name("[<ffffffffffffffff>] 0xffffffffffffffff"), None);
        assert_eq!(kernel_name("junk"), None);
    }
}
