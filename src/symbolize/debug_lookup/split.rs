//! Units whose entries are in another file: in a package (`.dwp`), or each in a file of its own (`.dwo`).
//!
//! The file itself has a skeleton of such a unit: where its code is, its lines, and the name of the other file. It is the right
//! one only if it has the skeleton's id (DWARF 5, section 7.3.2.2; before that, GNU's `DW_AT_GNU_dwo_id`). An entry never leads
//! from there to a third file.

use std::cell::Cell;

use gimli::{Dwarf, DwarfPackage, DwoId, EndianSlice, Reader as _, Section as _, UnitRef, UnitType};

use super::files::Files;
use super::names::Names;
use super::units::{Opened, Units};
use super::{Bytes, Pass};
use crate::symbolize::debug_info::{self, OpenSplit};

/// Steps that it costs to open a file.
const STEPS_TO_OPEN: usize = 1 << 12;

/// Where the entries of split units are.
pub(crate) struct Split<'a> {
    pub package: Option<DwarfPackage<Bytes<'a>>>,
    pub open: &'a OpenSplit<'a>,
}

impl<'a> Pass<'_, 'a, '_> {
    /// Finds the functions of a skeleton unit's addresses; says whether the file with its entries was found.
    pub(super) fn split_unit(
        &mut self,
        id: DwoId,
        skeleton: &Opened<'a>,
        asked: &[u32],
        files: &mut Files<'_, 'a>,
    ) -> bool {
        let split = self.split;
        if let Some(package) = &split.package
            && let Ok(Some(dwarf)) = package.find_cu(id, self.units.dwarf)
            && self.entries_in(&dwarf, id, skeleton, asked, files)
        {
            return true;
        }
        self.spend(STEPS_TO_OPEN);
        let unit = UnitRef::new(self.units.dwarf, &skeleton.unit);
        let name = skeleton.split_name.and_then(|name| unit.attr_string(name).ok());
        let directory = unit.comp_dir.map_or(&b""[..], |directory| directory.slice());
        if let Some(file) = name.and_then(|name| (split.open)(directory, name.slice()))
            && !self.is_spent()
        {
            let sections = debug_info::split_sections(&file);
            let endian = self.units.dwarf.debug_abbrev.reader().endian();
            let mut dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, endian));
            self.spend(dwarf.debug_info.reader().len() / 16);
            dwarf.make_dwo(self.units.dwarf);
            if self.entries_in(&dwarf, id, skeleton, asked, files) {
                return true;
            }
        }
        // What the skeleton says of functions that others are inlined into is right (clang's -fsplit-dwarf-inlining).
        self.entries(&unit, asked, files);
        false
    }

    /// The same, if one of the units of `dwarf` is the one.
    fn entries_in<'b>(
        &mut self,
        dwarf: &Dwarf<Bytes<'b>>,
        id: DwoId,
        skeleton: &Opened<'_>,
        asked: &[u32],
        files: &mut Files<'_, 'a>,
    ) -> bool {
        let units = Units::of(dwarf);
        for header in units.headers() {
            let steps = Cell::new(self.steps.get());
            let may_be = match header.type_() {
                UnitType::SplitCompilation(known) => known == id,
                UnitType::Compilation => header.version() < 5,
                _ => false,
            };
            let Ok(mut opened) = (if may_be { units.open(header, &steps) } else { continue }) else {
                self.is_damaged |= may_be;
                continue;
            };
            self.steps.set(steps.get());
            if opened.unit.dwo_id == Some(id) {
                opened.unit.low_pc = skeleton.unit.low_pc;
                opened.unit.addr_base = skeleton.unit.addr_base;
                if header.version() < 5 {
                    opened.unit.rnglists_base = skeleton.unit.rnglists_base;
                }
                let unit = UnitRef::new(dwarf, &opened.unit);
                self.entries_of(&units, &unit, asked, files, &mut Names::default());
                return true;
            }
        }
        false
    }
}
