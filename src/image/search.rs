//! The search for the files beside a program's own: where they may be, in which order, and what proves each.
//!
//! ```text
//! folders that the user named --> perf's cache --> the sysroot, or the process's root --> the host --> debuginfod's cache
//!
//! in a folder   .build-id/xx/yyyy.debug    PATH.debug, NAME.debug    the name of .gnu_debuglink
//! in a tree     /usr/lib/debug/.build-id   beside the program, in .debug/, below /usr/lib/debug, by .gnu_debuglink
//! ```
//!
//! If program and file both have a build id, that decides, as it does for elfutils (`validate`, libdwfl/find-debuginfo.c): the
//! checksum in `.gnu_debuglink` is then not looked at, so that a debug file that was packed or passed through dwz since is
//! still found, and no large file is read to its end. (gdb wants the checksum too, but never asks for it where it finds the same
//! file by build id first.) Else the checksum must be right.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::as_seen::{Found, without_mark};
use super::elf_image::ElfImage;
use super::links::{DebugLink, SupplementaryLink};
use super::recorded::{
    FileSources, SYSTEM_DEBUG_DIR, is_plain_name, is_same, name_by_id, names_by_build_id, read, with_debug,
};
use super::refused::{Refusal, Refused};
use super::tree::Tree;
use crate::model::BuildId;

/// The search for what belongs to one image.
#[derive(Debug)]
pub(super) struct Search<'a> {
    sources: &'a FileSources,
    /// The program's own file, if it is there.
    image: Option<&'a ElfImage>,
    build_id: Option<BuildId>,
    /// The path of the program.
    path: &'a Path,
    /// In which its path means something, best first.
    trees: Vec<Tree>,
    /// What was found and is not used.
    pub refused: Vec<Refused>,
    /// Whether there was something that may not be opened.
    pub denied: bool,
    checksums: Checksums,
}

/// What is done where a checksum decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checksums {
    /// The file is read to its end.
    Read,
    /// The file is taken for the right one.
    Assumed,
}

/// A file, and where it was.
#[derive(Debug)]
pub(super) struct Located {
    pub found: Found,
    pub place: Place,
}

/// Where a file was found.
#[derive(Clone, Debug)]
pub(super) struct Place {
    tree: Tree,
    path: PathBuf,
    /// Without links, as those by build id are.
    real: Option<PathBuf>,
}

/// A place to look at.
#[derive(Clone, Debug)]
struct Candidate {
    tree: Tree,
    path: PathBuf,
    /// Whether `.gnu_debuglink` has led there.
    by_link: bool,
}

impl Candidate {
    fn new(tree: &Tree, path: impl Into<PathBuf>) -> Candidate {
        Candidate { tree: tree.clone(), path: path.into(), by_link: false }
    }

    fn by_link(tree: &Tree, path: impl Into<PathBuf>) -> Candidate {
        Candidate { by_link: true, ..Candidate::new(tree, path) }
    }
}

impl<'a> Search<'a> {
    /// A search for what belongs to the program at `path`, which means something in `trees`.
    pub fn new(
        sources: &'a FileSources,
        image: Option<&'a ElfImage>,
        build_id: Option<BuildId>,
        path: &'a [u8],
        trees: Vec<Tree>,
    ) -> Search<'a> {
        let build_id = build_id.or_else(|| image?.build_id());
        let path = Path::new(OsStr::from_bytes(without_mark(path)));
        let path = if path.is_absolute() { path } else { Path::new("") };
        Search { sources, image, build_id, path, trees, refused: Vec::new(), denied: false, checksums: Checksums::Read }
    }

    /// The same search, which reads no file to its end: one whose checksum would decide is taken for the right one.
    #[must_use]
    pub fn assuming_checksums(self) -> Search<'a> {
        Search { checksums: Checksums::Assumed, ..self }
    }

    /// The path of the program; empty if it has none.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// The symbols and debug information of the program in a file of their own.
    ///
    /// It has none of its code and no unwind information: those sections are there without bytes.
    pub fn separate(&mut self) -> Option<Located> {
        let link = self.image.and_then(|image| DebugLink::of(image));
        if self.build_id.is_none() && link.is_none() {
            return None;
        }
        self.separate_places(link.as_ref()).into_iter().find_map(|place| {
            let found = self.open(&place)?;
            if !found.headers.has_symbols_or_debug_info() {
                self.tell(&place, if found.headers.is_cut { Refusal::Cut } else { Refusal::Bare });
                return None;
            }
            if !self.is_proven(&place, &found, link.as_ref()) {
                return None;
            }
            let real = std::fs::read_link(format!("/proc/self/fd/{}", found.file.as_raw_fd())).ok();
            Some(Located { found, place: Place { tree: place.tree, path: place.path, real } })
        })
    }

    fn separate_places(&self, link: Option<&DebugLink>) -> Vec<Candidate> {
        let mut names = self.build_id.map(names_by_build_id).unwrap_or_default();
        names.extend(self.image.and_then(|image| image.long_build_id()).map(name_by_id));
        let named: Vec<PathBuf> = names.iter().flat_map(|name| [with_debug(name), name.clone()]).collect();
        let mut places = Vec::new();
        let with_suffix = with_suffix(self.path, ".debug");
        for folder in &self.sources.debug_dirs {
            let below = Tree::Below(folder.clone());
            places.extend(named.iter().map(|name| Candidate::new(&Tree::Host, folder.join(name))));
            if self.build_id.is_some() {
                for path in [&with_suffix, self.path] {
                    places.push(Candidate::new(&below, path));
                    places.extend(path.file_name().map(|name| Candidate::new(&Tree::Host, folder.join(name))));
                }
            }
            if let Some(link) = link {
                let name = OsStr::from_bytes(&link.name);
                places.extend(self.path.parent().map(|parent| Candidate::by_link(&below, parent.join(name))));
                places.push(Candidate::by_link(&Tree::Host, folder.join(name)));
            }
        }
        if let Some(build_id) = self.build_id {
            let cached = self.sources.in_cache(build_id, "debug");
            places.extend(cached.map(|path| Candidate::new(&Tree::Host, path)));
        }
        for tree in &self.trees {
            places.extend(named.iter().map(|name| Candidate::new(tree, Path::new(SYSTEM_DEBUG_DIR).join(name))));
            if let (Some(link), Some(parent)) = (link, self.path.parent()) {
                let name = OsStr::from_bytes(&link.name);
                places.push(Candidate::by_link(tree, parent.join(name)));
                places.push(Candidate::by_link(tree, parent.join(".debug").join(name)));
                // Packages of before `/lib` became a part of `/usr` have their files below /usr/lib/debug/lib.
                for parent in [parent.strip_prefix("/"), parent.strip_prefix("/usr")].into_iter().flatten() {
                    places.push(Candidate::by_link(tree, Path::new(SYSTEM_DEBUG_DIR).join(parent).join(name)));
                }
            }
            if self.build_id.is_some() && !self.path.as_os_str().is_empty() {
                places.push(Candidate::new(tree, &*with_suffix));
            }
        }
        places.extend(self.downloaded(self.build_id));
        places
    }

    fn is_proven(&mut self, place: &Candidate, found: &Found, link: Option<&DebugLink>) -> bool {
        let why = match (self.build_id, found.headers.build_id, link.filter(|_| place.by_link)) {
            (Some(wanted), Some(own), _) if is_same(wanted, Some(own)) => return true,
            (Some(wanted), Some(own), _) => Refusal::BuildId { wanted, found: Some(own) },
            (_, _, Some(_)) if found.length > MOST_CHECKSUM => Refusal::TooLarge,
            (_, _, Some(_)) if self.checksums == Checksums::Assumed => return true,
            (_, _, Some(link)) => match checksum(&found.file) {
                Some(own) if own == link.checksum => return true,
                Some(own) => Refusal::Checksum { wanted: link.checksum, found: own },
                None => return false,
            },
            (Some(wanted), None, None) => Refusal::BuildId { wanted, found: None },
            (None, _, None) => return false,
        };
        self.refuse(&place.path, why);
        false
    }

    /// What the debug information of `of` refers to in a file of several programs; `at` is where `of` was, if it is not the
    /// program's own file.
    pub fn supplementary(&mut self, of: &ElfImage, at: Option<&Place>) -> Option<Found> {
        let link = SupplementaryLink::of(of)?;
        let refused = self.refused.len();
        let found = self.supplementary_in(&self.supplementary_places(&link, at), &link, of);
        if found.is_none() && self.refused.len() == refused {
            let wanted_by = at.map_or(self.path, |place| &place.path).display().to_string();
            self.refuse(Path::new(OsStr::from_bytes(&link.path)), Refusal::NotFound { wanted_by });
        }
        found
    }

    fn supplementary_in(&mut self, places: &[Candidate], link: &SupplementaryLink, of: &ElfImage) -> Option<Found> {
        places.iter().find_map(|place| {
            let found = self.open(place)?;
            // Its own link is never followed; one that is its own supplement would answer itself.
            if !found.headers.has_symbols_or_debug_info()
                || (of.build_id().is_some() && of.build_id() == found.headers.build_id)
            {
                return None;
            }
            let image = ElfImage::of_file(&found.file, found.length, found.headers.clone()).ok()?;
            if link.is_to(&image) {
                return Some(found);
            }
            let wanted = link.build_id()?;
            self.refuse(&place.path, Refusal::BuildId { wanted, found: found.headers.build_id });
            None
        })
    }

    fn supplementary_places(&self, link: &SupplementaryLink, at: Option<&Place>) -> Vec<Candidate> {
        let named = Path::new(OsStr::from_bytes(&link.path));
        // As distributions have it, all are in one folder, `.dwz/PACKAGE`, perhaps with one for each kind of processor.
        let parts: Vec<&OsStr> = named.iter().collect();
        let in_dwz = parts.iter().rposition(|part| *part == ".dwz").map(|at| parts[at..].iter().collect::<PathBuf>());
        let base = named.file_name().map(|name| Path::new(".dwz").join(name));
        let in_dwz: Vec<PathBuf> = in_dwz.into_iter().chain(base).filter(|path| !has_upwards(path)).collect();
        let ids = link.build_id().map(names_by_build_id).unwrap_or_default();
        let ids: Vec<PathBuf> = ids.iter().flat_map(|name| [with_debug(name), name.clone()]).collect();
        let mut places = Vec::new();
        for folder in &self.sources.debug_dirs {
            let name = named.file_name().map(PathBuf::from).filter(|name| is_plain_name(name.as_os_str().as_bytes()));
            let all = ids.iter().chain(&in_dwz).chain(&name);
            places.extend(all.map(|name| Candidate::new(&Tree::Host, folder.join(name))));
        }
        let mut beside = |tree: &Tree, file: &Path| {
            if let Some(parent) = file.parent().filter(|parent| parent.is_absolute()) {
                places.push(Candidate::new(tree, parent.join(named)));
            }
        };
        match at {
            Some(place) => [Some(&place.path), place.real.as_ref()]
                .into_iter()
                .flatten()
                .for_each(|path| beside(&place.tree, path)),
            None => self.trees.iter().for_each(|tree| beside(tree, self.path)),
        }
        for tree in &self.trees {
            let all = ids.iter().chain(&in_dwz);
            places.extend(all.map(|name| Candidate::new(tree, Path::new(SYSTEM_DEBUG_DIR).join(name))));
        }
        places.extend(self.downloaded(link.build_id()));
        places
    }

    fn downloaded(&self, build_id: Option<BuildId>) -> Option<Candidate> {
        Some(Candidate::new(&Tree::Host, self.sources.downloaded(build_id?, "debuginfo")?))
    }

    /// All split units of the program in one file, as `dwp` makes it: by the name of the program or of its debug file. Which of
    /// its units belong to the program tell their ids only.
    pub fn package(&mut self, debug: Option<&Place>) -> Option<Found> {
        let name = with_suffix(self.path, ".dwp");
        let mut places = Vec::new();
        if !self.path.as_os_str().is_empty() {
            for folder in &self.sources.debug_dirs {
                places.push(Candidate::new(&Tree::Below(folder.clone()), &*name));
                places.extend(name.file_name().map(|name| Candidate::new(&Tree::Host, folder.join(name))));
            }
        }
        places.extend(debug.map(|debug| Candidate::new(&debug.tree, with_suffix(&debug.path, ".dwp"))));
        if let Ok(inside) = name.strip_prefix("/") {
            for tree in &self.trees {
                places.push(Candidate::new(tree, &*name));
                places.push(Candidate::new(tree, Path::new(SYSTEM_DEBUG_DIR).join(inside)));
            }
        }
        places.into_iter().find_map(|place| {
            let found = self.open(&place)?;
            found.headers.has_section(b".debug_info.dwo").then_some(found)
        })
    }

    /// Opens an ELF file, if there is one that can be used.
    fn open(&mut self, place: &Candidate) -> Option<Found> {
        let file = match place.tree.open(&place.path) {
            Ok(file) => file,
            Err(error) => {
                self.tell_unopened(place, &error);
                return None;
            }
        };
        let Some(found) = read(file) else {
            self.tell(place, Refusal::NoElf);
            return None;
        };
        if is_hollow(&found.file) {
            self.refuse(&place.path, Refusal::Hollow);
            return None;
        }
        Some(found)
    }

    fn tell_unopened(&mut self, place: &Candidate, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::PermissionDenied if self.counts_as_denied(&place.tree, &place.path) => self.denied = true,
            io::ErrorKind::PermissionDenied if place.tree.has(&place.path) => self.tell(place, Refusal::Denied),
            io::ErrorKind::InvalidInput => self.tell(place, Refusal::NoFile(error.to_string())),
            _ if Errno::from_io_error(error) == Some(Errno::LOOP) => {
                self.tell(place, Refusal::NoFile("a loop of links".into()));
            }
            _ => {}
        }
    }

    /// Says why the file at a place cannot be used, if nothing but a debug file of the program belongs there. Where folders hold
    /// programs too, they hold the stripped one, and `.gnu_debuglink` may have the program's own name.
    fn tell(&mut self, place: &Candidate, why: Refusal) {
        let by_id = || place.path.iter().any(|part| part == ".build-id");
        let is_debug_file = place.by_link || (place.path.extension() == Some(OsStr::new("debug")) && by_id());
        if is_debug_file && place.path != self.path {
            self.refuse(&place.path, why);
        }
    }

    /// Whether names may be missing for want of a permission: not at a path of somebody else's machine, nor in perf's cache. A
    /// folder of the user's that cannot be looked into is told by itself, and would be the reason of every file.
    fn counts_as_denied(&self, tree: &Tree, path: &Path) -> bool {
        match tree {
            Tree::Process(_) => true,
            Tree::Host => {
                path.starts_with(SYSTEM_DEBUG_DIR)
                    && !self.sources.debug_dirs.iter().any(|given| path.starts_with(given))
            }
            Tree::Below(_) => false,
        }
    }

    fn refuse(&mut self, path: &Path, why: Refusal) {
        let refused = Refused { path: path.display().to_string(), why };
        if !self.refused.contains(&refused) {
            self.refused.push(refused);
        }
    }
}

/// Largest file that is read to its end for its checksum, in bytes. Files without a build id are of old compilers, and small.
const MOST_CHECKSUM: u64 = 1 << 30;

/// The checksum of all bytes of a file that `.gnu_debuglink` has; `None` if they cannot be read.
fn checksum(file: &File) -> Option<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut at = 0;
    while at <= MOST_CHECKSUM {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Some(hasher.finalize()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    None
}

/// Whether a file is large and holds hardly anything (a sparse file): whoever reads it reads zeros that take memory.
///
/// File systems that pack what they store say so in the number of blocks (`st_blocks` of `stat(2)`, in 512 bytes), but have no holes
/// (`SEEK_HOLE` of `lseek(2)`).
pub(super) fn is_hollow(file: &File) -> bool {
    const LARGE: u64 = 64 << 20;
    const MOST_RATIO: u64 = 32;
    let Ok(facts) = file.metadata() else { return false };
    if facts.len() < LARGE || facts.blocks().saturating_mul(512) >= facts.len() / MOST_RATIO {
        return false;
    }
    let first_hole = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(0));
    first_hole.is_ok_and(|hole| hole < facts.len())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn has_upwards(path: &Path) -> bool {
    path.components().any(|part| part == std::path::Component::ParentDir)
}
