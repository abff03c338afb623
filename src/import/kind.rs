//! The formats that can be imported.

use std::str::FromStr;

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
    /// SVG and HTML pictures of this program.
    Picture,
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
    pub const ALL: [Kind; 12] = [
        Kind::PerfData,
        Kind::PerfScript,
        Kind::Folded,
        Kind::Picture,
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
            Kind::Picture => "picture",
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

/// All names, with commas between.
pub(super) fn names() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}
