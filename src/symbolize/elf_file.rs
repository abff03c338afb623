//! Names in one ELF file: which of its sources is believed.
//!
//! Debug information knows most: inlined functions, files, lines. Symbols name what it does not: assembly, and code of
//! files without it. For the outer function of C++ without a linkage name (constructors, as gcc describes them) the
//! symbol is better too, as it says of which class. What neither names gets the start of its function, by unwind
//! information.

use rustc_hash::FxHashMap;

use super::SymbolizeOptions;
use super::answers::{AnswerLine, Answers};
use super::debug_info::DebugSections;
use super::debug_lookup::{DebugFrame, Looked, Wanted};
use super::demangle::is_mangled;
use super::elf_symbols::{self, Symbols};
use super::unlisted::Unlisted;
use crate::image::{DebugFiles, ElfImage, function_starts};
use crate::model::{Place, Unnamed};

/// A file that is asked, and one that may know more of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'a> {
    /// The file whose offsets are asked for.
    pub image: &'a ElfImage,
    /// What is known of the same program beside it.
    pub debug: &'a DebugFiles,
}

impl<'a> Files<'a> {
    /// The file with debug information, if any is asked for.
    fn with_debug_info(&self, options: &SymbolizeOptions) -> Option<&'a ElfImage> {
        let mut files = [Some(self.image), self.debug.separate.as_deref()].into_iter().flatten();
        files.find(|file| (options.inlines || options.lines) && file.has_debug_info())
    }

    /// Whether naming addresses takes more than a look into a symbol table.
    pub fn are_slow(&self, options: &SymbolizeOptions) -> bool {
        self.with_debug_info(options).is_some()
    }
}

/// Names offsets of a file, which are sorted, on up to so many threads.
pub(super) fn name(files: &Files<'_>, offsets: &[u64], options: &SymbolizeOptions, threads: usize) -> Answers {
    let mut answers = Answers::unnamed(offsets.len(), Unnamed::NoMatch);
    let mut asked: Vec<(u64, usize)> = (offsets.iter().enumerate())
        .filter_map(|(index, offset)| Some((files.image.svma_of_offset(*offset)?, index)))
        .collect();
    asked.sort_unstable();
    name_svmas(files, &asked, options, threads, &mut answers);
    answers
}

/// Names addresses that a file states, sorted, each with its row in the answers.
pub(super) fn name_svmas(
    files: &Files<'_>,
    asked: &[(u64, usize)],
    options: &SymbolizeOptions,
    threads: usize,
    answers: &mut Answers,
) {
    let image = files.image;
    let svmas: Vec<u64> = asked.iter().map(|(svma, _)| *svma).collect();
    // The table that stayed in the program is of what others link to; the others have its own functions too.
    let tables = [files.debug.separate.as_deref(), Some(image), files.debug.mini.as_deref()];
    let tables: Vec<&[u8]> = tables.into_iter().flatten().map(|file| file.data()).collect();
    let mut symbols = elf_symbols::find(&tables, &svmas);
    forget_ended(image, &svmas, &mut symbols);
    let sections = files.with_debug_info(options).map(|file| DebugSections::load(file, files.debug));
    let wanted = Wanted { lines: options.lines };
    let debug_info = sections.as_ref().map(|sections| sections.look_up(&svmas, wanted, threads));
    let unnamed = match (symbols.any, &debug_info, image.was_cut()) {
        (_, _, true) => Unnamed::FileChanged,
        (_, None, false) if files.debug.denied => Unnamed::Permission,
        (false, None, false) => Unnamed::NoSymbols,
        _ => Unnamed::NoMatch,
    };
    let mut unlisted = Unlisted::of(image);
    answers.without_split += debug_info.as_ref().map_or(0, Looked::without_split);
    let is_lost = sections.as_ref().is_some_and(DebugSections::has_no_units);
    answers.damaged += debug_info.as_ref().map_or(0, Looked::damaged).max(usize::from(is_lost));
    let (mut frames, mut lines, mut nameless) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = Rows::default();
    for (row, ((svma, index), symbol)) in asked.iter().copied().zip(&symbols.names).enumerate() {
        frames.clear();
        if let Some(debug_info) = &debug_info {
            debug_info.frames(row, &mut frames);
        }
        if frames.is_empty() && unlisted.name(svma, options, answers, index) {
            continue;
        }
        believe(&mut frames, *symbol);
        if !options.inlines && frames.len() > 1 {
            frames.drain(..frames.len() - 1);
        }
        lines.clear();
        lines.extend(frames.iter().filter_map(|frame| rows.line(frame, &unlisted, answers)));
        answers.set_lines(index, &lines);
        if lines.is_empty() {
            nameless.push((svma, index));
        }
    }
    let svmas: Vec<u64> = nameless.iter().map(|(svma, _)| *svma).collect();
    for ((svma, index), start) in nameless.into_iter().zip(function_starts(image, &svmas)) {
        answers.set_nameless(index, unnamed, start.map_or(Place::Address(svma), Place::Function));
    }
}

/// Takes the names back of symbols without a size where unwind information says that another function began since: a
/// label of assembly, or one of few exported symbols, does not name the functions without a symbol that follow it.
fn forget_ended(image: &ElfImage, svmas: &[u64], symbols: &mut Symbols<'_>) {
    let rows: Vec<usize> = (0..svmas.len()).filter(|row| symbols.unsized_starts[*row].is_some()).collect();
    let asked: Vec<u64> = rows.iter().map(|row| svmas[*row]).collect();
    for (row, start) in rows.into_iter().zip(function_starts(image, &asked)) {
        if start > symbols.unsized_starts[row] {
            symbols.names[row] = None;
        }
    }
}

/// The rows that names and files have in the answers, by those that they have in what was looked up.
#[derive(Default)]
struct Rows {
    names: FxHashMap<(u32, u32), u32>,
    files: FxHashMap<(u32, u32), u32>,
}

impl Rows {
    fn line(&mut self, frame: &DebugFrame<'_>, unlisted: &Unlisted<'_>, answers: &mut Answers) -> Option<AnswerLine> {
        let raw = frame.name?;
        let mut of_name = || answers.name(raw, unlisted.shown(raw));
        let name = match frame.name_row {
            Some(row) => *self.names.entry(row).or_insert_with(of_name),
            None => of_name(),
        };
        let file = match frame.file_row {
            Some(row) => *self.files.entry(row).or_insert_with(|| answers.file(frame.file)),
            None => 0,
        };
        Some(AnswerLine { name, file, line: frame.line })
    }
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
            (outer.name, outer.name_row) = (Some(symbol), None);
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frames: &[Option<&str>], symbol: Option<&str>, expected: &[Option<&str>]) {
        let frame = |name: &Option<&'static str>| DebugFrame {
            name: name.map(str::as_bytes),
            file: "f",
            line: 1,
            ..DebugFrame::default()
        };
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

    #[test]
    fn corrupt_files_are_survived() {
        // A program of our own with debug information, compiled small, or this test itself would be changed for minutes.
        let directory = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/symbolize/names.c");
        for kind in ["-gdwarf-4", "-gdwarf-5", "-gz=zlib"] {
            let program = directory.path().join("program");
            let compiled =
                std::process::Command::new("cc").args(["-g", "-O2", kind, source, "-o"]).arg(&program).status();
            if !compiled.is_ok_and(|status| status.success()) {
                crate::skip::here(&format!("cc {kind} does not work here"));
                continue;
            }
            survive_corruption(&std::fs::read(&program).unwrap());
        }
    }

    fn survive_corruption(good: &[u8]) {
        let image = ElfImage::from_bytes(good).unwrap();
        let text = image.section(".text").unwrap();
        let offsets: Vec<u64> = (text.file_offset..text.file_offset + text.size).step_by(5).collect();
        let whole =
            name(&Files { image: &image, debug: &DebugFiles::default() }, &offsets, &SymbolizeOptions::default(), 2);
        assert!(whole.answers().filter(Result::is_ok).count() * 2 > offsets.len());
        let sections: Vec<_> = [".debug_info", ".debug_abbrev", ".debug_line", ".debug_rnglists", ".symtab", ".strtab"]
            .iter()
            .filter_map(|name| image.section(name))
            .filter(|section| section.size > 0)
            .collect();
        let mut random = 1u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for round in 0..2000 {
            let mut changed = good.to_vec();
            for _ in 0..=next(6) {
                // Half of the changes where they tell: in what names are read from, and in the headers.
                let at = match next(4) {
                    0 => next(good.len() as u64),
                    1 => (good.len() as u64 - 1) - next(2500),
                    _ => {
                        let section = sections[next(sections.len() as u64) as usize];
                        section.file_offset + next(section.size)
                    }
                };
                changed[at as usize] = next(256) as u8;
            }
            if round % 8 == 0 {
                changed.truncate(next(good.len() as u64) as usize);
            }
            let started = std::time::Instant::now();
            if let Some(image) = ElfImage::from_bytes(changed) {
                let answers = name(
                    &Files { image: &image, debug: &DebugFiles::default() },
                    &offsets,
                    &SymbolizeOptions::default(),
                    1,
                );
                assert_eq!(answers.answers().count(), offsets.len());
                answers.names().for_each(|name| drop(crate::symbolize::demangle::demangle(&name.raw, false)));
            }
            assert!(started.elapsed().as_secs() < 5, "round {round}");
        }
    }
}
