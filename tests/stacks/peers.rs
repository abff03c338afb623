//! Records a command: by `profile`, live or by way of a perf.data, and by perf's two modes.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use super::seen::Seen;
use crate::common::account::{Account, folder};
use crate::common::run::{finish, profile, stderr, stdout};
use crate::common::summary::Summary;

/// Samples a second; a prime, so that no loop is met at one place only.
pub const RATE: &str = "997";

/// A command, and what it needs around it.
#[derive(Clone, Debug, Default)]
pub struct Words {
    pub words: Vec<OsString>,
    /// Variables of its environment.
    pub environment: Vec<(&'static str, OsString)>,
}

impl Words {
    pub fn new(words: impl IntoIterator<Item = impl Into<OsString>>) -> Words {
        Words { words: words.into_iter().map(Into::into).collect(), environment: Vec::new() }
    }

    pub fn arguments(mut self, words: &[&str]) -> Words {
        self.words.extend(words.iter().map(OsString::from));
        self
    }
}

/// What a recording gave.
#[derive(Debug)]
pub struct Recorded {
    pub seen: Seen,
    /// What the command printed.
    pub printed: String,
    /// The summary of `profile`.
    pub summary: Option<Summary>,
    /// The value of register r15 by thread and time, where samples have it.
    pub registers: Registers,
}

/// Values of a register, by thread and nanoseconds.
pub type Registers = std::collections::HashMap<(u32, u64), u64>;

/// perf's ways to stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `perf record -g`.
    FramePointers,
    /// `perf record --call-graph dwarf`: copies of 8 KiB.
    Dwarf,
}

impl Peer {
    pub const ALL: [Peer; 2] = [Peer::FramePointers, Peer::Dwarf];

    pub fn name(self) -> &'static str {
        match self {
            Peer::FramePointers => "perf fp",
            Peer::Dwarf => "perf dwarf",
        }
    }
}

/// Runs it in a folder, for what the command leaves behind.
fn run(command: &mut Command, words: &Words, folder: &Path) -> String {
    command.current_dir(folder);
    command.arg("--").args(&words.words).envs(words.environment.iter().map(|(name, value)| (name, value)));
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, stderr(&output));
    stdout(&output)
}

/// Records by `profile`, with no flags but the rate and these.
pub fn live(flags: &[&str], words: &Words) -> Recorded {
    let folder = folder();
    let (out, stats) = (folder.path().join("out.json"), folder.path().join("stats.json"));
    let mut command = profile(Account::Own);
    command.args(["record", "-F", RATE]).args(flags).args(["-f", "json", "-o"]).arg(&out).arg("--stats").arg(&stats);
    let printed = run(&mut command, words, folder.path());
    let summary = std::fs::read_to_string(&stats).expect("it was written");
    Recorded {
        seen: Seen::of_json(&out),
        printed,
        summary: Some(Summary::parse(&summary)),
        registers: Registers::new(),
    }
}

/// Records a perf.data by `profile`, and imports it.
pub fn by_perf_data(words: &Words) -> Recorded {
    let folder = folder();
    let [data, out, stats] = ["perf.data", "out.json", "stats.json"].map(|name| folder.path().join(name));
    let printed = run(
        profile(Account::Own).args(["record", "-F", RATE, "-f", "perf-data", "-o"]).arg(&data),
        words,
        folder.path(),
    );
    let mut import = profile(Account::Own);
    import.arg("import").arg(&data).args(["-f", "json", "-o"]).arg(&out).arg("--stats").arg(&stats);
    let output = finish(import.stdout(Stdio::null()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{import:?}: {}\n{}", output.status, stderr(&output));
    let summary = std::fs::read_to_string(&stats).expect("it was written");
    Recorded {
        seen: Seen::of_json(&out),
        printed,
        summary: Some(Summary::parse(&summary)),
        registers: registers(&data),
    }
}

/// Records by perf, and reads what `perf script` says; or why there is nothing to read.
pub fn by_perf(peer: Peer, words: &Words) -> Result<Recorded, String> {
    let folder = folder();
    let data = folder.path().join("perf.data");
    let mut command = Command::new("perf");
    // --buildid-mmap: perf 6.1 else writes the kernel's mapping with a build id of uninitialized size, and its script dies of that
    // (`assertion failed at util/build-id.c:1010`) in some environments, always.
    command
        .args(["record", "-q", "--buildid-mmap", "-N", "-F", RATE, "-m", "1024", "-e", "cpu-clock", "-o"])
        .arg(&data);
    match peer {
        Peer::FramePointers => command.args(["-g", "--user-regs=r15"]),
        Peer::Dwarf => command.args(["--call-graph", "dwarf"]),
    };
    let printed = run(&mut command, words, folder.path());
    let mut script = Command::new("perf");
    script.args(["script", "--ns", "--no-inline", "-F", "tid,time,ip,sym,dso", "-i"]).arg(&data);
    let output = finish(script.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    if !output.status.success() {
        return Err(format!("perf script died ({})", output.status));
    }
    let seen = Seen::of_perf_script(&String::from_utf8_lossy(&output.stdout));
    Ok(Recorded { seen, printed, summary: None, registers: registers(&data) })
}

/// What the samples of a recording have in r15.
fn registers(data: &Path) -> Registers {
    use flameprofile::perf::Record;
    /// `PERF_REG_X86_R15`, arch/x86/include/uapi/asm/perf_regs.h.
    const R15: u32 = 23;
    let mut registers = Registers::new();
    let read = flameprofile::import::records(data, |record| {
        if let Record::Sample(sample) = record
            && let Some(value) = sample.user_registers.and_then(|registers| registers.get(R15))
        {
            registers.insert((sample.identity.tid, sample.identity.time), value);
        }
    });
    read.unwrap_or_else(|error| panic!("{}: {error}", data.display()));
    registers
}
