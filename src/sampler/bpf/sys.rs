//! The calls of bpf(2) that are made after the programs are loaded, and memory that is shared with them.
//!
//! Only descriptors are kept: what is attached or mapped is gone with the last of them, however this process ends.
//!
//! Layouts are those of `union bpf_attr`, `include/uapi/linux/bpf.h`.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// `enum bpf_cmd`.
#[derive(Clone, Copy)]
#[repr(i32)]
enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    InfoByDescriptor = 15,
    RawTracepointOpen = 17,
    MapLookupBatch = 24,
    LinkCreate = 28,
    IterCreate = 33,
}

/// `enum bpf_attach_type`.
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
    /// A map that was made with the programs.
    ///
    /// # Errors
    /// If it cannot be asked how large its entries are, or no descriptor can be had.
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Map> {
        /// Up to `max_entries` of `struct bpf_map_info`.
        const SIZE: usize = 24;
        let mut info = [0u8; SIZE];
        let mut attr: Attr = [0; 16];
        attr[0] = pair(number(fd), SIZE as u32);
        attr[1] = address_mut(&mut info);
        // SAFETY: the kernel writes at most `SIZE` bytes there.
        unsafe { bpf(Command::InfoByDescriptor, &mut attr) }?;
        let half = |at: usize| u32::from_ne_bytes(info[at..at + 4].try_into().expect("four bytes"));
        Ok(Map { fd: fd.try_clone_to_owned()?, key: half(8) as usize, value: half(12) as usize, entries: half(16) })
    }

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
