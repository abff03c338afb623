//! Samples whose stacks are walked in the kernel, beside the same samples walked from their copies. They need root; where BPF
//! programs cannot be loaded, that is said aloud.
#![cfg(feature = "bpf")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::account::{Account, have};
use common::folded::Row;
use common::programs;
use common::run::Target as Program;
use flameprofile::model::{Profile, Sample, StackEnd, StackId};
use flameprofile::sampler::{Sampling, Target};
use flameprofile::session::{RecordOptions, Stop, UseBpf, record};

/// Records a program by both ways at once; nothing if BPF programs cannot be loaded here.
fn both_ways(program: &Path, arguments: &[&str]) -> Option<Profile> {
    let running = Program::start_silent(Account::Own, program, arguments);
    let mut options = RecordOptions::new(Target::Processes(vec![running.pid()]));
    options.bpf = UseBpf::Both;
    options.sampling = Some(Sampling::Frequency(997));
    options.duration = Some(Duration::from_secs(4));
    let stop = Stop::new().expect("a pipe");
    let profile = record(&options, &stop, &mut |_| {}).expect("it can be recorded").profile;
    let walks = profile.stats.kernel_walks.as_ref().expect("it was thought of");
    if let Some(why_not) = &walks.why_not {
        common::skip::here(&format!("BPF cannot be used: {why_not}"));
        return None;
    }
    Some(profile)
}

/// A sample's stack: frames outermost last, each with what it is and how it was found; and how it ends.
type Stack = (Vec<String>, StackEnd);

fn frames(profile: &Profile, mut stack: StackId) -> Vec<String> {
    let mut frames = Vec::new();
    while stack.0 != 0 {
        let row = profile.stacks[stack.index()];
        stack = row.parent;
        let frame = &profile.frames[row.frame.index()];
        frames.push(format!("{:?}", frame.key));
    }
    frames
}

/// The stacks of one sample as both ways found them: first the kernel's.
fn pairs(profile: &Profile) -> Vec<(Stack, Stack)> {
    /// The time of the record is taken before the program runs (`bpf_overflow_handler`, kernel/events/core.c).
    const SOON: u64 = 1_000_000;
    let mut by_thread: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for sample in profile.samples.iter() {
        by_thread.entry(sample.thread.0).or_default().push(sample);
    }
    let mut pairs = Vec::new();
    for samples in by_thread.values_mut() {
        samples.sort_by_key(|sample| sample.time);
        for (index, walked) in samples.iter().enumerate().filter(|(_, sample)| sample.event.0 == 1) {
            // Timers that fire together are one behind the other, so that the record before it is its own.
            let Some(copied) = samples[..index].last().filter(|before| before.event.0 == 0) else { continue };
            if walked.time.0 - copied.time.0 < SOON {
                let stack = |stack, end| (frames(profile, stack), end);
                pairs.push((stack(walked.stack, walked.end), stack(copied.stack, copied.end)));
            }
        }
    }
    pairs
}

/// Asserts that both ways find the same of a program; `least` is how many samples are walked in the kernel, of a thousand.
fn agree(name: &str, program: &Path, arguments: &[&str], least: u64) {
    let Some(profile) = both_ways(program, arguments) else { return };
    let walks = profile.stats.kernel_walks.clone().expect("it was asked for");
    // In the second half all tables are there.
    let (begin, end) = (profile.samples.get(0).time.0, profile.samples.iter().last().expect("there is one").time.0);
    let late = |event| {
        let is_late = |sample: &Sample| sample.time.0 > begin.midpoint(end);
        profile.samples.iter().filter(|sample| sample.event.0 == event && is_late(sample)).count() as u64
    };
    let (by_copies, walked) = (late(0), late(1));
    let pairs = pairs(&profile);
    // What is larger than its copy says so; the kernel has no such limit.
    let whole: Vec<_> = pairs.iter().filter(|(_, (_, end))| *end == StackEnd::Root).collect();
    let differ: Vec<_> = whole.iter().filter(|((walked, _), (copied, _))| walked != copied).collect();
    let share = walked * 1000 / by_copies.max(1);
    println!(
        "{name}: in the second half {} samples, {} walked in the kernel; in all {} pairs, {} whole in both, {} differ; {:?}",
        by_copies,
        walked,
        pairs.len(),
        whole.len(),
        differ.len(),
        walks.counts
    );
    if let Some(((walked, _), (copied, _))) = differ.first() {
        println!("walked in the kernel: {walked:#?}\nfrom the copy: {copied:#?}");
    }
    assert!(pairs.len() > 200, "{name}: only {} pairs", pairs.len());
    assert!(differ.len() * 1000 <= whole.len(), "{name}: {} of {} differ", differ.len(), whole.len());
    assert!(share >= least, "{name}: only {share} of 1000 are walked in the kernel: {:?}", walks.counts);
}

#[test]
fn stacks_of_c_are_the_same_both_ways() {
    agree("C in libc", &programs::c("libc_heavy"), &["40"], 950);
}

#[test]
fn stacks_of_rust_are_the_same_both_ways() {
    agree("Rust", &programs::rust_with("rust_prog", &[]), &["40"], 950);
}

#[test]
fn stacks_of_go_are_the_same_both_ways() {
    if !have("go") {
        return common::skip::here("there is no go");
    }
    agree("Go", &programs::go("nested", &[]), &["40"], 500);
}

/// Two libraries that stand at one address in turn, of a program that works in them, or waits in them.
fn reuse(flags: &[&str], seconds: &str) -> Vec<std::ffi::OsString> {
    let library = |name: &str| {
        let name = format!("-Dlate_work={name}");
        programs::c_with("late_library", &[&["-shared", "-fPIC", &name], flags].concat())
    };
    let program = programs::c_with("reuse", flags).into_os_string();
    let libraries = ["only_in_first", "only_in_second"].map(library).map(Into::into);
    [program, seconds.into()].into_iter().chain(libraries).collect()
}

/// Asserts that no stack of that program has what is in one library below what is called from the other, and that of a hundred at
/// least so many are good.
fn libraries_are_told_apart(
    name: &str,
    flags: &[&str],
    words: &[std::ffi::OsString],
    (is_good, least): (fn(&Row) -> bool, u64),
) {
    let (mut command, folder) = (common::run::profile(Account::Own), common::account::folder());
    let (out, stats) = (folder.path().join("out.folded"), folder.path().join("stats.json"));
    command.args(["record", "-f", "folded", "--annotate", "-o"]).arg(&out).arg("--stats").arg(&stats).args(flags);
    command.arg("--").args(words).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let output = common::run::finish(command.spawn());
    assert!(output.status.success(), "{}", common::run::stderr(&output));
    let stats: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&stats).expect("it was written")).expect("it is JSON");
    if !stats["bpf"]["why_not"].is_null() {
        return common::skip::here(&format!("BPF cannot be used: {}", stats["bpf"]["why_not"]));
    }
    let text = std::fs::read_to_string(&out).expect("it was written");
    let rows = common::folded::Folded::parse(&text).rows;
    let weight =
        |pass: &dyn Fn(&Row) -> bool| -> u64 { rows.iter().filter(|row| pass(row)).map(|row| row.weight).sum() };
    let is_wrong = |row: &Row| {
        row.has("wants_first") && row.has("only_in_second") || row.has("wants_second") && row.has("only_in_first")
    };
    let (all, cut) = (weight(&|_| true), weight(&|row| row.mentions("[truncated: mappings changed]")));
    // A busy machine makes it wait for a CPU as often as it likes.
    let is_own = |row: &Row| !row.mentions("[runnable]");
    let (own, good) = (weight(&is_own), weight(&|row| is_own(row) && is_good(row)));
    println!(
        "{name}: {good} of {own} good, {} wrong, {cut} cut as mappings changed, {} otherwise; reused {}; {}",
        weight(&is_wrong),
        weight(&|row| row.mentions("[truncated: ")) - cut,
        common::run::truth(&common::run::stdout(&output), "REUSED"),
        stats["bpf"]["counts"],
    );
    assert!(common::run::truth(&common::run::stdout(&output), "REUSED") > 2.0, "{name}: they did not");
    assert!(all > 0 && weight(&is_wrong) == 0, "{name}:\n{text}");
    assert!(own > 0 && good * 100 >= own * least, "{name}: {good} of {own}:\n{text}");
}

/// A whole stack whose library is the one that was called.
fn is_right(row: &Row) -> bool {
    let is_whole = row.has("main") && !row.mentions("[truncated: ");
    is_whole
        && [("wants_first", "only_in_first"), ("wants_second", "only_in_second")]
            .iter()
            .any(|(caller, callee)| row.has(caller) && row.has(callee))
}

/// What it called is there, if nothing else is.
fn has_leaf(row: &Row) -> bool {
    row.frames.iter().any(|frame| frame.contains("nanosleep") && !frame.ends_with("_[k]"))
}

#[test]
fn libraries_at_one_address_are_told_apart() {
    // Measured: 91 to 97 of a hundred, on a busy machine too.
    libraries_are_told_apart("samples", &["-F", "997"], &reuse(&[], "1.5"), (is_right, 75));
    // Samples of such a process have no copies here until its mappings are known: 60 to 62, with four busy threads beside too.
    libraries_are_told_apart("both", &["--wall", "-F", "997"], &reuse(&[], "1.5"), (is_right, 35));
    // Waits have no copies at all, and are cut where the library could be the other one: 90 to 97 have the innermost frame.
    libraries_are_told_apart("waits", &["--off-cpu"], &reuse(&["-DNAPS"], "3"), (has_leaf, 60));
}

#[test]
fn nothing_stays_attached_when_it_is_killed() {
    let running = Program::start_silent(Account::Own, &programs::c("libc_heavy"), &["8"]);
    let pid = running.pid().to_string();
    let before = held();
    let arguments = ["-p", &pid, "-d", "20", "-q", "--bpf", "auto", "-o", "/dev/null", "-f", "folded", "--annotate"];
    let mut profile = std::process::Command::new(binary()).args(arguments).spawn().expect("it starts");
    let mut most = Vec::new();
    for _ in 0..200 {
        std::thread::sleep(Duration::from_millis(20));
        most = programs_of(profile.id());
        if most.len() >= 4 {
            break;
        }
    }
    profile.kill().expect("it runs");
    profile.wait().expect("it is ours");
    if most.is_empty() {
        return common::skip::here("BPF programs are not loaded here, or not told by /proc");
    }
    assert!(before.iter().all(|id| !most.contains(id)));
    // The kernel takes them away a moment later.
    common::run::wait_until("programs are gone", || held().iter().all(|id| !most.contains(id)));
}

fn binary() -> PathBuf {
    common::run::binary()
}

/// The ids of the BPF programs that a process holds, by `/proc/PID/fdinfo`.
fn programs_of(pid: u32) -> Vec<u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    let id = |text: String| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
    let mut ids: Vec<u32> = texts.filter_map(id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The ids of the BPF programs that anybody holds.
fn held() -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).flat_map(programs_of).collect()
}
