//! What `diff` and `compare` have in common: the arguments of the gate, and what is done with its verdict.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use flameprofile::gate::{Comparison, Matching, Outcome, Scale, Settings};
use flameprofile::{Error, ErrorKind, Result};

/// What a gate demands.
#[derive(Args, Clone, Debug)]
pub struct GateArgs {
    /// Tell changes from chance, and exit with 1 if there is a regression
    #[arg(long, help_heading = "Gate")]
    pub gate: bool,
    /// What changes are measured on [default: work]
    #[arg(long, value_enum, help_heading = "Gate")]
    pub scale: Option<ScaleArg>,
    /// The chance that anything at all is called a regression where nothing has changed [default: 0.01]
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Gate")]
    pub alpha: Option<f64>,
    /// A function fails only if it takes this much more than before, relative to itself: 3%, 0.03 [default: 3%]
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Gate")]
    pub min_relative: Option<f64>,
    /// And this much of all that the base takes [default: 0.2%]
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Gate")]
    pub min_absolute: Option<f64>,
    /// By how much everything together may grow [default: as --min-relative]
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Gate")]
    pub max_total: Option<f64>,
    /// Runs a side that are demanded; fewer are inconclusive [default: 5]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Gate")]
    pub runs: Option<u32>,
    /// Rules by function, accepted regressions, and the settings above [default: profile.toml, if it is there]
    #[arg(long, value_name = "FILE", help_heading = "Gate")]
    pub config: Option<PathBuf>,
    /// How names are made equal before they are matched: exact, normal or loose, and steps to add or (with -) leave out: normal,-version
    #[arg(long = "match", value_name = "STEPS", value_parser = Matching::parse, default_value = "normal", allow_hyphen_values = true, help_heading = "Gate")]
    pub matching: Matching,
    /// Everything about one function: its runs, intervals, rule, and what became of it
    #[arg(long, value_name = "FUNCTION", help_heading = "Gate")]
    pub explain: Option<String>,
    /// What else makes the exit status other than 0: inconclusive (3), change (1 for improvements too)
    #[arg(long, value_enum, value_delimiter = ',', help_heading = "Gate")]
    pub fail_on: Vec<FailOn>,
    /// Exit with 0 whatever the verdict is
    #[arg(long, help_heading = "Gate")]
    pub warn_only: bool,
    /// Runs that were made as blocks, base then new, may pass; by default they are inconclusive
    #[arg(long, help_heading = "Gate")]
    pub any_order: bool,
    /// What relabellings are drawn by, where there are too many to take all [default: 1]
    #[arg(long, value_name = "NUMBER", help_heading = "Gate")]
    pub seed: Option<u64>,
}

/// A scale, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScaleArg {
    /// Value per unit of work: sees everything, the machine's speed too
    Work,
    /// Parts of all that a run took: for recordings of another length or load
    Share,
    /// Work, without what all functions have in common: single functions, on machines of another speed
    Robust,
}

/// What makes the exit status other than 0, besides a regression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// A regression: always, with --gate
    Regression,
    /// Nothing can be said: 3
    Inconclusive,
    /// Improvements too: 1
    Change,
}

fn share(text: &str) -> std::result::Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number.trim(), 0.01),
        None => (text, 1.0),
    };
    let share: f64 = number.parse().map_err(|_| "not a number: 3% or 0.03".to_owned())?;
    match (0.0..=10.0).contains(&(share * unit)) {
        true => Ok(share * unit),
        false => Err("between 0 and 1000%".to_owned()),
    }
}

impl GateArgs {
    /// The settings: what is typed, before what the file says, before what is usual.
    pub fn settings(&self, file: Settings) -> Result<Settings> {
        let mut settings = file;
        let given = |value: Option<f64>, setting: &mut f64| *setting = value.unwrap_or(*setting);
        given(self.alpha, &mut settings.alpha);
        given(self.min_relative, &mut settings.min_relative);
        given(self.min_absolute, &mut settings.min_absolute);
        settings.total_max = self.max_total.or(settings.total_max);
        settings.runs = self.runs.unwrap_or(settings.runs);
        settings.seed = self.seed.unwrap_or(settings.seed);
        settings.is_design_strict &= !self.any_order;
        if let Some(scale) = self.scale {
            settings.scale = match scale {
                ScaleArg::Work => Scale::Work,
                ScaleArg::Share => Scale::Share,
                ScaleArg::Robust => Scale::Robust,
            };
        }
        if !(settings.alpha > 0.0 && settings.alpha <= 0.5) {
            return Err(Error::new(ErrorKind::Usage, "--alpha is a chance, above 0 and up to 0.5")
                .with_hint("--alpha 0.01: one false alarm in a hundred comparisons at most"));
        }
        settings.warn_alpha = settings.warn_alpha.max(settings.alpha);
        Ok(settings)
    }

    /// The exit status that a verdict has.
    pub fn status(&self, comparison: &Comparison) -> ExitCode {
        let fails = |what: FailOn| self.fail_on.contains(&what);
        let has_improved = || {
            let rows = comparison.rows.iter().chain([&comparison.total]);
            rows.into_iter().any(|row| row.fate == flameprofile::gate::Fate::Improved)
        };
        match comparison.verdict.outcome {
            _ if self.warn_only || !self.gate => ExitCode::SUCCESS,
            Outcome::Regression => ExitCode::from(1),
            Outcome::Inconclusive if fails(FailOn::Inconclusive) => ExitCode::from(3),
            Outcome::NoChange if fails(FailOn::Change) && has_improved() => ExitCode::from(1),
            Outcome::Inconclusive | Outcome::NoChange => ExitCode::SUCCESS,
        }
    }
}
