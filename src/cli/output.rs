//! Where results go: a file that is written beside and renamed, or standard output, once.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use flameprofile::{Error, Result};

/// A file to be written whole or not at all.
///
/// It is made before the recording begins, so that a folder that is not there is known then; the file of that name stays as
/// it was until [`OutputFile::finish`].
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    file: File,
    /// The file beside it that is written and renamed; none for devices and pipes, which are written directly.
    beside: Option<PathBuf>,
}

impl OutputFile {
    /// Prepares to write `path`.
    pub fn create(path: &Path) -> Result<OutputFile> {
        let failed = |error| {
            Error::io(format!("cannot write {}", path.display()), error)
                .with_hint("-o takes a file in a folder that is there and that you may write to")
        };
        let path = end_of_links(path);
        let known = fs::metadata(&path);
        if known.as_ref().is_ok_and(|known| known.is_dir()) {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if known.as_ref().is_ok_and(|known| !known.is_file()) {
            let file = File::options().write(true).open(&path).map_err(failed)?;
            return Ok(OutputFile { path, file, beside: None });
        }
        if let Ok(known) = &known
            && known.permissions().readonly()
        {
            return Err(failed(io::ErrorKind::PermissionDenied.into()));
        }
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        // A name that nobody can have put a link at: in a shared folder that would have us write elsewhere.
        hidden.push(format!(".{:016x}.part", RandomState::new().build_hasher().finish()));
        let beside = path.with_file_name(hidden);
        let file = File::options().write(true).create_new(true).open(&beside).map_err(failed)?;
        BESIDE.lock().unwrap_or_else(PoisonError::into_inner).push(beside.clone());
        if let Ok(known) = known {
            // Whoever could read the old one can read the new one.
            let _ = file.set_permissions(known.permissions());
        }
        Ok(OutputFile { path, file, beside: Some(beside) })
    }

    /// The path that it is written for.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is written beside its path and then renamed, so that it can be written again.
    pub fn is_renamed(&self) -> bool {
        self.beside.is_some()
    }

    /// A handle to write records to as they come; [`OutputFile::keep`] puts the file in its place.
    ///
    /// Copies of stacks may hold anything: a new file is for its owner only, as perf makes it.
    pub fn handle(&self) -> Result<File> {
        let is_new = self.beside.is_some() && !self.path.exists();
        let private = if is_new { self.file.set_permissions(fs::Permissions::from_mode(0o600)) } else { Ok(()) };
        let handle = private.and_then(|()| self.file.try_clone());
        handle.map_err(|error| Error::io(format!("cannot write {}", self.path.display()), error))
    }

    /// Puts what was written to the handle in its place: the first `size` bytes.
    pub fn keep(mut self, size: u64) -> Result<()> {
        let Some(beside) = self.beside.take() else { return Ok(()) };
        let kept = self.file.set_len(size).and_then(|()| self.file.sync_data());
        // Even what the disk has no room for is worth more than nothing.
        let renamed = fs::rename(&beside, &self.path).inspect_err(|_| self.beside = Some(beside));
        kept.and(renamed).map_err(|error| Error::io(format!("cannot write {}", self.path.display()), error))
    }

    /// Writes all of it, and puts it in its place.
    pub fn finish(self, bytes: &[u8]) -> Result<()> {
        self.finish_with(&mut |out| out.write_all(bytes).map_err(|error| Error::io("cannot write", error)))
    }

    /// Writes what `render` gives, and puts it in its place. `render` is called once more if that fails, to keep the result elsewhere.
    pub fn finish_with(mut self, render: &mut Render<'_>) -> Result<()> {
        let written = render(&mut self.file).and_then(|()| {
            let placed = match self.beside.take() {
                // A full disk may say so only when it is to keep the data.
                Some(beside) => self
                    .file
                    .sync_data()
                    .and_then(|()| fs::rename(&beside, &self.path))
                    .inspect_err(|_| self.beside = Some(beside)),
                None => Ok(()),
            };
            placed.map_err(|error| Error::io(format!("cannot write {}", self.path.display()), error))
        });
        match written {
            Err(error) if is_closed_pipe(&error) => Ok(()),
            Err(error) => {
                // Another failure than of writing would come again.
                let cause = cause(error)?;
                let hint = match keep(&self.path, render) {
                    Some(kept) => format!("the result is kept in {}", kept.display()),
                    None => "free some space, or name a file on another disk with -o".into(),
                };
                Err(Error::io(format!("cannot write {}", self.path.display()), cause).with_hint(hint))
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Writes a result.
pub type Render<'a> = dyn FnMut(&mut dyn Write) -> Result<()> + 'a;

fn is_closed_pipe(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What the system said, if that is the cause.
fn cause(error: Error) -> std::result::Result<io::Error, Error> {
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
    let copy = source.map(|source| match source.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => source.kind().into(),
    });
    copy.ok_or(error)
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
        }
    }
}

/// All files that were made beside their path; most are renamed or gone by then.
static BESIDE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes files that nothing was written to yet, as the program is about to end.
pub fn abandon() {
    let beside = BESIDE.lock().unwrap_or_else(PoisonError::into_inner);
    for path in beside.iter().filter(|path| fs::metadata(path).is_ok_and(|facts| facts.len() == 0)) {
        let _ = fs::remove_file(path);
    }
}

/// Writes what cannot go where it should to the folder for temporary files: a recording cannot be made again.
fn keep(path: &Path, render: &mut Render<'_>) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    let kept = std::env::temp_dir().join(format!("{:08x}-{name}", RandomState::new().build_hasher().finish() as u32));
    let mut file = File::options().write(true).create_new(true).open(&kept).ok()?;
    match render(&mut file).is_ok() && file.sync_data().is_ok() {
        true => Some(kept),
        false => {
            let _ = fs::remove_file(&kept);
            None
        }
    }
}

/// Where a file really is, even if it is not there yet: a link stays one, and what it leads to is replaced.
fn end_of_links(path: &Path) -> PathBuf {
    /// As many as the kernel follows (`path_resolution(7)`).
    const MOST_LINKS: u32 = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

/// Whether two paths are of one file, which need not be there yet.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    if let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) {
        return (one.dev(), one.ino()) == (other.dev(), other.ino());
    }
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        Some((folder.canonicalize().ok()?, path.file_name()?.to_owned()))
    };
    place(one).is_some_and(|one| Some(one) == place(other))
}

/// Whether `path` is a name for standard output.
pub fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].into_iter().any(|name| path == Path::new(name))
}

/// Writes to standard output; that nobody reads it any more is no failure.
pub fn to_stdout(bytes: &[u8]) -> Result<()> {
    to_stdout_with(&mut |out| out.write_all(bytes).map_err(|error| Error::io("cannot write", error)))
}

/// Writes what `render` gives to standard output; that nobody reads it any more is no failure.
pub fn to_stdout_with(render: &mut Render<'_>) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let flushed = |error| Error::io("cannot write", error);
    match render(&mut stdout).and_then(|()| stdout.flush().map_err(flushed)) {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        Err(error) => Err(match cause(error) {
            Ok(cause) => Error::io("cannot write to standard output", cause)
                .with_hint("name a file on another disk with -o FILE"),
            Err(error) => error,
        }),
        Ok(()) => Ok(()),
    }
}
