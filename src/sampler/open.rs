//! Opens the events of a recording, and maps their rings.
//!
//! Per CPU wherever that is permitted: one ring a CPU, a dummy event on it for mappings, forks and names, and the
//! sampling events beside it; who is sampled is filtered later. A timer per task would begin a whole period with each
//! task and never sample short ones. Without that permission there is an event for each task on each CPU, which its
//! children inherit.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::accepted::Accepted;
use super::cpus::CpuList;
use super::ring::RingBuffer;
use super::ring_sizes::{StackSize, fitting_stack, map_rings, ring_size, stack_size};
use super::streams::{Streams, random_numbers};
use super::sys::{self, OpenEvent, Scope};
use crate::perf::{AttrFlags, EventAttr, Layout, SampleFields, Sampling, branch_type, read_format};

/// `PERF_TYPE_SOFTWARE` and its `PERF_COUNT_SW_DUMMY`: counts nothing, and reports mappings and tasks.
const DUMMY: (u32, u64) = (1, 9);
/// `PERF_TYPE_SOFTWARE` and its `PERF_COUNT_SW_CONTEXT_SWITCHES`: happens as a task goes off its CPU, in the kernel.
const SWITCHES: (u32, u64) = (1, 3);
/// Reports of mappings and tasks.
///
/// Without `BUILD_ID`: the kernel marks a record of a mapping as one with a build id for the event that asked for it, and leaves
/// the mark in place for the others that it gives the record to (`perf_event_mmap_output`, kernel/events/core.c; Linux 5.12 to at
/// least 6.18), so that a `perf record` beside us reads an inode as the size of a build id, and aborts. Device and inode identify
/// a file too, and its build id is read when it is opened.
const TRACKING: [AttrFlags; 6] =
    [AttrFlags::MMAP, AttrFlags::MMAP2, AttrFlags::MMAP_DATA, AttrFlags::COMM, AttrFlags::COMM_EXEC, AttrFlags::TASK];
/// `CLOCK_MONOTONIC`.
const CLOCK_MONOTONIC: i32 = 1;
/// What stacks samples carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stacks {
    /// The kernel's part of the call chain.
    pub kernel_chain: bool,
    /// The user part of the call chain, by frame pointers.
    pub user_chain: bool,
    /// User registers and a copy of the user stack.
    pub user_copy: bool,
    /// The calls that the processor has recorded and that have not returned.
    pub call_stack: bool,
}

/// What is recorded of tasks that go on and off CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switches {
    /// Nothing.
    #[default]
    None,
    /// That they do.
    Records,
    /// That they do, and a sample each time that one goes off: it is taken in the kernel, which must be permitted.
    Samples,
}

/// Which tasks events are opened on.
#[derive(Debug)]
pub enum Tasks {
    /// All; the recording filters.
    All,
    /// Those of a cgroup: its directory.
    Cgroup(OwnedFd),
    /// These threads; children inherit.
    Threads(Vec<u32>),
    /// A child that waits to run its program; from its exec on, and children inherit.
    Child(u32),
}

/// What is to be opened.
#[derive(Debug)]
pub struct OpenRequest {
    /// On which tasks.
    pub tasks: Tasks,
    /// On which CPUs.
    pub cpus: CpuList,
    /// The event: attributes that the kernel has accepted, with the CPUs that each is for.
    pub attrs: Vec<(EventAttr, Option<CpuList>)>,
    /// Whether it is a timer whose period is to be randomised.
    pub clock_rate: Option<f64>,
    /// Samples a second and CPU, for the size of the rings.
    pub expected_rate: f64,
    /// What stacks samples carry.
    pub stacks: Stacks,
    /// How large the copies of the user stack are, if not as large as the rate allows.
    pub stack_size: Option<StackSize>,
    /// The registers that unwinding needs.
    pub registers: u64,
    /// Whether mappings of data are reported too: perf finds unwind tables, which no code is in, only in those.
    pub data_mappings: bool,
    /// What is recorded of tasks that go on and off CPUs.
    pub switches: Switches,
}

/// The opened events.
#[derive(Debug)]
pub struct Opened {
    /// The rings, for the drain thread.
    pub rings: Vec<RingBuffer>,
    /// Layout of the records in them.
    pub layout: Layout,
    /// How many sampling events count the same thing on a CPU.
    pub streams: u64,
    /// What is less than was asked for.
    pub notes: Vec<String>,
    /// Events that own the rings, by CPU; on whole CPUs they report mappings and tasks.
    owners: Vec<(u32, OwnedFd)>,
    sampling: Vec<SamplingEvent>,
    accepted: Accepted,
    /// The same, of the events of task switches.
    accepted_switches: Accepted,
    /// The flags of the events that own the rings, as the kernel took them.
    owner_flags: AttrFlags,
    /// What is opened for each task.
    per_task: Vec<PerTask>,
    /// Whose turn it is of the events that take turns.
    turn: usize,
}

#[derive(Debug)]
struct SamplingEvent {
    event: OwnedFd,
    /// When it starts, after the common start.
    start: Duration,
    /// In whose turn it runs; always, if none is given.
    turn: Option<usize>,
    /// Which event it is.
    which: (u32, u64),
    /// Whether it is that of task switches.
    is_switch: bool,
}

#[derive(Clone, Debug)]
struct PerTask {
    attr: EventAttr,
    /// Row of the ring's owner.
    row: usize,
    turn: Option<usize>,
    is_switch: bool,
}

impl PerTask {
    fn new(attr: EventAttr, row: usize) -> PerTask {
        PerTask { attr, row, turn: None, is_switch: false }
    }
}

/// A sampling event as it was opened, all its timers taken together.
#[derive(Clone, Debug)]
pub struct OpenedEvent {
    /// Its attributes as the kernel took them, with the flags of the events that report mappings and tasks in its rings.
    pub attr: EventAttr,
    /// The ids that its records carry; with the first event, those of the reports too.
    pub ids: Vec<u64>,
}

/// Opens the events, disabled.
///
/// # Errors
/// What the kernel says; the caller knows what was wanted and explains it.
pub fn open(kernel: &impl OpenEvent, request: &OpenRequest) -> io::Result<Opened> {
    let mut notes = Vec::new();
    let side_flags = AttrFlags::DISABLED.with(AttrFlags::EXCLUDE_KERNEL).with(AttrFlags::EXCLUDE_HV);
    let tracking = TRACKING.into_iter().fold(AttrFlags(0), AttrFlags::with);
    let tracking = if request.data_mappings { tracking } else { tracking.without(AttrFlags::MMAP_DATA) };
    let switching = if request.switches == Switches::None { AttrFlags(0) } else { AttrFlags::CONTEXT_SWITCH };
    let identity = SampleFields::IDENTIFIER.with(SampleFields::TID).with(SampleFields::TIME).with(SampleFields::CPU);
    let common = AttrFlags::SAMPLE_ID_ALL.with(AttrFlags::USE_CLOCKID).with(AttrFlags::WATERMARK);
    let dummy = EventAttr {
        sample_fields: identity,
        clockid: CLOCK_MONOTONIC,
        flags: side_flags.with(common).with(tracking).with(switching),
        ..EventAttr::counting(DUMMY.0, DUMMY.1)
    };
    let per_task: Option<(Vec<u32>, bool)> = match &request.tasks {
        Tasks::All | Tasks::Cgroup(_) => None,
        Tasks::Threads(tids) => Some((tids.clone(), false)),
        Tasks::Child(pid) => Some((vec![*pid], true)),
    };

    // Rings first: how large they may be decides how much of the stack a sample can carry.
    let mut side_band = Accepted::default();
    let mut owners = Vec::new();
    for &cpu in request.cpus.as_slice() {
        let owner = match (&request.tasks, &per_task) {
            (Tasks::Cgroup(directory), _) => side_band.open(kernel, &dummy, Scope::Cgroup(directory.as_fd(), cpu))?,
            (_, None) => match side_band.open(kernel, &dummy, Scope::Cpu(cpu)) {
                // A CPU that has just been taken offline.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
                opened => opened?,
            },
            (_, Some((tids, _))) => first_alive(kernel, &mut side_band, &untracked(&dummy), tids, cpu)?,
        };
        owners.push((cpu, owner));
    }
    let by_rate = || stack_size(request.expected_rate);
    let stack_size = request.stack_size.map_or_else(by_rate, |size| u64::from(size.bytes()));
    let wanted_stack = if request.stacks.user_copy { stack_size } else { 0 };
    let wanted_ring = ring_size(request.expected_rate, wanted_stack, owners.len());
    let (rings, ring) = map_rings(&owners, wanted_ring)?;
    let stack = fitting_stack(wanted_stack, ring, request.expected_rate);
    if ring < wanted_ring {
        notes.push(format!(
            "rings are {} KiB a CPU, not {} KiB: the memory lock limit (sysctl kernel.perf_event_mlock_kb, ulimit -l)",
            ring >> 10,
            wanted_ring >> 10
        ));
    }
    if stack < wanted_stack && stack > 0 {
        notes.push(format!("stack copies are {} KiB, not {} KiB, to fit the rings", stack >> 10, wanted_stack >> 10));
    }

    let mut fields = identity.with(SampleFields::IP).with(SampleFields::PERIOD);
    let mut flags = AttrFlags::DISABLED.with(common);
    if request.stacks.kernel_chain || request.stacks.user_chain {
        fields = fields.with(SampleFields::CALLCHAIN);
    }
    if !request.stacks.kernel_chain {
        flags = flags.with(AttrFlags::EXCLUDE_CALLCHAIN_KERNEL);
    }
    if !request.stacks.user_chain {
        flags = flags.with(AttrFlags::EXCLUDE_CALLCHAIN_USER);
    }
    if stack > 0 {
        fields = fields.with(SampleFields::REGS_USER).with(SampleFields::STACK_USER);
    }
    let branches = if request.stacks.call_stack { branch_type::CALL_STACK | branch_type::USER } else { 0 };
    if branches != 0 {
        fields = fields.with(SampleFields::BRANCH_STACK);
    }
    if let Some((_, on_exec)) = per_task {
        flags = flags.with(tracking).with(AttrFlags::INHERIT);
        if on_exec {
            flags = flags.with(AttrFlags::ENABLE_ON_EXEC);
        }
    } else if request.clock_rate.is_some() {
        flags = flags.with(AttrFlags::EXCLUDE_IDLE);
    }
    let regs_user = if stack > 0 { request.registers } else { 0 };
    let layout = Layout { fields, regs_user, branches, sample_id_all: true, ..Layout::default() };
    let sampling_attr = |base: &EventAttr, sampling: Sampling| EventAttr {
        sampling,
        sample_fields: fields,
        read_format: read_format::LOST,
        flags: flags.with(base.flags),
        branch_sample_type: layout.branches,
        sample_regs_user: layout.regs_user,
        sample_stack_user: stack as u32,
        clockid: CLOCK_MONOTONIC,
        ..base.clone()
    };

    let mut random = random_numbers();
    notes.extend(side_band.note());
    let mut opened = Opened {
        rings,
        layout,
        streams: 1,
        notes,
        owners,
        sampling: Vec::new(),
        accepted: Accepted::default(),
        accepted_switches: Accepted::default(),
        owner_flags: side_band.flags(),
        per_task: Vec::new(),
        turn: 0,
    };
    for row in 0..opened.owners.len() {
        let cpu = opened.owners[row].0;
        let on_cpu = |cpus: &Option<CpuList>| cpus.as_ref().is_none_or(|cpus| cpus.contains(cpu));
        for (base, _) in request.attrs.iter().filter(|(_, cpus)| on_cpu(cpus)) {
            let timers = match request.clock_rate {
                Some(rate) if per_task.is_none() => Streams::new(rate, &mut random).timers,
                Some(rate) => Streams::taking_turns(rate, &mut random).timers,
                None => Vec::new(),
            };
            let timers = timers.into_iter().map(|(period, start)| (Sampling::Period(period), start));
            let given = (request.clock_rate.is_none()).then_some((base.sampling, Duration::ZERO));
            let timers: Vec<_> = timers.chain(given).collect();
            if per_task.is_none() {
                opened.streams = opened.streams.max(timers.len() as u64);
            }
            let takes_turns = per_task.is_some() && timers.len() > 1;
            for (stream, (sampling, start)) in timers.into_iter().enumerate() {
                let mut attr = sampling_attr(base, sampling);
                let turn = takes_turns.then_some(stream);
                if turn.is_some_and(|turn| turn > 0) {
                    attr.flags = attr.flags.without(AttrFlags::ENABLE_ON_EXEC);
                }
                match &request.tasks {
                    Tasks::Cgroup(group) => {
                        opened.sample(kernel, &PerTask::new(attr, row), Scope::Cgroup(group.as_fd(), cpu), start)?;
                    }
                    Tasks::All => opened.sample(kernel, &PerTask::new(attr, row), Scope::Cpu(cpu), start)?,
                    Tasks::Threads(_) | Tasks::Child(_) => {
                        opened.per_task.push(PerTask { turn, ..PerTask::new(attr, row) });
                    }
                }
            }
        }
        let switch = match request.switches {
            Switches::Samples => {
                let flags = flags.without(AttrFlags::EXCLUDE_IDLE);
                let attr = sampling_attr(&EventAttr::counting(SWITCHES.0, SWITCHES.1), Sampling::Period(1));
                Some(EventAttr { flags: if per_task.is_some() { flags.with(switching) } else { flags }, ..attr })
            }
            // On whole CPUs the events that own the rings report it.
            Switches::Records if per_task.is_some() => {
                let attr = sampling_attr(&untracked(&dummy), Sampling::Count);
                Some(EventAttr { flags: attr.flags.with(switching), sample_stack_user: 0, ..attr })
            }
            Switches::Records | Switches::None => None,
        };
        if let Some(attr) = switch {
            let switch = PerTask { is_switch: true, ..PerTask::new(attr, row) };
            match &request.tasks {
                Tasks::Cgroup(group) => {
                    opened.sample(kernel, &switch, Scope::Cgroup(group.as_fd(), cpu), Duration::ZERO)?;
                }
                Tasks::All => opened.sample(kernel, &switch, Scope::Cpu(cpu), Duration::ZERO)?,
                Tasks::Threads(_) | Tasks::Child(_) => opened.per_task.push(switch),
            }
        }
    }
    if let Some((tids, _)) = per_task {
        opened.add_tasks(kernel, &tids)?;
    }
    opened.notes.extend(opened.accepted.note().or_else(|| opened.accepted_switches.note()));
    Ok(opened)
}

impl Opened {
    /// Opens the events of further tasks, where each task has its own; children of tasks that have them inherit them.
    ///
    /// # Errors
    /// What the kernel says; a task that has ended is passed over.
    pub fn add_tasks(&mut self, kernel: &impl OpenEvent, tids: &[u32]) -> io::Result<()> {
        for event in self.per_task.clone() {
            for &tid in tids {
                let scope = Scope::TaskOnCpu(tid as i32, self.owners[event.row].0);
                match self.sample(kernel, &event, scope, Duration::ZERO) {
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    opened => opened?,
                }
            }
        }
        Ok(())
    }

    /// Opens one sampling event, with its records in the ring of its owner.
    fn sample(
        &mut self,
        kernel: &impl OpenEvent,
        opened: &PerTask,
        scope: Scope<'_>,
        start: Duration,
    ) -> io::Result<()> {
        let PerTask { ref attr, row, turn, is_switch } = *opened;
        let accepted = if is_switch { &mut self.accepted_switches } else { &mut self.accepted };
        let event = accepted.open(kernel, attr, scope)?;
        sys::set_output(&event, &self.owners[row].1)?;
        self.sampling.push(SamplingEvent { event, start, turn, which: (attr.kind, attr.config), is_switch });
        Ok(())
    }

    /// Whether samples are taken of anything but task switches.
    pub fn has_samples(&self) -> bool {
        self.accepted.attr().is_some()
    }

    /// The ids that records of the events of task switches carry, and those of all others.
    ///
    /// # Errors
    /// If the kernel does not tell an event's id.
    pub fn ids_of_switches(&self) -> io::Result<(Vec<u64>, Vec<u64>)> {
        let (switches, others): (Vec<_>, Vec<_>) = self.sampling.iter().partition(|sampling| sampling.is_switch);
        let others = others.into_iter().map(|sampling| &sampling.event);
        let others =
            others.chain(self.owners.iter().map(|(_, owner)| owner)).map(sys::event_id).collect::<io::Result<_>>()?;
        Ok((switches.into_iter().map(|sampling| sys::event_id(&sampling.event)).collect::<io::Result<_>>()?, others))
    }

    /// The events that take samples.
    pub fn sampling(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sampling.iter().map(|sampling| sampling.event.as_fd())
    }

    /// Starts the reports of mappings and tasks.
    pub fn start_tracking(&self) -> io::Result<()> {
        self.owners.iter().try_for_each(|(_, owner)| sys::enable(owner))
    }

    /// Starts sampling, each event at its own moment; returns when all run.
    ///
    /// Events that wait for an exec are left alone.
    pub fn start_sampling(&self, on_exec: bool) -> io::Result<()> {
        if on_exec {
            return Ok(());
        }
        let mut order: Vec<&SamplingEvent> =
            self.sampling.iter().filter(|event| event.turn.is_none_or(|turn| turn == self.turn)).collect();
        order.sort_by_key(|event| event.start);
        let common = Instant::now();
        for SamplingEvent { event, start, .. } in order {
            std::thread::sleep((common + *start).saturating_duration_since(Instant::now()));
            match sys::enable(event) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// The events as a perf.data describes them.
    ///
    /// Timers of one event are one event there, and so are those that take turns; records carry the id of their timer.
    ///
    /// # Errors
    /// If the kernel does not tell an event's id.
    pub fn events(&self) -> io::Result<Vec<OpenedEvent>> {
        let mut events: Vec<OpenedEvent> = Vec::new();
        let Some(accepted) = self.accepted.attr() else { return Ok(events) };
        let reported =
            TRACKING.into_iter().filter(|flag| self.owner_flags.has(*flag)).fold(AttrFlags(0), AttrFlags::with);
        for SamplingEvent { event, which, .. } in &self.sampling {
            let known = events.iter().position(|event| (event.attr.kind, event.attr.config) == *which);
            let row = known.unwrap_or_else(|| {
                let flags = accepted.flags.with(reported);
                let attr = EventAttr { kind: which.0, config: which.1, flags, ..accepted.clone() };
                events.push(OpenedEvent { attr, ids: Vec::new() });
                events.len() - 1
            });
            events[row].ids.push(sys::event_id(event)?);
        }
        if let Some(first) = events.first_mut() {
            let ids = self.owners.iter().map(|(_, owner)| sys::event_id(owner)).collect::<io::Result<Vec<u64>>>()?;
            first.ids.extend(ids);
        }
        Ok(events)
    }

    /// How many bytes of the user stack a sample has if there are as many.
    pub fn stack_copy(&self) -> usize {
        let attr = self.accepted.attr().or_else(|| self.accepted_switches.attr());
        attr.map_or(0, |attr| attr.sample_stack_user as usize)
    }

    /// How many events take turns; each change of turns is that many system calls.
    pub fn turn_takers(&self) -> usize {
        self.sampling.iter().filter(|event| event.turn.is_some()).count()
    }

    /// Gives the turn to the other ones of the events that take turns (see [`Streams::taking_turns`]).
    pub fn change_turns(&mut self) {
        self.turn = 1 - self.turn;
        for SamplingEvent { event, turn, .. } in &self.sampling {
            // An event whose task has ended runs no more.
            let _ = match turn {
                Some(turn) if *turn == self.turn => sys::enable(event),
                Some(_) => sys::disable(event),
                None => Ok(()),
            };
        }
    }

    /// Stops all events, so that the rings can be emptied for good.
    pub fn stop(&self) {
        for event in
            self.sampling.iter().map(|sampling| &sampling.event).chain(self.owners.iter().map(|(_, owner)| owner))
        {
            // An event whose task has ended has stopped by itself.
            let _ = sys::disable(event);
        }
    }

    /// How many samples the kernel could not write, if it counts that (Linux 6.0).
    pub fn lost_samples(&self) -> Option<u64> {
        let format = self.accepted.read_format() | self.accepted_switches.read_format();
        if format & read_format::LOST == 0 {
            return None;
        }
        let counts = self.sampling.iter().map(|sampling| sys::read_count(&sampling.event, format));
        Some(counts.map(|count| count.map_or(0, |count| count.lost)).sum())
    }
}

/// Without reports: where each task's own event makes them.
fn untracked(dummy: &EventAttr) -> EventAttr {
    EventAttr { flags: TRACKING.into_iter().fold(dummy.flags, AttrFlags::without), ..dummy.clone() }
}

fn first_alive(
    kernel: &impl OpenEvent,
    events: &mut Accepted,
    attr: &EventAttr,
    tids: &[u32],
    cpu: u32,
) -> io::Result<OwnedFd> {
    let mut last = io::Error::from_raw_os_error(libc::ESRCH);
    for &tid in tids {
        match events.open(kernel, attr, Scope::TaskOnCpu(tid as i32, cpu)) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => last = error,
            opened => return opened,
        }
    }
    Err(last)
}
