//! Which unit knows an address: by `.debug_aranges`, else by each unit's root.

use std::sync::Arc;

use gimli::{
    DebugAbbrev, DebugAbbrevOffset, EndianSlice, Error, Reader as _, Section as _, Unit, UnitHeader, UnitRef, UnitType,
};

use super::{Bytes, Pass, Place, offset_of, size_of_lines};

/// In how many units one address is looked for; functions that linkers have merged are in a few.
const MOST_UNITS: usize = 16;

impl<'a> Pass<'_, 'a, '_> {
    /// The units that may know an address, with the rows of their addresses.
    pub(super) fn units(&mut self) -> Vec<(UnitHeader<Bytes<'a>>, Vec<u32>)> {
        let mut ranges: Vec<(u64, u64, usize)> = Vec::new();
        let mut listed: Vec<usize> = Vec::new();
        let mut headers = self.dwarf.debug_aranges.headers();
        while let Ok(Some(header)) = headers.next() {
            let before = ranges.len();
            let mut entries = header.entries();
            // A range that overflows is one that a linker threw away; the iterator ends by itself after other errors.
            while let Some(entry) = entries.next().transpose() {
                let Ok(entry) = entry else { continue };
                if entry.length() > 0 && entry.address() > 0 {
                    let range = entry.range();
                    ranges.push((range.begin, range.end, header.debug_info_offset().0));
                }
            }
            if ranges.len() > before {
                listed.push(header.debug_info_offset().0);
            }
        }
        listed.sort_unstable();
        let mut units = self.dwarf.units();
        while let Ok(Some(header)) = units.next() {
            let Some(offset) = header.debug_info_offset() else { continue };
            let is_code = matches!(header.type_(), UnitType::Compilation | UnitType::Skeleton(_));
            if is_code && listed.binary_search(&offset.0).is_err() {
                let first = ranges.len();
                if self.root_ranges(&header, &mut ranges).is_err() {
                    ranges.truncate(first);
                }
            }
            self.headers.push(header);
        }
        self.headers.sort_by_key(|header| header.debug_info_offset().map_or(0, |offset| offset.0));
        self.group(ranges)
    }

    /// Gives each address to the units whose ranges hold it.
    fn group(&self, mut ranges: Vec<(u64, u64, usize)>) -> Vec<(UnitHeader<Bytes<'a>>, Vec<u32>)> {
        ranges.sort_unstable();
        ranges.dedup();
        // For each range the last end of it and all before.
        let ends: Vec<u64> = ranges
            .iter()
            .scan(0, |end, range| {
                *end = range.1.max(*end);
                Some(*end)
            })
            .collect();
        let mut pairs: Vec<(usize, u32)> = Vec::new();
        for (row, svma) in self.svmas.iter().enumerate() {
            let first = pairs.len();
            let before = ranges.partition_point(|range| range.0 <= *svma);
            let around = (0..before).rev().take(4096).take_while(|at| ends[*at] > *svma);
            for at in around.filter(|at| ranges[*at].1 > *svma) {
                let pair = (ranges[at].2, row as u32);
                if pairs.len() - first < MOST_UNITS && !pairs[first..].contains(&pair) {
                    pairs.push(pair);
                }
            }
        }
        pairs.sort_unstable();
        let groups = pairs.chunk_by(|one, other| one.0 == other.0);
        groups
            .filter_map(|group| {
                let header = *self.header_at(group[0].0).filter(|header| offset_of(header) == group[0].0)?;
                Some((header, group.iter().map(|(_, row)| *row).collect()))
            })
            .collect()
    }

    /// The unit that holds an offset of the section.
    pub(super) fn header_at(&self, offset: usize) -> Option<&UnitHeader<Bytes<'a>>> {
        let at = self.headers.partition_point(|header| offset_of(header) <= offset).checked_sub(1)?;
        self.headers.get(at)
    }

    /// Where a unit's code is, by its root; if that does not say, by its line program.
    fn root_ranges(&mut self, header: &UnitHeader<Bytes<'a>>, into: &mut Vec<(u64, u64, usize)>) -> Result<(), Error> {
        let offset = offset_of(header);
        if self.is_spent() {
            return Ok(());
        }
        let unit = match self.root_of(header) {
            Some(unit) => unit,
            None => self.dwarf.unit(*header)?,
        };
        self.spend(size_of_lines(&unit));
        let unit = UnitRef::new(self.dwarf, &unit);
        let mut entries = unit.entries_raw(None)?;
        let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(()) };
        let mut place = Place::default();
        for attribute in abbreviation.attributes() {
            place.take(&unit, &entries.read_attribute(*attribute)?)?;
        }
        let first = into.len();
        place.each(&unit, &self.steps, |range| into.push((range.start, range.end, offset)))?;
        if into.len() == first
            && let Some(program) = unit.line_program.clone()
        {
            let mut rows = program.rows();
            let mut begin = None;
            while let Some((_, row)) = rows.next_row()? {
                self.spend(1);
                if self.is_spent() {
                    break;
                }
                let start = *begin.get_or_insert(row.address());
                if row.end_sequence() {
                    if start > 0 && start < row.address() {
                        into.push((start, row.address(), offset));
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
    fn root_of(&self, header: &UnitHeader<Bytes<'a>>) -> Option<Unit<Bytes<'a>>> {
        let rest = self.dwarf.debug_abbrev.reader().slice().get(header.debug_abbrev_offset().0..)?;
        let mut alone = rest[..length_of_first(rest)?].to_vec();
        alone.push(0);
        let section = DebugAbbrev::from(EndianSlice::new(&alone, self.dwarf.debug_abbrev.reader().endian()));
        let abbreviations = section.abbreviations(DebugAbbrevOffset(0)).ok()?;
        Unit::new_with_abbreviations(self.dwarf, *header, Arc::new(abbreviations)).ok()
    }
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
