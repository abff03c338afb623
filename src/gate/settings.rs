//! What a gate demands: the error rate, the least effects, the scale, and rules by function.

use std::path::PathBuf;

use super::glob::Glob;

/// What a change is measured on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scale {
    /// Value per unit of work: what it costs. Sees everything, the speed of the machine too.
    #[default]
    Work,
    /// Part of all that the run took. A function that became faster raises all other shares.
    Share,
    /// Work, divided by the weighted median over functions of how much they changed: single functions, whatever the machine's speed and
    /// the others do. Blind to what slows down everything alike, which is why its factor is shown too.
    Robust,
}

impl Scale {
    /// All, in the order of [`super::Row::by_scale`].
    pub const ALL: [Scale; 3] = [Scale::Work, Scale::Share, Scale::Robust];

    /// As it is typed: `work`.
    pub fn name(self) -> &'static str {
        match self {
            Scale::Work => "work",
            Scale::Share => "share",
            Scale::Robust => "robust",
        }
    }
}

/// What a gate demands. Shares and changes are 0..1: 0.03 is 3 %.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The chance that anything at all is called a regression where nothing has changed.
    pub alpha: f64,
    /// Up to this adjusted p a change is warned of, and fails nothing.
    pub warn_alpha: f64,
    /// A function fails only if it takes at least this much more than before, relative to itself.
    pub min_relative: f64,
    /// And at least this much of all that the base takes.
    pub min_absolute: f64,
    /// What a rise has to be surely more than, relative: 0 asks only that it is surely a rise. Of two builds the same code may be placed
    /// otherwise, and take some more time for that. If not given, [`Settings::margin_of`] says.
    pub margin: Option<f64>,
    /// By how much the whole may grow; [`Settings::min_relative`] if not given.
    pub total_max: Option<f64>,
    /// What changes are gated on.
    pub scale: Scale,
    /// How many runs a side are demanded; with fewer the verdict is inconclusive.
    pub runs: u32,
    /// How often it is looked whether there is a verdict, of which this is one: intervals hold over all looks together. Who looks divides the
    /// alphas.
    pub looks: u32,
    /// What relabellings are drawn by, where there are too many to take all.
    pub seed: u64,
    /// Whether runs that were recorded as blocks, base then new, can pass.
    pub is_design_strict: bool,
    /// The noise between runs that is assumed where there is one a side and no history: the standard deviation of the logarithm.
    pub assumed_noise: f64,
    /// Rules by function; of those that match the last one holds.
    pub rules: Vec<Rule>,
    /// Regressions that are accepted for a time.
    pub allowed: Vec<Allowed>,
    /// The file that rules came from, for messages.
    pub config: Option<PathBuf>,
    /// The day on which it is asked whether what is accepted still is.
    pub today: Option<Day>,
}

/// From so many runs a side on, what two builds differ by though nothing has changed is seen: another layout of the code, for one.
const RUNS_OF_MARGIN: usize = 8;

/// What a rise then has to be surely more than.
const MARGIN: f64 = 0.02;

impl Settings {
    /// What a rise has to be surely more than, where the side with fewer runs has so many.
    ///
    /// Not given it is nothing below 8 runs, and from then on 2 %, or the least rise that is to fail: `docs/validation.md` has what another
    /// layout does with either.
    pub fn margin_of(&self, runs: usize) -> f64 {
        let of_rules = self.rules.iter().flat_map(|rule| [rule.self_max, rule.inclusive_max]).flatten();
        let least = of_rules.chain(self.total_max).fold(self.min_relative, f64::min);
        self.margin.unwrap_or(if runs < RUNS_OF_MARGIN { 0.0 } else { MARGIN.min(least).max(0.0) })
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            alpha: 0.01,
            warn_alpha: 0.05,
            min_relative: 0.03,
            min_absolute: 0.002,
            margin: None,
            total_max: None,
            scale: Scale::Work,
            runs: 5,
            looks: 1,
            seed: 1,
            is_design_strict: true,
            assumed_noise: 0.05,
            rules: Vec::new(),
            allowed: Vec::new(),
            config: None,
            today: None,
        }
    }
}

/// Which functions a rule is about: all patterns that are given must match. `*` is any text, `?` one character, `{a,b}` either.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// Of the name as it is shown.
    pub function: Option<Glob>,
    /// Of the file name of the program or library.
    pub module: Option<Glob>,
    /// Of the source file, as debug information has it.
    pub file: Option<FileGlob>,
}

/// A pattern of source files: without a leading `/` or `*` it may begin in any folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileGlob {
    /// As it was written.
    pub(super) whole: Glob,
    /// The same below any folder, if it may begin there.
    pub(super) below: Option<Glob>,
}

/// A rule: other least effects for some functions. It changes what matters, never the error rate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Of which functions.
    pub which: Which,
    /// By how much the function's own time may grow, relative to itself.
    pub self_max: Option<f64>,
    /// By how much the time with all that it calls may grow.
    pub inclusive_max: Option<f64>,
    /// Whether these functions are not gated at all.
    pub ignore: bool,
    /// Its line in the file of the configuration; 0 if it came from nowhere.
    pub line: u32,
}

/// A regression that is accepted until a day.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowed {
    /// Of which functions.
    pub which: Which,
    /// Up to this relative change; more fails.
    pub up_to: f64,
    /// The last day that it holds, `2026-12-31`.
    pub until: Day,
    /// Why.
    pub reason: String,
    /// Its line in the file of the configuration.
    pub line: u32,
}

/// A day of the Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    /// The year.
    pub year: u16,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
}

impl std::fmt::Display for Day {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}
