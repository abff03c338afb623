//! The debug sections of a file and of those that it refers to, decompressed once where need be.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use gimli::{
    Dwarf, DwarfPackageSections, DwarfSections, EndianSlice, Reader as _, RunTimeEndian, Section as _, SectionId,
};

use super::debug_lookup::{Bytes, DebugFrame, Looked, Split, Wanted, look_up};
use crate::image::{DebugFiles, ElfImage, Section};

/// Opens the file of a split unit by `DW_AT_comp_dir` and `DW_AT_dwo_name`.
pub type OpenSplit<'a> = dyn Fn(&[u8], &[u8]) -> Option<Arc<ElfImage>> + Sync + 'a;

/// One function at an address, by debug information alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFrame {
    /// Its name as the file has it.
    pub function: Option<String>,
    /// The path of its source; empty if it is not known.
    pub file: String,
    /// Its line there; 0 if it is not known.
    pub line: u32,
}

/// The functions of addresses, each list innermost first, by the debug information of an image and of the files beside it.
///
/// This is what [`symbolize`](super::symbolize) asks for images with debug information, for those who hold the files
/// themselves. The addresses are as the file states them, in any order. Broken debug information gives empty lists.
pub fn source_frames(
    image: &ElfImage,
    debug: &DebugFiles,
    open_split: &OpenSplit<'_>,
    svmas: &[u64],
) -> Vec<Vec<SourceFrame>> {
    let mut order: Vec<usize> = (0..svmas.len()).collect();
    order.sort_by_key(|at| svmas[*at]);
    let sorted: Vec<u64> = order.iter().map(|at| svmas[*at]).collect();
    let sections = DebugSections::load_with(image, debug, Box::new(open_split));
    let looked = sections.look_up(&sorted, Wanted { lines: true }, 1);
    let mut answers = vec![Vec::new(); svmas.len()];
    let mut frames = Vec::new();
    for (row, at) in order.into_iter().enumerate() {
        looked.frames(row, &mut frames);
        let own = |frame: DebugFrame<'_>| SourceFrame {
            function: frame.name.map(|name| String::from_utf8_lossy(name).into_owned()),
            file: frame.file.to_owned(),
            line: frame.line,
        };
        answers[at] = frames.drain(..).map(own).collect();
    }
    answers
}

/// The debug sections of a program.
pub(super) struct DebugSections<'a> {
    main: DwarfSections<Cow<'a, [u8]>>,
    supplementary: Option<DwarfSections<Cow<'a, [u8]>>>,
    package: Option<DwarfPackageSections<Cow<'a, [u8]>>>,
    open_split: Box<OpenSplit<'a>>,
    endian: RunTimeEndian,
}

impl fmt::Debug for DebugSections<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DebugSections").finish_non_exhaustive()
    }
}

impl<'a> DebugSections<'a> {
    /// Loads those of `image`, and what `debug` has beside; a section that is not there or broken is empty.
    pub fn load(image: &'a ElfImage, debug: &'a DebugFiles) -> DebugSections<'a> {
        DebugSections::load_with(image, debug, Box::new(|directory, name| debug.split.open(directory, name)))
    }

    /// The same, with files of split units from elsewhere.
    pub fn load_with(image: &'a ElfImage, debug: &'a DebugFiles, open_split: Box<OpenSplit<'a>>) -> DebugSections<'a> {
        let load = |image: &'a ElfImage| {
            let section = |id: SectionId| Ok::<_, ()>(image.section_contents(id.name()).unwrap_or_default());
            DwarfSections::load(section).unwrap_or_default()
        };
        // What has other byte order is of another program.
        let same_order = |other: &&'a ElfImage| other.is_big_endian() == image.is_big_endian();
        let supplementary = debug.supplementary.as_deref().filter(same_order).map(load);
        let package = debug.package.as_deref().filter(same_order).and_then(|package| {
            let section = |name| package.section_contents(name).unwrap_or_default();
            DwarfPackageSections::load(|id| Ok::<_, gimli::Error>(id.dwo_name().map_or_else(Cow::default, section)))
                .ok()
        });
        DebugSections { main: load(image), supplementary, package, open_split, endian: endian(image) }
    }

    /// Looks up addresses that the file states, which are sorted, on up to so many threads.
    pub fn look_up(&self, svmas: &[u64], wanted: Wanted, threads: usize) -> Looked {
        let split = Split {
            package: self.package.as_ref().and_then(|sections| {
                let borrow = |bytes| EndianSlice::new(bytes, self.endian);
                sections.borrow(|bytes| borrow(bytes), borrow(&[])).ok()
            }),
            open: &*self.open_split,
        };
        look_up(&self.dwarf(), &split, svmas, wanted, threads)
    }

    /// Whether there are no units, as the section with them cannot be unpacked or is not all there.
    pub fn has_no_units(&self) -> bool {
        self.dwarf().debug_info.reader().is_empty()
    }

    pub(super) fn dwarf(&self) -> Dwarf<Bytes<'_>> {
        self.main.borrow_with_sup(self.supplementary.as_ref(), |bytes| EndianSlice::new(bytes, self.endian))
    }
}

/// The sections of a file of split units (`.dwo`, or an object file that has them beside its own).
pub(super) fn split_sections(image: &ElfImage) -> DwarfSections<Cow<'_, [u8]>> {
    // Units of types are each in a section of their own, of the same name, where none was put together by a linker.
    let section = |id: SectionId| {
        let name = id.dwo_name();
        Ok::<_, ()>(name.and_then(|name| joined(image, name)).unwrap_or_default())
    };
    DwarfSections::load(section).unwrap_or_default()
}

/// The bytes of all sections of a name, one behind the other.
fn joined<'a>(image: &'a ElfImage, name: &str) -> Option<Cow<'a, [u8]>> {
    let all: Vec<_> = image.sections_named(name).collect();
    let total = all.iter().fold(0, |total: u64, section| total.saturating_add(section.size));
    // They are apart in the file, so together they are not larger. (Compressed ones of one name are not known to be made.)
    if all.len() < 2 || all.iter().any(|section| section.compressed) || total > image.data().len() as u64 {
        return image.section_contents(name);
    }
    let bytes = |section: &Section| {
        let start = usize::try_from(section.file_offset).ok()?;
        image.data().get(start..start.checked_add(usize::try_from(section.size).ok()?)?)
    };
    Some(all.iter().filter_map(bytes).collect::<Vec<_>>().concat().into())
}

fn endian(image: &ElfImage) -> RunTimeEndian {
    if image.is_big_endian() { RunTimeEndian::Big } else { RunTimeEndian::Little }
}
