//! Names of JIT code out of the dump that the JIT wrote, with lines where it wrote them.

use super::SymbolizeOptions;
use super::answers::Answers;
use crate::image::JitDump;
use crate::model::Unnamed;

/// Names offsets of a dump.
pub(super) fn name(dump: &JitDump, offsets: &[u64], options: &SymbolizeOptions) -> Answers {
    let mut answers = Answers::unnamed(offsets.len(), Unnamed::NoMatch);
    for (index, offset) in offsets.iter().enumerate() {
        let Some(found) = dump.line_at(*offset).filter(|found| !found.name.is_empty()) else { continue };
        let file = String::from_utf8_lossy(found.file);
        let place = (!file.is_empty()).then_some((&*file, found.line));
        answers.set_jit_name(index, found.name, place, options);
    }
    answers
}
