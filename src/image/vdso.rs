//! The vdso: code that the kernel maps into every process and that no file holds.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use super::as_seen::Wanted;
use super::elf_image::ElfImage;

/// More bytes than any has.
const MOST: u64 = 64 << 10;

/// Whose vdso it is: the kernel has one for each kind of process (`vdso_image_64`, `vdso_image_32`: arch/x86/entry/vdso).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Width {
    /// Of a process of the machine's own width.
    Own,
    /// Of a 32-bit process.
    Narrow,
}

impl Width {
    /// By the mapping: those of 64-bit processes lie near the stack, at the upper end.
    pub fn of(wanted: &Wanted<'_>) -> Width {
        let is_narrow = cfg!(target_pointer_width = "64") && wanted.end > 0 && wanted.end <= 1 << 32;
        if is_narrow { Width::Narrow } else { Width::Own }
    }
}

/// Reads the vdso out of our own memory; the kernel gives every process of our width the same.
///
/// `None` if the kernel maps none (`vdso=0`), or `/proc` is not there.
pub(super) fn read_own() -> Option<ElfImage> {
    read("self", None)
}

/// Reads that of a process that runs, if it is still mapped where it was.
pub(super) fn read_of(wanted: &Wanted<'_>) -> Option<ElfImage> {
    read(&wanted.pid.to_string(), Some((wanted.start, wanted.end)))
}

fn read(process: &str, expected: Option<(u64, u64)>) -> Option<ElfImage> {
    let maps = fs::read(format!("/proc/{process}/maps")).ok()?;
    let line = maps.split(|byte| *byte == b'\n').find(|line| line.ends_with(b"[vdso]"))?;
    let range = std::str::from_utf8(line).ok()?.split(' ').next()?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    if expected.is_some_and(|expected| expected != (start, end)) {
        return None;
    }
    let length = end.checked_sub(start).filter(|length| *length <= MOST)?;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    File::open(format!("/proc/{process}/mem")).ok()?.read_exact_at(&mut bytes, start).ok()?;
    ElfImage::from_bytes(bytes)
}
