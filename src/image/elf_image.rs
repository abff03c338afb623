//! One ELF file, open for as long as somebody holds it.

use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{CWD, ResolveFlags};

use super::as_seen::open_regular;
use super::elf_headers::{ElfHeaders, HeaderSource, Section, Segment};
use super::frame_tables::FrameTables;
use super::go_table::GoTable;
use super::mapped_file::MappedFile;
use crate::error::{Error, ErrorKind, Result};
use crate::model::BuildId;

/// An ELF file: what its headers say, and its bytes.
#[derive(Debug)]
pub struct ElfImage {
    bytes: Bytes,
    headers: ElfHeaders,
    frame_tables: OnceLock<FrameTables>,
    go_table: OnceLock<Option<GoTable>>,
}

#[derive(Debug)]
enum Bytes {
    Mapped(MappedFile),
    Owned(Box<[u8]>),
}

impl ElfImage {
    /// The image of a mapped file whose headers were read already.
    pub(super) fn from_map(map: MappedFile, headers: ElfHeaders) -> ElfImage {
        ElfImage { bytes: Bytes::Mapped(map), headers, frame_tables: OnceLock::new(), go_table: OnceLock::new() }
    }

    /// Opens a file that the user has named.
    ///
    /// # Errors
    /// Those of the system; `Malformed` if it is no ELF file.
    pub fn open(path: &Path) -> Result<ElfImage> {
        let failed = |error| Error::io(format!("cannot open {}", path.display()), error);
        let file = open_regular(CWD, path, ResolveFlags::empty()).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let no_elf = || Error::new(ErrorKind::Malformed, format!("{} is no ELF file", path.display()));
        let headers = ElfHeaders::read(&HeaderSource::File(&file)).ok_or_else(no_elf)?;
        let map = MappedFile::new(&file, usize::try_from(length).map_err(|_| no_elf())?).map_err(failed)?;
        Ok(ElfImage::from_map(map, headers))
    }

    /// The image that `bytes` are; `None` if they are no ELF file.
    pub fn from_bytes(bytes: impl Into<Box<[u8]>>) -> Option<ElfImage> {
        let bytes = bytes.into();
        let headers = ElfHeaders::read(&HeaderSource::Bytes(&bytes))?;
        Some(ElfImage { bytes: Bytes::Owned(bytes), headers, frame_tables: OnceLock::new(), go_table: OnceLock::new() })
    }

    /// All bytes of the file. They are hostile, and what was cut off since reads as zero.
    pub fn data(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }

    /// What identifies its contents.
    pub fn build_id(&self) -> Option<BuildId> {
        self.headers.build_id
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

    /// Its call frame information.
    pub fn frame_tables(&self) -> &FrameTables {
        self.frame_tables.get_or_init(|| FrameTables::of(self))
    }

    /// What Go says of its functions, if this is a Go program.
    pub fn go_table(&self) -> Option<&GoTable> {
        self.go_table.get_or_init(|| GoTable::of(self)).as_ref()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A 64-bit little-endian ELF file with these `PT_LOAD`s: offset, file size, svma, executable.
    fn elf_with(segments: &[(u64, u64, u64, bool)]) -> Vec<u8> {
        let mut bytes = vec![0u8; 64];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[16..20].copy_from_slice(&[3, 0, 62, 0]);
        bytes[20] = 1;
        bytes[32] = 64;
        bytes[52] = 64;
        bytes[54] = 56;
        bytes[56] = segments.len() as u8;
        for (offset, size, svma, executable) in segments {
            bytes.extend(1u32.to_le_bytes());
            bytes.extend((if *executable { 5u32 } else { 4 }).to_le_bytes());
            for word in [*offset, *svma, *svma, *size, *size, 4096] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes
    }

    #[test]
    fn offset_maps_through_its_own_executable_segment() {
        let image = ElfImage::from_bytes(elf_with(&[
            (0, 0x1800, 0x40_0000, false),
            (0x1800, 0x1000, 0x40_2800, true),
            (0x2800, 0x100, 0x90_3800, true),
            (0x2900, u64::MAX, u64::MAX - 1, true),
        ]))
        .unwrap();
        assert!(image.is_64() && image.machine() == 62);
        assert_eq!(image.svma_of_offset(0x1800), Some(0x40_2800));
        assert_eq!(image.svma_of_offset(0x27ff), Some(0x40_37ff));
        assert_eq!(image.svma_of_offset(0x2800), Some(0x90_3800));
        assert_eq!(image.svma_of_offset(0x100), None);
        assert_eq!(image.svma_of_offset(0x3000), None);
        assert_eq!(image.offset_of_svma(0x90_3801), Some(0x2801));
    }

    #[test]
    fn corrupt_headers_are_survived() {
        let good = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let headers = ElfHeaders::read(&HeaderSource::Bytes(&good)).unwrap();
        assert!(headers.segments.iter().any(|segment| segment.executable) && headers.eh_frame_hdr.is_some());
        assert!(headers.sections.iter().any(|(name, _)| **name == *b".text"));
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let table = u64::from_le_bytes(good[40..48].try_into().unwrap()) as usize;
        for _ in 0..3000 {
            let mut changed = good[..1024].to_vec();
            for _ in 0..=next(4) {
                changed[next(1024)] = next(256) as u8;
            }
            // Only the ends of the file, so that a round is cheap.
            changed.extend_from_slice(&good[table..]);
            changed[40..48].copy_from_slice(&1024u64.to_le_bytes());
            let at = next(changed.len());
            changed[at] ^= next(256) as u8;
            changed.truncate(next(changed.len() * 2));
            if let Some(image) = ElfImage::from_bytes(changed) {
                image.svma_of_offset(next(1 << 20) as u64);
                let svma = image.entry();
                image.frame_tables().find(&image, svma);
            }
        }
    }
}
