//! Records, and turns what was recorded into a profile with names.

use std::num::NonZeroUsize;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

#[cfg(feature = "bpf")]
use super::bpf::Walks;
use super::command::{cannot_run, spawn, tell_to_end, times_of_child, wait_for_child};
use super::cpu_split::CpuSplit;
use super::early::Early;
use super::finish::{LateNames, Observed, finish, finish_perf_data, sides_matter};
use super::keeper::Keeper;
use super::machine::{self, monotonic_now};
use super::off_cpu::{self, RecordedTime};
use super::options::{RecordOptions, UseBpf};
use super::plan::{self, Asked, Plan, Subject};
use super::stop::Stop;
use super::turns::Turns;
use super::wait::{self, Ended, Watched};
#[cfg(not(feature = "bpf"))]
use super::without_bpf::Walks;
use super::worker::{self, Done};
use crate::debuginfod::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{FileSources, Images};
use crate::model::{KernelWalks, Profile, Unit};
use crate::perf::data::write::{Output, Writer};
use crate::perf::{Layout, Layouts};
use crate::recorder::{Feed, Origin, REGISTERS_MASK, RecordedEvent, Recorder, RecorderOptions, Tap, UserStacks};
use crate::sampler::choose::Side;
use crate::sampler::event::{DefaultSampling, EventKind};
use crate::sampler::facts::Facts;
use crate::sampler::sys::{self, Linux, WaitingChild, Whose};
use crate::sampler::{
    self, CpuList, Denominator, Drain, OpenRequest, Opened, RingBuffer, Sampling, Sources, StackSize, Stacks, Switches,
    Target, Tasks,
};

/// How far a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It samples.
    Recording {
        /// For so long.
        elapsed: Duration,
        /// With so many samples.
        samples: u64,
        /// And so many lost.
        lost: u64,
    },
    /// It has ended; names are being looked up.
    Naming,
}

/// A finished recording.
#[derive(Debug)]
pub struct Recording {
    /// The profile, with names and with [`crate::model::CaptureStats`].
    pub profile: Profile,
    /// The command that was started, if there was one; it may still run.
    pub child: Option<Child>,
    /// Why the recording ended; a command is told to end if it has not.
    pub ended: Ended,
    /// What was written, if records were written as they are.
    pub written: Option<Written>,
    /// How to name its frames again, if they were named.
    pub late_names: Option<LateNames>,
}

/// A perf.data to be written while recording.
#[derive(Debug)]
pub struct PerfData {
    /// Where it goes.
    pub output: Output,
    /// Whether records are packed with zstd.
    pub compress: bool,
    /// What was typed, as the file tells it.
    pub command_line: Vec<String>,
}

/// A perf.data that was written.
#[derive(Debug)]
pub struct Written {
    /// Its size in bytes; what lies behind that is no part of it.
    pub size: u64,
    /// Why it is not whole: the recording ended at that, and what is counted is what the file has.
    pub failure: Option<std::io::Error>,
}

/// How often new threads are looked for: each time fewer are left that have no event.
const MOST_ROUNDS: u32 = 16;
/// How long a command may take to end of the Ctrl-C that it got too, before it is told to end.
const GRACE: Duration = Duration::from_millis(300);

/// Records until the target ends, the duration is over, or `stop` is pressed.
///
/// # Errors
/// [`ErrorKind::Permission`] with what to type, [`ErrorKind::NotFound`] for a target or command that is not there,
/// [`ErrorKind::Usage`] for an event or CPU that is not.
pub fn record(options: &RecordOptions, stop: &Stop, progress: &mut dyn FnMut(Progress)) -> Result<Recording> {
    record_to(options, None, stop, progress)
}

/// Records as [`record`] does, and writes the records down as they are; the profile that comes back has no samples, only
/// the summary.
///
/// Where stacks are copied, the kernel is not asked for frame pointers' chains of user mode as well: perf would show both,
/// one behind the other.
///
/// # Errors
/// As [`record`]; that a write failed is said by [`Written::failure`], and presses `stop`.
pub fn record_perf_data(
    options: &RecordOptions,
    perf_data: PerfData,
    stop: &Stop,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recording> {
    let mut options = options.clone();
    if options.user_stacks == UserStacks::Auto {
        options.user_stacks = UserStacks::Dwarf;
    }
    record_to(&options, Some(perf_data), stop, progress)
}

fn record_to(
    options: &RecordOptions,
    perf_data: Option<PerfData>,
    stop: &Stop,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recording> {
    // What ran in this process before, its exec included, is none of the recording's.
    let [own_before, children_before] = [Whose::Own, Whose::Children].map(sys::cpu_times);
    let facts = Facts::read();
    check_proc(&facts)?;
    let mut notes = Vec::new();
    let sampling = allowed_sampling(options.sampling, &facts, &mut notes)?;
    let cpus = sampler::sampled_cpus(options.cpus.as_ref())?;
    let waiting = match &options.target {
        Target::Command(words) => Some(spawn(words, options)?),
        _ => None,
    };
    // After the command was started: it keeps the limits that it was given.
    plan::raise_open_files();
    let child_pid = waiting.as_ref().map(WaitingChild::pid);
    let mut subject = plan::subject(&options.target, child_pid)?;
    let is_file = perf_data.is_some();
    let images = images(options);
    let (plan, mut walks) = plan_of(options, (is_file, &images), sampling, &subject, &cpus, &facts)?;
    let tasks = plan::tasks(&mut subject, &plan, child_pid, cpus.as_slice().len())?;
    notes.extend(plan.choice.notes.iter().cloned());

    let clock_rate = clock_rate(&plan, sampling);
    let on_exec = matches!(tasks, Tasks::Child(_));
    let request = OpenRequest {
        tasks,
        cpus: cpus.clone(),
        attrs: plan.choice.spec.attrs.clone(),
        clock_rate,
        expected_rate: expected_rate(&plan, sampling),
        stacks: if plan.switches == Switches::Records {
            Stacks::default()
        } else {
            stacks(options, perf_data.is_some())
        },
        stack_size: stack_size(options),
        registers: REGISTERS_MASK,
        data_mappings: perf_data.is_some() && stacks(options, true).user_copy,
        switches: plan.switches,
    };
    let attempt = plan::attempt(&plan, &subject);
    let explained = |error: std::io::Error| match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::EINVAL) if request.stacks.call_stack => no_call_stacks(&plan, error),
        _ => facts.explain(attempt, error),
    };
    let mut opened = sampler::open(&Linux, &request).map_err(explained)?;
    let mut denominator = denominator(options, &plan, &subject, &cpus);
    let mut kept = recorder_options(options, &plan, &subject, &opened, clock_rate, child_pid);
    if options.bpf == UseBpf::Both {
        kept.events.extend(kept.events.first().cloned().map(|event| RecordedEvent { name: "bpf".into(), ..event }));
    }
    let started_unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();

    // The events run before `/proc` is read, and samples are kept only from then on: nothing that is mapped or started
    // falls between.
    let layout = opened.layout;
    let beside = walks.as_mut().ok().and_then(Walks::beside);
    let (drain, chunks) = Drain::start_with(std::mem::take(&mut opened.rings), beside, layout)?;
    opened.start_tracking().map_err(explained)?;
    opened.start_sampling(on_exec).map_err(explained)?;
    for _ in 0..MOST_ROUNDS {
        let new = if child_pid.is_none() { subject.grow() } else { Vec::new() };
        if new.is_empty() {
            break;
        }
        denominator.add_tasks(&Linux, &new);
        opened.add_tasks(&Linux, &new).and_then(|()| opened.start_sampling(false)).map_err(explained)?;
    }
    let mut keeper = match perf_data {
        None => Keeper::Profile(Box::new(Recorder::with_images(kept, images))),
        Some(perf_data) => Keeper::File(Box::new(tap(perf_data, kept, &opened, &request, plan.choice.spec.kind)?)),
    };
    if let Some(pid) = child_pid {
        keeper.add_waiting(pid);
    } else {
        notes.extend(subject.unreadable_note(|pid| keeper.add_existing(pid)));
    }
    notes.append(&mut subject.notes);
    notes.append(&mut opened.notes);
    if let Ok(attached) = &mut walks {
        keeper.set_kernel_lists(attached.lists());
        if let Err(why_not) = attached.attach(&opened, &subject, &options.target) {
            if options.time.off_cpu().is_some() {
                return Err(off_cpu::cannot_attach(&why_not));
            }
            walks = Err(why_not);
        }
    }
    // What programs are to be attached for may take long, and nothing is kept before.
    if child_pid.is_none() {
        denominator.start();
    }
    // On a machine full of processes it costs more than the samples do.
    let sides_matter = sides_matter(&plan, options) && options.time == RecordedTime::OnCpu;
    let mut split = if sides_matter { CpuSplit::start(&subject.pids) } else { CpuSplit::default() };
    let began = Instant::now();
    keeper.begin(monotonic_now().0);
    match &mut walks {
        Ok(walks) => walks.begin_waits(&mut keeper, &subject, child_pid.is_some(), monotonic_now().0)?,
        Err(_) if child_pid.is_none() => subject.pids.iter().for_each(|pid| keeper.add_waiting_threads(*pid)),
        Err(_) => {}
    }
    let feed = feed(keeper, &opened)?;
    let done = Arc::new(Done::default());
    let (worker_done, worker_stop) = (done.clone(), stop.clone());
    let early = options.downloads.clone().map(Early::new);
    let worker = std::thread::Builder::new()
        .name("record".into())
        .spawn(move || worker::run(&chunks, feed, early, &worker_done, &worker_stop))
        .map_err(|error| Error::io("cannot start the recording thread", error))?;
    let mut child = match waiting.map(WaitingChild::release).transpose() {
        Ok(child) => child,
        Err(error) => {
            opened.stop();
            drop(drain.stop());
            let _ = worker.join();
            return Err(cannot_run(&options.target, error));
        }
    };

    let watched = match &options.target {
        Target::Processes(pids) => Watched::Processes(pids.clone()),
        Target::Threads(tids) => Watched::Threads(tids.clone()),
        Target::Command(_) => Watched::Processes(child_pid.into_iter().collect()),
        Target::System | Target::Cgroup(_) => Watched::Nothing,
    };
    let end = options.duration.map(|duration| began + duration);
    let mut ticks = 0;
    let mut turns = Turns::new(opened.turn_takers());
    let needs_ticks = opened.turn_takers() > 0 || sides_matter;
    let interval = if needs_ticks { wait::SHORT_TICK } else { wait::LONG_TICK };
    let ended = wait::until_end(&watched, stop, end, interval, || {
        ticks += 1;
        if ticks % 10 == 1 {
            split.update();
        }
        if turns.is_over() {
            opened.change_turns();
        }
        let [samples, lost] = [&done.samples, &done.lost].map(|count| count.load(Ordering::Relaxed));
        progress(Progress::Recording { elapsed: began.elapsed(), samples, lost });
    });
    let (stopped, stopped_at) = (Instant::now(), monotonic_now().0);
    if let Ok(walks) = &mut walks {
        walks.end_waits(stopped_at)?;
    }
    let counted = denominator.finish();
    opened.stop();
    split.update();
    progress(Progress::Naming);
    // Where threads wait is looked at once more, while they do.
    let waits = options.time.off_cpu().is_some();
    if ended == Ended::Time && !waits {
        tell_to_end(&mut child, options.command_group);
    }
    let trimmed = drain.stop().iter().map(RingBuffer::trimmed).sum();
    let mut keeper = worker.join().map_err(|_| Error::new(ErrorKind::Io, "the recording thread panicked"))?;
    if let (Keeper::Profile(recorder), Ok(walks)) = (&mut keeper, &mut walks) {
        walks.find_again(recorder);
    }
    if ended == Ended::Time && waits {
        tell_to_end(&mut child, options.command_group);
    }
    // In the rings are other tasks' samples too.
    let trimmed = match &keeper {
        Keeper::Profile(recorder) => recorder.counters().trimmed,
        Keeper::File(_) => trimmed,
    };
    let times = child.as_mut().map_or_else(|| split.times(), |child| times_of_child(child, children_before));
    // What the kernel bills the command for has the ends of its short-lived children too, which the counter has left by
    // then; the counter has those that nobody waited for.
    let billed = child.as_ref().map_or(0, |_| (times.0 + times.1).as_nanos() as u64);
    let is_clock = plan.choice.spec.kind == EventKind::Clock;
    let counted = counted.map(|counted| if is_clock { counted.max(billed) } else { counted });
    // Where no counter could be had, as of thousands of threads, the tick's figures are better than none.
    let ticked = (split.times().0 + split.times().1).as_nanos() as u64;
    let counted = counted.or(Some(ticked).filter(|ticked| is_clock && *ticked > 0));
    let observed = Observed {
        counted,
        times,
        lost_samples: opened.lost_samples(),
        trimmed,
        rate: clock_rate.or_else(|| rate_of(&plan)),
        duration: stopped - began,
        started_unix,
        own_before: own_before.0 + own_before.1,
        stopped_at,
    };
    let (profile, late_names, written) = match keeper {
        Keeper::Profile(mut recorder) => {
            if let Ok(walks) = &walks {
                walks.add_waits(&mut recorder)?;
            }
            let walks = walks.map(|walks| walks.finish(&recorder.counters()));
            let (mut profile, late_names) = finish(*recorder, &observed, &plan, options, notes);
            let without = |why_not| KernelWalks { why_not: Some(why_not), ..KernelWalks::default() };
            profile.stats.kernel_walks = Some(walks.unwrap_or_else(without));
            (profile, Some(late_names), None)
        }
        Keeper::File(tap) => {
            let tapped = tap.finish();
            let profile = finish_perf_data(&tapped.counters, &observed, &plan, options, notes);
            (profile, None, Some(Written { size: tapped.finished.size, failure: tapped.finished.failure }))
        }
    };
    if ended == Ended::Stopped {
        let grace = GRACE.saturating_sub(stopped.elapsed());
        wait_for_child(&mut child, grace);
        tell_to_end(&mut child, options.command_group);
    }
    Ok(Recording { profile, child, ended, written, late_names })
}

/// Ids of `/proc` are those of the pid namespace that it was mounted in, all others are ours.
fn check_proc(facts: &Facts) -> Result<()> {
    if facts.own_process == 0 || facts.own_process.cast_unsigned() == std::process::id() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        "/proc is that of another pid namespace: what it says is of other processes",
    )
    .with_hint("mount one of this namespace, as `unshare --pid --fork --mount-proc` does; or run outside of it"))
}

/// Chooses the events, those of the time that is to be recorded; and loads BPF programs where they are of use.
fn plan_of(
    options: &RecordOptions,
    (is_file, images): (bool, &Images),
    sampling: Option<Sampling>,
    subject: &Subject,
    cpus: &CpuList,
    facts: &Facts,
) -> Result<(Plan, std::result::Result<Walks, String>)> {
    let target = &options.target;
    let asked = Asked { event: options.event.as_deref(), sampling, side: options.side, cpus, on_tasks: false };
    let on_clock = Asked { event: Some("cpu-clock"), ..asked };
    let by_bpf = match &options.time {
        RecordedTime::OnCpu => plan::plan(&asked, target, subject, facts)?,
        RecordedTime::OffCpu(_) => off_cpu::without_events(),
        RecordedTime::Wall(_) => plan::plan(&on_clock, target, subject, facts)?,
    };
    let walks = match is_file {
        false => Walks::load(options, &by_bpf, subject, images.beside()),
        true => Err("records are written as they come".into()),
    };
    let Some((waits, _)) = options.time.off_cpu().zip(walks.as_ref().err()) else { return Ok((by_bpf, walks)) };
    let off = off_cpu::plan(waits, target, subject, cpus, facts)?;
    if matches!(options.time, RecordedTime::OffCpu(_)) {
        return Ok((off, walks));
    }
    let mut plan = plan::plan(&Asked { on_tasks: off.per_task, ..on_clock }, target, subject, facts)?;
    plan.choice.notes.extend(off.choice.notes);
    Ok((Plan { switches: off.switches, ..plan }, walks))
}

/// Hands records over as what they are: those of task switches apart from those of samples, where there are both.
fn feed(keeper: Keeper, opened: &Opened) -> Result<Feed<'static, Keeper>> {
    let layout = opened.layout;
    let (switches, others) =
        opened.ids_of_switches().map_err(|error| Error::io("cannot tell the events' ids", error))?;
    if switches.is_empty() || !opened.has_samples() {
        return Ok(Feed::of_rings(keeper, layout));
    }
    let mut layouts = Layouts::default();
    layouts.add(layout, others);
    layouts.add(Layout { event: 1, ..layout }, switches);
    Ok(Feed::of_rings_with(keeper, layouts))
}

/// Clocks record no branches, nor do processors other than Intel's as call stacks (`perf_event_open(2)`,
/// `PERF_SAMPLE_BRANCH_CALL_STACK`).
fn no_call_stacks(plan: &Plan, error: std::io::Error) -> Error {
    let event = &plan.choice.spec.name;
    Error::io(format!("the processor records no call stacks (LBR) with {event}"), error).with_hint(
        "leave --unwind lbr out; or name a hardware event, -e cycles, on an Intel processor that is no virtual one",
    )
}

/// The rate that an event is sampled at by the kernel's own adjustment.
fn rate_of(plan: &Plan) -> Option<f64> {
    match plan.choice.spec.attrs.first()?.0.sampling {
        Sampling::Frequency(rate) => Some(rate as f64),
        _ => None,
    }
}

/// The rate or period as it may be.
fn allowed_sampling(asked: Option<Sampling>, facts: &Facts, notes: &mut Vec<String>) -> Result<Option<Sampling>> {
    match asked {
        Some(Sampling::Frequency(0)) => Err(Error::new(ErrorKind::Usage, "a rate of 0 Hz takes no samples")
            .with_hint("use -F 99, the default, or -F 999 for more detail")),
        Some(Sampling::Period(0)) => Err(Error::new(ErrorKind::Usage, "a period of 0 takes no samples")
            .with_hint("use -c 1 to sample each event, or -F for a rate")),
        // The kernel takes no period with the highest bit set.
        Some(Sampling::Period(period)) if period > i64::MAX as u64 => {
            Err(Error::new(ErrorKind::Usage, format!("a period of {period} is more than the kernel counts"))
                .with_hint("use -c with a number of events between samples, such as -c 10000"))
        }
        Some(Sampling::Frequency(rate)) => {
            let (allowed, note) = facts.allowed_rate(rate);
            notes.extend(note);
            Ok(Some(Sampling::Frequency(allowed)))
        }
        other => Ok(other),
    }
}

/// The rate of a timer whose period is to be randomised: not one that the user gave the period of.
fn clock_rate(plan: &Plan, sampling: Option<Sampling>) -> Option<f64> {
    let rate = match sampling {
        Some(Sampling::Frequency(rate)) => rate,
        Some(_) => return None,
        None => RecordOptions::DEFAULT_RATE,
    };
    (plan.choice.spec.kind == EventKind::Clock && plan.choice.spec.default_sampling == DefaultSampling::Rate)
        .then_some(rate as f64)
}

/// Samples a second and CPU, as far as that is known beforehand.
fn expected_rate(plan: &Plan, sampling: Option<Sampling>) -> f64 {
    /// For events that come when they come.
    const UNKNOWN: f64 = 1000.0;
    match (sampling, plan.choice.spec.kind, plan.choice.spec.default_sampling) {
        (Some(Sampling::Frequency(rate)), _, _) => rate as f64,
        (Some(Sampling::Period(period)), EventKind::Clock, _) => 1e9 / period as f64,
        (None, _, DefaultSampling::Rate) => RecordOptions::DEFAULT_RATE as f64,
        _ => UNKNOWN,
    }
}

/// The size of stack copies, if it is given.
fn stack_size(options: &RecordOptions) -> Option<StackSize> {
    match options.user_stacks {
        UserStacks::FramePointers => Some(StackSize::SMALLEST),
        _ => options.stack_size,
    }
}

fn stacks(options: &RecordOptions, to_file: bool) -> Stacks {
    let copies = match options.user_stacks {
        UserStacks::Auto | UserStacks::Dwarf => true,
        // The caller of the innermost function is found by tables, with a little of the stack. perf would show that behind the
        // chain.
        UserStacks::FramePointers => !to_file,
        UserStacks::CallStack | UserStacks::None => false,
    } && options.side != Side::Kernel;
    Stacks {
        kernel_chain: options.side != Side::User,
        user_chain: matches!(options.user_stacks, UserStacks::Auto | UserStacks::FramePointers | UserStacks::CallStack)
            && options.side != Side::Kernel,
        user_copy: copies,
        call_stack: options.user_stacks == UserStacks::CallStack && options.side != Side::Kernel,
    }
}

fn recorder_options(
    options: &RecordOptions,
    plan: &Plan,
    subject: &Subject,
    opened: &Opened,
    clock_rate: Option<f64>,
    child: Option<u32>,
) -> RecorderOptions {
    let spec = &plan.choice.spec;
    let given = spec.attrs.first().map(|(attr, _)| attr.sampling);
    let period = match (clock_rate, given) {
        (Some(rate), _) => Some((1e9 / rate).round() as u64),
        (None, Some(Sampling::Period(period))) if spec.unit == Unit::Nanoseconds => Some(period),
        _ => None,
    };
    RecorderOptions {
        // With an event for each task the kernel has chosen already.
        membership: if plan.per_task { crate::process::Membership::All } else { subject.membership.clone() },
        events: off_cpu::events(&options.time)
            .unwrap_or_else(|| vec![RecordedEvent::new(&spec.name, spec.unit, period)]),
        origin: Origin::Live,
        waits: off_cpu::wait_options(&options.time, plan.switches),
        threads: NonZeroUsize::MIN,
        streams: opened.streams,
        user_stacks: if options.side == Side::Kernel { UserStacks::None } else { options.user_stacks },
        stack_copy: opened.stack_copy(),
        begins_with_exec_of: child,
    }
}

/// The images of programs that run here, with the places that the user names.
fn images(options: &RecordOptions) -> Images {
    let (debug_dirs, sysroot) = (options.debug_dirs.clone(), options.sysroot.clone());
    let downloads = Cache::of_user().map(|cache| cache.directory().to_owned());
    // perf keeps debug files of what it has recorded, which nobody else may have any more.
    let build_id_cache = std::env::home_dir().map(|home| home.join(".debug"));
    Images::running(FileSources { debug_dirs, sysroot, downloads, build_id_cache, ..FileSources::default() })
}

fn denominator(options: &RecordOptions, plan: &Plan, subject: &Subject, cpus: &CpuList) -> Denominator {
    let spec = &plan.choice.spec;
    match &options.target {
        _ if options.cpus.is_some() && options.target != Target::System => Denominator::Unknown,
        Target::System if spec.kind == EventKind::Clock => Denominator::of_cpus(cpus.clone()),
        Target::Cgroup(_) if spec.kind == EventKind::Clock => match &subject.cgroup {
            Some((directory, _)) => Denominator::of_cgroup(directory.clone()),
            None => Denominator::Unknown,
        },
        Target::System | Target::Cgroup(_) => Denominator::Unknown,
        Target::Command(_) => Denominator::of_tasks(&Linux, spec, &subject.tids, true),
        Target::Processes(_) | Target::Threads(_) => Denominator::of_tasks(&Linux, spec, &subject.tids, false),
    }
}

/// Begins a perf.data with the kernel in it.
fn tap(
    perf_data: PerfData,
    kept: RecorderOptions,
    opened: &Opened,
    request: &OpenRequest,
    kind: EventKind,
) -> Result<Tap> {
    let PerfData { output, compress, command_line } = perf_data;
    let name = kept.events.first().map_or("", |event| &event.name);
    let events = machine::recorded_events(opened, name, request.clock_rate)
        .map_err(|error| Error::io("cannot tell the events' ids", error))?;
    let mut features = machine::features(command_line, machine::has_clock(&events));
    if kind == EventKind::Tracepoint {
        features.tracing_data = sampler::tracing_data(name, &Sources::default())
            .map_err(|error| Error::io(format!("cannot read how {name} is described"), error))?;
    }
    let writer = Writer::create(output, events, features, compress).map_err(|error| {
        Error::io("cannot begin to write the perf.data", error).with_hint("name another place with -o")
    })?;
    let mut tap = Tap::new(kept, &opened.layout, request.data_mappings, writer);
    tap.add_kernel();
    Ok(tap)
}
