//! Which unit knows an address: by `.debug_aranges`, else by each unit's root.

use std::cell::Cell;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebugAddrBase, DebugInfoOffset, DebugLineOffset,
    DebugLocListsBase, DebugRngListsBase, DebugStrOffsetsBase, Dwarf, EndianSlice, Error, Reader as _, Section as _,
    Unit, UnitHeader, UnitRef, UnitType,
};
use rustc_hash::FxHashMap;

use super::entry::Place;
use super::{Bytes, is_spent, spend};

/// In how many units one address is looked for; functions that linkers have merged are in a few.
const MOST_UNITS: u8 = 16;

/// The units of one file.
#[derive(Debug)]
pub(super) struct Units<'d, 'a> {
    pub dwarf: &'d Dwarf<Bytes<'a>>,
    all: OnceLock<Headers<'a>>,
    /// How many units of those that know addresses, or may know some, cannot be read.
    unread: usize,
    /// Where tables of abbreviations are that several units have in common which may know addresses, sorted.
    shared: Vec<usize>,
    /// Tables of abbreviations that several units have in common and that were read: those that a link-time optimizer made of
    /// one object each have some thousand.
    tables: Mutex<FxHashMap<usize, Arc<Abbreviations>>>,
}

/// All units. Each lies on a page of its own, so they are read only when one is looked for that `.debug_aranges` does not tell.
#[derive(Debug)]
struct Headers<'a> {
    /// By offset.
    headers: Vec<UnitHeader<Bytes<'a>>>,
    /// Where tables of abbreviations are that several units have in common, sorted.
    shared: Vec<usize>,
    /// Whether what follows the last of them is none.
    is_damaged: bool,
}

/// A unit, and the addresses that it may know.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub unit: UnitHeader<Bytes<'a>>,
    /// Rows of the addresses, sorted.
    pub rows: Vec<u32>,
    /// How many bytes its entries take.
    pub weight: u64,
}

/// A unit of which the root was read.
pub(super) struct Opened<'a> {
    /// Its line program is not: that would take reading the names of all files.
    pub unit: Unit<Bytes<'a>>,
    pub lines: Option<DebugLineOffset>,
    /// The name of the file that has its entries (`DW_AT_dwo_name`).
    pub split_name: Option<AttributeValue<Bytes<'a>>>,
    place: Place<'a>,
}

impl<'d, 'a> Units<'d, 'a> {
    /// The units of a file.
    pub fn of(dwarf: &'d Dwarf<Bytes<'a>>) -> Units<'d, 'a> {
        Units { dwarf, all: OnceLock::new(), unread: 0, shared: Vec::new(), tables: Mutex::default() }
    }

    fn all(&self) -> &Headers<'a> {
        self.all.get_or_init(|| {
            let (mut headers, mut tables) = (Vec::new(), Vec::new());
            let mut units = self.dwarf.units();
            let is_damaged = loop {
                match units.next() {
                    Ok(Some(header)) => {
                        tables.push(header.debug_abbrev_offset().0);
                        headers.push(header);
                    }
                    result => break result.is_err(),
                }
            };
            Headers { headers, shared: repeated(tables), is_damaged }
        })
    }

    /// All units, and which of them may know addresses, which are sorted.
    pub fn with_addresses(dwarf: &'d Dwarf<Bytes<'a>>, svmas: &[u64]) -> (Units<'d, 'a>, Vec<Group<'a>>) {
        let mut units = Units::of(dwarf);
        let mut pairs = Pairs { svmas, counts: vec![0; svmas.len()], pairs: Vec::new(), steps: Cell::new(0) };
        let mut listed: Vec<usize> = Vec::new();
        let mut headers = dwarf.debug_aranges.headers();
        while let Ok(Some(header)) = headers.next() {
            let unit = header.debug_info_offset().0;
            let mut any = false;
            let mut entries = header.entries();
            // A range that overflows is one that a linker threw away; the iterator ends by itself after other errors.
            while let Some(entry) = entries.next().transpose() {
                let Ok(entry) = entry else { continue };
                if entry.length() > 0 && entry.address() > 0 {
                    let range = entry.range();
                    pairs.add(range.begin, range.end, unit);
                    any = true;
                }
            }
            if any {
                listed.push(unit);
            }
        }
        if pairs.counts.contains(&0) {
            listed.sort_unstable();
            units.find_unlisted(&listed, &mut pairs);
        }
        let groups = units.group(pairs.pairs);
        units.shared = repeated(groups.iter().map(|group| group.unit.debug_abbrev_offset().0).collect());
        (units, groups)
    }

    /// Adds the units that `.debug_aranges` does not list.
    fn find_unlisted(&mut self, listed: &[usize], pairs: &mut Pairs<'_>) {
        let (steps, mut unread) = (Cell::new(0), 0);
        for header in self.headers() {
            let is_code = matches!(header.type_(), UnitType::Compilation | UnitType::Skeleton(_));
            let is_listed = listed.binary_search(&offset_of(header)).is_ok();
            if is_code && !is_listed && !is_spent(&steps) {
                // What is in front of an error is believed: that it knows an address is only a guess anyway.
                let pairs_before = pairs.pairs.len();
                let result = self.root_ranges(header, &steps, pairs);
                // One that knows addresses is read again, and counted then.
                unread += usize::from(result.is_err() && pairs.pairs.len() == pairs_before);
            }
        }
        self.unread += unread;
    }

    fn group(&mut self, mut pairs: Vec<(usize, u32)>) -> Vec<Group<'a>> {
        pairs.sort_unstable();
        pairs.dedup();
        let groups = pairs.chunk_by(|one, other| one.0 == other.0);
        let dwarf = self.dwarf;
        let grouped = groups.filter_map(|group| {
            let Ok(unit) = dwarf.unit_header(DebugInfoOffset(group[0].0)) else {
                self.unread += 1;
                return None;
            };
            let weight = unit.unit_length() as u64;
            Some(Group { unit, rows: group.iter().map(|(_, row)| *row).collect(), weight })
        });
        grouped.collect()
    }

    /// The unit that holds an offset of the section.
    pub fn header_at(&self, offset: usize) -> Option<&UnitHeader<Bytes<'a>>> {
        let headers = self.headers();
        let at = headers.partition_point(|header| offset_of(header) <= offset).checked_sub(1)?;
        headers.get(at)
    }

    /// How many units cannot be read that know addresses, or may know some. What follows one that cannot be passed over counts as
    /// one.
    pub fn damaged(&self) -> usize {
        // The one after which none is found may be one that `.debug_aranges` leads to.
        self.unread.max(usize::from(self.all.get().is_some_and(|all| all.is_damaged)))
    }

    pub fn headers(&self) -> &[UnitHeader<Bytes<'a>>] {
        &self.all().headers
    }

    /// Reads the root of a unit.
    pub fn open(&self, header: &UnitHeader<Bytes<'a>>, steps: &Cell<usize>) -> Result<Opened<'a>, Error> {
        self.root(header, self.abbreviations(header.debug_abbrev_offset(), steps)?)
    }

    fn abbreviations(&self, at: DebugAbbrevOffset, steps: &Cell<usize>) -> Result<Arc<Abbreviations>, Error> {
        let read = || {
            let rest = self.dwarf.debug_abbrev.reader().slice().get(at.0..).unwrap_or_default();
            spend(steps, length_of_table(rest));
            self.dwarf.debug_abbrev.abbreviations(at).map(Arc::new)
        };
        let is_in = |shared: &[usize]| shared.binary_search(&at.0).is_ok();
        if !is_in(&self.shared) && !self.all.get().is_some_and(|all| is_in(&all.shared)) {
            return read();
        }
        let tables = || self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables().get(&at.0) {
            return Ok(Arc::clone(table));
        }
        let table = read()?;
        tables().insert(at.0, Arc::clone(&table));
        Ok(table)
    }

    /// See [`Unit::new_with_abbreviations`], which reads the line program's header too.
    fn root(&self, header: &UnitHeader<Bytes<'a>>, abbreviations: Arc<Abbreviations>) -> Result<Opened<'a>, Error> {
        let (dwarf, encoding) = (self.dwarf, header.encoding());
        let mut unit = Unit {
            header: *header,
            abbreviations,
            name: None,
            comp_dir: None,
            low_pc: 0,
            str_offsets_base: DebugStrOffsetsBase::default_for_encoding_and_file(encoding, dwarf.file_type),
            addr_base: DebugAddrBase(0),
            loclists_base: DebugLocListsBase::default_for_encoding_and_file(encoding, dwarf.file_type),
            rnglists_base: DebugRngListsBase::default_for_encoding_and_file(encoding, dwarf.file_type),
            line_program: None,
            dwo_id: match header.type_() {
                UnitType::Skeleton(id) | UnitType::SplitCompilation(id) => Some(id),
                _ => None,
            },
        };
        let (mut name, mut directory, mut low, mut lines, mut split_name) = (None, None, None, None, None);
        let mut place = Place::default();
        let table = Arc::clone(&unit.abbreviations);
        let mut entries = header.entries_raw(&table, None)?;
        let root = entries.read_abbreviation()?.ok_or(Error::MissingUnitDie)?;
        for specification in root.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            place.take(&attribute);
            match (attribute.name(), attribute.value()) {
                (gimli::DW_AT_name, value) => name = Some(value),
                (gimli::DW_AT_comp_dir, value) => directory = Some(value),
                (gimli::DW_AT_low_pc, value) => low = Some(value),
                (gimli::DW_AT_dwo_name | gimli::DW_AT_GNU_dwo_name, value) => split_name = Some(value),
                (gimli::DW_AT_stmt_list, AttributeValue::DebugLineRef(at)) => lines = Some(at),
                (gimli::DW_AT_str_offsets_base, AttributeValue::DebugStrOffsetsBase(base)) => {
                    unit.str_offsets_base = base;
                }
                (gimli::DW_AT_addr_base | gimli::DW_AT_GNU_addr_base, AttributeValue::DebugAddrBase(base)) => {
                    unit.addr_base = base;
                }
                (
                    gimli::DW_AT_rnglists_base | gimli::DW_AT_GNU_ranges_base,
                    AttributeValue::DebugRngListsBase(base),
                ) => {
                    unit.rnglists_base = base;
                }
                (gimli::DW_AT_GNU_dwo_id, AttributeValue::DwoId(id)) if unit.dwo_id.is_none() => {
                    unit.dwo_id = Some(id);
                }
                _ => {}
            }
        }
        unit.name = name.and_then(|name| dwarf.attr_string(&unit, name).ok());
        unit.comp_dir = directory.and_then(|directory| dwarf.attr_string(&unit, directory).ok());
        if let Some(low) = low
            && let Some(low) = dwarf.attr_address(&unit, low).ok().flatten()
        {
            unit.low_pc = low;
        }
        Ok(Opened { unit, lines, split_name, place })
    }

    /// Where a unit's code is, by its root; if that does not say, by its line program.
    fn root_ranges(
        &self,
        header: &UnitHeader<Bytes<'a>>,
        steps: &Cell<usize>,
        into: &mut Pairs<'_>,
    ) -> Result<(), Error> {
        let offset = offset_of(header);
        let opened = match self.root_alone(header, steps) {
            Some(opened) => opened,
            None => self.open(header, steps)?,
        };
        spend(steps, 16);
        let unit = UnitRef::new(self.dwarf, &opened.unit);
        let mut any = false;
        opened.place.each(&unit, steps, |range| {
            into.add(range.start, range.end, offset);
            any = true;
        })?;
        if let (false, Some(at)) = (any, opened.lines) {
            let program = self.dwarf.debug_line.program(at, header.address_size(), None, None)?;
            spend(steps, 8 * (program.header().file_names().len() + program.header().include_directories().len()));
            let mut rows = program.rows();
            let mut begin = None;
            while let Some((_, row)) = rows.next_row()? {
                spend(steps, 1);
                if is_spent(steps) {
                    break;
                }
                let start = *begin.get_or_insert(row.address());
                if row.end_sequence() {
                    if start > 0 && start < row.address() {
                        into.add(start, row.address(), offset);
                    }
                    begin = None;
                }
            }
        }
        Ok(())
    }

    /// A unit of which only the root can be read: its abbreviation is the first of its table, if it has one of its own.
    /// Reading the others of thousands of units that hold no address would cost more than all else here. (Tables that units
    /// share are read once.)
    fn root_alone(&self, header: &UnitHeader<Bytes<'a>>, steps: &Cell<usize>) -> Option<Opened<'a>> {
        let rest = self.dwarf.debug_abbrev.reader().slice().get(header.debug_abbrev_offset().0..)?;
        let length = length_of_first(rest)?;
        // Any number of units may refer to one that is as long as a file can be.
        spend(steps, length);
        let mut alone = rest[..length].to_vec();
        alone.push(0);
        let section = DebugAbbrev::from(EndianSlice::new(&alone, self.dwarf.debug_abbrev.reader().endian()));
        let abbreviations = section.abbreviations(DebugAbbrevOffset(0)).ok()?;
        self.root(header, Arc::new(abbreviations)).ok()
    }
}

/// Which unit may know which address.
struct Pairs<'s> {
    svmas: &'s [u64],
    /// In how many ranges each address is.
    counts: Vec<u8>,
    pairs: Vec<(usize, u32)>,
    /// Ranges without end may each have all addresses.
    steps: Cell<usize>,
}

impl Pairs<'_> {
    fn add(&mut self, start: u64, end: u64, unit: usize) {
        let mut row = self.svmas.partition_point(|svma| *svma < start);
        while self.svmas.get(row).is_some_and(|svma| *svma < end) && !is_spent(&self.steps) {
            spend(&self.steps, 1);
            if self.counts[row] < MOST_UNITS {
                self.counts[row] += 1;
                self.pairs.push((unit, row as u32));
            }
            row += 1;
        }
    }
}

/// What occurs more than once, sorted.
fn repeated(mut values: Vec<usize>) -> Vec<usize> {
    values.sort_unstable();
    values.chunk_by(|one, other| one == other).filter(|equal| equal.len() > 1).map(|equal| equal[0]).collect()
}

pub(super) fn offset_of(header: &UnitHeader<Bytes<'_>>) -> usize {
    header.debug_info_offset().map_or(0, |DebugInfoOffset(offset)| offset)
}

/// How many bytes a table of abbreviations has.
fn length_of_table(bytes: &[u8]) -> usize {
    let mut at = 0;
    while bytes.get(at).is_some_and(|byte| *byte != 0) {
        let Some(length) = length_of_first(&bytes[at..]) else { break };
        at += length;
    }
    at
}

/// How many bytes the first abbreviation has: code, tag, whether it has children, pairs of attribute and form up to a pair
/// of zeros (DWARF 5, section 7.5.3).
fn length_of_first(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut number = || {
        let length = bytes.get(at..)?.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
        let number = &bytes[at..at + length];
        at += length;
        Some((number, at))
    };
    for _ in 0..3 {
        number()?;
    }
    loop {
        let (attribute, _) = number()?;
        let (form, end) = number()?;
        if attribute == [0] && form == [0] {
            return Some(end);
        }
        if form == [gimli::DW_FORM_implicit_const.0 as u8] {
            number()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbolize::debug_lookup::entry::steps_of;
    use gimli::RunTimeEndian::Little;

    #[test]
    fn long_abbreviation_is_paid_for_by_each_unit() {
        // A unit of one entry, with 1000 flags that take no bytes of it.
        let mut abbreviations = vec![1, gimli::DW_TAG_compile_unit.0 as u8, 0];
        for _ in 0..1000 {
            abbreviations.extend([gimli::DW_AT_prototyped.0 as u8, gimli::DW_FORM_flag_present.0 as u8]);
        }
        abbreviations.extend([0, 0, 0]);
        let info = [8, 0, 0, 0, 4, 0, 0, 0, 0, 0, 8, 1].repeat(3);
        let load = |id: gimli::SectionId| {
            let bytes: &[u8] = match id {
                gimli::SectionId::DebugInfo => &info,
                gimli::SectionId::DebugAbbrev => &abbreviations,
                _ => &[],
            };
            Ok::<_, ()>(EndianSlice::new(bytes, Little))
        };
        let dwarf = Dwarf::load(load).unwrap();
        let units = Units::of(&dwarf);
        let (steps, svmas) = (Cell::new(0), [1]);
        let mut pairs = Pairs { svmas: &svmas, counts: vec![0], pairs: Vec::new(), steps: Cell::new(0) };
        assert_eq!(units.headers().len(), 3);
        for header in units.headers() {
            units.root_ranges(header, &steps, &mut pairs).unwrap();
        }
        assert!(steps.get() >= 3 * 2000, "{}", steps.get());
        let table = units.abbreviations(DebugAbbrevOffset(0), &steps).unwrap();
        assert_eq!(table.get(1).map(steps_of), Some(1000 - 32));
    }

    #[test]
    fn first_abbreviation_is_measured() {
        let check = |bytes: &[u8], expected: Option<usize>| assert_eq!(length_of_first(bytes), expected, "{bytes:x?}");
        check(&[1, 0x11, 1, 0x25, 0x0e, 0, 0, 2, 0x2e, 0], Some(7));
        // A value that stands with the form, and a long number.
        check(&[1, 0x11, 1, 0x3a, 0x21, 0x81, 0x01, 0x91, 0x42, 0x19, 0, 0, 9], Some(12));
        check(&[1, 0x11, 1, 0x25, 0x0e, 0], None);
        check(&[1, 0x11, 1, 0x25, 0x0e, 0x80, 0x80], None);
        check(&[0x80; 40], None);
        check(&[], None);
    }
}
