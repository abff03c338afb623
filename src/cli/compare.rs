//! `profile compare`: two commands are run in turn, recorded, and compared.

use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use flameprofile::export::pprof;
use flameprofile::gate::{Outcome, RunInput, Runs, Settings, Side};
use flameprofile::model::{Profile, RunMark, Unit};
use flameprofile::render::name::printable;
use flameprofile::render::number::count_of;
use flameprofile::sampler::{Sampling, Target};
use flameprofile::session::{
    RecordOptions, Series, SeriesCommand, SeriesOptions, SeriesProgress, SeriesRun, Stop, UseBpf,
};
use flameprofile::symbolize::SymbolizeOptions;
use flameprofile::{Error, ErrorKind, Result};

use super::args::Unwind;
use super::diff::{self, DiffWidth};
use super::gate::{self, GateArgs};
use super::output::OutputFile;
use super::progress::ProgressLine;
use super::render::{Format, OutputArgs};
use super::report_files::ReportFiles;
use super::signals;
use super::words::split_words;
use super::work::{Stream, Work, number_behind};

pub const EXAMPLES: &str = "\
Examples:
  profile compare --base './old input' --new './new input'            8 runs of each, in turn, in random order
  profile compare --base './old' --new './new' --gate                 exit status 1 if it has become slower
  profile compare --base ./old --new ./new --gate --until-decided 40  as many runs as it takes, 40 of each at most
  profile compare --base './serve -n 1000' --new './serve -n 1000' --cwd-base ../main --cwd-new . --work stdout:requests
  profile compare --base ./old --new ./new --keep runs                and later: profile diff runs/base runs/new

Commands are split into words as a shell splits them, with quotes and backslashes; no shell is run. Their standard input is empty,
what they write to standard output is not shown.
Exit status: 0 done or passed, 1 a regression (with --gate), 2 failed, 3 inconclusive (with --fail-on inconclusive).";

/// What to run, how to record it, and what to do with what is found.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// The command as it was before, in one argument: --base './old input'
    #[arg(long, value_name = "COMMAND", required = true, allow_hyphen_values = true, help_heading = "What")]
    pub base: OsString,
    /// The command as it is now
    #[arg(long, value_name = "COMMAND", required = true, allow_hyphen_values = true, help_heading = "What")]
    pub new: OsString,
    /// Runs of each
    #[arg(short = 'k', long = "count", value_name = "RUNS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "What")]
    pub count: u32,
    /// As many runs as it takes to tell, so many of each at most: looked at after 6, 9, 13, 19, 28 and so on, each time at an equal part
    /// of --alpha, so that all looks together keep it
    #[arg(long, value_name = "RUNS", conflicts_with = "count", value_parser = clap::value_parser!(u32).range(6..=1000), help_heading = "What")]
    pub until_decided: Option<u32>,
    /// Runs of each before, which are not recorded
    #[arg(long, value_name = "RUNS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100), help_heading = "What")]
    pub warmup: u32,
    /// Units of work that a run does: 1000, or 800,1000 for base and new; or stdout:TEXT or stderr:TEXT, the number that the command
    /// prints behind this text, the last one if there are several [default: a run is the unit]
    #[arg(long, value_name = "WORK", value_parser = Work::parse, help_heading = "What")]
    pub work: Option<Work>,
    /// The folder that the base runs in [default: this one]
    #[arg(long, value_name = "FOLDER", help_heading = "What")]
    pub cwd_base: Option<PathBuf>,
    /// The folder that the new one runs in [default: this one]
    #[arg(long, value_name = "FOLDER", help_heading = "What")]
    pub cwd_new: Option<PathBuf>,
    /// Runs count whatever their exit status is
    #[arg(long, help_heading = "What")]
    pub ignore_failure: bool,
    /// How long a run may take: one that takes longer is ended with all of its process group, which is an error; whole pairs of runs that
    /// were made before are kept and reported
    #[arg(long, value_name = "SECONDS", value_parser = super::args::duration, help_heading = "What")]
    pub timeout: Option<Duration>,
    /// A folder for the runs, FOLDER/base and FOLDER/new, which `profile diff` compares again
    #[arg(long, value_name = "FOLDER", help_heading = "What")]
    pub keep: Option<PathBuf>,

    /// The event, by perf's names [default: cycles where there is a counter for them, else cpu-clock]
    #[arg(short, long, help_heading = "How")]
    pub event: Option<String>,
    /// Samples a second, of CPU time for clocks and cycles
    #[arg(short = 'F', long, value_name = "HZ", default_value_t = 2000, help_heading = "How")]
    pub freq: u64,
    /// How user stacks are found
    #[arg(long, value_enum, default_value_t = Unwind::Auto, help_heading = "How")]
    pub unwind: Unwind,

    /// What the widths of frames are, in pictures
    #[arg(long, value_enum, default_value_t = DiffWidth::Both, help_heading = "Output")]
    pub width: DiffWidth,
    /// A folder of debug files or binaries by build id, of perf's or the distribution's layout; may be repeated
    #[arg(long, value_name = "FOLDER", help_heading = "How")]
    pub debug_dir: Vec<PathBuf>,
    #[command(flatten)]
    pub gate: GateArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

const SIDES: [Side; 2] = [Side::Base, Side::New];

/// Runs, records and compares as the arguments say.
pub fn run(args: &CompareArgs) -> Result<ExitCode> {
    let mut demands = args.gate.demands()?;
    let outlet = diff::open_outlet(&args.output, Format::Top)?;
    let others: Vec<&Path> =
        [&args.output.output, &args.output.stats].into_iter().flatten().map(PathBuf::as_path).collect();
    let reports = ReportFiles::open(&args.gate.reports, &others)?;
    let mut record = RecordOptions::new(Target::Command(Vec::new()));
    record.event.clone_from(&args.event);
    record.sampling = Some(Sampling::Frequency(args.freq));
    record.user_stacks = args.unwind.into();
    // Loading BPF programs takes 0.2 s a run; for a command of a few threads stacks are as whole without.
    record.bpf = UseBpf::Never;
    // Which lines changed is said of each cause.
    record.names = SymbolizeOptions { lines: true, ..outlet.names() };
    record.debug_dirs.clone_from(&args.debug_dir);
    let command = |name: &str, text: &OsString, folder: &Option<PathBuf>| {
        let words = split_words(text).map_err(|error| of_side(name, error))?;
        Ok(SeriesCommand { name: name.to_owned(), words, folder: folder.clone() })
    };
    let work = args.work.clone().unwrap_or_default();
    let options = SeriesOptions {
        record,
        commands: vec![command("base", &args.base, &args.cwd_base)?, command("new", &args.new, &args.cwd_new)?],
        warm_up: args.warmup,
        // Which order it was is said of each run; drawn anew each time, nothing that repeats can fall in step with it.
        seed: args.gate.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish()),
        keeps_output: matches!(work, Work::Printed { .. }),
        ignores_failure: args.ignore_failure,
        timeout: args.timeout,
    };
    let stop = Stop::new().map_err(|error| Error::io("cannot make a pipe", error))?;
    signals::press_on_signal(&stop)?;
    let series = Series::new(options)?;
    let kept = args.keep.as_deref().map(Kept::create).transpose()?;
    let mut recorded = Recorded {
        args,
        work,
        kept,
        stop,
        series,
        runs: Runs::new(args.gate.matching.clone(), gate::needs_profiles(reports.formats().chain([outlet.format()]))),
        rounds: 0,
        is_stopped: false,
        late: None,
        event: None,
    };
    let count = args.until_decided.unwrap_or(args.count);
    demands.settings = match args.until_decided {
        None => {
            recorded.up_to(count)?;
            demands.settings
        }
        Some(most) => recorded.until_decided(most, &demands.settings)?,
    };
    let history = match recorded.event.take() {
        Some((event, unit)) => args.gate.noise(&event, unit)?,
        None => None,
    };
    let late = recorded.late.take();
    let missing = match (&late, recorded.is_stopped) {
        (Some(error), _) => {
            vec![format!("{error}; before that there were {} of each", count_of(recorded.rounds.into(), "run"))]
        }
        (None, true) => vec![format!("it was stopped after {} of each", count_of(recorded.rounds.into(), "run"))],
        (None, false) => Vec::new(),
    };
    let compared = gate::Compared {
        runs: recorded.runs,
        demands,
        history,
        work_unit: work_unit(&recorded.work),
        missing,
        gate: &args.gate,
        output: &args.output,
        width: args.width.into(),
    };
    let status = compared.finish(outlet, reports)?;
    late.map_or(Ok(status), Err)
}

/// What one unit of work is called.
fn work_unit(work: &Work) -> String {
    match work {
        Work::Known(units) if *units == [1.0; 2] => "run".to_owned(),
        _ => "unit of work".to_owned(),
    }
}

/// What has been run so far.
struct Recorded<'a> {
    args: &'a CompareArgs,
    work: Work,
    kept: Option<Kept>,
    stop: Stop,
    series: Series,
    runs: Runs,
    rounds: u32,
    is_stopped: bool,
    /// The error of a run that took too long, after others that did not.
    late: Option<Error>,
    /// The event of the runs, and what it counts.
    event: Option<(String, Unit)>,
}

impl Recorded<'_> {
    /// Looks again and again, until something can be said; what was demanded at the last look.
    fn until_decided(&mut self, most: u32, settings: &Settings) -> Result<Settings> {
        let looks = looks(most, settings.alpha);
        let (last, part) = (looks.len() - 1, looks.len() as f64);
        for (look, count) in looks.iter().enumerate() {
            let is_whole = self.up_to(*count)?;
            let settings = Settings {
                alpha: settings.alpha / part,
                warn_alpha: settings.warn_alpha / part,
                runs: settings.runs.min(most),
                looks: looks.len() as u32,
                // What the last look asks for, the first one does too.
                margin: Some(settings.margin_of(most as usize)),
                ..settings.clone()
            };
            let comparison = self.runs.compare(&settings, None);
            let outcome = comparison.verdict.outcome;
            self.say(&format!(
                "look {} of {}: {} runs of each, alpha {}: {}{}",
                look + 1,
                looks.len(),
                self.rounds,
                percent(settings.alpha),
                outcome.name(),
                comparison.verdict.missing.first().map(|why| format!(": {why}")).unwrap_or_default()
            ));
            if outcome != Outcome::Inconclusive || look == last || !is_whole {
                return Ok(settings);
            }
        }
        Err(Error::new(ErrorKind::Usage, "there is nothing to look at"))
    }

    /// Records until there are so many runs a side; whether there are.
    fn up_to(&mut self, count: u32) -> Result<bool> {
        let mut line = ProgressLine::new(!self.args.output.quiet, None);
        let Recorded { args, work, kept, runs, event, .. } = self;
        let made = self.series.run(
            count - self.rounds,
            &self.stop,
            &mut |progress| line.show_series(&progress_text(progress, count)),
            &mut |run| {
                let index = run.command;
                let work = units(work, &run, args)?;
                let SeriesRun { round, order, mut profile, .. } = run;
                if profile.samples.is_empty() {
                    let message = format!("{}, run {}: nothing was sampled", SIDES[index].name(), round + 1);
                    return Err(Error::new(ErrorKind::NotFound, message).with_hint(format!(
                        "a run must take some milliseconds of CPU time at {} Hz: let it do more, or raise -F",
                        args.freq
                    )));
                }
                let of = profile.events.get(profile.main.index());
                *event = of.map(|of| (profile.main_event().to_owned(), of.unit));
                if let Some(kept) = kept {
                    kept.keep(&mut profile, SIDES[index], order, work)?;
                }
                let label = format!("{} {}", SIDES[index].name(), round + 1);
                runs.add(SIDES[index], RunInput { label, profile, work, order: Some(order), series: String::new() });
                Ok(())
            },
        );
        line.clear();
        let made = match made {
            // Those that were made before it are in.
            Err(error) if self.series.is_late() && self.runs.count(Side::Base) > 0 => {
                self.late = Some(error);
                self.runs.count(Side::Base) as u32 - self.rounds
            }
            made => made?,
        };
        self.rounds += made;
        if self.rounds < count {
            self.is_stopped = true;
            self.say(&format!("stopped: {} of each, of {count}", count_of(self.rounds.into(), "run")));
        }
        if self.rounds == 0 {
            return Err(Error::new(ErrorKind::Io, "stopped before both commands had run")
                .with_hint("a Ctrl-C keeps pairs of runs that are whole; there are none yet"));
        }
        Ok(self.rounds >= count)
    }

    fn say(&self, text: &str) {
        if !self.args.output.quiet {
            // With standard error closed there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{}", printable(text));
        }
    }
}

/// After how many runs a side it is looked: 6, 9, 13, 19, 28 and so on, and `most`. The first look has so many that the smallest p that
/// relabellings can give is below what its part of `alpha` leaves for functions, four fifths.
fn looks(most: u32, alpha: f64) -> Vec<u32> {
    let from = |first: u32| {
        let mut looks = vec![first.min(most)];
        while let Some(last) = looks.last().copied()
            && last < most
        {
            let next = last + last / 2;
            // A last look that adds next to nothing costs a part of alpha.
            looks.push(if next + next / 10 >= most { most } else { next });
        }
        looks
    };
    let least_p = |runs: u32| (1..=u64::from(runs)).fold(1.0, |p, row| p * row as f64 / (u64::from(runs) + row) as f64);
    let mut first = 6;
    while first < most && least_p(first) > 0.8 * alpha / from(first).len() as f64 {
        first += 1;
    }
    from(first)
}

/// `run 5 of 16 (new), 0.5 s each, about 6 s left`.
fn progress_text(progress: SeriesProgress, count: u32) -> String {
    let SeriesProgress { command, done, is_warm_up, mean } = progress;
    let side = SIDES[command].name();
    if is_warm_up {
        return format!("warm-up run ({side})");
    }
    let of = count * 2;
    let time = mean.map_or(String::new(), |mean| {
        format!(", {} each, about {} left", seconds(mean), seconds(mean * of.saturating_sub(done)))
    });
    format!("run {} of {of} ({side}){time} (Ctrl-C ends it)", done + 1)
}

fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        short if short < 9.95 => format!("{short:.1} s"),
        middle if middle < 119.5 => format!("{middle:.0} s"),
        long => format!("{:.0} min", long / 60.0),
    }
}

fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The units of work that a run did.
fn units(work: &Work, run: &SeriesRun, args: &CompareArgs) -> Result<f64> {
    let (stream, pattern) = match work {
        Work::Known(units) => return Ok(units[run.command]),
        Work::Printed { stream, pattern } => (*stream, pattern),
    };
    let text = if stream == Stream::Output { &run.output } else { &run.errors };
    number_behind(text, pattern).ok_or_else(|| {
        let command = [&args.base, &args.new][run.command].display();
        let side = SIDES[run.command].name();
        let message = format!(
            "{side}, run {}: no number above 0 follows {pattern:?} on {}: {command}",
            run.round + 1,
            stream.name()
        );
        let hint = match String::from_utf8_lossy(text).lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!("its last line there is {:?}", line.chars().take(120).collect::<String>()),
            None => "it wrote nothing there".to_owned(),
        };
        Error::new(ErrorKind::NotFound, message).with_hint(hint)
    })
}

fn of_side(name: &str, error: Error) -> Error {
    let outer = Error::new(error.kind(), format!("--{name}: {error}"));
    match error.hint() {
        Some(hint) => outer.with_hint(hint),
        None => outer,
    }
}

/// Where runs are kept.
struct Kept {
    folders: [PathBuf; 2],
    /// Runs of one series have one; their order says nothing among others.
    key: String,
}

impl Kept {
    /// Makes the folders, which must be empty.
    fn create(folder: &Path) -> Result<Kept> {
        let folders = SIDES.map(|side| folder.join(side.name()));
        for folder in &folders {
            let failed = |error| Error::io(format!("cannot keep runs in {}", folder.display()), error);
            fs::create_dir_all(folder).map_err(failed)?;
            if fs::read_dir(folder).map_err(failed)?.next().is_some() {
                let message = format!("{} is not empty: other runs would be among these", folder.display());
                return Err(
                    Error::new(ErrorKind::Usage, message).with_hint("name a new folder, or remove what is in it")
                );
            }
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Kept { folders, key: format!("series-{now:x}") })
    }

    fn keep(&self, profile: &mut Profile, side: Side, order: u32, work: f64) -> Result<()> {
        let (key, label) = (self.key.clone(), side.name().to_owned());
        profile.stats.run = Some(RunMark { key, label, order: Some(order), work });
        let path = self.folders[side as usize].join(format!("run-{order:04}.pb.gz"));
        OutputFile::create(&path)?.finish_with(&mut |mut out| pprof::write(profile, &mut out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_grow_by_half_and_end_at_the_most() {
        assert_eq!(looks(6, 0.01), [6]);
        assert_eq!(looks(28, 0.01), [6, 9, 13, 19, 28]);
        assert_eq!(looks(20, 0.01), [6, 9, 13, 20]);
        assert_eq!(looks(40, 0.01), [6, 9, 13, 19, 28, 40]);
    }

    #[test]
    fn the_first_look_can_find_something() {
        let p = |runs: u32| (1..=u64::from(runs)).fold(1.0, |p, row| p * row as f64 / (u64::from(runs) + row) as f64);
        assert!((p(5) - 1.0 / 252.0).abs() < 1e-9);
        for (most, alpha) in [(1000, 0.01), (200, 0.001), (30, 0.05), (1000, 0.0001)] {
            let looks = looks(most, alpha);
            assert!(p(looks[0]) <= 0.8 * alpha / looks.len() as f64, "{looks:?}");
            assert_eq!(looks.last(), Some(&most));
            assert!(looks.windows(2).all(|two| two[0] < two[1]), "{looks:?}");
        }
    }

    #[test]
    fn progress_says_what_is_left() {
        let progress =
            SeriesProgress { command: 1, done: 4, is_warm_up: false, mean: Some(Duration::from_millis(500)) };
        assert_eq!(progress_text(progress, 8), "run 5 of 16 (new), 0.5 s each, about 6.0 s left (Ctrl-C ends it)");
        let first = SeriesProgress { command: 0, done: 0, is_warm_up: false, mean: None };
        assert_eq!(progress_text(first, 8), "run 1 of 16 (base) (Ctrl-C ends it)");
    }
}
