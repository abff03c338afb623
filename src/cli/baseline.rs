//! `profile baseline`: runs are kept, listed, and removed.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use flameprofile::baseline::{Store, check_key};
use flameprofile::gate::Matching;
use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::model::RunMark;
use flameprofile::render::name::printable;
use flameprofile::render::number::{count_of, grouped, quantity};
use flameprofile::{Error, ErrorKind, Result};

use super::output;
use super::sides::add_files;

pub const EXAMPLES: &str = "\
Examples:
  profile baseline save baselines runs/base --key bench-x86_64 --label $COMMIT   the runs that profile compare --keep has kept
  profile baseline list baselines                                                what is there, and how much runs differ
  profile baseline prune baselines --keep 60                                     the newest 60 runs of each key stay
  profile diff baselines/bench-x86_64 new.data                                   the runs of a key are a folder like any other

A store is a folder of plain files, which a cache of CI, an artefact or a branch can hold.
Exit status: 0 done, 2 failed.";

/// What to do with a store of runs.
#[derive(Args, Debug)]
pub struct BaselineArgs {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Keep runs; the store is made if it is not there
    Save(SaveArgs),
    /// List what is kept
    List(ListArgs),
    /// Remove old runs
    Prune(PruneArgs),
}

#[derive(Args, Debug)]
pub struct SaveArgs {
    /// The store, a folder
    #[arg(value_name = "DIR")]
    pub store: PathBuf,
    /// Recordings of any format that is read, a run each; a folder: all files in it
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Of what the runs are, and on which class of machines: only runs of one key are compared
    #[arg(long, value_name = "KEY")]
    pub key: String,
    /// What was run: runs of one label are of the same program [default: the commit, where CI says it]
    #[arg(long, value_name = "COMMIT")]
    pub label: Option<String>,
    /// Units of work that each run did [default: what the run says, else 1]
    #[arg(long, value_name = "NUMBER", value_parser = units)]
    pub work: Option<f64>,
    /// The event that is compared, by name [default: the first that has samples]
    #[arg(short, long)]
    pub event: Option<String>,
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// The store
    #[arg(value_name = "DIR")]
    pub store: PathBuf,
    /// Only the runs of this key
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

#[derive(Args, Debug)]
pub struct PruneArgs {
    /// The store
    #[arg(value_name = "DIR")]
    pub store: PathBuf,
    /// The newest runs of each key, so many, stay
    #[arg(long, value_name = "RUNS", required_unless_present = "older_than")]
    pub keep: Option<usize>,
    /// Only runs that began so many days ago or before are removed
    #[arg(long, value_name = "DAYS")]
    pub older_than: Option<u32>,
    /// Only the runs of this key
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn units(text: &str) -> std::result::Result<f64, String> {
    let number = text.parse().ok().filter(|number| (1e-18..=1e18).contains(number));
    number.ok_or_else(|| "units of work are a number above 0: 1000".to_owned())
}

/// Does what the arguments say.
pub fn run(args: &BaselineArgs) -> Result<ExitCode> {
    let text = match &args.action {
        Action::Save(args) => save(args)?,
        Action::List(args) => list(args)?,
        Action::Prune(args) => prune(args)?,
    };
    output::to_stdout(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Where systems of CI say which commit it is: GitHub, GitLab, Jenkins, Buildkite.
const COMMITS: [&str; 4] = ["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILDKITE_COMMIT"];

fn save(args: &SaveArgs) -> Result<String> {
    check_key(&args.key)?;
    let commit = || COMMITS.into_iter().find_map(|name| std::env::var(name).ok().filter(|commit| !commit.is_empty()));
    let label = args.label.clone().or_else(commit).unwrap_or_default();
    if label.chars().count() > 200 || label.chars().any(char::is_control) {
        return Err(Error::new(
            ErrorKind::Usage,
            "the label is longer than 200 letters, or has what is no letter in it",
        )
        .with_hint("a label says what was run: --label COMMIT"));
    }
    let mut files = Vec::new();
    for file in &args.files {
        add_files(file, &mut files)?;
    }
    // All are read before one is kept.
    let mut profiles = Vec::new();
    for file in &files {
        let options = ImportOptions { event: args.event.clone(), ..ImportOptions::default() };
        let profile = import(vec![Input::Path(file.clone())], &options, &mut |_| {})?;
        if profile.samples.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, format!("{} has no samples", file.display()))
                .with_hint("what is kept is compared with; an empty run is none"));
        }
        profiles.push(profile);
    }
    let store = Store::create(&args.store)?;
    let mut text = String::new();
    for mut profile in profiles {
        let work = args.work.or(profile.stats.run.as_ref().map(|run| run.work)).unwrap_or(1.0);
        // The order of one series says nothing among others.
        let mark = RunMark { key: args.key.clone(), label: label.clone(), order: None, work };
        let (path, is_new) = store.save(&mut profile, mark)?;
        let said = if is_new { "saved" } else { "is there already:" };
        let _ = writeln!(text, "{said} {}", printable(&path.display().to_string()));
    }
    Ok(text)
}

fn list(args: &ListArgs) -> Result<String> {
    let store = Store::open(&args.store)?;
    let keys = args.key.clone().map_or_else(|| store.keys(), |key| Ok(vec![key]))?;
    if keys.is_empty() {
        return Ok("there are no runs\n".to_owned());
    }
    let mut text = String::new();
    for (row, key) in keys.iter().enumerate() {
        let runs = store.runs(key)?;
        let _ = writeln!(text, "{}{key}: {}", if row > 0 { "\n" } else { "" }, count_of(runs.len() as u64, "run"));
        let mut rows = vec![["began", "label", "event", "value", "samples", "work", "host", "file"].map(str::to_owned)];
        for stored in &runs {
            let (profile, mark) = store.read(stored)?;
            let (value, samples) = super::sides::total(&profile);
            let unit = profile.events.get(profile.main.index()).map(|event| event.unit);
            let file = stored.path.file_name().unwrap_or_default().to_string_lossy();
            rows.push([
                stored.time.clone(),
                mark.label,
                profile.main_event().to_owned(),
                unit.map_or_else(String::new, |unit| quantity(value, unit)),
                grouped(samples),
                format!("{}", mark.work),
                profile.stats.host.clone(),
                file.into_owned(),
            ]);
        }
        text += &table(&rows);
        let history = store.history(key, &Matching::default())?;
        for (event, unit) in history.events() {
            match history.noise(&event, unit) {
                Some(noise) => {
                    let _ = writeln!(
                        text,
                        "noise between runs of {}: {:.1} %, from {} runs",
                        printable(&event),
                        noise.deviation * 100.0,
                        noise.runs
                    );
                }
                None => {
                    let event = printable(&event);
                    let _ = writeln!(
                        text,
                        "noise between runs of {event}: not known, it takes three runs that share functions"
                    );
                }
            }
        }
    }
    Ok(text)
}

/// Columns as wide as they must be, shown as text of one line each.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let shown: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| printable(cell).into_owned())).collect();
    let width = |column: usize| shown.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in &shown {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn prune(args: &PruneArgs) -> Result<String> {
    let store = Store::open(&args.store)?;
    let keys = args.key.clone().map_or_else(|| store.keys(), |key| Ok(vec![key]))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let before = args.older_than.map(|days| now.saturating_sub(u64::from(days) * 86_400));
    let (mut text, mut removed, mut kept) = (String::new(), 0u64, 0u64);
    for key in keys {
        let superfluous = store.superfluous(&key, args.keep, before)?;
        kept += (store.runs(&key)?.len() - superfluous.len()) as u64;
        for stored in superfluous {
            let said = if args.dry_run { "would remove" } else { "removed" };
            if !args.dry_run {
                store.remove(&stored)?;
            }
            removed += 1;
            let _ = writeln!(text, "{said} {}", printable(&stored.path.display().to_string()));
        }
    }
    let would = if args.dry_run { "would be removed" } else { "removed" };
    let _ = writeln!(text, "{} {would}, {} kept", count_of(removed, "run"), grouped(kept));
    Ok(text)
}
