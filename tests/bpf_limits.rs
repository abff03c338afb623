//! Time off the CPU by BPF programs where not all is as it mostly is: few rights, pid namespaces, cgroups, ends of processes and of
//! `profile` itself.

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::account::{self, Account};
use common::folded::Folded;
use common::run::{self, Target, can_bpf};
use common::summary::Summary;
use common::{held, programs, skip};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Seconds after which a target ends if nobody ends it.
const LONG: &str = "100";

/// What `profile --off-cpu ARGUMENTS` gave.
#[derive(Debug)]
struct Taken {
    folded: Folded,
    summary: Summary,
    said: String,
}

impl Taken {
    fn is_by_bpf(&self) -> bool {
        !self.said.contains("without BPF")
    }

    fn of_waits(&self, key: &str) -> f64 {
        let waits = &self.summary.json()["off_cpu"];
        waits[key].as_f64().unwrap_or_else(|| panic!("no {key} in {waits}"))
    }
}

/// Runs a command that ends in `profile`, with these arguments.
fn profile(before: &[&str], arguments: &[&str]) -> Result<Taken, Output> {
    let (account, words) = match before {
        ["as a plain user", rest @ ..] => (Account::Plain, rest),
        words => (Account::Own, words),
    };
    let folder = account::folder();
    let at = |name: &str| folder.path().join(name);
    let program = account.reachable(&run::binary());
    let mut command = match words {
        [] => account.command(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(Account::Plain.reachable(&run::binary()));
            command
        }
    };
    command.args(["--off-cpu", "--per-thread", "-f", "folded", "--annotate", "-o"]).arg(at("out.folded"));
    command.arg("--stats").arg(at("stats.json")).args(arguments);
    let output = run::finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    if !output.status.success() {
        return Err(output);
    }
    let said = run::stderr(&output);
    let read =
        |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}\n{said}", path.display()));
    let (folded, summary) = (Folded::parse(&read(&at("out.folded"))), Summary::parse(&read(&at("stats.json"))));
    Ok(Taken { folded, summary, said })
}

#[track_caller]
fn taken(before: &[&str], arguments: &[&str]) -> Taken {
    profile(before, arguments).unwrap_or_else(|output| panic!("{before:?} {arguments:?}: {}", run::stderr(&output)))
}

#[track_caller]
fn refused(before: &[&str], arguments: &[&str]) -> String {
    let output = profile(before, arguments).expect_err("it is refused");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    run::stderr(&output)
}

/// Naps of known lengths, from before until after.
fn napping(account: Account) -> Target {
    Target::start_silent(account, &programs::c("off_cpu"), &["naps", LONG])
}

const SETPRIV: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// A plain user with these capabilities alone.
fn with_capabilities(capabilities: &str) -> Vec<String> {
    let mut words: Vec<String> = SETPRIV.map(str::to_owned).into();
    words.push(format!("--inh-caps=-all{capabilities}"));
    words.push(format!("--ambient-caps=-all{capabilities}"));
    words
}

#[test]
fn bpf_and_perfmon_are_enough() {
    need!(can_bpf(), "bpf_and_perfmon_are_enough", "no BPF program can be loaded here");
    let words = with_capabilities(",+bpf,+perfmon");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    for account in [Account::Plain, Account::Own] {
        let target = napping(account);
        let taken = taken(&words, &["--wakers", "-d", "1", "-p", &target.pid_text()]);
        assert!(taken.is_by_bpf(), "{}", taken.said);
        let naps = taken.folded.weight(|row| row.has("nap_long_outer"));
        let all = taken.folded.weight(|_| true);
        assert!(naps > 0 && naps < all, "{account:?}: {:?}\n{}", taken.folded, taken.said);
        assert!(taken.folded.rows.iter().any(|row| row.has("[woken by]")), "{account:?}: {:?}", taken.folded);
    }
    // Threads that block all the time are read from outside, which takes another right: then that is said.
    let target = Target::start(Account::Own, &programs::c("off_cpu"), &["threads", "3", LONG]);
    let blocked = taken(&words, &["-d", "1", "-p", &target.pid_text()]);
    assert_eq!(blocked.of_waits("blocked_before"), 4.0, "{}", blocked.said);
    let has_stacks = blocked.folded.rows.iter().any(|row| row.has("waits_forever"));
    assert!(has_stacks || blocked.said.contains("CAP_SYS_PTRACE"), "{}", blocked.said);
    let all = taken(&words, &["-a", "-d", "1"]);
    assert!(all.is_by_bpf() && all.of_waits("waits") > 0.0, "{}", all.said);
    // With less, something else is done, and said.
    for less in [",+perfmon", ",+bpf", ""] {
        let words = with_capabilities(less);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let target = napping(Account::Plain);
        let taken = taken(&words, &["-d", "1", "-p", &target.pid_text()]);
        assert!(!taken.is_by_bpf() && taken.said.contains("CAP_BPF"), "{less}: {}", taken.said);
        assert!(taken.of_waits("waits") > 0.0, "{less}: {}", taken.said);
    }
}

/// Ids in the output are those of the namespace that `profile` runs in, however deep it is.
#[test]
fn ids_are_those_of_our_pid_namespace() {
    need!(can_bpf(), "ids_are_those_of_our_pid_namespace", "no BPF program can be loaded here");
    const DEEPER: [&str; 4] = ["unshare", "--pid", "--fork", "--mount-proc"];
    let (binary, program) = (run::text(&run::binary()), run::text(&programs::c("off_cpu")));
    for depth in 1..=3 {
        let words: Vec<&str> = DEEPER.iter().copied().cycle().take(4 * depth).collect();
        let folder = account::folder();
        for (name, arguments) in [
            ("process", "-p $T -d 1"),
            ("thread", "-t $T -d 1"),
            ("all", "-a -d 1"),
            ("command", "-- $0 naps 1"),
            ("samples", "--wall -p $T -d 1"),
        ] {
            let out = run::text(&folder.path().join(name));
            let time = if name == "samples" { "" } else { "--off-cpu" };
            let script = format!(
                "\"$0\" naps {LONG} > /dev/null & T=$!; sleep 0.2; {binary} {time} --per-thread -f folded -o {out} {arguments} \
                 > /dev/null; echo ready $T $?"
            );
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).args(["sh", "-c", &script, &program]).stdin(Stdio::null());
            let output = run::finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
            let (printed, said) = (run::stdout(&output), run::stderr(&output));
            let numbers: Vec<u32> = printed.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let &[pid, 0] = numbers.as_slice() else { panic!("{depth}: {name}: {printed}\n{said}") };
            assert!(!said.contains("without BPF"), "{depth}: {name}: {said}");
            let folded = Folded::parse(&fs::read_to_string(&out).expect("it was written"));
            let naps = |row: &&common::folded::Row| row.has("nap_long_outer");
            assert!(folded.rows.iter().any(|row| naps(&row)), "{depth}: {name}: {folded:?}\n{said}");
            if name != "command" {
                let thread = format!("off_cpu-{pid}");
                assert!(folded.rows.iter().filter(naps).all(|row| row.has(&thread)), "{depth}: {name}: {folded:?}");
            }
        }
    }
    // A /proc of another namespace says nothing of ours.
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork"]).arg(run::binary()).args(["--off-cpu", "-p", "1", "-d", "1"]);
    let output = command.output().expect("it can be started");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(run::stderr(&output).contains("another pid namespace"), "{}", run::stderr(&output));
}

#[test]
fn a_target_in_a_pid_namespace_is_seen_from_outside() {
    need!(can_bpf(), "a_target_in_a_pid_namespace_is_seen_from_outside", "no BPF program can be loaded here");
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--net", "--uts", "--ipc", "sh", "-c"]);
    let target =
        Target::start_command(command.arg("echo ready; \"$0\" naps 100 > /dev/null; :").arg(programs::c("off_cpu")));
    // With all that it starts.
    let taken = taken(&[], &["-p", &target.pid_text(), "-d", "1"]);
    let naps = || taken.folded.rows.iter().filter(|row| row.has("nap_long_outer"));
    assert!(taken.is_by_bpf() && naps().count() > 0, "{:?}\n{}", taken.folded, taken.said);
    let ids: BTreeSet<u32> = naps()
        .flat_map(|row| row.frames.iter())
        .filter_map(|frame| frame.strip_prefix("off_cpu-")?.parse().ok())
        .collect();
    let names = ids.iter().map(|id| fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default());
    assert_eq!(names.collect::<Vec<_>>(), ["off_cpu\n"], "{ids:?}");
    end_children(target.pid());
}

/// Kills what a process has started.
fn end_children(pid: u32) {
    for child in children(pid) {
        end_children(child);
        if let Some(child) = Pid::from_raw(child.cast_signed()) {
            let _ = kill_process(child, Signal::KILL);
        }
    }
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// A cgroup that is removed at the end.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Group> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(mount).join(format!("profile-test-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("child")).ok()?;
        Some(Group(path))
    }

    fn add(&self, below: &str, pid: u32) {
        fs::write(self.0.join(below).join("cgroup.procs"), pid.to_string()).expect("root may move a process");
    }

    /// The group in which this one is.
    fn above(&self) -> &Path {
        self.0.parent().expect("it has one")
    }

    fn leave(&self, pid: u32) {
        fs::write(self.above().join("cgroup.procs"), pid.to_string()).expect("it may leave");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let busy = |path: &Path| fs::remove_dir(path).is_err() && path.exists();
        for _ in 0..100 {
            if !busy(&self.0.join("child")) && !busy(&self.0) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn a_cgroup_is_its_processes_and_those_below_it_as_they_come_and_go() {
    const NAME: &str = "a_cgroup_is_its_processes_and_those_below_it_as_they_come_and_go";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    need!(account::have("bpftool"), NAME, "needs bpftool");
    let Some(group) = Group::new() else { return skip::skip(NAME, "there is no cgroup2 file system here") };
    let [below, late, outside, leaves] = [(); 4].map(|()| napping(Account::Own));
    group.add("child", below.pid());
    group.add("", leaves.pid());
    let folder = account::folder();
    let (stacks, stats) = (folder.path().join("out.folded"), folder.path().join("stats.json"));
    let mut command = Command::new(run::binary());
    command
        .args(["--off-cpu", "--per-thread", "-f", "folded", "--annotate", "-d", "3", "-o"])
        .arg(&stacks)
        .arg("--stats")
        .arg(&stats);
    let child =
        command.arg("-G").arg(&group.0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let pid = child.id();
    run::wait_until("it records", || held::has_begun(pid));
    group.add("", late.pid());
    group.leave(leaves.pid());
    let output = run::finish(Ok(child));
    let said = run::stderr(&output);
    assert!(output.status.success() && !said.contains("without BPF"), "{said}");
    let folded = Folded::parse(&fs::read_to_string(&stacks).expect("it was written"));
    let summary = Summary::parse(&fs::read_to_string(&stats).expect("it was written"));
    let seconds = summary.number("duration_seconds");
    let time = |target: &Target| folded.weight(|row| row.has(&format!("off_cpu-{}", target.pid()))) as f64 / 1e9;
    let [below, late, outside, leaves] = [&below, &late, &outside, &leaves].map(time);
    println!("{seconds} s: below {below}, late {late}, outside {outside}, leaves {leaves}");
    assert!(below > 0.5 * seconds && below < 1.05 * seconds, "{below} s of {seconds}: {folded:?}\n{said}");
    // When it moved in, and when the programs began, is up to a busy machine: it is there, and nobody waits longer than it took.
    assert!(late > 0.0 && late < 1.05 * seconds, "{late} s of {seconds}: {folded:?}\n{said}");
    assert!(leaves < 1.05 * seconds, "{leaves} s of {seconds}: {folded:?}\n{said}");
    assert_eq!(outside, 0.0, "{folded:?}");
    assert!(folded.rows.iter().filter(|row| row.has("[no name]")).count() == 0, "{folded:?}");
    // By threads that are known to have been there for so long.
    let coverage = summary.json()["off_cpu"]["coverage"].as_f64().unwrap_or_default();
    assert!(coverage > 0.5 && coverage < 1.3, "{coverage}: {}", summary.json()["off_cpu"]);
}

/// A recording that goes on until it is told to end.
struct Recorded {
    /// Nothing at the end.
    child: Option<Child>,
    folder: TempDir,
}

impl Recorded {
    /// Waits until it records.
    fn start(flags: &[&str]) -> Recorded {
        Recorded::start_and_look(flags, || ()).0
    }

    /// The same; meanwhile it looks at something again and again, and gives what it saw last before that.
    fn start_and_look<T>(flags: &[&str], mut look: impl FnMut() -> T) -> (Recorded, T) {
        let folder = account::folder();
        let mut command = Command::new(run::binary());
        command
            .args(flags)
            .args(["--per-thread", "-f", "folded", "--annotate", "-o"])
            .arg(folder.path().join("out.folded"));
        command.arg("--stats").arg(folder.path().join("stats.json"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let recorded = Recorded { child: Some(command.spawn().expect("it starts")), folder };
        let mut seen = look();
        run::wait_until("it records", || {
            let now = look();
            let has_begun = held::has_begun(recorded.pid());
            if !has_begun {
                seen = now;
            }
            has_begun
        });
        (recorded, seen)
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("it has not ended").id()
    }

    fn end(mut self) -> Taken {
        let child = self.child.take().expect("it has not ended");
        kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
        let output = run::finish(Ok(child));
        let said = run::stderr(&output);
        assert!(output.status.success() && !said.contains("without BPF"), "{said}");
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).expect("it was written");
        Taken { folded: Folded::parse(&read("out.folded")), summary: Summary::parse(&read("stats.json")), said }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        drop(self.child.take().map(End));
    }
}

/// Seconds that a process of one thread has been on a CPU, by the scheduler.
fn time_on_cpu(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("it lives");
    text.split(' ').next().and_then(|time| time.parse::<f64>().ok()).expect("it is a number") / 1e9
}

/// Seconds of the clock that a busy process of one thread has not waited for a CPU: on one, or on one that the host had taken away.
fn time_off_queue(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("it lives");
    let waited = text.split(' ').nth(1).and_then(|time| time.parse::<f64>().ok()).expect("it is a number");
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as f64 + (now.tv_nsec as f64 - waited) / 1e9
}

/// What it does behind its next switch is none of the cgroup's.
#[test]
fn a_busy_thread_that_leaves_its_cgroup_is_on_the_cpu_no_more() {
    const NAME: &str = "a_busy_thread_that_leaves_its_cgroup_is_on_the_cpu_no_more";
    // Works until there is the file, moves to the cgroup, and works on.
    const MOVES: &str =
        "echo ready; while [ ! -e \"$0\" ]; do :; done; echo 0 > \"$1\"; echo left; while :; do :; done";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    need!(account::have("bpftool"), NAME, "needs bpftool");
    for flags in [&["--off-cpu"][..], &["--wall"]] {
        let Some(group) = Group::new() else { return skip::skip(NAME, "there is no cgroup2 file system here") };
        // Two that are busy on one CPU take turns on it; who moves itself is on the CPU by then.
        let folder = account::folder();
        let go = folder.path().join("go");
        let mut moves = Command::new("taskset");
        moves.args(["-c", "0", "sh", "-c", MOVES]).args([&go, &group.above().join("cgroup.procs")]);
        let mut leaves = Target::start_command(&mut moves);
        let mut busy = Command::new("taskset");
        busy.args(["-c", "0"]).arg(programs::c("busy")).arg(LONG).stdin(Stdio::null()).stdout(Stdio::null());
        let _other = End(busy.spawn().expect("it starts"));
        let pid = leaves.pid();
        group.add("", pid);
        let path = run::text(&group.0);
        let words = [flags, &["-G", &path]].concat();
        let (recording, before) = Recorded::start_and_look(&words, || time_off_queue(pid));
        let begun = time_on_cpu(pid);
        run::wait_until("it has worked for a while", || time_on_cpu(pid) > begun + 0.3);
        let least = time_on_cpu(pid) - begun;
        fs::write(&go, "").expect("it can be written");
        assert_eq!(leaves.line(), "left");
        let (most, left) = (time_off_queue(pid) - before, time_on_cpu(pid));
        run::wait_until("it has worked elsewhere", || time_on_cpu(pid) > left + 1.0);
        let taken = recording.end();
        let outside = time_on_cpu(pid) - left;
        let of_thread = |row: &common::folded::Row| row.has(&format!("sh-{pid}"));
        let is_on = |row: &common::folded::Row| !row.mentions("[runnable]") && !row.mentions("[off-CPU]");
        let said = taken.of_waits("on_cpu_seconds");
        let drawn = taken.folded.weight(|row| of_thread(row) && is_on(row)) as f64 / 1e9;
        println!(
            "{flags:?}: {least:.3} to {most:.3} s on the CPU inside, {outside:.3} s outside; said {said:.3} s, drawn {drawn:.3} s; {}",
            taken.summary.json()["off_cpu"]
        );
        let holds = |time: f64| time > 0.8 * least && time < most + 0.2 * outside;
        assert!(holds(said), "{flags:?}: {said} s\n{}", taken.said);
        assert!(flags != ["--wall"] || holds(drawn), "{drawn} s: {:?}", taken.folded);
    }
}

/// A process that is killed at the end.
struct End(Child);

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `cat`, which waits for what it is to say.
struct Cat {
    child: End,
    input: ChildStdin,
    output: ChildStdout,
}

impl Cat {
    fn start() -> Cat {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let (input, output) = (child.stdin.take().expect("it is piped"), child.stdout.take().expect("it is piped"));
        let mut cat = Cat { child: End(child), input, output };
        cat.poke();
        cat
    }

    /// Lets it run once: it waits again afterwards.
    fn poke(&mut self) {
        self.input.write_all(b"x").expect("it listens");
        self.output.read_exact(&mut [0]).expect("it answers");
        let pid = self.child.0.id();
        run::wait_until("it waits", || {
            fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("State:\tS"))
        });
    }
}

/// It waits when it leaves, and waits again when it comes back: what it has waited elsewhere is none of the cgroup's.
#[test]
fn a_thread_that_leaves_its_cgroup_while_it_waits_begins_anew_when_it_is_back() {
    const NAME: &str = "a_thread_that_leaves_its_cgroup_while_it_waits_begins_anew_when_it_is_back";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    need!(account::have("bpftool"), NAME, "needs bpftool");
    let Some(group) = Group::new() else { return skip::skip(NAME, "there is no cgroup2 file system here") };
    let mut cat = Cat::start();
    let pid = cat.child.0.id();
    group.add("", pid);
    let (recording, begun) = Recorded::start_and_look(&["--off-cpu", "-G", &run::text(&group.0)], Instant::now);
    cat.poke();
    group.leave(pid);
    let left = Instant::now();
    // What it does there is seen, so that it is known to be none of it.
    while left.elapsed() < Duration::from_secs(2) {
        cat.poke();
    }
    let outside = left.elapsed().as_secs_f64();
    group.add("", pid);
    cat.poke();
    cat.poke();
    let taken = recording.end();
    let inside = begun.elapsed().as_secs_f64() - outside;
    let waited = taken.folded.weight(|row| row.has(&format!("cat-{pid}"))) as f64 / 1e9;
    println!("{inside:.3} s inside, {outside:.3} s outside; waited {waited:.3} s; {}", taken.summary.json()["off_cpu"]);
    assert!(waited > 0.0 && waited < inside + 0.1 * outside, "{waited} s: {:?}\n{}", taken.folded, taken.said);
}

/// The kernel's BTF is where nobody can see it.
#[test]
fn without_btf_perf_events_are_used_and_that_is_said() {
    const NAME: &str = "without_btf_perf_events_are_used_and_that_is_said";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    let words = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /sys/kernel/btf && exec \"$0\" \"$@\""];
    let target = napping(Account::Own);
    let pid = target.pid_text();
    let taken = taken(&words, &["--wakers", "-d", "1", "-p", &pid]);
    assert!(
        !taken.is_by_bpf() && taken.said.contains("BTF") && taken.said.contains("--wakers needs BPF"),
        "{}",
        taken.said
    );
    assert!(taken.folded.rows.iter().any(|row| row.has("nap_long_outer")), "{:?}", taken.folded);
    let said = refused(&words, &["--state", "D", "-d", "1", "-p", &pid]);
    assert!(said.contains("leave --state out"), "{said}");
}

#[test]
fn a_plain_user_is_told_what_is_lost() {
    need!(account::is_root(), "a_plain_user_is_told_what_is_lost", "needs root to become a plain user");
    let own = napping(Account::Plain);
    let taken = taken(&["as a plain user"], &["-d", "1", "--wakers", "-p", &own.pid_text()]);
    assert!(!taken.is_by_bpf(), "{}", taken.said);
    for part in ["who woke them, is not known", "nobody is named", "CAP_BPF"] {
        assert!(taken.said.contains(part), "{part}: {}", taken.said);
    }
    assert!(taken.of_waits("waits") > 0.0, "{}", taken.said);
    let others = napping(Account::Own);
    let said = refused(&["as a plain user"], &["-d", "1", "-p", &others.pid_text()]);
    assert!(said.contains("permission denied") && said.contains("sudo"), "{said}");
    let said = refused(&["as a plain user"], &["-d", "1", "-a"]);
    assert!(said.contains("permission denied") && said.contains("sudo"), "{said}");
}

#[test]
fn a_process_goes_on_without_its_first_thread() {
    const NAME: &str = "a_process_goes_on_without_its_first_thread";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    let target = Target::start(Account::Own, &programs::c("leaderless"), &["alone", LONG]);
    let [tid] = target.numbers()[..] else { panic!("{}", target.greeting) };
    run::wait_until("the first thread has ended", || {
        let status = fs::read_to_string(format!("/proc/{}/status", target.pid())).unwrap_or_default();
        status.contains("State:\tZ")
    });
    let (pid, tid) = (target.pid_text(), tid.to_string());
    for (whom, flags) in [(&pid, ["-p", &pid]), (&tid, ["-t", &tid])] {
        for bpf in ["waits", "never"] {
            let taken = taken(&[], &["-d", "1", "--bpf", bpf, flags[0], flags[1]]);
            assert_eq!(taken.is_by_bpf(), bpf == "waits", "{}", taken.said);
            let naps = taken.folded.weight(|row| row.has("nap_on")) as f64;
            let all = taken.folded.weight(|_| true) as f64;
            assert!(naps > 0.9 * all && naps > 0.5e9, "{whom}: {naps} of {all} ns: {:?}\n{}", taken.folded, taken.said);
            // A wait whose end the kernel has not told is missing, and counted: with those it is all of the second.
            let untold = taken.summary.json()["bpf"]["counts"]["waits_without_end_ns"].as_f64().unwrap_or(0.0);
            let (coverage, most) = (taken.of_waits("coverage"), untold / 1e9);
            assert!(coverage < 1.1 && coverage + most > 0.9, "{whom}: {coverage}\n{}", taken.said);
        }
    }
    let said = refused(&[], &["-d", "1", "-t", &pid]);
    assert!(said.contains("zombie") && said.contains(&format!("-t {tid}")), "{said}");
}

/// The thread's number becomes that of the process; the program that it runs is another one.
#[test]
fn a_thread_that_is_not_the_first_runs_another_program() {
    const NAME: &str = "a_thread_that_is_not_the_first_runs_another_program";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    let taken = taken(&[], &["--", &run::text(&programs::c("leaderless")), "execs", "1"]);
    let seconds = |key: &str| taken.of_waits(key);
    assert!(taken.is_by_bpf(), "{}", taken.said);
    assert!(taken.folded.weight(|row| row.has("nap_on")) as f64 > 0.8e9, "{:?}", taken.folded);
    // The first thread 1.3 s, the other 0.3 s.
    let [off, on, lived] = ["blocked_seconds", "on_cpu_seconds", "wall_seconds"].map(seconds);
    let queued = seconds("runnable_seconds");
    println!("{off} s off, {queued} s queued, {on} s on, of {lived} s");
    assert!((off + queued + on - lived).abs() < 0.1 * lived, "{off} + {queued} + {on} s of {lived} s\n{}", taken.said);
}

#[test]
fn what_has_ended_is_refused_and_what_ends_ends_it() {
    let mut child = Command::new("true").spawn().expect("there is a `true`");
    let pid = child.id().to_string();
    run::wait_until("it is a zombie", || {
        fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("State:\tZ"))
    });
    for flag in ["-p", "-t"] {
        let said = refused(&[], &[flag, &pid]);
        assert!(said.contains("zombie") && said.contains("sample that one"), "{said}");
    }
    child.wait().expect("it is ours");
    for flag in ["-p", "-t"] {
        assert!(refused(&[], &[flag, &pid]).contains("there is no "));
    }
    let target = Target::start_silent(Account::Own, &programs::c("off_cpu"), &["naps", "1.5"]);
    let taken = taken(&[], &["-p", &target.pid_text()]);
    assert!(taken.summary.number("duration_seconds") < 60.0, "{}", taken.said);
}

#[test]
fn nonsense_is_refused_with_what_to_type() {
    let own = std::process::id().to_string();
    for (words, what) in [
        (&["--min-block", "abc"][..], "50us"),
        (&["--min-block", "5"], "50us"),
        (&["--min-block=-1ms"], "50us"),
        (&["--max-block", "0"], "--max-block 1ms"),
        (&["--min-block", "2ms", "--max-block", "1ms"], "change places"),
        (&["--state", "Q"], "S (sleeps)"),
        (&["--state", ""], "--state S"),
        (&["--kernel-threads"], "-a or -G"),
        (&["-G", "/there/is/none"], "/proc/PID/cgroup"),
    ] {
        let mut arguments = vec!["-d", "1"];
        arguments.extend(words);
        if words[0] != "-G" {
            arguments.extend(["-p", &own]);
        }
        let said = refused(&[], &arguments);
        assert!(said.contains(what), "{words:?}: {said}");
    }
}

/// Waits that have not ended are as long as they are by then.
#[test]
fn waits_that_have_not_ended_are_chosen_by_length_too() {
    const NAME: &str = "waits_that_have_not_ended_are_chosen_by_length_too";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    let target = Target::start(Account::Own, &programs::c("off_cpu"), &["threads", "5", LONG]);
    let pid = target.pid_text();
    for (limit, time, count) in
        [("--max-block", "10ms", 0.0), ("--min-block", "10ms", 6.0), ("--min-block", "90s", 0.0)]
    {
        let taken = taken(&[], &["-d", "1", limit, time, "-p", &pid]);
        assert!(taken.is_by_bpf(), "{}", taken.said);
        assert_eq!(
            (taken.of_waits("waits"), taken.of_waits("left_out")),
            (count, 6.0 - count),
            "{limit} {time}: {}",
            taken.said
        );
    }
}

/// All that a process holds of BPF is gone with it, whatever ends it.
#[test]
fn nothing_of_bpf_outlives_it() {
    const NAME: &str = "nothing_of_bpf_outlives_it";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    need!(account::have("bpftool"), NAME, "needs bpftool");
    for signal in [Some(Signal::KILL), Some(Signal::INT), Some(Signal::TERM), Some(Signal::QUIT), None] {
        let target = napping(Account::Own);
        let folder = account::folder();
        let child = Command::new(run::binary())
            .args(["--off-cpu", "--wakers", "-p", &target.pid_text(), "-f", "folded", "--annotate", "-o"])
            .arg(folder.path().join("out.folded"))
            .stderr(Stdio::null())
            .spawn()
            .expect("profile can be started");
        let mut held = BTreeSet::new();
        run::wait_until("programs are attached", || {
            held = held::by(child.id());
            held.iter().filter(|(kind, _)| *kind == "link").count() >= 6
        });
        match signal {
            Some(signal) => kill_process(Pid::from_child(&child), signal).expect("it runs"),
            None => drop(target),
        }
        run::finish(Ok(child));
        run::wait_until("nothing is left", || !held.iter().any(|&(kind, id)| held::is_there(kind, id)));
    }
}

/// Stacks that find no room in the ring are lost, their waits are not; both is counted.
#[test]
fn stacks_without_room_in_the_ring_are_counted() {
    const NAME: &str = "stacks_without_room_in_the_ring_are_counted";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    need!(account::have("bpftool"), NAME, "needs bpftool");
    // Their frames take 16 MB, and the ring has 8.
    let mut target = Target::start(Account::Own, &programs::c("depths"), &["2000"]);
    let recording = Recorded::start(&["--off-cpu", "-p", &target.pid_text()]);
    let profile = Pid::from_raw(recording.pid().cast_signed()).expect("it is one");
    // Nobody reads.
    kill_process(profile, Signal::STOP).expect("it runs");
    target.tell();
    let said = target.line();
    kill_process(profile, Signal::CONT).expect("it is there");
    let naps: f64 = said.strip_prefix("done ").and_then(|count| count.parse().ok()).expect("it says how many");
    let taken = recording.end();
    let full = taken.summary.json()["bpf"]["counts"]["ring_full_stacks"].as_f64().unwrap_or_default();
    let naps_of = |row: &&common::folded::Row| row.has("naps_here") && !row.mentions("[runnable]");
    let whole = taken.folded.rows.iter().filter(naps_of).filter(|row| !row.mentions("[truncated")).count() as f64;
    let cut = taken.folded.weight(|row| row.mentions("[truncated: lost stack]"));
    let (waits, queued) = (taken.of_waits("waits"), taken.of_waits("runnable_waits"));
    println!(
        "{naps} naps: {whole} whole stacks, {full} without room, {cut} ns; {waits} waits, {queued} of them for a CPU"
    );
    // Before and behind the naps it waits for a line. Of some waits the end is not seen where a kernel does not tell of each switch:
    // 0 to 79 of 2,000, in `perf record` beside as well.
    let least = 0.9 * naps;
    assert!(waits >= least && waits <= naps + 3.0, "{naps} naps, {waits} waits\n{}", taken.said);
    assert!(full > 100.0 && cut > 0 && taken.said.contains("lost stack"), "{full}, {cut} ns\n{}", taken.said);
    assert!(whole + full >= least && whole + full <= naps + queued + 3.0, "{whole} + {full} of {naps}\n{}", taken.said);
}

/// A process for which there is no room among those that are followed is counted, and said.
#[test]
fn processes_without_room_are_counted() {
    const NAME: &str = "processes_without_room_are_counted";
    /// `members` of src/sampler/bpf/c/profile.bpf.c.
    const ROOM: u32 = 65_536;
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    need!(account::have("bpftool"), NAME, "needs bpftool");
    for time in [&["--off-cpu"][..], &["-F", "499"]] {
        let mut shell = Command::new("sh");
        // Each of the five makes another one.
        shell.args([
            "-c",
            "echo ready; read line; for i in 1 2 3 4 5; do (sh -c : ; :) & done; wait; echo done; read line",
        ]);
        let mut target = Target::start_command(&mut shell);
        let recording = Recorded::start(&[time, &["-p", &target.pid_text()]].concat());
        let [members] = held::maps_named(recording.pid(), "members")[..] else { panic!("it has none") };
        // All but the one place that the target has, by numbers that no process has (`PID_MAX_LIMIT`, include/linux/threads.h).
        let folder = account::folder();
        let batch = folder.path().join("batch");
        let hex = |number: u32| number.to_le_bytes().map(|byte| format!("{byte:#04x}")).join(" ");
        let lines =
            (1..ROOM).map(|number| format!("map update id {members} key {} value 1 0 0 0\n", hex(number + (1 << 22))));
        fs::write(&batch, lines.collect::<String>()).expect("it can be written");
        let filled = Command::new("bpftool").args(["batch", "file"]).arg(&batch).output().expect("there is bpftool");
        assert!(filled.status.success(), "{}", run::stderr(&filled));
        target.tell();
        assert_eq!(target.line(), "done");
        let taken = recording.end();
        let full = taken.summary.json()["bpf"]["counts"]["members_full"].as_u64();
        println!("{time:?}: {full:?} without room; {}", taken.said);
        // Those that the five start are nobody's.
        assert_eq!(full, Some(5), "{}", taken.said);
        assert!(taken.said.contains("5 processes could not be followed"), "{}", taken.said);
    }
}

/// Which of the bpf(2) calls of `profile`'s first thread attach a program, by what strace has seen.
fn attaching_calls(log: &str) -> Vec<usize> {
    let first = log.split_whitespace().next().unwrap_or_default();
    let calls = log.lines().filter(|line| line.starts_with(first) && line.contains(" bpf(")).enumerate();
    // The loader asks first whether there are links at all, which fails.
    let attaches = |line: &str| {
        (line.contains("BPF_RAW_TRACEPOINT_OPEN") || line.contains("attach_type=BPF_PERF_EVENT"))
            && !line.contains(" = -1 ")
    };
    calls.filter(|(_, line)| attaches(line)).map(|(index, _)| index + 1).collect()
}

/// Some are attached, the next one is not: then none stays, samples are taken without, and time off the CPU is refused with what to do.
#[test]
fn what_cannot_be_attached_is_said_and_nothing_stays_attached() {
    const NAME: &str = "what_cannot_be_attached_is_said_and_nothing_stays_attached";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    need!(account::have("strace") && account::have("bpftool"), NAME, "needs strace and bpftool");
    let target = napping(Account::Own);
    let busy = Target::start_silent(Account::Own, &programs::c("busy"), &[LONG]);
    let folder = account::folder();
    let at = |name: &str| run::text(&folder.path().join(name));
    let traced = |log: &str, inject: &[&str], words: &[&str]| {
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=bpf", "-o", log]).args(inject).arg(run::binary()).args(words);
        command.args(["-f", "folded", "--annotate", "-o", &at("out.folded"), "--stats", &at("stats.json")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace is there")
    };
    for (is_off_cpu, flags) in
        [(true, ["--off-cpu", "-p", &target.pid_text()]), (false, ["--bpf=auto", "-p", &busy.pid_text()])]
    {
        let log = at("calls");
        let output = run::finish(Ok(traced(&log, &[], &[&flags[..], &["-d", "0.2"]].concat())));
        assert!(output.status.success(), "{}", run::stderr(&output));
        let calls = attaching_calls(&fs::read_to_string(&log).expect("it was written"));
        assert!(calls.len() >= 5, "{calls:?}");
        for call in [calls[0], calls[calls.len() / 2], calls[calls.len() - 1]] {
            // What ends of it waits so long before that what it holds by then can be seen.
            let delay = if is_off_cpu { 1_000_000 } else { 0 };
            let inject = format!("inject=bpf:error=ENOMEM:when={call}:delay_enter={delay}");
            let log = at(&format!("refused-{is_off_cpu}-{call}"));
            let child = traced(&log, &["-e", &inject], &[&flags[..], &["-d", LONG]].concat());
            let mut held = BTreeSet::new();
            let strace = child.id();
            let is_refused = || fs::read_to_string(&log).is_ok_and(|log| log.contains("(INJECTED)"));
            run::wait_until("a call was refused", || {
                held.extend(children(strace).into_iter().flat_map(held::by));
                is_refused()
            });
            if !is_off_cpu {
                // It records on without.
                let [profile] = children(strace)[..] else { panic!("it has ended: {:?}", run::finish(Ok(child))) };
                run::wait_until("no program is held", || held::by(profile).iter().all(|(kind, _)| *kind == "map"));
                let begun = time_on_cpu(busy.pid());
                run::wait_until("the target has worked", || time_on_cpu(busy.pid()) > begun + 0.5);
                kill_process(Pid::from_raw(profile.cast_signed()).expect("it is one"), Signal::INT).expect("it runs");
            }
            let output = run::finish(Ok(child));
            let said = run::stderr(&output);
            println!("{flags:?}: call {call} of {calls:?}: {held:?}\n{said}");
            assert!(!is_off_cpu || held.iter().any(|(kind, _)| *kind == "prog"), "{held:?}");
            run::wait_until("nothing is left", || !held.iter().any(|&(kind, id)| held::is_there(kind, id)));
            if is_off_cpu {
                assert_eq!(output.status.code(), Some(2), "{said}");
                assert!(said.contains("cannot attach") && said.contains("--bpf never"), "{said}");
            } else {
                assert!(output.status.success() && said.contains("perf events (cannot attach"), "{said}");
                let summary = Summary::parse(&fs::read_to_string(at("stats.json")).expect("it was written"));
                assert!(summary.count("samples") > 0 && summary.number("coverage") > 0.5, "{said}");
            }
        }
    }
}
