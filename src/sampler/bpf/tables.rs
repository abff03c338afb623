//! What programs search while they walk a stack: rules of files and mappings of processes, in memory that is shared with them.
//!
//! ```text
//! heap      | block | block | ...  64 segments of 512, made as they are needed
//!               ^ a table of rules: a run of blocks    ^ the mappings of a process: one block
//! ```
//! A run that is given back is not used at once: a walk may be in it. Programs run without sleeping, and an update of a map of
//! maps returns only when all of those have ended that had begun before (`maybe_wait_bpf_programs`, kernel/bpf/syscall.c), so one
//! such update frees all that has been given back until then.

use std::collections::BTreeMap;
use std::io;

use super::abi::{BLOCK_WORDS, MAPPING_SLOTS, MAPPINGS, Mapping, Process, RULES, SEGMENT_BLOCKS, SEGMENTS};
use super::sys::{self, Map, Shared};

/// Bytes of a block.
const BLOCK: usize = BLOCK_WORDS as usize * 4;

/// What programs search.
#[derive(Debug)]
pub struct Tables {
    /// The map of maps, and those in it.
    heap: Map,
    segments: Vec<(Map, Shared)>,
    rules: Shared,
    processes: Map,
    runs: Runs,
    /// Given back, and perhaps still looked at: first block, and how many.
    resting: Vec<(u32, u32)>,
    /// The blocks that lists of processes are in.
    lists: BTreeMap<u32, u32>,
    next_list: u64,
    most_segments: u32,
}

impl Tables {
    pub(super) fn new(heap: Map, rules: &Map, processes: Map) -> io::Result<Tables> {
        let rules = Shared::array(rules)?;
        let mut tables = Tables {
            heap,
            segments: Vec::new(),
            rules,
            processes,
            runs: Runs::default(),
            resting: Vec::new(),
            lists: BTreeMap::new(),
            next_list: 1,
            most_segments: SEGMENTS,
        };
        tables.add_segment()?;
        Ok(tables)
    }

    /// Lets the heap have no more than so many bytes, and at least one segment of 4 MiB.
    pub fn limit(&mut self, bytes: u64) {
        self.most_segments = (bytes / (BLOCK as u64 * u64::from(SEGMENT_BLOCKS))).clamp(1, u64::from(SEGMENTS)) as u32;
    }

    /// Bytes of kernel memory that the heap takes.
    pub fn heap_bytes(&self) -> u64 {
        self.segments.len() as u64 * u64::from(SEGMENT_BLOCKS) * BLOCK as u64
    }

    /// Bytes of it that are in use.
    pub fn used_bytes(&self) -> u64 {
        let resting: u64 = self.resting.iter().map(|(_, count)| u64::from(*count)).sum();
        self.heap_bytes() - (u64::from(self.runs.free()) + resting) * BLOCK as u64
    }

    /// Puts rules into the pool, from number `first` on; they may be used by tables that are added later.
    ///
    /// Panics if there are more than the pool has room for.
    pub fn set_rules(&mut self, first: u32, rules: &[u64]) {
        assert!(first as usize + rules.len() <= RULES as usize, "the pool of rules has its size");
        for (index, rule) in rules.iter().enumerate() {
            self.rules.word((first as usize + index) * 8).store(*rule, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Puts in a table, and gives its first block; nothing if there is no room.
    ///
    /// # Errors
    /// If the kernel gives no more memory.
    pub fn add(&mut self, words: &[u32]) -> io::Result<Option<u32>> {
        let count = words.len().div_ceil(BLOCK_WORDS as usize) as u32;
        let Some(first) = self.take(count)? else { return Ok(None) };
        self.write(first, words);
        Ok(Some(first))
    }

    /// Takes out a table of so many words.
    pub fn remove(&mut self, block: u32, words: usize) {
        self.resting.push((block, words.div_ceil(BLOCK_WORDS as usize) as u32));
    }

    /// Says what is mapped in a process, sorted by address, in place of what was said before; what is beyond the first 511
    /// mappings is left out. `exec_vm`: see [`Process`]. Says whether there was room.
    ///
    /// # Errors
    /// If the kernel gives no more memory, or takes no more processes (E2BIG).
    pub fn set_process(&mut self, tgid: u32, mappings: &[Mapping], exec_vm: u64) -> io::Result<bool> {
        let Some(block) = self.take(1)? else { return Ok(false) };
        let mappings = &mappings[..mappings.len().min(MAPPINGS as usize)];
        let list = self.next_list;
        self.next_list += 1;
        let (segment, offset) = place(block);
        let memory = &self.segments[segment].1;
        let put = |slot: usize, mapping: &Mapping| {
            for (word, value) in [mapping.first, mapping.second].into_iter().enumerate() {
                let at = offset + slot * Mapping::SIZE + word * 8;
                memory.word(at).store(value, std::sync::atomic::Ordering::Relaxed);
            }
        };
        for (slot, mapping) in mappings.iter().enumerate() {
            put(slot, mapping);
        }
        put(MAPPING_SLOTS as usize - 1, &Mapping { first: list, second: 0 });
        let process = Process { block, count: mappings.len() as u32, list, exec_vm };
        // The call puts what was written before it in front of all that a program reads after it.
        if let Err(error) = self.processes.update(&tgid.to_ne_bytes(), &process.bytes()) {
            self.resting.push((block, 1));
            return Err(error);
        }
        if let Some(before) = self.lists.insert(tgid, block) {
            self.resting.push((before, 1));
        }
        Ok(true)
    }

    /// Forgets what is mapped in a process.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove_process(&mut self, tgid: u32) -> io::Result<()> {
        let removed = self.processes.remove(&tgid.to_ne_bytes());
        if let Some(block) = self.lists.remove(&tgid) {
            self.resting.push((block, 1));
        }
        removed.map(drop)
    }

    /// Whether programs know what is mapped in a process: they forget it when it runs another program, and when it ends; a process
    /// that is forked is known by what its parent had mapped.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn process(&self, tgid: u32) -> io::Result<Option<Process>> {
        let mut bytes = [0; Process::SIZE];
        let is_there = self.processes.get(&tgid.to_ne_bytes(), &mut bytes)?;
        Ok(if is_there { Process::read(&bytes) } else { None })
    }

    /// Waits until no program looks at what was given back.
    fn rest(&mut self) -> io::Result<()> {
        let (first, _) = self.segments.first().expect("there is one from the begin on");
        self.heap.update(&0u32.to_ne_bytes(), &sys::value_of_map(first))?;
        for (first, count) in self.resting.drain(..) {
            self.runs.give_back(first, count);
        }
        Ok(())
    }

    /// A run of blocks.
    fn take(&mut self, count: u32) -> io::Result<Option<u32>> {
        /// From so many blocks on that rest, they are waited for, before the heap is made larger.
        const MANY: u32 = 128;
        if count == 0 {
            return Ok(None);
        }
        if let Some(first) = self.runs.take(count) {
            return Ok(Some(first));
        }
        let resting: u32 = self.resting.iter().map(|(_, count)| count).sum();
        if resting >= MANY || (resting > 0 && self.segments.len() as u32 >= self.most_segments) {
            self.rest()?;
            if let Some(first) = self.runs.take(count) {
                return Ok(Some(first));
            }
        }
        while (self.segments.len() as u32) < self.most_segments {
            self.add_segment()?;
            if let Some(first) = self.runs.take(count) {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }

    fn add_segment(&mut self) -> io::Result<()> {
        let map = Map::new_array(BLOCK as u32, SEGMENT_BLOCKS)?;
        let memory = Shared::array(&map)?;
        let number = self.segments.len() as u32;
        self.heap.update(&number.to_ne_bytes(), &sys::value_of_map(&map))?;
        self.segments.push((map, memory));
        let first = number * SEGMENT_BLOCKS;
        // Block 0 stands for none.
        let unused = u32::from(number == 0);
        self.runs.give_back(first + unused, SEGMENT_BLOCKS - unused);
        Ok(())
    }

    fn write(&mut self, first: u32, words: &[u32]) {
        for (block, words) in (first..).zip(words.chunks(BLOCK_WORDS as usize)) {
            let (segment, offset) = place(block);
            self.segments[segment].1.write(offset, words);
        }
    }
}

/// In which segment a block is, and at which byte of it.
fn place(block: u32) -> (usize, usize) {
    ((block / SEGMENT_BLOCKS) as usize, (block % SEGMENT_BLOCKS) as usize * BLOCK)
}

/// Which blocks are free: first of each run, and its length; runs that touch are one.
#[derive(Debug, Default)]
struct Runs(BTreeMap<u32, u32>);

impl Runs {
    fn free(&self) -> u32 {
        self.0.values().sum()
    }

    /// The smallest run that is large enough, cut to size.
    fn take(&mut self, count: u32) -> Option<u32> {
        let fitting = self.0.iter().filter(|(_, length)| **length >= count);
        let (first, length) = fitting.min_by_key(|(_, length)| **length).map(|(first, length)| (*first, *length))?;
        self.0.remove(&first);
        if length > count {
            self.0.insert(first + count, length - count);
        }
        Some(first)
    }

    fn give_back(&mut self, first: u32, count: u32) {
        let (mut first, mut count) = (first, count);
        if let Some((before, length)) = self.0.range(..first).next_back().map(|(first, length)| (*first, *length))
            && before + length == first
        {
            self.0.remove(&before);
            (first, count) = (before, length + count);
        }
        if let Some(length) = self.0.remove(&(first + count)) {
            count += length;
        }
        self.0.insert(first, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_touch_are_one() {
        let mut runs = Runs::default();
        runs.give_back(1, 511);
        runs.give_back(512, 512);
        assert_eq!(runs.0, BTreeMap::from([(1, 1023)]));
        let [a, b, c] = [600, 10, 413].map(|count| runs.take(count).expect("there is room"));
        assert_eq!((a, b, c, runs.free()), (1, 601, 611, 0));
        assert_eq!(runs.take(1), None);
        runs.give_back(a, 600);
        runs.give_back(c, 413);
        // The smaller of both fits better.
        assert_eq!(runs.take(413), Some(c));
        runs.give_back(c, 413);
        runs.give_back(b, 10);
        assert_eq!(runs.0, BTreeMap::from([(1, 1023)]));
    }
}
