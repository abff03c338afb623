//! Which stack a path of names is: a table from the beginnings of lines that were seen before to rows of stacks.

use std::hash::{BuildHasher, RandomState};

/// Bytes that are hashed at once.
const BLOCK: usize = 16;

/// Maps paths, and each part of one from its begin to the end of a name, to numbers above 0.
///
/// Of a line most is the begin of others: what is longest of that is found by one look-up for each name behind it and one more, as
/// the hash of any begin is that of its blocks, which are hashed once, and of less than a block behind them. As in
/// [`super::byte_table::ByteTable`], what is equal is told by a hash alone: by 96 bits of two independent parts with secret seeds, made
/// anew for each table, so that no input can be made to collide; by chance, two of ten million paths have the same hash once in 10^15
/// tables. It forgets nothing: there is an entry for each row of a profile's stacks.
#[derive(Debug)]
pub(super) struct PathTable {
    /// Open addressing; a power of two, of which three quarters are used at most.
    slots: Vec<Slot>,
    entries: usize,
    seeds: [u64; 2],
    /// Of the paths that were taken up: the states of their hashes before each block and behind the last.
    states: Vec<[u64; 2]>,
}

/// A place of the table; free if its value is 0.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u64,
    check: u32,
    value: u32,
}

const _: () = assert!(size_of::<Slot>() == 16, "a profile of millions of stacks has one for each");

/// The hash of a path's first bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash {
    hash: u64,
    check: u32,
}

/// A path that was taken up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    pub bytes: &'a [u8],
    /// The first of its states.
    states: usize,
}

impl PathTable {
    pub fn new() -> PathTable {
        let seeds = [RandomState::new().hash_one(0), RandomState::new().hash_one(1)];
        PathTable { slots: vec![Slot::default(); 1 << 10], entries: 0, seeds, states: Vec::new() }
    }

    /// Forgets the paths that were taken up.
    pub fn clear_paths(&mut self) {
        self.states.clear();
    }

    /// Takes up a path, of which parts are to be looked up.
    #[inline]
    pub fn take_up<'a>(&mut self, bytes: &'a [u8]) -> Path<'a> {
        let states = self.states.len();
        let [mut one, mut two] = self.seeds;
        self.states.push([one, two]);
        self.states.extend(bytes.chunks_exact(BLOCK).map(|block| {
            let (low, high) = words(u128::from_le_bytes(block.try_into().expect("a block has its size")));
            (one, two) =
                (fold(low ^ one, high ^ ODD[1] ^ self.seeds[1]), fold(high ^ two, low ^ ODD[2] ^ self.seeds[0]));
            [one, two]
        }));
        Path { bytes, states }
    }

    /// The number of what has this hash.
    #[inline]
    pub fn get(&self, hash: Hash) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash.hash as usize & mask;
        loop {
            let slot = &self.slots[at];
            if slot.value == 0 {
                return None;
            }
            if slot.hash == hash.hash && slot.check == hash.check {
                return Some(slot.value);
            }
            at = (at + 1) & mask;
        }
    }

    /// Loads the place of each, so that it is near when it is looked up: where many are loaded at once, memory is waited for once.
    #[inline]
    pub fn load<'a>(&self, hashes: impl Iterator<Item = &'a Hash>) {
        let mask = self.slots.len() - 1;
        std::hint::black_box(hashes.fold(0, |all, hash| all ^ self.slots[hash.hash as usize & mask].value));
    }

    /// Gives what is not in the table a number, which is not 0.
    #[inline]
    pub fn insert(&mut self, hash: Hash, value: u32) {
        if (self.entries + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.place(Slot { hash: hash.hash, check: hash.check, value });
        self.entries += 1;
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![Slot::default(); self.slots.len() * 2];
        let slots = std::mem::replace(&mut self.slots, larger);
        slots.into_iter().filter(|slot| slot.value != 0).for_each(|slot| self.place(slot));
    }

    #[inline]
    fn place(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.hash as usize & mask;
        while self.slots[at].value != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    /// The hash of the first `length` bytes of a path.
    #[inline]
    pub fn hash(&self, Path { bytes, states }: Path<'_>, length: usize) -> Hash {
        let [one, two] = self.states[states + length / BLOCK];
        let (begin, over) = (length - length % BLOCK, length % BLOCK);
        let tail = match bytes.get(begin..begin + BLOCK) {
            Some(block) => {
                u128::from_le_bytes(block.try_into().expect("a block has its size")) & ((1 << (8 * over)) - 1)
            }
            None => {
                let mut block = [0; BLOCK];
                block[..over].copy_from_slice(&bytes[begin..length]);
                u128::from_le_bytes(block)
            }
        };
        // The length tells paths apart that differ in zeros at their ends.
        let (low, high) = words(tail);
        let size = (length as u64).wrapping_mul(ODD[0]);
        let one = fold(low ^ one ^ size, high ^ ODD[1] ^ self.seeds[1]);
        let two = fold(high ^ two ^ size, low ^ ODD[2] ^ self.seeds[0]);
        Hash { hash: fold(one, ODD[1]), check: fold(two, ODD[2]) as u32 }
    }
}

const ODD: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93, 0xa076_1d64_78bd_642f];

#[inline]
fn words(block: u128) -> (u64, u64) {
    (block as u64, (block >> 64) as u64)
}

/// Both halves of the product in one.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_begin_has_its_number() {
        let mut table = PathTable::new();
        let mut expected: HashMap<Vec<u8>, u32> = HashMap::new();
        for number in 0..3_000u32 {
            let name = |at: u32| match (number / 3 + at) % 7 {
                0 => String::new(),
                1 => "\0".repeat(at as usize),
                size => format!("{:size$}", number.wrapping_mul(0x9e37) >> (at % 9), size = size as usize * 4),
            };
            let path = (0..1 + number % 12).map(name).collect::<Vec<_>>().join(";").into_bytes();
            if number % 10 == 0 {
                table.clear_paths();
            }
            let path = table.take_up(&path);
            for length in 0..=path.bytes.len() {
                let hash = table.hash(path, length);
                let bytes = &path.bytes[..length];
                match (table.get(hash), expected.get(bytes)) {
                    (Some(found), Some(known)) => assert_eq!(found, *known),
                    (None, None) => {
                        let value = expected.len() as u32 + 1;
                        table.insert(hash, value);
                        expected.insert(bytes.to_vec(), value);
                    }
                    (found, known) => panic!("{found:?}, {known:?} of {bytes:?}"),
                }
            }
        }
        assert_eq!(table.entries, expected.len());
    }
}
