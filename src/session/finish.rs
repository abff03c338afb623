//! Ends a recording: what is missing is added, frames get names, figures are summed up.

use std::time::Duration;

use super::options::RecordOptions;
use super::plan::Plan;
use crate::image::Images;
use crate::model::{BuildId, CaptureStats, Image, OffCpuStats, Profile, ProfileBuilder, Sample, Timestamp};
use crate::process::JitHost;
use crate::process::own_cost::peak_rss_bytes;
use crate::recorder::{Counters, Recorder};
use crate::sampler::choose::Side;
use crate::sampler::event::EventKind;
use crate::sampler::sys::{self, Whose};
use crate::symbolize::{
    KernelNames, Names, StoredSymbols, SymbolizeOptions, interpreter_notes, symbolize, symbolize_again,
};

/// What was counted beside the records.
pub(super) struct Observed {
    /// CPU time in nanoseconds, or the event's own count.
    pub counted: Option<u64>,
    /// User and kernel time of the targets, by the tick.
    pub times: (Duration, Duration),
    /// Samples that found no room in a ring, if the kernel counts them.
    pub lost_samples: Option<u64>,
    /// Samples whose stack copies were cut as we fell behind.
    pub trimmed: u64,
    /// Samples a second, if there is a rate.
    pub rate: Option<f64>,
    /// From the first to the last moment.
    pub duration: Duration,
    /// When it began.
    pub started_unix: u64,
    /// CPU time that this process had used before.
    pub own_before: Duration,
    /// When it ended, on the recording's clock.
    pub stopped_at: u64,
}

/// Whether it must be known how the targets' CPU time splits into user mode and the kernel: for a recording of one side.
pub(super) fn sides_matter(plan: &Plan, options: &RecordOptions) -> bool {
    options.side != Side::Both || plan.choice.exclude_kernel || plan.per_task
}

/// Adds what is missing, names the frames, and sums up.
pub(super) fn finish(
    mut recorder: Recorder,
    observed: &Observed,
    plan: &Plan,
    options: &RecordOptions,
    mut notes: Vec<String>,
) -> (Profile, LateNames) {
    let off_cpu = recorder.settle_waits(observed.stopped_at);
    let counters = recorder.counters();
    let mut account = account(&counters, observed, plan, options);
    if let Some(waits) = &off_cpu {
        // What is drawn is no estimate: time by the scheduler's own switches.
        account =
            Account { coverage: waits.coverage(), used: waits.on_cpu, not_permitted: 0, not_sampled: 0, ..account };
    }
    let target = options.target.describe();
    if account.not_permitted > 0 {
        recorder.add_estimate("[kernel, not permitted]", account.not_permitted, &target);
    }
    if account.not_sampled > 0 {
        recorder.add_estimate("[not sampled]", account.not_sampled, &target);
    }
    if let Some(waits) = &off_cpu {
        notes.extend((waits.waits + waits.runnable_waits == 0).then(|| why_no_waits(waits)));
    } else if counters.samples == 0 {
        notes.push(why_no_samples(account.used, observed.rate));
    }
    let recorded = recorder.finish();
    notes.extend(recorded.notes);
    let mut profile = recorded.profile;
    let (images, jit_hosts) = (recorded.images, recorded.jit_hosts);
    let late = LateNames { images, jit_hosts, stored: StoredSymbols::default(), options: options.names };
    symbolize(&mut profile, &late.names(), &options.names);
    notes.extend(late.images.notes(&profile));
    notes.extend(interpreter_notes(&profile));
    profile.stats.skipped.extend(late.images.skipped(&profile));
    profile.summarize();
    fill(&mut profile.stats, &counters, &account, observed, plan, options, notes);
    if off_cpu.is_some() {
        profile.stats.event = profile.main_event().to_owned();
        profile.stats.off_cpu = off_cpu;
        // Rows of waits are sums over all the time; until here they needed one, as code that is made meanwhile has its place in it.
        let is_sum = |sample: &Sample| sample.cpu == Sample::NO_CPU;
        profile.samples.change(|sample| sample.time = if is_sum(sample) { Timestamp::UNKNOWN } else { sample.time });
        profile.samples.sort_by_time();
    }
    (profile, late)
}

/// Names the frames of a recording once more, when more is known of its images: debug information that was fetched.
#[derive(Debug)]
pub struct LateNames {
    images: Images,
    jit_hosts: Vec<JitHost>,
    stored: StoredSymbols,
    options: SymbolizeOptions,
}

impl LateNames {
    fn names(&self) -> Names<'_> {
        Names { images: &self.images, jit_hosts: &self.jit_hosts, kernel: &KernelNames::Running, stored: &self.stored }
    }

    /// Looks for the files of these builds again, and names their frames with what is there now; `profile` is that of the
    /// recording.
    pub fn name_again(&self, profile: &mut Profile, builds: &[BuildId]) {
        let is_one = |image: &Image| image.build_id.is_some_and(|build_id| builds.contains(&build_id));
        let before = self.images.notes(profile);
        let counted_before = self.images.skipped(profile);
        symbolize_again(profile, is_one, &self.names(), &self.options);
        // What was missing may be there now.
        let stats = &mut profile.stats;
        stats.notes.retain(|note| !before.contains(note));
        stats.skipped.retain(|what, _| !counted_before.contains_key(what));
        let notes = self.images.notes(profile);
        let counted = self.images.skipped(profile);
        profile.stats.notes.extend(notes);
        profile.stats.skipped.extend(counted);
        profile.summarize();
    }
}

/// Sums up what was written as it came: a profile of no samples.
pub(super) fn finish_perf_data(
    counters: &Counters,
    observed: &Observed,
    plan: &Plan,
    options: &RecordOptions,
    mut notes: Vec<String>,
) -> Profile {
    let account = account(counters, observed, plan, options);
    if counters.samples == 0 {
        notes.push(why_no_samples(account.used, observed.rate));
    }
    for (missing, what) in [
        (account.not_permitted, "of the kernel, which may not be sampled"),
        (account.not_sampled, "that was not sampled"),
    ] {
        if missing > 0 && plan.choice.spec.kind == EventKind::Clock {
            let seconds = Duration::from_nanos(missing).as_secs_f64();
            notes.push(format!("not in the file, which has room for samples only: {seconds:.3} s of CPU time {what}"));
        } else if missing > 0 {
            notes.push(format!("not in the file, which has room for samples only: {missing} events {what}"));
        }
    }
    let mut profile = ProfileBuilder::new().finish();
    profile.stats.samples = counters.samples;
    profile.stats.stacks_unknown = true;
    fill(&mut profile.stats, counters, &account, observed, plan, options, notes);
    profile
}

/// How what was sampled compares with what there was, in the event's unit.
struct Account {
    coverage: Option<f64>,
    used: Option<Duration>,
    not_permitted: u64,
    not_sampled: u64,
    lost: u64,
}

fn account(counters: &Counters, observed: &Observed, plan: &Plan, options: &RecordOptions) -> Account {
    let is_clock = plan.choice.spec.kind == EventKind::Clock;
    let (user, kernel) = observed.times;
    let total = (user + kernel).as_secs_f64();
    let user_share = if total > 0.0 { user.as_secs_f64() / total } else { 1.0 };
    // The counter of CPU time does not tell the sides apart; the ticks do.
    let asked = observed.counted.map(|counted| match options.side {
        _ if !is_clock => counted,
        Side::Both => counted,
        Side::User => (counted as f64 * user_share) as u64,
        Side::Kernel => (counted as f64 * (1.0 - user_share)) as u64,
    });
    let coverage = asked.filter(|asked| *asked > 0).map(|asked| counters.value as f64 / asked as f64);
    let mut missing = asked.map_or(0, |asked| asked.saturating_sub(counters.value));
    let mut not_permitted = 0;
    if is_clock && plan.choice.exclude_kernel {
        let hidden = observed.counted.map_or(0, |counted| (counted as f64 * (1.0 - user_share)) as u64);
        not_permitted = hidden.min(missing);
        missing -= not_permitted;
    }
    let lost = observed.lost_samples.unwrap_or(0).max(counters.lost).max(counters.lost_samples);
    // With all CPUs sampled, a difference without loss is chance, of either sign.
    let not_sampled = if plan.per_task || lost > 0 { missing } else { 0 };
    let used = asked.filter(|_| is_clock).map(Duration::from_nanos);
    Account { coverage, used, not_permitted, not_sampled, lost }
}

fn fill(
    stats: &mut CaptureStats,
    counters: &Counters,
    account: &Account,
    observed: &Observed,
    plan: &Plan,
    options: &RecordOptions,
    notes: Vec<String>,
) {
    stats.event = plan.choice.spec.name.clone();
    stats.rate = observed.rate;
    stats.duration = observed.duration;
    stats.started_unix = observed.started_unix;
    stats.target = options.target.describe();
    stats.lost = account.lost;
    stats.throttled = counters.throttled;
    stats.frames = counters.frames();
    stats.trimmed = observed.trimmed;
    stats.completed_late = counters.completed_late;
    stats.coverage = account.coverage;
    stats.cpu_time = account.used;
    stats.notes = notes;
    if counters.late > 0 {
        stats.notes.push(format!("{} records came out of order: their frames may be wrong", counters.late));
    }
    if counters.memory_denied {
        stats.notes.push(
            "stacks larger than their copies stay cut: the memory of the process may not be read (kernel.yama.ptrace_scope, or \
             CAP_SYS_PTRACE)"
                .into(),
        );
    }
    if counters.waiting_denied {
        stats.notes.push(
            "threads that waited already when the recording began have no stacks where the memory of their process may not be read \
             (CAP_SYS_PTRACE, or kernel.yama.ptrace_scope)"
                .into(),
        );
    }
    if counters.malformed > 0 {
        stats.notes.push(format!("{} records were malformed", counters.malformed));
    }
    let system = rustix::system::uname();
    stats.host = format!("{} {}", system.nodename().to_string_lossy(), system.release().to_string_lossy());
    stats.own_cpu = own_cpu().saturating_sub(observed.own_before);
    stats.peak_rss_bytes = peak_rss_bytes();
}

/// The same, of a recording of time off the CPU.
fn why_no_waits(waits: &OffCpuStats) -> String {
    match waits.left_out {
        0 => "no waits: no thread of the target went off its CPU, or came on again".into(),
        left_out => format!("no waits: all {left_out} were left out, by --min-block, --max-block or --state"),
    }
}

/// Why a recording is empty, for whoever looks at the empty picture.
fn why_no_samples(used: Option<Duration>, rate: Option<f64>) -> String {
    match (used, rate) {
        (Some(Duration::ZERO), _) => "no samples: the target used no CPU time, it only waited".into(),
        (Some(used), Some(rate)) if used.as_secs_f64() * rate >= 3.0 => format!(
            "no samples of the {:.1} ms of CPU time that the target used: no thread ran for long; -F samples more often, and \
             whoever may sample whole CPUs misses nothing (profile doctor)",
            used.as_secs_f64() * 1e3
        ),
        (Some(used), Some(rate)) => format!(
            "no samples: the target used {:.1} ms of CPU time, and a sample is taken every {:.1} ms: -F samples more often",
            used.as_secs_f64() * 1e3,
            1e3 / rate
        ),
        _ => "no samples: the event did not happen while the target ran".into(),
    }
}

fn own_cpu() -> Duration {
    let (user, kernel) = sys::cpu_times(Whose::Own);
    user + kernel
}
