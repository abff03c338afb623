//! Functions, inlined frames and lines out of DWARF.

use std::borrow::Cow;

use gimli::{DwarfSections, EndianSlice, RunTimeEndian};

use super::debug_lookup::{Looked, look_up};
use crate::image::ElfImage;

/// Whether a file has debug information of its own.
pub(super) fn is_in(image: &ElfImage) -> bool {
    [".debug_info", ".zdebug_info"].iter().any(|name| image.section(name).is_some_and(|section| section.size > 0))
}

/// The debug sections of a file, decompressed where need be.
#[derive(Debug)]
pub(super) struct DebugSections<'a> {
    sections: DwarfSections<Cow<'a, [u8]>>,
    endian: RunTimeEndian,
}

impl<'a> DebugSections<'a> {
    /// Loads them; a section that is not there or broken is empty.
    pub fn load(image: &'a ElfImage) -> DebugSections<'a> {
        let endian = if image.is_big_endian() { RunTimeEndian::Big } else { RunTimeEndian::Little };
        let load = |id: gimli::SectionId| Ok::<_, ()>(image.section_contents(id.name()).unwrap_or_default());
        let sections = DwarfSections::load(load).unwrap_or_default();
        DebugSections { sections, endian }
    }

    /// Looks up addresses that the file states, which are sorted.
    pub fn look_up(&self, svmas: &[u64]) -> Looked<'_> {
        look_up(&self.dwarf(), svmas)
    }

    pub(super) fn dwarf(&self) -> gimli::Dwarf<EndianSlice<'_, RunTimeEndian>> {
        let mut dwarf = self.sections.borrow(|bytes| EndianSlice::new(bytes, self.endian));
        // The units that a link-time optimizer made of one object share a table of some thousand abbreviations.
        dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
        dwarf
    }
}
