//! One ELF file, open for as long as somebody holds it, and the tables that were found in it.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustix::fs::{CWD, ResolveFlags};

use super::as_seen::open_regular;
use super::elf_file::{Bytes, ElfFile};
use super::elf_headers::{ElfHeaders, HeaderSource};
use super::frame_tables::FrameTables;
use super::go_table::GoTable;
use super::mapped_file::MappedFile;
use super::mini_debug;
use super::section_contents::Unpacked;
use crate::error::{Error, ErrorKind, Result};

/// An ELF file that is mapped somewhere, with the tables that say how its code is unwound.
#[derive(Debug)]
pub struct ElfImage {
    file: ElfFile,
    frame_tables: OnceLock<FrameTables>,
    go_table: OnceLock<Option<GoTable>>,
    unpacked: Unpacked,
    mini: OnceLock<Option<Mini>>,
}

/// The symbol table that is packed into a file, or what is wrong with it.
type Mini = std::result::Result<Arc<ElfImage>, &'static str>;

impl Deref for ElfImage {
    type Target = ElfFile;

    fn deref(&self) -> &ElfFile {
        &self.file
    }
}

impl ElfImage {
    fn new(file: ElfFile) -> ElfImage {
        ElfImage {
            file,
            frame_tables: OnceLock::new(),
            go_table: OnceLock::new(),
            unpacked: Unpacked::default(),
            mini: OnceLock::new(),
        }
    }

    /// The image of a mapped file whose headers were read already.
    pub(super) fn from_map(map: MappedFile, headers: ElfHeaders) -> ElfImage {
        ElfImage::new(ElfFile::new(Bytes::Mapped(map), headers))
    }

    /// The image of a file that was opened, and whose headers were read, already.
    ///
    /// # Errors
    /// Those of `mmap(2)`.
    pub(super) fn of_file(file: &File, length: u64, headers: ElfHeaders) -> io::Result<ElfImage> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        Ok(ElfImage::from_map(MappedFile::new(file, length)?, headers))
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
        Some(ElfImage::new(ElfFile::new(Bytes::Owned(bytes), headers)))
    }

    /// The bytes of a section, decompressed once where need be; nothing if they are not all there.
    pub fn section_contents(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.unpacked.section_contents(&self.file, name)
    }

    /// The symbol table that is packed into it (`.gnu_debugdata`), unpacked when it is first asked for.
    ///
    /// # Errors
    /// `None` if there is none; what is wrong with it if it cannot be used.
    pub(super) fn mini(&self) -> Option<Mini> {
        let image = |bytes| ElfImage::from_bytes(bytes).ok_or("what is packed in it is no ELF file");
        self.mini.get_or_init(|| Some(mini_debug::unpack(self)?.and_then(image).map(Arc::new))).clone()
    }

    /// Its call frame information.
    pub fn frame_tables(&self) -> &FrameTables {
        self.frame_tables.get_or_init(|| FrameTables::of(self))
    }

    /// What Go says of its functions, if this is a Go program.
    pub fn go_table(&self) -> Option<&GoTable> {
        self.go_table.get_or_init(|| GoTable::of(self)).as_ref()
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
