//! The files that say more of a program than its own file does, found and proven to be of it.
//!
//! ```text
//! program --.gnu_debuglink / build id--> separate   symbols and debug information
//!        \--.gnu_debugdata-------------> mini       functions that are not exported (MiniDebugInfo)
//! whichever of them has debug information:
//!        --.gnu_debugaltlink / .debug_sup--> supplementary   what several programs have in common (dwz)
//!        --DW_AT_dwo_name------------------> split           units in files of their own (.dwo), or in one package (.dwp)
//! ```

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::elf_image::ElfImage;
use super::recorded::read;
use super::search::is_hollow;
use super::tree::Tree;

/// The files that were found beside an image's own; each is there only if it is proven to be of the same build.
#[derive(Clone, Debug, Default)]
pub struct DebugFiles {
    /// Symbols and debug information of the program in a file of their own. Addresses are the program's; there is neither
    /// code nor unwind information in it.
    pub separate: Option<Arc<ElfImage>>,
    /// Symbols alone, unpacked out of the program (`.gnu_debugdata`), if there is no better table.
    pub mini: Option<Arc<ElfImage>>,
    /// What the debug information refers to in a file that several programs share.
    pub supplementary: Option<Arc<ElfImage>>,
    /// All split units of the program in one file (`.dwp`). Which of them are the program's tell their ids, which the caller must
    /// compare.
    pub package: Option<Arc<ElfImage>>,
    /// Where split units are looked for that are in files of their own.
    pub split: SplitFiles,
    /// Whether there was a place that may not be looked into, where names may be, other than the folders that the user names.
    pub denied: bool,
}

/// Where the files of split units (`.dwo`) are looked for.
#[derive(Clone, Debug, Default)]
pub struct SplitFiles {
    places: Option<Arc<Places>>,
}

#[derive(Debug)]
struct Places {
    debug_dirs: Vec<PathBuf>,
    /// In which paths of the program mean something, best first.
    trees: Vec<Tree>,
    /// The folder of the program's own file.
    folder: PathBuf,
    asked: Mutex<FxHashMap<Box<[u8]>, Asked>>,
}

/// A file that was looked for, if there is one.
type Asked = Option<Arc<ElfImage>>;

/// Most files of split units that are looked for, of one program: each of a program's objects has one.
const MOST_ASKED: usize = 1 << 14;

impl SplitFiles {
    pub(super) fn new(debug_dirs: &[PathBuf], trees: Vec<Tree>, program: &Path) -> SplitFiles {
        let folder = program.parent().unwrap_or(Path::new("")).to_owned();
        let places = Places { debug_dirs: debug_dirs.to_vec(), trees, folder, asked: Mutex::default() };
        SplitFiles { places: Some(Arc::new(places)) }
    }

    /// Opens the file of a unit by `DW_AT_dwo_name` and the directory in which it was compiled, `DW_AT_comp_dir` (DWARF 5,
    /// section 7.3.2.2). Whether it is the right one tells its `DW_AT_dwo_id` only, which the caller must compare.
    ///
    /// It is looked for where the compiler wrote it, as the program's process sees that and as we do, in the folders that the
    /// user names, and beside the program by its last name. A file that was asked for is kept open, as long as there is somebody
    /// who may ask.
    pub fn open(&self, directory: &[u8], name: &[u8]) -> Option<Arc<ElfImage>> {
        let places = self.places.as_ref()?;
        let key = [directory, b"\0", name].concat().into_boxed_slice();
        // Held while the file is looked for, so that threads that ask for the same one open it once.
        let mut asked = places.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = asked.get(&key) {
            return known.clone();
        }
        if asked.len() >= MOST_ASKED {
            return None;
        }
        let image = places.find(directory, name).map(Arc::new);
        asked.insert(key, image.clone());
        image
    }
}

impl Places {
    fn find(&self, directory: &[u8], name: &[u8]) -> Option<ElfImage> {
        let name = Path::new(OsStr::from_bytes(name));
        let whole = Path::new(OsStr::from_bytes(directory)).join(name);
        let whole = Some(whole).filter(|path| path.is_absolute());
        let base = name.file_name();
        let as_written = self.trees.iter().filter_map(|tree| Some((tree.clone(), whole.clone()?)));
        let in_folders = self.debug_dirs.iter().flat_map(|folder| {
            let below = whole.clone().map(|whole| (Tree::Below(folder.clone()), whole));
            below.into_iter().chain(base.map(|base| (Tree::Host, folder.join(base))))
        });
        let beside = self.trees.iter().filter_map(|tree| Some((tree.clone(), self.folder.join(base?))));
        as_written.chain(in_folders).chain(beside).find_map(|(tree, path)| {
            let found = read(tree.open(&path).ok()?)?;
            if !found.headers.has_section(b".debug_info.dwo") || is_hollow(&found.file) {
                return None;
            }
            ElfImage::of_file(&found.file, found.length, found.headers).ok()
        })
    }
}
