//! `.gnu_debugdata`: a symbol table of the functions that are not exported, packed with xz into the program itself (GDB manual,
//! "MiniDebugInfo").

use std::io::Read;

use lzma_rust2::XzReader;

use super::elf_file::ElfFile;

/// Most bytes that are unpacked; those of the largest programs that distributions pack have a tenth of it.
const MOST_BYTES: u64 = 256 << 20;
/// How many times larger than packed it may be: symbol tables pack to a quarter, at best to a twentieth.
const MOST_RATIO: u64 = 200;
/// Most memory for unpacking, in KiB: the dictionary of the strongest level (`xz -9`) is 64 MiB.
const MOST_MEMORY: u32 = 80 << 10;

/// Unpacks the table of a file, which is to be an ELF file.
///
/// # Errors
/// `None` if the file has none; what is wrong with it if it cannot be used.
pub(super) fn unpack(file: &ElfFile) -> Option<Result<Vec<u8>, &'static str>> {
    Some(unpack_bytes(&file.section_contents(".gnu_debugdata")?))
}

fn unpack_bytes(packed: &[u8]) -> Result<Vec<u8>, &'static str> {
    let most = (packed.len() as u64).saturating_mul(MOST_RATIO).min(MOST_BYTES);
    let unpack = || {
        let mut bytes = Vec::new();
        let reader = XzReader::new_mem_limit(packed, false, MOST_MEMORY);
        reader.take(most + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    // Names are looked up when all is recorded: what the library does not survive must not take that along.
    let bytes = std::panic::catch_unwind(unpack).ok().and_then(Result::ok).ok_or("it is not packed soundly")?;
    if bytes.len() as u64 > most { Err("it is packed more tightly than symbols can be") } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(6)).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn sound_data_is_unpacked_and_bombs_are_not() {
        let bytes = b"what is packed".repeat(7);
        assert_eq!(unpack_bytes(&packed(&bytes)).as_deref(), Ok(&bytes[..]));
        assert_eq!(unpack_bytes(&packed(&vec![0; 1 << 20])), Err("it is packed more tightly than symbols can be"));
        assert!(unpack_bytes(b"").is_err() && unpack_bytes(b"\xfd7zXZ").is_err());
    }

    #[test]
    fn corrupt_data_is_survived() {
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let bytes: Vec<u8> = (0..4_000).map(|_| (next(256) & next(256)) as u8).collect();
        let good = packed(&bytes);
        for _ in 0..300 {
            let mut changed = good.clone();
            for _ in 0..=next(3) {
                // Half of them in the headers.
                let at = if next(2) == 0 { next(64.min(changed.len())) } else { next(changed.len()) };
                changed[at] = next(256) as u8;
            }
            if next(4) == 0 {
                changed.truncate(next(good.len()));
            }
            if let Ok(unpacked) = unpack_bytes(&changed) {
                assert!(unpacked.len() <= good.len() * MOST_RATIO as usize);
            }
        }
    }
}
