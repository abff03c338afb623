//! The bytes of one ELF file, and what its headers say.

use std::ops::Range;

use super::elf_headers::{ElfHeaders, Section, Segment};
use super::mapped_file::MappedFile;
use crate::model::BuildId;

/// An ELF file: what its headers say, and its bytes.
#[derive(Debug)]
pub struct ElfFile {
    bytes: Bytes,
    headers: ElfHeaders,
}

#[derive(Debug)]
pub(super) enum Bytes {
    Mapped(MappedFile),
    Owned(Box<[u8]>),
}

impl ElfFile {
    pub(super) fn new(bytes: Bytes, headers: ElfHeaders) -> ElfFile {
        ElfFile { bytes, headers }
    }

    /// All bytes of the file. They are hostile, and what was cut off since reads as zero.
    pub fn data(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }

    /// Some of its bytes are not needed soon: they need not be in our memory. Whoever reads them again finds them as they are in
    /// the file.
    pub fn forget(&self, range: Range<usize>) {
        if let Bytes::Mapped(map) = &self.bytes {
            map.forget_some(range);
        }
    }

    /// What identifies its contents.
    pub fn build_id(&self) -> Option<BuildId> {
        self.headers.build_id
    }

    /// All of what identifies its contents, if that is longer than a [`BuildId`].
    pub(super) fn long_build_id(&self) -> Option<&[u8]> {
        self.headers.long_build_id.as_deref()
    }

    /// Whether it is a file of 64-bit code (`ELFCLASS64`).
    pub fn is_64(&self) -> bool {
        self.headers.is_64
    }

    /// The address, as the file states it, at which the kernel starts it (`e_entry`).
    pub fn entry(&self) -> u64 {
        self.headers.entry
    }

    /// Which processor its code is for (`e_machine`).
    pub fn machine(&self) -> u16 {
        self.headers.machine
    }

    /// The address that the file states for the code at an offset of it.
    ///
    /// It is found through the executable segment that covers the offset: linkers place segments at addresses that
    /// differ from their offsets by different amounts (lld, bolt), so a plain difference is wrong.
    pub fn svma_of_offset(&self, file_offset: u64) -> Option<u64> {
        let segment = self.headers.segments.iter().filter(|segment| segment.executable).find(|segment| {
            file_offset.checked_sub(segment.offset).is_some_and(|distance| distance < segment.file_size)
        })?;
        segment.svma.checked_add(file_offset - segment.offset)
    }

    /// How much higher than the file states its code stands in a process that has mapped `length` bytes from
    /// `file_offset` at `start`.
    ///
    /// A mapping begins at a page, a segment need not: lld packs them so that one begins in the middle of a page, and the
    /// mapping's first bytes are the end of the segment before.
    pub fn bias_of_mapping(&self, start: u64, file_offset: u64, length: u64) -> Option<u64> {
        let end = file_offset.saturating_add(length);
        let segment = self.headers.segments.iter().find(|segment| {
            let segment_end = segment.offset.saturating_add(segment.file_size);
            segment.executable && segment.offset < end && segment_end > file_offset
        })?;
        let inside = segment.offset.max(file_offset);
        let address = start.checked_add(inside - file_offset)?;
        address.checked_sub(segment.svma.checked_add(inside - segment.offset)?)
    }

    /// The offset in the file of an address that the file states, if the file has bytes for it.
    pub fn offset_of_svma(&self, svma: u64) -> Option<u64> {
        let segment = self
            .headers
            .segments
            .iter()
            .find(|segment| svma.checked_sub(segment.svma).is_some_and(|distance| distance < segment.file_size))?;
        segment.offset.checked_add(svma - segment.svma)
    }

    /// The parts that are loaded, in the order of the file's table.
    pub fn segments(&self) -> &[Segment] {
        &self.headers.segments
    }

    /// The place of the first section of this name that has bytes in the file.
    pub fn section(&self, name: &str) -> Option<Section> {
        let found = self.headers.sections.iter().find(|(known, _)| **known == *name.as_bytes());
        found.map(|(_, section)| *section)
    }

    /// Whether it has debug information of its own.
    pub fn has_debug_info(&self) -> bool {
        self.headers.has_debug_info()
    }

    /// Whether it has symbols of its own, or debug information: it was not stripped.
    pub fn has_symbols_or_debug_info(&self) -> bool {
        self.headers.has_symbols_or_debug_info()
    }

    /// The places of all sections that have bytes in the file.
    pub(super) fn sections(&self) -> impl Iterator<Item = &Section> {
        self.headers.sections.iter().map(|(_, section)| section)
    }

    /// The places of all sections of this name that have bytes in the file; object files have several.
    pub fn sections_named(&self, name: &str) -> impl Iterator<Item = Section> {
        let same = move |known: &[u8]| *known == *name.as_bytes();
        self.headers.sections.iter().filter(move |(known, _)| same(known)).map(|(_, section)| *section)
    }

    /// Where `PT_GNU_EH_FRAME` says that the index of unwind information is: svma, file offset and size. It is there
    /// in files without section headers too.
    pub fn program_header_eh_frame_hdr(&self) -> Option<(u64, u64, u64)> {
        self.headers.eh_frame_hdr
    }

    /// Whether the file was cut short after it was opened, as far as anybody has noticed.
    pub fn was_cut(&self) -> bool {
        match &self.bytes {
            Bytes::Mapped(map) => map.was_cut(),
            Bytes::Owned(_) => false,
        }
    }
}
