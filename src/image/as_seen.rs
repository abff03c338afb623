//! Which file a process meant: its path is resolved in the process's own root, and the file must be the one mapped.
//!
//! Paths come from other, perhaps hostile, processes. So they are resolved by `openat2(2)` with `RESOLVE_IN_ROOT`, and
//! looked at through an `O_PATH` descriptor before they are opened: no device, pipe or terminal is ever opened.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::elf_headers::{ElfHeaders, HeaderSource};
use super::process_root::RootOf;
use crate::model::{BuildId, Unnamed};

/// The file that a process has mapped, as far as the record of the mapping tells.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The path as the process saw it.
    pub path: &'a [u8],
    /// Its build id, if the kernel gave one.
    pub build_id: Option<BuildId>,
    /// Major and minor number of its device, as the kernel's file system has them.
    pub device: Option<(u32, u32)>,
    /// Its inode number.
    pub inode: Option<u64>,
    /// Which process mapped it, by its id here.
    pub pid: u32,
    /// First address of the mapping.
    pub start: u64,
    /// When it was mapped, in nanoseconds on the recording's clock; 0 if that is not known.
    pub time: u64,
    /// One past the last address of the mapping.
    pub end: u64,
    /// Where in the file the mapping begins.
    pub offset: u64,
}

impl<'a> Wanted<'a> {
    /// A file by its path alone, as this process sees it.
    pub fn of_path(path: &'a [u8]) -> Wanted<'a> {
        let pid = std::process::id();
        Wanted { path, build_id: None, device: None, inode: None, pid, start: 0, time: 0, end: 0, offset: 0 }
    }
}

/// Whether a mapping's name is the path of a file, and not one of the kernel's or a library's notes.
pub fn is_file_path(path: &[u8]) -> bool {
    let not_files: [&[u8]; 5] = [b"//", b"/memfd:", b"/dev/zero", b"/SYSV", b"/anon_hugepage"];
    path.first() == Some(&b'/') && !not_files.iter().any(|prefix| path.starts_with(prefix))
}

/// Whether a mapping is of a file that was made for the time being and is deleted already.
pub fn is_deleted_scratch(path: &[u8]) -> bool {
    let directories: [&[u8]; 4] = [b"/tmp/", b"/var/tmp/", b"/dev/shm/", b"/run/user/"];
    path.ends_with(DELETED) && directories.iter().any(|directory| path.starts_with(directory))
}

const DELETED: &[u8] = b" (deleted)";

/// The path without the mark that the kernel puts behind the name of a file that is no longer there.
pub(super) fn without_mark(path: &[u8]) -> &[u8] {
    path.strip_suffix(DELETED).unwrap_or(path)
}

/// A file that was found to be the one wanted.
#[derive(Debug)]
pub(super) struct Found {
    pub file: File,
    pub length: u64,
    pub headers: ElfHeaders,
}

/// Finds and opens the wanted file.
///
/// `root` is that of the process that has mapped it.
pub(super) fn find(wanted: &Wanted<'_>, root: &RootOf) -> Result<Found, Unnamed> {
    let path = without_mark(wanted.path);
    let deleted = path.len() != wanted.path.len();
    if !is_file_path(path) || path.contains(&0) {
        return Err(Unnamed::NoFile);
    }
    let in_root = || {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        match root {
            RootOf::Other(root) | RootOf::Passing(root) => open_in_root(root.directory(), path),
            // Another process's root is closed to us, or gone with it. The identity of the file still is checked.
            RootOf::Own | RootOf::Gone | RootOf::Denied => open_regular(CWD, path, ResolveFlags::empty()),
        }
    };
    let mapped = || {
        let path = format!("/proc/{}/map_files/{:x}-{:x}", wanted.pid, wanted.start, wanted.end);
        open_regular(CWD, Path::new(&path), ResolveFlags::empty())
    };
    let executable = || {
        let link = format!("/proc/{}/exe", wanted.pid);
        if without_mark(std::fs::read_link(&link)?.as_os_str().as_bytes()) != path {
            return Err(io::ErrorKind::NotFound.into());
        }
        open_regular(CWD, Path::new(&link), ResolveFlags::empty())
    };
    let by_path = Way { open: &in_root, exact: false };
    let by_map = Way { open: &mapped, exact: true };
    let by_link = Way { open: &executable, exact: false };
    // What stands at the path of a deleted file is another one, unless there is proof.
    let provable = wanted.build_id.is_some() || wanted.inode.is_some();
    let ways = match (deleted, provable) {
        (false, _) => vec![by_path, by_map, by_link],
        (true, true) => vec![by_map, by_link, by_path],
        (true, false) => vec![by_map, by_link],
    };
    let mut reason = if matches!(root, RootOf::Denied) { Unnamed::Permission } else { Unnamed::NoFile };
    for way in ways {
        match (way.try_it(wanted), reason) {
            (Ok(found), _) => return Ok(found),
            // It is the file.
            (Err(Unnamed::NoSymbols), _) => return Err(Unnamed::NoSymbols),
            // With more rights there is a way to what is mapped, whatever stands at its path now.
            (Err(Unnamed::NoFile), _) | (Err(_), Unnamed::Permission) => {}
            (Err(other), _) => reason = other,
        }
    }
    Err(reason)
}

/// Opens a file that a process has mapped and goes on writing, whatever is in it.
///
/// # Errors
/// Those of opening it; [`io::ErrorKind::NotFound`] if another file stands at its path now.
pub(super) fn open_written(wanted: &Wanted<'_>) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = Path::new(std::ffi::OsStr::from_bytes(wanted.path));
    let is_same =
        |file: &File| wanted.inode.is_some_and(|inode| file.metadata().is_ok_and(|facts| facts.ino() == inode));
    let (file, by_path) = match rustix::fs::open(format!("/proc/{}/root", wanted.pid), flags, Mode::empty()) {
        Ok(root) => (open_in_root(root.as_fd(), path)?, true),
        // It is gone; then the identity alone is the proof.
        Err(_) => (open_regular(CWD, path, ResolveFlags::empty())?, false),
    };
    if is_same(&file) || by_path && has_own_inodes(&file) { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// One way to reach a file.
struct Way<'a> {
    open: &'a dyn Fn() -> io::Result<File>,
    /// Whether it leads to what is mapped, whatever has happened to the path since.
    exact: bool,
}

impl Way<'_> {
    fn try_it(&self, wanted: &Wanted<'_>) -> Result<Found, Unnamed> {
        let file = (self.open)().map_err(|error| reason_of(&error))?;
        let metadata = file.metadata().map_err(|_| Unnamed::NoFile)?;
        let headers = ElfHeaders::read(&HeaderSource::File(&file));
        if let Some(build_id) = wanted.build_id {
            if headers.as_ref().and_then(|headers| headers.build_id) != Some(build_id) {
                return Err(Unnamed::FileChanged);
            }
        } else if let Some(inode) = wanted.inode
            && !self.exact
            && metadata.ino() != inode
            && !has_own_inodes(&file)
        {
            // Device numbers are not compared: btrfs and overlayfs give `stat` others than they give the memory map.
            return Err(Unnamed::FileChanged);
        }
        let headers = headers.ok_or(Unnamed::NoSymbols)?;
        Ok(Found { file, length: metadata.len(), headers })
    }
}

/// Why there is no file, by what the system says.
pub(super) fn reason_of(error: &io::Error) -> Unnamed {
    if error.kind() == io::ErrorKind::PermissionDenied { Unnamed::Permission } else { Unnamed::NoFile }
}

/// Whether the file system gives `stat(2)` other inode numbers than it gives the memory map: overlayfs, whose
/// mappings are of the file below (Documentation/filesystems/overlayfs.rst, "Inode properties").
pub(super) fn has_own_inodes(file: &File) -> bool {
    const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;
    rustix::fs::fstatfs(file).is_ok_and(|facts| facts.f_type as u64 == OVERLAYFS_SUPER_MAGIC)
}

/// Opens a regular file for reading, by its path inside the root directory `root`; symbolic links do not lead out of it.
///
/// # Errors
/// Those of `openat2(2)`; [`io::ErrorKind::InvalidInput`] if it is no regular file.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    match open_regular(root, path, ResolveFlags::IN_ROOT) {
        // Before Linux 5.6, or forbidden by a filter that does not know the call. Then an absolute symbolic link in the
        // target's tree leads into ours; whoever asks checks what it got, by identity or owner.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOSYS)) => {
            open_regular(root, path.strip_prefix("/").unwrap_or(path), ResolveFlags::empty())
        }
        result => result,
    }
}

/// What stands in place of a regular file.
fn name_of(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a folder",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "no regular file",
    }
}

pub(super) fn open_regular(directory: BorrowedFd<'_>, path: &Path, resolve: ResolveFlags) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place: OwnedFd = if resolve.is_empty() {
        rustix::fs::openat(directory, path, flags, Mode::empty())?
    } else {
        rustix::fs::openat2(directory, path, flags, Mode::empty(), resolve)?
    };
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode);
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, name_of(kind)));
    }
    let same = format!("/proc/self/fd/{}", place.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::open(same, flags, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn notes_of_the_kernel_are_no_files() {
        for path in ["[heap]", "[stack]", "//anon", "/memfd:jit (deleted)", "/dev/zero (deleted)", "/SYSV0000", "", "a"]
        {
            assert!(!is_file_path(path.as_bytes()), "{path}");
        }
        assert!(is_file_path(b"/usr/bin/true") && is_file_path(b"/usr/bin/true (deleted)"));
    }

    #[test]
    fn links_stay_in_the_root() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/hostname"), "inside").unwrap();
        symlink("/etc/hostname", root.path().join("absolute")).unwrap();
        symlink("../../../../etc/hostname", root.path().join("upwards")).unwrap();
        symlink("loop", root.path().join("loop")).unwrap();
        let directory = File::open(root.path()).unwrap();
        for path in ["/absolute", "/upwards", "/etc/hostname", "/../etc/hostname"] {
            let file = open_in_root(directory.as_fd(), Path::new(path)).unwrap();
            assert_eq!(io::read_to_string(file).unwrap(), "inside", "{path}");
        }
        assert!(open_in_root(directory.as_fd(), Path::new("/loop")).is_err());
        assert!(open_in_root(directory.as_fd(), Path::new("/etc")).is_err());
    }

    #[test]
    fn only_regular_files_are_opened() {
        let root = tempfile::tempdir().unwrap();
        let fifo = root.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let directory = File::open(root.path()).unwrap();
        let error = open_in_root(directory.as_fd(), Path::new("/fifo")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(open_regular(CWD, Path::new("/dev/null"), ResolveFlags::empty()).is_err());
    }
}
