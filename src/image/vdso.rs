//! The vdso: code that the kernel maps into every process and that no file holds.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::elf_image::ElfImage;

/// Reads the vdso of 64-bit processes out of our own memory; the kernel gives every such process the same.
///
/// `None` if the kernel maps none (`vdso=0`), or `/proc` is not there.
pub(super) fn read_own() -> Option<ElfImage> {
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let line = maps.split(|byte| *byte == b'\n').find(|line| line.ends_with(b"[vdso]"))?;
    let range = std::str::from_utf8(line).ok()?.split(' ').next()?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    let mut bytes = vec![0; usize::try_from(end.checked_sub(start)?).ok()?];
    File::open("/proc/self/mem").ok()?.read_exact_at(&mut bytes, start).ok()?;
    ElfImage::from_bytes(bytes)
}
