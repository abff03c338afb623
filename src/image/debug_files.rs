//! The files that say more of a program than its own file does, found and proven to be of it.
//!
//! ```text
//! program --.gnu_debuglink / build id--> separate   symbols and debug information
//!        \--.gnu_debugdata-------------> mini       functions that are not exported (MiniDebugInfo)
//! whichever of them has debug information:
//!        --.gnu_debugaltlink / .debug_sup--> supplementary   what several programs have in common (dwz)
//!        --DW_AT_dwo_name------------------> split           units in files of their own (.dwo), or in one package (.dwp)
//! ```

use std::sync::Arc;

use super::elf_image::ElfImage;

/// The files that were found beside an image's own; each is there only if it is proven to be of the same build.
#[derive(Clone, Debug, Default)]
pub struct DebugFiles {
    /// Symbols and debug information of the program in a file of their own. Addresses are the program's; there is neither
    /// code nor unwind information in it.
    pub separate: Option<Arc<ElfImage>>,
    /// Symbols alone, unpacked out of the program (`.gnu_debugdata`).
    pub mini: Option<Arc<ElfImage>>,
    /// What the debug information refers to in a file that several programs share.
    pub supplementary: Option<Arc<ElfImage>>,
    /// All split units of the program in one file (`.dwp`).
    pub package: Option<Arc<ElfImage>>,
    /// Where split units are looked for that are in files of their own.
    pub split: SplitFiles,
}

/// Where the files of split units (`.dwo`) are looked for.
#[derive(Clone, Debug, Default)]
pub struct SplitFiles {}

impl SplitFiles {
    /// Opens the file of a unit by `DW_AT_dwo_name` and the directory in which it was compiled, `DW_AT_comp_dir` (DWARF 5,
    /// section 7.3.2.2). Whether it is the right one tells its `DW_AT_dwo_id` only, which the caller must compare.
    pub fn open(&self, _directory: &[u8], _name: &[u8]) -> Option<Arc<ElfImage>> {
        None
    }
}
