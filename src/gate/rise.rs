//! How sure it is that a row rose, and from which change on that matters.

use super::comparison::{Part, Row};
use super::settings::{Rule, Settings};

/// The least change of a row that matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub relative: f64,
    pub absolute: f64,
}

/// What holds for `row`, by the rule that it has.
pub(super) fn limits(row: &Row, settings: &Settings) -> Limits {
    let rule = row.rule.map(|rule| &settings.rules[rule]);
    let relative = match row.part {
        Part::Everything => settings.total_max,
        Part::Own => rule.and_then(|rule: &Rule| rule.self_max),
        Part::Inclusive => rule.and_then(|rule: &Rule| rule.inclusive_max),
    };
    Limits { relative: relative.unwrap_or(settings.min_relative), absolute: settings.min_absolute }
}

/// How sure it is that a row rose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rise {
    Sure,
    Likely,
    Small,
    No,
}

impl Rise {
    /// How sure it is that `row` rose.
    pub fn of(row: &Row, settings: &Settings) -> Rise {
        let (of, limits) = (row.on(settings.scale), limits(row, settings));
        let matters = of.change >= limits.relative && row.of_total >= limits.absolute;
        // A caller that fails names no cause: it has to be twice as sure.
        let p = if row.part == Part::Inclusive { 2.0 * of.p } else { of.p };
        match (p, matters) {
            (p, true) if p <= settings.alpha => Rise::Sure,
            (p, true) if p <= settings.warn_alpha => Rise::Likely,
            (p, false) if p <= settings.alpha && of.change > 0.0 => Rise::Small,
            _ => Rise::No,
        }
    }

    /// Whether it is named, if nothing else explains it.
    pub fn is_told(self) -> bool {
        matches!(self, Rise::Sure | Rise::Likely)
    }
}
