//! Names of JIT code out of the dump that the JIT wrote, with lines where it wrote them.

use super::SymbolizeOptions;
use super::answers::{AnswerLine, Answers};
use crate::image::JitDump;
use crate::model::Unnamed;

/// Names offsets of a dump.
pub(super) fn name(dump: &JitDump, offsets: &[u64], options: &SymbolizeOptions) -> Answers {
    let mut answers = Answers::unnamed(offsets.len(), Unnamed::NoMatch);
    for (index, offset) in offsets.iter().enumerate() {
        let Some(found) = dump.line_at(*offset).filter(|found| !found.name.is_empty()) else { continue };
        let name = answers.name(found.name, None);
        let (file, line) = match options.lines {
            true => (answers.file(&String::from_utf8_lossy(found.file)), found.line),
            false => (0, 0),
        };
        answers.set_lines(index, &[AnswerLine { name, file, line }]);
    }
    answers
}
