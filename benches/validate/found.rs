//! What a gate says of a comparison, as far as the validation judges it.

use flameprofile::gate::{Comparison, Fate, Outcome, Part};

use super::pool::Run;

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fails.
    Regression,
    /// It passes.
    NoChange,
    /// Nothing can be said.
    Inconclusive,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The verdict.
    pub verdict: Verdict,
    /// What was called a regression, most costly cause first, before any cap of the verdict; empty for everything together.
    pub gated: Vec<String>,
    /// What was shown as moved: where it went and where it was.
    pub moved: Vec<String>,
    /// What was shown as renamed, old and new.
    pub renamed: Vec<(String, String)>,
    /// Names that are on one side only.
    pub one_sided: Vec<String>,
    /// Whether the order of the runs was complained of.
    pub is_order_seen: bool,
    /// The 95 % intervals of all relative changes.
    pub intervals: Vec<[f64; 2]>,
    /// For each function the smallest relative rise of its own cost that would be seen in four of five comparisons.
    pub visible: Vec<(String, f64)>,
}

impl Found {
    /// What our gate found.
    pub fn of(comparison: &Comparison) -> Found {
        let name = |row: &flameprofile::gate::Row| row.function.name.clone();
        let rows = || std::iter::once(&comparison.total).chain(&comparison.rows);
        let own = || comparison.rows.iter().filter(|row| row.part == Part::Own);
        let regressions = rows().filter(|row| row.fate == Fate::Regression);
        // Both ends, as a word each: a name is looked for in it.
        let moved = comparison.moved.iter().map(|moved| format!("{} {}", moved.to, moved.from.join(" ")));
        Found {
            verdict: match comparison.verdict.outcome {
                Outcome::Regression => Verdict::Regression,
                Outcome::NoChange => Verdict::NoChange,
                Outcome::Inconclusive => Verdict::Inconclusive,
            },
            gated: regressions.map(name).collect(),
            moved: moved.collect(),
            renamed: comparison.renamed.iter().map(|renamed| (renamed.from.clone(), renamed.to.clone())).collect(),
            one_sided: comparison.one_sided.concat(),
            is_order_seen: comparison.checks.iter().any(|check| check.what == "order of runs"),
            intervals: rows().map(|row| row.on(comparison.settings.scale)).map(|on| [on.low, on.high]).collect(),
            visible: own().map(|row| (name(row), row.visible)).collect(),
        }
    }
}

impl Default for Found {
    fn default() -> Found {
        Found {
            verdict: Verdict::NoChange,
            gated: Vec::new(),
            moved: Vec::new(),
            renamed: Vec::new(),
            one_sided: Vec::new(),
            is_order_seen: false,
            intervals: Vec::new(),
            visible: Vec::new(),
        }
    }
}

/// A gate: the base's runs and the new ones, each in order of time. Which run was when is [`Run::started`].
pub type Evaluate<'a> = dyn Fn(&[&Run], &[&Run]) -> Found + 'a;

/// Whether a name is of this function, whatever stands around it.
pub fn is_of(name: &str, function: &str) -> bool {
    name.match_indices(function).any(|(at, _)| {
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !is_word(name[..at].chars().next_back()) && !is_word(name[at + function.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn names_are_whole_words() {
        assert!(is_of("crc", "crc"));
        assert!(is_of("<codec::Crc as codec::Sum>::update::h0123456789abcdef", "codec::Crc"));
        assert!(!is_of("crc_rest", "crc"));
        assert!(!is_of("crc_table", "rc"));
        assert!(is_of("crc_rest;crc", "crc"));
    }
}
