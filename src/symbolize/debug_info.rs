//! Functions, inlined frames and lines out of DWARF.

use std::borrow::Cow;

use gimli::{DwarfSections, EndianSlice, RunTimeEndian};
use object::elf;
use object::read::{CompressedData, CompressionFormat};

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
        let endian = if image.data().get(5) == Some(&2) { RunTimeEndian::Big } else { RunTimeEndian::Little };
        let load = |id: gimli::SectionId| Ok::<_, ()>(section(image, id.name(), endian).unwrap_or_default());
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

fn section<'a>(image: &'a ElfImage, name: &str, endian: RunTimeEndian) -> Option<Cow<'a, [u8]>> {
    let old_name = format!(".z{}", &name[1..]);
    let section = image.section(name).or_else(|| image.section(&old_name))?;
    let start = usize::try_from(section.file_offset).ok()?;
    let data = image.data().get(start..start.checked_add(usize::try_from(section.size).ok()?)?)?;
    if !section.compressed {
        return Some(Cow::Borrowed(data));
    }
    decompress(data, image.is_64(), endian)
}

/// Decompresses a section; see elf(5), `Elf64_Chdr`, and for `ZLIB` the older `.zdebug_` sections of the GNU tools.
fn decompress(data: &[u8], is_64: bool, endian: RunTimeEndian) -> Option<Cow<'_, [u8]>> {
    use gimli::Endianity;
    /// What zlib can reach; what says that it is packed more tightly says so to hurt.
    const MOST_RATIO: u64 = 1100;
    const MOST_SIZE: u64 = 4 << 30;
    let (format, size, packed) = if let Some(rest) = data.strip_prefix(b"ZLIB") {
        (CompressionFormat::Zlib, u64::from_be_bytes(*rest.first_chunk()?), &rest[8..])
    } else {
        let (size, header) = match is_64 {
            true => (endian.read_u64(data.get(8..16)?), 24),
            false => (u64::from(endian.read_u32(data.get(4..8)?)), 12),
        };
        let format = match elf::CompressionType(endian.read_u32(data.get(..4)?)) {
            elf::ELFCOMPRESS_ZLIB => CompressionFormat::Zlib,
            elf::ELFCOMPRESS_ZSTD => CompressionFormat::Zstandard,
            _ => return None,
        };
        (format, size, data.get(header..)?)
    };
    if size > MOST_SIZE.min((packed.len() as u64).saturating_mul(MOST_RATIO)) {
        return None;
    }
    CompressedData { format, data: packed, uncompressed_size: size }.decompress().ok()
}
