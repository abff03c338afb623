//! Perf maps: `/tmp/perf-PID.map`, a line for each piece of code, `START SIZE name` in hex, read while they are written.
//!
//! See tools/perf/Documentation/jit-interface.txt. The lines have no times. So a map is looked at again and again while its
//! process is recorded, and what is new is taken to have come when the file was last written to:
//!
//! ```text
//! look        look             look              look
//! --|----------|-----*----------|-----------------|-->   what was there at the first look: it has always been so
//!   old lines        new lines are of this time          the map begins anew (Java writes it whole): the lines before end
//! ```
//! Of code that is replaced twice between two looks the first one's time is a guess, and so is whose the address was before
//! its first line.
//!
//! The file is written by the process, so it is believed about the process's own code only, and only if its user (or root)
//! owns it: `/tmp` is everybody's.

use std::fs::{File, Metadata};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, statat};
use rustix::time::{ClockId, clock_gettime};

use super::as_seen::open_in_root;
use super::code_history::{CodeHistory, Piece};

/// Most bytes of names that are kept of a map, and most lines; of a larger one only the end of the recording is known.
const MOST_TEXT: usize = 64 << 20;
const MOST_LINES: usize = 1 << 20;
/// Longest line; what is longer is cut, as a name has no use for more.
const MOST_LINE: usize = 4 << 10;
/// Most bytes that are read of one map in all, as one that is written anew is read anew; a large server's takes some tens of megabytes.
const MOST_BYTES: u64 = 512 << 20;
/// So many bytes are read at a time; no line is longer.
const CHUNK: usize = 1 << 20;
/// So many bytes before the place where reading stopped are compared, and at the beginning.
const PROOF: usize = 1 << 10;

/// A line of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerfMapLine<'a> {
    /// First address.
    pub start: u64,
    /// Bytes of code, at least one.
    pub size: u64,
    /// The name, as the process has written it.
    pub name: &'a [u8],
}

/// Reads a line; nothing if it is none.
pub fn parse_line(line: &[u8]) -> Option<PerfMapLine<'_>> {
    let (start, rest) = hex(line.trim_ascii_start())?;
    let (size, name) = hex(rest.trim_ascii_start())?;
    let name = name.strip_prefix(b" ").unwrap_or(name).trim_ascii();
    (size > 0 && !name.is_empty()).then_some(PerfMapLine { start, size, name })
}

/// A hexadecimal number, with `0x` as some runtimes write it, and what follows.
fn hex(text: &[u8]) -> Option<(u64, &[u8])> {
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    let digits = text.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
        return None;
    }
    Some((u64::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()?, rest))
}

/// Opens the map that a process wrote where it lives (`root`, by its own id), or that somebody put where we live (by its id
/// here); it must be of user `uid` or of root, and last written to when the process `may_have_written` it, seconds since 1970: ids
/// come round, and an earlier process's map says nothing.
pub fn open_perf_map(
    root: BorrowedFd<'_>,
    own_pid: u32,
    pid: u32,
    uid: u32,
    may_have_written: impl Fn(i64) -> bool,
) -> Option<File> {
    let is_its = |facts: &Metadata| (facts.uid() == uid || facts.uid() == 0) && may_have_written(facts.mtime());
    open_if(root, own_pid, &is_its).or_else(|| open_if(File::open("/").ok()?.as_fd(), pid, &is_its))
}

fn open_if(root: BorrowedFd<'_>, pid: u32, is_its: &dyn Fn(&Metadata) -> bool) -> Option<File> {
    let file = open_in_root(root, Path::new(&format!("/tmp/perf-{pid}.map"))).ok()?;
    file.metadata().is_ok_and(|facts| is_its(&facts)).then_some(file)
}

/// Why a map that stands where [`open_perf_map`] looks is not used: a sentence; nothing if there is none, or it can be used.
///
/// `may_have_written` tells whether the process lived at a time, in seconds since 1970.
pub fn why_unused(
    root: BorrowedFd<'_>,
    own_pid: u32,
    pid: u32,
    uid: u32,
    may_have_written: impl Fn(i64) -> bool,
) -> Option<String> {
    let why = |root: BorrowedFd<'_>, pid: u32| {
        let path = format!("/tmp/perf-{pid}.map");
        let why = match open_in_root(root, Path::new(&path)) {
            Ok(file) => {
                let facts = file.metadata().ok()?;
                let owner = facts.uid();
                if owner != uid && owner != 0 {
                    format!("it belongs to uid {owner}, the process to uid {uid}")
                } else if !may_have_written(facts.mtime()) {
                    "it is older than the process".to_owned()
                } else {
                    return None;
                }
            }
            Err(error) => {
                let facts = statat(root, path.trim_start_matches('/'), AtFlags::SYMLINK_NOFOLLOW).ok()?;
                match FileType::from_raw_mode(facts.st_mode) {
                    FileType::Symlink => "it is a link that leads to no file".to_owned(),
                    FileType::RegularFile => format!("it cannot be read ({error})"),
                    _ => "it is no file".to_owned(),
                }
            }
        };
        Some(format!("{path} is not used: {why}"))
    };
    why(root, own_pid).or_else(|| why(File::open("/").ok()?.as_fd(), pid))
}

/// What a perf map has said so far.
#[derive(Debug, Default)]
pub struct PerfMap {
    history: CodeHistory,
    text: Vec<u8>,
    /// Which file it was, and how far it has been read.
    file: Option<(u64, u64)>,
    read: u64,
    /// How much has been read, of all that it was.
    read_in_all: u64,
    /// The first bytes, and those before `read`.
    proof: [Vec<u8>; 2],
    looked: Option<u64>,
    seen: Option<(i64, i64, u64)>,
    is_too_large: bool,
}

/// Where a name is in the text: 32 bits of place, then of length.
fn value_of(place: usize, length: usize) -> u64 {
    (place as u64) << 32 | length as u64
}

impl PerfMap {
    /// Reads what has come since the last look.
    ///
    /// # Errors
    /// Those of reading; what was read before stays.
    pub fn look(&mut self, file: &File) -> std::io::Result<()> {
        let nanoseconds = |clock| {
            let time = clock_gettime(clock);
            i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
        };
        let facts = file.metadata()?;
        let seen = (facts.mtime(), facts.mtime_nsec(), facts.len());
        let identity = (facts.dev(), facts.ino());
        let (now, unix) = (nanoseconds(ClockId::Monotonic), nanoseconds(ClockId::Realtime));
        let looked = u64::try_from(now).unwrap_or(0);
        if self.is_too_large || self.seen == Some(seen) && self.file == Some(identity) {
            self.looked = Some(looked);
            return Ok(());
        }
        let written = |facts: &Metadata| {
            let written = i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec());
            u64::try_from(now - (unix - written)).unwrap_or(0)
        };
        // A clock that was set, or times that somebody has set, change nothing but within the time between two looks.
        let before = self.looked;
        let time = |facts: &Metadata| before.map_or(0, |before| written(facts).max(before));
        let first = self.history.len();
        self.read_on(file, identity, facts.len(), time(&facts))?;
        // What came while it was read is of that time.
        let later = time(&file.metadata()?);
        self.history.came_later(first, later);
        self.seen = Some(seen);
        self.looked = Some(looked);
        Ok(())
    }

    fn read_on(&mut self, file: &File, identity: (u64, u64), length: u64, time: u64) -> std::io::Result<()> {
        if self.read > 0 && (self.file != Some(identity) || length < self.read || !self.is_continued(file)?) {
            self.history.end_all(time);
            self.read = 0;
        }
        self.file = Some(identity);
        loop {
            let mut bytes = vec![0; CHUNK];
            let mut filled = 0;
            while filled < CHUNK {
                match file.read_at(&mut bytes[filled..], self.read + filled as u64)? {
                    0 => break,
                    count => filled += count,
                }
            }
            bytes.truncate(filled);
            // What follows the last end of a line may be in the middle of being written.
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            self.read_in_all += whole as u64;
            if whole == 0 && filled == CHUNK || self.read_in_all > MOST_BYTES {
                self.give_up();
            }
            if whole == 0 || self.is_too_large {
                return Ok(());
            }
            self.take(&bytes[..whole], time);
            if self.read == 0 {
                self.proof[0] = bytes[..whole.min(PROOF)].to_vec();
            }
            self.proof[1] = bytes[whole.saturating_sub(PROOF)..whole].to_vec();
            self.read += whole as u64;
        }
    }

    /// Whether what was read still stands there.
    fn is_continued(&self, file: &File) -> std::io::Result<bool> {
        let [first, last] = &self.proof;
        for (at, known) in [(0, first), (self.read - last.len() as u64, last)] {
            let mut bytes = vec![0; known.len()];
            if file.read_at(&mut bytes, at)? != known.len() || bytes != *known {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes in whole lines that came at a time; 0 if they have always been there.
    pub fn take(&mut self, bytes: &[u8], time: u64) {
        for line in bytes.split(|byte| *byte == b'\n') {
            let Some(PerfMapLine { start, size, name }) = parse_line(&line[..line.len().min(MOST_LINE)]) else {
                continue;
            };
            if self.history.len() >= MOST_LINES || self.text.len() + name.len() > MOST_TEXT {
                return self.give_up();
            }
            let end = start.saturating_add(size);
            if let Some(row) = self.history.latest_row(start) {
                let known = *self.history.piece_mut(row);
                if (known.start, known.end) == (start, end) && self.name(&known) == name {
                    // Said again: it is there still.
                    let known = self.history.piece_mut(row);
                    known.until = u64::MAX;
                    continue;
                }
            }
            let value = value_of(self.text.len(), name.len());
            self.text.extend_from_slice(name);
            self.history.add(start, end, time, value);
        }
    }

    /// What was where, and when.
    pub fn history(&self) -> &CodeHistory {
        &self.history
    }

    /// Ends the looking: makes the history ready to be asked.
    pub fn settle(&mut self) {
        self.history.settle();
    }

    /// The name of a piece of the history.
    pub fn name(&self, piece: &Piece) -> &[u8] {
        let (place, length) = ((piece.value >> 32) as usize, (piece.value & 0xffff_ffff) as usize);
        self.text.get(place..place + length).unwrap_or_default()
    }

    /// How much memory it takes, about.
    pub fn memory(&self) -> usize {
        /// A piece, and what leads to it.
        const PIECE: usize = 96;
        self.text.capacity() + self.history.len() * PIECE
    }

    /// Forgets all that was read, and reads no more: it takes too much.
    pub fn give_up(&mut self) {
        *self = PerfMap { is_too_large: true, ..PerfMap::default() };
    }

    /// Whether the map is larger than what is kept of one: then what is known is not all.
    pub fn is_too_large(&self) -> bool {
        self.is_too_large
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(map: &mut PerfMap, address: u64) -> Vec<(u64, u64, String)> {
        map.settle();
        let name = |piece: &Piece| String::from_utf8_lossy(map.name(piece)).into_owned();
        map.history().pieces_at(address).map(|piece| (piece.begin, piece.until, name(piece))).collect()
    }

    fn named(begin: u64, until: u64, name: &str) -> (u64, u64, String) {
        (begin, until, name.to_owned())
    }

    #[test]
    fn bad_lines_are_none() {
        for line in [
            &b""[..],
            b"\xff\xfe",
            b"1000",
            b"1000 zz x",
            b"1000 10",
            b"1000 0 nothing",
            b"1000,10 x",
            b"fffffffffffffffff 1 long",
        ] {
            assert_eq!(parse_line(line), None);
        }
        let line = PerfMapLine { start: 0x1000, size: 16, name: b"new name (1)" };
        assert_eq!(parse_line(b"0x1000 0x10 new name (1)\r"), Some(line));
    }

    #[test]
    fn old_map_does_not_hide_that_of_the_host() {
        /// An id that no process has (`PID_MAX_LIMIT` of the kernel's include/linux/threads.h is lower).
        const NO_PID: u32 = u32::MAX - 7;
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("tmp")).unwrap();
        let host_pid = NO_PID - std::process::id();
        let old = File::create(root.path().join(format!("tmp/perf-{NO_PID}.map"))).unwrap();
        old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000)).unwrap();
        let name = format!("perf-{host_pid}.map");
        let mut of_host = tempfile::Builder::new().prefix(&name).rand_bytes(0).tempfile_in("/tmp").unwrap();
        of_host.write_all(b"1000 10 a\n").unwrap();
        let root = File::open(root.path()).unwrap();
        let uid = old.metadata().unwrap().uid();
        let length = |since: i64| {
            let file = open_perf_map(root.as_fd(), NO_PID, host_pid, uid, |written| written >= since)?;
            Some(file.metadata().unwrap().len())
        };
        assert_eq!([length(1000), length(1001), length(i64::MAX)], [Some(0), Some(10), None]);
    }

    #[test]
    fn growing_map_is_read_on_and_replaced_code_keeps_its_time() {
        let mut file = tempfile::tempfile().unwrap();
        let mut map = PerfMap::default();
        let look = |map: &mut PerfMap, file: &File, time| {
            let length = file.metadata().unwrap().len();
            map.read_on(file, (1, 1), length, time).unwrap();
        };
        file.write_all(b"1000 10 a\n2000 10 b\n3000 1").unwrap();
        look(&mut map, &file, 0);
        file.write_all(b"0 c\n1000 20 a2\n").unwrap();
        look(&mut map, &file, 70);
        look(&mut map, &file, 90);
        file.write_all(b"1000 20 a2\n").unwrap();
        look(&mut map, &file, 95);
        assert_eq!(names(&mut map, 0x1008), [named(0, u64::MAX, "a"), named(70, u64::MAX, "a2")]);
        assert_eq!(names(&mut map, 0x1018), [named(70, u64::MAX, "a2")]);
        assert_eq!(names(&mut map, 0x3000), [named(70, u64::MAX, "c")]);
        assert_eq!(map.history().len(), 4);
    }

    #[test]
    fn rewritten_map_ends_what_it_no_longer_has() {
        let mut file = tempfile::tempfile().unwrap();
        let mut map = PerfMap::default();
        let look = |map: &mut PerfMap, file: &File, time| {
            let length = file.metadata().unwrap().len();
            map.read_on(file, (1, 1), length, time).unwrap();
        };
        file.write_all(b"1000 10 a\n2000 10 b\n").unwrap();
        look(&mut map, &file, 0);
        file.set_len(0).unwrap();
        // Longer than before, as a program's code grows.
        file.write_at(b"2000 10 b\n3000 10 c\n4000 10 d\n", 0).unwrap();
        look(&mut map, &file, 50);
        assert_eq!(names(&mut map, 0x1000), [named(0, 50, "a")]);
        assert_eq!(names(&mut map, 0x2000), [named(0, u64::MAX, "b")]);
        assert_eq!(names(&mut map, 0x4000), [named(50, u64::MAX, "d")]);
    }

    #[test]
    fn junk_is_read_in_bounded_memory() {
        let mut map = PerfMap::default();
        let mut junk = b"10 10 before\n20 10 ".to_vec();
        junk.extend(std::iter::repeat_n(b'n', 1 << 20));
        junk.extend_from_slice(b"\n30 10 after\n");
        map.take(&junk, 0);
        assert!(map.text.len() < 2 * MOST_LINE);
        assert_eq!(names(&mut map, 0x30), [named(0, u64::MAX, "after")]);
    }

    #[test]
    fn map_that_is_not_used_has_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let root = File::open(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("tmp")).unwrap();
        let map = folder.path().join("tmp/perf-7.map");
        let uid = rustix::process::geteuid().as_raw();
        // No process of ours has an id as large, so nothing stands in our own `/tmp`.
        let why = |uid, lived: bool| why_unused(root.as_fd(), 7, u32::MAX, uid, |_| lived);
        assert_eq!(why(uid, true), None, "there is none");
        std::fs::write(&map, "10 10 name\n").unwrap();
        assert_eq!(why(uid, true), None, "it can be used");
        let told = "/tmp/perf-7.map is not used: ";
        assert_eq!(why(uid, false), Some(format!("{told}it is older than the process")));
        if uid != 0 {
            let owner = format!("{told}it belongs to uid {uid}, the process to uid {}", uid + 1);
            assert_eq!(why(uid + 1, true), Some(owner));
        }
        std::fs::remove_file(&map).unwrap();
        std::os::unix::fs::symlink("/nothing/here", &map).unwrap();
        assert_eq!(why(uid, true), Some(format!("{told}it is a link that leads to no file")));
        std::fs::remove_file(&map).unwrap();
        rustix::fs::mknodat(&root, "tmp/perf-7.map", FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        assert_eq!(why(uid, true), Some(format!("{told}it is no file")));
    }
}
