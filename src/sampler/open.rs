//! Opens the events of a recording, and maps their rings.
//!
//! Per CPU wherever that is permitted: one ring a CPU, a dummy event on it for mappings, forks and names, and the
//! sampling events beside it; who is sampled is filtered later. A timer per task would begin a whole period with each
//! task and never sample short ones. Without that permission there is an event for each task on each CPU, which its
//! children inherit.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::cpus::CpuList;
use super::peel::{Peeled, peel};
use super::ring::RingBuffer;
use super::streams::Streams;
use super::sys::{self, OpenEvent, Scope};
use crate::perf::{AttrFlags, EventAttr, Layout, SampleFields, Sampling, read_format};

/// `PERF_TYPE_SOFTWARE` and its `PERF_COUNT_SW_DUMMY`: counts nothing, and reports mappings and tasks.
const DUMMY: (u32, u64) = (1, 9);
/// `CLOCK_MONOTONIC`.
const CLOCK_MONOTONIC: i32 = 1;
/// Largest copy of the user stack: the record's size is a u16, and the copy a multiple of 8.
const LARGEST_STACK: u64 = 65_528;
const SMALLEST_STACK: u64 = 4_096;
/// How much ring space stacks may take in a second on a CPU; at higher rates the copies are smaller.
const STACK_BYTES_PER_SECOND: f64 = 66e6;
/// How much time of samples a ring should hold, in seconds.
const RING_SECONDS: f64 = 0.5;
/// Below this much time in a ring the copies are made smaller instead.
const SHORTEST_RING_SECONDS: f64 = 0.06;
const SMALLEST_RING: usize = 512 << 10;
const LARGEST_RING: usize = 16 << 20;
/// All rings together.
const ALL_RINGS: usize = 512 << 20;

/// What stacks samples carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stacks {
    /// The kernel's part of the call chain.
    pub kernel_chain: bool,
    /// The user part of the call chain, by frame pointers.
    pub user_chain: bool,
    /// User registers and a copy of the user stack.
    pub user_copy: bool,
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
    /// The registers that unwinding needs.
    pub registers: u64,
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
    /// Events that report mappings and tasks only.
    side_band: Vec<OwnedFd>,
    /// Sampling events, each with its start after the common start.
    sampling: Vec<(OwnedFd, Duration)>,
    read_format: u64,
}

/// Opens the events, disabled.
///
/// # Errors
/// What the kernel says; the caller knows what was wanted and explains it.
pub fn open(kernel: &impl OpenEvent, request: &OpenRequest) -> io::Result<Opened> {
    let mut notes = Vec::new();
    let side_flags = AttrFlags::DISABLED.with(AttrFlags::EXCLUDE_KERNEL).with(AttrFlags::EXCLUDE_HV);
    let tracking = [
        AttrFlags::MMAP,
        AttrFlags::MMAP2,
        AttrFlags::COMM,
        AttrFlags::COMM_EXEC,
        AttrFlags::TASK,
        AttrFlags::BUILD_ID,
    ];
    let tracking = tracking.into_iter().fold(AttrFlags(0), AttrFlags::with);
    let identity = SampleFields::IDENTIFIER.with(SampleFields::TID).with(SampleFields::TIME).with(SampleFields::CPU);
    let common = AttrFlags::SAMPLE_ID_ALL.with(AttrFlags::USE_CLOCKID).with(AttrFlags::WATERMARK);
    let dummy = EventAttr {
        sample_fields: identity,
        clockid: CLOCK_MONOTONIC,
        flags: side_flags.with(common).with(tracking),
        ..EventAttr::counting(DUMMY.0, DUMMY.1)
    };
    let per_task: Option<(Vec<u32>, bool)> = match &request.tasks {
        Tasks::All | Tasks::Cgroup(_) => None,
        Tasks::Threads(tids) => Some((tids.clone(), false)),
        Tasks::Child(pid) => Some((vec![*pid], true)),
    };

    // Rings first: how large they may be decides how much of the stack a sample can carry.
    let mut side_band = Accepted::new(kernel);
    let mut owners = Vec::new();
    for &cpu in request.cpus.as_slice() {
        let owner = match (&request.tasks, &per_task) {
            (Tasks::Cgroup(directory), _) => side_band.open(&dummy, Scope::Cgroup(directory.as_fd(), cpu))?,
            (_, None) => match side_band.open(&dummy, Scope::Cpu(cpu)) {
                // A CPU that has just been taken offline.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
                opened => opened?,
            },
            (_, Some((tids, _))) => first_alive(&mut side_band, &untracked(&dummy), tids, cpu)?,
        };
        owners.push((cpu, owner));
    }
    let wanted_stack = if request.stacks.user_copy { stack_size(request.expected_rate) } else { 0 };
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
    if let Some((_, on_exec)) = per_task {
        flags = flags.with(tracking).with(AttrFlags::INHERIT);
        if on_exec {
            flags = flags.with(AttrFlags::ENABLE_ON_EXEC);
        }
    } else if request.clock_rate.is_some() {
        flags = flags.with(AttrFlags::EXCLUDE_IDLE);
    }
    let layout = Layout { fields, regs_user: if stack > 0 { request.registers } else { 0 } };
    let sampling_attr = |base: &EventAttr, sampling: Sampling| EventAttr {
        sampling,
        sample_fields: fields,
        read_format: read_format::LOST,
        flags: flags.with(base.flags),
        sample_regs_user: layout.regs_user,
        sample_stack_user: stack as u32,
        clockid: CLOCK_MONOTONIC,
        ..base.clone()
    };

    let mut random = random_numbers();
    let mut opened =
        Opened { rings, layout, streams: 1, notes, side_band: Vec::new(), sampling: Vec::new(), read_format: 0 };
    let mut sampler = Accepted::new(kernel);
    for (cpu, owner) in &owners {
        let on_cpu = |cpus: &Option<CpuList>| cpus.as_ref().is_none_or(|cpus| cpus.contains(*cpu));
        for (base, _) in request.attrs.iter().filter(|(_, cpus)| on_cpu(cpus)) {
            let timers = match request.clock_rate {
                Some(rate) if per_task.is_none() => Streams::new(rate, &mut random).timers,
                Some(rate) => Streams::single(rate, &mut random).timers,
                None => Vec::new(),
            };
            opened.streams = opened.streams.max(timers.len() as u64);
            let timers = timers.into_iter().map(|(period, start)| (Sampling::Period(period), start));
            let given = (request.clock_rate.is_none()).then_some((base.sampling, Duration::ZERO));
            for (sampling, start) in timers.chain(given) {
                let attr = sampling_attr(base, sampling);
                match (&request.tasks, &per_task) {
                    (Tasks::Cgroup(directory), _) => {
                        let event = sampler.open(&attr, Scope::Cgroup(directory.as_fd(), *cpu))?;
                        sys::set_output(&event, owner)?;
                        opened.sampling.push((event, start));
                    }
                    (_, None) => {
                        let event = sampler.open(&attr, Scope::Cpu(*cpu))?;
                        sys::set_output(&event, owner)?;
                        opened.sampling.push((event, start));
                    }
                    (_, Some((tids, _))) => {
                        for &tid in tids {
                            match sampler.open(&attr, Scope::TaskOnCpu(tid as i32, *cpu)) {
                                // It has ended meanwhile.
                                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                                event => {
                                    let event = event?;
                                    sys::set_output(&event, owner)?;
                                    opened.sampling.push((event, start));
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    opened.read_format = sampler.read_format();
    opened.notes.extend([side_band, sampler].into_iter().filter_map(Accepted::note));
    opened.side_band = owners.into_iter().map(|(_, owner)| owner).collect();
    Ok(opened)
}

impl Opened {
    /// Starts the reports of mappings and tasks.
    pub fn start_tracking(&self) -> io::Result<()> {
        self.side_band.iter().try_for_each(sys::enable)
    }

    /// Starts sampling, each event at its own moment; returns when all run.
    ///
    /// Events that wait for an exec are left alone.
    pub fn start_sampling(&self, on_exec: bool) -> io::Result<()> {
        if on_exec {
            return Ok(());
        }
        let mut order: Vec<&(OwnedFd, Duration)> = self.sampling.iter().collect();
        order.sort_by_key(|(_, start)| *start);
        let common = Instant::now();
        for (event, start) in order {
            std::thread::sleep((common + *start).saturating_duration_since(Instant::now()));
            match sys::enable(event) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// Stops all events, so that the rings can be emptied for good.
    pub fn stop(&self) {
        for event in self.sampling.iter().map(|(event, _)| event).chain(&self.side_band) {
            // An event whose task has ended has stopped by itself.
            let _ = sys::disable(event);
        }
    }

    /// How many samples the kernel could not write, if it counts that (Linux 6.0).
    pub fn lost_samples(&self) -> Option<u64> {
        if self.read_format & read_format::LOST == 0 {
            return None;
        }
        let counts = self.sampling.iter().map(|(event, _)| sys::read_count(event, self.read_format));
        Some(counts.map(|count| count.map_or(0, |count| count.lost)).sum())
    }

    /// How many descriptors are open.
    pub fn event_count(&self) -> usize {
        self.sampling.len() + self.side_band.len()
    }
}

/// Opens events of one kind: what an old kernel does not know is taken off the first, and left off the others.
struct Accepted<'k, K> {
    kernel: &'k K,
    /// The first one as it was asked for and as it was accepted.
    first: Option<(EventAttr, EventAttr)>,
    peeled: Vec<Peeled>,
}

impl<'k, K: OpenEvent> Accepted<'k, K> {
    fn new(kernel: &'k K) -> Self {
        Accepted { kernel, first: None, peeled: Vec::new() }
    }

    fn open(&mut self, attr: &EventAttr, scope: Scope<'_>) -> io::Result<OwnedFd> {
        let Some((asked, accepted)) = &self.first else {
            let (event, accepted, peeled) = peel(self.kernel, attr, scope)?;
            self.first = Some((attr.clone(), accepted));
            self.peeled = peeled;
            return Ok(event);
        };
        let attr = EventAttr {
            flags: AttrFlags(attr.flags.0 & !(asked.flags.0 & !accepted.flags.0)),
            read_format: accepted.read_format,
            clockid: accepted.clockid,
            sample_max_stack: accepted.sample_max_stack,
            ..attr.clone()
        };
        self.kernel.open(&attr, scope)
    }

    fn read_format(&self) -> u64 {
        self.first.as_ref().map_or(0, |(_, accepted)| accepted.read_format)
    }

    fn note(self) -> Option<String> {
        let missing: Vec<&str> = self.peeled.iter().map(|peeled| peeled.as_str()).collect();
        (!missing.is_empty()).then(|| format!("this kernel is too old for: {}", missing.join(", ")))
    }
}

/// Without reports: where each task's own event makes them.
fn untracked(dummy: &EventAttr) -> EventAttr {
    let tracking = [AttrFlags::MMAP, AttrFlags::MMAP2, AttrFlags::COMM, AttrFlags::COMM_EXEC, AttrFlags::TASK];
    let flags = tracking.into_iter().fold(dummy.flags, AttrFlags::without).without(AttrFlags::BUILD_ID);
    EventAttr { flags, ..dummy.clone() }
}

fn first_alive<K: OpenEvent>(
    events: &mut Accepted<'_, K>,
    attr: &EventAttr,
    tids: &[u32],
    cpu: u32,
) -> io::Result<OwnedFd> {
    let mut last = io::Error::from_raw_os_error(libc::ESRCH);
    for &tid in tids {
        match events.open(attr, Scope::TaskOnCpu(tid as i32, cpu)) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => last = error,
            opened => return opened,
        }
    }
    Err(last)
}

/// Size of the copy of the user stack at a rate.
fn stack_size(rate: f64) -> u64 {
    ((STACK_BYTES_PER_SECOND / rate.max(1.0)) as u64).clamp(SMALLEST_STACK, LARGEST_STACK) & !7
}

/// Size of a ring: the next power of two that holds [`RING_SECONDS`] of samples.
fn ring_size(rate: f64, stack: u64, rings: usize) -> usize {
    let bytes = (rate * RING_SECONDS * (stack as f64 + 1024.0)) as usize;
    let most = (ALL_RINGS / rings.max(1)).next_power_of_two().clamp(SMALLEST_RING, LARGEST_RING);
    bytes.next_power_of_two().clamp(SMALLEST_RING, most)
}

/// The copy that a ring has room for.
fn fitting_stack(wanted: u64, ring: usize, rate: f64) -> u64 {
    if wanted == 0 {
        return 0;
    }
    let room = ring as f64 / (rate.max(1.0) * SHORTEST_RING_SECONDS) - 1024.0;
    // A ring must hold two records at the least, or none gets in.
    let room = room.min(ring as f64 / 2.0 - 1024.0).max(512.0);
    wanted.min(room as u64) & !7
}

/// Maps a ring on each event: of `wanted` bytes, or as large as the memory lock limit lets all of them be.
fn map_rings(owners: &[(u32, OwnedFd)], wanted: usize) -> io::Result<(Vec<RingBuffer>, usize)> {
    let page = rustix::param::page_size();
    let mut size = wanted.max(page);
    loop {
        let rings: io::Result<Vec<_>> =
            owners.iter().map(|(_, owner)| RingBuffer::map(owner.as_fd(), size / page)).collect();
        match rings {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOMEM)) && size / 2 >= page => {
                size /= 2;
            }
            rings => return Ok((rings?, size)),
        }
    }
}

/// Numbers in 0..1.
fn random_numbers() -> impl FnMut() -> f64 {
    let mut seed = [0; 8];
    // Without randomness from the kernel, the time of day is random enough for a phase.
    if rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::NONBLOCK).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        seed = now.as_nanos().to_ne_bytes()[..8].try_into().expect("eight bytes");
    }
    let mut state = u64::from_ne_bytes(seed) | 1;
    // xorshift64* (Marsaglia 2003, Vigna 2016).
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}
