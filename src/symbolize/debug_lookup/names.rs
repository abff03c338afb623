//! Names of functions: an entry's own, or that of the entry it refers to, which may be in another unit or in another file.

use std::cell::Cell;
use std::rc::Rc;

use gimli::{AttributeValue, Dwarf, Error, Unit, UnitOffset, UnitRef, UnitSectionOffset};
use rustc_hash::FxHashMap;

use super::entry::{self, Called};
use super::scopes::{MOST_SCOPES, Scopes};
use super::units::{Units, offset_of};
use super::{Bytes, NONE, Part, is_spent, spend};

/// How often a name may refer to another entry.
const MOST_REFERENCES: usize = 16;

/// Which file an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum File {
    Own,
    /// That of [`Dwarf::sup`].
    Supplementary,
}

/// The names that one file's entries refer to, each read once.
#[derive(Default)]
pub(super) struct Names<'d, 'a> {
    /// Rows of the part's names, by entry.
    rows: FxHashMap<(File, usize), u32>,
    /// Units that others refer to, by offset.
    others: FxHashMap<(File, usize), Option<Rc<Unit<Bytes<'a>>>>>,
    supplementary: Option<Units<'d, 'a>>,
    /// What is around functions without linkage names, by unit.
    scopes: FxHashMap<(File, usize), Scopes<'a>>,
}

/// Where names are looked for.
pub(super) struct Sources<'s, 'd, 'a> {
    pub units: &'s Units<'d, 'a>,
    pub steps: &'s Cell<usize>,
}

impl<'d, 'a> Names<'d, 'a> {
    /// The row of a function's name.
    pub fn name_of(
        &mut self,
        sources: &Sources<'_, 'd, 'a>,
        unit: &UnitRef<'_, Bytes<'a>>,
        (at, called): (UnitOffset, &Called<'a>),
        part: &mut Part,
    ) -> Result<u32, Error> {
        self.name(sources, File::Own, unit, (at, called), MOST_REFERENCES, part)
    }

    fn name(
        &mut self,
        sources: &Sources<'_, 'd, 'a>,
        file: File,
        unit: &UnitRef<'_, Bytes<'a>>,
        (at, called): (UnitOffset, &Called<'a>),
        left: usize,
        part: &mut Part,
    ) -> Result<u32, Error> {
        let own = called.linkage_name.or(called.name);
        if let Some(name) = own.and_then(|value| unit.attr_string(value).ok()) {
            spend(sources.steps, name.len() / 16);
            if called.linkage_name.is_some() {
                return Ok(part.add_name(name.slice()));
            }
            let of_unit = (file, offset_of(&unit.header));
            if !self.scopes.contains_key(&of_unit) {
                let scopes = Scopes::of(unit, sources.steps);
                if self.scopes.values().map(Scopes::len).sum::<usize>() + scopes.len() > MOST_SCOPES {
                    self.scopes.clear();
                }
                self.scopes.insert(of_unit, scopes);
            }
            let scopes = &self.scopes[&of_unit];
            return Ok(part.add_name(&scopes.qualified(at, name.slice(), called.is_external, sources.steps)));
        }
        match called.origin {
            Some(origin) => self.referred(sources, file, unit, origin, left, part),
            None => Ok(NONE),
        }
    }

    /// The name of the entry that an attribute refers to.
    fn referred(
        &mut self,
        sources: &Sources<'_, 'd, 'a>,
        file: File,
        unit: &UnitRef<'_, Bytes<'a>>,
        reference: AttributeValue<Bytes<'a>>,
        left: usize,
        part: &mut Part,
    ) -> Result<u32, Error> {
        let (to, global) = match reference {
            AttributeValue::UnitRef(offset) => (file, offset.to_unit_section_offset(&unit.header).0),
            AttributeValue::DebugInfoRef(offset) => (file, offset.0),
            // A supplementary file has none itself.
            AttributeValue::DebugInfoRefSup(offset) if file == File::Own => (File::Supplementary, offset.0),
            _ => return Ok(NONE),
        };
        if let Some(row) = self.rows.get(&(to, global)) {
            return Ok(*row);
        }
        let row = match UnitSectionOffset(global).to_unit_offset(&unit.header).filter(|_| to == file) {
            _ if left == 0 => NONE,
            Some(offset) => self.name_at(sources, to, unit, offset, left, part)?,
            None => match self.other(sources, to, global) {
                Some((dwarf, other)) => {
                    let other = UnitRef::new(dwarf, &other);
                    match UnitSectionOffset(global).to_unit_offset(&other.header) {
                        Some(offset) => self.name_at(sources, to, &other, offset, left, part)?,
                        None => NONE,
                    }
                }
                None => NONE,
            },
        };
        self.rows.insert((to, global), row);
        Ok(row)
    }

    fn name_at(
        &mut self,
        sources: &Sources<'_, 'd, 'a>,
        file: File,
        unit: &UnitRef<'_, Bytes<'a>>,
        offset: UnitOffset,
        left: usize,
        part: &mut Part,
    ) -> Result<u32, Error> {
        let mut entries = unit.entries_raw(Some(offset))?;
        let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(NONE) };
        let mut called = Called::default();
        spend(sources.steps, entry::steps_of(abbreviation));
        if is_spent(sources.steps) {
            return Ok(NONE);
        }
        for attribute in abbreviation.attributes() {
            called.take(&entries.read_attribute(*attribute)?);
        }
        self.name(sources, file, unit, (offset, &called), left - 1, part)
    }

    /// The unit that holds an offset of a file.
    fn other(
        &mut self,
        sources: &Sources<'_, 'd, 'a>,
        file: File,
        offset: usize,
    ) -> Option<(&'d Dwarf<Bytes<'a>>, Rc<Unit<Bytes<'a>>>)> {
        let units = match file {
            File::Own => sources.units,
            File::Supplementary => {
                let dwarf = sources.units.dwarf.sup()?;
                self.supplementary.get_or_insert_with(|| Units::of(dwarf))
            }
        };
        let header = *units.header_at(offset)?;
        let unit = self
            .others
            .entry((file, offset_of(&header)))
            .or_insert_with(|| units.open(&header, sources.steps).ok().map(|opened| Rc::new(opened.unit)));
        Some((units.dwarf, unit.clone()?))
    }
}
