//! What `diff` and `compare` have in common: the arguments of the gate, and what is done with its verdict.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use flameprofile::analyze::{DiffTree, View};
use flameprofile::baseline;
use flameprofile::gate::{
    self, Comparison, Config, Day, Fate, Matching, Noise, Outcome, RunInput, Runs, Scale, Settings, Side,
};
use flameprofile::model::{Profile, Unit};
use flameprofile::render::name::printable;
use flameprofile::render::report::{self, ReportOptions};
use flameprofile::render::top::TopOptions;
use flameprofile::render::{self, Difference, diff, html, svg};
use flameprofile::{Error, ErrorKind, Result};

use super::ci::Job;
use super::render::{Format, Outlet, OutputArgs, PictureView};
use super::report_files::{ReportArgs, ReportFiles};
use super::style::{self, Paint};

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
    /// What a rise has to be surely more than, as code of another build may just be placed otherwise [default: 2% from 8 runs a side on, else 0%]
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Gate")]
    pub margin: Option<f64>,
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
    #[arg(long, value_enum, value_delimiter = ',', requires = "gate", help_heading = "Gate")]
    pub fail_on: Vec<FailOn>,
    /// Exit with 0 whatever the verdict is
    #[arg(long, requires = "gate", help_heading = "Gate")]
    pub warn_only: bool,
    /// Runs that were made as blocks, base then new, may pass; by default they are inconclusive
    #[arg(long, help_heading = "Gate")]
    pub any_order: bool,
    /// Runs that were kept by `profile baseline save`, to learn from what runs differ by where there is one a side; with --key
    #[arg(long, value_name = "FOLDER", requires = "key", help_heading = "Gate")]
    pub history: Option<PathBuf>,
    /// Which of the runs in --history
    #[arg(long, value_name = "KEY", requires = "history", help_heading = "Gate")]
    pub key: Option<String>,
    /// What relabellings are drawn by, where there are too many to take all [default: 1]
    #[arg(long, value_name = "NUMBER", help_heading = "Gate")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub reports: ReportArgs,
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
    /// Whether runs are compared, and not sums.
    pub fn is_asked_for(&self, format: Format) -> bool {
        let is_of_runs = matches!(format, Format::Md | Format::Junit | Format::Sarif);
        let is_demanded =
            [self.alpha, self.min_relative, self.min_absolute, self.margin, self.max_total].iter().any(Option::is_some)
                || (self.runs.is_some() || self.scale.is_some() || self.config.is_some() || self.history.is_some());
        self.gate || self.explain.is_some() || is_of_runs || is_demanded || !self.reports.reports.is_empty()
    }

    /// The settings: what is typed, before what the file says, before what is usual.
    fn settings(&self, file: Settings) -> Result<Settings> {
        let mut settings = file;
        let given = |value: Option<f64>, setting: &mut f64| *setting = value.unwrap_or(*setting);
        given(self.alpha, &mut settings.alpha);
        given(self.min_relative, &mut settings.min_relative);
        given(self.min_absolute, &mut settings.min_absolute);
        settings.margin = self.margin.or(settings.margin);
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

    /// What is demanded by the file, if there is one, and by what was typed.
    pub fn demands(&self) -> Result<Demands> {
        const USUAL: &str = "profile.toml";
        let path = self.config.as_deref().or(Some(Path::new(USUAL)).filter(|path| path.symlink_metadata().is_ok()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let over = Settings { today: Some(Day::from_unix(now)), ..Settings::default() };
        let config = match path {
            Some(path) => Config::read(path, over)?,
            None => Config { settings: over, fail_on: None },
        };
        let fail_on = match (&self.fail_on[..], config.fail_on) {
            ([], Some(of_file)) => of_file,
            (typed, _) => typed.iter().map(|what| (*what).into()).collect(),
        };
        Ok(Demands {
            settings: self.settings(config.settings)?,
            fail_on,
            is_gate: self.gate,
            warn_only: self.warn_only,
        })
    }
}

impl GateArgs {
    /// What the history says of the noise between runs of an event; nothing if there is none, or too little in it.
    pub fn noise(&self, event: &str, unit: Unit) -> Result<Option<Noise>> {
        let (Some(folder), Some(key)) = (&self.history, &self.key) else { return Ok(None) };
        let noise = baseline::load(folder, key, &self.matching)?.noise(event, unit);
        if noise.is_none() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("the history {key} in {} has fewer than three runs of {event} that can be compared", folder.display()),
            )
            .with_hint("profile baseline list FOLDER shows what is there; profile baseline save FOLDER FILE.. --key KEY adds runs"));
        }
        Ok(noise)
    }
}

impl From<FailOn> for gate::FailOn {
    fn from(what: FailOn) -> gate::FailOn {
        match what {
            FailOn::Regression => gate::FailOn::Regression,
            FailOn::Inconclusive => gate::FailOn::Inconclusive,
            FailOn::Change => gate::FailOn::Change,
        }
    }
}

/// What is demanded, and what fails.
#[derive(Clone, Debug)]
pub struct Demands {
    pub settings: Settings,
    fail_on: Vec<gate::FailOn>,
    is_gate: bool,
    warn_only: bool,
}

impl Demands {
    /// The exit status that a verdict has.
    pub fn status(&self, comparison: &Comparison) -> u8 {
        let fails = |what: gate::FailOn| self.fail_on.contains(&what);
        let Settings { scale, min_relative, min_absolute, .. } = self.settings;
        let has_improved = || {
            let mut rows = comparison.rows.iter().chain([&comparison.total]);
            rows.any(|row| {
                let is_large = row.on(scale).change <= -min_relative && row.of_total <= -min_absolute;
                row.fate == Fate::Improved && is_large
            })
        };
        match comparison.verdict.outcome {
            _ if self.warn_only || !self.is_gate => 0,
            Outcome::Regression => 1,
            // Bad input is no pass, whatever is said of the rest.
            Outcome::Inconclusive if comparison.runs.iter().any(|(_, run)| run.is_cut) => 2,
            Outcome::Inconclusive if fails(gate::FailOn::Inconclusive) => 3,
            Outcome::NoChange if fails(gate::FailOn::Change) && has_improved() => 1,
            Outcome::Inconclusive | Outcome::NoChange => 0,
        }
    }
}

/// What was read or recorded, and what is to be made of it.
#[derive(Debug)]
pub struct Compared<'a> {
    pub runs: Runs,
    pub demands: Demands,
    /// What a history says of the noise between runs.
    pub history: Option<Noise>,
    /// What one unit of work is: `run`, `request`.
    pub work_unit: String,
    /// What was told beside the verdict: that it was stopped early.
    pub missing: Vec<String>,
    pub gate: &'a GateArgs,
    pub output: &'a OutputArgs,
    /// How pictures are drawn, beside what `output` says.
    pub width: render::DiffWidth,
}

/// Whether profiles of whole sides are needed for what is written.
pub fn needs_profiles(mut formats: impl Iterator<Item = Format>) -> bool {
    formats.any(|format| matches!(format, Format::Svg | Format::Html | Format::Folded))
}

impl Compared<'_> {
    /// Compares, writes what is asked for, and says the verdict on standard error where it is not what was written.
    pub fn finish(mut self, outlet: Outlet<'_>, reports: ReportFiles) -> Result<ExitCode> {
        let mut comparison = self.runs.compare(&self.demands.settings, self.history.as_ref());
        comparison.work_unit.clone_from(&self.work_unit);
        if !self.missing.is_empty() {
            comparison.verdict.outcome = Outcome::Inconclusive;
            comparison.verdict.missing.splice(0..0, self.missing.iter().cloned());
        }
        // Whoever stopped it knows; whoever reads the status of a job does not.
        let status = match self.missing.is_empty() || !self.gate.gate || self.gate.warn_only {
            true => self.demands.status(&comparison),
            false => 2,
        };
        let job = Job::here();
        let here = || std::env::current_dir().ok().map(|path| path.to_string_lossy().into_owned());
        let options = ReportOptions {
            command: command_line(),
            name: self.output.title.clone().unwrap_or_default(),
            exit_status: status,
            workspace: job.workspace.clone().or_else(here),
        };
        let merged = self.runs.merged();
        let written = Written { comparison: &comparison, merged: merged.as_ref(), options: &options, of: &self };
        let (format, to_terminal) = (outlet.format(), outlet.is_to_terminal());
        let stats = report_json(&comparison, &options)?;
        let style = style_of(to_terminal);
        // What cannot be explained is said when all else is written.
        let explained = self.gate.explain.as_ref().map(|name| report::explain(&comparison, name, &options, &style));
        let mut text = String::new();
        if format != Format::Top {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let mut table = Vec::new();
            let options_of_text = TopOptions { limit: Some(10), ..style_of(is_terminal) };
            if !self.output.quiet {
                report::text::write(&comparison, &options, &options_of_text, &mut table)?;
            }
            text = String::from_utf8_lossy(&table).into_owned();
            if let Some(Ok(said)) = &explained {
                text += said;
            }
        }
        let said_of_reports = reports.write(&mut |format, out| written.render(format, false, out))?;
        if !self.output.quiet {
            text += &said_of_reports;
        }
        if !self.gate.gate && comparison.verdict.outcome == Outcome::Regression && !self.output.quiet {
            text += "note      the exit status is 0 all the same; with --gate it is 1\n";
        }
        let (annotations, summarized) = job.tell(&comparison, &options);
        if let Err(error) = summarized {
            let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
            text += &format!(
                "{} {}\n",
                Paint::new(std::io::IsTerminal::is_terminal(&std::io::stderr())).yellow("warning:"),
                printable(&format!("{error}{hint}"))
            );
        }
        // A runner reads the commands in both streams, and standard output may be the result.
        text += &annotations;
        outlet.write_other(
            &mut |out| match (&explained, format) {
                (Some(Ok(said)), Format::Top) => {
                    out.write_all(said.as_bytes()).map_err(|error| Error::io("cannot write", error))
                }
                _ => written.render(format, to_terminal, out),
            },
            &stats,
            text,
        )?;
        explained.transpose()?;
        Ok(ExitCode::from(status))
    }
}

/// What is written, in any format.
struct Written<'a> {
    comparison: &'a Comparison,
    merged: Option<&'a [Profile; 2]>,
    options: &'a ReportOptions,
    of: &'a Compared<'a>,
}

impl Written<'_> {
    fn render(&self, format: Format, to_terminal: bool, mut out: &mut dyn Write) -> Result<()> {
        match (format, self.merged) {
            (Format::Json, _) => report::json::write(self.comparison, self.options, &mut out),
            (Format::Sarif, _) => report::sarif::write(self.comparison, self.options, &mut out),
            (Format::Md, _) => text(report::md::comment(self.comparison, self.options), out),
            (Format::Junit, _) => text(report::junit::report(self.comparison, self.options), out),
            (Format::Svg | Format::Html | Format::Folded, Some([base, new])) => self.picture(format, base, new, out),
            _ => report::text::write(self.comparison, self.options, &style_of(to_terminal), &mut out),
        }
    }

    fn picture(&self, format: Format, base: &Profile, new: &Profile, mut out: &mut dyn Write) -> Result<()> {
        let OutputArgs { per_thread, per_process, annotate, .. } = *self.of.output;
        let view = View { per_thread, per_process, ..View::default() };
        if format == Format::Folded {
            return diff::folded::write(base, new, &view, &render::folded::FoldedOptions { annotate }, &mut out);
        }
        let options = render::PictureOptions { diff_width: self.of.width, ..self.of.output.picture() };
        let diff = &DiffTree::build(base, new, &view, true);
        // Runs have no time in common.
        let first = self.of.runs.first().filter(|_| self.of.output.view == PictureView::Chart);
        let [base, new] = first.unwrap_or([base, new]);
        let difference = Difference { base, new, diff, comparison: Some(self.comparison) };
        match format {
            Format::Html => html::write_diff(&difference, &options, &mut out),
            _ => svg::write_diff(&difference, &options, &mut out),
        }
    }
}

fn text(text: String, out: &mut dyn Write) -> Result<()> {
    out.write_all(text.as_bytes()).map_err(|error| Error::io("cannot write", error))
}

fn style_of(to_terminal: bool) -> TopOptions {
    let width = if to_terminal { style::terminal_width() } else { None };
    TopOptions { width, color: Paint::new(to_terminal).is_on(), ..TopOptions::default() }
}

fn report_json(comparison: &Comparison, options: &ReportOptions) -> Result<serde_json::Value> {
    let mut json = Vec::new();
    report::json::write(comparison, options, &mut json)?;
    Ok(serde_json::from_slice(&json).unwrap_or_default())
}

/// What was typed, as a shell would read it.
fn command_line() -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./=:,@%+".contains(&byte);
    let words = std::env::args_os().enumerate().map(|(at, word)| {
        let word = word.to_string_lossy();
        match at {
            0 => "profile".to_owned(),
            _ if !word.is_empty() && word.bytes().all(is_plain) => word.into_owned(),
            _ => format!("'{}'", word.replace('\'', "'\\''")),
        }
    });
    printable(&words.collect::<Vec<String>>().join(" ")).into_owned()
}

/// Adds a run: its units of work are those that were typed, else those that it was kept with.
pub fn add(runs: &mut Runs, side: Side, label: String, profile: Profile, work: Option<f64>) {
    let (mut order, mut series, mut kept) = (None, String::new(), None);
    if let Some(mark) = &profile.stats.run {
        (order, series, kept) = (mark.order, mark.key.clone(), Some(mark.work));
    }
    runs.add(side, RunInput { label, profile, work: work.or(kept).unwrap_or(1.0), order, series });
}
