//! The files that debuginfod clients of this machine keep together.
//!
//! ```text
//! CACHE/HEX/debuginfo            a file; an empty one says when no server had it
//! CACHE/HEX/debuginfo.RANDOM     one that is on its way
//! CACHE/cache_miss_s             for how many seconds an empty one is believed
//! ```
//! As `debuginfod_find_debuginfo(3)` has it, sections "CACHE" and "ENVIRONMENT VARIABLES", and elfutils'
//! debuginfod/debuginfod-client.c (`debuginfod_query_server_by_buildid`). Old files are thrown away by elfutils, not by us.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::model::BuildId;

/// Which file of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Symbols and debug information.
    Debuginfo,
    /// The program or library itself.
    Executable,
}

impl Kind {
    /// The last part of its address and of its path in the cache.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Debuginfo => "debuginfo",
            Kind::Executable => "executable",
        }
    }
}

/// The directory of all debuginfod clients' files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    directory: PathBuf,
}

/// What the cache says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cached {
    /// It is there.
    Here(PathBuf),
    /// No server had it a while ago.
    Missed,
    /// Nothing.
    Unknown,
}

/// For how long it is believed that no server has a file, if the cache does not say: `cache_miss_default_s`.
const MISS: Duration = Duration::from_secs(600);

impl Cache {
    /// The cache of this user: `$DEBUGINFOD_CACHE_PATH`, else the old `~/.debuginfod_client_cache` if it is there, else
    /// `debuginfod_client` in `$XDG_CACHE_HOME` or `~/.cache`. `None` if there is no home.
    pub fn of_user() -> Option<Cache> {
        Cache::of(&|name| std::env::var_os(name))
    }

    pub(super) fn of(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<Cache> {
        let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(directory) = path("DEBUGINFOD_CACHE_PATH") {
            return Some(Cache { directory });
        }
        let home = path("HOME");
        let old = home.as_ref().map(|home| home.join(".debuginfod_client_cache")).filter(|old| old.exists());
        let caches = || path("XDG_CACHE_HOME").or_else(|| Some(home.as_ref()?.join(".cache")));
        let directory = old.or_else(|| Some(caches()?.join("debuginfod_client")))?;
        Some(Cache { directory })
    }

    /// Where it is; it need not be there yet.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, build_id: BuildId, kind: Kind) -> PathBuf {
        self.directory.join(build_id.to_string()).join(kind.as_str())
    }

    /// Whether a file is there, or is known not to be had.
    pub(super) fn look(&self, build_id: BuildId, kind: Kind) -> Cached {
        let path = self.path(build_id, kind);
        let Ok(facts) = fs::metadata(&path) else { return Cached::Unknown };
        match facts.len() {
            _ if !facts.is_file() => Cached::Unknown,
            0 => {
                let age = facts.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
                let is_young = age.is_none_or(|age| age <= self.miss());
                if is_young { Cached::Missed } else { Cached::Unknown }
            }
            _ => Cached::Here(path),
        }
    }

    fn miss(&self) -> Duration {
        let text = fs::read_to_string(self.directory.join("cache_miss_s")).unwrap_or_default();
        text.trim().parse().map_or(MISS, Duration::from_secs)
    }

    /// Notes that no server has a file.
    pub(super) fn miss_now(&self, build_id: BuildId, kind: Kind) {
        let path = self.path(build_id, kind);
        // One that is there is empty and old, or somebody else has put the file there now: then it stays.
        if fs::metadata(&path).is_ok_and(|facts| facts.is_file() && facts.len() == 0) {
            let _ = fs::remove_file(&path);
        }
        // That it is asked for again next time is all that happens if this fails.
        let _ = self
            .make_folder(build_id)
            .and_then(|()| File::options().write(true).create_new(true).mode(0o644).open(path));
    }

    fn make_folder(&self, build_id: BuildId) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.directory.join(build_id.to_string()))
    }

    /// Begins a file.
    ///
    /// # Errors
    /// If the cache cannot be written.
    pub(super) fn begin(&self, build_id: BuildId, kind: Kind) -> io::Result<Part> {
        self.make_folder(build_id)?;
        let path = self.path(build_id, kind);
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{:06x}", RandomState::new().build_hasher().finish() & 0xff_ffff));
        let beside = PathBuf::from(beside);
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&beside)?;
        Ok(Part { file, beside: Some(beside), path })
    }
}

/// A file of the cache that is on its way; it is gone if it is not kept.
#[derive(Debug)]
pub(super) struct Part {
    pub file: File,
    beside: Option<PathBuf>,
    path: PathBuf,
}

impl Part {
    /// Puts it in its place, as files of the cache are: nobody may write to them (elfutils PR27571).
    pub fn keep(mut self) -> io::Result<PathBuf> {
        self.file.set_permissions(Permissions::from_mode(0o400))?;
        let Some(beside) = self.beside.take() else { return Ok(self.path.clone()) };
        fs::rename(&beside, &self.path).inspect_err(|_| self.beside = Some(beside))?;
        Ok(self.path.clone())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
            // Nothing happens if something else is in it.
            let _ = beside.parent().map(fs::remove_dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn id() -> BuildId {
        BuildId::new(&[0xab, 0xcd, 1, 2]).unwrap()
    }

    #[test]
    fn place_follows_the_environment() {
        let home = tempfile::tempdir().unwrap();
        let check = |variables: &[(&str, &str)], expected: Option<&Path>| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            assert_eq!(Cache::of(&variable).as_ref().map(Cache::directory), expected);
        };
        let at = home.path().to_str().unwrap();
        check(&[("DEBUGINFOD_CACHE_PATH", "/x"), ("XDG_CACHE_HOME", "/y"), ("HOME", at)], Some(Path::new("/x")));
        check(&[("XDG_CACHE_HOME", "/y"), ("HOME", at)], Some(Path::new("/y/debuginfod_client")));
        check(&[("DEBUGINFOD_CACHE_PATH", ""), ("HOME", at)], Some(&home.path().join(".cache/debuginfod_client")));
        check(&[], None);
        fs::create_dir(home.path().join(".debuginfod_client_cache")).unwrap();
        check(&[("XDG_CACHE_HOME", "/y"), ("HOME", at)], Some(&home.path().join(".debuginfod_client_cache")));
    }

    #[test]
    fn file_is_there_once_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { directory: folder.path().join("new/cache") };
        assert_eq!(cache.look(id(), Kind::Debuginfo), Cached::Unknown);
        let mut part = cache.begin(id(), Kind::Debuginfo).unwrap();
        part.file.write_all(b"x").unwrap();
        assert_eq!(cache.look(id(), Kind::Debuginfo), Cached::Unknown);
        let place = part.keep().unwrap();
        assert_eq!(place, cache.directory().join("abcd0102/debuginfo"));
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o400);
        assert_eq!(cache.look(id(), Kind::Debuginfo), Cached::Here(place));
        drop(cache.begin(id(), Kind::Executable).unwrap());
        let names: Vec<_> = fs::read_dir(cache.directory().join("abcd0102")).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn miss_is_believed_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { directory: folder.path().to_owned() };
        cache.miss_now(id(), Kind::Debuginfo);
        assert_eq!(cache.look(id(), Kind::Debuginfo), Cached::Missed);
        assert_eq!(cache.look(id(), Kind::Executable), Cached::Unknown);
        let file = File::options().write(true).open(cache.path(id(), Kind::Debuginfo)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(100)).unwrap();
        fs::write(folder.path().join("cache_miss_s"), "200\n").unwrap();
        assert_eq!(cache.look(id(), Kind::Debuginfo), Cached::Missed);
        fs::write(folder.path().join("cache_miss_s"), "20").unwrap();
        assert_eq!(cache.look(id(), Kind::Debuginfo), Cached::Unknown);
        cache.miss_now(id(), Kind::Debuginfo);
        assert_eq!(cache.look(id(), Kind::Debuginfo), Cached::Missed);
    }
}
