//! Runs `profile` and reads its answers.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use super::account::{self, Account};
use super::folded::Folded;
use super::summary::Summary;

/// The binary under test: the one that Cargo has just built, or the installed one that `PROFILE_BINARY` names.
pub fn binary() -> PathBuf {
    env::var_os("PROFILE_BINARY").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_profile")), PathBuf::from)
}

/// Whether waits are taken by programs in the kernel here, as `profile doctor` says: what a test needs that looks at wakers or at
/// threads of before.
pub fn can_bpf() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let doctor = Command::new(binary()).arg("doctor").output().expect("profile can be started");
        let table = stdout(&doctor);
        account::is_root() && table.lines().any(|line| line.starts_with("yes") && line.contains(" BPF "))
    })
}

/// After this long a test is stuck. No test is judged by time.
const STUCK: Duration = Duration::from_secs(120);

/// A command line of `profile` for an account.
pub fn profile(account: Account) -> Command {
    account.command(account.reachable(&binary()))
}

/// The standard error of a run, as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The standard output of a run, as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a recording of one command gave.
#[derive(Debug)]
pub struct Recording {
    /// The stacks.
    pub folded: Folded,
    /// The summary.
    pub summary: Summary,
    /// What the command printed.
    pub printed: String,
    /// What `profile` said.
    pub said: String,
    /// The seconds that the host ran something else on our CPUs meanwhile: timers run on, CPU time does not.
    pub stolen: f64,
}

impl Recording {
    /// The number that the command printed after these words: `CPU 3.2`, `TRUTH leaf_40 0.4`.
    pub fn truth(&self, words: &str) -> f64 {
        truth(&self.printed, words)
    }
}

/// The number that stands after these words in what a program printed.
pub fn truth(printed: &str, words: &str) -> f64 {
    let number = printed.lines().find_map(|line| line.strip_prefix(words)?.strip_prefix(' ')?.parse().ok());
    number.unwrap_or_else(|| panic!("the program did not print {words:?}:\n{printed}"))
}

/// Records `PROGRAM ARGUMENTS..` as an account with more flags, and fails the test if that fails.
pub fn record(account: Account, flags: &[&str], program: &Path, arguments: &[&str]) -> Recording {
    let folder = account::folder();
    let (stacks, stats) = (folder.path().join("out.folded"), folder.path().join("stats.json"));
    let mut command = profile(account);
    command.args(flags).args(["-f", "folded", "--annotate", "-o"]).arg(&stacks).arg("--stats").arg(&stats);
    command.arg("--").arg(account.reachable(program)).args(arguments);
    let stolen_before = stolen();
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    let stolen = stolen() - stolen_before;
    let said = stderr(&output);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    let read =
        |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}\n{said}", path.display()));
    Recording {
        folded: Folded::parse(&read(&stacks)),
        summary: Summary::parse(&read(&stats)),
        printed: stdout(&output),
        said,
        stolen,
    }
}

/// Seconds that the host has run something else on the CPUs of this machine (`steal` of proc_stat(5)); 0 where it is no
/// guest.
pub fn stolen() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = stat.lines().next().and_then(|all| all.split_whitespace().nth(8)?.parse::<f64>().ok());
    ticks.unwrap_or(0.0) / rustix::param::clock_ticks_per_second() as f64
}

/// Waits for a process and collects its output; one that is stuck is killed and fails the test.
pub fn finish(child: std::io::Result<Child>) -> Output {
    let child = child.expect("the program can be started");
    let pid = Pid::from_child(&child);
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let stuck = is_done.recv_timeout(STUCK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if stuck {
            // It has not been waited for yet, so the pid is still its own.
            let _ = kill_process(pid, Signal::KILL);
        }
        stuck
    });
    let output = child.wait_with_output().expect("the child is ours");
    drop(done);
    let stuck = watchdog.join().expect("the watchdog does not panic");
    assert!(!stuck, "stuck for {STUCK:?}; said:\n{}", stderr(&output));
    output
}

/// Waits until something is so; a test that waits in vain fails.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < STUCK, "in vain: waited until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process that runs beside a test and is killed at its end.
#[derive(Debug)]
pub struct Target {
    child: Child,
    input: Option<ChildStdin>,
    /// What it said first, `ready ...`.
    pub greeting: String,
}

impl Target {
    /// Starts a program that says `ready`, and waits until it does.
    pub fn start(account: Account, program: &Path, arguments: &[&str]) -> Target {
        let mut command = account.command(account.reachable(program));
        Target::start_command(command.args(arguments))
    }

    /// Starts a program that works at once and says nothing.
    pub fn start_silent(account: Account, program: &Path, arguments: &[&str]) -> Target {
        let mut command = account.command(account.reachable(program));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Target { child, input: None, greeting: String::new() }
    }

    /// Starts a command that says `ready`, and waits until it does.
    pub fn start_command(command: &mut Command) -> Target {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let input = child.stdin.take();
        let mut greeting = String::new();
        BufReader::new(child.stdout.as_mut().expect("it is piped"))
            .read_line(&mut greeting)
            .expect("it says something");
        assert!(greeting.starts_with("ready"), "{command:?} said {greeting:?}");
        Target { child, input, greeting: greeting.trim().to_owned() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its process id, as an argument.
    pub fn pid_text(&self) -> String {
        self.pid().to_string()
    }

    /// The numbers of its greeting.
    pub fn numbers(&self) -> Vec<u32> {
        self.greeting.split(' ').filter_map(|word| word.parse().ok()).collect()
    }

    /// Lets one that waits for a line go on; it gets no other one.
    pub fn go(&mut self) {
        self.tell();
        self.input = None;
    }

    /// The same, and more lines may follow.
    pub fn tell(&mut self) {
        self.input.as_mut().expect("it gets no more lines").write_all(b"go\n").expect("it listens");
    }

    /// What it says next.
    pub fn line(&mut self) -> String {
        let stdout = self.child.stdout.as_mut().expect("it is piped");
        line_of(stdout).trim_end().to_owned()
    }

    /// What it says after its greeting, when it has ended.
    pub fn rest(&mut self) -> String {
        let mut said = String::new();
        self.child.stdout.as_mut().expect("it is piped").read_to_string(&mut said).expect("it says text");
        self.child.wait().expect("it is ours");
        said
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it is ours")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A `profile` that runs beside a test: started, watched, ended.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
    pid: Pid,
    folder: TempDir,
}

impl Running {
    /// Starts `profile ARGUMENTS -f folded -o FILE --stats FILE` and waits until its events are open.
    pub fn start(account: Account, arguments: &[impl AsRef<OsStr>]) -> Running {
        Running::start_with(account, arguments, false)
    }

    fn start_with(account: Account, arguments: &[impl AsRef<OsStr>], leads_group: bool) -> Running {
        let folder = account::folder();
        let mut command = profile(account);
        command.args(["-f", "folded", "--annotate", "-o"]).arg(folder.path().join("out.folded"));
        command.arg("--stats").arg(folder.path().join("stats.json")).args(arguments);
        if leads_group {
            command.process_group(0);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("profile can be started");
        let pid = Pid::from_child(&child);
        wait_until("profile has opened its events", || {
            if let Some(status) = child.try_wait().expect("it is ours") {
                let output = child.stderr.take().map(|stderr| std::io::read_to_string(stderr).unwrap_or_default());
                panic!("{command:?} ended early: {status}\n{}", output.unwrap_or_default());
            }
            has_events(pid)
        });
        Running { child: Some(child), pid, folder }
    }

    /// Starts `profile` with a command; it and the command are a process group of their own.
    ///
    /// Both get the same account, so arguments after `--` must be reachable for it.
    pub fn start_group(account: Account, arguments: &[impl AsRef<OsStr>]) -> Running {
        Running::start_with(account, arguments, true)
    }

    /// Waits for a line on its standard output, which is that of its command.
    pub fn line(&mut self) -> String {
        line_of(self.child.as_mut().and_then(|child| child.stdout.as_mut()).expect("it runs, and its output is piped"))
    }

    /// Sends it and its command a signal, as a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        kill_process_group(self.pid, signal).expect("it leads a group");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("it runs");
    }

    /// Waits for its end; it must succeed.
    pub fn finish(self) -> Recording {
        self.finish_with(0)
    }

    /// Waits for its end with this status.
    pub fn finish_with(mut self, status: i32) -> Recording {
        let output = finish(Ok(self.child.take().expect("it is finished only once")));
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "profile: {}\n{said}", output.status);
        let read = |name: &str| {
            fs::read_to_string(self.folder.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}\n{said}"))
        };
        let (folded, summary) = (Folded::parse(&read("out.folded")), Summary::parse(&read("stats.json")));
        assert_eq!(names_in(self.folder.path()), ["out.folded", "stats.json"], "nothing else is left behind");
        // Nobody who starts one so asks for CPU time.
        Recording { folded, summary, printed: stdout(&output), said, stolen: 0.0 }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads to the end of a line, byte by byte: what follows stays for whoever collects the output.
fn line_of(stdout: &mut impl Read) -> String {
    let mut line = String::new();
    let mut byte = [0];
    while !line.ends_with('\n') && stdout.read(&mut byte).expect("it is a pipe") == 1 {
        line.push(char::from(byte[0]));
    }
    line
}

/// Whether a process has perf events open and mapped their rings: it records.
fn has_events(pid: Pid) -> bool {
    let maps = fs::read_to_string(format!("/proc/{}/maps", pid.as_raw_nonzero())).unwrap_or_default();
    maps.contains("anon_inode:[perf_event]")
}

/// The names of the files in a folder, in order.
pub fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("it is readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A process id that belongs to nobody.
pub fn free_pid() -> u32 {
    let mut child = Command::new("true").spawn().expect("there is a `true`");
    let pid = child.id();
    child.wait().expect("it is ours");
    pid
}

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.to_str().expect("test paths are UTF-8").to_owned()
}

/// The files of a folder as a list of paths.
pub fn paths_in(folder: &Path) -> Vec<PathBuf> {
    names_in(folder).iter().map(|name| folder.join(name)).collect()
}
