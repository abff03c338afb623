//! The functions and lines of a list of addresses, out of the debug information of one unit after the other.
//!
//! Everything is asked at once, so everything is read once and nothing is built that was not asked for: of a unit the
//! entries are passed over until a function holds an address, inlined functions are looked into as far as they hold one,
//! and the line program runs until each address has its row. (The crate addr2line, which answers one address after the
//! other and so must build tables of all, needs about three times as long for the addresses of a profile.)
//!
//! ```text
//! .debug_aranges, else each unit's root --> units and their addresses
//! unit: entries --> subprogram > inlined > inlined ..   names by abstract origin
//!       line program --> file and line of the innermost; those of the others are where they were inlined
//! ```

mod files;
#[cfg(test)]
mod tests;
mod units;

use std::cell::Cell;
use std::ops::Range;

use gimli::{
    AttributeValue, DebugInfoOffset, Dwarf, EndianSlice, Error, RunTimeEndian, Unit, UnitHeader, UnitOffset, UnitRef,
    UnitSectionOffset,
};
use rustc_hash::FxHashMap;

use files::Files;

type Bytes<'a> = EndianSlice<'a, RunTimeEndian>;

/// How deep functions may be inlined; the deepest seen is some forty.
const MOST_DEPTH: usize = 512;
/// Most steps in what entries and units refer to, of one file: a hostile one may refer to one long list, line program or
/// name a million times. No real file seen takes a hundredth of them.
const MOST_STEPS: usize = 256 << 20;
/// How often a name may refer to another entry.
const MOST_REFERENCES: usize = 16;

/// What was found of one address.
#[derive(Clone, Debug, Default)]
struct Found<'a> {
    /// The outermost function, and what is inlined into it, outermost first.
    functions: Vec<Function<'a>>,
    /// File and line of the code.
    line: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Function<'a> {
    name: Option<&'a [u8]>,
    /// File and line of the call, if it was inlined.
    call: (u32, u32),
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
}

/// Answers for addresses; files are rows of a table.
#[derive(Debug)]
pub(super) struct Looked<'a> {
    found: Vec<Found<'a>>,
    files: Vec<String>,
}

impl<'a> Looked<'a> {
    /// The functions at an address, innermost first, into a list that is empty; it stays so if nothing is known.
    pub fn frames<'s>(&'s self, index: usize, into: &mut Vec<DebugFrame<'s>>)
    where
        'a: 's,
    {
        let found = &self.found[index];
        let mut place = found.line.unwrap_or_default();
        for function in found.functions.iter().rev() {
            into.push(DebugFrame { name: function.name, file: self.file(place.0), line: place.1 });
            place = function.call;
        }
        if found.functions.is_empty() && found.line.is_some() {
            into.push(DebugFrame { name: None, file: self.file(place.0), line: place.1 });
        }
    }

    fn file(&self, row: u32) -> &str {
        self.files.get(row as usize).map_or("", String::as_str)
    }
}

/// Looks up addresses, which are sorted.
pub(super) fn look_up<'a>(dwarf: &Dwarf<Bytes<'a>>, svmas: &[u64]) -> Looked<'a> {
    let mut pass = Pass {
        dwarf,
        svmas,
        looked: Looked { found: vec![Found::default(); svmas.len()], files: vec![String::new()] },
        names: FxHashMap::default(),
        others: FxHashMap::default(),
        headers: Vec::new(),
        steps: Cell::new(0),
    };
    for (unit, asked) in pass.units() {
        pass.unit(&unit, &asked);
    }
    pass.looked
}

struct Pass<'d, 'a, 's> {
    dwarf: &'d Dwarf<Bytes<'a>>,
    svmas: &'s [u64],
    looked: Looked<'a>,
    /// Names of entries that were referred to.
    names: FxHashMap<usize, Option<&'a [u8]>>,
    /// Units that others refer to, by offset.
    others: FxHashMap<usize, Option<std::rc::Rc<Unit<Bytes<'a>>>>>,
    /// All units, by offset.
    headers: Vec<UnitHeader<Bytes<'a>>>,
    steps: Cell<usize>,
}

/// Where code is, as attributes say it.
#[derive(Default)]
struct Place<'a> {
    low: Option<u64>,
    high: Option<u64>,
    size: Option<u64>,
    ranges: Option<AttributeValue<Bytes<'a>>>,
}

impl<'a> Place<'a> {
    fn take(&mut self, unit: &UnitRef<'_, Bytes<'a>>, attribute: &gimli::Attribute<Bytes<'a>>) -> Result<(), Error> {
        match attribute.name() {
            gimli::DW_AT_low_pc => self.low = unit.attr_address(attribute.value())?,
            gimli::DW_AT_high_pc => match attribute.value() {
                AttributeValue::Udata(size) => self.size = Some(size),
                value => self.high = unit.attr_address(value)?,
            },
            gimli::DW_AT_ranges => self.ranges = Some(attribute.value()),
            _ => {}
        }
        Ok(())
    }

    /// Hands over each range. What linkers have thrown away is at 0, where no code is.
    fn each(
        &self,
        unit: &UnitRef<'_, Bytes<'a>>,
        steps: &Cell<usize>,
        mut to: impl FnMut(Range<u64>),
    ) -> Result<(), Error> {
        let mut give = |begin: u64, end: u64| {
            if begin < end && begin > 0 {
                to(begin..end);
            }
        };
        if let Some(value) = self.ranges
            && let Some(mut ranges) = unit.attr_ranges(value)?
        {
            while let Some(range) = ranges.next()? {
                steps.set(steps.get() + 1);
                if steps.get() > MOST_STEPS {
                    return Ok(());
                }
                give(range.begin, range.end);
            }
            return Ok(());
        }
        match (self.low, self.high, self.size) {
            (Some(low), Some(high), _) => give(low, high),
            (Some(low), None, Some(size)) => give(low, low.wrapping_add(size)),
            _ => {}
        }
        Ok(())
    }
}

/// One level of functions around the current entry.
struct Level {
    depth: isize,
    /// How many functions are around and at it: the length of the list that it extends.
    functions: usize,
    /// Its addresses, as part of the stack of them.
    hits: Range<usize>,
}

impl<'a> Pass<'_, 'a, '_> {
    /// Looks up the addresses of one unit.
    fn unit(&mut self, header: &UnitHeader<Bytes<'a>>, asked: &[u32]) {
        // What another unit has answered already is not asked again.
        let asked: Vec<u32> =
            asked.iter().copied().filter(|row| self.looked.found[*row as usize].functions.is_empty()).collect();
        if self.is_spent() {
            return;
        }
        let Ok(unit) = self.dwarf.unit(*header) else { return };
        self.spend(size_of_lines(&unit));
        // Of a unit whose functions are in another file (`.dwo`) only the line is here. That is the line of the innermost
        // inlined function, and would be blamed on the outer one: better none.
        if asked.is_empty() || unit.dwo_id.is_some() {
            return;
        }
        let unit = UnitRef::new(self.dwarf, &unit);
        let mut files = Files::of(unit);
        let _ = self.entries(&unit, &asked, &mut files);
        let _ = self.lines(&unit, &asked, &mut files);
    }

    /// Finds the functions. After an error in a function its addresses have none: half a list would take an inlined
    /// function for the outer one.
    fn entries(
        &mut self,
        unit: &UnitRef<'_, Bytes<'a>>,
        asked: &[u32],
        files: &mut Files<'_, 'a>,
    ) -> Result<(), Error> {
        let mut hits: Vec<u32> = Vec::new();
        let mut levels: Vec<Level> = Vec::new();
        let result = self.walk(unit, asked, files, &mut hits, &mut levels);
        if result.is_err() {
            hits.iter().for_each(|row| self.looked.found[*row as usize].functions.clear());
        }
        result
    }

    fn walk(
        &mut self,
        unit: &UnitRef<'_, Bytes<'a>>,
        asked: &[u32],
        files: &mut Files<'_, 'a>,
        hits: &mut Vec<u32>,
        levels: &mut Vec<Level>,
    ) -> Result<(), Error> {
        let mut entries = unit.entries_raw(None)?;
        // Entries that were jumped to count their depth from there.
        let mut base = 0;
        // How many addresses have no function yet; with the last one's function the unit is done.
        let mut left = asked.len();
        while !entries.is_empty() {
            let depth = base + entries.next_depth();
            while let Some(level) = levels.pop_if(|level| level.depth >= depth) {
                hits.truncate(level.hits.start);
            }
            if left == 0 && levels.is_empty() {
                return Ok(());
            }
            let offset = entries.next_offset();
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            let is_function = abbreviation.tag() == gimli::DW_TAG_subprogram;
            let is_inlined = abbreviation.tag() == gimli::DW_TAG_inlined_subroutine && !levels.is_empty();
            // Declarations, and what all instances of an inlined function have in common, are nowhere.
            let is_somewhere = |attributes: &[gimli::AttributeSpecification]| {
                attributes.iter().any(|attribute| matches!(attribute.name(), gimli::DW_AT_low_pc | gimli::DW_AT_ranges))
            };
            if !(is_function || is_inlined) || !is_somewhere(abbreviation.attributes()) {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let mut entry = Entry::default();
            for attribute in abbreviation.attributes() {
                entry.take(unit, &entries.read_attribute(*attribute)?)?;
            }
            let first = hits.len();
            let functions = if is_function { 0 } else { levels.last().map_or(0, |level| level.functions) };
            // Inlined functions have some of the addresses of what is around them.
            let around = if is_function { None } else { levels.last().map(|level| level.hits.clone()) };
            let (svmas, looked) = (self.svmas, &self.looked);
            entry.place.each(unit, &self.steps, |range| {
                let rows = match &around {
                    Some(around) => &hits[around.clone()],
                    None => asked,
                };
                let begin = rows.partition_point(|row| svmas[*row as usize] < range.start);
                let end = begin + rows[begin..].partition_point(|row| svmas[*row as usize] < range.end);
                self.steps.set(self.steps.get().saturating_add(end - begin));
                if self.steps.get() > MOST_STEPS {
                    return;
                }
                for at in begin..end {
                    let row = rows_at(hits, asked, around.as_ref(), at);
                    if looked.found[row as usize].functions.len() == functions {
                        hits.push(row);
                    }
                }
            })?;
            if hits.len() > first {
                hits[first..].sort_unstable();
                let mut last = None;
                let mut kept = first;
                for at in first..hits.len() {
                    if last != Some(hits[at]) {
                        last = Some(hits[at]);
                        hits[kept] = hits[at];
                        kept += 1;
                    }
                }
                hits.truncate(kept);
            }
            if hits.len() == first || functions >= MOST_DEPTH || self.steps.get() > MOST_STEPS {
                hits.truncate(first);
                // Nothing in it is asked for, unless functions of other places are nested in it.
                if is_function
                    && levels.is_empty()
                    && let Some(sibling) = entry.sibling.filter(|sibling| *sibling > offset)
                    && let Ok(next) = unit.entries_raw(Some(sibling))
                {
                    entries = next;
                    base = depth;
                }
                continue;
            }
            let name = self.name_of(unit, &entry)?;
            self.spend(name.map_or(0, <[u8]>::len) / 16);
            let call = match entry.call_file.filter(|_| is_inlined) {
                Some(file) => (files.row(file, &mut self.looked.files), entry.call_line),
                None => (0, entry.call_line),
            };
            for row in &hits[first..] {
                self.looked.found[*row as usize].functions.push(Function { name, call });
            }
            if is_function {
                left = left.saturating_sub(hits.len() - first);
            }
            levels.push(Level { depth, functions: functions + 1, hits: first..hits.len() });
        }
        Ok(())
    }

    fn spend(&self, steps: usize) {
        self.steps.set(self.steps.get().saturating_add(steps));
    }

    fn is_spent(&self) -> bool {
        self.steps.get() > MOST_STEPS
    }

    fn name_of(&mut self, unit: &UnitRef<'_, Bytes<'a>>, entry: &Entry<'a>) -> Result<Option<&'a [u8]>, Error> {
        let own = entry.linkage_name.or(entry.name);
        match (own.and_then(|value| unit.attr_string(value).ok()), entry.origin) {
            (Some(name), _) => Ok(Some(name.slice())),
            (None, Some(origin)) => self.referred_name(unit, origin, MOST_REFERENCES),
            (None, None) => Ok(None),
        }
    }

    /// The name of the entry that an attribute refers to.
    fn referred_name(
        &mut self,
        unit: &UnitRef<'_, Bytes<'a>>,
        reference: AttributeValue<Bytes<'a>>,
        left: usize,
    ) -> Result<Option<&'a [u8]>, Error> {
        let header = unit.header;
        let global = match reference {
            AttributeValue::UnitRef(offset) => offset.to_unit_section_offset(&header).0,
            AttributeValue::DebugInfoRef(offset) => offset.0,
            // In a file of its own (`.gnu_debugaltlink`), which we do not read.
            _ => return Ok(None),
        };
        if let Some(name) = self.names.get(&global) {
            return Ok(*name);
        }
        let name = match UnitSectionOffset(global).to_unit_offset(&header) {
            _ if left == 0 => None,
            Some(offset) => self.name_at(unit, offset, left)?,
            None => match self.other(global) {
                Some(other) => {
                    let other = UnitRef::new(self.dwarf, &other);
                    match UnitSectionOffset(global).to_unit_offset(&other.header) {
                        Some(offset) => self.name_at(&other, offset, left)?,
                        None => None,
                    }
                }
                None => None,
            },
        };
        self.names.insert(global, name);
        Ok(name)
    }

    fn name_at(
        &mut self,
        unit: &UnitRef<'_, Bytes<'a>>,
        offset: UnitOffset,
        left: usize,
    ) -> Result<Option<&'a [u8]>, Error> {
        let mut entries = unit.entries_raw(Some(offset))?;
        let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(None) };
        let mut entry = Entry::default();
        for attribute in abbreviation.attributes() {
            entry.take(unit, &entries.read_attribute(*attribute)?)?;
        }
        let own = entry.linkage_name.or(entry.name);
        match (own.and_then(|value| unit.attr_string(value).ok()), entry.origin) {
            (Some(name), _) => Ok(Some(name.slice())),
            (None, Some(origin)) => self.referred_name(unit, origin, left - 1),
            (None, None) => Ok(None),
        }
    }

    /// The unit that holds an offset of the section.
    fn other(&mut self, offset: usize) -> Option<std::rc::Rc<Unit<Bytes<'a>>>> {
        let header = *self.header_at(offset)?;
        let dwarf = self.dwarf;
        let unit = self.others.entry(offset_of(&header));
        unit.or_insert_with(|| dwarf.unit(header).ok().map(std::rc::Rc::new)).clone()
    }

    /// Runs the line program until each address has its row.
    fn lines(&mut self, unit: &UnitRef<'_, Bytes<'a>>, asked: &[u32], files: &mut Files<'_, 'a>) -> Result<(), Error> {
        let Some(program) = unit.line_program.clone() else { return Ok(()) };
        let svma = |at: usize| self.svmas[asked[at] as usize];
        // For each address file and line, as the program numbers them.
        let mut found: Vec<Option<(u64, u32)>> = vec![None; asked.len()];
        let mut left = asked.len();
        let mut rows = program.rows();
        let (mut before, mut at): (Option<(u64, u64, u32)>, usize) = (None, 0);
        while left > 0 {
            // What is in front of an error is believed.
            let Ok(Some((_, row))) = rows.next_row() else { break };
            self.spend(1);
            if self.is_spent() {
                break;
            }
            let address = row.address();
            match before {
                None => at = asked.partition_point(|row| self.svmas[*row as usize] < address),
                Some((start, file, line)) if start > 0 => {
                    while at < asked.len() && svma(at) < address {
                        if svma(at) >= start && found[at].is_none() {
                            found[at] = Some((file, line));
                            left -= 1;
                        }
                        at += 1;
                    }
                }
                Some(_) => {}
            }
            let line = row.line().map_or(0, |line| u32::try_from(line.get()).unwrap_or(0));
            before = (!row.end_sequence()).then_some((address, row.file_index(), line));
        }
        for (row, found) in asked.iter().zip(found) {
            let answer = &mut self.looked.found[*row as usize];
            if let Some((file, line)) = found
                && answer.line.is_none()
            {
                answer.line = Some((files.row(file, &mut self.looked.files), line));
            }
        }
        Ok(())
    }
}

/// How many steps it takes to read what stands in front of a line program.
fn size_of_lines(unit: &Unit<Bytes<'_>>) -> usize {
    let header = unit.line_program.as_ref().map(gimli::IncompleteLineProgram::header);
    header.map_or(0, |header| 8 * (header.file_names().len() + header.include_directories().len()))
}

fn rows_at(hits: &[u32], asked: &[u32], around: Option<&Range<usize>>, at: usize) -> u32 {
    match around {
        Some(around) => hits[around.start + at],
        None => asked[at],
    }
}

fn offset_of(header: &UnitHeader<Bytes<'_>>) -> usize {
    header.debug_info_offset().map_or(0, |DebugInfoOffset(offset)| offset)
}

/// What an entry says of a function.
#[derive(Default)]
struct Entry<'a> {
    place: Place<'a>,
    linkage_name: Option<AttributeValue<Bytes<'a>>>,
    name: Option<AttributeValue<Bytes<'a>>>,
    origin: Option<AttributeValue<Bytes<'a>>>,
    sibling: Option<UnitOffset>,
    call_file: Option<u64>,
    call_line: u32,
}

impl<'a> Entry<'a> {
    fn take(&mut self, unit: &UnitRef<'_, Bytes<'a>>, attribute: &gimli::Attribute<Bytes<'a>>) -> Result<(), Error> {
        match attribute.name() {
            gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => self.linkage_name = Some(attribute.value()),
            gimli::DW_AT_name => self.name = Some(attribute.value()),
            gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => self.origin = Some(attribute.value()),
            gimli::DW_AT_sibling => {
                if let AttributeValue::UnitRef(offset) = attribute.value() {
                    self.sibling = Some(offset);
                }
            }
            gimli::DW_AT_call_file => {
                // 0 is no file before DWARF 5, and the first one since (section 6.2.4.1).
                if let AttributeValue::FileIndex(file) = attribute.value() {
                    self.call_file = (file > 0 || unit.header.version() >= 5).then_some(file);
                }
            }
            gimli::DW_AT_call_line => {
                self.call_line = attribute.udata_value().and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
            }
            _ => self.place.take(unit, attribute)?,
        }
        Ok(())
    }
}
