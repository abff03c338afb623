//! The calls of bpf(2), and memory that is shared with programs.
//!
//! Only descriptors are kept: what is attached or mapped is gone with the last of them, however this process ends.
//!
//! Layouts are those of `union bpf_attr`, `include/uapi/linux/bpf.h`.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya_obj::generated::bpf_insn;

/// `enum bpf_cmd`.
#[derive(Clone, Copy)]
#[repr(i32)]
enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    ProgramLoad = 5,
    InfoByDescriptor = 15,
    RawTracepointOpen = 17,
    TypesLoad = 18,
    MapFreeze = 22,
    MapLookupBatch = 24,
    LinkCreate = 28,
    IterCreate = 33,
}

/// `enum bpf_prog_type`.
const BPF_PROG_TYPE_PERF_EVENT: u32 = 7;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_F_SLEEPABLE: u32 = 1 << 4;
/// What the verifier is to tell: its way, and what it took.
const LOG_LEVEL: u32 = 1 | 4;
/// `enum bpf_attach_type`.
const BPF_TRACE_RAW_TP: u32 = 23;
const BPF_TRACE_ITER: u32 = 28;
const BPF_PERF_EVENT: u32 = 41;
/// `enum bpf_map_type`.
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_F_MMAPABLE: u32 = 1 << 10;

/// The words of a `union bpf_attr`: larger than what any of our commands uses, and zero behind it.
type Attr = [u64; 16];

/// A number as two 32-bit fields that stand side by side.
const fn pair(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "little") {
        first as u64 | (second as u64) << 32
    } else {
        (first as u64) << 32 | second as u64
    }
}

fn second_of(word: u64) -> u32 {
    if cfg!(target_endian = "little") { (word >> 32) as u32 } else { word as u32 }
}

fn first_of(word: u64) -> u32 {
    if cfg!(target_endian = "little") { word as u32 } else { (word >> 32) as u32 }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

/// The address of memory that the kernel reads or, where it is given mutable, writes during a call.
fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr() as u64
}

fn address_mut(bytes: &mut [u8]) -> u64 {
    bytes.as_mut_ptr() as u64
}

/// # Safety
/// Each address in `attr` must be that of memory that is as long as the command takes it to be, for as long as the call lasts.
unsafe fn bpf(command: Command, attr: &mut Attr) -> io::Result<i32> {
    // SAFETY: the attributes are as long as is said; the caller answers for what they point to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, attr.as_mut_ptr(), size_of::<Attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// # Safety
/// As for [`bpf`]; the command must be one that gives a new descriptor.
unsafe fn bpf_descriptor(command: Command, attr: &mut Attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, attr) }?;
    // SAFETY: the command succeeded, and gives a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a program to an open event; its samples go to the program first. Needs Linux 5.15.
///
/// # Errors
/// EINVAL for an event that takes no program (a tracepoint), EEXIST if it has one.
pub fn attach_to_event(program: BorrowedFd<'_>, event: BorrowedFd<'_>, cookie: u64) -> io::Result<OwnedFd> {
    let mut attr: Attr = [0; 16];
    attr[0] = pair(number(program), number(event));
    attr[1] = pair(BPF_PERF_EVENT, 0);
    attr[2] = cookie;
    // SAFETY: there are no addresses in it.
    unsafe { bpf_descriptor(Command::LinkCreate, &mut attr) }
}

/// Attaches a program to the tracepoint that it was loaded for (`tp_btf`).
///
/// # Errors
/// What the kernel says.
pub fn attach_to_tracepoint(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr: Attr = [0; 16];
    // No name: the program has it.
    attr[1] = pair(number(program), 0);
    // SAFETY: the one address in it is null, which stands for no name.
    unsafe { bpf_descriptor(Command::RawTracepointOpen, &mut attr) }
}

/// A link of an iterator; it does nothing until it is read.
///
/// # Errors
/// What the kernel says.
pub fn link_iterator(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr: Attr = [0; 16];
    attr[0] = pair(number(program), 0);
    attr[1] = pair(BPF_TRACE_ITER, 0);
    // SAFETY: there are no addresses in it: no further information is given, of length 0.
    unsafe { bpf_descriptor(Command::LinkCreate, &mut attr) }
}

/// What an iterator writes, from its begin on.
///
/// # Errors
/// What the kernel says.
pub fn open_iterator(link: BorrowedFd<'_>) -> io::Result<File> {
    let mut attr: Attr = [0; 16];
    attr[0] = pair(number(link), 0);
    // SAFETY: there are no addresses in it.
    unsafe { bpf_descriptor(Command::IterCreate, &mut attr) }.map(File::from)
}

/// Gives the kernel the types of an object file.
///
/// # Errors
/// What the kernel says.
pub fn load_types(types: &[u8]) -> io::Result<OwnedFd> {
    let mut attr: Attr = [0; 16];
    attr[0] = address(types);
    attr[2] = pair(types.len() as u32, 0);
    // SAFETY: the types are as long as is said, and are only read; there is no room for what the kernel says of them, of length 0.
    unsafe { bpf_descriptor(Command::TypesLoad, &mut attr) }
}

/// What a map is to be.
#[derive(Clone, Copy, Debug)]
pub struct MapShape<'a> {
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// How many there are at most.
    pub entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// One like those that are in it, of a map of maps.
    pub inner: Option<BorrowedFd<'a>>,
    /// Types, and the numbers of those of key and value.
    pub typed: Option<(BorrowedFd<'a>, u32, u32)>,
}

/// The kernel's names have 15 bytes at most, and a zero behind them.
fn put_name(attr: &mut Attr, at: usize, name: &str) {
    for (index, byte) in name.bytes().take(15).enumerate() {
        let (word, shift) = ((at + index) / 8, (at + index) % 8);
        let mut bytes = attr[word].to_ne_bytes();
        bytes[shift] = byte;
        attr[word] = u64::from_ne_bytes(bytes);
    }
}

/// A new map.
///
/// # Errors
/// EPERM without CAP_BPF; ENOMEM.
pub fn make_map(name: &str, shape: &MapShape<'_>) -> io::Result<Map> {
    let mut attr: Attr = [0; 16];
    attr[0] = pair(shape.kind, shape.key);
    attr[1] = pair(shape.value, shape.entries);
    attr[2] = pair(shape.flags, shape.inner.map_or(0, number));
    put_name(&mut attr, 28, name);
    if let Some((types, key, value)) = shape.typed {
        attr[6] = pair(number(types), key);
        attr[7] = pair(value, 0);
    }
    // SAFETY: there are no addresses in it.
    let fd = unsafe { bpf_descriptor(Command::MapCreate, &mut attr) }?;
    Ok(Map { fd, key: shape.key as usize, value: shape.value as usize, entries: shape.entries })
}

/// Makes a map one that nobody here writes to any more: the verifier takes what is in it as known.
///
/// # Errors
/// What the kernel says.
pub fn freeze(map: &Map) -> io::Result<()> {
    let mut attr: Attr = [0; 16];
    attr[0] = pair(number(map.as_fd()), 0);
    // SAFETY: there are no addresses in it.
    unsafe { bpf(Command::MapFreeze, &mut attr) }.map(drop)
}

/// What runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// An event of perf.
    Event,
    /// A tracepoint.
    Tracepoint,
    /// A reader of an iterator.
    Iterator {
        /// Whether it may wait.
        sleepable: bool,
    },
}

/// A program that is to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct ProgramShape<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its licence.
    pub license: &'a CStr,
    /// Its instructions.
    pub instructions: &'a [bpf_insn],
    /// What runs it.
    pub kind: ProgramKind,
    /// The number of the type that stands for what it is attached to, if it is no event.
    pub attached_to: u32,
    /// The object's types.
    pub types: BorrowedFd<'a>,
    /// What is said of its functions, and how many bytes of each.
    pub functions: (&'a [u8], u32),
    /// And of its lines.
    pub lines: (&'a [u8], u32),
}

/// Loads a program; what the verifier says of it is written to `log`, if there is room there.
///
/// # Errors
/// EPERM without CAP_BPF and CAP_PERFMON, EACCES or EINVAL if the verifier refuses it, ENOSPC if the log was too short.
pub fn load_program(program: &ProgramShape<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let (kind, attach, flags) = match program.kind {
        ProgramKind::Event => (BPF_PROG_TYPE_PERF_EVENT, 0, 0),
        ProgramKind::Tracepoint => (BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, 0),
        ProgramKind::Iterator { sleepable: false } => (BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, 0),
        ProgramKind::Iterator { sleepable: true } => (BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, BPF_F_SLEEPABLE),
    };
    let count = |(bytes, each): (&[u8], u32)| (bytes.len() as u32).checked_div(each).unwrap_or(0);
    let mut attr: Attr = [0; 16];
    attr[0] = pair(kind, program.instructions.len() as u32);
    attr[1] = program.instructions.as_ptr() as u64;
    attr[2] = program.license.as_ptr() as u64;
    if !log.is_empty() {
        attr[3] = pair(LOG_LEVEL, log.len() as u32);
        attr[4] = address_mut(log);
    }
    attr[5] = pair(0, flags);
    put_name(&mut attr, 48, program.name);
    attr[8] = pair(0, attach);
    attr[9] = pair(number(program.types), program.functions.1);
    attr[10] = address(program.functions.0);
    attr[11] = pair(count(program.functions), program.lines.1);
    attr[12] = address(program.lines.0);
    attr[13] = pair(count(program.lines), program.attached_to);
    // SAFETY: instructions, licence and what is said of functions and lines are as long as is said, or end in a zero, and are only
    // read; the log has room for what is said.
    unsafe { bpf_descriptor(Command::ProgramLoad, &mut attr) }
}

/// What the kernel tells of a loaded program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramInfo {
    /// Number of the program.
    pub id: u32,
    /// Instructions that the verifier has gone through.
    pub verified: u32,
    /// Times that it was not run, as it was running on that CPU already.
    pub recursion_misses: u64,
    /// Bytes of machine code.
    pub code_bytes: u32,
}

/// Asks the kernel of a program.
///
/// # Errors
/// What the kernel says.
pub fn program_info(program: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    /// `struct bpf_prog_info` has 232 bytes; older kernels fill in fewer.
    const SIZE: usize = 232;
    let mut info = [0u8; SIZE];
    let mut attr: Attr = [0; 16];
    attr[0] = pair(number(program), SIZE as u32);
    attr[1] = address_mut(&mut info);
    // SAFETY: the kernel writes at most `SIZE` bytes there.
    unsafe { bpf(Command::InfoByDescriptor, &mut attr) }?;
    let half = |at: usize| u32::from_ne_bytes(info[at..at + 4].try_into().expect("four bytes"));
    let word = |at: usize| u64::from_ne_bytes(info[at..at + 8].try_into().expect("eight bytes"));
    // Offsets of `id`, `jited_prog_len`, `recursion_misses`, `verified_insns`.
    Ok(ProgramInfo { id: half(4), code_bytes: half(16), recursion_misses: word(208), verified: half(216) })
}

/// A map.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    key: usize,
    value: usize,
    entries: u32,
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Map {
    /// A new array whose memory can be mapped.
    ///
    /// # Errors
    /// EPERM without CAP_BPF; ENOMEM.
    pub fn new_array(value: u32, entries: u32) -> io::Result<Map> {
        let mut attr: Attr = [0; 16];
        attr[0] = pair(BPF_MAP_TYPE_ARRAY, size_of::<u32>() as u32);
        attr[1] = pair(value, entries);
        attr[2] = pair(BPF_F_MMAPABLE, 0);
        // SAFETY: there are no addresses in it.
        let fd = unsafe { bpf_descriptor(Command::MapCreate, &mut attr) }?;
        Ok(Map { fd, key: size_of::<u32>(), value: value as usize, entries })
    }

    /// How many entries it has room for.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    fn attr(&self, key: &[u8], value: u64, flags: u64) -> Attr {
        assert_eq!(key.len(), self.key, "the key has the map's size");
        let mut attr: Attr = [0; 16];
        attr[0] = pair(number(self.as_fd()), 0);
        attr[1] = address(key);
        attr[2] = value;
        attr[3] = flags;
        attr
    }

    /// Puts a value in.
    ///
    /// # Errors
    /// E2BIG if the map is full.
    pub fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        assert_eq!(value.len(), self.value, "the value has the map's size");
        let mut attr = self.attr(key, address(value), 0);
        // SAFETY: key and value are of the sizes that the map has, and are only read.
        unsafe { bpf(Command::MapUpdate, &mut attr) }.map(drop)
    }

    /// Takes a value out; says whether it was there.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(&self, key: &[u8]) -> io::Result<bool> {
        let mut attr = self.attr(key, 0, 0);
        // SAFETY: the key is of the size that the map has, and is only read.
        found(unsafe { bpf(Command::MapDelete, &mut attr) })
    }

    /// Reads a value; says whether it was there.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn get(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        assert_eq!(value.len(), self.value, "the value has the map's size");
        let mut attr = self.attr(key, address_mut(value), 0);
        // SAFETY: key and value are of the sizes that the map has; the kernel reads the one and writes the other.
        found(unsafe { bpf(Command::MapLookup, &mut attr) })
    }

    /// Reads the values of all CPUs, one behind the other; `cpus` is how many the kernel could have.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn get_of_cpus(&self, key: &[u8], cpus: usize) -> io::Result<Vec<u8>> {
        let mut values = vec![0; self.value.next_multiple_of(8) * cpus];
        let mut attr = self.attr(key, address_mut(&mut values), 0);
        // SAFETY: the kernel writes the values of its possible CPUs, each rounded up to words of 8 bytes; `cpus` is their number.
        unsafe { bpf(Command::MapLookup, &mut attr) }?;
        Ok(values)
    }

    /// All entries of a hash map, many at a time; what is put in or taken out meanwhile may be among them or not.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn entries_of_hash(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        let mut room = 4096u32;
        let (mut from, mut to) = ([0u8; 8], [0u8; 8]);
        let mut is_first = true;
        loop {
            let mut keys = vec![0; self.key * room as usize];
            let mut values = vec![0; self.value * room as usize];
            let mut attr: Attr = [0; 16];
            attr[0] = if is_first { 0 } else { address(&from) };
            attr[1] = address_mut(&mut to);
            attr[2] = address_mut(&mut keys);
            attr[3] = address_mut(&mut values);
            attr[4] = pair(room, number(self.as_fd()));
            // SAFETY: keys and values have room for as many as is said; where to go on is a u32, and there is room for it.
            let result = unsafe { bpf(Command::MapLookupBatch, &mut attr) };
            let count = first_of(attr[4]) as usize;
            let is_last = match result {
                Ok(_) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                // More than there is room for hang together; they are asked for once more.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < 1 << 22 => {
                    room *= 2;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (key, value) in keys.chunks_exact(self.key).zip(values.chunks_exact(self.value)).take(count) {
                each(key, value);
            }
            if is_last {
                return Ok(());
            }
            is_first = false;
            from = to;
        }
    }
}

fn found(result: io::Result<i32>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The value of a map of maps: its descriptor.
pub fn value_of_map(map: &Map) -> [u8; 4] {
    number(map.as_fd()).to_ne_bytes()
}

/// Memory of a map, shared with programs.
#[derive(Debug)]
pub struct Shared {
    start: NonNull<c_void>,
    length: usize,
}

// SAFETY: the mapping is its own, and not bound to a thread; words in it are read and written by atomics.
unsafe impl Send for Shared {}

impl Shared {
    /// Maps `length` bytes of a map, from `offset` on.
    ///
    /// # Errors
    /// What the kernel says, EINVAL for a map that is not made for it among it.
    pub fn map(map: BorrowedFd<'_>, length: usize, offset: u64, is_writable: bool) -> io::Result<Shared> {
        let mut protection = rustix::mm::ProtFlags::READ;
        protection.set(rustix::mm::ProtFlags::WRITE, is_writable);
        // SAFETY: the kernel chooses the address, so no memory of ours is touched.
        let address = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), length, protection, rustix::mm::MapFlags::SHARED, map, offset)
        }?;
        let start = NonNull::new(address).expect("mmap never maps page 0");
        Ok(Shared { start, length })
    }

    /// The memory of a whole array that was made to be mapped.
    ///
    /// # Errors
    /// As [`Shared::map`].
    pub fn array(map: &Map) -> io::Result<Shared> {
        let length = map.value.next_multiple_of(8) * map.entries as usize;
        Shared::map(map.as_fd(), length.next_multiple_of(rustix::param::page_size()), 0, true)
    }

    /// Writes words of 4 bytes from byte `offset` on, a multiple of 4.
    ///
    /// Panics if they do not fit: where they go is ours to know.
    pub fn write(&mut self, offset: usize, words: &[u32]) {
        for (index, word) in words.iter().enumerate() {
            let at = offset + index * 4;
            assert!(at.is_multiple_of(4) && at + 4 <= self.length, "it is in the map");
            // SAFETY: the place is in the mapping, as has been checked, and aligned.
            let place = unsafe { self.start.byte_add(at).cast::<u32>() };
            // SAFETY: the place is mapped writable for as long as `self` lives, and only atomics write to it.
            unsafe { AtomicU32::from_ptr(place.as_ptr()) }.store(*word, Ordering::Relaxed);
        }
    }

    /// A word of 8 bytes at byte `offset`, a multiple of 8. It may be stored to only if the mapping is writable.
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.length, "it is in the map");
        // SAFETY: the place is in the mapping, as has been checked, and aligned.
        let place = unsafe { self.start.byte_add(offset).cast::<u64>() };
        // SAFETY: it is mapped for as long as the borrow of `self`, and what others write to it they write as whole words.
        unsafe { AtomicU64::from_ptr(place.as_ptr()) }
    }

    /// Some bytes that nobody writes to for as long as the borrow lasts.
    ///
    /// # Safety
    /// The caller must know that nobody does.
    pub(super) unsafe fn bytes(&self, offset: usize, length: usize) -> &[u8] {
        assert!(offset.checked_add(length).is_some_and(|end| end <= self.length), "it is in the map");
        // SAFETY: the bytes are mapped for as long as the borrow of `self`; the caller answers for that they do not change.
        unsafe { std::slice::from_raw_parts(self.start.byte_add(offset).cast::<u8>().as_ptr(), length) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by us with this length, and nothing borrowed from it outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr(), self.length) };
    }
}

/// The two halves of the first word of a record of the ring: its length with marks, and where it is.
pub(super) fn length_word(word: u64) -> u32 {
    let _ = second_of(word);
    first_of(word)
}
