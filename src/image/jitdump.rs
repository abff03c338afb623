//! The dump that a JIT writes of its code while it runs: `jit-PID.dump`.
//!
//! ```text
//! header   magic (which also tells the byte order), processor, pid, when, flags
//! record   LOAD: where, when, name, the code itself   MOVE: from where to where
//!          DEBUG_INFO, UNWINDING_INFO: lines and call frame information of the LOAD that follows   CLOSE
//! ```
//!
//! Each record tells its size, so unknown ones are passed over, and a file that is still written to ends in a part of
//! one: of a process that runs it is read on as it grows, see [`JitDump::follow`]. See tools/perf/Documentation/jitdump-specification.txt and tools/perf/util/jitdump.h of the kernel's sources.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustc_hash::FxHashMap;

use super::code_history::CodeHistory;
use super::frame_tables::{FrameEntry, FrameTables};
use super::mapped_file::MappedFile;

/// A JIT's dump, read.
#[derive(Debug)]
pub struct JitDump {
    bytes: Bytes,
    /// Of a dump that may grow.
    followed: Option<Followed>,
    /// Where the next record is; nothing as long as there is no header.
    next: Option<usize>,
    big: bool,
    pending: Pending,
    pid: u32,
    machine: u32,
    created: u64,
    arch_timestamps: bool,
    /// As they stand in the file, so sorted by offset.
    loads: Vec<JitCode>,
    /// Rows of `loads`, by time.
    by_time: Vec<u32>,
    moves: Vec<JitMove>,
    lines: Vec<Entry>,
    /// By row of `loads`.
    unwinding: FxHashMap<u32, Box<FrameTables>>,
    unwinding_infos: u64,
    unknown: u64,
    stopped_at: Option<u64>,
}

/// What is needed to read on, and to know which code was where.
#[derive(Debug)]
struct Followed {
    file: File,
    length: u64,
    /// Where code was put when; the value of a piece is its offset in the dump.
    history: CodeHistory,
    /// Rows of loads.
    by_index: FxHashMap<u64, u32>,
}

#[derive(Debug)]
enum Bytes {
    Mapped(MappedFile),
    Owned(Box<[u8]>),
}

/// A function that was put into memory (`JIT_CODE_LOAD`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JitCode {
    /// When, on the dump's clock, see [`JitDump::arch_timestamps`].
    pub time: u64,
    /// The process, as it knows itself.
    pub pid: u32,
    /// The thread that made the code.
    pub tid: u32,
    /// Where its code begins in memory.
    pub address: u64,
    /// How many bytes of code, at least one.
    pub size: u64,
    /// Where in the dump the code's bytes are.
    pub offset: u64,
    /// Which number the JIT gave it; a [`JitMove`] refers to it.
    pub index: u64,
    name: Range<usize>,
    lines: Range<u32>,
}

/// A function that was moved to another place in memory (`JIT_CODE_MOVE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitMove {
    /// When, on the dump's clock.
    pub time: u64,
    /// The process, as it knows itself.
    pub pid: u32,
    /// The thread that moved it.
    pub tid: u32,
    /// Where it was.
    pub old_address: u64,
    /// Where it is now.
    pub address: u64,
    /// How many bytes of code, at least one.
    pub size: u64,
    /// Which [`JitCode::index`] it has.
    pub index: u64,
}

/// What a dump says of one place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitLine<'a> {
    /// The function.
    pub name: &'a [u8],
    /// The source file; empty if not known.
    pub file: &'a [u8],
    /// The line in it; 0 if not known.
    pub line: u32,
}

/// From `offset` in the dump on, code is of this line.
#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: u64,
    /// Where the file's name begins.
    file: usize,
    line: u32,
}

const HEADER: usize = 40;
const RECORD_HEADER: usize = 16;
/// `JITDUMP_FLAGS_ARCH_TIMESTAMP`.
const ARCH_TIMESTAMP: u64 = 1;
/// Longest name that is taken; what is longer is cut.
const MOST_NAME: usize = 4 << 10;

impl JitDump {
    /// Reads a dump; `None` if it is none, or of a version that came after the first.
    pub fn read(file: MappedFile) -> Option<JitDump> {
        read(Bytes::Mapped(file))
    }

    /// Reads the dump of a process that runs, and may not have written its header yet; [`JitDump::grow`] reads on.
    ///
    /// # Errors
    /// Those of mapping the file.
    pub fn follow(file: File) -> io::Result<JitDump> {
        let followed = Followed { file, length: 0, history: CodeHistory::default(), by_index: FxHashMap::default() };
        let mut dump = JitDump { followed: Some(followed), ..JitDump::empty(Bytes::Owned(Box::default())) };
        dump.grow()?;
        Ok(dump)
    }

    /// Reads what its process has written since.
    ///
    /// # Errors
    /// Those of mapping the file; what was read before stays.
    pub fn grow(&mut self) -> io::Result<()> {
        let Some(followed) = &mut self.followed else { return Ok(()) };
        let length = followed.file.metadata()?.len();
        if length <= followed.length {
            return Ok(());
        }
        self.bytes =
            Bytes::Mapped(MappedFile::new(&followed.file, usize::try_from(length).map_err(io::Error::other)?)?);
        followed.length = length;
        read_on(self);
        Ok(())
    }

    /// Of a dump that is followed: which code was put where, and when. The value of a piece is its offset in the dump.
    pub fn history(&self) -> Option<&CodeHistory> {
        self.followed.as_ref().map(|followed| &followed.history)
    }

    /// Makes the history of a dump that is followed ready to be asked.
    pub fn settle(&mut self) {
        if let Some(followed) = &mut self.followed {
            followed.history.settle();
        }
    }

    /// Whether there is a header: a dump that is followed begins empty.
    pub fn has_begun(&self) -> bool {
        self.next.is_some()
    }

    /// The call frame information of the code at an offset of the dump, and the address that it states for that; nothing if
    /// the JIT wrote none.
    pub fn frame_entry(&self, offset: u64) -> Option<(FrameEntry<'_>, u64)> {
        let row = self.loads.partition_point(|load| load.offset <= offset).checked_sub(1)?;
        let load = self.loads.get(row).filter(|load| offset - load.offset < load.size)?;
        let svma = load.address + (offset - load.offset);
        let entry =
            self.unwinding.get(&(row as u32))?.find_in_jit_code(self.bytes(), self.big, self.machine as u16, svma)?;
        Some((entry, svma))
    }

    /// The same for the code that was last put at an address of the process's memory, of a dump that is followed.
    pub fn frame_entry_now(&self, address: u64) -> Option<(FrameEntry<'_>, u64)> {
        let piece = self.history()?.latest(address)?;
        self.frame_entry(piece.value.checked_add(address - piece.start)?)
    }

    fn empty(bytes: Bytes) -> JitDump {
        JitDump {
            bytes,
            followed: None,
            next: None,
            big: false,
            pending: Pending::default(),
            pid: 0,
            machine: 0,
            created: 0,
            arch_timestamps: false,
            loads: Vec::new(),
            by_time: Vec::new(),
            moves: Vec::new(),
            lines: Vec::new(),
            unwinding: FxHashMap::default(),
            unwinding_infos: 0,
            unknown: 0,
            stopped_at: None,
        }
    }

    /// Reads the dump that `bytes` are; `None` as for [`JitDump::read`].
    pub fn from_bytes(bytes: impl Into<Box<[u8]>>) -> Option<JitDump> {
        read(Bytes::Owned(bytes.into()))
    }

    /// The process that wrote it, as it knows itself.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Which processor the code is for (`e_machine` of ELF files).
    pub fn machine(&self) -> u32 {
        self.machine
    }

    /// When the dump was begun, on its clock.
    pub fn created(&self) -> u64 {
        self.created
    }

    /// Whether times are those of the processor's counter; otherwise they are nanoseconds, of `CLOCK_MONOTONIC` in all
    /// JITs known.
    pub fn arch_timestamps(&self) -> bool {
        self.arch_timestamps
    }

    /// The functions, in order of time; functions without code are left out.
    pub fn loads(&self) -> impl Iterator<Item = &JitCode> {
        self.by_time.iter().map(|row| &self.loads[*row as usize])
    }

    /// The moves, in order of time.
    pub fn moves(&self) -> &[JitMove] {
        &self.moves
    }

    /// What keeps it from being read whole: what it does, as a verb and its object; nothing if it was.
    pub fn fault(&self) -> Option<String> {
        if !self.has_begun() {
            return Some("has no header of a jitdump".to_owned());
        }
        let Some(at) = self.stopped_at else {
            return (self.unknown > 0).then(|| format!("is damaged: {} of its records make no sense", self.unknown));
        };
        let mut numbers = Numbers { bytes: self.bytes(), at: usize::try_from(at).ok()?, big: self.big };
        let (_kind, size) = (numbers.u32(), numbers.u32());
        Some(match size {
            Some(size) if (size as usize) < RECORD_HEADER => {
                format!("is damaged: its record at byte {at} says that it has {size} bytes")
            }
            _ => format!("ends early: its record at byte {at} is not whole"),
        })
    }

    /// How many records of unwind information there are.
    pub fn unwinding_infos(&self) -> u64 {
        self.unwinding_infos
    }

    /// How many records were passed over because their kind is not known, or what they say cannot be.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// At which offset reading stopped, if that is before the end: the record there is not whole.
    pub fn stopped_at(&self) -> Option<u64> {
        self.stopped_at
    }

    /// The name of a function of this dump.
    pub fn name(&self, code: &JitCode) -> &[u8] {
        self.bytes().get(code.name.clone()).unwrap_or_default()
    }

    /// The function whose code is at an offset of the dump.
    pub fn load_at(&self, offset: u64) -> Option<&JitCode> {
        let row = self.loads.partition_point(|load| load.offset <= offset).checked_sub(1)?;
        self.loads.get(row).filter(|load| offset - load.offset < load.size)
    }

    /// The function and the line of the code at an offset of the dump.
    pub fn line_at(&self, offset: u64) -> Option<JitLine<'_>> {
        let load = self.load_at(offset)?;
        let lines = &self.lines[load.lines.start as usize..load.lines.end as usize];
        let entry = lines.partition_point(|entry| entry.offset <= offset).checked_sub(1).map(|row| lines[row]);
        let file = entry.map(|entry| text(self.bytes(), entry.file)).unwrap_or_default();
        Some(JitLine { name: self.name(load), file, line: entry.map_or(0, |entry| entry.line) })
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// The process that a dump is of, by its path; `None` if it is no path of a dump. The name is how perf knows one too
/// (`jit_detect`, tools/perf/util/jitdump.c).
pub fn pid_of_path(path: &[u8]) -> Option<u32> {
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    let pid = name.strip_prefix(b"jit-")?.strip_suffix(b".dump")?;
    std::str::from_utf8(pid).ok()?.parse().ok()
}

/// A string up to its zero byte, without that.
fn text(bytes: &[u8], start: usize) -> &[u8] {
    let rest = bytes.get(start..).unwrap_or_default();
    let rest = &rest[..rest.len().min(MOST_NAME)];
    rest.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Numbers of a slice, one after the other.
struct Numbers<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl Numbers<'_> {
    fn u32(&mut self) -> Option<u32> {
        let bytes = *self.bytes.get(self.at..)?.first_chunk::<4>()?;
        self.at += 4;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn u64(&mut self) -> Option<u64> {
        let bytes = *self.bytes.get(self.at..)?.first_chunk::<8>()?;
        self.at += 8;
        Some(if self.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }
}

fn read(bytes: Bytes) -> Option<JitDump> {
    let mut dump = JitDump::empty(bytes);
    read_on(&mut dump);
    dump.has_begun().then_some(dump)
}

/// Reads the records that have not been read yet.
fn read_on(dump: &mut JitDump) {
    let bytes = std::mem::replace(&mut dump.bytes, Bytes::Owned(Box::default()));
    let all: &[u8] = match &bytes {
        Bytes::Mapped(map) => map,
        Bytes::Owned(bytes) => bytes,
    };
    if let Some(at) = dump.next.or_else(|| header(all, dump)) {
        let mut pending = std::mem::take(&mut dump.pending);
        dump.next = Some(pending.records(all, at, dump));
        dump.pending = pending;
    }
    dump.bytes = bytes;
    dump.by_time.extend(dump.by_time.len() as u32..dump.loads.len() as u32);
    // Threads write without waiting for each other.
    dump.by_time.sort_by_key(|row| dump.loads[*row as usize].time);
    dump.moves.sort_by_key(|moved| moved.time);
}

/// Reads the header; where the first record is.
fn header(bytes: &[u8], dump: &mut JitDump) -> Option<usize> {
    let big = match bytes.first_chunk()? {
        b"DTiJ" => false,
        b"JiTD" => true,
        _ => return None,
    };
    let mut numbers = Numbers { bytes, at: 4, big };
    let version = numbers.u32()?;
    let size = numbers.u32()? as usize;
    let machine = numbers.u32()?;
    numbers.u32()?;
    let pid = numbers.u32()?;
    let created = numbers.u64()?;
    let flags = numbers.u64()?;
    (dump.pid, dump.machine, dump.created, dump.big) = (pid, machine, created, big);
    dump.arch_timestamps = flags & ARCH_TIMESTAMP != 0;
    (version == 1 && size >= HEADER).then_some(size)
}

/// What is remembered from record to record.
#[derive(Debug, Default)]
struct Pending {
    /// Lines of functions that are still to come: by address, where the entries are.
    debug_infos: FxHashMap<u64, Range<usize>>,
    /// Call frame information of the next function: where `.eh_frame` is.
    eh_frame: Option<Range<usize>>,
}

impl Pending {
    /// Reads records from `at` on; where the first one is that is not there whole.
    fn records(&mut self, bytes: &[u8], mut at: usize, dump: &mut JitDump) -> usize {
        let big = dump.big;
        dump.stopped_at = None;
        while at < bytes.len() {
            let mut numbers = Numbers { bytes, at, big };
            let (Some(kind), Some(size), Some(time)) = (numbers.u32(), numbers.u32(), numbers.u64()) else {
                dump.stopped_at = Some(at as u64);
                return at;
            };
            let end = at.saturating_add(size as usize);
            // Rows are counted in 32 bits; no record is smaller than its row.
            if (size as usize) < RECORD_HEADER || end > bytes.len() || dump.lines.len() >= u32::MAX as usize / 2 {
                dump.stopped_at = Some(at as u64);
                return at;
            }
            let mut numbers = Numbers { bytes: &bytes[..end], at: at + RECORD_HEADER, big };
            let understood = match kind {
                0 => self.load(&mut numbers, time, dump),
                1 => moved(&mut numbers, time).map(|moved| dump.is_moved(moved)),
                2 => numbers.u64().and_then(|address| {
                    let _entries = numbers.u64()?;
                    self.debug_infos.insert(address, numbers.at..end);
                    Some(())
                }),
                3 => Some(()),
                4 => {
                    dump.unwinding_infos += 1;
                    self.eh_frame = eh_frame(&mut numbers);
                    self.eh_frame.is_some().then_some(())
                }
                _ => None,
            };
            dump.unknown += u64::from(understood.is_none());
            at = end;
        }
        at
    }

    fn load(&mut self, numbers: &mut Numbers<'_>, time: u64, dump: &mut JitDump) -> Option<()> {
        let eh_frame = self.eh_frame.take();
        let (pid, tid) = (numbers.u32()?, numbers.u32()?);
        let _vma = numbers.u64()?;
        let (address, size, index) = (numbers.u64()?, numbers.u64()?, numbers.u64()?);
        let rest = &numbers.bytes[numbers.at..];
        let length = rest.iter().position(|byte| *byte == 0)?;
        let code = numbers.at + length + 1;
        if size > (numbers.bytes.len() - code) as u64 || address.checked_add(size).is_none() {
            return None;
        }
        let debug_info = self.debug_infos.remove(&address);
        if size == 0 {
            return Some(());
        }
        let first = dump.lines.len() as u32;
        if let Some(range) = debug_info {
            let entries = Numbers { bytes: &numbers.bytes[..range.end], at: range.start, big: numbers.big };
            read_lines(entries, address, size, code as u64, &mut dump.lines);
            dump.lines[first as usize..].sort_by_key(|entry| entry.offset);
        }
        let row = dump.loads.len() as u32;
        if let Some(section) = eh_frame.filter(|section| !section.is_empty()) {
            // perf puts the section behind the code, at a multiple of eight bytes (`jit_write_elf`, tools/perf/util/genelf.c), and
            // JITs write it for there.
            let placed = address.wrapping_add(size.wrapping_add(7) & !7);
            dump.unwinding.insert(row, Box::new(FrameTables::of_jit_code(section, address, placed)));
        }
        dump.loads.push(JitCode {
            time,
            pid,
            tid,
            address,
            size,
            offset: code as u64,
            index,
            name: numbers.at..numbers.at + length.min(MOST_NAME),
            lines: first..dump.lines.len() as u32,
        });
        let begin = if dump.arch_timestamps { 0 } else { time };
        if let Some(followed) = &mut dump.followed {
            followed.history.add(address, address + size, begin, code as u64);
            followed.by_index.insert(index, row);
        }
        Some(())
    }
}

impl JitDump {
    fn is_moved(&mut self, moved: JitMove) {
        let begin = if self.arch_timestamps { 0 } else { moved.time };
        if let Some(followed) = &mut self.followed
            && let Some(load) = followed.by_index.get(&moved.index).and_then(|row| self.loads.get(*row as usize))
        {
            followed.history.add(moved.address, moved.address.saturating_add(load.size), begin, load.offset);
        }
        self.moves.push(moved);
    }
}

/// Where `.eh_frame` is in a record of unwind information; `.eh_frame_hdr`, which follows it, is of no use for one function.
fn eh_frame(numbers: &mut Numbers<'_>) -> Option<Range<usize>> {
    let (size, header, _mapped) = (numbers.u64()?, numbers.u64()?, numbers.u64()?);
    let rest = (numbers.bytes.len() - numbers.at) as u64;
    let section = size.checked_sub(header).filter(|_| size <= rest)?;
    Some(numbers.at..numbers.at + section as usize)
}

fn moved(numbers: &mut Numbers<'_>, time: u64) -> Option<JitMove> {
    let (pid, tid) = (numbers.u32()?, numbers.u32()?);
    let _vma = numbers.u64()?;
    let (old_address, address) = (numbers.u64()?, numbers.u64()?);
    let (size, index) = (numbers.u64()?, numbers.u64()?);
    (size > 0 && address.checked_add(size).is_some()).then_some(JitMove {
        time,
        pid,
        tid,
        old_address,
        address,
        size,
        index,
    })
}

/// Reads entries of lines until one makes no sense: address, line, column, file.
fn read_lines(mut numbers: Numbers<'_>, address: u64, size: u64, code: u64, into: &mut Vec<Entry>) {
    let mut last_file = None;
    while let (Some(at), Some(line), Some(_column)) = (numbers.u64(), numbers.u32(), numbers.u32()) {
        let rest = &numbers.bytes[numbers.at..];
        let Some(length) = rest.iter().position(|byte| *byte == 0) else { return };
        // A single byte of ones is "as before" (`debug_entry_file`, tools/perf/util/jitdump.c and genelf_debug.c).
        let file = if rest[..length] == *b"\xff" { last_file } else { Some(numbers.at) };
        numbers.at += length + 1;
        last_file = file;
        let Some(distance) = at.checked_sub(address).filter(|distance| *distance < size) else { continue };
        into.extend(file.map(|file| Entry { offset: code + distance, file, line }));
    }
}

#[cfg(test)]
pub(crate) mod tests;
