//! Names of code that neither symbols nor debug information list: functions of Go by Go's own table, and stubs of a PLT.

use super::SymbolizeOptions;
use super::answers::{AnswerLine, Answers};
use super::plt::Stubs;
use crate::image::{ElfImage, GoSources};

/// What else knows names in one file.
pub(super) struct Unlisted<'a> {
    go: Option<GoSources<'a>>,
    stubs: Stubs<'a>,
}

impl<'a> Unlisted<'a> {
    /// Of a file.
    pub fn of(image: &'a ElfImage) -> Unlisted<'a> {
        Unlisted { go: image.go_table().map(|table| table.sources(image)), stubs: Stubs::of(image) }
    }

    /// Names an address that the file states, if it can: innermost function first.
    pub fn name(&mut self, svma: u64, options: &SymbolizeOptions, answers: &mut Answers, index: usize) -> bool {
        if let Some(go) = &mut self.go {
            let mut lines: Vec<AnswerLine> = Vec::new();
            for source in go.at(svma, options.inlines) {
                let name = answers.name(source.function.as_bytes(), shown_in_go(source.function.as_bytes()));
                let (file, line) = if options.lines { (answers.file(source.file), source.line) } else { (0, 0) };
                lines.push(AnswerLine { name, file, line });
            }
            answers.set_lines(index, &lines);
            if !lines.is_empty() {
                return true;
            }
        }
        match self.stubs.name(svma) {
            Some(name) => {
                answers.set_name(index, &name, None);
                true
            }
            None => false,
        }
    }

    /// How a name of this file is shown, if that does not follow from the name: `main.cold` is a function `cold` in Go, and
    /// a part of `main` elsewhere.
    pub fn shown<'n>(&self, raw: &'n [u8]) -> Option<&'n str> {
        if self.go.is_some() { shown_in_go(raw) } else { None }
    }
}

fn shown_in_go(raw: &[u8]) -> Option<&str> {
    if raw.ends_with(b".cold") { std::str::from_utf8(raw).ok() } else { None }
}
