//! The call frame information of a file: how to get from a frame to its caller, for each address of its code.
//!
//! ```text
//! .eh_frame_hdr  sorted table: start -> entry     binary search, then that one entry
//! .eh_frame      entries in no order              an index made by one pass, where there is no such table (static programs)
//! .debug_frame   the same                         the same, for what is not in the others
//! ```
//! An entry (FDE) is for a function, or a part of one (`.cold`), or all stubs of a PLT. It stays in files that are stripped,
//! as exceptions need it.
//!
//! See the Linux Standard Base, "Exception Frames", and DWARF 5, section 6.4.1.

mod all;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use gimli::{
    BaseAddresses, CieOrFde, CommonInformationEntry, DebugFrame, EhFrame, EhFrameHdr, EhFrameOffset, EhHdrTable,
    EndianSlice, Expression, FrameDescriptionEntry, Reader as _, RunTimeEndian, UnwindContext, UnwindExpression,
    UnwindOffset, UnwindSection, UnwindTableRow,
};

use super::elf_file::ElfFile;
pub use all::{FrameLayer, FramePiece};

/// Longest common part of entries (CIE) that is read; compilers make some 30 bytes.
const MOST_CIE: u32 = 256;
/// Longest entry that is read; compilers' longest have some 20 KiB, most of them 50 bytes.
const MOST_ENTRY: usize = 128 << 10;
/// An entry's instructions are run from the first on for each address. On average so many bytes of them may be run each time,
const BYTES_A_ROW: i64 = 512;
/// and so many more in all, which takes two seconds at most: a hostile file has its stacks cut, and does not take minutes.
const MOST_BYTES_MORE: i64 = 16 << 20;
/// Most entries that one pass looks at; a browser has a million.
const MOST_ENTRIES: usize = 8 << 20;

/// Bytes of a file, in its byte order.
pub type Bytes<'a> = EndianSlice<'a, RunTimeEndian>;

/// Where the call frame information of one file is.
#[derive(Debug)]
pub struct FrameTables {
    header: Option<Range<usize>>,
    eh_frame: Option<Range<usize>>,
    bases: BaseAddresses,
    eh_index: OnceLock<Index>,
    debug_frame: OnceLock<Option<(Packed, Index)>>,
    /// How many bytes of instructions were run beyond the average that each time may have.
    bytes_more: AtomicI64,
}

/// The bytes of a section.
#[derive(Debug)]
enum Packed {
    /// They are in the file.
    In(Range<usize>),
    /// They were compressed.
    Out(Box<[u8]>),
}

/// A section's entries, sorted by where their code begins.
#[derive(Debug, Default)]
struct Index(Vec<IndexRow>);

#[derive(Clone, Copy, Debug)]
struct IndexRow {
    start: u64,
    /// Bytes of code; a function is not longer than 4 GiB.
    length: u32,
    /// Where in the section the entry is.
    entry: u32,
}

/// One entry: how to unwind from a range of code.
#[derive(Clone, Debug)]
pub struct FrameEntry<'a> {
    entry: FrameDescriptionEntry<Bytes<'a>>,
    section: Section<'a>,
    tables: &'a FrameTables,
}

#[derive(Clone, Copy, Debug)]
enum Section<'a> {
    Eh(EhFrame<Bytes<'a>>),
    Debug(DebugFrame<Bytes<'a>>),
}

impl<'a> FrameEntry<'a> {
    /// Where its code begins, as the file states it.
    pub fn start(&self) -> u64 {
        self.entry.initial_address()
    }

    /// How many bytes of code it is for.
    pub fn length(&self) -> u64 {
        self.entry.len()
    }

    /// The row for an address; nothing if it is in none, if the entry makes no sense, or if the file's entries took too much
    /// time already.
    pub fn row<'c>(&self, svma: u64, context: &'c mut UnwindContext<usize>) -> Option<&'c UnwindTableRow<usize>> {
        let bases = &self.tables.bases;
        if !self.tables.may_run(self.entry.entry_len()) {
            return None;
        }
        match &self.section {
            Section::Eh(section) => self.entry.unwind_info_for_address(section, bases, context, svma),
            Section::Debug(section) => self.entry.unwind_info_for_address(section, bases, context, svma),
        }
        .ok()
    }

    /// The operations of an expression that one of its rows names.
    pub fn expression(&self, expression: &UnwindExpression<usize>) -> Option<Expression<Bytes<'a>>> {
        match &self.section {
            Section::Eh(section) => expression.get(section),
            Section::Debug(section) => expression.get(section),
        }
        .ok()
    }

    /// Whether it is of a signal's trampoline: who called it was interrupted, and did not call.
    pub fn is_signal(&self) -> bool {
        self.entry.is_signal_trampoline()
    }

    /// Which register's rule is that of the return address.
    pub fn return_address_register(&self) -> u16 {
        self.entry.cie().return_address_register().0
    }

    /// How numbers are stored.
    pub fn encoding(&self) -> gimli::Encoding {
        self.entry.cie().encoding()
    }
}

impl FrameTables {
    pub(super) fn of(image: &ElfFile) -> FrameTables {
        let range = |offset: u64, size: u64| {
            let start = usize::try_from(offset).ok().filter(|start| *start <= image.data().len())?;
            let size = usize::try_from(size).unwrap_or(usize::MAX).min(image.data().len() - start);
            Some(start..start + size)
        };
        let mut bases = BaseAddresses::default();
        let section = |name: &str| {
            let section = image.section(name).filter(|section| !section.compressed)?;
            Some((section.svma, section.file_offset, section.size))
        };
        if let Some((svma, ..)) = section(".text") {
            bases = bases.set_text(svma);
        }
        if let Some((svma, ..)) = section(".got") {
            bases = bases.set_got(svma);
        }
        let header =
            section(".eh_frame_hdr").or(image.program_header_eh_frame_hdr()).and_then(|(svma, offset, size)| {
                bases = std::mem::take(&mut bases).set_eh_frame_hdr(svma);
                range(offset, size)
            });
        // Without section headers the table says where its entries are; they end somewhere in that segment.
        let by_header = || {
            let bytes = bytes_of(image, header.clone()?);
            let svma = EhFrameHdr::from(bytes).parse(&bases, address_size(image)).ok()?.eh_frame_ptr().direct().ok()?;
            let inside = |start: u64, size: u64| svma.checked_sub(start).is_some_and(|distance| distance < size);
            let segment = image.segments().iter().find(|segment| inside(segment.svma, segment.file_size))?;
            let distance = svma - segment.svma;
            Some((svma, segment.offset.checked_add(distance)?, segment.file_size - distance))
        };
        let eh_frame = section(".eh_frame").or_else(by_header).and_then(|(svma, offset, size)| {
            bases = std::mem::take(&mut bases).set_eh_frame(svma);
            range(offset, size)
        });
        FrameTables {
            header,
            eh_frame,
            bases,
            eh_index: OnceLock::new(),
            debug_frame: OnceLock::new(),
            bytes_more: AtomicI64::new(0),
        }
    }

    /// The call frame information of a piece of code that a JIT has made: the bytes of its `.eh_frame` in a dump, and the addresses
    /// of the code and of that section.
    pub(super) fn of_jit_code(section: Range<usize>, text: u64, eh_frame: u64) -> FrameTables {
        FrameTables {
            header: None,
            eh_frame: Some(section),
            bases: BaseAddresses::default().set_text(text).set_eh_frame(eh_frame),
            eh_index: OnceLock::new(),
            debug_frame: OnceLock::new(),
            bytes_more: AtomicI64::new(0),
        }
    }

    /// The entry for an address of such code; `dump` must be the same bytes, in byte order `big`, of processor `machine`.
    pub(super) fn find_in_jit_code<'a>(
        &'a self,
        dump: &'a [u8],
        big: bool,
        machine: u16,
        svma: u64,
    ) -> Option<FrameEntry<'a>> {
        use object::elf::{EM_386, EM_AARCH64, EM_ARM};
        let endian = if big { RunTimeEndian::Big } else { RunTimeEndian::Little };
        let bytes = EndianSlice::new(dump.get(self.eh_frame.clone()?)?, endian);
        let mut section = EhFrame::from(bytes);
        section.set_address_size(if [EM_386.0, EM_ARM.0].contains(&machine) { 4 } else { 8 });
        section.set_vendor(if machine == EM_AARCH64.0 { gimli::Vendor::AArch64 } else { gimli::Vendor::Default });
        let index = self.eh_index.get_or_init(|| Index::of(&section, bytes, &self.bases));
        let offset = EhFrameOffset(index.find(svma)?.entry as usize);
        let entry = parse(&section, bytes, &self.bases, offset)?;
        entry.contains(svma).then_some(FrameEntry { entry, section: Section::Eh(section), tables: self })
    }

    /// Whether so many bytes of instructions may be run, see [`BYTES_A_ROW`].
    fn may_run(&self, bytes: usize) -> bool {
        let more = self.bytes_more.load(Ordering::Relaxed);
        let after = (more + bytes as i64 - BYTES_A_ROW).max(0);
        // Threads may miss each other's; it need not be exact.
        if after != more && after < MOST_BYTES_MORE {
            self.bytes_more.store(after, Ordering::Relaxed);
        }
        after < MOST_BYTES_MORE
    }

    /// The entry whose code an address, as the file states it, is in.
    ///
    /// `image` must be the one whose tables these are.
    pub fn find<'a>(&'a self, image: &'a ElfFile, svma: u64) -> Option<FrameEntry<'a>> {
        self.find_eh(image, svma).or_else(|| self.find_debug(image, svma))
    }

    fn find_eh<'a>(&'a self, image: &'a ElfFile, svma: u64) -> Option<FrameEntry<'a>> {
        let bytes = bytes_of(image, self.eh_frame.clone()?);
        let section = eh_frame_of(image, bytes);
        let by_table = || {
            let header = bytes_of(image, self.header.clone()?);
            let parsed = EhFrameHdr::from(header).parse(&self.bases, address_size(image)).ok()?;
            let table = Table { rows: parsed.table()?, bases: &self.bases, most_rows: header.len() / 4 };
            table.row(0)?;
            // Found or not, there is a table.
            Some(table.entry_for(svma).and_then(|address| address.checked_sub(self.bases.eh_frame.section?)))
        };
        let offset = match by_table() {
            Some(found) => found?,
            None => {
                let index = self.eh_index.get_or_init(|| Index::of(&section, bytes, &self.bases));
                u64::from(index.find(svma)?.entry)
            }
        };
        let offset = EhFrameOffset(usize::try_from(offset).ok()?);
        let entry = parse(&section, bytes, &self.bases, offset)?;
        entry.contains(svma).then_some(FrameEntry { entry, section: Section::Eh(section), tables: self })
    }

    fn find_debug<'a>(&'a self, image: &'a ElfFile, svma: u64) -> Option<FrameEntry<'a>> {
        let (packed, index) = self.debug_index(image)?;
        let bytes = packed.bytes(image);
        let section = debug_frame_of(image, bytes);
        let offset = gimli::DebugFrameOffset(index.find(svma)?.entry as usize);
        let entry = parse(&section, bytes, &self.bases, offset)?;
        entry.contains(svma).then_some(FrameEntry { entry, section: Section::Debug(section), tables: self })
    }
}

impl FrameTables {
    /// `.debug_frame` and its index, which is made when it is first asked for.
    fn debug_index(&self, image: &ElfFile) -> Option<&(Packed, Index)> {
        let make = || {
            let packed = match image.section_contents(".debug_frame")? {
                Cow::Borrowed(bytes) => {
                    let start = bytes.as_ptr().addr() - image.data().as_ptr().addr();
                    Packed::In(start..start + bytes.len())
                }
                Cow::Owned(bytes) => Packed::Out(bytes.into()),
            };
            let bytes = packed.bytes(image);
            let index = Index::of(&debug_frame_of(image, bytes), bytes, &self.bases);
            Some((packed, index))
        };
        self.debug_frame.get_or_init(make).as_ref()
    }
}

impl Packed {
    fn bytes<'a>(&'a self, image: &'a ElfFile) -> Bytes<'a> {
        match self {
            Packed::In(range) => bytes_of(image, range.clone()),
            Packed::Out(bytes) => EndianSlice::new(bytes, endian(image)),
        }
    }
}

impl Index {
    /// Looks at all entries of a section.
    fn of<'a, Section: UnwindSection<Bytes<'a>>>(section: &Section, bytes: Bytes<'a>, bases: &BaseAddresses) -> Index {
        let mut rows = Vec::new();
        let mut cies = Cies::of(bytes);
        let mut entries = section.entries(bases);
        for _ in 0..MOST_ENTRIES {
            let Ok(Some(entry)) = entries.next() else { break };
            let CieOrFde::Fde(entry) = entry else { continue };
            let Ok(entry) = entry.parse(|section, bases, offset| cies.get(section, bases, offset)) else { continue };
            // What a linker left out of the program has no length, or stands at zero.
            let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
            if let (Ok(at), true) = (u32::try_from(entry.offset()), length > 0) {
                rows.push(IndexRow { start: entry.initial_address(), length, entry: at });
            }
        }
        // Of two that begin at one place, the longer one is the last.
        rows.sort_unstable_by_key(|row| (row.start, row.length));
        rows.shrink_to_fit();
        Index(rows)
    }

    fn find(&self, svma: u64) -> Option<IndexRow> {
        let row = *self.0.get(self.0.partition_point(|row| row.start <= svma).checked_sub(1)?)?;
        (svma - row.start < u64::from(row.length)).then_some(row)
    }
}

fn endian(image: &ElfFile) -> RunTimeEndian {
    if image.is_big_endian() { RunTimeEndian::Big } else { RunTimeEndian::Little }
}

fn address_size(image: &ElfFile) -> u8 {
    if image.is_64() { 8 } else { 4 }
}

fn bytes_of(image: &ElfFile, range: Range<usize>) -> Bytes<'_> {
    EndianSlice::new(image.data().get(range).unwrap_or_default(), endian(image))
}

fn vendor(image: &ElfFile) -> gimli::Vendor {
    if image.machine() == object::elf::EM_AARCH64.0 { gimli::Vendor::AArch64 } else { gimli::Vendor::Default }
}

fn eh_frame_of<'a>(image: &ElfFile, bytes: Bytes<'a>) -> EhFrame<Bytes<'a>> {
    let mut section = EhFrame::from(bytes);
    section.set_address_size(address_size(image));
    section.set_vendor(vendor(image));
    section
}

fn debug_frame_of<'a>(image: &ElfFile, bytes: Bytes<'a>) -> DebugFrame<Bytes<'a>> {
    let mut section = DebugFrame::from(bytes);
    section.set_address_size(address_size(image));
    section.set_vendor(vendor(image));
    section
}

fn parse<'a, Section: UnwindSection<Bytes<'a>>>(
    section: &Section,
    bytes: Bytes<'a>,
    bases: &BaseAddresses,
    offset: Section::Offset,
) -> Option<FrameDescriptionEntry<Bytes<'a>>> {
    let mut cies = Cies::of(bytes);
    let entry =
        section.fde_from_offset(bases, offset, |section, bases, offset| cies.get(section, bases, offset)).ok()?;
    (entry.entry_len() <= MOST_ENTRY).then_some(entry)
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

/// The common parts of a section's entries; the last one is kept, as neighbours share it.
#[derive(Debug)]
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
