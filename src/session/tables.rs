//! Keeps what programs in the kernel know of processes and files: mappings of processes as they are now, tables of the files that
//! are mapped.
//!
//! ```text
//! "look at process N" --> /proc/N/maps --> images, each a number --> list of mappings --> kernel
//!                                            |                          ^
//!                                            '--> compiler (a thread) --' the smallest first: a large one delays no small one
//! ```
//! A program compares how much executable memory a process has with how much it had when its list was made, and asks for it to be
//! read anew. Other code in the same place is seen by the records of mappings, a moment later: which stacks were walked by what is not
//! right any more is found out by `recorder/changes.rs`. Until a list is right, and until a table is there, samples have copies of
//! their stacks.

mod restless;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use restless::Restless;

use super::compile_tables::{Job, compile_all, price};
use super::inbox::{Asked, Compiled, Inbox, Next};
use crate::image::{Images, Wanted, is_deleted_scratch, is_file_path};
use crate::model::ImageId;
use crate::process::clock;
use crate::process::proc::{self, MapsLine, executable_pages};
use crate::recorder::{Epochs, Listed, NumberedImage, NumberedImages};
use crate::sampler::bpf::abi::BLOCK_WORDS;
use crate::sampler::bpf::mappings::{List, Mapped};
use crate::sampler::bpf::{Refused, Table, Tables};

/// How often it is looked which processes have ended, and which tables were used.
const SWEEP: Duration = Duration::from_secs(1);
/// A process that is the same when it is looked at again is left alone for so long, then for twice as long, and so on.
const SHORTEST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_secs(5);
/// So often at most it is seen whether a process that programs ask for again and again is the same, as one whose code nobody has
/// a table of.
const LONGEST_GLANCE: Duration = Duration::from_millis(20);
/// To look at a process takes as long as a few copies of stacks: where those are there, a process is not looked at before.
const CALLS_BEFORE_LOOK: u8 = 4;
/// Of so many processes it is known how often they were asked for.
const MOST_STRANGERS: usize = 4096;
/// A table that was taken out for want of room is not made again for so long.
const EVICTED_FOR: Duration = Duration::from_secs(10);
/// Images have numbers of 16 bits.
const MOST_IMAGES: u32 = u16::MAX as u32;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Tables that were made.
    pub tables: u64,
    /// Files of which none could be made.
    pub refused: u64,
    /// Tables that were taken out for want of room.
    pub evicted: u64,
    /// Tables that found no room.
    pub no_room: u64,
    /// Times that the mappings of a process were read.
    pub looks: u64,
    /// Processes that found no room.
    pub processes_full: u64,
    /// Mappings that lists had no room for.
    pub left_out: u64,
    /// Times that other code was where some was listed.
    pub replaced: u64,
    /// What it was asked for and told of that found no room.
    pub unheard: u64,
    /// Bytes that tables and lists took in the kernel at the end, and the most that there was room for.
    pub used_bytes: u64,
    /// See `used_bytes`.
    pub heap_bytes: u64,
}

/// The thread that keeps the tables.
#[derive(Debug)]
pub(super) struct TableKeeper {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<Kept>>,
}

impl TableKeeper {
    /// Starts it; frames are to be told by the numbers of `numbered`, and what was listed when by `epochs`. If it is `lazy`, processes are
    /// looked at and tables made when walks have ended for want of them often enough, else at once. If there are `copies` of
    /// stacks that cannot be walked, processes in which code takes the place of other code are left to them.
    pub fn start(
        tables: Tables,
        images: Images,
        (numbered, epochs): (Arc<NumberedImages>, Arc<Epochs>),
        is_lazy: bool,
        has_copies: bool,
    ) -> io::Result<TableKeeper> {
        let inbox = Arc::<Inbox>::default();
        let (jobs, to_compile) = channel();
        let results = inbox.clone();
        std::thread::Builder::new().name("compile tables".into()).spawn(move || compile_all(&to_compile, &results))?;
        let keeper = Keeper::new(tables, images, (numbered, epochs), jobs, (is_lazy, has_copies));
        let asked = inbox.clone();
        let thread = std::thread::Builder::new().name("tables".into()).spawn(move || keeper.run(&asked))?;
        Ok(TableKeeper { inbox, thread: Some(thread) })
    }

    /// Where it is told what to look at.
    pub fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    /// Waits until all tables are there that were asked for until now, but no longer than so long.
    pub fn wait(&self, longest: Duration) {
        let (sender, ready) = channel();
        self.inbox.tell_when_ready(sender);
        let _ = ready.recv_timeout(longest);
    }

    /// Ends it.
    pub fn stop(mut self) -> Kept {
        self.end()
    }

    fn end(&mut self) -> Kept {
        self.inbox.end();
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for TableKeeper {
    fn drop(&mut self) {
        self.end();
    }
}

/// How far a file's table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has asked for it.
    Idle,
    Asked,
    At {
        block: u32,
    },
    Evicted {
        since: Instant,
    },
    Refused,
}

#[derive(Debug)]
struct Row {
    image: Arc<NumberedImage>,
    state: State,
    /// How often walks have ended, maybe, as it has no table; and how often they may until it gets one.
    missed: u32,
    price: u32,
}

/// What is known of a process.
#[derive(Debug)]
struct Known {
    lines: Vec<(MapsLine, u32)>,
    exec_vm: u64,
    /// As the kernel was told.
    told_vm: u64,
    epoch: u32,
    /// Just before it was read, in nanoseconds of `CLOCK_MONOTONIC`.
    read: u64,
    looked: Instant,
    rest: Duration,
    glanced: Instant,
    next_glance: Duration,
}

struct Keeper {
    tables: Tables,
    images: Images,
    numbered: Arc<NumberedImages>,
    epochs: Arc<Epochs>,
    /// Those that are left to copies, if there are copies.
    restless: Option<Restless>,
    jobs: Sender<Job>,
    /// By number, less one.
    rows: Vec<Row>,
    by_image: FxHashMap<ImageId, u32>,
    interned: u32,
    processes: FxHashMap<u32, Known>,
    is_lazy: bool,
    /// How often processes were asked for that were not looked at yet.
    strangers: FxHashMap<u32, u8>,
    /// Whether a list of mappings has found no room.
    lacks_room: bool,
    kept: Kept,
}

impl Keeper {
    /// See [`TableKeeper::start`]; `jobs`: where tables are made.
    fn new(
        tables: Tables,
        images: Images,
        (numbered, epochs): (Arc<NumberedImages>, Arc<Epochs>),
        jobs: Sender<Job>,
        (is_lazy, has_copies): (bool, bool),
    ) -> Keeper {
        Keeper {
            tables,
            images,
            numbered,
            epochs,
            restless: has_copies.then(Restless::default),
            jobs,
            rows: Vec::new(),
            by_image: FxHashMap::default(),
            interned: 0,
            processes: FxHashMap::default(),
            is_lazy,
            strangers: FxHashMap::default(),
            lacks_room: false,
            kept: Kept::default(),
        }
    }

    fn run(mut self, inbox: &Inbox) -> Kept {
        let mut swept = Instant::now();
        let mut waiting: Vec<Sender<()>> = Vec::new();
        loop {
            match inbox.next(SWEEP) {
                Next::Over => break,
                Next::Nothing => {}
                Next::Process(tgid, asked) => self.serve(tgid, &asked),
                Next::TellWhenReady(sender) => waiting.push(sender),
                // Tables that are finished together need each list to be written once only.
                Next::Compiled(all) => {
                    let mut finished = Vec::new();
                    for Compiled { number, table, first, rules } in all {
                        self.tables.set_rules(first, &rules);
                        finished.extend(self.compiled(number, table));
                    }
                    self.tell_again(&finished);
                }
            }
            if !waiting.is_empty() && self.rows.iter().all(|row| row.state != State::Asked) {
                for sender in waiting.drain(..) {
                    // Who does not wait any more does not mind.
                    let _ = sender.send(());
                }
            }
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                self.sweep();
            }
        }
        let (used_bytes, heap_bytes) = (self.tables.used_bytes(), self.tables.heap_bytes());
        Kept { used_bytes, heap_bytes, unheard: inbox.left_out(), ..self.kept }
    }

    /// Does what is asked for of a process.
    fn serve(&mut self, tgid: u32, asked: &Asked) {
        for change in &asked.changes {
            self.mapped_over(tgid, change);
        }
        if asked.has_more {
            // Other code may be anywhere in it.
            self.forget(tgid);
            self.look(tgid);
        }
        if asked.looks > 0 {
            self.was_asked(tgid, asked.looks - 1);
            self.look(tgid);
        }
    }

    /// A process was asked for so often besides: that counts where it is looked at, or a table made, only if it pays.
    fn was_asked(&mut self, tgid: u32, times: u32) {
        if !self.is_lazy || times == 0 {
            return;
        }
        let Some(known) = self.processes.get(&tgid) else {
            let calls = self.strangers.entry(tgid).or_default();
            *calls =
                u8::try_from(times).map_or(u8::MAX, |times| calls.saturating_add(times)).min(CALLS_BEFORE_LOOK - 1);
            return;
        };
        for (_, number) in &known.lines {
            if let Some(row) = (*number as usize).checked_sub(1).and_then(|row| self.rows.get_mut(row))
                && row.state == State::Idle
            {
                row.missed = row.missed.saturating_add(times);
            }
        }
    }

    /// Reads what is mapped in a process, if that may have changed.
    fn look(&mut self, tgid: u32) {
        let now = Instant::now();
        if self.restless.as_ref().is_some_and(|restless| restless.has(tgid, now)) {
            return;
        }
        // It may have its parent's list, or have had another one before it ran another program.
        let there = self.epoch_there(tgid);
        match self.processes.get_mut(&tgid) {
            Some(known) if there == Some(known.epoch) => {
                if now.duration_since(known.glanced) < known.next_glance {
                    return self.missed(tgid);
                }
                known.glanced = now;
                if now.duration_since(known.looked) < known.rest && executable_pages(tgid) == Some(known.exec_vm) {
                    known.next_glance = (known.next_glance * 2).min(LONGEST_GLANCE);
                    return self.missed(tgid);
                }
            }
            _ if self.is_lazy => {
                let calls = self.strangers.entry(tgid).or_default();
                *calls += 1;
                if *calls < CALLS_BEFORE_LOOK {
                    return;
                }
                self.strangers.remove(&tgid);
            }
            _ => {}
        }
        self.kept.looks += 1;
        let before = self.processes.get(&tgid).map(|known| known.epoch).filter(|epoch| there == Some(*epoch));
        let read_at = clock::now();
        let Some((lines, exec_vm)) = read(tgid) else {
            return self.forget(tgid);
        };
        let seen = clock::now();
        let rest = match self.processes.get(&tgid) {
            Some(known) if known.lines.iter().map(|(line, _)| line).eq(&lines) => (known.rest * 2).min(LONGEST_REST),
            _ => SHORTEST_REST,
        };
        let lines: Vec<(MapsLine, u32)> =
            lines.into_iter().map(|line| (line.clone(), self.number_of(&line, tgid))).collect();
        // Code that comes and goes all the time: it is found by looking it up, not by the size of all.
        let is_changing = lines.iter().any(|(line, number)| *number == 0 && line.path != b"[vsyscall]");
        let told_vm = if is_changing { 0 } else { exec_vm };
        let looked = Instant::now();
        let listed: Vec<Listed> =
            lines.iter().map(|(line, number)| restless::listed(line, *number, (read_at, seen))).collect();
        let epoch = self.epochs.of_list(tgid, before, &listed);
        let known = Known {
            lines,
            exec_vm,
            told_vm,
            epoch,
            read: read_at,
            looked,
            rest,
            glanced: looked,
            next_glance: SHORTEST_REST,
        };
        let former = self.processes.insert(tgid, known);
        if before.is_some_and(|before| before != epoch) {
            self.was_replaced(tgid);
        }
        self.missed(tgid);
        self.tell(tgid);
        if let Some(former) = former.filter(|former| former.epoch != epoch) {
            self.epochs.retire(former.epoch, clock::now());
        }
    }

    /// The epoch of the list that the kernel has for a process.
    fn epoch_there(&self, tgid: u32) -> Option<u32> {
        self.tables.process(tgid).ok()?.map(|process| process.epoch)
    }

    /// Gives the list of a process to the kernel.
    fn tell(&mut self, tgid: u32) {
        let Some(known) = self.processes.get(&tgid) else { return };
        let mapped: Vec<Mapped> = known.lines.iter().map(|(line, number)| self.mapped(line, *number)).collect();
        let list = List::of(&mapped);
        self.kept.left_out += list.left_out.len() as u64;
        match self.tables.set_process(tgid, &list, (known.told_vm, known.epoch)) {
            Ok(true) => {}
            Ok(false) | Err(_) => {
                self.kept.processes_full += 1;
                self.lacks_room = true;
                // What its list of before names may be taken out.
                self.forget(tgid);
            }
        }
    }

    fn mapped(&self, line: &MapsLine, number: u32) -> Mapped {
        let none = Mapped { start: line.start, end: line.end, image: number, block: 0, in_table: 0 };
        let Some(row) = (number as usize).checked_sub(1).and_then(|row| self.rows.get(row)) else { return none };
        let (State::At { block }, Some(file), Some(base)) = (row.state, &row.image.file, row.image.base.get()) else {
            return none;
        };
        let offset = if row.image.inode == 0 { 0 } else { line.offset };
        let bias = file.bias_of_mapping(line.start, offset, line.end - line.start);
        let in_table = bias.and_then(|bias| line.start.checked_sub(bias)?.checked_sub(*base));
        in_table.map_or(none, |in_table| Mapped { block, in_table, ..none })
    }

    /// The number of what is mapped; 0 of what is no file.
    fn number_of(&mut self, line: &MapsLine, pid: u32) -> u32 {
        let is_vdso = line.path == b"[vdso]";
        // A JIT keeps its code in such a file, to map it twice.
        let is_file = is_file_path(&line.path) && line.inode != 0 && !is_deleted_scratch(&line.path);
        if !is_vdso && !is_file {
            return 0;
        }
        let wanted = Wanted {
            path: &line.path,
            build_id: None,
            device: is_file.then_some(line.device),
            inode: is_file.then_some(line.inode),
            pid,
            start: line.start,
            end: line.end,
            offset: line.offset,
            time: 0,
        };
        let interned = &mut self.interned;
        let add = |_: crate::model::ImageKind, _: &str, _: Option<crate::model::BuildId>| {
            *interned += 1;
            ImageId(*interned)
        };
        let id = if is_vdso { self.images.intern_vdso(&wanted, add) } else { self.images.intern(&wanted, add) };
        if let Some(number) = self.by_image.get(&id) {
            return *number;
        }
        if self.rows.len() as u32 >= MOST_IMAGES {
            // Memory without a name is walked by frame pointers, which this must not be.
            return MOST_IMAGES;
        }
        let file = self.images.get(id).cloned();
        let image = Arc::new(NumberedImage {
            path: line.path.clone().into(),
            device: line.device,
            inode: if is_file { line.inode } else { 0 },
            pid,
            range: line.start..line.end,
            offset: line.offset,
            file: file.clone(),
            base: OnceLock::new(),
            used: AtomicBool::new(false),
        });
        let number = self.numbered.add(image.clone());
        let price = file.as_ref().map_or(0, |file| if self.is_lazy { price(file) } else { 0 });
        let state = if file.is_some() { State::Idle } else { State::Refused };
        self.rows.push(Row { image, state, missed: 0, price });
        self.by_image.insert(id, number);
        number
    }

    /// A walk may have ended for want of a table of what a process has mapped: those are asked for that were missed often enough.
    fn missed(&mut self, tgid: u32) {
        let Some(known) = self.processes.get(&tgid) else { return };
        for (_, number) in &known.lines {
            let Some(row) = (*number as usize).checked_sub(1).and_then(|row| self.rows.get_mut(row)) else { continue };
            let may_be_asked = match row.state {
                State::Idle => true,
                State::Evicted { since } => since.elapsed() >= EVICTED_FOR,
                State::Asked | State::At { .. } | State::Refused => false,
            };
            row.missed = row.missed.saturating_add(u32::from(may_be_asked));
            if let (true, Some(file)) = (may_be_asked && row.missed > row.price, &row.image.file)
                && self.jobs.send(Job { number: *number, file: file.clone() }).is_ok()
            {
                (row.state, row.missed) = (State::Asked, 0);
            }
        }
    }

    /// Takes a table in; gives its number if it is there now.
    fn compiled(&mut self, number: u32, table: Result<Table, Refused>) -> Option<u32> {
        let row = number as usize - 1;
        let Ok(table) = table else {
            self.kept.refused += 1;
            self.rows[row].state = State::Refused;
            return None;
        };
        let mut block = self.tables.add(number, &table.blocks).unwrap_or_default();
        if block.is_none() && self.make_room(table.blocks.len()) {
            block = self.tables.add(number, &table.blocks).unwrap_or_default();
        }
        let Some(block) = block else {
            self.kept.no_room += 1;
            self.rows[row].state = State::Evicted { since: Instant::now() };
            return None;
        };
        self.kept.tables += 1;
        let _ = self.rows[row].image.base.set(table.base);
        self.rows[row].state = State::At { block };
        Some(number)
    }

    /// Takes tables out that were not used for longest; says whether there is room then.
    fn make_room(&mut self, words: usize) -> bool {
        self.note_use();
        let of_table = |block: u32| self.rows.iter().position(|row| row.state == State::At { block });
        let Some(runs) = self.tables.to_evict(words, |block| of_table(block).is_some()) else { return false };
        let rows: Vec<(usize, u32)> = runs.iter().filter_map(|run| Some((of_table(run.first)?, run.first))).collect();
        for (row, _) in &rows {
            self.rows[*row].state = State::Evicted { since: Instant::now() };
            self.kept.evicted += 1;
        }
        let numbers: Vec<u32> = rows.iter().map(|(row, _)| *row as u32 + 1).collect();
        self.tell_again(&numbers);
        for (_, block) in &rows {
            self.tables.remove(*block);
        }
        true
    }

    /// Gives the lists of all processes that have mapped these images to the kernel once more.
    fn tell_again(&mut self, numbers: &[u32]) {
        if numbers.is_empty() {
            return;
        }
        let has_one = |known: &Known| known.lines.iter().any(|(_, number)| numbers.contains(number));
        let of: Vec<u32> = self.processes.iter().filter(|(_, known)| has_one(known)).map(|(tgid, _)| *tgid).collect();
        for tgid in of {
            // It may have run another program, or ended, since: then its list is gone, and is not to come back.
            if self.epoch_there(tgid) == self.processes.get(&tgid).map(|known| known.epoch) {
                self.tell(tgid);
            }
        }
    }

    fn note_use(&mut self) {
        for row in &self.rows {
            if let State::At { block } = row.state
                && row.image.used.swap(false, Ordering::Relaxed)
            {
                self.tables.touch(block);
            }
        }
    }

    /// Gives back what processes had that have ended.
    fn sweep(&mut self) {
        self.note_use();
        let gone: Vec<u32> =
            self.processes.keys().copied().filter(|tgid| matches!(self.tables.process(*tgid), Ok(None))).collect();
        for tgid in gone {
            self.forget(tgid);
        }
        if std::mem::take(&mut self.lacks_room) {
            self.make_room(BLOCK_WORDS as usize);
        }
        if self.strangers.len() > MOST_STRANGERS {
            self.strangers.clear();
        }
        // What is given back only when there is no room left makes the heap grow to its end.
        let _ = self.tables.tidy();
    }

    fn forget(&mut self, tgid: u32) {
        let _ = self.tables.remove_process(tgid);
        self.forget_known(tgid);
    }

    fn forget_known(&mut self, tgid: u32) {
        if let Some(known) = self.processes.remove(&tgid) {
            self.epochs.retire(known.epoch, clock::now());
        }
    }
}

/// The executable mappings of a process, and how many pages that are by the kernel's way to count (`is_exec_mapping`, mm/internal.h).
///
/// A text that was read while mappings changed has another number than the process then: programs see that, and it is read again.
fn read(tgid: u32) -> Option<(Vec<MapsLine>, u64)> {
    const WRITE: u32 = 2;
    let lines = proc::maps(tgid).ok()?;
    // The gate page is no memory of the process; nor has one that has ended any.
    let counted = lines.iter().filter(|line| line.protection & WRITE == 0 && line.path != b"[vsyscall]");
    let pages = counted.map(|line| line.end - line.start).sum::<u64>() / rustix::param::page_size() as u64;
    (pages > 0).then_some((lines, pages))
}

#[cfg(test)]
mod tests;
