//! The root directories of processes, held open: a container's files are there for us after its processes have ended.
//!
//! A path of a process means what it means below its root and in its mount namespace. Both end with the last process that has
//! them, and names are looked up only when the recording is over. So each distinct root is opened once (`O_PATH`: nothing of it is
//! read), and beside it its mount namespace, without which what is mounted below the root would be gone
//! (`umount_tree`, fs/namespace.c). Both are given back when the recording is.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

/// A root directory that is held open.
#[derive(Debug)]
pub(super) struct ProcessRoot {
    directory: OwnedFd,
    /// Never read: it keeps the mounts together.
    _mounts: Option<File>,
}

impl ProcessRoot {
    /// The directory, opened with `O_PATH`.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// What tells two roots apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    device: (u32, u32),
    inode: u64,
    /// The mount that it is in, which only one namespace has; before Linux 5.8 the inode of the namespace.
    mount: u64,
}

/// The root that a process has.
#[derive(Clone, Debug)]
pub(super) enum RootOf {
    /// Ours.
    Own,
    /// Another one, with which whoever asks may do as long as it likes.
    Other(Arc<ProcessRoot>),
    /// The same, but so many are held that this one must be given back soon.
    Passing(Arc<ProcessRoot>),
    /// The process is gone.
    Gone,
    /// It may not be looked into (`ptrace(2)`, "Ptrace access mode checking").
    Denied,
}

/// All roots that are held.
#[derive(Debug, Default)]
pub(super) struct ProcessRoots {
    held: FxHashMap<Key, Arc<ProcessRoot>>,
    own: Option<Key>,
    left_out: usize,
}

/// Most roots that are held, two descriptors each.
const MOST_HELD: usize = 256;

impl ProcessRoots {
    /// The root of a process, opened if it is a new one.
    pub fn of(&mut self, pid: u32) -> RootOf {
        let opened = open_directory(&format!("/proc/{pid}/root")).and_then(|directory| {
            let key = key_of(&directory, &pid.to_string())?;
            Ok((directory, key))
        });
        let (directory, key) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return RootOf::Denied,
            Err(_) => return RootOf::Gone,
        };
        if self.own.is_none() {
            self.own = open_directory("/").and_then(|own| key_of(&own, "self")).ok();
        }
        if self.own == Some(key) {
            return RootOf::Own;
        }
        if let Some(root) = self.held.get(&key) {
            return RootOf::Other(Arc::clone(root));
        }
        let mounts = File::open(format!("/proc/{pid}/ns/mnt")).ok();
        let root = Arc::new(ProcessRoot { directory, _mounts: mounts });
        if self.held.len() >= MOST_HELD {
            self.left_out += 1;
            return RootOf::Passing(root);
        }
        self.held.insert(key, Arc::clone(&root));
        RootOf::Other(root)
    }

    /// How often a root was opened that is not held, as so many others are.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

fn open_directory(path: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn key_of(directory: &OwnedFd, process: &str) -> io::Result<Key> {
    let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
    if let Ok(facts) = rustix::fs::statx(directory, "", AtFlags::EMPTY_PATH, wanted)
        && StatxFlags::from_bits_retain(facts.stx_mask).contains(wanted)
    {
        let device = (facts.stx_dev_major, facts.stx_dev_minor);
        return Ok(Key { device, inode: facts.stx_ino, mount: facts.stx_mnt_id });
    }
    let facts = rustix::fs::fstat(directory)?;
    let device = (rustix::fs::major(facts.st_dev), rustix::fs::minor(facts.st_dev));
    let namespace = std::fs::metadata(format!("/proc/{process}/ns/mnt"))?.ino();
    Ok(Key { device, inode: facts.st_ino, mount: namespace })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_root_is_not_held() {
        let mut roots = ProcessRoots::default();
        assert!(matches!(roots.of(std::process::id()), RootOf::Own));
        assert!(matches!(roots.of(u32::MAX), RootOf::Gone));
        assert_eq!((roots.held.len(), roots.left_out()), (0, 0));
    }
}
