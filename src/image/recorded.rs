//! Where the files of a recording made elsewhere, or earlier, are looked for, and what proves that one is the right one.
//!
//! ```text
//! build id known      each debug directory, perf's cache, the sysroot, the path itself: the first with this build id
//! none, by the user   sysroot or debug directory: believed by its path, and counted
//! none, own machine   the path itself, if it is the inode that was mapped, or was not touched since
//! none, else          no file is proven to be it
//! ```
//!
//! Paths in a recording are whatever its maker wrote. Inside of a directory that the user named they are resolved by
//! `openat2(2)` with `RESOLVE_IN_ROOT`; elsewhere a file must prove itself. Only regular files are opened, and none of
//! `/proc` and the like, where reading can have effects.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::as_seen::{self, Found, Wanted, has_own_inodes, is_file_path, reason_of, without_mark};
use super::elf_headers::{ElfHeaders, HeaderSource};
use super::refused::{Refusal, Refused};
use super::tree::{Tree, open_below, open_plain};
use crate::model::{BuildId, Unnamed};

/// Where the files of a recording made elsewhere are looked for.
#[derive(Clone, Debug, Default)]
pub struct FileSources {
    /// The root directory of the machine that was recorded, or a copy of parts of it.
    pub sysroot: Option<PathBuf>,
    /// Directories with files by build id (`.build-id/xx/yyyy`, also with `.debug`), by path or by name.
    pub debug_dirs: Vec<PathBuf>,
    /// perf's cache: `~/.debug`, also as `perf archive` packs it.
    pub build_id_cache: Option<PathBuf>,
    /// What debuginfod clients have fetched: `HEX/debuginfo` and `HEX/executable` by the whole build id.
    pub downloads: Option<PathBuf>,
    /// The directory that the recording is in: JIT dumps and perf maps may lie beside it.
    pub beside: Option<PathBuf>,
    /// Whether the recording was made on this host and this kernel.
    pub own_machine: bool,
    /// When the recording ended, in seconds since 1970: files that changed later are not those that were mapped.
    pub recorded_unix: Option<u64>,
}

/// A file that was found, and whether only its path says that it is the one.
pub(super) struct Proven {
    pub found: Found,
    pub by_path_only: bool,
}

/// Where distributions put debug information: GDB manual, "Debugging Information in Separate Files".
pub(super) const SYSTEM_DEBUG_DIR: &str = "/usr/lib/debug";

impl FileSources {
    /// Finds and opens the file of a mapping.
    ///
    /// What stands where it was looked for and is another build's is added to `refused`.
    pub(super) fn find(&self, wanted: &Wanted<'_>, refused: &mut Vec<Refused>) -> Result<Proven, Unnamed> {
        let path = without_mark(wanted.path);
        if !is_file_path(path) || path.contains(&0) {
            return Err(Unnamed::NoFile);
        }
        match wanted.build_id {
            Some(build_id) => {
                let found = self.find_by_build_id(path, build_id, refused);
                found.map(|found| Proven { found, by_path_only: false })
            }
            None => self.find_by_path(wanted, path),
        }
    }

    fn find_by_build_id(&self, path: &[u8], build_id: BuildId, refused: &mut Vec<Refused>) -> Result<Found, Unnamed> {
        let path = Path::new(OsStr::from_bytes(path));
        let mut places = Vec::new();
        for folder in &self.debug_dirs {
            for name in names_by_build_id(build_id) {
                places.extend([name.clone(), with_debug(&name)].map(|name| (Tree::Host, folder.join(name))));
            }
            places.push((Tree::Below(folder.clone()), path.to_owned()));
            places.extend(path.file_name().map(|name| (Tree::Host, folder.join(name))));
        }
        places.extend(self.in_cache(build_id, "elf").map(|path| (Tree::Host, path)));
        places.extend(self.sysroot.clone().map(|root| (Tree::Below(root), path.to_owned())));
        places.push((Tree::Host, path.to_owned()));
        places.extend(self.downloaded(build_id, "executable").map(|path| (Tree::Host, path)));

        let mut reason = Unnamed::NoFile;
        for (tree, path) in places {
            let found = match tree.open(&path) {
                Ok(file) => read(file),
                Err(error) => {
                    // perf's cache may be another user's, and is seldom there at all.
                    let is_cache = self.build_id_cache.as_ref().is_some_and(|cache| path.starts_with(cache));
                    if reason == Unnamed::NoFile && !is_cache {
                        reason = reason_of(&error);
                    }
                    continue;
                }
            };
            match found {
                Some(found) if is_same(build_id, found.headers.build_id) => {
                    if !found.headers.debug_only {
                        return Ok(found);
                    }
                }
                other => {
                    reason = Unnamed::FileChanged;
                    if let Some(found) = other {
                        let why = Refusal::BuildId { wanted: build_id, found: found.headers.build_id };
                        refused.push(Refused { path: path.display().to_string(), why });
                    }
                }
            }
        }
        Err(reason)
    }

    fn find_by_path(&self, wanted: &Wanted<'_>, path: &[u8]) -> Result<Proven, Unnamed> {
        if let Some(found) = self.find_by_user(path) {
            return Ok(Proven { found, by_path_only: true });
        }
        let file = open_plain(Path::new(OsStr::from_bytes(path))).map_err(|error| reason_of(&error))?;
        if !self.own_machine {
            return Err(Unnamed::NoBuildId);
        }
        let facts = file.metadata().map_err(|_| Unnamed::NoFile)?;
        let before = |seconds: i64| {
            self.recorded_unix.map(|recorded| u64::try_from(seconds).is_ok_and(|seconds| seconds <= recorded))
        };
        let inode = wanted.inode.filter(|_| !has_own_inodes(&file));
        let deleted = path.len() != wanted.path.len();
        let proven = match inode {
            Some(inode) if inode != facts.ino() => return Err(Unnamed::FileChanged),
            // The same inode; it may have been written to since, which sets the time.
            Some(_) => before(facts.mtime()).unwrap_or(true),
            None if deleted => return Err(Unnamed::NoFile),
            // Packages are unpacked with the times of their files as they were built: only the status change tells when
            // the file came to be here.
            None => match before(facts.mtime().max(facts.ctime())) {
                Some(before) => before,
                None => return Err(Unnamed::NoBuildId),
            },
        };
        // The recording may have been copied since, which makes it look younger; its records tell their own time.
        if !proven || was_changed_after(facts.ctime(), wanted.time) {
            return Err(Unnamed::FileChanged);
        }
        read(file).map(|found| Proven { found, by_path_only: false }).ok_or(Unnamed::NoSymbols)
    }

    /// A file at a recorded path in a directory that the user has named.
    fn find_by_user(&self, path: &[u8]) -> Option<Found> {
        let whole = |file: io::Result<File>| read(file.ok()?).filter(|found| !found.headers.debug_only);
        let in_dirs = self.debug_dirs.iter().find_map(|directory| in_directory(directory, path).find_map(whole));
        in_dirs.or_else(|| self.in_sysroot(path).and_then(whole))
    }

    /// Finds the file of a mapping that cannot be had through its process, in the directories that the user has named.
    pub(super) fn find_given(&self, wanted: &Wanted<'_>, refused: &mut Vec<Refused>) -> Option<Proven> {
        let path = without_mark(wanted.path);
        if !is_file_path(path) || path.contains(&0) {
            return None;
        }
        match wanted.build_id {
            Some(build_id) => {
                let found = self.find_by_build_id(path, build_id, refused).ok();
                found.map(|found| Proven { found, by_path_only: false })
            }
            None => self.find_by_user(path).map(|found| Proven { found, by_path_only: true }),
        }
    }

    /// The folders that the user has named and that cannot be opened.
    pub(super) fn given_in_vain(&self) -> impl Iterator<Item = (&Path, io::Error)> {
        let given = self.debug_dirs.iter().chain(&self.sysroot);
        given.filter_map(|folder| {
            let facts = std::fs::read_dir(folder).map(drop);
            // One that may be passed through and not listed is as good.
            let facts = facts.or_else(|error| std::fs::metadata(folder.join(".")).map(drop).map_err(|_| error));
            Some((folder.as_path(), facts.err()?))
        })
    }

    /// Where debuginfod clients keep a file of a build.
    pub(super) fn downloaded(&self, build_id: BuildId, what: &str) -> Option<PathBuf> {
        Some(self.downloads.as_ref()?.join(build_id.to_string()).join(what))
    }

    /// The vdso that a process of the recording had, as perf keeps it.
    pub(super) fn find_vdso(&self, build_id: BuildId) -> Option<Found> {
        let paths = self.in_cache(build_id, "vdso");
        let mut found = paths.filter_map(|path| read(open_plain(&path).ok()?));
        found.find(|found| is_same(build_id, found.headers.build_id) && !found.headers.debug_only)
    }

    /// The list of symbols that perf has kept of the kernel with this build id (`perf buildid-cache`, or `perf record`
    /// itself, unless told not to).
    ///
    /// `None` if there is none. See `build_id_cache__kallsyms_path`, tools/perf/util/build-id.c: a file by the name of
    /// the build id, and since Linux 4.8 a directory with a file `kallsyms`.
    pub fn kallsyms(&self, build_id: BuildId) -> Option<PathBuf> {
        let own = self.caches().map(|cache| cache.join("[kernel.kallsyms]"));
        let own = own.flat_map(|own| {
            ids(build_id).into_iter().flat_map(move |id| [own.join(&id).join("kallsyms"), own.join(&id)])
        });
        let mut all = own.chain(self.in_cache(build_id, "kallsyms"));
        all.find(|path| {
            // By the old names the same place may hold a `vmlinux`.
            let mut first = [0; 4];
            open_plain(path).and_then(|file| io::Read::read_exact(&mut &file, &mut first)).is_ok()
                && first != *b"\x7fELF"
        })
    }

    /// The kernel's ELF file (`vmlinux`) with this build id, of a debug directory, perf's cache or the system's directory
    /// of debug information.
    pub fn vmlinux(&self, build_id: BuildId) -> Option<PathBuf> {
        let named: Vec<PathBuf> =
            names_by_build_id(build_id).into_iter().flat_map(|name| [with_debug(&name), name]).collect();
        let directories = self.debug_dirs.iter().map(PathBuf::as_path).chain([Path::new(SYSTEM_DEBUG_DIR)]);
        let by_id = directories.flat_map(|directory| named.iter().map(|name| directory.join(name)));
        let in_dirs = self.debug_dirs.iter().map(|directory| directory.join("vmlinux"));
        let mut all = by_id.chain(in_dirs).chain(self.in_cache(build_id, "elf"));
        all.find(|path| {
            let found = open_plain(path).ok().and_then(read);
            found.is_some_and(|found| is_same(build_id, found.headers.build_id))
        })
    }

    /// Opens a file that a process has written under a name that it told: a JIT's dump. Its inode must be that of the
    /// recorded mapping if the user has not put the file where he lets us look.
    pub(super) fn open_written(&self, path: &[u8], inode: Option<u64>) -> Result<File, Unnamed> {
        if !is_file_path(path) || path.contains(&0) {
            return Err(Unnamed::NoFile);
        }
        let given = self.in_sysroot(path).and_then(Result::ok).or_else(|| self.beside_recording(path));
        if let Some(file) = given {
            return Ok(file);
        }
        let file = open_plain(Path::new(OsStr::from_bytes(path))).map_err(|_| Unnamed::NoFile)?;
        let same = inode.is_some_and(|inode| file.metadata().is_ok_and(|facts| facts.ino() == inode));
        match (self.own_machine, same || (inode.is_some() && has_own_inodes(&file))) {
            (true, true) => Ok(file),
            (true, false) if inode.is_some() => Err(Unnamed::FileChanged),
            _ => Err(Unnamed::NoBuildId),
        }
    }

    /// Opens the perf map that the recorded process `pid` has left: in the sysroot, beside the recording, or in `/tmp`.
    ///
    /// Maps have no identity. So that of `/tmp` counts only on the machine that was recorded, if it was not written to
    /// after the recording, as process ids come round, and if it is owned by us or by root, as perf has it (`dso__load`,
    /// tools/perf/util/symbol.c), because `/tmp` is everybody's.
    pub fn perf_map(&self, pid: u32) -> Option<File> {
        let path = format!("/tmp/perf-{pid}.map");
        let given = self.in_sysroot(path.as_bytes()).and_then(Result::ok);
        if let Some(file) = given.or_else(|| self.beside_recording(path.as_bytes())) {
            return Some(file);
        }
        let file = open_plain(Path::new(&path)).ok().filter(|_| self.own_machine)?;
        let facts = file.metadata().ok()?;
        let is_ours = facts.uid() == 0 || facts.uid() == rustix::process::geteuid().as_raw();
        let is_old = u64::try_from(facts.mtime()).is_ok_and(|seconds| Some(seconds) <= self.recorded_unix);
        (is_ours && is_old).then_some(file)
    }

    fn beside_recording(&self, path: &[u8]) -> Option<File> {
        let name = path.rsplit(|byte| *byte == b'/').next().filter(|name| is_plain_name(name))?;
        open_plain(&self.beside.as_ref()?.join(OsStr::from_bytes(name))).ok()
    }

    fn in_sysroot(&self, path: &[u8]) -> Option<io::Result<File>> {
        let root = self.sysroot.as_ref()?;
        Some(open_below(root, path))
    }

    /// Directories of perf's layout: what `perf archive` packs may be unpacked anywhere.
    fn caches(&self) -> impl Iterator<Item = &PathBuf> {
        self.debug_dirs.iter().chain(&self.build_id_cache)
    }

    /// Places in perf's cache: `.build-id/xx/yyyy` is a link to a directory with files by `what` they are, of old perf to
    /// the file itself.
    pub(super) fn in_cache<'a>(&'a self, build_id: BuildId, what: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
        self.caches().flat_map(move |cache| {
            names_by_build_id(build_id).into_iter().flat_map(move |name| {
                let place = cache.join(name);
                [place.join(what), place]
            })
        })
    }
}

/// Whether a file was changed (`st_ctime`) later than a time of this machine's recordings, whose clock is the time since the
/// machine was started (`CLOCK_MONOTONIC`, or perf's own, which differs little). A time that is still to come is of an earlier
/// start: nothing is known then, and nothing proven.
fn was_changed_after(changed_unix: i64, time: u64) -> bool {
    /// Seconds by which the two clocks may differ.
    const SLACK: i64 = 2;
    if time == 0 {
        return false;
    }
    let now = |clock| rustix::time::clock_gettime(clock).tv_sec;
    let (monotonic, unix) = (now(rustix::time::ClockId::Monotonic), now(rustix::time::ClockId::Realtime));
    let time = i64::try_from(time / 1_000_000_000).unwrap_or(i64::MAX);
    time > monotonic + SLACK || changed_unix - (unix - monotonic) > time + SLACK
}

/// Whether a file's build id is the recorded one. Before Linux 5.12 perf has recorded 20 bytes always, zeros behind
/// shorter ones (`perf_record_header_build_id`, tools/lib/perf/include/perf/event.h).
pub(super) fn is_same(recorded: BuildId, found: Option<BuildId>) -> bool {
    found.is_some_and(|found| found == recorded || without_zeros(recorded).is_some_and(|short| short == found))
}

/// A build id of 20 bytes that was filled up with zeros; at least four are, or it is likely to end in them by itself.
fn without_zeros(recorded: BuildId) -> Option<BuildId> {
    let bytes = recorded.as_bytes();
    let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    // Ids in use have 8 bytes (lld's `fast`) or 16 (`md5`, `uuid`); one may end in a zero byte itself.
    let length = if used <= 8 { 8 } else { 16 };
    (bytes.len() == 20 && used <= length).then(|| BuildId::new(&bytes[..length]))?
}

fn ids(build_id: BuildId) -> Vec<String> {
    std::iter::once(build_id).chain(without_zeros(build_id)).map(|id| id.to_string()).collect()
}

/// `.build-id/xx/yyyy`, for each way to write the build id.
pub(super) fn names_by_build_id(build_id: BuildId) -> Vec<PathBuf> {
    let all = std::iter::once(build_id).chain(without_zeros(build_id));
    all.filter(|id| id.as_bytes().len() > 1).map(|id| name_by_id(id.as_bytes())).collect()
}

/// `.build-id/xx/yyyy` for an id of any length.
pub(super) fn name_by_id(id: &[u8]) -> PathBuf {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (first, rest) = id.split_at(id.len().min(1));
    Path::new(".build-id").join(hex(first)).join(hex(rest))
}

pub(super) fn with_debug(name: &Path) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(".debug");
    name.into()
}

pub(super) fn is_plain_name(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/')
}

/// A recorded path below a directory of the user's: as a whole, and by its last part.
fn in_directory<'a>(directory: &'a Path, path: &'a [u8]) -> impl Iterator<Item = io::Result<File>> + 'a {
    let name = path.rsplit(|byte| *byte == b'/').next().filter(|name| is_plain_name(name));
    std::iter::once_with(move || open_below(directory, path))
        .chain(name.into_iter().map(|name| open_plain(&directory.join(OsStr::from_bytes(name)))))
}

/// Reads the headers; `None` if it is no ELF file.
pub(super) fn read(file: File) -> Option<Found> {
    let length = file.metadata().ok()?.len();
    let headers = ElfHeaders::read(&HeaderSource::File(&file))?;
    Some(as_seen::Found { file, length, headers })
}
