//! The records of a ring, or of a perf.data: what the kernel says happened.
//!
//! ```text
//! header { type u32, misc u16, size u16 }   body   identity (of all records but samples, with SAMPLE_ID_ALL)
//! ```
//! A record borrows its bytes. Unknown types are kept as [`Record::Other`]; a record shorter than its type says is
//! [`Record::Malformed`]: it is counted, and never an error.
//!
//! See `include/uapi/linux/perf_event.h`, `enum perf_event_type`.

use super::attr::SampleFields;
use super::fields::{Fields, Words};
use crate::model::BuildId;

const MMAP: u32 = 1;
const LOST: u32 = 2;
const COMM: u32 = 3;
const EXIT: u32 = 4;
const THROTTLE: u32 = 5;
const UNTHROTTLE: u32 = 6;
const FORK: u32 = 7;
/// The type number of [`Record::Sample`].
pub const SAMPLE: u32 = 9;
const MMAP2: u32 = 10;
const LOST_SAMPLES: u32 = 13;

const MISC_COMM_EXEC: u16 = 1 << 13;
const MISC_MMAP_BUILD_ID: u16 = 1 << 14;
const PROT_EXEC: u32 = 4;

/// Size of a record's header in bytes.
pub const HEADER: usize = 8;

/// Which fields the records of an event carry; all events that share a ring are opened with the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// `sample_type`.
    pub fields: SampleFields,
    /// `sample_regs_user`.
    pub regs_user: u64,
}

/// Where and when a record was made, as its identity says; zeros where the event does not carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Nanoseconds on the event's clock.
    pub time: u64,
    /// CPU.
    pub cpu: u32,
    /// The event's id.
    pub id: u64,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Record<'a> {
    /// A sample.
    Sample(Sample<'a>),
    /// Memory was mapped (or became executable).
    Mmap(Mmap<'a>),
    /// A thread got a name.
    Comm(Comm<'a>),
    /// A thread or process began.
    Fork(Task),
    /// A thread ended.
    Exit(Task),
    /// So many records were lost because the ring was full.
    Lost(u64),
    /// So many samples were lost (by the PMU's own buffer).
    LostSamples(u64),
    /// The kernel stopped an event for the rest of the tick, as it came too often.
    Throttle,
    /// It goes on.
    Unthrottle,
    /// A type that we do not know or do not use.
    Other(u32),
    /// Shorter than its type says.
    Malformed(u32),
}

/// A sample: only what the layout carries is set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample<'a> {
    /// Process, thread, time, CPU, event.
    pub identity: Identity,
    /// Instruction pointer.
    pub ip: u64,
    /// What it counts for.
    pub period: u64,
    /// Call chain, innermost first, with `PERF_CONTEXT_*` marks.
    pub callchain: Words<'a>,
    /// User registers.
    pub user_registers: Option<UserRegisters<'a>>,
    /// The valid part of the copy of the user stack, which begins at the stack pointer.
    pub user_stack: &'a [u8],
    /// Whether all of the copy is valid, so that the stack may go on behind it.
    pub user_stack_full: bool,
}

/// User registers of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRegisters<'a> {
    /// `PERF_SAMPLE_REGS_ABI_32` (1) or `_64` (2).
    pub abi: u64,
    /// Which registers: bits numbered as in `asm/perf_regs.h`.
    pub mask: u64,
    /// Their values, lowest bit first.
    pub values: Words<'a>,
}

impl UserRegisters<'_> {
    /// The value of the register with bit `number`.
    pub fn get(&self, number: u32) -> Option<u64> {
        let bit = 1u64.checked_shl(number)?;
        if self.mask & bit == 0 {
            return None;
        }
        self.values.get((self.mask & (bit - 1)).count_ones() as usize)
    }
}

/// A mapping, of MMAP or MMAP2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mmap<'a> {
    /// Where and when the record was made.
    pub identity: Identity,
    /// Whose memory.
    pub pid: u32,
    /// First address.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// File offset of the first address.
    pub offset: u64,
    /// Whether code may run there; MMAP does not say and counts as yes.
    pub executable: bool,
    /// What the file is: its build id, or
    pub build_id: Option<BuildId>,
    /// its device and inode.
    pub device_inode: Option<((u32, u32), u64)>,
    /// The path as the process saw it.
    pub path: &'a [u8],
}

/// A thread's new name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comm<'a> {
    /// When.
    pub identity: Identity,
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Whether an exec gave it: the address space is a new one.
    pub exec: bool,
    /// The name.
    pub name: &'a [u8],
}

/// A thread or process that began or ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Process.
    pub pid: u32,
    /// Process of the one that began it.
    pub parent_pid: u32,
    /// Thread.
    pub tid: u32,
    /// The one that began it.
    pub parent_tid: u32,
    /// Nanoseconds on the event's clock.
    pub time: u64,
}

/// The type and the size (header included) that a header states; nothing if it is cut or states less than a header.
pub fn header(bytes: &[u8]) -> Option<(u32, usize)> {
    let kind = u32::from_ne_bytes(bytes.get(0..4)?.try_into().ok()?);
    let size = usize::from(u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?));
    (size >= HEADER).then_some((kind, size))
}

/// Reads one whole record.
pub fn parse<'a>(bytes: &'a [u8], layout: &Layout) -> Record<'a> {
    let Some((kind, size)) = header(bytes) else { return Record::Malformed(0) };
    let Some(body) = bytes.get(HEADER..size) else { return Record::Malformed(kind) };
    let misc = u16::from_ne_bytes([bytes[4], bytes[5]]);
    let mut fields = Fields::new(body);
    let record = match kind {
        SAMPLE => sample(&mut fields, layout).map(Record::Sample),
        MMAP => mmap(&mut fields, identity(body, layout)).map(Record::Mmap),
        MMAP2 => mmap2(&mut fields, misc, identity(body, layout)).map(Record::Mmap),
        COMM => comm(&mut fields, misc, identity(body, layout)).map(Record::Comm),
        FORK => task(&mut fields).map(Record::Fork),
        EXIT => task(&mut fields).map(Record::Exit),
        LOST => fields.u64().and_then(|_id| fields.u64()).map(Record::Lost),
        LOST_SAMPLES => fields.u64().map(Record::LostSamples),
        THROTTLE => Some(Record::Throttle),
        UNTHROTTLE => Some(Record::Unthrottle),
        other => Some(Record::Other(other)),
    };
    record.unwrap_or(Record::Malformed(kind))
}

/// When the record was made, without reading the rest of it; 0 if it does not say.
pub fn time(bytes: &[u8], layout: &Layout) -> u64 {
    let Some((kind, size)) = header(bytes) else { return 0 };
    let Some(body) = bytes.get(HEADER..size) else { return 0 };
    if kind != SAMPLE {
        return identity(body, layout).time;
    }
    if !layout.fields.has(SampleFields::TIME) {
        return 0;
    }
    let before = [SampleFields::IDENTIFIER, SampleFields::IP, SampleFields::TID];
    let offset = before.into_iter().filter(|field| layout.fields.has(*field)).count() * 8;
    Words(body).get(offset / 8).unwrap_or(0)
}

/// Where the copy of the user stack is in a sample, all offsets counted from the record's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackCopy {
    /// Where the word with the size of the copy is; the copy follows it.
    pub size_at: usize,
    /// Size of the copy as stored.
    pub size: usize,
    /// How much of it is valid.
    pub valid: usize,
}

/// Finds the copy of the user stack in a sample whose words `word` reads by offset from the record's first byte.
///
/// For the one that copies records out of a ring and leaves the invalid part of the copy behind; a copy that is shortened
/// so must stay longer than what is valid of it, as an equal size says that the stack goes on. Nothing if there is no
/// copy, or if the layout has fields behind it.
pub fn stack_copy(layout: &Layout, record_size: usize, mut word: impl FnMut(usize) -> u64) -> Option<StackCopy> {
    let fields = layout.fields;
    if !fields.has(SampleFields::STACK_USER) || fields.0 & (VARIABLE_BEFORE_STACK | AFTER_STACK) != 0 {
        return None;
    }
    let fixed = fields.0 & FIXED_BEFORE_STACK;
    let mut at = HEADER + fixed.count_ones() as usize * 8;
    if fields.has(SampleFields::CALLCHAIN) {
        if at + 8 > record_size {
            return None;
        }
        let count = usize::try_from(word(at)).ok().filter(|count| *count <= record_size / 8)?;
        at += 8 + count * 8;
    }
    if fields.has(SampleFields::REGS_USER) {
        if at + 8 > record_size {
            return None;
        }
        at += if word(at) == 0 { 8 } else { 8 + layout.regs_user.count_ones() as usize * 8 };
    }
    if at + 8 > record_size {
        return None;
    }
    let size = usize::try_from(word(at)).ok()?;
    if size == 0 || at + 8 + size + 8 > record_size || size % 8 != 0 {
        return None;
    }
    let valid = usize::try_from(word(at + 8 + size)).ok().filter(|valid| *valid <= size)?;
    Some(StackCopy { size_at: at, size, valid })
}

/// Fields of one word each that stand before the user stack (the identity at the front included).
const FIXED_BEFORE_STACK: u64 = SampleFields::IP.0
    | SampleFields::TID.0
    | SampleFields::TIME.0
    | SampleFields::ADDR.0
    | SampleFields::ID.0
    | SampleFields::CPU.0
    | SampleFields::PERIOD.0
    | SampleFields::STREAM_ID.0
    | SampleFields::IDENTIFIER.0;
/// Fields behind it.
const AFTER_STACK: u64 = !((SampleFields::STACK_USER.0 << 1) - 1) & !SampleFields::IDENTIFIER.0;
/// Fields of varying size before it, which [`stack_copy`] does not step over.
const VARIABLE_BEFORE_STACK: u64 = SampleFields::READ.0 | SampleFields::RAW.0 | SampleFields::BRANCH_STACK.0;

fn sample<'a>(from: &mut Fields<'a>, layout: &Layout) -> Option<Sample<'a>> {
    let has = |field| layout.fields.has(field);
    let mut sample = Sample::default();
    if has(SampleFields::IDENTIFIER) {
        sample.identity.id = from.u64()?;
    }
    if has(SampleFields::IP) {
        sample.ip = from.u64()?;
    }
    if has(SampleFields::TID) {
        sample.identity.pid = from.u32()?;
        sample.identity.tid = from.u32()?;
    }
    if has(SampleFields::TIME) {
        sample.identity.time = from.u64()?;
    }
    if has(SampleFields::ADDR) {
        from.u64()?;
    }
    if has(SampleFields::ID) {
        sample.identity.id = from.u64()?;
    }
    if has(SampleFields::STREAM_ID) {
        from.u64()?;
    }
    if has(SampleFields::CPU) {
        sample.identity.cpu = from.u32()?;
        from.u32()?;
    }
    if has(SampleFields::PERIOD) {
        sample.period = from.u64()?;
    }
    if has(SampleFields::CALLCHAIN) {
        let count = from.u64()?;
        sample.callchain = from.words(count)?;
    }
    if has(SampleFields::RAW) {
        let size = from.u32()?;
        from.bytes(size as usize)?;
    }
    if has(SampleFields::REGS_USER) {
        let abi = from.u64()?;
        if abi != 0 {
            let values = from.words(u64::from(layout.regs_user.count_ones()))?;
            sample.user_registers = Some(UserRegisters { abi, mask: layout.regs_user, values });
        }
    }
    if has(SampleFields::STACK_USER) {
        let size = usize::try_from(from.u64()?).ok()?;
        let copy = from.bytes(size)?;
        if size > 0 {
            let valid = usize::try_from(from.u64()?).ok()?;
            sample.user_stack = copy.get(..valid)?;
            sample.user_stack_full = valid == size;
        }
    }
    Some(sample)
}

/// The identity at the end of a record that is no sample: the last words of its body.
fn identity(body: &[u8], layout: &Layout) -> Identity {
    let order = [
        SampleFields::TID,
        SampleFields::TIME,
        SampleFields::ID,
        SampleFields::STREAM_ID,
        SampleFields::CPU,
        SampleFields::IDENTIFIER,
    ];
    let carried = order.into_iter().filter(|field| layout.fields.has(*field));
    let mut identity = Identity::default();
    let size = carried.clone().count() * 8;
    let Some(start) = body.len().checked_sub(size) else { return identity };
    let mut from = Fields::new(&body[start..]);
    for field in carried {
        let word = from.u64_or(0);
        let [low, high] = [word as u32, (word >> 32) as u32];
        match field {
            SampleFields::TID if cfg!(target_endian = "little") => (identity.pid, identity.tid) = (low, high),
            SampleFields::TID => (identity.pid, identity.tid) = (high, low),
            SampleFields::TIME => identity.time = word,
            SampleFields::CPU => identity.cpu = if cfg!(target_endian = "little") { low } else { high },
            SampleFields::ID | SampleFields::IDENTIFIER => identity.id = word,
            _ => {}
        }
    }
    identity
}

fn mmap<'a>(from: &mut Fields<'a>, identity: Identity) -> Option<Mmap<'a>> {
    let (pid, _tid) = (from.u32()?, from.u32()?);
    let (start, length, offset) = (from.u64()?, from.u64()?, from.u64()?);
    let path = from.text()?;
    Some(Mmap { identity, pid, start, length, offset, executable: true, path, ..Mmap::default() })
}

fn mmap2<'a>(from: &mut Fields<'a>, misc: u16, identity: Identity) -> Option<Mmap<'a>> {
    let (pid, _tid) = (from.u32()?, from.u32()?);
    let (start, length, offset) = (from.u64()?, from.u64()?, from.u64()?);
    let (mut build_id, mut device_inode) = (None, None);
    if misc & MISC_MMAP_BUILD_ID != 0 {
        let id = from.bytes(24)?;
        let size = usize::from(id[0]).min(20);
        build_id = BuildId::new(&id[4..4 + size]);
    } else {
        let (major, minor, inode, _generation) = (from.u32()?, from.u32()?, from.u64()?, from.u64()?);
        device_inode = (inode != 0).then_some(((major, minor), inode));
    }
    let (protection, _flags) = (from.u32()?, from.u32()?);
    let path = from.text()?;
    let executable = protection & PROT_EXEC != 0;
    Some(Mmap { identity, pid, start, length, offset, executable, build_id, device_inode, path })
}

fn comm<'a>(from: &mut Fields<'a>, misc: u16, identity: Identity) -> Option<Comm<'a>> {
    let (pid, tid) = (from.u32()?, from.u32()?);
    Some(Comm { identity, pid, tid, exec: misc & MISC_COMM_EXEC != 0, name: from.text()? })
}

fn task(from: &mut Fields<'_>) -> Option<Task> {
    let (pid, parent_pid, tid, parent_tid) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
    Some(Task { pid, parent_pid, tid, parent_tid, time: from.u64()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        fields: SampleFields::IDENTIFIER
            .with(SampleFields::IP)
            .with(SampleFields::TID)
            .with(SampleFields::TIME)
            .with(SampleFields::CPU)
            .with(SampleFields::PERIOD)
            .with(SampleFields::CALLCHAIN)
            .with(SampleFields::REGS_USER)
            .with(SampleFields::STACK_USER),
        regs_user: 0b1_1100_0000,
    };

    fn two(low: u32, high: u32) -> u64 {
        u64::from_ne_bytes([low.to_ne_bytes(), high.to_ne_bytes()].concat().try_into().expect("eight bytes"))
    }

    fn record(kind: u32, misc: u16, words: &[u64]) -> Vec<u8> {
        let mut bytes = kind.to_ne_bytes().to_vec();
        bytes.extend(misc.to_ne_bytes());
        bytes.extend((HEADER as u16 + words.len() as u16 * 8).to_ne_bytes());
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        bytes
    }

    /// A sample with a copy of three words, of which two are valid.
    fn sample_bytes() -> Vec<u8> {
        let head = [7, 0x1000, two(10, 11), 555, two(1, 0), 99];
        let chain = [2, -512i64 as u64, 0x1000];
        let registers = [2, 0xb0, 0x7ff0, 0x1000];
        let stack = [24, 1, 2, 3, 16];
        record(SAMPLE, 2, &[&head[..], &chain, &registers, &stack].concat())
    }

    /// What stands at the end of records that are no samples: ids, time, CPU, event.
    const IDENTITY: fn() -> [u64; 4] = || [two(10, 11), 555, two(1, 0), 7];

    #[test]
    fn sample_is_read() {
        let bytes = sample_bytes();
        let Record::Sample(sample) = parse(&bytes, &LAYOUT) else { panic!("no sample") };
        assert_eq!(sample.identity, Identity { pid: 10, tid: 11, time: 555, cpu: 1, id: 7 });
        assert_eq!((sample.ip, sample.period), (0x1000, 99));
        assert_eq!(sample.callchain.iter().collect::<Vec<_>>(), [-512i64 as u64, 0x1000]);
        let registers = sample.user_registers.expect("registers");
        assert_eq!([6, 7, 8, 9].map(|number| registers.get(number)), [Some(0xb0), Some(0x7ff0), Some(0x1000), None]);
        assert_eq!((Words(sample.user_stack).count(), sample.user_stack_full), (2, false));
        assert_eq!(time(&bytes, &LAYOUT), 555);
    }

    #[test]
    fn stack_copy_is_found_without_reading_the_rest() {
        let bytes = sample_bytes();
        let word = |offset: usize| u64::from_ne_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"));
        let copy = stack_copy(&LAYOUT, bytes.len(), word).expect("there is one");
        assert_eq!((word(copy.size_at), copy.size, copy.valid), (24, 24, 16));
        // A count that lies ends the search.
        let word = |offset: usize| if offset == HEADER + 48 { u64::MAX } else { word(offset) };
        assert_eq!(stack_copy(&LAYOUT, bytes.len(), word), None);
    }

    #[test]
    fn cut_samples_are_malformed() {
        let whole = sample_bytes();
        for length in (0..whole.len()).step_by(4) {
            let mut bytes = whole[..length].to_vec();
            if length >= HEADER {
                bytes[6..8].copy_from_slice(&(length as u16).to_ne_bytes());
            }
            assert!(matches!(parse(&bytes, &LAYOUT), Record::Malformed(_)), "{length}");
        }
    }

    #[test]
    fn mapping_carries_what_identifies_its_file() {
        let mut words = vec![two(10, 11), 0x1000, 0x2000, 0x3000];
        let identified = u64::from_ne_bytes([4, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef]);
        let path = u64::from_ne_bytes(*b"/lib\0\0\0\0");
        words.extend([identified, 0, 0, two(5, 0), path]);
        words.extend(IDENTITY());
        let bytes = record(MMAP2, MISC_MMAP_BUILD_ID, &words);
        let Record::Mmap(mmap) = parse(&bytes, &LAYOUT) else { panic!("no mapping") };
        assert_eq!((mmap.pid, mmap.start, mmap.length, mmap.offset), (10, 0x1000, 0x2000, 0x3000));
        assert_eq!((mmap.path, mmap.executable), (&b"/lib"[..], true));
        assert_eq!(mmap.build_id, BuildId::new(&[0xde, 0xad, 0xbe, 0xef]));
        assert_eq!(time(&bytes, &LAYOUT), 555);
        words[4..7].copy_from_slice(&[two(8, 1), 42, 0]);
        let bytes = record(MMAP2, 0, &words);
        let Record::Mmap(mmap) = parse(&bytes, &LAYOUT) else { panic!("no mapping") };
        assert_eq!((mmap.build_id, mmap.device_inode), (None, Some(((8, 1), 42))));
    }

    #[test]
    fn tasks_names_and_losses_are_read() {
        let fork = record(FORK, 0, &[&[two(20, 10), two(21, 11), 444][..], &IDENTITY()].concat());
        assert_eq!(
            parse(&fork, &LAYOUT),
            Record::Fork(Task { pid: 20, parent_pid: 10, tid: 21, parent_tid: 11, time: 444 })
        );
        let name = u64::from_ne_bytes(*b"cc1\0\0\0\0\0");
        let comm = record(COMM, MISC_COMM_EXEC, &[&[two(20, 20), name][..], &IDENTITY()].concat());
        let Record::Comm(comm) = parse(&comm, &LAYOUT) else { panic!("no name") };
        assert_eq!((comm.pid, comm.exec, comm.name), (20, true, &b"cc1"[..]));
        let lost = record(LOST, 0, &[&[7, 12][..], &IDENTITY()].concat());
        assert_eq!(parse(&lost, &LAYOUT), Record::Lost(12));
        assert_eq!(parse(&record(9999, 0, &[1]), &LAYOUT), Record::Other(9999));
    }

    #[test]
    fn junk_is_survived() {
        let mut random = 1u64;
        for _ in 0..20_000 {
            let mut bytes = sample_bytes();
            for _ in 0..4 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (random >> 33) as usize % bytes.len();
                bytes[at] = (random >> 20) as u8;
            }
            let _ = (parse(&bytes, &LAYOUT), time(&bytes, &LAYOUT));
            let word = |offset: usize| bytes.get(offset..offset + 8).map_or(0, |word| word[0].into());
            let _ = stack_copy(&LAYOUT, bytes.len(), word);
        }
    }
}
