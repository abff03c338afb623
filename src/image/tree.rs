//! The trees of files in which a path means something: ours, that below a process's root, a copy that the user has.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::as_seen::{open_in_root, open_regular};
use super::process_root::ProcessRoot;

/// Where a path is looked for.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// Our own files.
    Host,
    /// As a process saw it: no symbolic link leads out of its root.
    Process(Arc<ProcessRoot>),
    /// Below a folder that the user has named, and never out of it.
    Below(PathBuf),
}

impl Tree {
    /// Opens a regular file that is stored somewhere, not one that is made when it is read.
    ///
    /// # Errors
    /// Those of the system; [`io::ErrorKind::InvalidInput`] for what is no such file, with what it is.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        match self {
            Tree::Host => open_plain(path),
            Tree::Process(root) => only_stored(open_in_root(root.directory(), path)?),
            Tree::Below(folder) => open_below(folder, path.as_os_str().as_bytes()),
        }
    }

    /// Whether something stands at a path that may not be opened.
    pub fn has(&self, path: &Path) -> bool {
        let path = match self {
            Tree::Host => path.to_owned(),
            Tree::Process(_) => return false,
            Tree::Below(folder) => folder.join(path.strip_prefix("/").unwrap_or(path)),
        };
        std::fs::symlink_metadata(path).is_ok()
    }
}

/// Opens a file below a folder; its path is whatever somebody wrote.
pub(super) fn open_below(folder: &Path, path: &[u8]) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(folder, flags, Mode::empty())?;
    only_stored(open_in_root(root.as_fd(), Path::new(OsStr::from_bytes(path)))?)
}

/// Opens a regular file whose path we made, or that must prove itself.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    only_stored(open_regular(CWD, path, ResolveFlags::empty())?)
}

/// Refuses files that are not stored anywhere but made when they are read: `/proc/kmsg` forgets what was read.
fn only_stored(file: File) -> io::Result<File> {
    /// include/uapi/linux/magic.h: proc, sysfs, debugfs, tracefs, securityfs, bpf, both cgroups.
    const MADE_WHEN_READ: [u64; 8] =
        [0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163, 0x7363_6673, 0xcafe_4a11, 0x0027_e0eb, 0x6367_7270];
    let kind = rustix::fs::fstatfs(&file)?.f_type as u64;
    if MADE_WHEN_READ.contains(&kind) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "made when it is read"));
    }
    Ok(file)
}
