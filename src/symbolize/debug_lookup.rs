//! The functions and lines of a list of addresses, out of the debug information of one unit after the other.
//!
//! Everything is asked at once, so everything is read once and nothing is built that was not asked for: of a unit the
//! entries are passed over until a function holds an address, inlined functions are looked into as far as they hold one,
//! and the line program, if lines are wanted, runs until each address has its row. (The crate addr2line, which answers one
//! address after the other and so must build tables of all, needs about three times as long for the addresses of a profile.)
//!
//! ```text
//! .debug_aranges, else each unit's root --> units and their addresses, dealt out to threads
//! unit: entries --> subprogram > inlined > inlined ..   names by abstract origin (also in a supplementary file)
//!       line program --> file and line of the innermost; those of the others are where they were inlined
//! skeleton unit: the same, but for its entries, which are in the package (.dwp) or in a file of its own (.dwo)
//! ```

mod entry;
mod files;
mod lines;
mod names;
mod scopes;
mod skip;
mod split;
#[cfg(test)]
mod tests;
mod units;
mod walk;

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use gimli::{Dwarf, EndianSlice, RunTimeEndian, UnitRef};

use files::Files;
use names::Names;
pub(super) use split::Split;
use units::{Group, Units};

pub(super) type Bytes<'a> = EndianSlice<'a, RunTimeEndian>;

/// Most steps in what entries and units refer to, of one file: a hostile one may refer to one long list, line program or
/// name a million times. No real file seen takes a hundredth of them.
const MOST_STEPS: usize = 256 << 20;
/// Most bytes of all names that one thread keeps: entries without end may have one long name each.
const MOST_NAME_BYTES: usize = 256 << 20;
/// Fewest bytes of units that are worth another thread.
const FEWEST_FOR_THREAD: u64 = 1 << 20;

/// What is to be found of each address besides its functions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Files and lines.
    pub lines: bool,
}

/// No row.
const NONE: u32 = u32::MAX;

/// One function at some addresses, and the one that it is inlined into.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Row of the names.
    name: u32,
    /// The node of the caller, if it was inlined.
    parent: u32,
    /// File and line of the call, if it was inlined.
    call: (u32, u32),
}

/// What one thread has found, with its own tables.
#[derive(Debug)]
struct Part {
    nodes: Vec<Node>,
    /// The bytes of all names, and where each ends.
    name_bytes: Vec<u8>,
    name_ends: Vec<usize>,
    /// Row 0 is the path of what is not known.
    files: Vec<String>,
    found: Vec<FoundRow>,
    without_split: usize,
    /// How many units could not be read to the end.
    damaged: usize,
}

/// What is known of one address by one unit.
#[derive(Clone, Copy, Debug)]
struct FoundRow {
    /// The unit, by the order in which units are believed.
    group: u32,
    row: u32,
    node: u32,
    /// File and line.
    line: Option<(u32, u32)>,
}

impl Part {
    fn new() -> Part {
        Part {
            nodes: Vec::new(),
            name_bytes: Vec::new(),
            name_ends: vec![0],
            files: vec![String::new()],
            found: Vec::new(),
            without_split: 0,
            damaged: 0,
        }
    }

    /// The row of a name; none if names take too much already.
    fn add_name(&mut self, name: &[u8]) -> u32 {
        if self.name_bytes.len() + name.len() > MOST_NAME_BYTES {
            return NONE;
        }
        self.name_bytes.extend_from_slice(name);
        self.name_ends.push(self.name_bytes.len());
        u32::try_from(self.name_ends.len() - 2).unwrap_or(NONE)
    }
}

/// One function at an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DebugFrame<'a> {
    /// Its name as the debug information has it, mangled if it has that.
    pub name: Option<&'a [u8]>,
    /// The source file; empty if not known.
    pub file: &'a str,
    /// The line; 0 if not known.
    pub line: u32,
    /// Where the name stands, if it is of the debug information: equal rows are equal names.
    pub name_row: Option<(u32, u32)>,
    /// Where the file stands, if it is known.
    pub file_row: Option<(u32, u32)>,
}

/// Answers for addresses.
#[derive(Debug)]
pub(super) struct Looked {
    parts: Vec<Part>,
    found: Vec<Found>,
    /// How many units could not even be told from each other.
    damaged: usize,
}

/// What was found of one address.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// Part and node of the innermost function.
    function: Option<(u32, u32)>,
    /// Part, file and line of the code.
    line: Option<(u32, u32, u32)>,
}

impl Looked {
    /// The functions at an address, innermost first, into a list that is empty; it stays so if nothing is known.
    pub fn frames<'s>(&'s self, index: usize, into: &mut Vec<DebugFrame<'s>>) {
        let Found { function, line } = self.found[index];
        let mut place = line.unwrap_or_default();
        let Some((part, mut node)) = function else {
            if line.is_some() {
                into.push(self.frame(None, place));
            }
            return;
        };
        while let Some(known) = self.parts[part as usize].nodes.get(node as usize) {
            into.push(self.frame(Some((part, known.name)), place));
            place = (part, known.call.0, known.call.1);
            node = known.parent;
        }
    }

    fn frame(&self, name: Option<(u32, u32)>, place: (u32, u32, u32)) -> DebugFrame<'_> {
        let file = self.parts.get(place.0 as usize).and_then(|part| part.files.get(place.1 as usize));
        let text = name.and_then(|(part, row)| {
            let part = &self.parts[part as usize];
            let (row, end) = (row as usize, *part.name_ends.get((row as usize).checked_add(1)?)?);
            part.name_bytes.get(part.name_ends[row]..end)
        });
        let file_row = (place.1 > 0).then_some((place.0, place.1));
        DebugFrame { name: text, file: file.map_or("", String::as_str), line: place.2, name_row: name, file_row }
    }

    /// How many addresses are in units whose functions are in a file that was not found (`.dwo`).
    pub fn without_split(&self) -> usize {
        self.parts.iter().map(|part| part.without_split).sum()
    }

    /// How many units with addresses could not be read to the end, as they make no sense.
    pub fn damaged(&self) -> usize {
        self.damaged + self.parts.iter().map(|part| part.damaged).sum::<usize>()
    }
}

/// Looks up addresses, which are sorted, on up to `threads` threads.
pub(super) fn look_up(
    dwarf: &Dwarf<Bytes<'_>>,
    split: &Split<'_>,
    svmas: &[u64],
    wanted: Wanted,
    threads: usize,
) -> Looked {
    let (units, groups) = Units::with_addresses(dwarf, svmas);
    let weight: u64 = groups.iter().map(|group| group.weight).sum();
    let threads = usize::try_from(weight / FEWEST_FOR_THREAD).unwrap_or(threads).clamp(1, threads.max(1));
    // The largest first, so that all threads end at the same time.
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(groups[*at].weight));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut pass = Pass {
            units: &units,
            split,
            svmas,
            wanted,
            part: Part::new(),
            names: Names::default(),
            node_of: vec![NONE; svmas.len()],
            is_damaged: false,
            steps: Cell::new(0),
        };
        while let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            pass.group(u32::try_from(at).unwrap_or(NONE), &groups[at]);
        }
        pass.part
    };
    let parts = std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        let mut parts = vec![work()];
        // What a thread that our libraries did not survive has found is lost.
        parts.extend(others.into_iter().filter_map(|other| other.join().ok()));
        parts
    });
    Looked { damaged: units.damaged(), ..merge(parts, svmas.len()) }
}

/// One answer for each address. A few are in several units: the first that knows the function answers.
fn merge(mut parts: Vec<Part>, count: usize) -> Looked {
    let mut all = Vec::with_capacity(count);
    for (index, part) in (0u32..).zip(&mut parts) {
        all.extend(std::mem::take(&mut part.found).into_iter().map(|row| (index, row)));
    }
    all.sort_unstable_by_key(|(_, row)| (row.group, row.row));
    let mut found = vec![Found::default(); count];
    for (part, row) in all {
        let found = &mut found[row.row as usize];
        if found.function.is_none() {
            found.function = (row.node != NONE).then_some((part, row.node));
            found.line = found.line.or(row.line.map(|(file, line)| (part, file, line)));
        }
    }
    Looked { parts, found, damaged: 0 }
}

/// One thread's way through the units that it is dealt.
struct Pass<'d, 'a, 's> {
    units: &'s Units<'d, 'a>,
    split: &'s Split<'s>,
    svmas: &'s [u64],
    wanted: Wanted,
    part: Part,
    names: Names<'d, 'a>,
    /// For each address the innermost function so far, of the unit that is read.
    node_of: Vec<u32>,
    /// Whether something of the unit that is read makes no sense.
    is_damaged: bool,
    steps: Cell<usize>,
}

impl<'d, 'a> Pass<'d, 'a, '_> {
    /// Looks up the addresses of one unit.
    fn group(&mut self, number: u32, group: &Group<'a>) {
        let Ok(opened) = self.units.open(&group.unit, &self.steps) else {
            self.part.damaged += 1;
            return;
        };
        if self.is_spent() {
            return;
        }
        let asked = &group.rows;
        asked.iter().for_each(|row| self.node_of[*row as usize] = NONE);
        let unit = UnitRef::new(self.units.dwarf, &opened.unit);
        let mut files = Files::of(unit, opened.lines);
        self.is_damaged = false;
        let is_whole = match opened.unit.dwo_id {
            Some(id) => self.split_unit(id, &opened, asked, &mut files),
            None => {
                self.entries(&unit, asked, &mut files);
                true
            }
        };
        let mut lines = vec![None; asked.len()];
        if self.wanted.lines {
            self.lines(asked, &mut files, &mut lines);
        }
        self.part.damaged += usize::from(self.is_damaged || files.is_damaged());
        // Any number of units may refer to one long list of files.
        self.spend(files.listed());
        for (row, line) in asked.iter().zip(lines) {
            let node = self.node_of[*row as usize];
            // Of a unit whose functions are in another file only the line is here. That is the line of the innermost inlined
            // function, and would be blamed on the outer one: better none.
            let line = line.filter(|_| is_whole || node != NONE);
            if node != NONE || line.is_some() {
                self.part.found.push(FoundRow { group: number, row: *row, node, line });
            }
            self.part.without_split += usize::from(!is_whole && node == NONE);
        }
    }

    fn spend(&self, steps: usize) {
        spend(&self.steps, steps);
    }

    fn is_spent(&self) -> bool {
        is_spent(&self.steps)
    }
}

fn spend(steps: &Cell<usize>, more: usize) {
    steps.set(steps.get().saturating_add(more));
}

fn is_spent(steps: &Cell<usize>) -> bool {
    steps.get() > MOST_STEPS
}
