//! What programs search while they walk a stack: rules of files and mappings of processes, in memory that is shared with them.
//!
//! ```text
//! heap      | block | block | ...  64 segments of 512, made as they are needed
//!               ^ a table of rules: a run of blocks    ^ the mappings of a process: one block
//! ```
//! A run that is given back is not used at once: a walk may be in it. Programs run without sleeping, and an update of a map of
//! maps returns only when all of those have ended that had begun before (`maybe_wait_bpf_programs`, kernel/bpf/syscall.c), so one
//! such update frees all that has been given back until then.

use std::io;
use std::sync::atomic::Ordering;

use rustc_hash::FxHashMap;

use super::abi::{BLOCK_WORDS, MAPPING_SLOTS, Mapping, Process, RULES, SEGMENT_BLOCKS};
use super::heap::{Heap, Run};
use super::mappings::List;
use super::sys::{self, Map, Shared};

/// Bytes of a block.
const BLOCK: usize = BLOCK_WORDS as usize * 4;

/// What programs search.
#[derive(Debug)]
pub struct Tables {
    /// The map of maps, and those in it.
    map: Map,
    segments: Vec<(Map, Shared)>,
    rules: Shared,
    processes: Map,
    heap: Heap,
    /// The blocks that lists of processes are in.
    lists: FxHashMap<u32, u32>,
    next_list: u64,
}

impl Tables {
    pub(super) fn new(map: Map, rules: &Map, processes: Map, heap_bytes: u64) -> io::Result<Tables> {
        let rules = Shared::array(rules)?;
        let blocks = u32::try_from(heap_bytes / BLOCK as u64).unwrap_or(u32::MAX);
        let mut tables = Tables {
            map,
            segments: Vec::new(),
            rules,
            processes,
            heap: Heap::new(blocks.max(SEGMENT_BLOCKS)),
            lists: FxHashMap::default(),
            next_list: 1,
        };
        tables.add_segment()?;
        Ok(tables)
    }

    /// Bytes of kernel memory that the heap takes.
    pub fn heap_bytes(&self) -> u64 {
        self.segments.len() as u64 * u64::from(SEGMENT_BLOCKS) * BLOCK as u64
    }

    /// Bytes of it that are in use.
    pub fn used_bytes(&self) -> u64 {
        u64::from(self.heap.used()) * BLOCK as u64
    }

    /// Puts rules into the pool, from number `first` on; they may be used by tables that are added later.
    ///
    /// Panics if there are more than the pool has room for.
    pub fn set_rules(&mut self, first: u32, rules: &[u64]) {
        assert!(first as usize + rules.len() <= RULES as usize, "the pool of rules has its size");
        for (index, rule) in rules.iter().enumerate() {
            self.rules.word((first as usize + index) * 8).store(*rule, Ordering::Relaxed);
        }
    }

    /// Puts in the table of an image, and gives its first block; nothing if there is no room.
    ///
    /// # Errors
    /// If the kernel gives no more memory.
    pub fn add(&mut self, image: u32, words: &[u32]) -> io::Result<Option<u32>> {
        let Some(run) = self.take(words.len().div_ceil(BLOCK_WORDS as usize) as u32)? else { return Ok(None) };
        for (block, words) in (run.first..).zip(words.chunks(BLOCK_WORDS as usize)) {
            let (segment, offset) = place(block);
            self.segments[segment].1.write(offset, words);
        }
        // The number makes it the image's.
        let (segment, offset) = place(run.first);
        self.segments[segment].1.write(offset, &[image]);
        Ok(Some(run.first))
    }

    /// Takes out a table; no list may name it any more.
    pub fn remove(&mut self, block: u32) {
        // A walk that comes by a list of before sees that it is not the image's.
        let (segment, offset) = place(block);
        self.segments[segment].1.write(offset, &[0]);
        self.heap.retire(block);
    }

    /// Says that a table was just used.
    pub fn touch(&mut self, block: u32) {
        self.heap.touch(block);
    }

    /// Which tables are to be taken out so that one of so many words finds room, those first that were not used for longest: of
    /// those that `may_go`. Nothing if that does not help.
    pub fn to_evict(&self, words: usize, may_go: impl Fn(u32) -> bool) -> Option<Vec<Run>> {
        self.heap.to_evict(words.div_ceil(BLOCK_WORDS as usize) as u32, may_go)
    }

    /// Says what is mapped in a process, in place of what was said before. `exec_vm`, `epoch`: see [`Process`]. Says whether there was room.
    ///
    /// # Errors
    /// If the kernel gives no more memory, or takes no more processes (E2BIG).
    pub fn set_process(&mut self, tgid: u32, list: &List, (exec_vm, epoch): (u64, u32)) -> io::Result<bool> {
        let Some(run) = self.take(1)? else { return Ok(false) };
        let number = self.next_list;
        self.next_list += 1;
        let (segment, offset) = place(run.first);
        let memory = &self.segments[segment].1;
        for (slot, mapping) in list.block(number).iter().enumerate() {
            let at = offset + slot * Mapping::SIZE;
            memory.word(at).store(mapping.first, Ordering::Relaxed);
            memory.word(at + 8).store(mapping.second, Ordering::Relaxed);
        }
        let count = list.words.len() as u32;
        let process = Process { block: run.first, count, list: number, exec_vm, epoch, reserved: 0 };
        // The call puts what was written before it in front of all that a program reads after it.
        if let Err(error) = self.processes.update(&tgid.to_ne_bytes(), &process.bytes()) {
            self.heap.retire(run.first);
            return Err(error);
        }
        if let Some(before) = self.lists.insert(tgid, run.first) {
            self.retire_list(before);
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
            self.retire_list(block);
        }
        removed.map(drop)
    }

    /// Gives the block of a list back. Processes that were forked may be known by it still; what it names may be taken out at
    /// any time from now on, so it has no number any more, and they are told of again.
    fn retire_list(&mut self, block: u32) {
        let (segment, offset) = place(block);
        let number = offset + (MAPPING_SLOTS as usize - 1) * Mapping::SIZE;
        self.segments[segment].1.word(number).store(0, Ordering::Release);
        self.heap.retire(block);
    }

    /// What programs know of a process: they forget it when it runs another program, and when it ends; a process that is forked is
    /// known by what its parent had mapped.
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
        self.map.update(&0u32.to_ne_bytes(), &sys::value_of_map(first))?;
        self.heap.reclaim();
        Ok(())
    }

    /// Makes what was given back free again, if it is much; waits for programs that may look at it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn tidy(&mut self) -> io::Result<()> {
        /// Half a segment.
        const MUCH: u32 = SEGMENT_BLOCKS / 2;
        if self.heap.retired() >= MUCH { self.rest() } else { Ok(()) }
    }

    /// A run of blocks, with memory for all of them.
    fn take(&mut self, blocks: u32) -> io::Result<Option<Run>> {
        let mut run = self.heap.take(blocks);
        if run.is_none() && blocks > 0 {
            self.rest()?;
            run = self.heap.take(blocks);
        }
        while (self.segments.len() as u32) < self.heap.segments() {
            self.add_segment()?;
        }
        Ok(run)
    }

    fn add_segment(&mut self) -> io::Result<()> {
        let map = Map::new_array(BLOCK as u32, SEGMENT_BLOCKS)?;
        let memory = Shared::array(&map)?;
        let number = self.segments.len() as u32;
        self.map.update(&number.to_ne_bytes(), &sys::value_of_map(&map))?;
        self.segments.push((map, memory));
        Ok(())
    }
}

/// In which segment a block is, and at which byte of it.
fn place(block: u32) -> (usize, usize) {
    ((block / SEGMENT_BLOCKS) as usize, (block % SEGMENT_BLOCKS) as usize * BLOCK)
}
