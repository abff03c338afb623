//! What was made of bytes that were seen before: a table from byte strings to numbers, for lines that come again and again.

use std::hash::{BuildHasher, RandomState};

/// Entries that are kept at most; a table that holds more is emptied, as it only saves work.
const MOST_ENTRIES: usize = 1 << 18;

/// Maps byte strings to numbers; forgets them when they become too many.
///
/// Strings are told apart by a hash of 128 bits, and not kept: comparing them took half of the time of reading text, as each is
/// in another place of memory. The hash is of two independent parts with secret seeds, made anew for each table, so that no input can be
/// made to collide; by chance, two of a table's strings have the same hash once in 10^27 tables.
#[derive(Debug)]
pub(super) struct ByteTable {
    /// Open addressing; a power of two.
    slots: Vec<Slot>,
    entries: usize,
    seeds: [u64; 2],
}

/// A place of the table; free if its hash is 0.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: [u64; 2],
    value: u32,
}

/// Where a string that was not found is to be put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vacant {
    hash: [u64; 2],
}

impl ByteTable {
    pub fn new() -> ByteTable {
        let seeds = [RandomState::new().hash_one(0), RandomState::new().hash_one(1)];
        ByteTable { slots: vec![Slot::default(); 1 << 10], entries: 0, seeds }
    }

    /// The number of `bytes`, or what [`ByteTable::insert`] takes.
    #[inline]
    pub fn get(&self, bytes: &[u8]) -> Result<u32, Vacant> {
        let hash = hash(bytes, self.seeds);
        let mask = self.slots.len() - 1;
        let mut at = hash[0] as usize & mask;
        loop {
            let slot = &self.slots[at];
            if slot.hash == hash {
                return Ok(slot.value);
            }
            if slot.hash == [0; 2] {
                return Err(Vacant { hash });
            }
            at = (at + 1) & mask;
        }
    }

    /// Gives bytes that are not in the table a number.
    pub fn insert(&mut self, vacant: Vacant, value: u32) {
        if self.entries >= MOST_ENTRIES {
            self.slots.fill(Slot::default());
            self.entries = 0;
        }
        if (self.entries + 1) * 2 > self.slots.len() {
            let larger = vec![Slot::default(); self.slots.len() * 2];
            let slots = std::mem::replace(&mut self.slots, larger);
            slots.into_iter().filter(|slot| slot.hash != [0; 2]).for_each(|slot| self.place(slot));
        }
        self.place(Slot { hash: vacant.hash, value });
        self.entries += 1;
    }

    fn place(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.hash[0] as usize & mask;
        while self.slots[at].hash != [0; 2] {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }
}

/// Two hashes of folded multiplications, 16 bytes at a time; never 0.
#[inline]
fn hash(bytes: &[u8], seeds: [u64; 2]) -> [u64; 2] {
    const ODD: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93, 0xa076_1d64_78bd_642f];
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("a word has eight bytes"));
    let length = (bytes.len() as u64).wrapping_mul(ODD[0]);
    let mut states = [seeds[0] ^ length, seeds[1] ^ length];
    let mut mix = |low: u64, high: u64| {
        states[0] = fold(low ^ states[0], high ^ ODD[1] ^ seeds[1]);
        states[1] = fold(high ^ states[1], low ^ ODD[2] ^ seeds[0]);
    };
    let mut rest = bytes;
    while let Some((block, after)) = rest.split_at_checked(16) {
        mix(word(&block[..8]), word(&block[8..]));
        rest = after;
    }
    // The last 16 bytes once more, or what there is.
    let mut last = [0; 16];
    match bytes.len() {
        length @ 16.. => last.copy_from_slice(&bytes[length - 16..]),
        length => last[..length].copy_from_slice(bytes),
    }
    mix(word(&last[..8]), word(&last[8..]));
    [fold(states[0], ODD[1]), fold(states[1], ODD[2]) | 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found() {
        let mut table = ByteTable::new();
        let key = |n: u32| format!("{n:016x}{}", "y".repeat(n as usize % 40)).into_bytes();
        for n in 0..50_000 {
            let vacant = table.get(&key(n)).unwrap_err();
            table.insert(vacant, n);
        }
        assert!((0..50_000).all(|n| table.get(&key(n)).is_ok_and(|found| found == n)));
        assert!(table.get(b"").is_err() && table.get(b"else").is_err());
    }

    #[test]
    fn strings_that_differ_a_little_are_others() {
        let mut table = ByteTable::new();
        // Every length to 70, of zeros and with each byte set in turn.
        let mut count = 0;
        for length in 0..70usize {
            for set in 0..=length {
                let mut key = vec![0u8; length];
                if let Some(byte) = key.get_mut(set) {
                    *byte = 1;
                }
                let vacant = table.get(&key).expect_err("it was not there");
                table.insert(vacant, count);
                count += 1;
            }
        }
        assert_eq!(table.entries as u32, count);
    }

    #[test]
    fn it_forgets_instead_of_growing_without_end() {
        let mut table = ByteTable::new();
        for n in 0..(MOST_ENTRIES + 10) as u32 {
            let key = n.to_le_bytes();
            let vacant = table.get(&key).unwrap_err();
            table.insert(vacant, n);
            assert_eq!(table.get(&key).unwrap(), n);
        }
        assert!(table.entries <= MOST_ENTRIES && table.slots.len() <= 2 * MOST_ENTRIES);
    }
}
