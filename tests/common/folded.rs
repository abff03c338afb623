//! Reads folded stacks: `comm;main;...;leaf N`.

use std::collections::BTreeMap;

/// Frames that stand for what was not seen.
const MISSING: [&str; 2] = ["[not sampled]", "[kernel, not permitted]"];

/// One line of folded text.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The process's name, then frames, outermost first.
    pub frames: Vec<String>,
    /// Its weight.
    pub weight: u64,
}

impl Row {
    /// Whether a frame has this name, whatever its mark (`_[k]`, `_[i]`, `_[j]`).
    pub fn has(&self, name: &str) -> bool {
        self.frames.iter().skip(1).any(|frame| bare(frame) == name)
    }

    /// Whether it stands for what was not seen.
    pub fn is_missing(&self) -> bool {
        MISSING.iter().any(|missing| self.has(missing))
    }

    /// Whether a frame's name contains this text.
    pub fn mentions(&self, part: &str) -> bool {
        self.frames.iter().skip(1).any(|frame| frame.contains(part))
    }
}

/// Folded stacks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folded {
    /// Its lines.
    pub rows: Vec<Row>,
}

impl Folded {
    /// Parses folded text; a line that is no `frames WEIGHT` fails the test.
    pub fn parse(text: &str) -> Folded {
        let rows = text.lines().map(|line| {
            let (frames, weight) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no weight in folded line {line:?}"));
            let weight = weight.parse().unwrap_or_else(|_| panic!("no number at the end of folded line {line:?}"));
            let frames: Vec<String> = frames.split(';').map(str::to_owned).collect();
            assert!(frames.iter().all(|frame| !frame.is_empty()), "empty frame in folded line {line:?}");
            Row { frames, weight }
        });
        Folded { rows: rows.collect() }
    }

    /// The weight of rows that pass.
    pub fn weight(&self, mut pass: impl FnMut(&Row) -> bool) -> u64 {
        self.rows.iter().filter(|row| pass(row)).map(|row| row.weight).sum()
    }

    /// The weight of what was sampled.
    pub fn sampled(&self) -> u64 {
        self.weight(|row| !row.is_missing())
    }

    /// The weight of what is known to be missing: `[not sampled]` and `[kernel, not permitted]`.
    pub fn missing(&self) -> u64 {
        self.weight(Row::is_missing)
    }

    /// The weight of stacks with a frame of this name, callees included.
    pub fn total_of(&self, name: &str) -> u64 {
        self.weight(|row| row.has(name))
    }

    /// The share of what was sampled that has a frame of this name.
    pub fn share_of(&self, name: &str) -> f64 {
        self.total_of(name) as f64 / self.sampled().max(1) as f64
    }

    /// The heaviest rows that do not pass, for messages.
    pub fn counterexamples(&self, mut pass: impl FnMut(&Row) -> bool) -> String {
        let mut by_frames: BTreeMap<String, u64> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| !pass(row)) {
            *by_frames.entry(row.frames.join(";")).or_default() += row.weight;
        }
        let mut rows: Vec<_> = by_frames.into_iter().collect();
        rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        rows.iter().take(8).map(|(frames, weight)| format!("    {weight:6}  {frames}\n")).collect()
    }
}

/// A frame's name without its mark.
fn bare(frame: &str) -> &str {
    ["_[k]", "_[i]", "_[j]"].iter().find_map(|mark| frame.strip_suffix(mark)).unwrap_or(frame)
}

#[test]
fn folded_rows_are_read() {
    let folded = Folded::parse("a b;main;f (int, int);read_[k] 3\na b;[not sampled] 7\n");
    assert_eq!(folded.rows.len(), 2);
    assert_eq!((folded.sampled(), folded.missing()), (3, 7));
    assert_eq!((folded.total_of("read"), folded.total_of("main"), folded.total_of("a b")), (3, 3, 0));
    assert_eq!(folded.share_of("main"), 1.0);
    assert!(folded.counterexamples(|row| row.has("main")).contains("7  a b;[not sampled]"));
}
