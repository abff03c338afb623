//! The recordings of `perf record` and of programs that write the same format.

use super::ImportOptions;
use super::source::{Meter, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Profile;

/// Reads a recording: a file, a folder of `perf record --threads`, or a stream.
///
/// Applies `options.filter` itself, before frames are named; `model::merge`, `--event` and the summary come after.
pub(super) fn read(source: Source, _options: &ImportOptions, _meter: &Meter) -> Result<Profile> {
    Err(Error::new(ErrorKind::Unsupported, format!("cannot read {}: perf.data is not read yet", source.name))
        .with_hint("perf script -i FILE | profile import -"))
}
