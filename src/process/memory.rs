//! Reads the memory of processes that run: `/proc/PID/mem`, see `proc_pid_mem(5)`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use rustc_hash::FxHashMap;

use super::proc;

/// So many processes' memory is kept open.
const MOST_OPEN: usize = 64;

/// The memory of processes, each opened once.
///
/// What is open stays with the program that ran then: after an exec, or the process's end, nothing more is read from it.
#[derive(Debug, Default)]
pub struct ProcessMemory {
    /// By pid; nothing for one that cannot be opened.
    files: FxHashMap<u32, Option<File>>,
    /// In the order in which they were opened.
    order: VecDeque<u32>,
    denied: bool,
}

impl ProcessMemory {
    /// Reads what is at `address` of process `pid` into `bytes`, as far as it can be; says how many bytes that were.
    pub fn read(&mut self, pid: u32, address: u64, bytes: &mut [u8]) -> usize {
        let Some(file) = self.file(pid) else { return 0 };
        let mut count = 0;
        while count < bytes.len() {
            let Some(at) = address.checked_add(count as u64) else { break };
            match file.read_at(&mut bytes[count..], at) {
                Ok(0) => break,
                Ok(read) => count += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nothing is mapped there.
                Err(_) => break,
            }
        }
        count
    }

    /// The process is another program now, or gone.
    pub fn forget(&mut self, pid: u32) {
        if self.files.remove(&pid).is_some() {
            self.order.retain(|known| *known != pid);
        }
    }

    /// Whether the memory of a process was not ours to read (`ptrace(2)`, "Ptrace access mode checking").
    pub fn was_denied(&self) -> bool {
        self.denied
    }

    fn file(&mut self, pid: u32) -> Option<&File> {
        if !self.files.contains_key(&pid) {
            if self.order.len() >= MOST_OPEN
                && let Some(oldest) = self.order.pop_front()
            {
                self.files.remove(&oldest);
            }
            let file = proc::open_memory(pid);
            self.denied |= file.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
            self.files.insert(pid, file.ok());
            self.order.push_back(pid);
        }
        self.files.get(&pid)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_is_read_as_far_as_it_is_mapped() {
        let own = std::process::id();
        let mut memory = ProcessMemory::default();
        let words: Vec<u64> = (0..1000).collect();
        let mut bytes = [0; 16];
        assert_eq!(memory.read(own, words.as_ptr().addr() as u64 + 8 * 500, &mut bytes), 16);
        assert_eq!(u64::from_ne_bytes(*bytes.first_chunk().unwrap()), 500);
        for nowhere in [0, 1 << 62, u64::MAX - 3] {
            assert_eq!(memory.read(own, nowhere, &mut bytes), 0, "{nowhere:x}");
        }
        assert!(!memory.was_denied());
    }

    #[test]
    fn few_are_open_and_those_gone_give_nothing() {
        let mut memory = ProcessMemory::default();
        for pid in 0..1000 {
            assert_eq!(memory.read(u32::MAX - pid, 4096, &mut [0; 8]), 0);
        }
        assert!(memory.files.len() == MOST_OPEN && memory.order.len() == MOST_OPEN);
        memory.forget(u32::MAX - 999);
        assert!(memory.files.len() == MOST_OPEN - 1 && memory.order.len() == MOST_OPEN - 1);
    }
}
