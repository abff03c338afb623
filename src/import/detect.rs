//! Which format an input has, by its first bytes.

use std::str::FromStr;

use super::perf_script;
use super::source::Source;
use crate::error::{Error, ErrorKind, Result};

/// A format that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// What `perf record`, simpleperf and `profile record` write.
    PerfData,
    /// The text of `perf script`.
    PerfScript,
}

impl Kind {
    /// All formats.
    pub const ALL: [Kind; 2] = [Kind::PerfData, Kind::PerfScript];

    /// Its name, as `--from` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::PerfData => "perf-data",
            Kind::PerfScript => "perf-script",
        }
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("{name} is no format that can be read")).with_hint(names())
        })
    }
}

fn names() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

/// First bytes of perf.data, version 2 and 1, in both byte orders: `tools/perf/util/header.c`, `__perf_magic*`.
const PERF_MAGICS: [&[u8]; 4] = [b"PERFILE2", b"2ELIFREP", b"PERFFILE", b"ELIFFREP"];

/// The format of `source`.
pub(super) fn detect(source: &Source) -> Result<Kind> {
    let head = source.head.as_slice();
    let is_folder = source.path.as_ref().is_some_and(|path| path.is_dir());
    if is_folder || PERF_MAGICS.iter().any(|magic| head.starts_with(magic)) {
        return Ok(Kind::PerfData);
    }
    if perf_script::is_applicable(head) {
        return Ok(Kind::PerfScript);
    }
    let what = if head.is_empty() { "is empty" } else { "has no format that is known here" };
    Err(Error::new(ErrorKind::Malformed, format!("{} {what}", source.name))
        .with_hint(format!("if you know its format, name it: --from {}", names().replace(", ", "|"))))
}
