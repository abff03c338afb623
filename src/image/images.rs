//! All images of a profile that are files, each opened once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::as_seen::{self, Found, Wanted};
use super::debug_files::{DebugFiles, SplitFiles};
use super::elf_image::ElfImage;
use super::jitdump::JitDump;
use super::perf_map::PerfMap;
use super::process_root::{ProcessRoot, ProcessRoots, RootOf};
use super::recorded::{FileSources, Proven};
use super::refused::{Refusal, Refused};
use super::search::{Located, Place, Search, is_hollow};
use super::tree::Tree;
use super::vdso;
use crate::model::{BuildId, FrameKey, ImageId, ImageKind, Profile, Unnamed};
pub use jit::Generation;

mod jit;

/// The images that have been seen mapped, with their files.
///
/// Two mappings are of the same image if path and identity (build id, device, inode) are the same, whoever mapped it: a
/// container's `libc.so` is not the host's.
#[derive(Debug, Default)]
pub struct Images {
    /// Where to look for files that are not those of running processes.
    sources: FileSources,
    /// Whether the images are those of a recording, which no process that runs now is asked about.
    is_recorded: bool,
    known: FxHashMap<Key, ImageId>,
    opened: FxHashMap<ImageId, Arc<ElfImage>>,
    /// Where the paths of images mean something.
    homes: FxHashMap<ImageId, Home>,
    /// The roots of the processes that run.
    roots: ProcessRoots,
    /// Files of debug information alone, of images whose own file was not found.
    debug_files: FxHashMap<ImageId, (Arc<ElfImage>, Place)>,
    /// Files that were found and are not used.
    refused: Mutex<Vec<(ImageId, Refused)>>,
    missing: FxHashMap<ImageId, Missing>,
    vdsos: FxHashMap<(vdso::Width, Option<BuildId>), ImageId>,
    dumps: FxHashMap<ImageId, Arc<JitDump>>,
    /// Of anonymous memory: the dump that has its code.
    dump_of: FxHashMap<ImageId, ImageId>,
    perf_maps: Vec<PerfMap>,
    perf_map_of: FxHashMap<ImageId, (usize, Generation)>,
    generations: FxHashMap<(usize, Generation), ImageId>,
    unproven: usize,
    shared: SharedFiles,
}

/// The files that are open, of all sets of images that belong together.
type SharedFiles = Arc<Mutex<FxHashMap<Key, Arc<ElfImage>>>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    path: Box<[u8]>,
    build_id: Option<BuildId>,
    device: Option<(u32, u32)>,
    inode: Option<u64>,
}

impl Key {
    fn of(wanted: &Wanted<'_>) -> Key {
        let Wanted { path, build_id, device, inode, .. } = *wanted;
        Key { path: path.into(), build_id, device, inode }
    }
}

/// Where an image was mapped from.
#[derive(Debug)]
struct Home {
    path: Box<[u8]>,
    /// The root of the process that mapped it, if that is not ours.
    root: Option<Arc<ProcessRoot>>,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    reason: Unnamed,
    tries: u32,
}

/// How often a file that was not there is looked for through another process that has mapped it.
const MOST_TRIES: u32 = 8;

impl Images {
    /// No images yet, of a recording that was made elsewhere or earlier: files are looked for in `sources`, and never
    /// through the processes that run now.
    pub fn recorded(sources: FileSources) -> Images {
        Images { sources, is_recorded: true, ..Images::default() }
    }

    /// No images yet, of processes that run here: files are opened through them, and looked for in the directories that
    /// `sources` names if that cannot be.
    pub fn running(sources: FileSources) -> Images {
        Images { sources, ..Images::default() }
    }

    /// No images yet, for somebody else who looks at the same processes: what both see mapped is opened once, and its tables are
    /// read once.
    pub fn beside(&self) -> Images {
        let (sources, shared) = (self.sources.clone(), self.shared.clone());
        Images { sources, is_recorded: self.is_recorded, shared, ..Images::default() }
    }

    /// Where files are looked for; `None` if they are those of running processes.
    pub fn sources(&self) -> Option<&FileSources> {
        self.is_recorded.then_some(&self.sources)
    }

    /// How many images have a file of which nothing but its path says that it is the one that was recorded.
    pub fn unproven(&self) -> usize {
        self.unproven
    }

    /// The image of a mapped file: the one that was opened for the same file before, or a new one, opened now.
    ///
    /// `add` makes its row in the profile's table. A file that cannot be had, or is not the one that was mapped, makes
    /// an image all the same, see [`Images::missing`].
    pub fn intern(
        &mut self,
        wanted: &Wanted<'_>,
        add: impl FnOnce(ImageKind, &str, Option<BuildId>) -> ImageId,
    ) -> ImageId {
        let Wanted { path, build_id, .. } = *wanted;
        let key = Key::of(wanted);
        if let Some(&id) = self.known.get(&key) {
            // It may be gone from one process's view and still be in another's.
            if !self.is_recorded
                && self
                    .missing
                    .get(&id)
                    .is_some_and(|missing| missing.reason == Unnamed::NoFile && missing.tries < MOST_TRIES)
            {
                let (result, home) = self.open(wanted, &mut Vec::new());
                if result.is_ok() {
                    self.homes.insert(id, home);
                }
                self.keep(id, result);
            }
            return id;
        }
        let mut refused = Vec::new();
        let (result, home) = match self.is_recorded {
            true => {
                let found = self.sources.find(wanted, &mut refused);
                let result = found.and_then(|proven| self.use_proven(proven, path, &mut refused));
                (result, Home { path: path.into(), root: None })
            }
            false => {
                let (result, home) = self.open(wanted, &mut refused);
                let result = result.or_else(|reason| match reason {
                    Unnamed::NoFile | Unnamed::Permission => {
                        let given = self.sources.find_given(wanted, &mut refused).ok_or(reason);
                        given.and_then(|proven| self.use_proven(proven, path, &mut refused))
                    }
                    _ => Err(reason),
                });
                (result, home)
            }
        };
        // New mappings come with a build id, those of before with device and inode: it is one file all the same.
        let found = result.as_ref().ok().and_then(|image| image.build_id());
        let by_build_id = found.map(|_| Key { path: path.into(), build_id: found, device: None, inode: None });
        if let Some(&id) = by_build_id.as_ref().and_then(|key| self.known.get(key)) {
            self.known.insert(key, id);
            return id;
        }
        let build_id = build_id.or_else(|| result.as_ref().ok().and_then(|image| image.build_id()));
        let id = add(ImageKind::File, &String::from_utf8_lossy(as_seen::without_mark(path)), build_id);
        self.known.extend(by_build_id.map(|key| (key, id)));
        self.known.insert(key, id);
        if let (Err(_), Some(build_id)) = (&result, build_id) {
            let mut search = Search::new(&self.sources, None, Some(build_id), path, self.trees(&home));
            if let Some(Located { mut found, place }) = search.separate() {
                found.headers.place_code(wanted.offset, wanted.end.saturating_sub(wanted.start));
                self.debug_files.extend(map(found).ok().map(|image| (id, (Arc::new(image), place))));
            }
            refused.append(&mut search.refused);
        }
        self.note_refused(id, refused);
        self.homes.insert(id, home);
        self.keep(id, result);
        id
    }

    /// Opens the file of a mapping through the process that has it.
    fn open(&mut self, wanted: &Wanted<'_>, refused: &mut Vec<Refused>) -> (Result<Arc<ElfImage>, Unnamed>, Home) {
        let root = self.roots.of(wanted.pid);
        let key = Key::of(wanted);
        let known = self.shared.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let result = known.ok_or(()).or_else(|()| {
            let image = as_seen::find(wanted, &root).and_then(|found| map_program(found, wanted.path, refused))?;
            let image = Arc::new(image);
            // Another set may have opened it meanwhile; then there are two maps of it.
            self.shared.lock().unwrap_or_else(PoisonError::into_inner).insert(key, image.clone());
            Ok(image)
        });
        let root = match root {
            RootOf::Other(root) => Some(root),
            RootOf::Own | RootOf::Passing(_) | RootOf::Gone | RootOf::Denied => None,
        };
        (result, Home { path: wanted.path.into(), root })
    }

    fn use_proven(
        &mut self,
        Proven { found, by_path_only }: Proven,
        path: &[u8],
        refused: &mut Vec<Refused>,
    ) -> Result<Arc<ElfImage>, Unnamed> {
        let image = map_program(found, path, refused)?;
        self.unproven += usize::from(by_path_only);
        Ok(Arc::new(image))
    }

    /// In which a path of an image means something, best first.
    fn trees(&self, home: &Home) -> Vec<Tree> {
        let sysroot = self.sources.sysroot.clone().map(Tree::Below);
        let root = home.root.clone().map(Tree::Process);
        sysroot.into_iter().chain(root).chain([Tree::Host]).collect()
    }

    /// What was not found when files were looked for before may have come since.
    fn forget_not_found(&self, id: ImageId) {
        let mut all = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(of, refused)| *of != id || !matches!(refused.why, Refusal::NotFound { .. }));
    }

    fn note_refused(&self, id: ImageId, refused: Vec<Refused>) {
        /// So that what is only told of cannot grow without end.
        const MOST: usize = 10_000;
        let mut all = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for refused in refused {
            if all.len() < MOST && !all.iter().any(|(_, known)| *known == refused) {
                all.push((id, refused));
            }
        }
    }

    /// The image of a vdso: of a process that runs here, or of a recording, with the build id that it tells.
    ///
    /// Ours is that of all processes of our width; that of 32-bit ones is read from the memory of the first that has it. A
    /// recorded one is perf's copy or our own, whichever has that build id; without one, our own if the recording was made
    /// on this machine.
    pub fn intern_vdso(
        &mut self,
        wanted: &Wanted<'_>,
        add: impl FnOnce(ImageKind, &str, Option<BuildId>) -> ImageId,
    ) -> ImageId {
        let width = vdso::Width::of(wanted);
        let build_id = wanted.build_id.filter(|_| self.is_recorded);
        let known = self.vdsos.get(&(width, build_id)).copied();
        if let Some(id) = known {
            // The process may have been gone before anybody looked.
            let try_again = |missing: &Missing| !self.is_recorded && missing.tries < MOST_TRIES;
            if width == vdso::Width::Narrow && self.missing.get(&id).is_some_and(try_again) {
                self.keep(id, vdso::read_of(wanted).map(Arc::new).ok_or(Unnamed::NoFile));
            }
            return id;
        }
        let own = || vdso::read_own().ok_or(Unnamed::NoFile);
        let result = match (self.sources(), build_id) {
            (None, _) if width == vdso::Width::Narrow => vdso::read_of(wanted).ok_or(Unnamed::NoFile),
            (None, _) => own(),
            (Some(sources), None) if sources.own_machine && width == vdso::Width::Own => own(),
            (Some(_), None) => Err(Unnamed::NoBuildId),
            (Some(sources), Some(build_id)) => match sources.find_vdso(build_id) {
                Some(found) => map(found),
                None => own().and_then(|image| match image.build_id() {
                    found if found == Some(build_id) => Ok(image),
                    _ => Err(Unnamed::NoFile),
                }),
            },
        };
        // perf states its own vdso's build id of all that are called so.
        let is_of_width = |image: &ElfImage| width == vdso::Width::Own || !image.is_64();
        let result = result.and_then(|image| if is_of_width(&image) { Ok(image) } else { Err(Unnamed::NoFile) });
        let build_id_found = result.as_ref().ok().and_then(|image| image.build_id());
        let id = add(ImageKind::Vdso, "[vdso]", build_id.or(build_id_found));
        self.vdsos.insert((width, build_id), id);
        self.keep(id, result.map(Arc::new));
        id
    }

    /// Whether an image is a vdso.
    pub fn is_vdso(&self, id: ImageId) -> bool {
        self.vdsos.values().any(|known| *known == id)
    }

    /// What is known of an image beside its own file, or in place of it. Files are looked for now: an image of which nobody
    /// asks costs nothing.
    ///
    /// If the image has a file, addresses and offsets are that file's.
    pub fn debug_files(&self, id: ImageId) -> DebugFiles {
        let image = self.opened.get(&id);
        let no_home = Home { path: Box::default(), root: None };
        let home = self.homes.get(&id).unwrap_or(&no_home);
        let trees = self.trees(home);
        let mut search = Search::new(&self.sources, image.map(|image| &**image), None, &home.path, trees.clone());
        let (separate, place) = match (self.debug_files.get(&id), image) {
            (Some((debug, place)), _) => (Some(Arc::clone(debug)), Some(place.clone())),
            (None, Some(image)) if !image.has_debug_info() => {
                let separate = search.separate().and_then(|Located { found, place }| Some((map(found).ok()?, place)));
                separate.map(|(image, place)| (Arc::new(image), place)).unzip()
            }
            (None, _) => (None, None),
        };
        let mut files = DebugFiles { separate, ..DebugFiles::default() };
        if let Some(image) = image
            && files.separate.is_none()
            && image.section(".symtab").is_none()
        {
            files.mini = match image.mini() {
                Some(Ok(mini)) => Some(mini),
                Some(Err(why)) => {
                    let path = String::from_utf8_lossy(as_seen::without_mark(&home.path)).into_owned();
                    search.refused.push(Refused { path, why: Refusal::Packed(why) });
                    None
                }
                None => None,
            };
        }
        let own = image.filter(|image| image.has_debug_info()).map(|image| (image, None));
        let of_separate = files.separate.as_ref().filter(|debug| debug.has_debug_info());
        if let Some((with_info, at)) = own.or(of_separate.map(|debug| (debug, place.as_ref()))) {
            let supplementary = search.supplementary(with_info, at);
            let package = search.package(at);
            let mapped = |found| Some(Arc::new(map(found).ok()?));
            (files.supplementary, files.package) = (supplementary.and_then(mapped), package.and_then(mapped));
            files.split = SplitFiles::new(&self.sources.debug_dirs, trees, search.path());
        }
        files.denied = search.denied && files.separate.is_none() && own.is_none();
        self.forget_not_found(id);
        self.note_refused(id, search.refused);
        files
    }

    /// Whether there is debug information of an image, in its file or beside it. To be asked while it is recorded: nothing else is
    /// looked for, nothing unpacked, and no file read to its end: one that a checksum would have to prove counts as the right one.
    pub fn has_debug_info(&self, id: ImageId) -> bool {
        let known = self.opened.get(&id).or_else(|| self.debug_files.get(&id).map(|(debug, _)| debug));
        if known.is_some_and(|image| image.has_debug_info()) {
            return true;
        }
        let (Some(image), Some(home)) = (self.opened.get(&id), self.homes.get(&id)) else { return false };
        let search = Search::new(&self.sources, Some(image), None, &home.path, self.trees(home));
        let separate = search.assuming_checksums().separate();
        separate.is_some_and(|file| file.found.headers.has_debug_info())
    }

    /// What there is to say, a sentence each, of the files of a profile that was named: what was believed without proof, what was
    /// found and not used, and what is named and was not found.
    pub fn notes(&self, profile: &Profile) -> Vec<String> {
        /// So many files are named.
        const MOST_NAMED: usize = 3;
        let mut notes = Vec::new();
        let were = |count: usize| if count == 1 { "1 file was".to_owned() } else { format!("{count} files were") };
        if self.unproven > 0 {
            let why = if self.is_recorded {
                "the recording has no build id of it"
            } else {
                "the kernel told no build id of it"
            };
            notes.push(format!("{} found by its path alone, in the folders given: {why}", were(self.unproven)));
        }
        for (folder, error) in self.sources.given_in_vain() {
            notes.push(format!("cannot look into {}: {error}", folder.display()));
        }
        let refused = self.refused_of(profile);
        notes.extend(refused.iter().take(MOST_NAMED).map(|(_, refused)| refused.to_string()));
        if let Some(more @ 1..) = refused.len().checked_sub(MOST_NAMED) {
            notes.push(format!("{more} more files are of another build, broken or missing, and not used"));
        }
        if self.roots.left_out() > 0 {
            notes.push("more containers than are held open: debug files inside of some were not looked for".into());
        }
        notes
    }

    /// How many files were found and not used, or named and not found, by reason, of the images of a profile.
    pub fn skipped(&self, profile: &Profile) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (_, refused) in self.refused_of(profile) {
            *counts.entry(format!("files: {}", refused.why.as_str())).or_default() += 1;
        }
        counts
    }

    fn refused_of(&self, profile: &Profile) -> Vec<(ImageId, Refused)> {
        let mut shown = vec![false; profile.images.len()];
        for frame in &profile.frames {
            if let FrameKey::Code { image, .. } = frame.key {
                shown[image.index()] = true;
            }
        }
        let mut refused = self.refused();
        refused.retain(|(image, _)| shown.get(image.index()) == Some(&true));
        refused
    }

    /// Files that were found and are not used: one of another build, a stale one; or named and not found. Those of frames' own files are known when the
    /// recording ends, those of debug files when names were looked up.
    pub fn refused(&self) -> Vec<(ImageId, Refused)> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The file of an image, if it was opened.
    pub fn get(&self, id: ImageId) -> Option<&Arc<ElfImage>> {
        self.opened.get(&id)
    }

    /// Why an image has no file; `None` if it has one, or was never interned here.
    pub fn missing(&self, id: ImageId) -> Option<Unnamed> {
        self.missing.get(&id).map(|missing| missing.reason)
    }

    fn keep(&mut self, id: ImageId, result: Result<Arc<ElfImage>, Unnamed>) {
        match result {
            Ok(image) => {
                self.missing.remove(&id);
                self.opened.insert(id, image);
            }
            Err(reason) => {
                let missing = self.missing.entry(id).or_insert(Missing { reason, tries: 0 });
                missing.reason = reason;
                missing.tries += 1;
            }
        }
    }
}

fn map_program(found: Found, path: &[u8], refused: &mut Vec<Refused>) -> Result<ElfImage, Unnamed> {
    if is_hollow(&found.file) {
        let path = String::from_utf8_lossy(as_seen::without_mark(path)).into_owned();
        refused.push(Refused { path, why: Refusal::Hollow });
        return Err(Unnamed::NoSymbols);
    }
    map(found)
}

fn map(found: Found) -> Result<ElfImage, Unnamed> {
    let Found { file, length, headers } = found;
    ElfImage::of_file(&file, length, headers).map_err(|_| Unnamed::NoFile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    fn wanted(path: &Path) -> Wanted<'_> {
        let path = path.as_os_str().as_bytes();
        Wanted::of_path(path)
    }

    fn no_row(_: ImageKind, _: &str, _: Option<BuildId>) -> ImageId {
        panic!("the image is known")
    }

    #[test]
    fn same_file_is_opened_once() {
        let path = std::env::current_exe().unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        let mut images = Images::default();
        let wanted = Wanted { inode: Some(inode), ..wanted(&path) };
        let id = images.intern(&wanted, |kind, name, _| {
            assert_eq!((kind, Path::new(name)), (ImageKind::File, path.as_path()));
            ImageId(7)
        });
        assert_eq!(images.intern(&wanted, no_row), id);
        assert!(images.get(id).is_some_and(|image| image.section(".text").is_some()));
        assert_eq!(images.missing(id), None);
        // A new mapping of it is known by its build id alone, and another place of the same file by that too.
        let build_id = images.get(id).and_then(|image| image.build_id());
        if build_id.is_some() {
            assert_eq!(images.intern(&Wanted { build_id, inode: None, ..wanted }, no_row), id);
            assert_eq!(images.intern(&Wanted { device: Some((1, 2)), ..wanted }, no_row), id);
        }
        let mut beside = images.beside();
        assert_eq!(beside.intern(&wanted, |_, _, _| ImageId(2)), ImageId(2));
        assert!(Arc::ptr_eq(beside.get(ImageId(2)).unwrap(), images.get(id).unwrap()));
        let other = Wanted { path: b"/bin/sh", inode: None, ..wanted };
        assert_eq!(images.intern(&other, |_, _, _| ImageId(8)), ImageId(8));
    }

    #[test]
    fn changed_file_is_never_used() {
        let path = std::env::current_exe().unwrap();
        let mut images = Images::default();
        let by_id = Wanted { build_id: BuildId::new(&[1; 20]), ..wanted(&path) };
        let by_inode = Wanted { inode: Some(1), ..wanted(&path) };
        for (row, wanted) in [by_id, by_inode].iter().enumerate() {
            let id = images.intern(wanted, |_, _, _| ImageId::from_index(row));
            assert_eq!((images.missing(id), images.get(id).is_none()), (Some(Unnamed::FileChanged), true));
        }
    }

    #[test]
    fn missing_and_foreign_files_have_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("later");
        let mut images = Images::default();
        let id = images.intern(&wanted(&path), |_, _, _| ImageId(0));
        assert_eq!(images.missing(id), Some(Unnamed::NoFile));
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        assert_eq!(images.intern(&wanted(&path), no_row), id);
        assert_eq!(images.missing(id), Some(Unnamed::NoSymbols));
        // No proof that what stands at the path now is what was deleted.
        let marked = format!("{} (deleted)", path.display());
        let id = images.intern(&wanted(Path::new(&marked)), |_, name, _| {
            assert_eq!(Path::new(name), path);
            ImageId(1)
        });
        assert_eq!(images.missing(id), Some(Unnamed::NoFile));
    }

    #[test]
    fn vdso_is_an_elf_image() {
        let mut images = Images::default();
        let wanted = wanted(Path::new("[vdso]"));
        let id = images.intern_vdso(&wanted, |_, _, _| ImageId(3));
        assert_eq!(images.intern_vdso(&wanted, no_row), id);
        assert!(images.is_vdso(id) && !images.is_vdso(ImageId(4)));
        match images.get(id) {
            Some(image) => assert_eq!(image.svma_of_offset(0x100), Some(0x100)),
            None => crate::skip::here("no vdso here"),
        }
    }
}
