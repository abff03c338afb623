//! Code of processes, as lists and records of mappings speak of it.

use std::hash::Hasher;
use std::ops::Range;

use rustc_hash::FxHasher;

use super::OUTSIDE;
use crate::image::{is_deleted_scratch, is_file_path};
use crate::perf::record::{self, CpuMode};

/// What the code of a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// That of a file.
    File {
        /// Major and minor number of its device.
        device: (u32, u32),
        /// Its inode number.
        inode: u64,
        /// Address less file offset.
        bias: u64,
    },
    /// The kernel's own, at its place.
    Vdso {
        /// Its first address.
        start: u64,
    },
    /// Of no file that has tables: what is there is walked without them, whatever it is.
    Other,
}

impl Code {
    /// The code of a mapping as `/proc/PID/maps` or a record of it says.
    pub fn of(path: &[u8], device: (u32, u32), inode: u64, (start, offset): (u64, u64)) -> Code {
        if path == b"[vdso]" {
            return Code::Vdso { start };
        }
        // A JIT keeps its code in such a file, to map it twice.
        match is_file_path(path) && inode != 0 && !is_deleted_scratch(path) {
            true => Code::File { device, inode, bias: start.wrapping_sub(offset) },
            false => Code::Other,
        }
    }
}

/// A range that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where.
    pub range: Range<u64>,
    /// Its code.
    pub code: Code,
    /// The number of its image; 0 of what is no file.
    pub image: u32,
    /// See [`name_of`]; 0 if it was not read as one range.
    pub name: u32,
    /// Just before it was read first, in nanoseconds of `CLOCK_MONOTONIC`.
    pub read: u64,
    /// Just after that.
    pub seen: u64,
}

/// Code that was mapped while it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When, in nanoseconds of the records' clock.
    pub time: u64,
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Its code.
    pub code: Code,
    /// See [`name_of`].
    pub name: u32,
}

impl Change {
    /// What a record says; nothing if it is of no code of a process.
    pub fn of(mmap: &record::Mmap<'_>) -> Option<Change> {
        if !mmap.executable || !matches!(mmap.mode, CpuMode::User | CpuMode::Unknown) || mmap.pid == OUTSIDE {
            return None;
        }
        let (device, inode) = mmap.device_inode.unwrap_or_default();
        let code = Code::of(mmap.path, device, inode, (mmap.start, mmap.offset));
        let end = mmap.start.saturating_add(mmap.length);
        Some(Change { time: mmap.identity.time, start: mmap.start, end, code, name: name_of(mmap.path) })
    }

    pub(super) fn covers(&self, listed: &Listed) -> bool {
        self.start <= listed.range.start && listed.range.end <= self.end
    }
}

/// A number of a file's name, without directories; 0 of none.
pub fn name_of(path: &[u8]) -> u32 {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut hasher = FxHasher::default();
    hasher.write(name);
    // Of an empty one nothing is known.
    if name.is_empty() { 0 } else { hasher.finish() as u32 | 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_apart_by_file_and_place() {
        let of = |path: &[u8], inode, start, offset| Code::of(path, (8, 1), inode, (start, offset));
        assert_eq!(of(b"/lib/x.so", 1, 0x5000, 0x1000), of(b"/lib/x.so", 1, 0x6000, 0x2000));
        assert_ne!(of(b"/lib/x.so", 1, 0x5000, 0x1000), of(b"/lib/x.so", 1, 0x5000, 0x2000));
        assert_ne!(of(b"/lib/x.so", 1, 0x5000, 0x1000), of(b"/lib/x.so", 2, 0x5000, 0x1000));
        assert_eq!(of(b"//anon", 0, 0x5000, 0), Code::Other);
        assert_eq!(of(b"", 0, 0x5000, 0), Code::Other);
        assert_eq!(of(b"/memfd:doublemapper (deleted)", 7, 0x5000, 0), Code::Other);
        assert_eq!(of(b"[vdso]", 0, 0x5000, 0), Code::Vdso { start: 0x5000 });
    }

    #[test]
    fn names_are_without_directories() {
        assert_eq!(name_of(b"/usr/bin/cat"), name_of(b"/cat"));
        assert_eq!(name_of(b"/usr/bin/cat (deleted)"), name_of(b"/cat"));
        assert_ne!(name_of(b"/usr/bin/cat"), name_of(b"/usr/bin/tac"));
        assert_eq!((name_of(b""), name_of(b"/")), (0, 0));
    }
}
