//! Recordings that others made, in the folder that `PROFILE_CORPUS` names: each is read to its last sample, or refused with a
//! reason, and what is read is what perf reads in the same bytes.
//!
//! The folder may hold more or others than today; nothing here knows its files by name. `.ci/run` sets it where it is there.

mod common;
#[path = "corpus/older.rs"]
mod older;
#[path = "corpus/perf_dump.rs"]
mod perf_dump;
#[path = "corpus/simpleperf_folded.rs"]
mod simpleperf_folded;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use common::account::{self, have};
use common::folded::Folded;
use common::run::{binary, finish, stderr, stdout};
use common::summary::Summary;
use flameprofile::import::{ImportOptions, Input};
use flameprofile::model::Profile;
use flameprofile::perf::Record;
use perf_dump::Dumped;

/// The folder of recordings, if there is one.
fn corpus() -> Option<PathBuf> {
    env::var_os("PROFILE_CORPUS").map(PathBuf::from).filter(|folder| folder.is_dir())
}

const NO_CORPUS: &str = "PROFILE_CORPUS names no folder";

/// All recordings below a folder: what is neither text nor a list of stacks.
fn recordings(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is readable").map(|entry| entry.expect("it is readable")) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && !path.join("data").is_file() {
            found.extend(recordings(&path));
        } else if !name.contains(".folded") && !name.ends_with(".md") && !name.ends_with(".txt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What `profile import` says of a recording, its summary and its stacks.
fn imported(path: &Path, flags: &[&str]) -> Result<(Summary, Folded), String> {
    let folder = account::folder();
    let (stacks, stats) = (folder.path().join("out.folded"), folder.path().join("stats.json"));
    let mut command = Command::new(binary());
    command
        .arg("import")
        .arg(path)
        .args(flags)
        .args(["-f", "folded", "--annotate", "-o"])
        .arg(&stacks)
        .arg("--stats")
        .arg(&stats);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    let said = stderr(&output);
    assert_eq!(output.status.signal(), None, "{command:?}: ended by a signal\n{said}");
    assert!(!said.contains("panicked"), "{command:?}\n{said}");
    match output.status.code() {
        Some(0) => {
            let read = |path: &Path| fs::read_to_string(path).expect("it was written");
            Ok((Summary::parse(&read(&stats)), Folded::parse(&read(&stacks))))
        }
        Some(2) => Err(said),
        other => panic!("{command:?}: status {other:?}\n{said}"),
    }
}

/// Samples by event, in the order of the events.
fn by_event(profile: &Profile) -> Vec<(String, u64)> {
    let mut counts = vec![0; profile.events.len()];
    profile.samples.iter().for_each(|sample| counts[sample.event.index()] += u64::from(sample.count));
    let names = profile.events.iter().map(|event| profile.strings.get(event.name).to_owned());
    names.zip(counts).collect()
}

fn read(path: &Path) -> flameprofile::Result<Profile> {
    flameprofile::import::import(vec![Input::Path(path.to_owned())], &ImportOptions::default(), &mut |_| {})
}

/// The time off the CPU, which is made of the samples of another event.
const DERIVED: &str = "off-cpu";

/// What was passed over for a reason.
fn skipped(summary: &Summary, what: &str) -> u64 {
    summary.json()["skipped"][what].as_u64().unwrap_or(0)
}

#[test]
fn every_recording_is_read_or_refused_with_a_reason() {
    let Some(corpus) = corpus() else {
        return common::skip::skip("every_recording_is_read_or_refused_with_a_reason", NO_CORPUS);
    };
    let mut opened = 0;
    let all = recordings(&corpus);
    for path in &all {
        let name = path.display();
        let (summary, _) = match imported(path, &[]) {
            Ok(read) => read,
            Err(said) => {
                // `error: FILE ...`, and what is wrong with it.
                assert!(said.contains(&name.to_string()), "{name}: refused without its name\n{said}");
                assert!(read(path).is_err(), "{name}: refused by the binary, read by the library\n{said}");
                eprintln!("refused: {said}");
                continue;
            }
        };
        opened += 1;
        let profile = read(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let events: Vec<_> = by_event(&profile).into_iter().filter(|(event, _)| event != DERIVED).collect();
        let kept: u64 = events.iter().map(|(_, samples)| samples).sum();
        let records = summary.json()["records"]["SAMPLE"].as_u64().unwrap_or(0);
        let dropped = skipped(&summary, "samples that contradict themselves");
        // Records of all types, samples among them.
        let of_nobody = skipped(&summary, "records of no known event");
        assert!(
            kept + dropped <= records && records <= kept + dropped + of_nobody,
            "{name}: of {records} SAMPLE records {kept} were kept, {dropped} dropped: {}",
            summary.json()
        );
        // Of several events of one name the binary draws the first with samples: nothing to compare.
        for (event, samples) in events
            .iter()
            .filter(|(event, samples)| *samples > 0 && events.iter().filter(|(other, _)| other == event).count() == 1)
        {
            let (summary, folded) = imported(path, &["--event", event]).unwrap_or_else(|said| panic!("{name}: {said}"));
            assert_eq!(summary.count("samples"), *samples, "{name}: {event}");
            assert!(!folded.rows.is_empty(), "{name}: {event}: no stacks");
        }
    }
    assert!(!all.is_empty(), "{} holds no recordings", corpus.display());
    println!("{opened} of {} recordings opened", all.len());
}

fn perf(arguments: &[&str], path: &Path) -> Output {
    let folder = account::folder();
    let mut command = Command::new("perf");
    // No symbols: perf must not find this machine's files for those of another.
    command.arg("--no-pager").arg("--buildid-dir").arg(folder.path()).args(arguments).arg("-i").arg(path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn())
}

/// What `perf report --stats` counts: all samples, and those of each event in turn; nothing if perf does not read the file.
fn counted_by_perf(path: &Path) -> Option<(u64, Vec<(String, u64)>)> {
    let output = perf(&["report", "--stats"], path);
    let mut total = None;
    let mut events: Vec<(String, u64)> = Vec::new();
    let mut event: Option<String> = None;
    for line in stdout(&output).lines() {
        if let Some(name) = line.strip_suffix(" stats:") {
            event = (name != "Aggregated").then(|| name.to_owned());
        } else if let Some(count) = line.trim().strip_prefix("SAMPLE events:") {
            let count =
                count.split_whitespace().next().and_then(|count| count.parse().ok()).expect("perf prints a count");
            match event.take() {
                None => total = Some(count),
                Some(name) => events.push((name, count)),
            }
        }
    }
    // Says what it could read, too, of a file at which it failed.
    total.filter(|_| output.status.success()).map(|total| (total, events))
}

/// A recording as perf is given it.
struct ForPerf {
    path: PathBuf,
    counts: (u64, Vec<(String, u64)>),
    /// The copy, if it is one.
    _folder: Option<tempfile::TempDir>,
}

/// The recording itself, or where perf does not read that, a copy with its attributes as an older perf writes them; nothing if perf
/// does not read that either.
fn for_perf(path: &Path) -> Option<ForPerf> {
    if let Some(counts) = counted_by_perf(path) {
        return Some(ForPerf { path: path.to_owned(), counts, _folder: None });
    }
    let older = older::with_older_attributes(&fs::read(path).ok()?)?;
    let folder = account::folder();
    let path = folder.path().join("perf.data");
    fs::write(&path, older).expect("/tmp is writable");
    let counts = counted_by_perf(&path)?;
    Some(ForPerf { path, counts, _folder: Some(folder) })
}

/// The name without what perf adds or leaves out, modifiers and terms; of two names of one event the one that perf shows.
fn plain(event: &str) -> &str {
    // `perf list hw sw`: "cpu-cycles OR cycles". simpleperf keeps what was typed.
    const ALIASES: [(&str, &str); 6] = [
        ("cpu-cycles", "cycles"),
        ("branch-instructions", "branches"),
        ("cs", "context-switches"),
        ("faults", "page-faults"),
        ("migrations", "cpu-migrations"),
        ("idle-cycles-frontend", "stalled-cycles-frontend"),
    ];
    let name = match event.split_once(':') {
        // A tracepoint's name has a colon of its own.
        Some((_, rest)) if rest.len() > 4 => event,
        _ => event.split([':', '/']).next().unwrap_or(event),
    };
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, shown)| shown)
}

#[test]
fn samples_are_as_many_as_perf_counts() {
    const TEST: &str = "samples_are_as_many_as_perf_counts";
    let Some(corpus) = corpus() else { return common::skip::skip(TEST, NO_CORPUS) };
    need!(have("perf"), TEST, "no perf");
    let (mut files, mut copies, mut all, mut unread) = (0, 0, 0, Vec::new());
    for path in recordings(&corpus) {
        let name = path.display();
        let Some(ForPerf { counts: (total, events), _folder: copy, .. }) = for_perf(&path) else {
            unread.push(name.to_string());
            continue;
        };
        copies += usize::from(copy.is_some());
        let profile = read(&path).unwrap_or_else(|error| panic!("{name}: perf reads it, but {error}"));
        let ours: Vec<_> = by_event(&profile).into_iter().filter(|(event, _)| event != DERIVED).collect();
        let mut ours_by_name: BTreeMap<&str, u64> = BTreeMap::new();
        ours.iter().for_each(|(event, samples)| *ours_by_name.entry(plain(event)).or_default() += samples);
        let mut perfs_by_name: BTreeMap<&str, u64> = BTreeMap::new();
        events.iter().for_each(|(event, samples)| *perfs_by_name.entry(plain(event)).or_default() += samples);
        // perf lists only events that have samples.
        ours_by_name.retain(|_, samples| *samples > 0);
        assert_eq!(ours.iter().map(|(_, samples)| samples).sum::<u64>(), total, "{name}");
        assert_eq!(ours_by_name, perfs_by_name, "{name}");
        files += 1;
        all += total;
    }
    println!(
        "{files} recordings ({copies} of them copies) with {all} samples as perf counts; not read by perf: {unread:#?}"
    );
    assert!(files > 0, "perf reads none");
}

/// Every sample's identity, period, call chain and branch stack, in the same order.
#[test]
fn chains_and_branches_are_as_perf_reads_them() {
    const TEST: &str = "chains_and_branches_are_as_perf_reads_them";
    let Some(corpus) = corpus() else { return common::skip::skip(TEST, NO_CORPUS) };
    need!(have("perf"), TEST, "no perf");
    let (mut files, mut samples, mut frames, mut branches) = (0, 0, 0, 0);
    for path in recordings(&corpus) {
        let name = path.display();
        let Some(readable) = for_perf(&path) else { continue };
        let theirs = perf_dump::samples(&stdout(&perf(&["script", "-D"], &readable.path)));
        let mut ours = Vec::new();
        let read = flameprofile::import::records(&path, |record| {
            if let Record::Sample(sample) = record {
                ours.push(Dumped::of(sample));
            }
        });
        read.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(ours.len(), theirs.len(), "{name}: samples");
        for (row, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            if let Err(difference) = perf_dump::compare(ours, theirs) {
                panic!("{name}: sample {row}: {difference}\n  ours: {ours:x?}\n  perf: {theirs:x?}");
            }
        }
        files += 1;
        samples += ours.len();
        frames += ours.iter().map(|sample| sample.chain.len()).sum::<usize>();
        branches += ours.iter().map(|sample| sample.branches.len()).sum::<usize>();
    }
    println!("{files} recordings, {samples} samples, {frames} words of call chains, {branches} branches equal perf's");
    assert!(frames > 0 && branches > 0, "nothing was compared");
}

/// The folded stacks that simpleperf's own script made of the same recording: `NAME.foldedstack*` beside `NAME.data`.
///
/// See `simpleperf_folded` for what that script does that we do not.
#[test]
fn stacks_are_as_simpleperf_folds_them() {
    const TEST: &str = "stacks_are_as_simpleperf_folds_them";
    let Some(corpus) = corpus() else { return common::skip::skip(TEST, NO_CORPUS) };
    let mut compared = 0;
    for path in recordings(&corpus) {
        let stem = path.file_stem().expect("it has a name").to_string_lossy().into_owned() + ".foldedstack";
        for entry in fs::read_dir(path.parent().expect("it is in a folder")).expect("it is readable").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(variant) = name.strip_prefix(&stem) else { continue };
            let options = ImportOptions {
                event: (variant == "_cpu_clock").then(|| "cpu-clock".to_owned()),
                ..ImportOptions::default()
            };
            let profile = flameprofile::import::import(vec![Input::Path(path.clone())], &options, &mut |_| {});
            let ours =
                simpleperf_folded::as_the_script_does(&profile.unwrap_or_else(|error| panic!("{name}: {error}")));
            let theirs = simpleperf_folded::parse(&fs::read_to_string(entry.path()).expect("it is text"));
            assert_eq!(ours, theirs, "{name}");
            compared += 1;
        }
    }
    println!("{compared} files of folded stacks are equal");
}
