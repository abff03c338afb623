//! What a recording took, missed and cost.

use std::collections::BTreeMap;
use std::time::Duration;

use super::off_cpu::OffCpuStats;
use super::reason::Unnamed;

/// Who found the stacks, and so what is known of what was missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// This program, while it recorded.
    #[default]
    Recording,
    /// This program, from the records of a recording (perf.data); what they cover is not known.
    Records,
    /// Another program, which wrote stacks with names and did not say what it lost or cut.
    Stacks,
}

/// What a recording took, missed and cost; shown with every output, never left out.
///
/// Shares are 0..1 of the profile's total weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaptureStats {
    /// Who found the stacks.
    pub origin: Origin,
    /// The event by name, and why it was chosen if it was not the first choice.
    pub event: String,
    /// Samples per second of CPU time that were asked for, if the event is sampled by rate.
    pub rate: Option<f64>,
    /// From the first to the last moment of the recording.
    pub duration: Duration,
    /// Samples kept.
    pub samples: u64,
    /// Samples lost because a ring was full, as the kernel counts them.
    pub lost: u64,
    /// Samples whose copy of the stack was cut because they came faster than they could be unwound.
    pub trimmed: u64,
    /// How often the kernel throttled an event.
    pub throttled: u64,
    /// Samples x period / CPU time of the targets (clock events), or / the event's own count; 1 is perfect.
    pub coverage: Option<f64>,
    /// CPU time of the targets, the denominator of `coverage` for clock events.
    pub cpu_time: Option<Duration>,
    /// Whether the shares below, and what goes with them, are those that the recording had and do not follow from the tables: of a
    /// picture that is read back. They hold as long as all of its samples are there.
    pub is_as_recorded: bool,
    /// Whether stacks were left as they came: how many are complete and how many have names is then not known.
    pub stacks_unknown: bool,
    /// Share of the weight whose stack reached its root.
    pub complete: f64,
    /// Share of the weight of which it is not known whether the stack is whole, as another tool made it.
    pub unstated: f64,
    /// Share of the weight whose stack is cut, by reason.
    pub truncated: BTreeMap<&'static str, f64>,
    /// Samples whose stack is larger than its copy and was completed from the memory of the process, which had not changed there.
    pub completed_late: u64,
    /// Of what is cut for want of unwind information: its share by the file whose code has none.
    pub no_unwind_info: BTreeMap<String, f64>,
    /// How many callers in user mode were found in each way, each as often as a sample has it; the ways that found none are
    /// not there. Empty if somebody else found the stacks.
    pub frames: BTreeMap<&'static str, u64>,
    /// Share of the frames, each with the weight of its samples, that have no name, by reason.
    pub unnamed: BTreeMap<&'static str, f64>,
    /// Share of the weight whose innermost frame has no name: of what ran, how much nobody can tell what it was.
    pub unnamed_innermost: f64,
    /// The frames without a name by image and reason, most first, with what the user can do about it.
    pub unnamed_images: Vec<UnnamedImage>,
    /// Which stacks were walked in the kernel, by a BPF program; nothing if that was not thought of.
    pub kernel_walks: Option<KernelWalks>,
    /// The profiler's own CPU time.
    pub own_cpu: Duration,
    /// The profiler's own largest resident memory, in bytes.
    pub peak_rss_bytes: u64,
    /// Of what was read in: how many records (or lines, or blocks of text) of each type there were.
    pub records: BTreeMap<String, u64>,
    /// Of what was read in: what was passed over, by reason; nothing that carries samples is passed over uncounted. Of numbers that are too
    /// large see [`CaptureStats::BEYOND`] and [`CaptureStats::TOO_MANY`].
    pub skipped: BTreeMap<String, u64>,
    /// What there was of time off the CPU, if that was recorded.
    pub off_cpu: Option<OffCpuStats>,
    /// Whether a file ended before its own end: what was behind that is not in the profile. A note says where.
    pub is_cut: bool,
    /// What is less than was asked for, a sentence each: "no kernel frames (...)".
    pub notes: Vec<String>,
    /// What was recorded: the command line, or the process ids.
    pub target: String,
    /// The machine's host name and kernel release.
    pub host: String,
    /// When the recording began, seconds since 1970 (UTC).
    pub started_unix: u64,
    /// Which run of a series it was, if it was kept as such.
    pub run: Option<RunMark>,
}

/// Which run of a series a recording was, as whoever kept it wrote down.
#[derive(Clone, Debug, PartialEq)]
pub struct RunMark {
    /// Of which history: a job and a class of machines. Empty of a run that was kept with one comparison.
    pub key: String,
    /// Runs of one label are of the same program: a commit, or `base` and `new`.
    pub label: String,
    /// Which run of its series it was, from 0, if that is known.
    pub order: Option<u32>,
    /// Units of work that it did: more than 0.
    pub work: f64,
}

/// Stacks that were walked in the kernel, by a BPF program that is attached to the sampling events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KernelWalks {
    /// Samples that are kept and whose stacks came from there; all others came as records with copies of their stacks.
    pub samples: u64,
    /// What was counted by programs and by who gives them what they need; what is zero is left out.
    pub counts: BTreeMap<String, u64>,
    /// Nanoseconds that a call of the program took on average, as far as calls were timed (one in 256).
    pub mean_call_ns: Option<f64>,
    /// Why no program was used.
    pub why_not: Option<String>,
}

/// An image some of whose frames have no name.
#[derive(Clone, Debug, PartialEq)]
pub struct UnnamedImage {
    /// Its path, or what stands for one (`[jit]`).
    pub image: String,
    /// Why they have none.
    pub reason: Unnamed,
    /// Their share of all frames, each with the weight of its samples.
    pub share: f64,
    /// What to install or to type so that the next recording has names; empty if nothing is known to help.
    pub help: String,
}

impl CaptureStats {
    /// In `skipped`: how many samples of the drawn event count less than their value, or nothing, as all together are more than 2^64 - 1
    /// (it is those behind in the order of the rows).
    pub const BEYOND: &str = "samples beyond a sum of 2^64 - 1";
    /// In `skipped`: how many rows of samples stand for more than 2^32 - 1 samples, and are counted with so many. Values are whole.
    pub const TOO_MANY: &str = "counts of samples above 2^32 - 1";

    /// Sum of [`CaptureStats::truncated`].
    pub fn truncated_total(&self) -> f64 {
        // The sum of no floats is -0.0.
        self.truncated.values().sum::<f64>() + 0.0
    }

    /// Sum of [`CaptureStats::unnamed`].
    pub fn unnamed_total(&self) -> f64 {
        self.unnamed.values().sum::<f64>() + 0.0
    }
}
