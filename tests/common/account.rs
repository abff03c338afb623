//! As whom `profile` and its targets run.
//!
//! A plain user cannot reach what root has built under its home, so programs are copied where everybody can read.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// A user to run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Whoever runs the tests.
    Own,
    /// A user without any privilege; whoever runs the tests if that is no root.
    Plain,
    /// The plain user with nothing but `CAP_PERFMON`; needs root to arrange.
    Perfmon,
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a program is on the path.
pub fn have(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\""]).arg(program).stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

impl Account {
    /// A command that runs a program as this user.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let words = self.words();
        let Some((first, rest)) = words.split_first() else { return Command::new(program) };
        let mut command = Command::new(first);
        command.args(rest).arg(program);
        command
    }

    /// What stands before a program's name.
    fn words(self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if self != Account::Own && is_root() {
            words.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(OsString::from));
            if self == Account::Perfmon {
                words.extend(["--inh-caps=+perfmon", "--ambient-caps=+perfmon"].map(OsString::from));
            }
            words.push("--".into());
        }
        words
    }

    /// The path of a program as this user can run it: itself, or a copy that all can read.
    pub fn reachable(self, program: &Path) -> PathBuf {
        if self == Account::Own || !is_root() {
            return program.to_owned();
        }
        static COPIES: OnceLock<TempDir> = OnceLock::new();
        static COPYING: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _alone = COPYING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let copies = COPIES.get_or_init(folder_of_copies);
        // The folder above has a hash of the content in its name, so two programs of one name do not collide.
        let above = program.parent().and_then(Path::file_name).unwrap_or(OsStr::new("top"));
        let copy = copies.path().join(above).join(program.file_name().expect("a program has a name"));
        if !copy.exists() {
            let place = copy.parent().expect("it has a folder");
            fs::create_dir_all(place).expect("/tmp is writable");
            fs::set_permissions(place, Permissions::from_mode(0o755)).expect("it is ours");
            copy_program(program, &copy);
            fs::set_permissions(&copy, Permissions::from_mode(0o755)).expect("it is ours");
        }
        copy
    }
}

/// Copies a program that is to be run. By another process: what this one has open for writing a child that another test starts just
/// then has too, until it runs a program of its own, and meanwhile the copy cannot be run (ETXTBSY, execve(2)).
fn copy_program(program: &Path, copy: &Path) {
    let status = Command::new("cp").arg("--").args([program, copy]).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot copy {}", program.display());
}

/// A folder for copies, once more than the last test process needed: nothing drops a static, so those of test processes
/// that have ended are removed here.
fn folder_of_copies() -> TempDir {
    const PREFIX: &str = "profile-copies-";
    for entry in fs::read_dir("/tmp").expect("/tmp is readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{PREFIX}{}-", std::process::id());
    let copies = tempfile::Builder::new().prefix(&prefix).tempdir_in("/tmp").expect("/tmp is writable");
    fs::set_permissions(copies.path(), Permissions::from_mode(0o755)).expect("it is ours");
    copies
}

/// A temporary folder that every account can read and write.
pub fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("profile-test-").tempdir_in("/tmp").expect("/tmp is writable");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("it is ours");
    folder
}
