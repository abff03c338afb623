//! The ring that the kernel writes records into.
//!
//! ```text
//! | header page | data: a power of two of pages                      |
//!                  data_tail (ours) ... records ... data_head (kernel's)
//! ```
//! The kernel advances `data_head`; we advance `data_tail` once the bytes are copied out, so a slow reader loses
//! records instead of blocking the program under measurement. Both only grow; the place in the ring is their remainder.
//!
//! See `perf_event_open(2)`, section "MMAP layout".
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use perf_event_open_sys::bindings::perf_event_mmap_page;

use crate::perf::record::{self, Layout};

/// A ring, mapped for as long as it lives.
#[derive(Debug)]
pub struct RingBuffer {
    event: OwnedFd,
    header: NonNull<perf_event_mmap_page>,
    mapped_size: usize,
    data_offset: usize,
    /// A power of two.
    data_size: usize,
    /// How many stack copies were cut.
    trimmed: u64,
}

// SAFETY: the mapping belongs to the ring alone and is not bound to a thread; what the kernel shares is read by atomics
// or, between tail and head, is not written by it.
unsafe impl Send for RingBuffer {}

impl RingBuffer {
    /// Maps a ring of `pages` data pages (a power of two) on an event that is bound to one CPU.
    ///
    /// # Errors
    /// EPERM if it is larger than the user may lock (`kernel.perf_event_mlock_kb`, `RLIMIT_MEMLOCK`).
    pub fn map(event: BorrowedFd<'_>, pages: usize) -> io::Result<RingBuffer> {
        let event = event.try_clone_to_owned()?;
        let page = rustix::param::page_size();
        let mapped_size = page * (pages + 1);
        let protection = rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so no memory of ours is touched.
        let address = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), mapped_size, protection, rustix::mm::MapFlags::SHARED, &event, 0)
        }?;
        let header = NonNull::new(address.cast::<perf_event_mmap_page>()).expect("mmap never maps page 0");
        // The kernel says where the data begins since Linux 4.1; before, it is the second page.
        // SAFETY: the first page is mapped and holds a `perf_event_mmap_page`; these fields are set once, before mmap
        // returns.
        let (stated_offset, stated_size) = unsafe { ((*header.as_ptr()).data_offset, (*header.as_ptr()).data_size) };
        let (data_offset, data_size) =
            if stated_size == 0 { (page, page * pages) } else { (stated_offset as usize, stated_size as usize) };
        Ok(RingBuffer { event, header, mapped_size, data_offset, data_size, trimmed: 0 })
    }

    /// The event that the ring is mapped on.
    pub fn event(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// Size of the data part in bytes.
    pub fn size(&self) -> usize {
        self.data_size
    }

    /// How many stack copies were cut as they were read.
    pub fn trimmed(&self) -> u64 {
        self.trimmed
    }

    /// How many bytes of it wait to be read.
    pub fn used(&self) -> usize {
        let tail = self.tail().load(Ordering::Relaxed);
        usize::try_from(self.head().load(Ordering::Relaxed).saturating_sub(tail)).unwrap_or(usize::MAX)
    }

    /// Appends the records that the kernel has published since the last call to `out`, but no more than `limit` bytes;
    /// what is left stays for the next call.
    ///
    /// Of a sample's copy of the user stack only what is valid is taken, and no more than `stack` bytes (a multiple of 8); one
    /// that is cut so says that it is full. Returns how many records were read, and whether all were.
    pub fn drain(&mut self, layout: &Layout, limit: usize, stack: usize, out: &mut Vec<u8>) -> (usize, bool) {
        let head = self.head().load(Ordering::Acquire);
        let start = self.tail().load(Ordering::Relaxed);
        let (mut tail, mut count) = (start, 0);
        let mut all = true;
        while tail < head {
            let size = (self.word(tail) >> if cfg!(target_endian = "little") { 48 } else { 0 }) as u16;
            let size = usize::from(size);
            if size < record::HEADER || (head - tail) < size as u64 {
                // The kernel does not write such a record: take all of it as read, so that we come out of it.
                tail = head;
                break;
            }
            if out.len() + size > limit {
                all = false;
                break;
            }
            self.copy_record(tail, size, layout, stack, out);
            tail += size as u64;
            count += 1;
        }
        self.tail().store(tail, Ordering::Release);
        (count, all)
    }

    /// Copies the record at `at`, without the part of its stack copy that holds nothing.
    fn copy_record(&mut self, at: u64, size: usize, layout: &Layout, most: usize, out: &mut Vec<u8>) {
        let kind = self.word(at) as u32;
        let stack = (kind == record::kind::SAMPLE)
            .then(|| record::stack_copy(layout, size, |offset| self.word(at + offset as u64)))
            .flatten();
        let Some(stack) = stack else { return self.copy(at, size, out) };
        // A shortened copy stays longer than what is valid of it: an equal size would say that the stack goes on, as it does if
        // it is cut.
        let is_cut = stack.valid > most;
        let kept = if is_cut { most } else { (stack.valid + 15) & !7 };
        if kept >= stack.size {
            return self.copy(at, size, out);
        }
        self.trimmed += u64::from(is_cut);
        let first = out.len();
        self.copy(at, stack.size_at, out);
        out.extend_from_slice(&(kept as u64).to_ne_bytes());
        self.copy(at + stack.size_at as u64 + 8, kept, out);
        // What follows the copy: its valid size, and perhaps more.
        out.extend_from_slice(&(stack.valid.min(most) as u64).to_ne_bytes());
        let behind = stack.size_at + 8 + stack.size + 8;
        self.copy(at + behind as u64, size - behind, out);
        let shorter = (size - (stack.size - kept)) as u16;
        out[first + 6..first + 8].copy_from_slice(&shorter.to_ne_bytes());
    }

    fn copy(&self, at: u64, size: usize, out: &mut Vec<u8>) {
        let offset = at as usize & (self.data_size - 1);
        let before_wrap = size.min(self.data_size - offset);
        // SAFETY: both ranges lie inside the data part of the mapping, which lives as long as `self`; the kernel does
        // not write between tail and head, and tail is advanced only after this copy.
        let (first, second) = unsafe {
            (
                std::slice::from_raw_parts(self.data().add(offset), before_wrap),
                std::slice::from_raw_parts(self.data(), size - before_wrap),
            )
        };
        out.extend_from_slice(first);
        out.extend_from_slice(second);
    }

    /// The word at `at`: records and their fields are aligned to 8 bytes, so it never lies across the end.
    fn word(&self, at: u64) -> u64 {
        let offset = at as usize & (self.data_size - 1) & !7;
        // SAFETY: the offset is a multiple of 8 below `data_size`, itself a multiple of the page size, and the data part
        // is page-aligned; see `copy` for who writes.
        unsafe { self.data().add(offset).cast::<u64>().read() }
    }

    fn data(&self) -> *const u8 {
        // SAFETY: the data part lies inside the mapping.
        unsafe { self.header.as_ptr().cast::<u8>().add(self.data_offset) }
    }

    fn head(&self) -> &AtomicU64 {
        // SAFETY: `header` points at the first mapped page, which `self` keeps mapped; the field is 8-byte aligned there,
        // and the kernel stores to it only whole words.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.header.as_ptr()).data_head) }
    }

    fn tail(&self) -> &AtomicU64 {
        // SAFETY: as in `head`; of this field the kernel only reads.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.header.as_ptr()).data_tail) }
    }
}

impl Drop for RingBuffer {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `map`, and nothing borrowed from it outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.header.as_ptr().cast::<c_void>(), self.mapped_size) };
    }
}
