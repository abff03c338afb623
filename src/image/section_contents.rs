//! The bytes of a section, decompressed where need be.

use std::borrow::Cow;

use object::elf;
use object::read::{CompressedData, CompressionFormat};

use super::elf_file::ElfFile;

impl ElfFile {
    /// Whether its numbers have their highest byte first (`ELFDATA2MSB`).
    pub fn is_big_endian(&self) -> bool {
        self.data().get(5) == Some(&2)
    }

    /// The bytes of a section, or of the older `.z` one that is this one compressed; nothing if they are not all there.
    pub fn section_contents(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let section = self.section(name).or_else(|| self.section(&format!(".z{}", name.strip_prefix('.')?)))?;
        let start = usize::try_from(section.file_offset).ok()?;
        let data = self.data().get(start..start.checked_add(usize::try_from(section.size).ok()?)?)?;
        match section.compressed {
            false => Some(Cow::Borrowed(data)),
            true => decompress(data, self.is_64(), self.is_big_endian()),
        }
    }
}

/// Decompresses a section; see elf(5), `Elf64_Chdr`, and for `ZLIB` the older `.zdebug_` sections of the GNU tools.
fn decompress(data: &[u8], is_64: bool, is_big_endian: bool) -> Option<Cow<'_, [u8]>> {
    /// What zlib can reach; what says that it is packed more tightly says so to hurt.
    const MOST_RATIO: u64 = 1100;
    const MOST_SIZE: u64 = 4 << 30;
    let word = |at: usize| -> Option<u32> {
        let bytes = *data.get(at..)?.first_chunk()?;
        Some(if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let (format, size, packed) = if let Some(rest) = data.strip_prefix(b"ZLIB") {
        (CompressionFormat::Zlib, u64::from_be_bytes(*rest.first_chunk()?), &rest[8..])
    } else {
        let (size, header) = match is_64 {
            true => {
                let (first, second) = (u64::from(word(8)?), u64::from(word(12)?));
                (if is_big_endian { first << 32 | second } else { second << 32 | first }, 24)
            }
            false => (u64::from(word(4)?), 12),
        };
        let format = match elf::CompressionType(word(0)?) {
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
