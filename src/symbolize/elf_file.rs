//! Names in one ELF file: which of its sources is believed.
//!
//! Debug information knows most: inlined functions, files, lines. Symbols name what it does not: assembly, and code of
//! files without it. For the outer function of C++ without a linkage name (constructors, as gcc describes them) the
//! symbol is better too, as it says of which class.

use super::answers::{AnswerLine, Answers};
use super::debug_info::{self, DebugFrame, DebugSections};
use super::demangle::is_mangled;
use super::{SymbolizeOptions, elf_symbols};
use crate::image::ElfImage;
use crate::model::Unnamed;

/// Whether naming addresses in this file takes more than a look into its symbol table.
pub(super) fn is_slow(image: &ElfImage, options: &SymbolizeOptions) -> bool {
    (options.inlines || options.lines) && debug_info::is_in(image)
}

/// Names offsets of a file, which are sorted.
pub(super) fn name(image: &ElfImage, offsets: &[u64], options: &SymbolizeOptions) -> Answers {
    let mut answers = Answers::unnamed(offsets.len(), Unnamed::NoMatch);
    let mut asked: Vec<(u64, usize)> = (offsets.iter().enumerate())
        .filter_map(|(index, offset)| Some((image.svma_of_offset(*offset)?, index)))
        .collect();
    asked.sort_unstable();
    let svmas: Vec<u64> = asked.iter().map(|(svma, _)| *svma).collect();
    let symbols = elf_symbols::find(image.data(), &svmas);
    let sections = is_slow(image, options).then(|| DebugSections::load(image));
    let debug_info = sections.as_ref().and_then(DebugSections::reader);
    let unnamed = match (symbols.any, &debug_info, image.was_cut()) {
        (_, _, true) => Unnamed::FileChanged,
        (false, None, false) => Unnamed::NoSymbols,
        _ => Unnamed::NoMatch,
    };
    let (mut frames, mut lines) = (Vec::new(), Vec::new());
    for ((svma, index), symbol) in asked.into_iter().zip(&symbols.names) {
        if let Some(debug_info) = &debug_info {
            debug_info.frames(svma, &mut frames);
        }
        believe(&mut frames, *symbol);
        if !options.inlines && frames.len() > 1 {
            frames.drain(..frames.len() - 1);
        }
        lines.clear();
        for frame in &frames {
            let Some(name) = frame.name else { continue };
            let name = answers.name(name, None);
            let (file, line) = if options.lines { (answers.file(frame.file), frame.line) } else { (0, 0) };
            lines.push(AnswerLine { name, file, line });
        }
        answers.set_reason(index, unnamed);
        answers.set_lines(index, &lines);
    }
    answers
}

/// Completes what debug information says of an address, innermost first, by what the symbol table says.
fn believe<'a>(frames: &mut Vec<DebugFrame<'a>>, symbol: Option<&'a [u8]>) {
    let Some(symbol) = symbol else {
        // Callers below an unnamed outer function would be drawn as if it were not there.
        if frames.last().is_some_and(|outer| outer.name.is_none()) {
            frames.clear();
        }
        return;
    };
    match frames.last_mut() {
        None => frames.push(DebugFrame { name: Some(symbol), ..DebugFrame::default() }),
        Some(outer) if outer.name.is_none_or(|name| !is_mangled(name) && is_mangled(symbol)) => {
            outer.name = Some(symbol);
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frames: &[Option<&str>], symbol: Option<&str>, expected: &[Option<&str>]) {
        let frame = |name: &Option<&'static str>| DebugFrame { name: name.map(str::as_bytes), file: "f", line: 1 };
        // The names of tests live as long as the program.
        let leak = |name: &Option<&str>| name.map(|name| &*name.to_owned().leak());
        let mut frames: Vec<_> = frames.iter().map(|name| frame(&leak(name))).collect();
        believe(&mut frames, leak(&symbol).map(str::as_bytes));
        let names: Vec<_> =
            frames.iter().map(|frame| frame.name.map(|name| std::str::from_utf8(name).unwrap())).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn symbol_names_what_debug_information_does_not() {
        check(&[], Some("memcpy"), &[Some("memcpy")]);
        check(&[None], Some("memcpy"), &[Some("memcpy")]);
        check(&[None], None, &[]);
        check(&[Some("inlined"), None], None, &[]);
    }

    #[test]
    fn debug_information_is_believed_unless_less_is_known() {
        check(&[Some("a"), Some("main")], Some("main_alias"), &[Some("a"), Some("main")]);
        check(&[Some("a"), Some("Thing")], Some("_ZN5ThingC1Ev"), &[Some("a"), Some("_ZN5ThingC1Ev")]);
        check(&[Some("_Z3foov")], Some("_Z3foov.cold"), &[Some("_Z3foov")]);
    }
}
