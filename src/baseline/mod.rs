//! Runs that are kept to compare later ones with, and to learn how much runs differ: plain files that a cache of CI, an artefact or a
//! branch can hold.
//!
//! ```text
//! DIR/profile-baselines.txt                              says that DIR is a store, and its format
//! DIR/KEY/20261122T185347Z-7b1f0c2d9a3e4f58.pb.gz        one run: when it began, and a hash of the file
//! ```
//!
//! A run is a profile of pprof's with a [`RunMark`]; other tools read it too, and `DIR/KEY` is a folder of runs like any other. The same
//! run has the same name wherever it is saved, so that jobs beside each other do not collide and what is saved twice is there once.
//! Files are written beside and renamed. Nothing else is written, and nothing else is removed.

mod key;

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::export::pprof;
use crate::gate::{Day, Matching, Noise, OwnCosts, noise_of};
use crate::import::{ImportOptions, Input, import};
use crate::model::{Profile, RunMark, Unit};

pub use key::check_key;

/// The file that says that a folder is a store.
const MARKER: &str = "profile-baselines.txt";
/// What stands in it.
const FORMAT: &str = "runs kept by `profile baseline`, format 1\n";
/// A history of more runs says no more of today.
const MOST_RUNS: usize = 200;

/// A folder of runs.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// A run in a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// When the run began, `20261122T185347Z`, as its file's name has it.
    pub time: String,
    /// Its file.
    pub path: PathBuf,
}

/// The runs of a key, as far as noise is learned from them.
#[derive(Clone, Debug)]
pub struct History {
    /// The runs, oldest first.
    pub runs: Vec<OwnCosts>,
}

impl Store {
    /// Opens a store that is there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such folder, [`ErrorKind::Malformed`] if it is no store.
    pub fn open(folder: &Path) -> Result<Store> {
        let hint = "`profile baseline save DIR FILE.. --key KEY` makes one";
        let marker = folder.join(MARKER);
        match fs::read_to_string(&marker) {
            Ok(text) if text == FORMAT => Ok(Store { folder: folder.to_owned() }),
            Ok(_) => {
                let message = format!("{} is not of a format that is known here", marker.display());
                Err(Error::new(ErrorKind::Malformed, message).with_hint("it may be of a newer version of profile"))
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("cannot read {}", marker.display()), error))
            }
            Err(_) if folder.is_dir() => {
                let message = format!("{} is no store of baselines: it has no {MARKER}", folder.display());
                Err(Error::new(ErrorKind::Malformed, message).with_hint(hint))
            }
            Err(error) => {
                Err(Error::io(format!("there is no store of baselines at {}", folder.display()), error).with_hint(hint))
            }
        }
    }

    /// Opens a store, and makes it if there is nothing yet or an empty folder.
    ///
    /// # Errors
    /// As [`Store::open`] for a folder with something else in it; that it cannot be written.
    pub fn create(folder: &Path) -> Result<Store> {
        let failed = |error| Error::io(format!("cannot make a store of baselines at {}", folder.display()), error);
        fs::create_dir_all(folder).map_err(failed)?;
        // What version control and caches keep of their own begins with a dot.
        let mut entries = fs::read_dir(folder).map_err(failed)?.filter_map(io::Result::ok);
        if entries.all(|entry| entry.file_name().as_encoded_bytes().starts_with(b".")) {
            write_beside(&folder.join(MARKER), FORMAT.as_bytes())?;
        }
        Store::open(folder)
    }

    /// Keeps a run under `mark.key`; the path, and whether it is new.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a key that is none; that it cannot be written.
    pub fn save(&self, profile: &mut Profile, mark: RunMark) -> Result<(PathBuf, bool)> {
        check_key(&mark.key)?;
        let folder = self.folder.join(&mark.key);
        profile.stats.run = Some(mark);
        let mut bytes = Vec::new();
        pprof::write(profile, &mut bytes)?;
        let path = folder.join(format!("{}-{}.pb.gz", time(profile.stats.started_unix), hash(&bytes)));
        if path.exists() {
            return Ok((path, false));
        }
        fs::create_dir_all(&folder).map_err(|error| Error::io(format!("cannot make {}", folder.display()), error))?;
        write_beside(&path, &bytes)?;
        Ok((path, true))
    }

    /// The keys that have runs, in order.
    ///
    /// # Errors
    /// That the folder cannot be read.
    pub fn keys(&self) -> Result<Vec<String>> {
        let failed = |error| Error::io(format!("cannot read {}", self.folder.display()), error);
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().into_string().unwrap_or_default();
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            if is_folder && check_key(&name).is_ok() && !self.runs(&name)?.is_empty() {
                keys.push(name);
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// The runs of a key, oldest first; those that began in the same second are in order of their hash.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a key that is none, [`ErrorKind::NotFound`] for one that has no folder.
    pub fn runs(&self, key: &str) -> Result<Vec<Stored>> {
        check_key(key)?;
        let folder = self.folder.join(key);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                let hint = format!("`profile baseline list {}` lists those that there are", self.folder.display());
                return Err(
                    Error::io(format!("{} has no runs of the key {key}", self.folder.display()), error).with_hint(hint)
                );
            }
        };
        let mut runs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| Error::io(format!("cannot read {}", folder.display()), error))?;
            let name = entry.file_name();
            if entry.file_type().is_ok_and(|kind| kind.is_file())
                && let Some(time) = name.to_str().and_then(time_of)
            {
                runs.push(Stored { time: time.to_owned(), path: entry.path() });
            }
        }
        runs.sort();
        Ok(runs)
    }

    /// Reads a run.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if the file is damaged, naming it.
    pub fn read(&self, stored: &Stored) -> Result<(Profile, RunMark)> {
        let damaged = |error: Error| {
            let path = stored.path.display();
            Error::new(ErrorKind::Malformed, format!("{path} is damaged"))
                .with_source(error)
                .with_hint(format!("remove it, or take it from where it was copied from: rm {path}"))
        };
        let other = |what: &str| damaged(Error::new(ErrorKind::Malformed, what));
        let name = stored.path.display().to_string();
        let bytes = fs::read(&stored.path).map_err(|error| Error::io(format!("cannot read {name}"), error))?;
        if !name.ends_with(&format!("-{}.pb.gz", hash(&bytes))) {
            return Err(other("its contents are not those whose hash its name has"));
        }
        let input = vec![Input::Stream { name, reader: Box::new(io::Cursor::new(bytes)) }];
        let profile = import(input, &ImportOptions::default(), &mut |_| {}).map_err(damaged)?;
        match profile.stats.run.clone() {
            Some(mark) => Ok((profile, mark)),
            None => Err(other("it does not say which run it is")),
        }
    }

    /// What is to be learned from the runs of a key: the newest two hundred.
    ///
    /// # Errors
    /// As [`Store::runs`] and [`Store::read`].
    pub fn history(&self, key: &str, matching: &Matching) -> Result<History> {
        let mut runs = self.runs(key)?;
        runs.drain(..runs.len().saturating_sub(MOST_RUNS));
        let costs = runs.iter().map(|stored| {
            let (profile, mark) = self.read(stored)?;
            Ok(OwnCosts::of(profile, &mark.label, mark.work, matching))
        });
        Ok(History { runs: costs.collect::<Result<_>>()? })
    }

    /// Which runs of a key are too many: all but the newest `keep`, if that is given, and of those only what began before `before` (seconds
    /// since 1970), if that is given.
    ///
    /// # Errors
    /// As [`Store::runs`].
    pub fn superfluous(&self, key: &str, keep: Option<usize>, before: Option<u64>) -> Result<Vec<Stored>> {
        let mut runs = self.runs(key)?;
        runs.truncate(runs.len().saturating_sub(keep.unwrap_or(0)));
        if let Some(before) = before {
            let before = time(before);
            runs.retain(|stored| stored.time < before);
        }
        Ok(runs)
    }

    /// Removes a run; one that is gone already is no failure.
    ///
    /// # Errors
    /// That it cannot be removed.
    pub fn remove(&self, stored: &Stored) -> Result<()> {
        match fs::remove_file(&stored.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("cannot remove {}", stored.path.display()), error))
            }
            _ => Ok(()),
        }
    }
}

impl History {
    /// The events that the runs are of.
    pub fn events(&self) -> Vec<(String, Unit)> {
        let mut events: Vec<(String, Unit)> = Vec::new();
        for event in self.runs.iter().filter_map(|run| Some((run.event.clone(), run.unit?))) {
            if !events.contains(&event) {
                events.push(event);
            }
        }
        events
    }

    /// The noise between runs of an event; nothing if fewer than three of them can be compared.
    pub fn noise(&self, event: &str, unit: Unit) -> Option<Noise> {
        let is_of = |run: &&OwnCosts| run.event == event && run.unit == Some(unit);
        noise_of(&self.runs.iter().filter(is_of).cloned().collect::<Vec<_>>())
    }
}

/// The history of a key of the store at `folder`.
///
/// # Errors
/// As [`Store::open`] and [`Store::history`].
pub fn load(folder: &Path, key: &str, matching: &Matching) -> Result<History> {
    Store::open(folder)?.history(key, matching)
}

/// What a run's name has of its contents.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A time in seconds since 1970 as names of files have it, ISO 8601 without separators: their order is that of time.
fn time(unix: u64) -> String {
    let Day { year, month, day } = Day::from_unix(unix);
    let second = unix % 86_400;
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The time in the name of a run's file; nothing if it is none.
fn time_of(name: &str) -> Option<&str> {
    let (time, hash) = name.strip_suffix(".pb.gz")?.split_once('-')?;
    let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_time = time.len() == 16
        && time.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    (is_hash && is_time).then_some(time)
}

/// Writes a file whole or not at all.
fn write_beside(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error| Error::io(format!("cannot write {}", path.display()), error);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{:016x}.part", RandomState::new().build_hasher().finish()));
    let written = File::options().write(true).create_new(true).open(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&beside, path)
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ProfileBuilder;

    fn profile(started_unix: u64) -> Profile {
        let mut profile = ProfileBuilder::new().finish();
        profile.stats.started_unix = started_unix;
        profile
    }

    fn mark(key: &str, label: &str) -> RunMark {
        RunMark { key: key.into(), label: label.into(), order: None, work: 2.0 }
    }

    #[test]
    fn names_are_in_order_of_time() {
        assert_eq!(time(0), "19700101T000000Z");
        assert_eq!(time(1_795_373_627), "20261122T185347Z");
        assert_eq!(time_of("20261122T185347Z-7b1f0c2d9a3e4f58.pb.gz"), Some("20261122T185347Z"));
        for other in
            ["20261122T185347Z.pb.gz", "x-7b1f0c2d9a3e4f58.pb.gz", "20261122T185347Z-7b1f0c2d9a3e4f5.pb.gz", "a"]
        {
            assert_eq!(time_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_saved_twice_is_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&folder.path().join("new/store")).unwrap();
        let (first, is_new) = store.save(&mut profile(50), mark("job", "a")).unwrap();
        assert!(is_new);
        assert_eq!(store.save(&mut profile(50), mark("job", "a")).unwrap(), (first, false));
        assert!(store.save(&mut profile(50), mark("job", "b")).unwrap().1);
        assert!(store.save(&mut profile(9), mark("other", "b")).unwrap().1);
        assert_eq!(store.keys().unwrap(), ["job", "other"]);
        assert_eq!(store.runs("job").unwrap().len(), 2);
    }

    #[test]
    fn too_many_are_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        for second in [300, 100, 200, 400] {
            store.save(&mut profile(second), mark("job", "a")).unwrap();
        }
        let check = |keep, before, expected: &[&str]| {
            let found = store.superfluous("job", keep, before).unwrap();
            let times: Vec<&str> = found.iter().map(|stored| stored.time.as_str()).collect();
            assert_eq!(times, expected);
        };
        check(Some(2), None, &["19700101T000140Z", "19700101T000320Z"]);
        check(Some(2), Some(200), &["19700101T000140Z"]);
        check(None, Some(201), &["19700101T000140Z", "19700101T000320Z"]);
        check(Some(9), None, &[]);
        let all = store.superfluous("job", Some(1), None).unwrap();
        all.iter().for_each(|stored| store.remove(stored).unwrap());
        // Gone already.
        store.remove(&all[0]).unwrap();
        assert_eq!(store.runs("job").unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_store_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        assert!(Store::create(folder.path()).unwrap_err().to_string().contains("is no store of baselines"));
        assert_eq!(Store::open(&folder.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(folder.path().join(MARKER), "format 2\n").unwrap();
        assert_eq!(Store::open(folder.path()).unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn a_damaged_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        let (path, _) = store.save(&mut profile(1), mark("job", "a")).unwrap();
        let bytes = fs::read(&path).unwrap();
        for damaged in [&bytes[..bytes.len() / 2], b"", b"not a profile at all"] {
            fs::write(&path, damaged).unwrap();
            let error = store.history("job", &Matching::EXACT).unwrap_err();
            assert!(error.to_string().ends_with("is damaged"), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        fs::write(&path, &bytes).unwrap();
        assert_eq!(store.history("job", &Matching::EXACT).unwrap().runs[0].label, "a");
    }
}
