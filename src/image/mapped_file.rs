//! Files mapped into our memory, safe against being cut short.
//!
//! Reading a mapped page that is past the end of its file raises SIGBUS (`mmap(2)`), and any process that may write the
//! file can cut it at any time. So a handler is installed once; when the fault is in one of our maps it puts a page of
//! zeros in place and marks the map as cut, otherwise the handler that was there before gets the signal.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ops::{Deref, Range};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{Mmap, MmapOptions};

/// A file's bytes, mapped read-only.
///
/// The bytes may change under the reader if the file is written to meanwhile, and turn to zero where it is cut short:
/// whoever parses them must bound every value that it takes from them, each time it is read.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
    row: usize,
}

impl MappedFile {
    /// Maps the first `length` bytes of `file`, which can be closed afterwards.
    pub fn new(file: &File, length: usize) -> io::Result<MappedFile> {
        install_handler()?;
        // SAFETY: the map is read-only and lives as long as the slice that is lent from it. That another process writes
        // to the file meanwhile cannot be excluded for any mapped file: our readers treat the bytes as hostile, take each
        // value once and bound it, and hold no reference that is typed by a validity rule (only `u8` and plain data).
        // Cutting the file is dealt with by the handler.
        let map = unsafe { MmapOptions::new().len(length).map(file) }?;
        let row = register(map.as_ptr() as usize, map.len())
            .ok_or_else(|| io::Error::new(io::ErrorKind::OutOfMemory, "more files are mapped than can be watched"))?;
        Ok(MappedFile { map, row })
    }

    /// Gives the memory back that reading has filled: a part that is read again comes from the file again.
    ///
    /// For whoever reads a large file once: without it, all of it counts as the reader's memory.
    pub fn forget(&self) {
        // SAFETY: the map is of a file, shared with it and never written to, so its pages come back with the file's bytes, as
        // hostile and as changeable as before; where the handler has put zeros, zeros come back.
        let result = unsafe { self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        // Whether the kernel heeds it changes nothing but memory.
        let _ = result;
    }

    /// The same of some of its bytes, and of the pages that they are in.
    pub fn forget_some(&self, range: Range<usize>) {
        let (start, end) = (range.start.min(self.map.len()), range.end.min(self.map.len()));
        if start < end {
            // SAFETY: as above.
            let result =
                unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start) };
            let _ = result;
        }
    }

    /// Whether a reader has met the end of the file before the end of the map.
    pub fn was_cut(&self) -> bool {
        WATCHED[self.row].cut.load(Ordering::Relaxed)
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // Before the memory is given back, so that the handler never writes over somebody else's.
        WATCHED[self.row].length.store(0, Ordering::Release);
        WATCHED[self.row].start.store(FREE, Ordering::Release);
    }
}

/// One map that the handler watches over.
struct Watched {
    /// First address; [`FREE`] or [`TAKEN`] if there is no map.
    start: AtomicUsize,
    /// Bytes; zero if there is no map.
    length: AtomicUsize,
    cut: AtomicBool,
}

const FREE: usize = 0;
const TAKEN: usize = 1;
/// As many maps as a process may have by default (`vm.max_map_count`); rows never used are never resident.
const ROWS: usize = 1 << 16;

static WATCHED: [Watched; ROWS] =
    [const { Watched { start: AtomicUsize::new(FREE), length: AtomicUsize::new(0), cut: AtomicBool::new(false) } };
        ROWS];
/// No row at or past this one was ever used.
static USED: AtomicUsize = AtomicUsize::new(0);
/// What handled SIGBUS before us.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);

fn register(start: usize, length: usize) -> Option<usize> {
    let row = WATCHED
        .iter()
        .position(|row| row.start.compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok())?;
    USED.fetch_max(row + 1, Ordering::AcqRel);
    WATCHED[row].cut.store(false, Ordering::Relaxed);
    WATCHED[row].start.store(start, Ordering::Release);
    WATCHED[row].length.store(length, Ordering::Release);
    Some(row)
}

fn install_handler() -> io::Result<()> {
    static INSTALLED: OnceLock<Option<i32>> = OnceLock::new();
    let failed = INSTALLED.get_or_init(|| {
        PAGE_SIZE.store(rustix::param::page_size(), Ordering::Release);
        let mut previous = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask, the default handler.
        let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
        action.sa_sigaction = on_bus_error as *const () as usize;
        // On the alternate stack, as Rust's own handler for stack overflows is, which we may have to call.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
        // SAFETY: both pointers are to whole structures that live through the call, and `on_bus_error` has the
        // signature that SA_SIGINFO asks for and does only what a signal handler may.
        if unsafe { libc::sigaction(libc::SIGBUS, &raw const action, previous.as_mut_ptr()) } != 0 {
            return io::Error::last_os_error().raw_os_error().or(Some(libc::EINVAL));
        }
        // SAFETY: the call succeeded, so the kernel has written the structure.
        let _ = PREVIOUS.set(unsafe { previous.assume_init() });
        None
    });
    match failed {
        Some(code) => Err(io::Error::from_raw_os_error(*code)),
        None => Ok(()),
    }
}

/// Async-signal-safe: atomics, one system call, and the handler before us.
extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` to an SA_SIGINFO handler, and for SIGBUS its address field is set.
    let address = unsafe { (*info).si_addr() } as usize;
    let used = USED.load(Ordering::Acquire).min(ROWS);
    let hit = WATCHED[..used].iter().find(|row| {
        let (start, length) = (row.start.load(Ordering::Acquire), row.length.load(Ordering::Acquire));
        length > 0 && address.wrapping_sub(start) < length.next_multiple_of(PAGE_SIZE.load(Ordering::Acquire))
    });
    match hit {
        Some(row) if cover_with_zeros(address) => row.cut.store(true, Ordering::Relaxed),
        _ => pass_on(signal, info, context),
    }
}

fn cover_with_zeros(address: usize) -> bool {
    let size = PAGE_SIZE.load(Ordering::Acquire);
    let page = address & !(size - 1);
    // SAFETY: `__errno_location` is always valid for the calling thread; what was interrupted may be about to read it.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: the page is part of a `Mmap` of ours. The thread that faulted holds a borrow of it, so it is still
    // mapped; a page of zeros in its place is still readable memory of the same length, all that the borrow promises.
    let mapped = unsafe {
        libc::mmap(
            page as *mut libc::c_void,
            size,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
    mapped != libc::MAP_FAILED
}

fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    type Plain = extern "C" fn(libc::c_int);
    type WithInfo = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    match PREVIOUS.get() {
        Some(previous) if previous.sa_sigaction != libc::SIG_DFL && previous.sa_sigaction != libc::SIG_IGN => {
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: the handler was installed with SA_SIGINFO, so this is its type.
                let handler = unsafe { std::mem::transmute::<usize, WithInfo>(previous.sa_sigaction) };
                handler(signal, info, context);
            } else {
                // SAFETY: the handler was installed without SA_SIGINFO, so this is its type.
                let handler = unsafe { std::mem::transmute::<usize, Plain>(previous.sa_sigaction) };
                handler(signal);
            }
        }
        _ => {
            // SAFETY: all-zero bytes are a valid `sigaction` with the default handler, and `sigaction` is
            // async-signal-safe. The instruction that faulted is run again and then ends the process.
            unsafe {
                let default = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                libc::sigaction(signal, &raw const default, std::ptr::null_mut());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn cut_file_reads_as_zeros() {
        let mut file = tempfile::tempfile().unwrap();
        let page = rustix::param::page_size();
        file.write_all(&vec![7; 5 * page + 10]).unwrap();
        let map = MappedFile::new(&file, 5 * page + 10).unwrap();
        let other = MappedFile::new(&file, page).unwrap();
        assert_eq!((map[0], map[5 * page + 9]), (7, 7));
        assert!(!map.was_cut());
        map.forget_some(page + 3..2 * page);
        map.forget_some(6 * page..usize::MAX);
        assert_eq!((map[page], map[2 * page]), (7, 7), "it comes again");
        file.set_len(page as u64 + 1).unwrap();
        assert_eq!(map[page], 7);
        assert_eq!((map[page + 1], map[3 * page], map[5 * page + 9]), (0, 0, 0));
        assert_eq!(map.iter().filter(|byte| **byte == 7).count(), page + 1);
        assert!(map.was_cut() && !other.was_cut());
        drop(map);
        file.set_len(8 * page as u64).unwrap();
        let again = MappedFile::new(&file, page).unwrap();
        assert!(!again.was_cut() && other[page - 1] == 7);
    }

    #[test]
    fn empty_file_is_an_empty_map() {
        let file = tempfile::tempfile().unwrap();
        assert!(MappedFile::new(&file, 0).is_ok_and(|map| map.is_empty()));
    }
}
