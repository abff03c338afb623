//! The bytes of a section, decompressed where need be: once, however many threads look names up in a file.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use object::elf;
use object::read::{CompressedData, CompressionFormat};

use super::elf_file::ElfFile;
use super::elf_headers::Section;

impl ElfFile {
    /// Whether its numbers have their highest byte first (`ELFDATA2MSB`).
    pub fn is_big_endian(&self) -> bool {
        self.data().get(5) == Some(&2)
    }

    /// The bytes of a section, or of the older `.z` one that is this one compressed; nothing if they are not all there.
    pub fn section_contents(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let section = self.section_or_packed(name)?;
        let data = self.stored_bytes(&section)?;
        match section.compressed {
            false => Some(Cow::Borrowed(data)),
            true => decompress(data, self.is_64(), self.is_big_endian()),
        }
    }

    fn section_or_packed(&self, name: &str) -> Option<Section> {
        self.section(name).or_else(|| self.section(&format!(".z{}", name.strip_prefix('.')?)))
    }

    fn stored_bytes(&self, section: &Section) -> Option<&[u8]> {
        let start = usize::try_from(section.file_offset).ok()?;
        self.data().get(start..start.checked_add(usize::try_from(section.size).ok()?)?)
    }
}

/// The sections of a file that were decompressed; they stay as long as the file.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    /// By the section's place in the file; one that cannot be decompressed has nothing.
    sections: OnceLock<Vec<OfSection>>,
}

/// Where in the file a compressed section is, and what was in it.
type OfSection = (u64, OnceLock<Option<Vec<u8>>>);

/// Bytes that are kept decompressed, of all files together.
static KEPT: AtomicUsize = AtomicUsize::new(0);
/// Most bytes that are kept; beyond, whoever asks for a section decompresses it and gives it back.
const MOST_KEPT: usize = 1 << 30;

impl Unpacked {
    /// As [`ElfFile::section_contents`], each section decompressed once.
    pub fn section_contents<'a>(&'a self, file: &'a ElfFile, name: &str) -> Option<Cow<'a, [u8]>> {
        let section = file.section_or_packed(name)?;
        let data = file.stored_bytes(&section)?;
        if !section.compressed {
            return Some(Cow::Borrowed(data));
        }
        let all = self.sections.get_or_init(|| {
            let compressed = file.sections().filter(|section| section.compressed);
            compressed.map(|section| (section.file_offset, OnceLock::new())).collect()
        });
        let (_, unpacked) = all.iter().find(|(offset, _)| *offset == section.file_offset)?;
        let unpack = || decompress(data, file.is_64(), file.is_big_endian());
        if unpacked.get().is_none() && KEPT.load(Ordering::Relaxed) > MOST_KEPT {
            return unpack();
        }
        let kept = unpacked.get_or_init(|| {
            let bytes = unpack()?.into_owned();
            KEPT.fetch_add(bytes.len(), Ordering::Relaxed);
            Some(bytes)
        });
        kept.as_deref().map(Cow::Borrowed)
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let sections = self.sections.get().into_iter().flatten();
        let bytes = sections.filter_map(|(_, bytes)| Some(bytes.get()?.as_ref()?.len())).sum();
        KEPT.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Decompresses a section; see elf(5), `Elf64_Chdr`, and for `ZLIB` the older `.zdebug_` sections of the GNU tools.
fn decompress(data: &[u8], is_64: bool, is_big_endian: bool) -> Option<Cow<'_, [u8]>> {
    /// What zlib can reach; what says that it is packed more tightly says so to hurt.
    const MOST_RATIO: u64 = 1100;
    /// From this size on no section of a compiler's packs so well: 3 to 10 is usual.
    const LARGE: u64 = 64 << 20;
    const MOST_RATIO_OF_LARGE: u64 = 64;
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
    let most_ratio = if size < LARGE { MOST_RATIO } else { MOST_RATIO_OF_LARGE };
    if size > MOST_SIZE.min((packed.len() as u64).saturating_mul(most_ratio)) {
        return None;
    }
    CompressedData { format, data: packed, uncompressed_size: size }.decompress().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// `Elf64_Chdr` and what is packed.
    fn with_header(kind: u32, size: u64, packed: &[u8]) -> Vec<u8> {
        [&kind.to_le_bytes()[..], &[0; 4], &size.to_le_bytes(), &1u64.to_le_bytes(), packed].concat()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn all_three_ways_to_pack_are_read() {
        let bytes = b"debug information".repeat(1000);
        let zstd = zstd::bulk::compress(&bytes, 3).unwrap();
        let old = [b"ZLIB", &(bytes.len() as u64).to_be_bytes()[..], &zlib(&bytes)].concat();
        let size = bytes.len() as u64;
        for packed in [with_header(1, size, &zlib(&bytes)), with_header(2, size, &zstd), old] {
            assert_eq!(decompress(&packed, true, false).as_deref(), Some(&bytes[..]));
            assert_eq!(decompress(&packed[..packed.len() / 2], true, false), None);
        }
        assert_eq!(decompress(&with_header(3, size, &zstd), true, false), None);
    }

    #[test]
    fn huge_sizes_out_of_few_bytes_are_refused() {
        let zeros = vec![0; 4 << 20];
        let zstd = zstd::bulk::compress(&zeros, 1).unwrap();
        assert_eq!(decompress(&with_header(2, 4 << 20, &zstd), true, false), None);
        for (kind, packed) in [(1, zlib(&zeros)), (2, zstd)] {
            for size in [1 << 27, 1 << 32, 1 << 40, u64::MAX] {
                assert_eq!(decompress(&with_header(kind, size, &packed), true, false), None, "{kind} {size}");
            }
        }
    }
}
