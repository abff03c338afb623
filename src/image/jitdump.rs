//! The dump that a JIT writes of its code while it runs: `jit-PID.dump`.
//!
//! ```text
//! header   magic (which also tells the byte order), processor, pid, when, flags
//! record   LOAD: where, when, name, the code itself   MOVE: from where to where
//!          DEBUG_INFO: lines of the LOAD that follows   CLOSE   UNWINDING_INFO
//! ```
//!
//! Each record tells its size, so unknown ones are passed over, and a file that is still written to ends in a part of
//! one. See tools/perf/Documentation/jitdump-specification.txt and tools/perf/util/jitdump.h of the kernel's sources.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::mapped_file::MappedFile;

/// A JIT's dump, read.
#[derive(Debug)]
pub struct JitDump {
    bytes: Bytes,
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
    unwinding_infos: u64,
    unknown: u64,
    stopped_at: Option<u64>,
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

    /// How many records of unwind information there are; they are not used.
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
    let mut dump = JitDump {
        bytes,
        pid: 0,
        machine: 0,
        created: 0,
        arch_timestamps: false,
        loads: Vec::new(),
        by_time: Vec::new(),
        moves: Vec::new(),
        lines: Vec::new(),
        unwinding_infos: 0,
        unknown: 0,
        stopped_at: None,
    };
    let mut pass = Pass::default();
    let (at, big) = pass.header(&mut dump)?;
    let bytes = std::mem::replace(&mut dump.bytes, Bytes::Owned(Box::default()));
    pass.records(
        match &bytes {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        },
        at,
        big,
        &mut dump,
    );
    dump.bytes = bytes;
    dump.by_time = (0..dump.loads.len() as u32).collect();
    // Threads write without waiting for each other.
    dump.by_time.sort_by_key(|row| dump.loads[*row as usize].time);
    dump.moves.sort_by_key(|moved| moved.time);
    Some(dump)
}

/// What is remembered from record to record.
#[derive(Default)]
struct Pass {
    /// Lines of functions that are still to come: by address, where the entries are.
    debug_infos: FxHashMap<u64, Range<usize>>,
}

impl Pass {
    /// Where the first record is, and whether the largest byte of a number comes first.
    fn header(&self, dump: &mut JitDump) -> Option<(usize, bool)> {
        let bytes = dump.bytes();
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
        (dump.pid, dump.machine, dump.created) = (pid, machine, created);
        dump.arch_timestamps = flags & ARCH_TIMESTAMP != 0;
        (version == 1 && size >= HEADER).then_some((size, big))
    }

    fn records(&mut self, bytes: &[u8], mut at: usize, big: bool, dump: &mut JitDump) {
        while at < bytes.len() {
            let mut numbers = Numbers { bytes, at, big };
            let (Some(kind), Some(size), Some(time)) = (numbers.u32(), numbers.u32(), numbers.u64()) else {
                dump.stopped_at = Some(at as u64);
                return;
            };
            let end = at.saturating_add(size as usize);
            // Rows are counted in 32 bits; no record is smaller than its row.
            if (size as usize) < RECORD_HEADER || end > bytes.len() || dump.lines.len() >= u32::MAX as usize / 2 {
                dump.stopped_at = Some(at as u64);
                return;
            }
            let mut numbers = Numbers { bytes: &bytes[..end], at: at + RECORD_HEADER, big };
            let understood = match kind {
                0 => self.load(&mut numbers, time, dump),
                1 => moved(&mut numbers, time).map(|moved| dump.moves.push(moved)),
                2 => numbers.u64().and_then(|address| {
                    let _entries = numbers.u64()?;
                    self.debug_infos.insert(address, numbers.at..end);
                    Some(())
                }),
                3 => Some(()),
                4 => {
                    dump.unwinding_infos += 1;
                    Some(())
                }
                _ => None,
            };
            dump.unknown += u64::from(understood.is_none());
            at = end;
        }
    }

    fn load(&mut self, numbers: &mut Numbers<'_>, time: u64, dump: &mut JitDump) -> Option<()> {
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
        Some(())
    }
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
pub(crate) mod tests {
    use super::*;

    /// Writes dumps, as a JIT does.
    pub(crate) struct Writer {
        pub bytes: Vec<u8>,
        big: bool,
    }

    impl Writer {
        pub fn new(pid: u32, big: bool) -> Writer {
            let mut writer = Writer { bytes: Vec::new(), big };
            for number in [0x4a69_5444, 1, 40, 62, 0, pid] {
                writer.u32(number);
            }
            writer.u64(1000);
            writer.u64(0);
            writer
        }

        fn u32(&mut self, number: u32) {
            self.bytes.extend(if self.big { number.to_be_bytes() } else { number.to_le_bytes() });
        }

        fn u64(&mut self, number: u64) {
            self.bytes.extend(if self.big { number.to_be_bytes() } else { number.to_le_bytes() });
        }

        pub fn record(&mut self, kind: u32, time: u64, body: impl FnOnce(&mut Writer)) {
            let start = self.bytes.len();
            self.u32(kind);
            self.u32(0);
            self.u64(time);
            body(self);
            let size = (self.bytes.len() - start) as u32;
            self.bytes[start + 4..start + 8].copy_from_slice(&if self.big {
                size.to_be_bytes()
            } else {
                size.to_le_bytes()
            });
        }

        pub fn load(&mut self, time: u64, address: u64, index: u64, name: &str, code: &[u8]) {
            self.record(0, time, |writer| {
                writer.u32(7);
                writer.u32(8);
                for number in [address, address, code.len() as u64, index] {
                    writer.u64(number);
                }
                writer.bytes.extend(name.as_bytes());
                writer.bytes.push(0);
                writer.bytes.extend(code);
            });
        }

        pub fn lines(&mut self, time: u64, address: u64, entries: &[(u64, u32, &[u8])]) {
            self.record(2, time, |writer| {
                writer.u64(address);
                writer.u64(entries.len() as u64);
                for (at, line, file) in entries {
                    writer.u64(*at);
                    writer.u32(*line);
                    writer.u32(0);
                    writer.bytes.extend(*file);
                    writer.bytes.push(0);
                }
            });
        }
    }

    pub(crate) fn example(big: bool) -> Vec<u8> {
        let mut writer = Writer::new(7, big);
        writer.lines(1, 0x1000, &[(0x1000, 10, b"a.js"), (0x1008, 12, b"\xff"), (0x5000, 99, b"elsewhere.js")]);
        writer.load(30, 0x1000, 1, "LazyCompile:~one a.js:10", &[0xcc; 16]);
        writer.record(4, 30, |writer| writer.bytes.extend([0; 24]));
        writer.load(20, 0x2000, 2, "two", &[0x90; 4]);
        writer.record(1, 40, |writer| {
            writer.u32(7);
            writer.u32(9);
            for number in [0x3000, 0x1000, 0x3000, 16, 1] {
                writer.u64(number);
            }
        });
        writer.record(77, 41, |writer| writer.u64(5));
        writer.load(42, 0x4000, 3, "empty", b"");
        writer.record(3, 50, |_| {});
        writer.bytes
    }

    #[test]
    fn records_are_read_in_both_byte_orders() {
        for big in [false, true] {
            let bytes = example(big);
            let dump = JitDump::from_bytes(bytes.clone()).unwrap();
            assert_eq!((dump.pid(), dump.machine(), dump.created(), dump.arch_timestamps()), (7, 62, 1000, false));
            let loads: Vec<_> =
                dump.loads().map(|load| (load.time, load.address, load.size, load.index, dump.name(load))).collect();
            let one = &b"LazyCompile:~one a.js:10"[..];
            assert_eq!(loads, [(20, 0x2000, 4, 2, &b"two"[..]), (30, 0x1000, 16, 1, one)]);
            for load in dump.loads() {
                let code = &bytes[load.offset as usize..][..load.size as usize];
                assert!(code.iter().all(|byte| *byte == if load.index == 1 { 0xcc } else { 0x90 }));
                assert_eq!((load.pid, load.tid), (7, 8));
            }
            let [moved] = dump.moves() else { panic!("one move") };
            assert_eq!((moved.time, moved.old_address, moved.address, moved.size), (40, 0x1000, 0x3000, 16));
            assert_eq!((moved.tid, moved.index), (9, 1));
            assert_eq!((dump.unwinding_infos(), dump.unknown(), dump.stopped_at()), (1, 1, None));
        }
    }

    #[test]
    fn offset_is_named_with_its_line() {
        let dump = JitDump::from_bytes(example(false)).unwrap();
        let (two, one) = (dump.loads().next().unwrap().offset, dump.loads().nth(1).unwrap().offset);
        let name = &b"LazyCompile:~one a.js:10"[..];
        for (offset, expected) in [
            (one - 1, None),
            (one, Some(JitLine { name, file: b"a.js", line: 10 })),
            (one + 7, Some(JitLine { name, file: b"a.js", line: 10 })),
            (one + 8, Some(JitLine { name, file: b"a.js", line: 12 })),
            (one + 16, None),
            (two + 3, Some(JitLine { name: b"two", file: b"", line: 0 })),
        ] {
            assert_eq!(dump.line_at(offset), expected, "{offset:#x}");
        }
    }

    #[test]
    fn dump_that_is_still_written_gives_what_is_whole() {
        let whole = example(false);
        for length in 0..whole.len() {
            match JitDump::from_bytes(&whole[..length]) {
                None => assert!(length < HEADER, "{length}"),
                Some(dump) => {
                    assert!(dump.loads().count() <= 2);
                    assert!(dump.stopped_at().is_none_or(|at| at < length as u64));
                }
            }
        }
        assert!(JitDump::from_bytes(*b"\x7fELF with more bytes than a header of a dump has").is_none());
    }

    #[test]
    fn corrupt_dumps_are_survived() {
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        for round in 0..20_000 {
            let mut bytes = example(round % 2 == 0);
            for _ in 0..=next(4) {
                let at = next(bytes.len());
                bytes[at] = [0, 1, 0x7f, 0xff, next(256) as u8][next(5)];
            }
            bytes.truncate(bytes.len() - next(8).saturating_sub(4));
            let length = bytes.len() as u64;
            let Some(dump) = JitDump::from_bytes(bytes) else { continue };
            for load in dump.loads() {
                assert!(load.size > 0 && load.offset + load.size <= length);
                for offset in [load.offset, load.offset + load.size - 1] {
                    assert_eq!(dump.line_at(offset).map(|line| line.name), Some(dump.name(load)));
                }
            }
            dump.line_at(next(400) as u64);
        }
    }

    #[test]
    fn dumps_are_known_by_their_names() {
        assert_eq!(pid_of_path(b"/tmp/.debug/jit/x/jit-4121.dump"), Some(4121));
        for path in [&b"/tmp/jit-.dump"[..], b"/tmp/jit-12", b"jit-x.dump", b"/tmp/perf-12.map", b""] {
            assert_eq!(pid_of_path(path), None);
        }
    }
}
