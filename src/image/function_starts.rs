//! Where functions begin, for code that no symbol names: unwind information has an entry (FDE) for each function.
//!
//! It stays in files that are stripped, as exceptions need it. A function that the compiler took apart (`.cold`) has an
//! entry for each part, and a PLT one for all of its stubs.
//!
//! ```text
//! .eh_frame_hdr  sorted table: start -> entry     binary search, then that one entry's length
//! .eh_frame      entries in no order              one pass, where there is no such table (static programs)
//! .debug_frame   the same                         one pass, for what is not in the others
//! ```
//!
//! See the Linux Standard Base, "Exception Frames", and DWARF 5, section 6.4.1.

use gimli::{
    BaseAddresses, CieOrFde, CommonInformationEntry, DebugFrame, EhFrame, EhFrameHdr, EhFrameOffset, EhHdrTable,
    EndianSlice, Reader as _, RunTimeEndian, UnwindOffset, UnwindSection,
};

use super::elf_image::ElfImage;

/// For each address, where the function that covers it begins; `None` where no entry does, as between functions.
///
/// Addresses are as the file states them (svma) and sorted; so are the answers.
pub fn function_starts(image: &ElfImage, svmas: &[u64]) -> Vec<Option<u64>> {
    if svmas.is_empty() {
        return Vec::new();
    }
    let sections = FrameSections::of(image);
    let mut starts =
        sections.by_table(svmas).or_else(|| sections.by_eh_frame(svmas)).unwrap_or_else(|| vec![None; svmas.len()]);
    if starts.iter().any(Option::is_none)
        && let Some(others) = sections.by_debug_frame(svmas)
    {
        starts.iter_mut().zip(others).for_each(|(start, other)| *start = start.or(other));
    }
    starts
}

/// Longest common part of entries (CIE) that is read; compilers make some 30 bytes.
const MOST_CIE: u32 = 256;
/// Most entries that one pass looks at; a browser has a million.
const MOST_ENTRIES: usize = 8 << 20;

type Bytes<'a> = EndianSlice<'a, RunTimeEndian>;

/// The unwind information of one file, unread.
struct FrameSections<'a> {
    header: Option<Bytes<'a>>,
    eh_frame: Option<Bytes<'a>>,
    debug_frame: Option<Bytes<'a>>,
    bases: BaseAddresses,
    address_size: u8,
}

impl<'a> FrameSections<'a> {
    fn of(image: &'a ElfImage) -> FrameSections<'a> {
        let endian = if image.data().get(5) == Some(&2) { RunTimeEndian::Big } else { RunTimeEndian::Little };
        let bytes = |offset: u64, size: u64| {
            let rest = image.data().get(usize::try_from(offset).ok()?..)?;
            let size = usize::try_from(size).unwrap_or(rest.len()).min(rest.len());
            Some(EndianSlice::new(&rest[..size], endian))
        };
        let mut bases = BaseAddresses::default();
        let section = |name: &str| image.section(name).filter(|section| !section.compressed);
        if let Some(text) = section(".text") {
            bases = bases.set_text(text.svma);
        }
        let mut header = section(".eh_frame_hdr").map(|section| (section.svma, section.file_offset, section.size));
        header = header.or(image.program_header_eh_frame_hdr());
        let header = header.and_then(|(svma, offset, size)| {
            bases = std::mem::take(&mut bases).set_eh_frame_hdr(svma);
            bytes(offset, size)
        });
        let address_size = if image.is_64() { 8 } else { 4 };
        let mut eh_frame = section(".eh_frame").map(|section| (section.svma, section.file_offset, section.size));
        // Without section headers the table says where its entries are; they end somewhere in that segment.
        eh_frame = eh_frame.or_else(|| {
            let header = EhFrameHdr::from(header?).parse(&bases, address_size).ok()?;
            let svma = header.eh_frame_ptr().direct().ok()?;
            let inside = |start: u64, size: u64| svma.checked_sub(start).is_some_and(|distance| distance < size);
            let segment = image.segments().iter().find(|segment| inside(segment.svma, segment.file_size))?;
            let distance = svma - segment.svma;
            Some((svma, segment.offset.checked_add(distance)?, segment.file_size - distance))
        });
        let eh_frame = eh_frame.and_then(|(svma, offset, size)| {
            bases = std::mem::take(&mut bases).set_eh_frame(svma);
            bytes(offset, size)
        });
        let debug_frame = section(".debug_frame").and_then(|section| bytes(section.file_offset, section.size));
        FrameSections { header, eh_frame, debug_frame, bases, address_size }
    }

    /// `None` if there is no table, or none that can be searched.
    fn by_table(&self, svmas: &[u64]) -> Option<Vec<Option<u64>>> {
        let header = self.header?;
        let parsed = EhFrameHdr::from(header).parse(&self.bases, self.address_size).ok()?;
        let table = Table { rows: parsed.table()?, bases: &self.bases, most_rows: header.len() / 4 };
        table.row(0)?;
        let bytes = self.eh_frame?;
        let eh_frame = self.eh_frame_of(bytes);
        let first_entry = self.bases.eh_frame.section?;
        let mut cies = Cies::of(bytes);
        let start_of = |svma: u64| {
            let offset = usize::try_from(table.entry_for(svma)?.checked_sub(first_entry)?).ok()?;
            let entry = eh_frame.fde_from_offset(&self.bases, EhFrameOffset(offset), |section, bases, offset| {
                cies.get(section, bases, offset)
            });
            let entry = entry.ok()?;
            let distance = svma.checked_sub(entry.initial_address())?;
            (distance < entry.len()).then_some(entry.initial_address())
        };
        Some(svmas.iter().copied().map(start_of).collect())
    }

    fn by_eh_frame(&self, svmas: &[u64]) -> Option<Vec<Option<u64>>> {
        let bytes = self.eh_frame?;
        Some(pass(&self.eh_frame_of(bytes), bytes, &self.bases, svmas))
    }

    fn by_debug_frame(&self, svmas: &[u64]) -> Option<Vec<Option<u64>>> {
        let bytes = self.debug_frame?;
        let mut section = DebugFrame::from(bytes);
        section.set_address_size(self.address_size);
        Some(pass(&section, bytes, &self.bases, svmas))
    }

    fn eh_frame_of(&self, bytes: Bytes<'a>) -> EhFrame<Bytes<'a>> {
        let mut section = EhFrame::from(bytes);
        section.set_address_size(self.address_size);
        section
    }
}

/// The sorted table of `.eh_frame_hdr`.
struct Table<'t, 'a> {
    rows: EhHdrTable<'t, Bytes<'a>>,
    bases: &'t BaseAddresses,
    /// More than fit into the section; the count that it states may be anything.
    most_rows: usize,
}

impl Table<'_, '_> {
    /// A function's start, and the address of its entry.
    fn row(&self, row: usize) -> Option<(u64, u64)> {
        let (start, entry) = self.rows.iter(self.bases).nth(row).ok()??;
        Some((start.direct().ok()?, entry.direct().ok()?))
    }

    /// The entry of the last function that begins at or before an address.
    fn entry_for(&self, svma: u64) -> Option<u64> {
        let count = self.rows.iter(self.bases).size_hint().0.min(self.most_rows);
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.row(middle)?.0 <= svma { low = middle + 1 } else { high = middle }
        }
        Some(self.row(low.checked_sub(1)?)?.1)
    }
}

/// Looks at all entries of a section: of those that begin at or before an address, the last one counts.
///
/// Each entry is looked up among the addresses, which are few, and not kept.
fn pass<'a, Section: UnwindSection<Bytes<'a>>>(
    section: &Section,
    bytes: Bytes<'a>,
    bases: &BaseAddresses,
    svmas: &[u64],
) -> Vec<Option<u64>> {
    // Start and length of the last entry that begins after the address before and not after this one.
    let mut last: Vec<Option<(u64, u64)>> = vec![None; svmas.len()];
    let mut cies = Cies::of(bytes);
    let mut entries = section.entries(bases);
    for _ in 0..MOST_ENTRIES {
        let Ok(Some(entry)) = entries.next() else { break };
        let CieOrFde::Fde(entry) = entry else { continue };
        let Ok(entry) = entry.parse(|section, bases, offset| cies.get(section, bases, offset)) else { continue };
        let (start, length) = (entry.initial_address(), entry.len());
        if length > 0
            && let Some(known) = last.get_mut(svmas.partition_point(|svma| *svma < start))
        {
            *known = (*known).max(Some((start, length)));
        }
    }
    let mut before = None;
    let start_of = |(svma, last): (&u64, Option<(u64, u64)>)| {
        before = last.or(before);
        before
            .filter(|(start, length)| svma.checked_sub(*start).is_some_and(|distance| distance < *length))
            .map(|(start, _)| start)
    };
    svmas.iter().zip(last).map(start_of).collect()
}

/// The common parts of a section's entries; the last one is kept, as neighbours share it.
struct Cies<'a> {
    bytes: Bytes<'a>,
    last: Option<(usize, CommonInformationEntry<Bytes<'a>>)>,
}

impl<'a> Cies<'a> {
    fn of(bytes: Bytes<'a>) -> Cies<'a> {
        Cies { bytes, last: None }
    }

    fn get<Section: UnwindSection<Bytes<'a>>>(
        &mut self,
        section: &Section,
        bases: &BaseAddresses,
        offset: Section::Offset,
    ) -> gimli::Result<CommonInformationEntry<Bytes<'a>>> {
        let at = UnwindOffset::into(offset);
        if let Some((known, cie)) = &self.last
            && *known == at
        {
            return Ok(cie.clone());
        }
        // Entries of a hostile file may each refer to another long one: bounded before it is read.
        let mut length = self.bytes;
        length.skip(at)?;
        if length.read_u32()? > MOST_CIE {
            return Err(gimli::Error::OffsetOutOfBounds(at as u64));
        }
        let cie = section.cie_from_offset(bases, offset)?;
        self.last = Some((at, cie.clone()));
        Ok(cie)
    }
}

#[cfg(test)]
mod tests;
