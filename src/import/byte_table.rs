//! What was made of bytes that were seen before: a table from byte strings to numbers, for lines that come again and again.

use std::hash::{BuildHasher, RandomState};

/// Bytes that are kept at most; a table that holds more is emptied, as it only saves work.
const MOST_BYTES: usize = 12 << 20;
/// Entries that are kept at most.
const MOST_ENTRIES: usize = 1 << 18;

/// Maps byte strings to numbers; forgets them when they become too many.
///
/// Open addressing over rows of 16 bytes; the bytes lie in one piece of memory. The hash is seeded, so that no input can be made
/// to collide.
#[derive(Debug)]
pub(super) struct ByteTable {
    /// Row + 1; 0 is free. A power of two.
    slots: Vec<u32>,
    rows: Vec<Row>,
    bytes: Vec<u8>,
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    hash: u32,
    begin: u32,
    length: u32,
    value: u32,
}

/// Where a string that was not found is to be put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vacant {
    hash: u64,
}

impl ByteTable {
    pub fn new() -> ByteTable {
        ByteTable {
            slots: vec![0; 1 << 10],
            rows: Vec::new(),
            bytes: Vec::new(),
            seed: RandomState::new().hash_one(0) | 1,
        }
    }

    /// The number of `bytes`, or what [`ByteTable::insert`] takes.
    #[inline]
    pub fn get(&self, bytes: &[u8]) -> Result<u32, Vacant> {
        let hash = hash(bytes, self.seed);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.slots[slot] {
                0 => return Err(Vacant { hash }),
                row => {
                    let row = &self.rows[row as usize - 1];
                    if row.hash == (hash >> 32) as u32 && self.bytes_of(row) == bytes {
                        return Ok(row.value);
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Gives bytes that are not in the table a number.
    pub fn insert(&mut self, vacant: Vacant, bytes: &[u8], value: u32) {
        if bytes.len() > MOST_BYTES {
            return;
        }
        if self.bytes.len() + bytes.len() > MOST_BYTES || self.rows.len() >= MOST_ENTRIES {
            self.rows.clear();
            self.bytes.clear();
            self.slots.fill(0);
        }
        if (self.rows.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let (begin, length) = (self.bytes.len() as u32, bytes.len() as u32);
        self.bytes.extend_from_slice(bytes);
        self.rows.push(Row { hash: (vacant.hash >> 32) as u32, begin, length, value });
        self.place(vacant.hash, self.rows.len() as u32);
    }

    fn place(&mut self, hash: u64, row: u32) {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = row;
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        for row in 0..self.rows.len() {
            let hash = hash(self.bytes_of(&self.rows[row]), self.seed);
            self.place(hash, row as u32 + 1);
        }
    }

    #[inline]
    fn bytes_of(&self, row: &Row) -> &[u8] {
        &self.bytes[row.begin as usize..row.begin as usize + row.length as usize]
    }
}

/// A hash of folded multiplications, 16 bytes at a time.
#[inline]
fn hash(bytes: &[u8], seed: u64) -> u64 {
    const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("a word has eight bytes"));
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(ODD[0]);
    let mut rest = bytes;
    while let Some((block, after)) = rest.split_at_checked(16) {
        state = fold(word(&block[..8]) ^ state, word(&block[8..]) ^ ODD[1] ^ seed);
        rest = after;
    }
    // The last 16 bytes once more, or what there is.
    let mut last = [0; 16];
    match bytes.len() {
        length @ 16.. => last.copy_from_slice(&bytes[length - 16..]),
        length => last[..length].copy_from_slice(bytes),
    }
    fold(fold(word(&last[..8]) ^ state, word(&last[8..]) ^ ODD[0] ^ seed), ODD[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found() {
        let mut table = ByteTable::new();
        let key = |n: u32| format!("{n:016x}{}", "y".repeat(n as usize % 40)).into_bytes();
        for n in 0..50_000 {
            let key = key(n);
            let vacant = table.get(&key).unwrap_err();
            table.insert(vacant, &key, n);
        }
        assert!((0..50_000).all(|n| table.get(&key(n)).is_ok_and(|found| found == n)));
        assert!(table.get(b"").is_err() && table.get(b"else").is_err());
    }

    #[test]
    fn it_forgets_instead_of_growing_without_end() {
        let mut table = ByteTable::new();
        let mut key = vec![b'k'; 1 << 20];
        for n in 0..64u32 {
            key[..4].copy_from_slice(&n.to_le_bytes());
            let vacant = table.get(&key).unwrap_err();
            table.insert(vacant, &key, n);
            assert_eq!(table.get(&key).unwrap(), n);
        }
        assert!(table.bytes.len() <= MOST_BYTES);
    }
}
