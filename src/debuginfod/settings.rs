//! Whom to ask, for how long, and how much.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::cache::Cache;
use crate::error::{Error, ErrorKind, Result};

/// Whom to ask, for how long, and how much; the limits are those of `debuginfod_find_debuginfo(3)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The servers' addresses (`http://` or `https://`), asked one after the other.
    pub servers: Vec<String>,
    /// A server is given up if it sends less than 100 KiB in so long (`DEBUGINFOD_TIMEOUT`, seconds); `None` waits for ever.
    pub timeout: Option<Duration>,
    /// How long one file may take (`DEBUGINFOD_MAXTIME`, seconds).
    pub max_time: Option<Duration>,
    /// How large one file may be in bytes (`DEBUGINFOD_MAXSIZE`).
    pub max_size: Option<u64>,
    /// How many bytes are fetched in all.
    pub max_total: u64,
    /// Where files are kept.
    pub cache: Cache,
}

/// `default_timeout` of elfutils' debuginfod-client.c.
const TIMEOUT: Duration = Duration::from_secs(90);
/// As much as is fetched for one picture, unless one file may be larger.
const MOST_BYTES: u64 = 1 << 30;
/// Where distributions write down their servers (elfutils' profile.d scripts read them too).
const SYSTEM: &str = "/etc/debuginfod";

impl Settings {
    /// The servers of `given` (separated by spaces), else of `DEBUGINFOD_URLS`, else of `/etc/debuginfod/*.urls`; limits and the
    /// cache as the environment says.
    ///
    /// # Errors
    /// If no server is named, or one that is no address; if this program was built without HTTP.
    pub fn from_environment(given: &str) -> Result<Settings> {
        if !cfg!(feature = "debuginfod") {
            return Err(Error::new(ErrorKind::Unsupported, "this program was built without debuginfod").with_hint(
                "build it with the cargo feature `debuginfod`; debug files that are here are used all the same",
            ));
        }
        Settings::read(given, &|name| std::env::var_os(name), Path::new(SYSTEM))
    }

    fn read(given: &str, variable: &dyn Fn(&str) -> Option<OsString>, system: &Path) -> Result<Settings> {
        let text = |name: &str| variable(name).unwrap_or_default().to_string_lossy().into_owned();
        let mut servers = servers_of(given);
        if let Some(wrong) = given.split_whitespace().find(|word| !is_address(word)) {
            return Err(Error::new(ErrorKind::Usage, format!("{wrong} is no address of a debuginfod server"))
                .with_hint("--debuginfod=https://debuginfod.elfutils.org, several in quotes, separated by spaces"));
        }
        if servers.is_empty() {
            servers = servers_of(&text("DEBUGINFOD_URLS"));
        }
        if servers.is_empty() {
            servers = servers_of(&system_urls(system));
        }
        if servers.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "no debuginfod server is named").with_hint(
                "name one: --debuginfod=https://debuginfod.elfutils.org, or the distribution's own; or set DEBUGINFOD_URLS. \
                 It is told the build ids of the programs and libraries that were sampled",
            ));
        }
        let cache = Cache::of(variable).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no place for what debuginfod servers send")
                .with_hint("set DEBUGINFOD_CACHE_PATH, or HOME")
        })?;
        let seconds = |name: &str| Some(number(&text(name))).filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let max_size = Some(number(&text("DEBUGINFOD_MAXSIZE"))).filter(|bytes| *bytes > 0);
        Ok(Settings {
            servers,
            timeout: if text("DEBUGINFOD_TIMEOUT").is_empty() { Some(TIMEOUT) } else { seconds("DEBUGINFOD_TIMEOUT") },
            max_time: seconds("DEBUGINFOD_MAXTIME"),
            max_size,
            max_total: MOST_BYTES.max(max_size.unwrap_or(0)),
            cache,
        })
    }
}

/// The addresses in a text, each once. Other words are passed over: newer elfutils have `ima:` words there, and `file:` ones.
fn servers_of(text: &str) -> Vec<String> {
    let mut servers: Vec<String> = Vec::new();
    for word in text.split_whitespace().filter(|word| is_address(word)) {
        let server = word.trim_end_matches('/').to_owned();
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

fn is_address(word: &str) -> bool {
    let host = ["http://", "https://"].iter().find_map(|scheme| word.strip_prefix(scheme));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/') && !word.contains(['?', '#']))
}

/// What the files of a distribution say, in order of their names.
fn system_urls(directory: &Path) -> String {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "urls")).collect();
    files.sort();
    let texts: Vec<String> = files.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    texts.join("\n")
}

/// The number that a text begins with, as `atol` reads it; 0 if there is none, or if it is negative.
fn number(text: &str) -> u64 {
    let text = text.trim_start().trim_start_matches('+');
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &str, variables: &[(&str, &str)], system: &Path) -> Result<Settings> {
        let variable = |name: &str| {
            let home = [("HOME", "/nowhere")];
            let found = variables.iter().chain(&home).find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Settings::read(given, &variable, system)
    }

    #[test]
    fn servers_are_those_that_are_named() {
        let system = tempfile::tempdir().unwrap();
        let check = |given: &str, variables: &[(&str, &str)], expected: &[&str]| {
            assert_eq!(read(given, variables, system.path()).unwrap().servers, expected);
        };
        let urls = ("DEBUGINFOD_URLS", " https://a.example/ ima:enforcing\thttps://b.example  https://a.example");
        check("", &[urls], &["https://a.example", "https://b.example"]);
        check("http://c.example:8002 https://d.example/x/", &[urls], &["http://c.example:8002", "https://d.example/x"]);
        for nobody in ["", "file:///srv", "ima:enforcing", "https://", "debuginfod.example"] {
            let error = read("", &[("DEBUGINFOD_URLS", nobody)], system.path()).unwrap_err();
            assert_eq!(error.to_string(), "no debuginfod server is named");
        }
        assert!(read("debuginfod.example", &[urls], system.path()).is_err());
        fs::write(system.path().join("own.urls"), "https://e.example\n").unwrap();
        fs::write(system.path().join("own.certpath"), "https://f.example\n").unwrap();
        check("", &[], &["https://e.example"]);
        check("", &[urls], &["https://a.example", "https://b.example"]);
    }

    #[test]
    fn limits_are_those_of_the_environment() {
        let nowhere = Path::new("/nowhere");
        let limits = |variables: &[(&str, &str)]| {
            let settings = read("http://a.example", variables, nowhere).unwrap();
            (settings.timeout, settings.max_time, settings.max_size, settings.max_total)
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(limits(&[]), (seconds(90), None, None, MOST_BYTES));
        let set = [("DEBUGINFOD_TIMEOUT", "5"), ("DEBUGINFOD_MAXTIME", "60s"), ("DEBUGINFOD_MAXSIZE", "3000000000")];
        assert_eq!(limits(&set), (seconds(5), seconds(60), Some(3_000_000_000), 3_000_000_000));
        let off = [("DEBUGINFOD_TIMEOUT", "0"), ("DEBUGINFOD_MAXTIME", "-1"), ("DEBUGINFOD_MAXSIZE", "none")];
        assert_eq!(limits(&off), (None, None, None, MOST_BYTES));
    }

    #[cfg(not(feature = "debuginfod"))]
    #[test]
    fn build_without_http_says_so() {
        let error = Settings::from_environment("http://a.example").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
