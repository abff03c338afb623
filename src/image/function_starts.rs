//! Where functions begin, for code that no symbol names: call frame information has an entry for each function.

use super::elf_image::ElfImage;

/// For each address, where the function that covers it begins; `None` where no entry does, as between functions.
///
/// Addresses are as the file states them (svma). A function that the compiler took apart (`.cold`) has an entry for each
/// part, and a PLT one for all of its stubs.
pub fn function_starts(image: &ElfImage, svmas: &[u64]) -> Vec<Option<u64>> {
    let tables = image.frame_tables();
    svmas.iter().map(|svma| tables.find(image, *svma).map(|entry| entry.start())).collect()
}
