//! The ring that programs put events into.
//!
//! ```text
//! | consumer page | producer page | data | the same data once more |
//!       ours           kernel's      consumer ... events ... producer
//! ```
//! Programs reserve room under a lock, so events are in the order of their begins; where there is no room they count it and go
//! on. Nobody waits for us. The data is mapped twice, so an event is never in two parts.
//!
//! See `Documentation/bpf/ringbuf.rst`; the marks are `BPF_RINGBUF_BUSY_BIT` and `BPF_RINGBUF_DISCARD_BIT`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::event::{Timespec, epoll};

use super::abi::{self, SampleEvent, StackEvent, StaleEvent};
use super::sys::{self, Map, Shared};

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
/// Bytes before each event.
const HEADER: u64 = 8;

/// What came through the ring.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A stack, before all that names it.
    Stack(Stack<'a>),
    /// A sample.
    Sample(SampleEvent),
    /// The mappings of this process are not those that are known.
    Stale(u32),
}

/// A stack as it came.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a> {
    /// What is said of it.
    pub head: StackEvent,
    /// Its frames, 8 bytes each: those of the kernel and then those of the user, innermost first.
    pub frames: &'a [u8],
}

impl<'a> Stack<'a> {
    /// The addresses of the kernel's frames, innermost first.
    pub fn kernel(&self) -> impl Iterator<Item = u64> + use<'a> {
        words(self.frames).take(self.head.kernel_frames as usize)
    }

    /// The user's frames, innermost first; see `FRAME_*` in [`super::abi`].
    pub fn user(&self) -> impl Iterator<Item = u64> + use<'a> {
        words(self.frames).skip(self.head.kernel_frames as usize).take(self.head.user_frames as usize)
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")))
}

/// The reading end of the ring.
#[derive(Debug)]
pub struct Ring {
    /// Readable once a program has woken who waits. The ring itself is whenever there is anything in it.
    wakes: OwnedFd,
    map: Map,
    ours: Shared,
    theirs: Shared,
    page: usize,
    unknown: u64,
    /// Whether the last reading ended for want of events that are whole.
    all_read: bool,
}

impl Ring {
    /// Maps the ring.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(map: Map) -> io::Result<Ring> {
        let page = rustix::param::page_size();
        let size = map.entries() as usize;
        let ours = Shared::map(map.as_fd(), page, 0, true)?;
        let theirs = Shared::map(map.as_fd(), page + 2 * size, page as u64, false)?;
        let wakes = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&wakes, &map, epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        Ok(Ring { wakes, map, ours, theirs, page, unknown: 0, all_read: true })
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        u64::from(self.map.entries())
    }

    /// How many bytes wait to be read.
    pub fn used(&self) -> u64 {
        let read = self.ours.word(0).load(Ordering::Relaxed);
        self.theirs.word(0).load(Ordering::Acquire).saturating_sub(read)
    }

    /// Events that were none that we know; there are none if programs and loader are of one version.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Whether the last reading has read all that it could.
    pub fn was_all_read(&self) -> bool {
        self.all_read
    }

    /// To be polled: programs wake who waits when mappings are to be read anew, and for nothing else.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.wakes.as_fd()
    }

    /// Reads what has come since the last call, up to what had come when it began; says how many events.
    ///
    /// It never waits, also not for a program that has reserved room and not written yet: that is read next time.
    pub fn read(&mut self, each: &mut dyn FnMut(Event<'_>)) -> u64 {
        self.read_some(u64::MAX, each)
    }

    /// The same, but it ends before it would have read more than so many bytes, or behind the event that has more.
    pub fn read_some(&mut self, most: u64, each: &mut dyn FnMut(Event<'_>)) -> u64 {
        // Who is woken from here on is woken for what is read next time. It cannot fail: the one descriptor in it is a ring.
        let mut woken = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }];
        let _ = epoll::wait(&self.wakes, &mut woken[..], Some(&Timespec::default()));
        let mut at = self.ours.word(0).load(Ordering::Relaxed);
        let published = self.theirs.word(0).load(Ordering::Acquire);
        let end = published.min(at.saturating_add(most));
        self.all_read = end == published;
        let mut count = 0;
        while at < end {
            let offset = self.page + (at % self.size()) as usize;
            // The program stores the length with the mark taken away once the event is whole (`bpf_ringbuf_commit`).
            let length = sys::length_word(self.theirs.word(offset).load(Ordering::Acquire));
            if length & BUSY != 0 {
                self.all_read = true;
                break;
            }
            let bytes = u64::from(length & !DISCARDED);
            if length & DISCARDED == 0 {
                // SAFETY: between what we have read and what has been published nobody writes, until we say that it is read.
                let event = unsafe { self.theirs.bytes(offset + HEADER as usize, bytes as usize) };
                match parse(event) {
                    Some(event) => each(event),
                    None => self.unknown += 1,
                }
                count += 1;
            }
            at += (bytes + HEADER).next_multiple_of(8);
            // What is read is given back at once: programs may be short of room.
            self.ours.word(0).store(at, Ordering::Release);
        }
        count
    }
}

fn parse(bytes: &[u8]) -> Option<Event<'_>> {
    let kind = u32::from_ne_bytes(*bytes.first_chunk()?);
    match kind {
        abi::EVENT_STACK => {
            let head = StackEvent::read(bytes)?;
            let size = 8 * (head.kernel_frames as usize + head.user_frames as usize);
            Some(Event::Stack(Stack { head, frames: bytes[StackEvent::SIZE..].get(..size)? }))
        }
        abi::EVENT_SAMPLE => SampleEvent::read(bytes).map(Event::Sample),
        abi::EVENT_STALE => StaleEvent::read(bytes).map(|event| Event::Stale(event.tgid)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_that_is_cut_is_none() {
        let head = StackEvent { kind: abi::EVENT_STACK, kernel_frames: 1, user_frames: 2, ..StackEvent::default() };
        let mut bytes = head.bytes().to_vec();
        for word in [10u64, 20, 30] {
            bytes.extend(word.to_ne_bytes());
        }
        let Some(Event::Stack(stack)) = parse(&bytes) else { panic!("it is a stack") };
        assert_eq!(stack.kernel().collect::<Vec<_>>(), [10]);
        assert_eq!(stack.user().collect::<Vec<_>>(), [20, 30]);
        assert!(parse(&bytes[..bytes.len() - 1]).is_none());
        assert!(parse(&[]).is_none() && parse(&9u32.to_ne_bytes()).is_none());
    }
}
