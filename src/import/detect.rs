//! Which format an input has, by its first bytes.

use super::kind::{self, Kind};
use super::source::Source;
use super::{bpftrace, by_inferno, folded, perf_script, picture, pprof};
use crate::error::{Error, ErrorKind, Result};

/// First bytes of perf.data, version 2 in both byte orders and version 1: `tools/perf/util/header.c`, `__perf_magic*`.
const PERF_MAGICS: [&[u8]; 3] = [b"PERFILE2", b"2ELIFREP", b"PERFFILE"];

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
    if picture::is_applicable(head) {
        return Ok(Kind::Picture);
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
        .with_hint(format!("if you know its format, name it: --from {}", kind::names().replace(", ", "|"))))
}
