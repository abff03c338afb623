//! How large rings and stack copies are.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::ring::RingBuffer;

/// Largest copy of the user stack: the record's size is a u16, and the copy a multiple of 8.
const LARGEST_STACK: u64 = 65_528;
const SMALLEST_STACK: u64 = 4_096;
/// The least that may be asked for: some ten frames.
const SMALLEST_ASKED: u64 = 512;
/// How much ring space stacks may take in a second on a CPU; at higher rates the copies are smaller.
const STACK_BYTES_PER_SECOND: f64 = 66e6;
/// How much time of samples a ring should hold, in seconds.
const RING_SECONDS: f64 = 0.5;
/// Below this much time in a ring the copies are made smaller instead.
const SHORTEST_RING_SECONDS: f64 = 0.2;
const SMALLEST_RING: usize = 512 << 10;
const LARGEST_RING: usize = 16 << 20;
/// All rings together.
const ALL_RINGS: usize = 512 << 20;

/// How much of the user stack a sample copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackSize(u32);

impl StackSize {
    /// Enough for the frame of most functions.
    pub const SMALLEST: StackSize = StackSize(SMALLEST_ASKED as u32);

    /// A number of bytes: a multiple of 8 from 512 to 65,528 (`perf_event_open(2)`, `sample_stack_user`); nothing for another one.
    pub fn new(bytes: u32) -> Option<StackSize> {
        let fits = (SMALLEST_ASKED..=LARGEST_STACK).contains(&u64::from(bytes)) && bytes.is_multiple_of(8);
        fits.then_some(StackSize(bytes))
    }

    /// In bytes.
    pub fn bytes(self) -> u32 {
        self.0
    }
}

/// Size of the copy of the user stack at a rate.
pub(super) fn stack_size(rate: f64) -> u64 {
    ((STACK_BYTES_PER_SECOND / rate.max(1.0)) as u64).clamp(SMALLEST_STACK, LARGEST_STACK) & !7
}

/// Size of a ring: the next power of two that holds [`RING_SECONDS`] of samples.
pub(super) fn ring_size(rate: f64, stack: u64, rings: usize) -> usize {
    let bytes = (rate * RING_SECONDS * (stack as f64 + 1024.0)) as usize;
    let most = (ALL_RINGS / rings.max(1)).next_power_of_two().clamp(SMALLEST_RING, LARGEST_RING);
    bytes.next_power_of_two().clamp(SMALLEST_RING, most)
}

/// The copy that a ring has room for.
pub(super) fn fitting_stack(wanted: u64, ring: usize, rate: f64) -> u64 {
    if wanted == 0 {
        return 0;
    }
    let room = ring as f64 / (rate.max(1.0) * SHORTEST_RING_SECONDS) - 1024.0;
    // A ring must hold two records at the least, or none gets in.
    let room = room.min(ring as f64 / 2.0 - 1024.0).max(512.0);
    wanted.min(room as u64) & !7
}

/// Maps a ring on each event: of `wanted` bytes, or as large as the memory lock limit lets all of them be.
pub(super) fn map_rings(owners: &[(u32, OwnedFd)], wanted: usize) -> io::Result<(Vec<RingBuffer>, usize)> {
    let page = rustix::param::page_size();
    let mut size = wanted.max(page);
    loop {
        let rings: io::Result<Vec<_>> =
            owners.iter().map(|(_, owner)| RingBuffer::map(owner.as_fd(), size / page)).collect();
        match rings {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOMEM)) && size / 2 >= page => {
                size /= 2;
            }
            rings => return Ok((rings?, size)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_multiples_of_eight_within_limits() {
        for (bytes, is_one) in [(512, true), (8192, true), (65_528, true), (504, false), (65_536, false), (1001, false)]
        {
            assert_eq!(StackSize::new(bytes).map(StackSize::bytes), is_one.then_some(bytes));
        }
    }

    #[test]
    fn copies_shrink_with_the_rate_and_the_ring() {
        assert_eq!((stack_size(99.0), stack_size(999.0)), (65_528, 65_528));
        assert!(stack_size(4999.0) < 16 << 10 && stack_size(1e6) == 4096);
        assert_eq!(fitting_stack(65_528, 16 << 20, 999.0), 65_528);
        assert!(fitting_stack(65_528, 512 << 10, 999.0) < 8 << 10);
        // However small the ring: a multiple of 8, and two records fit.
        assert_eq!(fitting_stack(65_528, 4096, 49_999.0), 512);
        assert_eq!(fitting_stack(0, 4096, 99.0), 0);
    }

    #[test]
    fn rings_are_powers_of_two_within_limits() {
        for rings in [1, 2, 128, 4096] {
            for rate in [1.0, 99.0, 999.0, 49_999.0] {
                let size = ring_size(rate, stack_size(rate), rings);
                assert!(size.is_power_of_two() && (SMALLEST_RING..=LARGEST_RING).contains(&size));
                assert!(size == SMALLEST_RING || size * rings <= 2 * ALL_RINGS, "{rings} {rate}");
            }
        }
    }
}
