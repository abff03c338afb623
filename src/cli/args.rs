//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use flameprofile::import::Kind;
use flameprofile::model::TimeRange;
use flameprofile::recorder::UserStacks;
use flameprofile::sampler::{CpuList, StackSize};
use flameprofile::session::{States, UseBpf};

use super::baseline::{self, BaselineArgs};
use super::compare::{self, CompareArgs};
use super::diff::{self, DiffArgs};
use super::from::kind_parser;
use super::names::NamesArgs;
use super::render::OutputArgs;

/// A sampling profiler: flame graphs of any program, with right stacks and nothing hidden.
#[derive(Debug, Parser)]
#[command(name = "profile", version, max_term_width = 100, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub record: RecordArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sample, then write a picture or a table (what `profile` does without a sub-command)
    #[command(after_help = EXAMPLES)]
    Record(Box<RecordArgs>),
    /// Read recordings and stacks of other programs, then write a picture, a table, or another format
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(Box<ImportArgs>),
    /// Compare two recordings, or two sets of them: what each function took before, and takes now
    #[command(
        after_help = diff::EXAMPLES,
        mut_arg("view", diff::only_views),
        mut_arg("format", diff::only_formats),
        mut_arg("function", |arg| arg.hide(true)),
        mut_arg("callers", |arg| arg.hide(true)),
        mut_arg("callees", |arg| arg.hide(true))
    )]
    Diff(Box<DiffArgs>),
    /// Run two commands in turn, record them, and tell what has changed from chance
    #[command(
        after_help = compare::EXAMPLES,
        mut_arg("view", diff::only_views),
        mut_arg("format", diff::only_formats),
        mut_arg("function", |arg| arg.hide(true)),
        mut_arg("callers", |arg| arg.hide(true)),
        mut_arg("callees", |arg| arg.hide(true))
    )]
    Compare(Box<CompareArgs>),
    /// Keep runs to compare later ones with, list them, and remove old ones
    #[command(after_help = baseline::EXAMPLES)]
    Baseline(BaselineArgs),
    /// Tell what this machine and user allow, and what to type to be allowed more
    Doctor,
    /// Print a completion script for a shell
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

const EXAMPLES: &str = "\
Examples:
  profile -p 4121 -F 99 > out.svg         a running process, until it ends or Ctrl-C
  profile -p 4121 -d 10 -o out.svg        the same, for ten seconds
  profile -o out.svg -- ./prog arg        a command, from start to end
  profile -a -d 5                         the whole machine; on a terminal the top functions are printed
  profile -p 4121 -f folded -o x.folded   folded stacks, for other tools
  profile -p 4121 -d 10 -o perf.data      the records as they come, for perf report and others
  profile -e page-faults -- ./prog        another event
  profile --off-cpu -p 4121 -d 10         where its threads wait, and for how long
  profile --off-cpu --wakers -p 4121      the same, with who woke them
  profile --wall -o out.svg -- ./prog     time on and off the CPU in one picture

On a terminal without -o the table of top functions is printed, else an SVG.
Exit status: 0 done, 2 failed; with a command, the command's own.";

/// What to sample, how, and where to write it.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// Processes to sample, with all that they start
    #[arg(short, long, value_name = "PID,..", value_parser = task_number, value_delimiter = ',', group = "whom", help_heading = "Whom")]
    pub pid: Vec<u32>,
    /// Threads to sample, and only those
    #[arg(short, long, value_name = "TID,..", value_parser = task_number, value_delimiter = ',', group = "whom", help_heading = "Whom")]
    pub tid: Vec<u32>,
    /// Everything on this machine
    #[arg(short, long, group = "whom", help_heading = "Whom")]
    pub all: bool,
    /// The processes of a cgroup (version 2): its path, or its name below the cgroup file system
    #[arg(short = 'G', long, value_name = "CGROUP", group = "whom", help_heading = "Whom")]
    pub cgroup: Option<PathBuf>,
    /// Only on these CPUs: 0-3,8; alone it means everything on them
    #[arg(short = 'C', long, value_name = "CPU,..", value_parser = cpu_list, help_heading = "Whom")]
    pub cpu: Option<CpuList>,
    /// A command to start and sample until it ends
    #[arg(last = true, value_name = "COMMAND", group = "whom")]
    pub command: Vec<OsString>,

    /// Time off the CPU in place of time on it: how long threads waited, by the stack at which they did
    #[arg(long, conflicts_with_all = ["event", "count", "freq", "wall"], help_heading = "Time off the CPU")]
    pub off_cpu: bool,
    /// Time on and off the CPU in one picture; -F says how often time on it is sampled
    #[arg(long, conflicts_with_all = ["event", "count"], help_heading = "Time off the CPU")]
    pub wall: bool,
    /// With who woke each thread, above the stack at which it waited
    #[arg(long, help_heading = "Time off the CPU")]
    pub wakers: bool,
    /// Only waits of at least this time: 1ms, 50us [default: all, so that sums are right; short ones cost no more]
    #[arg(long, value_name = "TIME", value_parser = wait, help_heading = "Time off the CPU")]
    pub min_block: Option<Duration>,
    /// Only waits of at most this time
    #[arg(long, value_name = "TIME", value_parser = wait, help_heading = "Time off the CPU")]
    pub max_block: Option<Duration>,
    /// Only waits in these states, by the letters of ps: S sleeps, D waits for a disk or the like, T stopped, t traced, P parked,
    /// R could run and waited for a CPU
    #[arg(long, value_name = "LETTERS", value_parser = states, help_heading = "Time off the CPU")]
    pub state: Option<States>,
    /// With threads of the kernel, which -a and -G leave out of time off the CPU
    #[arg(long, help_heading = "Time off the CPU")]
    pub kernel_threads: bool,

    /// The event, by perf's names: cycles, cpu-clock, page-faults, sched:sched_switch, r1a8 [default: cycles where there is
    /// a counter for them, else cpu-clock]
    #[arg(short, long, help_heading = "How")]
    pub event: Option<String>,
    /// Samples a second, of CPU time for clocks and cycles [default: 99]
    #[arg(short = 'F', long, value_name = "HZ", help_heading = "How")]
    pub freq: Option<u64>,
    /// A sample every so many events (nanoseconds for clocks)
    #[arg(short = 'c', long, value_name = "EVENTS", conflicts_with = "freq", help_heading = "How")]
    pub count: Option<u64>,
    /// For how long: 10, 0.5, 2m [default: until the target ends, or Ctrl-C]
    #[arg(short, long, value_name = "SECONDS", value_parser = duration, help_heading = "How")]
    pub duration: Option<Duration>,
    /// Only user mode
    #[arg(short = 'U', long, help_heading = "How")]
    pub user: bool,
    /// Only kernel mode
    #[arg(short = 'K', long, conflicts_with = "user", help_heading = "How")]
    pub kernel: bool,
    /// How user stacks are found
    #[arg(long, value_enum, default_value_t = Unwind::Auto, help_heading = "How")]
    pub unwind: Unwind,

    /// Which stacks BPF programs walk in the kernel, where they are permitted
    #[arg(long, value_enum, default_value_t = Bpf::Auto, help_heading = "How")]
    pub bpf: Bpf,
    /// How much of the user stack each sample copies, a multiple of 8 from 512 to 65528 [default: 65528, less at high rates]
    #[arg(long, value_name = "BYTES", value_parser = stack_size, help_heading = "How")]
    pub stack_size: Option<StackSize>,

    #[command(flatten)]
    pub names: NamesArgs,

    /// Pack a perf.data with zstd
    #[arg(short = 'z', long, help_heading = "Output")]
    pub compress: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

const IMPORT_EXAMPLES: &str = "\
Examples:
  profile import perf.data -o out.svg                      a recording of perf, as a flame graph
  perf script | profile import - -o out.svg                text, from standard input
  profile import perf.data --time 10..20 --comm nginx      ten seconds of the processes or threads of a name
  profile import a.data b.data -f pprof -o both.pb.gz      several, merged, for `go tool pprof`
  profile import stacks.folded                             folded stacks; on a terminal the top functions are printed

On a terminal without -o the table of top functions is printed, else an SVG.
Exit status: 0 done, 2 failed.";

/// What to read, what of it to keep, and where to write it.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// Recordings, merged if several; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The format of the files [default: told by their content]
    #[arg(long, value_name = "FORMAT", value_parser = kind_parser(), help_heading = "What")]
    pub from: Option<Kind>,
    /// The event that is drawn, by name [default: the first that has samples]
    #[arg(short, long, help_heading = "What")]
    pub event: Option<String>,
    /// Only samples of this time: 1.5..3 seconds since the first sample, 10%..20% of the recording, @12.25..@13 by the
    /// recording's clock; either end may be left out
    #[arg(long, value_name = "A..B", value_parser = time_range, allow_hyphen_values = true, help_heading = "What")]
    pub time: Option<TimeRange>,
    /// Only samples of these processes
    #[arg(short, long, value_name = "PID,..", value_parser = task_number, value_delimiter = ',', help_heading = "What")]
    pub pid: Vec<u32>,
    /// Only samples of these threads
    #[arg(short, long, value_name = "TID,..", value_parser = task_number, value_delimiter = ',', help_heading = "What")]
    pub tid: Vec<u32>,
    /// Only samples of threads or processes of these names
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', help_heading = "What")]
    pub comm: Vec<String>,
    /// Only samples on these CPUs: 0-3,8
    #[arg(short = 'C', long, value_name = "CPU,..", value_parser = cpu_list, help_heading = "What")]
    pub cpu: Option<CpuList>,

    #[command(flatten)]
    pub names: NamesArgs,
    /// A copy of the recorded machine's /proc/kallsyms, made by root
    #[arg(long, value_name = "FILE", help_heading = "Names")]
    pub kallsyms: Option<PathBuf>,
    /// The recorded machine's kernel, with symbols
    #[arg(long, value_name = "FILE", help_heading = "Names")]
    pub vmlinux: Option<PathBuf>,
    /// How user stacks are found in recordings of records
    #[arg(long, value_enum, default_value_t = Unwind::Auto, help_heading = "Names")]
    pub unwind: Unwind,

    #[command(flatten)]
    pub output: OutputArgs,
}

/// How user stacks are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Unwind {
    /// From a copy of the stack, with unwind tables; where there is none, by frame pointers
    Auto,
    /// By frame pointers, in the kernel; with tables only the caller of the innermost function
    Fp,
    /// From a copy of the stack only
    Dwarf,
    /// From the calls that the processor records (LBR, Intel's since 2013): 8 to 32 of them
    Lbr,
    /// Not at all
    None,
}

/// Which stacks BPF programs walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bpf {
    /// All that they can walk, where that is permitted
    #[value(alias = "samples")]
    Auto,
    /// Those of --off-cpu and --wall only
    Waits,
    /// None
    Never,
}

impl From<Bpf> for UseBpf {
    fn from(bpf: Bpf) -> UseBpf {
        match bpf {
            Bpf::Auto => UseBpf::Auto,
            Bpf::Waits => UseBpf::Waits,
            Bpf::Never => UseBpf::Never,
        }
    }
}

impl From<Unwind> for UserStacks {
    fn from(unwind: Unwind) -> UserStacks {
        match unwind {
            Unwind::Auto => UserStacks::Auto,
            Unwind::Fp => UserStacks::FramePointers,
            Unwind::Dwarf => UserStacks::Dwarf,
            Unwind::Lbr => UserStacks::CallStack,
            Unwind::None => UserStacks::None,
        }
    }
}

fn cpu_list(text: &str) -> Result<CpuList, String> {
    CpuList::parse(text).filter(|cpus| !cpus.is_empty()).ok_or_else(|| "a list of CPUs is like 0-3,8".to_owned())
}

fn stack_size(text: &str) -> Result<StackSize, String> {
    let size = text.parse().ok().and_then(StackSize::new);
    size.ok_or_else(|| "the size of a stack copy is a multiple of 8, from 512 to 65528".to_owned())
}

fn task_number(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "it is no number of a process or thread; `pgrep -a NAME` lists processes by name".to_owned())
}

fn time_range(text: &str) -> Result<TimeRange, String> {
    text.parse().map_err(|error: flameprofile::Error| error.hint().unwrap_or_default().to_owned())
}

fn states(text: &str) -> Result<States, String> {
    States::parse(text).map_err(|error| error.hint().unwrap_or_default().to_owned())
}

fn wait(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == 'µ');
    let unit = match &text[digits.len()..] {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "" if digits == "0" => 1.0,
        "" => return Err("say the unit too: 50us, 1ms, 2s".to_owned()),
        unit => return Err(format!("{unit} is no unit of time: 500ns, 50us, 1ms, 2s")),
    };
    let number: f64 = digits.parse().map_err(|_| "a time is like 50us, 1ms or 2s".to_owned())?;
    let nanoseconds = (number * unit).round();
    match (0.0..1e18).contains(&nanoseconds) {
        true => Ok(Duration::from_nanos(nanoseconds as u64)),
        false => Err("a time is at least 0, and less than thirty years: 50us, 1ms, 2s".to_owned()),
    }
}

/// A duration as it is typed: `10` (seconds), `500ms`, `2m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("{unit} is no unit of time: 10, 500ms, 2m, 1h")),
    };
    let number: f64 = digits.parse().map_err(|_| "a duration is like 10, 0.5, 500ms or 2m".to_owned())?;
    Duration::try_from_secs_f64(number * unit)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration < Duration::from_secs(10 * 365 * 86_400))
        .ok_or_else(|| "a duration is more than 0 and less than ten years".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "x", "0", "-1", "1e999", "5 days", "nan"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lengths_of_waits_are_read() {
        assert_eq!(wait("0"), Ok(Duration::ZERO));
        assert_eq!(wait("1.5ms"), Ok(Duration::from_micros(1500)));
        assert_eq!(wait("50µs"), wait("50us"));
        assert_eq!(wait("700ns"), Ok(Duration::from_nanos(700)));
        for wrong in ["", "5", "ms", "-1ms", "1e99s", "1 m", "nans", "infs"] {
            assert!(wait(wrong).is_err(), "{wrong}");
        }
    }
}
