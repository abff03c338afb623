//! What one image answers to the addresses asked of it, with its own small tables.
//!
//! It knows nothing of the profile, so that images can be asked at the same time.

use rustc_hash::FxHashMap;

use super::{SymbolizeOptions, jit_names};
use crate::model::{Place, Unnamed};

/// A function's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    /// As the image has it.
    pub raw: Box<[u8]>,
    /// As it is shown, if that does not follow from the raw name.
    pub shown: Option<Box<str>>,
}

/// One function at one line, as rows of the answers' tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnswerLine {
    pub name: u32,
    /// Row 0 is the empty path: not known.
    pub file: u32,
    pub line: u32,
}

/// Why an address has no name, and what stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nameless {
    pub reason: Unnamed,
    pub place: Place,
}

/// The answers to a list of addresses, in its order.
#[derive(Debug, Default)]
pub(super) struct Answers {
    names: Table<Name>,
    files: Table<Box<str>>,
    lines: Vec<AnswerLine>,
    /// How many addresses are in units whose functions are in a file that was not found (`.dwo`).
    pub without_split: usize,
    /// How many units of debug information could not be read to the end.
    pub damaged: usize,
    answers: Vec<Result<(usize, usize), Nameless>>,
}

#[derive(Debug)]
struct Table<T> {
    rows: Vec<T>,
    by_bytes: FxHashMap<Box<[u8]>, u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { rows: Vec::new(), by_bytes: FxHashMap::default() }
    }
}

impl<T> Table<T> {
    fn row(&mut self, bytes: &[u8], make: impl FnOnce() -> T) -> u32 {
        if let Some(row) = self.by_bytes.get(bytes) {
            return *row;
        }
        let row = u32::try_from(self.rows.len()).expect("fewer names than addresses, which are rows of a table");
        self.rows.push(make());
        self.by_bytes.insert(bytes.into(), row);
        row
    }
}

impl Answers {
    /// No answers yet to `count` addresses: each is unnamed for `reason`.
    pub fn unnamed(count: usize, reason: Unnamed) -> Answers {
        let nameless = Nameless { reason, place: Place::Offset };
        let mut answers = Answers { answers: vec![Err(nameless); count], ..Answers::default() };
        answers.files.row(b"", || "".into());
        answers
    }

    /// Says why address `index` has no name; all that is known of it is that.
    pub fn set_reason(&mut self, index: usize, reason: Unnamed) {
        self.set_nameless(index, reason, Place::Offset);
    }

    /// Says why address `index` has no name, and where it is.
    pub fn set_nameless(&mut self, index: usize, reason: Unnamed, place: Place) {
        self.answers[index] = Err(Nameless { reason, place });
    }

    /// The same answers as those to `count` addresses, of which only those of `rows` were asked.
    pub fn spread(mut self, rows: &[usize], count: usize) -> Answers {
        let nameless = Nameless { reason: Unnamed::NoMatch, place: Place::Offset };
        let answers = std::mem::replace(&mut self.answers, vec![Err(nameless); count]);
        rows.iter().zip(answers).for_each(|(row, answer)| self.answers[*row] = answer);
        self
    }

    /// Takes back where unnamed addresses are.
    pub fn forget_places(&mut self) {
        let unnamed = self.answers.iter_mut().filter_map(|answer| answer.as_mut().err());
        unnamed.for_each(|nameless| nameless.place = Place::Offset);
    }

    /// Gives the lines of address `index`, innermost first; none leave it unnamed.
    pub fn set_lines(&mut self, index: usize, lines: &[AnswerLine]) {
        if !lines.is_empty() {
            self.answers[index] = Ok((self.lines.len(), lines.len()));
            self.lines.extend_from_slice(lines);
        }
    }

    /// Gives the single name of address `index`, without a place in the source.
    pub fn set_name(&mut self, index: usize, raw: &[u8], shown: Option<&str>) {
        let name = self.name(raw, shown);
        self.set_lines(index, &[AnswerLine { name, file: 0, line: 0 }]);
    }

    /// Gives the name that a runtime has given to the code of its own at address `index`, and the place in the source that it
    /// tells, unless that is known better.
    pub fn set_jit_name(&mut self, index: usize, raw: &[u8], place: Option<(&str, u32)>, options: &SymbolizeOptions) {
        let tidy = jit_names::tidy(raw).filter(|_| options.demangle);
        let shown = tidy.as_ref().filter(|_| !options.full_names).map(|tidy| &*tidy.shown);
        let name = self.name(raw, shown);
        let place = place.or_else(|| tidy.as_ref().map(|tidy| (tidy.file, tidy.line)));
        let (file, line) = place.filter(|_| options.lines).map_or((0, 0), |(file, line)| (self.file(file), line));
        self.set_lines(index, &[AnswerLine { name, file, line }]);
    }

    /// Whether address `index` has a name.
    pub fn is_named(&self, index: usize) -> bool {
        self.answers[index].is_ok()
    }

    /// The row of a name; a raw name is always shown in one way.
    pub fn name(&mut self, raw: &[u8], shown: Option<&str>) -> u32 {
        match shown {
            None => self.names.row(raw, || Name { raw: raw.into(), shown: None }),
            Some(shown) => {
                let both = [shown.as_bytes(), b"\0", raw].concat();
                self.names.row(&both, || Name { raw: raw.into(), shown: Some(shown.into()) })
            }
        }
    }

    /// The row of a path.
    pub fn file(&mut self, path: &str) -> u32 {
        self.files.row(path.as_bytes(), || path.into())
    }

    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.rows.iter()
    }

    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.rows.iter().map(AsRef::as_ref)
    }

    pub fn answers(&self) -> impl Iterator<Item = Result<&[AnswerLine], Nameless>> {
        self.answers.iter().map(|answer| answer.map(|(first, count)| &self.lines[first..first + count]))
    }
}
