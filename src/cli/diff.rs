//! `profile diff`: two sides are read, and what changed is written.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, Args, ValueEnum};
use flameprofile::analyze::{DiffTree, View};
use flameprofile::gate::{Runs, Side as RunSide};
use flameprofile::import::{ImportOptions, Kind};
use flameprofile::model::{CaptureStats, Event, EventId, Profile, plain_event};
use flameprofile::render::folded::FoldedOptions;
use flameprofile::render::name::printable;
use flameprofile::render::number::{count_of, grouped, percent, quantity};
use flameprofile::render::top::TopOptions;
use flameprofile::render::{self, Difference, PictureOptions, diff, html, stats_json, svg, warnings};
use flameprofile::symbolize::SymbolizeOptions;
use flameprofile::{Error, ErrorKind, Result};
use serde_json::json;

use super::from::kind_parser;
use super::gate::{self, GateArgs};
use super::progress::ProgressLine;
use super::render::{Format, Outlet, OutputArgs, PictureView};
use super::report_files::ReportFiles;
use super::runs::{self, RunFile};
use super::sides::{Side, refuse_twice, total};
use super::signals;
use super::style::{self, Paint};

pub const EXAMPLES: &str = "\
Examples:
  profile diff before.data after.data -o diff.svg       what has become of each function
  profile diff before.folded after.folded               on a terminal the functions that changed most are printed
  profile diff @monday.txt runs/ -o diff.svg            several files a side: a file with a path a line, and a folder
  profile diff a.data b.data -f folded | inferno-flamegraph > diff.svg
  profile diff both.folded -o diff.svg                  folded stacks of two columns, as the last one and difffolded.pl write them

Counts of the base are scaled to the total of the new side, so that shares are compared; --raw compares them as they are.
On a terminal without -o the table of functions is printed, else an SVG.
With --gate each file is a run: profile diff base/ new/ --gate --report report.md
Exit status: 0 done, 2 failed; with --gate 1 for a regression, 3 for inconclusive with --fail-on inconclusive.";

/// Which two sides to compare, and where to write it.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// What it was before: a file, a folder (all files in it), a pattern, or @LIST, a file with a path a line; several are merged, and with
    /// --gate each is a run
    pub base: PathBuf,
    /// What it is now, named likewise; without it BASE is a file that has both: folded stacks of two columns, or a picture of a
    /// difference
    pub new: Option<PathBuf>,
    #[arg(hide = true)]
    pub more: Vec<PathBuf>,
    /// The format of the files [default: told by their content]
    #[arg(long, value_name = "FORMAT", value_parser = kind_parser(), help_heading = "What")]
    pub from: Option<Kind>,
    /// The event that is compared, by name [default: the first that has samples]
    #[arg(short, long, help_heading = "What")]
    pub event: Option<String>,
    /// Counts as they are, without making both sides' totals equal
    #[arg(long, conflicts_with = "gate", help_heading = "What")]
    pub raw: bool,
    /// What the widths of frames are, in pictures
    #[arg(long, value_enum, default_value_t = DiffWidth::Both, help_heading = "What")]
    pub width: DiffWidth,
    /// A folder of debug files or binaries by build id, of perf's or the distribution's layout; may be repeated
    #[arg(long, value_name = "FOLDER", help_heading = "Names")]
    pub debug_dir: Vec<PathBuf>,
    /// The root of a copy of the files that the recorded programs saw
    #[arg(long, value_name = "FOLDER", help_heading = "Names")]
    pub sysroot: Option<PathBuf>,
    /// Units of work that a run did, where files do not say: one number for all runs, or BASE,NEW [default: a run is the unit]
    #[arg(long, value_name = "UNITS", value_parser = work, help_heading = "Gate")]
    pub work: Option<[f64; 2]>,
    #[command(flatten)]
    pub gate: GateArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Units of work: `1000`, or `1000,1200` for base and new.
fn work(text: &str) -> std::result::Result<[f64; 2], String> {
    let units = |text: &str| -> Option<f64> {
        let units: f64 = text.trim().parse().ok()?;
        // So that neither they nor what is divided by them leaves the numbers that there are.
        (1e-18..=1e18).contains(&units).then_some(units)
    };
    let (base, new) = text.split_once(',').unwrap_or((text, text));
    units(base)
        .zip(units(new))
        .map(|(base, new)| [base, new])
        .ok_or_else(|| "numbers above 0: 1000, or 1000,1200".to_owned())
}

/// What the width of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffWidth {
    /// The new side's values; vanished frames have none
    New,
    /// The base's values; new frames have none
    Base,
    /// The larger of both
    Both,
    /// By how much it changed, whichever way
    Delta,
}

/// The views that a difference has.
const VIEWS: [PictureView; 3] = [PictureView::Flame, PictureView::Icicle, PictureView::Chart];
/// The formats that a difference has.
const FORMATS: [Format; 8] =
    [Format::Svg, Format::Html, Format::Folded, Format::Top, Format::Json, Format::Md, Format::Junit, Format::Sarif];

/// Lists no views but those that a difference has; others are refused with what there is instead.
pub fn only_views(arg: Arg) -> Arg {
    listing(arg, &VIEWS)
}

/// Lists no formats but those that a difference has.
pub fn only_formats(arg: Arg) -> Arg {
    listing(arg, &FORMATS)
}

fn listing<T: ValueEnum + PartialEq + Send + Sync + 'static>(arg: Arg, listed: &[T]) -> Arg {
    let values = T::value_variants().iter().filter_map(|value| {
        let possible = value.to_possible_value()?;
        Some(possible.hide(!listed.contains(value)))
    });
    arg.value_parser(PossibleValuesParser::new(values).try_map(|name| T::from_str(&name, false)))
}

/// Refuses what is of one profile.
fn refuse_relatives(args: &OutputArgs) -> Result<()> {
    let option = match args {
        OutputArgs { callers: Some(_), .. } => "--callers",
        OutputArgs { callees: Some(_), .. } => "--callees",
        OutputArgs { function: Some(_), .. } => "--function",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::Usage, format!("{option} is of one profile, and not of the difference of two"))
        .with_hint(
            "-f html has the callers and callees of each function of a difference; those of one side are \
         profile import FILE --callers NAME or --callees NAME",
        ))
}

/// Where a difference goes; what is of one profile is refused.
pub fn open_outlet(args: &OutputArgs, otherwise: Format) -> Result<Outlet<'_>> {
    refuse_relatives(args)?;
    if !VIEWS.contains(&args.view) {
        return Err(Error::new(
            ErrorKind::Usage,
            "a difference is drawn as a flame graph, an icicle graph or a flame chart",
        )
        .with_hint("-f html has the bottom-up view and the callers and callees of each function in it"));
    }
    let outlet = Outlet::open_or(args, otherwise)?;
    refuse_format(outlet.format())?;
    Ok(outlet)
}

/// Reads both sides and writes what changed.
pub fn run(args: &DiffArgs) -> Result<ExitCode> {
    if !args.more.is_empty() {
        let message = format!("two sides are compared, and {} are named", 2 + args.more.len());
        let hint = "several files of one side are a folder of them, or @LIST, a file with a path a line";
        return Err(Error::new(ErrorKind::Usage, message).with_hint(hint));
    }
    // A verdict is read by people, in the log of a job too.
    let otherwise = if args.gate.is_asked_for(Format::Top) { Format::Top } else { Format::Svg };
    let outlet = open_outlet(&args.output, otherwise)?;
    let mut sides = vec![Side::find("base", &args.base)?];
    sides.extend(args.new.as_ref().map(|new| Side::find("new", new)).transpose()?);
    refuse_twice(&sides)?;
    for side in &sides {
        outlet.refuse_inputs(&side.files)?;
    }
    let inputs = sides.iter().flat_map(|side| &side.files).map(PathBuf::as_path);
    let others: Vec<&Path> = inputs.chain(args.output.output.as_deref()).chain(args.output.stats.as_deref()).collect();
    let reports = ReportFiles::open(&args.gate.reports, &others)?;
    let is_of_runs = args.gate.is_asked_for(outlet.format());
    let options = ImportOptions {
        from: args.from,
        // A finding is shown where it stands.
        names: SymbolizeOptions { lines: outlet.names().lines || is_of_runs, ..outlet.names() },
        event: args.event.clone(),
        debug_dirs: args.debug_dir.clone(),
        sysroot: args.sysroot.clone(),
        ..ImportOptions::default()
    };
    signals::set_on_signal(&options.stop)?;
    if is_of_runs {
        return gated(args, (outlet, reports), &sides, &options);
    }
    let base = sides[0].read(&options, args.output.quiet)?;
    let (base, new) = match sides.get(1) {
        Some(side) => {
            let new = side.read(&options, args.output.quiet)?;
            comparable(&sides, &base, &new)?;
            (base, new)
        }
        None => {
            let both = halves(&sides[0], base)?;
            sides.push(Side { name: "new", ..sides[0].clone() });
            both
        }
    };
    let OutputArgs { per_thread, per_process, .. } = args.output;
    let view = View { per_thread, per_process, ..View::default() };
    let compared = Compared { base: &base, new: &new, view, args };
    let stats = json!({"base": stats_json(&base.stats), "new": stats_json(&new.stats)});
    let said = said(&sides, &base, &new, args);
    let (format, to_terminal) = (outlet.format(), outlet.is_to_terminal());
    outlet.write_other(&mut |out| compared.render(format, to_terminal, out), &stats, said)?;
    Ok(ExitCode::SUCCESS)
}

/// Tells changes from chance: each file is a run.
fn gated(
    args: &DiffArgs,
    (outlet, reports): (Outlet<'_>, ReportFiles),
    sides: &[Side],
    options: &ImportOptions,
) -> Result<ExitCode> {
    let demands = args.gate.demands()?;
    let mut runs =
        Runs::new(args.gate.matching.clone(), gate::needs_profiles(reports.formats().chain([outlet.format()])));
    let mut progress = ProgressLine::new(!args.output.quiet, None);
    let work = |side: RunSide| args.work.map(|work| work[side as usize]);
    let event;
    if let [both] = sides {
        let (base, new) = halves(both, both.read(options, args.output.quiet)?)?;
        event = Some(drawn(&new));
        for (side, profile) in [(RunSide::Base, base), (RunSide::New, new)] {
            gate::add(&mut runs, side, format!("{} of {}", side.name(), both.named.display()), profile, work(side));
        }
    } else {
        let mut files: Vec<RunFile> = Vec::new();
        for (side, of) in [RunSide::Base, RunSide::New].into_iter().zip(sides) {
            files.extend(of.files.iter().map(|path| RunFile { side, path: path.clone(), work: work(side) }));
        }
        // Whoever lists them in another order gets the same bytes.
        files.sort_by(|a, b| (a.side, &a.path).cmp(&(b.side, &b.path)));
        let mut first: Option<(RunFile, (String, flameprofile::model::Unit))> = None;
        runs::read(&files, options, &mut runs, &mut progress, &mut |file, profile| {
            let side = &sides[file.side as usize];
            Side { files: vec![file.path.clone()], named: file.path.clone(), ..side.clone() }.refuse_empty(profile)?;
            let event = drawn(profile);
            match &first {
                Some((other, of_other)) if *of_other != event => Err(other_event((other, of_other), (file, &event))),
                Some(_) => Ok(()),
                None => {
                    first = Some((file.clone(), event));
                    Ok(())
                }
            }
        })?;
        event = first.map(|(_, event)| event);
    }
    let compared = gate::Compared {
        runs,
        demands,
        history: event.map(|(name, unit)| args.gate.noise(&name, unit)).transpose()?.flatten(),
        work_unit: if args.work.is_some() { "unit of work" } else { "run" }.to_owned(),
        missing: Vec::new(),
        gate: &args.gate,
        output: &args.output,
        width: args.width.into(),
    };
    compared.finish(outlet, reports)
}

type OfRun<'a> = (&'a RunFile, &'a (String, flameprofile::model::Unit));

fn other_event((one, of_one): OfRun<'_>, (other, of_other): OfRun<'_>) -> Error {
    let (one, other) = (one.path.display(), other.path.display());
    let message = match of_one.0 == of_other.0 {
        true => format!("{} has another unit in {one} than in {other}", of_one.0),
        false => format!("{one} is of the event {}, {other} of {}: they count different things", of_one.0, of_other.0),
    };
    Error::new(ErrorKind::Usage, message)
        .with_hint("record all runs with one event, or choose one that all have: profile diff -e EVENT ..")
}

impl From<DiffWidth> for render::DiffWidth {
    fn from(width: DiffWidth) -> render::DiffWidth {
        match width {
            DiffWidth::New => render::DiffWidth::New,
            DiffWidth::Base => render::DiffWidth::Base,
            DiffWidth::Both => render::DiffWidth::Both,
            DiffWidth::Delta => render::DiffWidth::Delta,
        }
    }
}

/// Both sides, and how they are shown.
struct Compared<'a> {
    base: &'a Profile,
    new: &'a Profile,
    view: View,
    args: &'a DiffArgs,
}

impl Compared<'_> {
    fn render(&self, format: Format, to_terminal: bool, out: &mut dyn Write) -> Result<()> {
        match format {
            Format::Folded => self.folded(out),
            Format::Top => {
                let width = if to_terminal { style::terminal_width() } else { None };
                let limit = to_terminal.then_some(30);
                let options =
                    TopOptions { width, color: Paint::new(to_terminal).is_on(), limit, ..TopOptions::default() };
                diff::top::write(&self.tree(), self.base, self.new, &options, &mut { out })
            }
            Format::Json => diff::json::write(&self.tree(), &mut { out }),
            _ => self.picture(format, out),
        }
    }

    fn tree(&self) -> DiffTree {
        DiffTree::build(self.base, self.new, &self.view, !self.args.raw)
    }

    fn folded(&self, mut out: &mut dyn Write) -> Result<()> {
        diff::folded::write(
            self.base,
            self.new,
            &self.view,
            &FoldedOptions { annotate: self.args.output.annotate },
            &mut out,
        )
    }

    /// The picture of [`Compared::tree`].
    fn picture(&self, format: Format, mut out: &mut dyn Write) -> Result<()> {
        let options = PictureOptions { diff_width: self.args.width.into(), ..self.args.output.picture() };
        let difference = Difference { base: self.base, new: self.new, diff: &self.tree(), comparison: None };
        match format {
            Format::Html => html::write_diff(&difference, &options, &mut out),
            _ => svg::write_diff(&difference, &options, &mut out),
        }
    }
}

/// The rows of the events of both sides, if a profile was read from a file that has both.
fn both_events(profile: &Profile) -> Option<[usize; 2]> {
    let row = |name: &str| profile.events.iter().position(|event| profile.strings.get(event.name) == name);
    Some([row("base")?, row("new")?])
}

/// What is to be said where one side is drawn of a profile that has both.
pub fn note_on_half(profile: &Profile) -> Option<&'static str> {
    both_events(profile)?;
    Some("this is one side of a difference, --event base or --event new; `profile diff FILE` compares both")
}

/// Both sides of what was read from one file that has them.
fn halves(side: &Side, both: Profile) -> Result<(Profile, Profile)> {
    let Some([base, new]) = both_events(&both) else {
        let message = format!("two sides are compared, and {} is one", side.named.display());
        return Err(Error::new(ErrorKind::Usage, message).with_hint(
            "profile diff BASE NEW; one file alone is compared if it has both sides, as folded stacks of two columns (`main;work 10 12`) \
             and pictures of a difference have",
        ));
    };
    let half = |row: usize| {
        let mut half = both.clone();
        half.main = EventId::from_index(row);
        half.samples.retain(|sample| sample.event.index() == row);
        half.stats.event = half.main_event().to_owned();
        if row != both.main.index() {
            // What is said of the recording is said of the side that is drawn.
            let CaptureStats { target, host, .. } = std::mem::take(&mut half.stats);
            half.stats = CaptureStats { event: half.main_event().to_owned(), target, host, ..CaptureStats::default() };
        }
        half.summarize();
        half
    };
    let (base, new) = (half(base), half(new));
    for half in [&base, &new] {
        side.refuse_empty(half)?;
    }
    Ok((base, new))
}

fn refuse_format(format: Format) -> Result<()> {
    if FORMATS.contains(&format) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Usage, "this format holds one profile, and not the difference of two")
        .with_hint("-f svg, html, top, folded or json; `go tool pprof -diff_base A.pb.gz B.pb.gz` compares two itself"))
}

fn event_name(profile: &Profile, event: &Event) -> String {
    plain_event(profile.strings.get(event.name)).to_owned()
}

/// The event that is compared, and what it counts.
fn drawn(profile: &Profile) -> (String, flameprofile::model::Unit) {
    let event = &profile.events[profile.main.index()];
    (event_name(profile, event), event.unit)
}

/// Refuses events that do not count the same.
fn comparable(sides: &[Side], base: &Profile, new: &Profile) -> Result<()> {
    let name = event_name;
    let (of_base, of_new) = (drawn(base), drawn(new));
    if of_base == of_new {
        return Ok(());
    }
    let has_samples = |profile: &Profile, wanted: &(String, flameprofile::model::Unit)| {
        let row = profile.events.iter().position(|event| (name(profile, event), event.unit) == *wanted);
        row.is_some_and(|row| profile.samples.iter().any(|sample| sample.event.index() == row))
    };
    let common = new.events.iter().map(|event| (name(new, event), event.unit));
    let common = common.filter(|event| has_samples(new, event)).find(|event| has_samples(base, event));
    // One column of a file that has both is no side for another file.
    let both = sides.iter().zip([base, new]).find(|(_, profile)| both_events(profile).is_some());
    let hint = match (both, common) {
        (Some((side, _)), _) => {
            let file = side.files[0].display();
            format!(
                "{file} has both sides of a difference: `profile diff {file}` compares them; for one of them: profile import {file} -e new -f folded \
                 -o new.folded, and then profile diff with that"
            )
        }
        (None, Some((event, _))) => format!("both have {event}: add -e {event}"),
        (None, None) => format!(
            "record both with one event; or compare numbers of samples: profile import {} -f folded -o base.folded, \
             the other likewise, and profile diff base.folded new.folded",
            sides[0].files[0].display()
        ),
    };
    let (base_event, new_event) = (of_base.0, of_new.0);
    let message = match base_event == new_event {
        true => format!("{base_event} has another unit on either side"),
        false => {
            format!("the base is of the event {base_event}, the new side of {new_event}: they count different things")
        }
    };
    Err(Error::new(ErrorKind::Usage, message).with_hint(hint))
}

/// What is said on standard error: what each side is, how they were compared, and what may be wrong.
fn said(sides: &[Side], base: &Profile, new: &Profile, args: &DiffArgs) -> String {
    let mut text = String::new();
    let profiles = [base, new];
    let totals = profiles.map(total);
    if !args.output.quiet {
        for ((side, profile), (value, samples)) in sides.iter().zip(profiles).zip(totals) {
            let unit = profile.events[profile.main.index()].unit;
            text += &format!(
                "{:5} {}; {}: {} in {}; unnamed {}\n",
                format!("{}:", side.name),
                count_of(side.files.len() as u64, "file"),
                printable(profile.main_event()),
                quantity(value, unit),
                count_of(samples, "sample"),
                percent(profile.stats.unnamed_total()),
            );
        }
        if !args.raw && totals[0].0 != totals[1].0 {
            let scale = totals[1].0 as f64 / totals[0].0 as f64;
            text += &format!("normalised: what the base has counts {scale:.4} times (--raw: as it is)\n");
        }
    }
    let paint = Paint::new(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    for (side, profile) in sides.iter().zip(profiles) {
        // Of some there is a warning already.
        let is_warned = |what: &str| [CaptureStats::BEYOND, CaptureStats::TOO_MANY].contains(&what);
        let skipped = profile.stats.skipped.iter().filter(|(what, _)| !is_warned(what));
        let skipped = skipped.map(|(what, count)| format!("{} {what} left out", grouped(*count)));
        for warning in warnings(&profile.stats).into_iter().chain(skipped) {
            text += &format!("{} {}: {warning}\n", paint.yellow("warning:"), side.name);
        }
    }
    text
}
