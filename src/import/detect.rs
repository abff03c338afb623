//! Which format an input has, by its first bytes.

use std::str::FromStr;

use super::source::Source;
use super::{bpftrace, by_inferno, folded, perf_script, pprof};
use crate::error::{Error, ErrorKind, Result};

/// A format that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// What `perf record`, simpleperf and `profile record` write.
    PerfData,
    /// The text of `perf script`.
    PerfScript,
    /// Folded stacks.
    Folded,
    /// pprof's protocol buffers, with or without gzip.
    Pprof,
    /// What bpftrace prints of maps with stacks.
    Bpftrace,
    /// DTrace's `ustack()` and `stack()` aggregations.
    Dtrace,
    /// macOS's `sample`.
    Sample,
    /// Intel VTune's report as comma-separated values.
    Vtune,
    /// Visual Studio's call tree as comma-separated values.
    VsProf,
    /// `xctrace export` of a time profile.
    Xctrace,
    /// GHC's `.prof`.
    GhcProf,
}

impl Kind {
    /// All formats.
    pub const ALL: [Kind; 11] = [
        Kind::PerfData,
        Kind::PerfScript,
        Kind::Folded,
        Kind::Pprof,
        Kind::Bpftrace,
        Kind::Dtrace,
        Kind::Sample,
        Kind::Vtune,
        Kind::VsProf,
        Kind::Xctrace,
        Kind::GhcProf,
    ];

    /// Its name, as `--from` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::PerfData => "perf-data",
            Kind::PerfScript => "perf-script",
            Kind::Folded => "folded",
            Kind::Pprof => "pprof",
            Kind::Bpftrace => "bpftrace",
            Kind::Dtrace => "dtrace",
            Kind::Sample => "sample",
            Kind::Vtune => "vtune",
            Kind::VsProf => "vsprof",
            Kind::Xctrace => "xctrace",
            Kind::GhcProf => "ghcprof",
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

/// The format of `source`. Formats with a mark of their own are asked first, folded stacks, which have none, last.
pub(super) fn detect(source: &Source) -> Result<Kind> {
    let head = source.head.as_slice();
    let is_folder = source.path.as_ref().is_some_and(|path| path.is_dir());
    if is_folder || PERF_MAGICS.iter().any(|magic| head.starts_with(magic)) {
        return Ok(Kind::PerfData);
    }
    // Text that is cut in the middle of a character is text.
    let text = match std::str::from_utf8(head) {
        Err(error) if head.len() - error.valid_up_to() < 4 => &head[..error.valid_up_to()],
        _ => head,
    };
    if pprof::is_applicable(head) {
        return Ok(Kind::Pprof);
    }
    if bpftrace::is_applicable(head) {
        return Ok(Kind::Bpftrace);
    }
    if let Some(kind) = by_inferno::detect(text) {
        return Ok(kind);
    }
    if perf_script::is_applicable(head) {
        return Ok(Kind::PerfScript);
    }
    if folded::is_applicable(head, source.is_whole) {
        return Ok(Kind::Folded);
    }
    let what = if head.is_empty() { "is empty" } else { "has no format that is known here" };
    Err(Error::new(ErrorKind::Malformed, format!("{} {what}", source.name))
        .with_hint(format!("if you know its format, name it: --from {}", names().replace(", ", "|"))))
}
