//! The two sides of a difference: which files each of them is.

use std::collections::HashMap;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use flameprofile::gate::Glob;
use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::model::Profile;
use flameprofile::render::name::printable;
use flameprofile::{Error, ErrorKind, Result};

use super::progress::ProgressLine;

/// One side of the comparison.
#[derive(Clone, Debug)]
pub struct Side {
    /// `base` or `new`.
    pub name: &'static str,
    /// As it was named.
    pub named: PathBuf,
    pub files: Vec<PathBuf>,
}

impl Side {
    /// The files that a name stands for.
    pub fn find(name: &'static str, named: &Path) -> Result<Side> {
        let mut files = Vec::new();
        match named.as_os_str().as_bytes().strip_prefix(b"@") {
            None => add_files(named, &mut files)?,
            Some(list) => {
                let list = Path::new(std::ffi::OsStr::from_bytes(list));
                let failed = |error| {
                    Error::io(format!("cannot read the list {}", list.display()), error)
                        .with_hint("@LIST is a file with a path a line; a file whose name begins with @ is ./@NAME")
                };
                let text = std::fs::read(list).map_err(failed)?;
                let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
                for line in lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")) {
                    add_files(Path::new(&std::ffi::OsString::from_vec(line.to_vec())), &mut files)?;
                }
            }
        }
        if files.is_empty() {
            let message = format!("no files for the {name} side: {} names none", named.display());
            return Err(Error::new(ErrorKind::NotFound, message)
                .with_hint("name a file, a folder with files in it, or @LIST, a file with a path a line"));
        }
        Ok(Side { name, named: named.to_owned(), files })
    }

    /// Reads all of them as one profile.
    pub fn read(&self, options: &ImportOptions, quiet: bool) -> Result<Profile> {
        let mut progress = ProgressLine::new(!quiet, None);
        let input = |path: &PathBuf| if path == Path::new("-") { Input::stdin() } else { Input::Path(path.clone()) };
        let profile = import(self.files.iter().map(input).collect(), options, &mut |state| progress.show_import(state));
        progress.clear();
        let profile = profile?;
        if options.stop.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Io, "stopped before both sides were read")
                .with_hint("part of a side says nothing; to compare a part of a recording: profile import --time"));
        }
        self.refuse_empty(&profile)?;
        Ok(profile)
    }

    /// Refuses what has no samples of its event.
    pub fn refuse_empty(&self, profile: &Profile) -> Result<()> {
        if total(profile).0 == 0 {
            let of = match profile.main_event() {
                "" => String::new(),
                event => format!(" of the event {}", printable(event)),
            };
            let named = self.named.display();
            return Err(Error::new(ErrorKind::NotFound, format!("the {} side has no samples{of}: {named}", self.name))
                .with_hint(format!("see what is in it: profile import {} -f top", self.files[0].display())));
        }
        Ok(())
    }
}

/// The folder and the pattern of a name with `*` or `?` in it of which there is no file: quotes kept the shell from finding files.
fn pattern(path: &Path) -> Option<(PathBuf, Glob)> {
    let name = path.file_name()?.to_str()?;
    let is_pattern = name.contains(['*', '?', '{']) && std::fs::symlink_metadata(path).is_err();
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    is_pattern.then(|| (folder.to_owned(), Glob::new(name)))
}

/// A file, or all files of a folder or of a pattern that are not hidden, in order of name; what `perf record --threads` has written is one.
pub fn add_files(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let of_pattern = pattern(path);
    if of_pattern.is_none() && (!path.is_dir() || path.join("data").is_file()) {
        files.push(path.to_owned());
        return Ok(());
    }
    let (path, pattern) = of_pattern.as_ref().map_or((path, None), |(folder, glob)| (folder.as_path(), Some(glob)));
    let failed = |error| Error::io(format!("cannot read the folder {}", path.display()), error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let is_wanted = pattern.is_none_or(|glob| name.to_str().is_some_and(|name| glob.matches(name)));
        if is_wanted && entry.path().is_file() && !name.as_bytes().starts_with(b".") {
            found.push(entry.path());
        }
    }
    found.sort();
    files.append(&mut found);
    Ok(())
}

/// What a profile's event has: value and samples.
pub fn total(profile: &Profile) -> (u64, u64) {
    let samples = profile.samples.iter().filter(|sample| sample.event == profile.main);
    samples.fold((0, 0), |(value, samples), sample| {
        (u64::saturating_add(value, sample.value), samples + u64::from(sample.count))
    })
}

/// Refuses a file that is named twice: a side would be twice as large, or compared with itself.
pub fn refuse_twice(sides: &[Side]) -> Result<()> {
    let mut seen: HashMap<(u64, u64), &Side> = HashMap::new();
    let mut stdin: Option<&Side> = None;
    for side in sides {
        for file in &side.files {
            let before = match file == Path::new("-") {
                true => stdin.replace(side),
                false => match std::fs::metadata(file) {
                    Ok(facts) => seen.insert((facts.dev(), facts.ino()), side),
                    // Reading it says more.
                    Err(_) => None,
                },
            };
            let Some(before) = before else { continue };
            let message = match before.name == side.name {
                true => format!("{} is named twice on the {} side", file.display(), side.name),
                false => format!("{} is on both sides", file.display()),
            };
            return Err(Error::new(ErrorKind::Usage, message)
                .with_hint("name two different recordings: profile diff before.data after.data"));
        }
    }
    Ok(())
}
