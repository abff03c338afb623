//! What a comparison found: the one structure that tables, comments, pictures and exit statuses are made of.

use super::settings::{Scale, Settings};
use crate::model::{FrameKind, Unit};

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// What it was before.
    Base,
    /// What it is now.
    New,
}

impl Side {
    /// `base` or `new`.
    pub fn name(self) -> &'static str {
        match self {
            Side::Base => "base",
            Side::New => "new",
        }
    }
}

/// What is known of one run: one file, or one recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFacts {
    /// Its file's name, or `base 3`.
    pub label: String,
    /// The event that is compared.
    pub event: String,
    /// Samples a second of CPU time that were asked for, if that is known.
    pub rate: Option<f64>,
    /// Nominal value of one sample, if it is fixed.
    pub period: Option<u64>,
    /// Samples of the event.
    pub samples: u64,
    /// Value of all samples, in the event's unit.
    pub value: u64,
    /// Units of work that it did; 1 where nothing was said, so that a run is the unit.
    pub work: f64,
    /// Samples that the kernel lost.
    pub lost: u64,
    /// Whether its file was cut: what is missing cannot be told.
    pub is_cut: bool,
    /// Share of the weight whose stack is cut.
    pub truncated: f64,
    /// Share of the frames without a name.
    pub unnamed: f64,
    /// Host name and kernel release; empty if it is not known.
    pub host: String,
    /// What was recorded.
    pub target: String,
    /// Seconds since 1970 (UTC) at which it began; 0 if that is not known.
    pub started_unix: u64,
    /// Which run of the series it was, from 0, where the recorder knows it.
    pub order: Option<u32>,
    /// How user stacks were found, most first: `unwind info`, `frame pointer`.
    pub found_by: Vec<&'static str>,
    /// Programs and libraries with their build ids: those that have most of the samples.
    pub builds: Vec<(String, String)>,
    /// Which event is compared is named otherwise than asked; what was recorded less than asked.
    pub notes: Vec<String>,
}

/// A function that is compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionFacts {
    /// Its name, after normalisation.
    pub name: String,
    /// What sort of code; an inlined function is of the sort of its caller. Nothing for everything.
    pub kind: Option<FrameKind>,
    /// The file name of the program or library; empty if it is not known.
    pub module: String,
    /// The source file; empty if it is not known.
    pub file: String,
    /// First line seen in it; 0 if unknown.
    pub line: u32,
}

/// Which part of a function's cost a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Everything there is.
    Everything,
    /// What the function took itself.
    Own,
    /// With all that it called; a stack that has it twice counts once.
    Inclusive,
}

/// How much something changed, on one scale.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Relative change: 0.2 is 20 % more. Infinite if there was nothing before.
    pub change: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The moderated t of the logarithm of the ratio.
    pub t: f64,
    /// The chance of such a rise anywhere among all rows if nothing had changed (adjusted for all rows).
    pub p: f64,
    /// The same for a fall.
    pub p_less: f64,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A regression: it fails the gate.
    Regression,
    /// It rose, and what it calls (the rows named here, by name) explains that.
    Explained(Vec<String>),
    /// Its rise is offset inside a caller: row of [`Comparison::moved`].
    Moved(usize),
    /// It rose, and an entry of [`Settings::allowed`] accepts that.
    Allowed(usize),
    /// A rule says not to look: row of [`Settings::rules`].
    Ignored(usize),
    /// It would be a regression at [`Settings::warn_alpha`]: worth a look, fails nothing.
    Suspect,
    /// It rose, but by less than matters.
    Small,
    /// It fell.
    Improved,
    /// Nothing that could be told from chance.
    Unchanged,
}

/// One thing that was compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which function; for everything its name is empty.
    pub function: FunctionFacts,
    /// Which part of its cost.
    pub part: Part,
    /// The function of the program whose code has most of the change, if that is another one: this one was inlined into it.
    pub inlined_into: Option<FunctionFacts>,
    /// Mean over the base's runs of its value per unit of work.
    pub base: f64,
    /// Mean over the new runs.
    pub new: f64,
    /// Its share of all that the base takes.
    pub share: f64,
    /// Mean number of samples a run, base and new.
    pub samples: [f64; 2],
    /// How much it changed, in the order of [`Scale::ALL`].
    pub by_scale: [Estimate; 3],
    /// Its change on the gate's scale, in shares of all that the base takes.
    pub of_total: f64,
    /// Value per unit of work of each run, in the order of [`Comparison::runs`].
    pub runs: Vec<f64>,
    /// The smallest relative rise that would have been seen in four of five comparisons.
    pub visible: f64,
    /// Rule of [`Settings::rules`] that holds for it.
    pub rule: Option<usize>,
    /// What became of it.
    pub fate: Fate,
    /// Of everything, where some rises are accepted or ignored: by how much the rest may have grown, the upper end of the 95 % interval.
    pub rest_high: Option<f64>,
    /// Whether it is a suspect only for what it calls: others that fail or are suspects have most of its rise, and say where it is.
    pub is_repeated: bool,
}

impl Row {
    /// Its change on `scale`.
    pub fn on(&self, scale: Scale) -> &Estimate {
        &self.by_scale[scale as usize]
    }
}

/// Cost that changed its place within a caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// What rose, by name.
    pub to: String,
    /// What fell, by name, most first; may be empty if it is spread.
    pub from: Vec<String>,
    /// The caller that has both and did not change by as much; empty for everything.
    pub within: String,
    /// By how much `to` rose, per unit of work, in the event's unit.
    pub rise: f64,
    /// By how much `within` changed.
    pub rest: f64,
}

/// A function that has gone and one that came, and look like one: a suggestion, never assumed.
#[derive(Clone, Debug, PartialEq)]
pub struct Renamed {
    /// The name that has gone.
    pub from: String,
    /// The name that came.
    pub to: String,
    /// What they have in common: `same callers and callees, cost 3.1 % and 3.2 %`.
    pub why: String,
}

/// How much a finding about comparability matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// To be known.
    Note,
    /// It may explain a difference.
    Warning,
    /// A verdict of this comparison would mean nothing: it cannot pass.
    Cap,
}

/// One finding about whether the sides can be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// How much it matters.
    pub level: Level,
    /// What was looked at: `rate`, `host`, `order of runs`.
    pub what: &'static str,
    /// What was found, a sentence without a full stop.
    pub text: String,
}

/// What the comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// At least one row fails the gate.
    Regression,
    /// Nothing fails, and a change that matters would have been seen.
    NoChange,
    /// Nothing can be said, or not enough.
    Inconclusive,
}

impl Outcome {
    /// As it is written: `no change`.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Regression => "regression",
            Outcome::NoChange => "no change",
            Outcome::Inconclusive => "inconclusive",
        }
    }
}

/// The verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What it is.
    pub outcome: Outcome,
    /// Why it is inconclusive, a sentence each without a full stop.
    pub missing: Vec<String>,
    /// How many more runs a side would probably show a change of [`Settings::min_relative`] of the whole; nothing if there are enough, or
    /// if no number within reason would.
    pub more_runs: Option<u32>,
}

/// How it was told what is chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// The largest moderated t under relabellings of the runs (Westfall and Young 1993), all of them or so many that were drawn.
    Relabelled {
        /// How many.
        relabellings: u32,
        /// Whether those are all that there are.
        is_exact: bool,
        /// The smallest p that there can be.
        least_p: f64,
    },
    /// Moderated t and Holm's correction: too few runs a side for relabellings to be as sure as demanded, or more than can be relabelled.
    Holm,
    /// One run a side: counting noise and this noise between runs (standard deviation of the logarithm), Holm's correction.
    OneRun {
        /// The noise between runs.
        noise: f64,
        /// Where it is from: of how many runs of a history; 0 if it is assumed.
        history_runs: u32,
    },
}

/// What a comparison of the runs of two sides found.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What was demanded.
    pub settings: Settings,
    /// The event, by name.
    pub event: String,
    /// What values count.
    pub unit: Unit,
    /// What one unit of work is: `run`, `request`.
    pub work_unit: String,
    /// The runs: the base's, then the new ones.
    pub runs: Vec<(Side, RunFacts)>,
    /// What was found about whether they can be compared.
    pub checks: Vec<Check>,
    /// How many names each step of normalisation changed: `("rust hash", 12)`.
    pub matched: Vec<(&'static str, u64)>,
    /// How it was told what is chance.
    pub method: Method,
    /// Noise between runs that was found: standard deviation of the logarithm, beside that of counting.
    pub noise: f64,
    /// Everything.
    pub total: Row,
    /// All functions that were tested, those that matter most first: regressions by cost, then the others by the size of their change.
    pub rows: Vec<Row>,
    /// Functions that have too few samples to be tested.
    pub untested: u32,
    /// What those take together: share of the base, of the new side.
    pub untested_share: [f64; 2],
    /// Names that are on one side only, and take half of what would matter there at least: gone, come.
    pub one_sided: [Vec<String>; 2],
    /// What moved.
    pub moved: Vec<Moved>,
    /// What looks renamed.
    pub renamed: Vec<Renamed>,
    /// By what the new side's work is divided on the robust scale: the machine's speed, or a change of everything alike.
    pub robust_factor: f64,
    /// The verdict.
    pub verdict: Verdict,
}

impl Comparison {
    /// The rows that fail the gate, those that cost most first; everything too, if it fails.
    pub fn regressions(&self) -> impl Iterator<Item = &Row> {
        std::iter::once(&self.total).chain(&self.rows).filter(|row| row.fate == Fate::Regression)
    }

    /// How many runs a side has.
    pub fn count(&self, side: Side) -> usize {
        self.runs.iter().filter(|(of, _)| *of == side).count()
    }
}
