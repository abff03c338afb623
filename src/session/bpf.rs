//! Samples whose stacks are walked in the kernel, by a program that is attached to the sampling events.
//!
//! The program is in front of the events: a sample whose stack it can walk to the root comes through its ring, as a few numbers; any
//! other one becomes the record that it would have been without it. So nothing is lost where it is not permitted, or not able to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::off_cpu::RecordedTime;
use super::options::{RecordOptions, UseBpf};
use super::plan::{Plan, Subject};
use super::tables::{Kept, Message, TableKeeper};
use crate::error::Error;
use crate::image::Images;
use crate::model::KernelWalks;
use crate::recorder::{NumberedImages, UserStacks};
use crate::sampler::bpf::{Bpf, Programs, Request, Samples, Whom};
use crate::sampler::choose::Side;
use crate::sampler::event::EventKind;
use crate::sampler::{Beside, Opened, Target};

/// The attached program, and what is known for it.
#[derive(Debug)]
pub(super) struct Walks {
    bpf: Bpf,
    keeper: TableKeeper,
    numbered: Arc<NumberedImages>,
    beside: Option<Samples>,
    unfit: Arc<AtomicU64>,
    begins_with: Vec<u32>,
    /// Whether its samples are of another event than those that come as records.
    is_apart: bool,
}

/// How many events get a program at most: each takes a descriptor.
const MOST_EVENTS: usize = 4096;

impl Walks {
    /// Loads the program, if it is of use for such a recording.
    ///
    /// # Errors
    /// Why it is not used.
    pub fn load(options: &RecordOptions, plan: &Plan, subject: &Subject, images: Images) -> Result<Walks, String> {
        if !matches!(options.user_stacks, UserStacks::Auto | UserStacks::Dwarf) || options.side == Side::Kernel {
            return Err("stacks of programs are not asked for by tables".into());
        }
        if options.time != RecordedTime::OnCpu {
            return Err("time off the CPU is recorded by other events".into());
        }
        if !matches!(plan.choice.spec.kind, EventKind::Clock | EventKind::Hardware) {
            return Err("such events take no BPF program".into());
        }
        if options.bpf == UseBpf::Never {
            return Err("BPF is not to be used".into());
        }
        let whom = match &options.target {
            _ if plan.per_task => Whom::All,
            Target::System | Target::Cgroup(_) => Whom::All,
            Target::Threads(_) => Whom::Threads(subject.tids.clone()),
            Target::Processes(_) | Target::Command(_) => Whom::Processes(subject.pids.clone()),
        };
        let request = Request {
            whom,
            kernel_stacks: options.side != Side::User && !plan.choice.exclude_kernel,
            programs: Programs { on_cpu: true, off_cpu: false },
            both: options.bpf == UseBpf::Both,
            ..Request::default()
        };
        let why_not = |error: Error| why(&error);
        let mut bpf = Bpf::load(&request).map_err(why_not)?;
        let numbered = Arc::<NumberedImages>::default();
        let (Some(ring), Some(tables)) = (bpf.take_ring(), bpf.take_tables()) else {
            return Err("the ring is gone".into());
        };
        let keeper = TableKeeper::start(tables, images, numbered.clone())
            .map_err(|error| format!("cannot start the thread that keeps tables: {error}"))?;
        let messages = keeper.messages();
        let samples = Samples::new(ring, move |tgid| {
            // It has ended only if the recording has.
            let _ = messages.send(Message::Look(tgid));
        });
        // Of all processes of a machine those are read that run.
        let begins_with = match options.target {
            Target::System => Vec::new(),
            _ => subject.pids.clone(),
        };
        let is_apart = options.bpf == UseBpf::Both;
        Ok(Walks { bpf, keeper, numbered, unfit: samples.unfit(), beside: Some(samples), begins_with, is_apart })
    }

    /// The images by the numbers that frames have.
    pub fn numbered(&self) -> Arc<NumberedImages> {
        self.numbered.clone()
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
        let cookie = u64::from(self.is_apart);
        let events: Vec<_> = opened.sampling().map(|event| (event, cookie)).collect();
        if events.len() > MOST_EVENTS {
            return Err(format!("{} events are too many for a program each", events.len()));
        }
        if matches!(target, Target::Processes(_)) {
            self.bpf.add_members(&subject.pids).map_err(|error| why(&error))?;
        }
        self.bpf.attach_samples(&events).map_err(|error| why(&error))?;
        for pid in &self.begins_with {
            let _ = self.keeper.messages().send(Message::Look(*pid));
        }
        self.bpf.start().map_err(|error| why(&error))
    }

    /// What it did: `samples` came by it.
    pub fn finish(self, samples: u64) -> KernelWalks {
        let counters = self.bpf.counters();
        let programs = self.bpf.programs();
        let Kept { tables, refused, evicted, no_room, looks, processes_full, left_out, used_bytes, heap_bytes } =
            self.keeper.stop();
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
            ("heap_used_bytes", used_bytes),
            ("heap_bytes", heap_bytes),
            ("stacks_too_large_for_records", self.unfit.load(Ordering::Relaxed)),
            ("recursion_misses", programs.values().map(|program| program.recursion_misses).sum()),
        ] {
            if count > 0 {
                counts.insert(name.to_owned(), count);
            }
        }
        KernelWalks { samples, counts, mean_call_ns: counters.mean_call(), why_not: None }
    }
}

/// An error and what it is from, in one line.
fn why(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    match error.hint() {
        Some(hint) => format!("{text} ({hint})"),
        None => text,
    }
}
