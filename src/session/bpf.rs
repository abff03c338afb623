//! Samples whose stacks are walked in the kernel, by a program that is attached to the sampling events.
//!
//! The program is in front of the events: a sample whose stack it can walk to the root comes through its ring, as a few numbers; any
//! other one becomes the record that it would have been without it. So nothing is lost where it is not permitted, or not able to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::bpf_waits::{self, BpfWaits};
use super::keeper::Keeper;
use super::options::{RecordOptions, UseBpf};
use super::plan::{Plan, Subject};
use super::tables::{Kept, TableKeeper};
use crate::error::{Error, ErrorKind, Result as Fallible};
use crate::image::Images;
use crate::model::KernelWalks;
use crate::recorder::{
    Change, Counters as RecordCounters, Epochs, KernelLists, Mapped, NumberedImages, Recorder, UserStacks,
};
use crate::sampler::bpf::{Bpf, Programs, Request, Samples, Whom};
use crate::sampler::choose::Side;
use crate::sampler::event::EventKind;
use crate::sampler::{Beside, Opened, Pace, Target};

/// The attached program, and what is known for it.
#[derive(Debug)]
pub(super) struct Walks {
    bpf: Bpf,
    keeper: TableKeeper,
    numbered: Arc<NumberedImages>,
    epochs: Arc<Epochs>,
    beside: Option<Samples>,
    /// Whether samples are walked.
    on_cpu: bool,
    unfit: Arc<AtomicU64>,
    begins_with: Vec<u32>,
    /// Whether its samples are of another event than those that come as records.
    is_apart: bool,
    /// Of a recording of time off the CPU.
    waits: Option<BpfWaits>,
}

/// How long a recording of time off the CPU waits for tables before it begins.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Of a wait whose process is not known there is no copy of the stack.
const PACE_OF_WAITS: Pace =
    Pace { sleep: Duration::from_millis(40), at_ease: Duration::from_millis(40), rest: Duration::ZERO };
/// A ring of 8 MiB has room for ten times what 128 CPUs send at 999 Hz meanwhile, of stacks that were sent before; new ones that find no
/// room are left to copies.
const PACE_OF_SAMPLES: Pace =
    Pace { sleep: Duration::from_millis(100), at_ease: Duration::from_millis(250), rest: Duration::from_millis(10) };
/// What the summary of a recording says that does not need it.
const NOT_PERMITTED: &str = "BPF needs root, or CAP_BPF and CAP_PERFMON";
/// How many events get a program at most: each takes a descriptor.
const MOST_EVENTS: usize = 4096;

impl Walks {
    /// Loads the program, if it is of use for such a recording.
    ///
    /// # Errors
    /// Why it is not used.
    pub fn load(options: &RecordOptions, plan: &Plan, subject: &Subject, images: Images) -> Result<Walks, String> {
        let waits = options.time.off_cpu();
        let by_tables =
            matches!(options.user_stacks, UserStacks::Auto | UserStacks::Dwarf) && options.side != Side::Kernel;
        let on_cpu = matches!(plan.choice.spec.kind, EventKind::Clock | EventKind::Hardware);
        if !by_tables && waits.is_none() {
            return Err("stacks of programs are not asked for by tables".into());
        }
        if !on_cpu && waits.is_none() {
            return Err("such events take no BPF program".into());
        }
        if options.bpf == UseBpf::Never {
            return Err("BPF is not to be used".into());
        }
        // From copies alone: what has no tables is not to be walked by frame pointers.
        let on_cpu =
            on_cpu && matches!(options.bpf, UseBpf::Auto | UseBpf::Both) && options.user_stacks != UserStacks::Dwarf;
        if !on_cpu && waits.is_none() {
            return Err("stacks of samples are not to be walked in the kernel".into());
        }
        let whom = match &options.target {
            _ if plan.per_task => Whom::All,
            Target::Cgroup(_) if waits.is_some() => match &subject.cgroup {
                Some((path, _)) => bpf_waits::cgroup(path)?,
                None => Whom::All,
            },
            Target::System | Target::Cgroup(_) => Whom::All,
            Target::Threads(_) => Whom::Threads(subject.tids.clone()),
            Target::Processes(_) | Target::Command(_) => Whom::Processes(subject.pids.clone()),
        };
        let mut request = Request {
            whom,
            kernel_stacks: options.side != Side::User && !plan.choice.exclude_kernel,
            user_stacks: options.side != Side::Kernel && options.user_stacks != UserStacks::None,
            programs: Programs { on_cpu: on_cpu && by_tables, off_cpu: false },
            both: options.bpf == UseBpf::Both,
            ..Request::default()
        };
        if let Some(waits) = waits {
            let is_wide = matches!(options.target, Target::System | Target::Cgroup(_));
            bpf_waits::ask(&mut request, waits, is_wide);
        }
        let on_cpu = request.programs.on_cpu;
        // Without BPF waits are planned in another way; samples are what they are, and can be told later.
        let bpf = if waits.is_some() { Bpf::load(&request) } else { Bpf::begin_loading(&request) };
        let mut bpf = bpf.map_err(|error| why_not(&error, waits.is_some()))?;
        let numbered = Arc::<NumberedImages>::default();
        let (Some(ring), Some(tables)) = (bpf.take_ring(), bpf.take_tables()) else {
            return Err("the ring is gone".into());
        };
        // Of samples there are copies until a table is there; of a machine's files few are ever in a stack.
        let is_lazy = waits.is_none() && matches!(options.target, Target::System | Target::Cgroup(_));
        let epochs = Arc::new(Epochs::new(waits.is_some()));
        let keeper = TableKeeper::start(tables, images, (numbered.clone(), epochs.clone()), is_lazy, waits.is_none())
            .map_err(|error| format!("cannot start the thread that keeps tables: {error}"))?;
        let inbox = keeper.inbox();
        let samples = Samples::new(ring, if waits.is_some() { PACE_OF_WAITS } else { PACE_OF_SAMPLES }, move |tgid| {
            inbox.look(tgid);
        });
        // Of all processes of a machine those are read that run.
        let begins_with = match options.target {
            Target::System => Vec::new(),
            _ => subject.pids.clone(),
        };
        let is_apart = options.bpf == UseBpf::Both;
        let waits = waits.map(BpfWaits::new);
        let unfit = samples.unfit();
        Ok(Walks { waits, on_cpu, bpf, keeper, numbered, epochs, unfit, beside: Some(samples), begins_with, is_apart })
    }

    /// By what stacks are walked.
    pub fn lists(&self) -> KernelLists {
        let inbox = self.keeper.inbox();
        let mapped = move |pid, change: &Change| inbox.mapped(pid, *change);
        let (numbered, epochs) = (self.numbered.clone(), self.epochs.clone());
        KernelLists { numbered, epochs, mapped: Mapped::new(mapped) }
    }

    /// What is to be read beside the events' rings.
    pub fn beside(&mut self) -> Option<Box<dyn Beside>> {
        self.beside.take().map(|samples| Box::new(samples) as Box<dyn Beside>)
    }

    /// Attaches the program to all sampling events, whose targets are known by now.
    ///
    /// # Errors
    /// Why it cannot be: then it is not used at all.
    pub fn attach(&mut self, opened: &Opened, subject: &Subject, target: &Target) -> Result<(), String> {
        self.bpf.finish_loading().map_err(|error| why_not(&error, self.waits.is_some()))?;
        let cookie = u64::from(self.is_apart);
        let events: Vec<_> = opened.sampling().map(|event| (event, cookie)).collect();
        if events.len() > MOST_EVENTS {
            return Err(format!("{} events are too many for a program each", events.len()));
        }
        if matches!(target, Target::Processes(_) | Target::Command(_)) {
            self.bpf.add_members(&subject.pids).map_err(|error| why(&error))?;
        }
        if self.on_cpu {
            self.bpf.attach_samples(&events).map_err(|error| why(&error))?;
        }
        if self.waits.is_some() {
            self.bpf.attach_switches().map_err(|error| why(&error))?;
        }
        for pid in &self.begins_with {
            self.keeper.inbox().look(*pid);
        }
        // Of a sample that comes too early there is a copy of its stack; of a wait there is none.
        if self.waits.is_some() {
            self.keeper.wait(LONGEST_WAIT);
        }
        self.bpf.start().map_err(|error| why(&error))
    }

    /// Time off the CPU counts from now on; the programs are attached.
    ///
    /// # Errors
    /// If threads cannot be listed.
    pub fn begin_waits(&mut self, keeper: &mut Keeper, subject: &Subject, is_command: bool, now: u64) -> Fallible<()> {
        match (&mut self.waits, keeper) {
            (Some(waits), Keeper::Profile(recorder)) => waits.begin(&self.bpf, recorder, (subject, is_command), now),
            _ => Ok(()),
        }
    }

    /// And until now.
    ///
    /// # Errors
    /// If threads cannot be listed, or programs not be stopped.
    pub fn end_waits(&mut self, now: u64) -> Fallible<()> {
        self.waits.as_mut().map_or(Ok(()), |waits| waits.end(&mut self.bpf, now))
    }

    /// Looks once more for stacks of threads that wait still, when all that has come is there.
    pub fn find_again(&mut self, recorder: &mut Recorder) {
        if let Some(waits) = &mut self.waits {
            waits.find_again(recorder);
        }
    }

    /// Adds the rows of time off the CPU, when all stacks are there.
    ///
    /// # Errors
    /// If what programs have added up cannot be read.
    pub fn add_waits(&self, recorder: &mut Recorder) -> Fallible<()> {
        self.waits.as_ref().map_or(Ok(()), |waits| waits.add_rows(&self.bpf, recorder))
    }

    /// What it did, and what was counted of it.
    pub fn finish(self, counted: &RecordCounters) -> KernelWalks {
        let counters = self.bpf.counters();
        let programs = self.bpf.programs();
        let Kept {
            tables,
            refused,
            evicted,
            no_room,
            looks,
            processes_full,
            left_out,
            replaced,
            unheard,
            used_bytes,
            heap_bytes,
        } = self.keeper.stop();
        let mut counts: std::collections::BTreeMap<String, u64> =
            counters.named().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        for (name, count) in [
            ("tables", tables),
            ("tables_refused", refused),
            ("tables_evicted", evicted),
            ("tables_without_room", no_room),
            ("processes_read", looks),
            ("processes_without_room", processes_full),
            ("mappings_left_out", left_out),
            ("mappings_replaced", replaced),
            ("asked_without_room", unheard),
            ("stacks_of_changed_mappings", counted.mappings_changed),
            ("mappings_forgotten", counted.mappings_forgotten),
            ("heap_used_bytes", used_bytes),
            ("heap_bytes", heap_bytes),
            ("stacks_too_large_for_records", self.unfit.load(Ordering::Relaxed)),
            ("recursion_misses", programs.values().map(|program| program.recursion_misses).sum()),
        ] {
            if count > 0 {
                counts.insert(name.to_owned(), count);
            }
        }
        KernelWalks { samples: counted.unwound, counts, mean_call_ns: counters.mean_call(), why_not: None }
    }
}

/// Why programs are not used.
fn why_not(error: &Error, has_waits: bool) -> String {
    if error.kind() == ErrorKind::Permission && !has_waits { NOT_PERMITTED.into() } else { why(error) }
}

/// An error and what it is from, in one line.
fn why(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        // Some say what they are from as well.
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    match error.hint() {
        Some(hint) => format!("{text} ({hint})"),
        None => text,
    }
}
