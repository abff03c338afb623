//! Blocks of records are packed and unpacked, `codec [BLOCKS]`: generics, closures and trait objects, whose names carry hashes.
//!
//! `--cfg plant_crc20` repeats a fifth of `Crc::update`, `--cfg plant_small2` does the work of `Parity::update` twice. Neither
//! changes a block or the stream of random numbers. Prints the work done and a sum over all blocks.

use std::hint::black_box;

const RECORDS: usize = 256;

/// Random numbers of our own, so that each build has the same.
struct Stream(u64);

impl Stream {
    #[inline(never)]
    fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[derive(Clone, Copy, Default)]
struct Record {
    time: u64,
    key: u32,
    level: u8,
    value: u32,
}

#[inline(never)]
fn make_block(stream: &mut Stream, block: &mut Vec<Record>) {
    block.clear();
    let mut time = 1_700_000_000_000;
    for _ in 0..RECORDS {
        let drawn = stream.draw();
        time += drawn & 1023;
        block.push(Record { time, key: (drawn >> 10) as u32 & 0xffff, level: (drawn >> 40) as u8 & 7, value: (drawn >> 44) as u32 });
    }
}

/// What is summed over bytes.
trait Sum {
    fn update(&mut self, bytes: &[u8]);
    fn value(&self) -> u64;
}

struct Crc {
    table: [u32; 256],
    sum: u32,
}

impl Crc {
    #[inline(never)]
    fn new() -> Crc {
        let table = std::array::from_fn(|byte| {
            (0..8).fold(byte as u32, |sum, _| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 })
        });
        Crc { table, sum: !0 }
    }
}

impl Sum for Crc {
    #[inline(never)]
    fn update(&mut self, bytes: &[u8]) {
        if cfg!(plant_crc20) {
            let (mut again, mut at) = (self.sum, 0);
            while at < bytes.len() / 5 {
                again = self.table[(again as u8 ^ bytes[at]) as usize] ^ (again >> 8);
                at += 1;
            }
            // Masked by 0: it must be known before the sum is begun, so that the two do not overlap.
            self.sum ^= again & black_box(0);
        }
        // No iterator: its frames, inlined here, would take half of the time.
        let (mut sum, mut at) = (self.sum, 0);
        while at < bytes.len() {
            sum = self.table[(sum as u8 ^ bytes[at]) as usize] ^ (sum >> 8);
            at += 1;
        }
        self.sum = sum;
    }

    fn value(&self) -> u64 {
        u64::from(!self.sum)
    }
}

struct Fletcher(u32, u32);

impl Sum for Fletcher {
    #[inline(never)]
    fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes.iter().take(512) {
            self.0 = (self.0 + u32::from(byte)) % 65535;
            self.1 = (self.1 + self.0) % 65535;
        }
    }

    fn value(&self) -> u64 {
        u64::from(self.1) << 16 | u64::from(self.0)
    }
}

struct Parity(u32);

impl Sum for Parity {
    #[inline(never)]
    fn update(&mut self, bytes: &[u8]) {
        let one = |mut sum: u32| {
            let mut at = 0;
            while at < PARITY.min(bytes.len()) {
                sum = (sum << 5) ^ (sum >> 7) ^ bytes[at] as u32;
                at += 1;
            }
            sum
        };
        if cfg!(plant_small2) {
            self.0 ^= one(self.0 ^ 1) & black_box(0);
        }
        self.0 = one(self.0);
    }

    fn value(&self) -> u64 {
        u64::from(self.0)
    }
}

const PARITY: usize = 320;

/// A column that is written from records and read back.
trait Column {
    type Item: Copy + Default;
    fn of(record: &Record) -> Self::Item;
    fn write(item: Self::Item, before: Self::Item, out: &mut Vec<u8>);
    fn read(bytes: &mut &[u8], before: Self::Item) -> Self::Item;
}

#[inline(never)]
fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[inline(never)]
fn get_varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    number
}

struct Times;
struct Keys;
struct Levels;
struct Values;

impl Column for Times {
    type Item = u64;
    fn of(record: &Record) -> u64 {
        record.time
    }
    #[inline(never)]
    fn write(item: u64, before: u64, out: &mut Vec<u8>) {
        put_varint(item.wrapping_sub(before), out);
    }
    #[inline(never)]
    fn read(bytes: &mut &[u8], before: u64) -> u64 {
        before.wrapping_add(get_varint(bytes))
    }
}

impl Column for Keys {
    type Item = u32;
    fn of(record: &Record) -> u32 {
        record.key
    }
    #[inline(never)]
    fn write(item: u32, before: u32, out: &mut Vec<u8>) {
        put_varint(u64::from(item ^ before), out);
    }
    #[inline(never)]
    fn read(bytes: &mut &[u8], before: u32) -> u32 {
        get_varint(bytes) as u32 ^ before
    }
}

impl Column for Levels {
    type Item = u8;
    fn of(record: &Record) -> u8 {
        record.level
    }
    #[inline(never)]
    fn write(item: u8, before: u8, out: &mut Vec<u8>) {
        out.push(item << 4 | before & 15);
    }
    #[inline(never)]
    fn read(bytes: &mut &[u8], _before: u8) -> u8 {
        let Some((&byte, rest)) = bytes.split_first() else { return 0 };
        *bytes = rest;
        byte >> 4
    }
}

impl Column for Values {
    type Item = u32;
    fn of(record: &Record) -> u32 {
        record.value
    }
    #[inline(never)]
    fn write(item: u32, _before: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&item.to_le_bytes()[..3]);
    }
    #[inline(never)]
    fn read(bytes: &mut &[u8], _before: u32) -> u32 {
        let Some((three, rest)) = bytes.split_first_chunk::<3>() else { return 0 };
        *bytes = rest;
        u32::from_le_bytes([three[0], three[1], three[2], 0])
    }
}

#[inline(never)]
fn write_column<C: Column>(block: &[Record], out: &mut Vec<u8>) {
    let mut before = C::Item::default();
    for record in block {
        let item = C::of(record);
        C::write(item, before, out);
        before = item;
    }
}

#[inline(never)]
fn read_column<C: Column>(bytes: &mut &[u8], mut each: impl FnMut(usize, C::Item)) {
    let mut before = C::Item::default();
    for index in 0..RECORDS {
        before = C::read(bytes, before);
        each(index, before);
    }
}

/// How often each byte stands, and of how many bits a code for it would be.
#[inline(never)]
fn count_bits(bytes: &[u8], counts: &mut [u32; 256]) -> u32 {
    counts.fill(0);
    for &byte in bytes {
        counts[byte as usize] += 1;
    }
    counts.iter().map(|&count| count * (bytes.len() as u32 / (count + 1)).max(1).ilog2()).sum()
}

/// The largest part of the work: what matches would save, at some places, among the bytes before.
#[inline(never)]
fn find_matches(bytes: &[u8]) -> usize {
    let (mut saved, mut at) = (0, 96);
    while at + 16 < bytes.len() {
        let (mut best, mut back) = (0, 1);
        while back <= 80 {
            let mut length = 0;
            while length < 12 && bytes[at + length] == bytes[at + length - back] {
                length += 1;
            }
            if length > best {
                best = length;
            }
            back += 1;
        }
        saved += best;
        at += 13;
    }
    saved
}

#[inline(never)]
fn sort_by_key<K: Ord>(block: &mut [Record], key: impl Fn(&Record) -> K) {
    for index in 1..block.len().min(40) {
        let record = block[index];
        let mut at = index;
        while at > 0 && key(&block[at - 1]) > key(&record) {
            block[at] = block[at - 1];
            at -= 1;
        }
        block[at] = record;
    }
}

#[inline(never)]
fn filter(block: &[Record], keep: &dyn Fn(&Record) -> bool) -> u64 {
    block.iter().filter(|record| keep(record)).fold(0, |sum, record| sum.rotate_left(5) ^ u64::from(record.value))
}

#[inline(never)]
fn index_keys(block: &[Record], table: &mut [u16; 512]) {
    table.fill(0);
    for (index, record) in block.iter().enumerate() {
        let mut at = (record.key as usize).wrapping_mul(40503) >> 3 & 511;
        for _ in 0..4 {
            if table[at] == 0 {
                break;
            }
            at = (at + 1) & 511;
        }
        table[at] = index as u16 + 1;
    }
}

#[inline(never)]
fn describe(block: &[Record], text: &mut String) {
    use std::fmt::Write;
    text.clear();
    for record in block.iter().step_by(64) {
        let _ = write!(text, "{}:{:x} ", record.key, record.value);
    }
}

#[inline(never)]
fn pack(block: &[Record], out: &mut Vec<u8>) {
    out.clear();
    write_column::<Times>(block, out);
    write_column::<Keys>(block, out);
    write_column::<Levels>(block, out);
    write_column::<Values>(block, out);
}

#[inline(never)]
fn unpack(mut bytes: &[u8], into: &mut Vec<Record>) {
    into.clear();
    into.resize(RECORDS, Record::default());
    read_column::<Times>(&mut bytes, |index, time| into[index].time = time);
    read_column::<Keys>(&mut bytes, |index, key| into[index].key = key);
    read_column::<Levels>(&mut bytes, |index, level| into[index].level = level);
    read_column::<Values>(&mut bytes, |index, value| into[index].value = value);
}

#[inline(never)]
fn sum_up(sums: &mut [Box<dyn Sum>], bytes: &[u8]) {
    for sum in sums {
        sum.update(bytes);
    }
}

fn main() {
    let blocks: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(12_500);
    let mut stream = Stream(0x9e37_79b9_7f4a_7c15);
    let mut sums: Vec<Box<dyn Sum>> = vec![Box::new(Crc::new()), Box::new(Fletcher(1, 0)), Box::new(Parity(1))];
    let (mut block, mut packed, mut text, mut again) = (Vec::new(), Vec::new(), String::new(), Vec::new());
    let (mut counts, mut table, mut total) = ([0; 256], [0; 512], 0u64);
    for _ in 0..blocks {
        make_block(&mut stream, &mut block);
        pack(&block, &mut packed);
        sum_up(&mut sums, &packed);
        sum_up(&mut sums[..1], &packed[..packed.len() / 2]);
        total = total.rotate_left(3) ^ find_matches(&packed) as u64 ^ u64::from(count_bits(&packed, &mut counts));
        unpack(&packed, &mut again);
        sort_by_key(&mut again, |record| record.level);
        sort_by_key(&mut again[96..], |record| (record.key & 255, record.level));
        index_keys(&again, &mut table);
        describe(&again, &mut text);
        total ^= filter(&again, &|record| record.level > 3) ^ filter(&block, &|record| record.key & 1 == 0) ^ text.len() as u64;
    }
    let sums = sums.iter().fold(total, |total, sum| total.rotate_left(9) ^ sum.value());
    println!("blocks {blocks}\nsum {sums:016x}");
}
