//! `-f perf-data`: what perf reads in the files that we write, beside what our own summary says and what perf writes of
//! the same program.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use common::account::{self, Account};
use common::programs;
use common::run::{self, Target, finish, names_in, profile, stderr, stdout, text, wait_until};
use common::sigma;
use common::summary::Summary;

const LEAVES: [&str; 6] = ["leaf_40", "leaf_25", "leaf_15", "leaf_10", "leaf_07", "leaf_03"];

/// A recording: the perf.data, the summary, and what was said.
struct Recorded {
    _folder: TempDir,
    file: PathBuf,
    summary: Summary,
    printed: String,
    said: String,
}

/// Runs `profile FLAGS -o FILE.data --stats .. WHOM..`.
fn record(account: Account, flags: &[&str], whom: &[String]) -> Recorded {
    let folder = account::folder();
    let (file, stats) = (folder.path().join("out.data"), folder.path().join("stats.json"));
    let mut command = profile(account);
    command.args(flags).arg("-o").arg(&file).arg("--stats").arg(&stats).args(whom);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    let said = stderr(&output);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    assert_eq!(names_in(folder.path()), ["out.data", "stats.json"], "nothing else is left behind");
    let summary = Summary::parse(&std::fs::read_to_string(stats).expect("it was written"));
    Recorded { _folder: folder, file, summary, printed: stdout(&output), said }
}

fn command(account: Account, program: &Path, arguments: &[&str]) -> Vec<String> {
    let words = ["--".to_owned(), text(&account.reachable(program))];
    words.into_iter().chain(arguments.iter().map(|word| (*word).to_owned())).collect()
}

/// What `perf ARGUMENTS -f -i FILE` prints; it must succeed.
fn perf(arguments: &[&str], file: &Path) -> String {
    let mut command = Command::new("perf");
    command.args(arguments).args(["-f", "-i"]).arg(file).env("PERF_CONFIG", "/dev/null").env("PAGER", "cat");
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, stderr(&output));
    stdout(&output)
}

/// How many records of a type `perf report --stats` counts: `          SAMPLE events:        600`.
fn counted(file: &Path, kind: &str) -> u64 {
    count_in(&perf(&["report", "--stats"], file), kind)
}

fn count_in(stats: &str, kind: &str) -> u64 {
    let line = stats.lines().find_map(|line| line.trim().strip_prefix(kind)?.trim().strip_prefix("events:"));
    line.map_or(0, |rest| rest.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a count"))
}

/// A sample as `perf script` prints it.
#[derive(Debug)]
struct Sample {
    tid: u32,
    period: u64,
    /// Names of functions, innermost first.
    frames: Vec<String>,
}

impl Sample {
    /// The innermost function; empty if perf knows no frame.
    fn leaf(&self) -> &str {
        self.frames.first().map_or("", String::as_str)
    }
}

/// The samples of a file: a line `TID: PERIOD:`, then one for each frame, then an empty one.
fn samples(file: &Path) -> Vec<Sample> {
    let printed = perf(&["script", "--no-inline", "-F", "tid,period,ip,sym"], file);
    let blocks = printed.split("\n\n").map(str::trim_end).filter(|block| !block.is_empty());
    let sample = |block: &str| {
        let mut lines = block.trim_start_matches('\n').lines();
        let head = lines.next().expect("a block has a line");
        let numbers: Vec<u64> =
            head.split(|letter: char| !letter.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        assert!(numbers.len() >= 2, "no tid and period in {head:?}");
        let frames = lines.map(|line| line.trim().split_once(' ').map_or("", |(_, name)| name).trim().to_owned());
        Sample { tid: numbers[0] as u32, period: numbers[1], frames: frames.collect() }
    };
    blocks.map(sample).collect()
}

/// Mappings of code by size, offset, build id and path: what stays the same wherever they lie.
fn mappings(file: &Path) -> BTreeSet<String> {
    let printed = perf(&["script", "--show-mmap-events"], file);
    let lines = printed.lines().filter(|line| line.contains("PERF_RECORD_MMAP2") && line.contains("r-xp"));
    lines
        .map(|line| {
            // `.. 123/123: [0x55f12d8e8000(0x1000) @ 0x1000 <BUILD ID or device, inode>]: r-xp /bin/x`
            let size = line.split_once('(').and_then(|(_, rest)| rest.split_once(')')).expect("a size").0;
            let offset = line.split_once("@ ").and_then(|(_, rest)| rest.split(']').next()).expect("an offset");
            let path = line.split_once("r-xp ").expect("it was looked for").1;
            format!("{path} {size} {offset}")
        })
        .collect()
}

/// The names that threads had.
fn comms(file: &Path) -> BTreeSet<String> {
    let printed = perf(&["script", "--show-task-events"], file);
    let named = printed.lines().filter_map(|line| line.split_once("PERF_RECORD_COMM"));
    named
        .map(|(_, rest)| {
            rest.split_once(": ").and_then(|(_, rest)| rest.rsplit_once(':')).expect("a name").0.to_owned()
        })
        .collect()
}

macro_rules! need_perf {
    ($test:expr) => {
        need!(account::have("perf"), $test, "needs perf, of Debian's linux-perf");
    };
}

#[test]
fn perf_counts_the_samples_that_we_count() {
    need_perf!("perf_counts_the_samples_that_we_count");
    let run = record(Account::Own, &["-F", "999"], &command(Account::Own, &programs::c("actor"), &["busy", "300"]));
    let count = run.summary.count("samples");
    assert!(count >= 200, "{}", run.said);
    assert_eq!(counted(&run.file, "SAMPLE"), count);
    let mode = std::fs::metadata(&run.file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "copies of stacks are for nobody else");
    // One event, though each CPU has several timers; and periods add up to CPU time.
    assert_eq!(perf(&["evlist"], &run.file).trim(), run.summary.json()["event"].as_str().expect("it has a name"));
    let samples = samples(&run.file);
    assert_eq!(samples.len() as u64, count);
    let value: u64 = samples.iter().map(|sample| sample.period).sum();
    let expected = run.summary.number("coverage") * run.summary.number("cpu_seconds") * 1e9;
    assert!((value as f64 / expected - 1.0).abs() < 1e-6, "{value} ns, not {expected}");
    assert!(run.summary.json()["complete"].is_null(), "what was not unwound is not said to be complete");
}

#[test]
fn perf_unwinds_our_stack_copies() {
    need_perf!("perf_unwinds_our_stack_copies");
    let run = record(Account::Own, &["-F", "999"], &command(Account::Own, &programs::c("shares"), &["1", "250"]));
    let samples = samples(&run.file);
    let leaves: Vec<&Sample> = samples.iter().filter(|sample| sample.leaf().starts_with("leaf_")).collect();
    assert!(leaves.len() >= 100, "{}", run.said);
    for sample in leaves {
        let expected = ["dispatch", "one_round", "work", "main", "__libc_start_call_main"];
        let found: Vec<&str> = sample.frames[1..6].iter().map(String::as_str).collect();
        assert_eq!(found, expected, "one stack, by one way: {sample:?}");
    }
}

#[test]
fn perf_sees_the_true_shares_by_frame_pointers() {
    need_perf!("perf_sees_the_true_shares_by_frame_pointers");
    let program = programs::c_with("shares", &["-fno-omit-frame-pointer"]);
    let run = record(Account::Own, &["-F", "999", "--unwind", "fp"], &command(Account::Own, &program, &["2", "800"]));
    let samples = samples(&run.file);
    let mut hits: BTreeMap<&str, u64> = BTreeMap::new();
    for sample in &samples {
        if let Some(leaf) = LEAVES.iter().find(|leaf| sample.leaf() == **leaf) {
            *hits.entry(leaf).or_default() += 1;
            assert!(sample.frames.iter().any(|frame| frame == "one_round"), "the kernel's chain is there: {sample:?}");
        }
    }
    let truths: Vec<f64> = LEAVES.iter().map(|leaf| run::truth(&run.printed, &format!("TRUTH {leaf}"))).collect();
    let hits: Vec<u64> = LEAVES.iter().map(|leaf| hits.get(leaf).copied().unwrap_or(0)).collect();
    assert!(hits.iter().sum::<u64>() * 10 > samples.len() as u64 * 9, "{hits:?} of {}", samples.len());
    let (statistic, limit) = sigma::chi_square(&hits, &truths);
    assert!(statistic <= limit, "{hits:?} against {truths:?}: {statistic} > {limit}");
}

#[test]
fn names_and_mappings_are_those_that_perf_records() {
    need_perf!("names_and_mappings_are_those_that_perf_records");
    let (actor, shares) = (programs::c("actor"), programs::c("shares"));
    let words = command(Account::Own, &actor, &["forkexec", &text(&shares), "2", "20"]);
    let ours = record(Account::Own, &["-F", "999", "--unwind", "fp"], &words);
    let folder = account::folder();
    let file = folder.path().join("perf.data");
    let mut beside = Command::new("perf");
    // Without build ids, as ours: see `TRACKING` in src/sampler/open.rs.
    beside.args(["record", "-q", "-N", "-e", "cpu-clock", "-F", "999", "-g", "-o"]).arg(&file).args(&words);
    let output = finish(beside.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(mappings(&ours.file), mappings(&file));
    let kernel = |file: &Path| -> Option<String> {
        let printed = perf(&["script", "--show-mmap-events"], file);
        let line =
            printed.lines().find(|line| line.contains("PERF_RECORD_MMAP") && line.contains("[kernel.kallsyms]"))?;
        // Address, size and reference; perf tells it with a build id here, and so as MMAP2.
        Some(line.split_once(": [")?.1.split([']', '<']).next()?.trim().to_owned())
    };
    assert_eq!(kernel(&ours.file), kernel(&file));
    assert!(kernel(&file).is_some() || !account::is_root(), "root sees the kernel's addresses");
    // What the child was called before it ran its program is the recorder's affair.
    let programs = |comms: BTreeSet<String>| -> BTreeSet<String> {
        comms.into_iter().filter(|name| ["actor", "shares"].contains(&name.as_str())).collect()
    };
    assert_eq!(programs(comms(&ours.file)), programs(comms(&file)));
    assert_eq!(programs(comms(&ours.file)).len(), 2);
    for kind in ["FORK", "EXIT"] {
        assert_eq!(counted(&ours.file, kind), counted(&file, kind), "{kind}");
    }
}

#[test]
fn build_ids_are_those_of_the_files() {
    need_perf!("build_ids_are_those_of_the_files");
    let program = programs::c_with("shares", &["-Wl,--build-id=sha1"]);
    let run = record(Account::Own, &["-F", "999"], &command(Account::Own, &program, &["1", "30"]));
    let listed = perf(&["buildid-list"], &run.file);
    let notes = Command::new("readelf").arg("-n").arg(&program).output().expect("readelf comes with the compiler");
    let notes = stdout(&notes);
    let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: ")).expect("it has one");
    assert!(listed.contains(&format!("{id} {}", program.display())), "{listed}");
    assert!(listed.lines().any(|line| line.contains("libc.so.6")) && listed.contains("[vdso]"), "{listed}");
    if account::is_root() {
        let kernel = stdout(&Command::new("perf").args(["buildid-list", "-k"]).output().expect("perf is there"));
        assert!(listed.contains(&format!("{} [kernel.kallsyms]", kernel.trim())), "{listed}");
    }
}

#[test]
fn running_threads_are_told() {
    need_perf!("running_threads_are_told");
    let target = Target::start(Account::Own, &programs::c("actor"), &["pair"]);
    let run = record(Account::Own, &["-F", "999", "-d", "0.5", "-p", &target.pid_text()], &[]);
    let samples = samples(&run.file);
    assert_eq!(samples.len() as u64, run.summary.count("samples"));
    for (tid, function) in target.numbers().into_iter().zip(["busy_work", "other_work"]) {
        let of_thread: Vec<&Sample> = samples.iter().filter(|sample| sample.tid == tid).collect();
        assert!(of_thread.len() >= 20, "{tid}: {} of {}", of_thread.len(), samples.len());
        let right = of_thread.iter().filter(|sample| sample.frames.iter().any(|frame| frame == function)).count();
        assert!(right * 10 >= of_thread.len() * 9, "{tid}: {right} of {} in {function}", of_thread.len());
    }
    let pid = target.pid();
    let told = perf(&["script", "--show-task-events"], &run.file);
    assert!(told.contains(&format!("PERF_RECORD_COMM: actor:{pid}/{pid}")), "{}", &told[..told.len().min(2000)]);
    // Nobody else's.
    assert!(samples.iter().all(|sample| target.numbers().contains(&sample.tid) || sample.tid == pid));
}

#[test]
fn whole_machine_is_recorded() {
    need_perf!("whole_machine_is_recorded");
    need!(account::is_root(), "whole_machine_is_recorded", "needs root");
    let _target = Target::start(Account::Own, &programs::c("actor"), &["spin"]);
    let run = record(Account::Own, &["-F", "999", "-d", "0.5", "-a", "--unwind", "fp"], &[]);
    assert_eq!(counted(&run.file, "SAMPLE"), run.summary.count("samples"));
    assert!(samples(&run.file).iter().any(|sample| sample.leaf().starts_with("busy_work")), "{}", run.said);
}

#[test]
fn plain_user_records_too() {
    need_perf!("plain_user_records_too");
    let words = command(Account::Plain, &programs::c("shares"), &["2", "250"]);
    let run = record(Account::Plain, &["-F", "999"], &words);
    let samples = samples(&run.file);
    assert_eq!(samples.len() as u64, run.summary.count("samples"));
    let leaves = samples.iter().filter(|sample| sample.leaf().starts_with("leaf_"));
    let (mut count, mut rooted) = (0, 0);
    for sample in leaves {
        count += 1;
        rooted += usize::from(sample.frames.iter().any(|frame| frame == "work"));
    }
    assert!(count >= 100 && rooted == count, "{rooted} of {count}");
    if account::is_root() {
        assert!(run.said.contains("not in the file"), "what an estimate would show is said:\n{}", run.said);
    }
}

#[test]
fn packed_is_smaller_and_the_same() {
    need_perf!("packed_is_smaller_and_the_same");
    let options = stdout(&Command::new("perf").args(["version", "--build-options"]).output().expect("perf is there"));
    let packs = options.lines().any(|line| line.trim().starts_with("zstd: [ on"));
    need!(packs, "packed_is_smaller_and_the_same", "this perf is built without zstd");
    let words = command(Account::Own, &programs::c("shares"), &["2", "250"]);
    let plain = record(Account::Own, &["-F", "999"], &words);
    let packed = record(Account::Own, &["-F", "999", "-z"], &words);
    assert!(counted(&packed.file, "COMPRESSED") > 0);
    let samples = samples(&packed.file);
    assert_eq!(samples.len() as u64, packed.summary.count("samples"));
    assert_eq!(mappings(&packed.file), mappings(&plain.file));
    let leaves: Vec<&Sample> = samples.iter().filter(|sample| sample.leaf().starts_with("leaf_")).collect();
    assert!(leaves.len() >= 100 && leaves.iter().all(|sample| sample.frames.iter().any(|frame| frame == "work")));
    let per_sample = |run: &Recorded| {
        std::fs::metadata(&run.file).expect("it is there").len() as f64 / run.summary.count("samples") as f64
    };
    assert!(per_sample(&packed) * 4.0 < per_sample(&plain), "{} of {}", per_sample(&packed), per_sample(&plain));
}

#[test]
fn pipe_carries_the_stream() {
    need_perf!("pipe_carries_the_stream");
    let folder = account::folder();
    let stats = folder.path().join("stats.json");
    let mut recording = profile(Account::Own);
    recording.args(["-F", "999", "-f", "perf-data", "--stats"]).arg(&stats);
    recording.args(command(Account::Own, &programs::c("actor"), &["busy", "300"]));
    let output = finish(recording.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{}", stderr(&output));
    let mut reader = Command::new("perf");
    reader.args(["report", "--stats", "-i", "-"]).env("PERF_CONFIG", "/dev/null");
    let mut reader =
        reader.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("perf is there");
    let mut input = reader.stdin.take().expect("it is piped");
    let writing = std::thread::spawn(move || input.write_all(&output.stdout));
    let read = finish(Ok(reader));
    writing.join().expect("it does not panic").expect("perf reads all of it");
    assert!(read.status.success(), "{}", stderr(&read));
    let summary = Summary::parse(&std::fs::read_to_string(stats).expect("it was written"));
    assert!(summary.count("samples") > 100);
    assert_eq!(count_in(&stdout(&read), "SAMPLE"), summary.count("samples"));
}

#[test]
fn interrupted_recording_is_whole() {
    need_perf!("interrupted_recording_is_whole");
    for signal in [Signal::INT, Signal::TERM] {
        let target = Target::start(Account::Own, &programs::c("actor"), &["spin"]);
        let folder = account::folder();
        let (file, stats) = (folder.path().join("out.data"), folder.path().join("stats.json"));
        let mut command = profile(Account::Own);
        command.args(["-F", "999", "-p", &target.pid_text(), "-o"]).arg(&file).arg("--stats").arg(&stats);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.expect("profile can be started");
        let pid = Pid::from_child(&child);
        // The file beside grows once there are samples; the one that was asked for is not there before the end.
        let grown = || {
            let entries = std::fs::read_dir(folder.path()).expect("it is there").flatten();
            entries.filter_map(|entry| entry.metadata().ok()).any(|known| known.len() > 100_000)
        };
        wait_until("samples are written", grown);
        assert!(!file.exists(), "half a file has no name");
        kill_process(pid, signal).expect("it runs");
        let output = finish(Ok(child));
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(names_in(folder.path()), ["out.data", "stats.json"], "nothing else is left behind");
        let summary = Summary::parse(&std::fs::read_to_string(&stats).expect("it was written"));
        assert!(summary.count("samples") > 0);
        assert_eq!(counted(&file, "SAMPLE"), summary.count("samples"));
    }
}

#[test]
fn full_disk_keeps_what_is_there() {
    need_perf!("full_disk_keeps_what_is_there");
    let able = account::is_root() && account::have("unshare");
    need!(able, "full_disk_keeps_what_is_there", "needs root and unshare: to mount a small disk");
    let folder = account::folder();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).expect("it is ours");
    let script = "mount -t tmpfs -o size=1m none \"$1\" || exit 99
        \"$0\" -F 999 --stats \"$2/stats.json\" -o \"$1/out.data\" -- \"$3\" 2 20000
        status=$?
        cp \"$1/out.data\" \"$2/out.data\" || exit 98
        exit $status";
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script])
        .arg(run::binary())
        .arg(&disk)
        .arg(folder.path())
        .arg(programs::c("shares"));
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("No space left on device") && said.contains("the recording ended there"), "{said}");
    let file = folder.path().join("out.data");
    let stats = std::fs::read_to_string(folder.path().join("stats.json")).expect("it was written");
    let count = Summary::parse(&stats).count("samples");
    assert!(count > 20 && said.contains(&format!("{count} samples are in")), "{said}");
    assert_eq!(counted(&file, "SAMPLE"), count);
    assert!(perf(&["buildid-list"], &file).contains("shares"), "the features have found room");
}

#[test]
fn tracepoints_are_described() {
    need_perf!("tracepoints_are_described");
    // perf mounts tracefs if nobody has.
    let _ = Command::new("perf").args(["list", "sched:sched_switch"]).output();
    let tracefs = Path::new("/sys/kernel/tracing/events/sched/sched_switch/format").exists();
    let able = account::is_root() && tracefs;
    need!(able, "tracepoints_are_described", "needs root, and tracefs mounted");
    let words = command(Account::Own, Path::new("/bin/sh"), &["-c", "for i in 1 2 3 4 5; do sleep 0.01; done"]);
    let run = record(Account::Own, &["-e", "sched:sched_switch"], &words);
    assert!(run.summary.count("samples") >= 5, "{}", run.said);
    assert_eq!(samples(&run.file).len() as u64, run.summary.count("samples"));
}

#[test]
fn samply_reads_the_samples() {
    need!(account::have("samply"), "samply_reads_the_samples", "needs samply");
    let run = record(Account::Own, &["-F", "999"], &command(Account::Own, &programs::c("shares"), &["1", "250"]));
    let profile = run.file.with_file_name("profile.json");
    let mut command = Command::new("samply");
    command.args(["import", "--save-only", "-o"]).arg(&profile).arg(&run.file);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{}", stderr(&output));
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(profile).expect("it was written")).expect("it is JSON");
    let threads = json["threads"].as_array().expect("there are threads");
    let count: usize = threads.iter().map(|thread| thread["samples"]["stack"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(count as u64, run.summary.count("samples"));
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |words: &[&str], reason: &str, hint: &str| {
        let mut command = profile(Account::Own);
        command.args(words).args(["--", "true"]);
        let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(reason) && said.contains(hint), "{said}");
    };
    refused(&["-z", "-f", "svg"], "-z packs a perf.data", "-f perf-data");
    refused(&["-z", "-f", "perf-data"], "cannot read a packed perf.data from a pipe", "-o");
    let folder = account::folder();
    let file = folder.path().join("old.data");
    std::fs::write(&file, "old").expect("it is ours");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).expect("it is ours");
    refused(&["-o", &text(&file)], "cannot write", "-o takes a file");
    assert_eq!(std::fs::read(&file).expect("it is there"), b"old");
}
