//! What a recording is asked to be.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::off_cpu::RecordedTime;
use crate::debuginfod::Downloads;
use crate::recorder::UserStacks;
use crate::sampler::choose::Side;
use crate::sampler::{CpuList, Sampling, StackSize, Target};
use crate::symbolize::SymbolizeOptions;

/// Which stacks are walked in the kernel by BPF programs, where those can be loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseBpf {
    /// Those of time off the CPU and of samples on it.
    #[default]
    Auto,
    /// Those of time off the CPU.
    Waits,
    /// None.
    Never,
    /// Samples come both ways, each one twice, to compare: those that were walked in the kernel are of an event `bpf`.
    Both,
}

/// Where a command writes to; there is nothing to read for it.
#[derive(Clone, Debug)]
pub struct CommandStreams {
    /// Its standard output; nowhere if not given.
    pub output: Option<Arc<File>>,
    /// Its standard error.
    pub errors: Arc<File>,
}

/// What to record.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    /// Whom.
    pub target: Target,
    /// On which CPUs; all if not given.
    pub cpus: Option<CpuList>,
    /// Time on the CPU, off it, or both.
    pub time: RecordedTime,
    /// Which event, by perf's names; CPU cycles or time if not given.
    pub event: Option<String>,
    /// How often; the event's own way (99 Hz for clocks and PMU events) if not given.
    pub sampling: Option<Sampling>,
    /// User mode, kernel mode, or both.
    pub side: Side,
    /// How user stacks are found.
    pub user_stacks: UserStacks,
    /// How much of the user stack a sample copies, in bytes; as much as the rate allows, 65,528 at most, if not given.
    pub stack_size: Option<StackSize>,
    /// Which stacks are walked in the kernel.
    pub bpf: UseBpf,
    /// For how long; until the target ends if not given.
    pub duration: Option<Duration>,
    /// Which names are wanted.
    pub names: SymbolizeOptions,
    /// Folders of debug files, searched first.
    pub debug_dirs: Vec<PathBuf>,
    /// The root of a copy of the files that the targets saw; debug files and files that cannot be had otherwise are looked for in it.
    pub sysroot: Option<PathBuf>,
    /// By whom debug files of what is hot are fetched while it is recorded, if that is wanted.
    pub downloads: Option<Arc<Downloads>>,
    /// Whether what a command writes to standard output goes to standard error.
    pub command_output_to_stderr: bool,
    /// Where a command reads from and writes to; from and to where we do if not given.
    pub command_streams: Option<CommandStreams>,
    /// The folder that a command is started in; ours if not given.
    pub command_folder: Option<PathBuf>,
    /// Whether a command has a process group of its own, all of which is told to end with it.
    pub command_group: bool,
}

impl RecordOptions {
    /// The default rate: not a divisor of anything that programs do on a beat.
    pub const DEFAULT_RATE: u64 = 99;

    /// Records `target` as a plain `profile` does.
    pub fn new(target: Target) -> RecordOptions {
        RecordOptions {
            target,
            cpus: None,
            time: RecordedTime::OnCpu,
            event: None,
            sampling: None,
            side: Side::Both,
            user_stacks: UserStacks::Auto,
            stack_size: None,
            bpf: UseBpf::Auto,
            duration: None,
            names: SymbolizeOptions::default(),
            debug_dirs: Vec::new(),
            sysroot: None,
            downloads: None,
            command_output_to_stderr: false,
            command_streams: None,
            command_folder: None,
            command_group: false,
        }
    }
}
