//! The junction: records in order of time become a profile.
//!
//! ```text
//!            .--> ProcessTable    who runs what (fork, exec, mmap, comm, exit)
//! Record ----+--> Unwinder        stack copies to addresses
//!            '--> ProfileBuilder  addresses to interned rows
//! ```
//! It matches and hands over; what is known of the world is with those three (and the images that are mapped).

mod existing;
mod feed;

pub use feed::Feed;
// What samples must carry to be unwound: who opens the events asks for it.
pub use crate::unwind::REGISTERS_MASK;

use crate::image::{Images, Wanted, is_file_path};
use crate::model::{
    CodeAddress, EventId, FrameKind, ImageKind, Profile, ProfileBuilder, Sample, StackEnd, StackId, ThreadId,
    Timestamp, Truncation, Unit,
};
use crate::perf::Record;
use crate::perf::record;
use crate::process::{JitHost, Mapping, Membership, ProcessTable};
use crate::unwind::{Registers, StackBytes, Unwinder};

/// Marks in call chains: `enum perf_callchain_context`, `include/uapi/linux/perf_event.h`.
mod context {
    /// What follows is of the kernel.
    pub const KERNEL: u64 = -128i64 as u64;
    /// What follows is of the program.
    pub const USER: u64 = -512i64 as u64;
    /// This and all above are marks.
    pub const FIRST: u64 = -4095i64 as u64;
}

/// The pid of an idle CPU, and of every task that is not in our pid namespace: nothing more is known of those.
const OUTSIDE: u32 = 0;

/// How user stacks are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserStacks {
    /// From the copy of the stack; where there is none, from the kernel's chain of frame pointers.
    #[default]
    Auto,
    /// From the copy of the stack only.
    Dwarf,
    /// From the kernel's chain of frame pointers.
    FramePointers,
    /// Not at all: only the innermost frame.
    None,
}

/// What a recording is of.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Which tasks are kept.
    pub membership: Membership,
    /// The event's name.
    pub event: String,
    /// What its values count.
    pub unit: Unit,
    /// Nominal value of a sample, if it has one.
    pub period: Option<u64>,
    /// How many events count the same thing side by side: a sample's value is its period by this number.
    pub streams: u64,
    /// How user stacks are found.
    pub user_stacks: UserStacks,
    /// A process whose exec begins the recording; what is before is not kept.
    pub begins_with_exec_of: Option<u32>,
}

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records lost because a ring was full.
    pub lost: u64,
    /// Samples lost before they reached a ring.
    pub lost_samples: u64,
    /// How often an event was throttled.
    pub throttled: u64,
    /// Records that were shorter than their type says.
    pub malformed: u64,
    /// Records that came later than one of a later time had been taken in.
    pub late: u64,
    /// Samples kept.
    pub samples: u64,
    /// Sum of their values.
    pub value: u64,
}

/// A finished recording, without names.
#[derive(Debug)]
pub struct Recorded {
    /// The samples.
    pub profile: Profile,
    /// The files that they are in.
    pub images: Images,
    /// How to reach the perf maps of the processes that run generated code.
    pub jit_hosts: Vec<JitHost>,
    /// What was counted on the way.
    pub counters: Counters,
}

/// Turns records into a profile.
#[derive(Debug)]
pub struct Recorder {
    options: RecorderOptions,
    processes: ProcessTable,
    unwinder: Unwinder,
    builder: ProfileBuilder,
    images: Images,
    jit_hosts: Vec<JitHost>,
    counters: Counters,
    /// Samples before this time are not kept; `u64::MAX` until the recording has begun.
    begin: u64,
    event: EventId,
    /// Reused by every sample.
    addresses: Vec<CodeAddress>,
}

impl Recorder {
    /// An empty recording, which keeps no samples until [`Recorder::begin`] says from when on.
    pub fn new(options: RecorderOptions) -> Recorder {
        let mut builder = ProfileBuilder::new();
        let event = builder.add_event(&options.event, options.unit, options.period);
        Recorder {
            processes: ProcessTable::new(options.membership.clone()),
            options,
            unwinder: Unwinder::default(),
            builder,
            images: Images::default(),
            jit_hosts: Vec::new(),
            counters: Counters::default(),
            begin: u64::MAX,
            event,
            addresses: Vec::new(),
        }
    }

    /// Keeps samples from `time` on, nanoseconds on the recording's clock.
    pub fn begin(&mut self, time: u64) {
        self.begin = time;
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes in the next record in order of time.
    pub fn record(&mut self, record: &Record<'_>) {
        match record {
            Record::Sample(sample) => self.sample(sample),
            Record::Mmap(mmap) => {
                if mmap.executable {
                    let wanted = Wanted {
                        path: mmap.path,
                        build_id: mmap.build_id,
                        device: mmap.device_inode.map(|(device, _)| device),
                        inode: mmap.device_inode.map(|(_, inode)| inode),
                        pid: mmap.pid,
                        start: mmap.start,
                        end: mmap.start.saturating_add(mmap.length),
                    };
                    self.map(&wanted, mmap.offset);
                }
            }
            Record::Comm(comm) if comm.pid == OUTSIDE => {}
            Record::Comm(comm) => {
                let name = String::from_utf8_lossy(comm.name);
                let renamed = self.processes.rename(comm.pid, comm.tid, &name, comm.exec);
                if let Some(process) = renamed {
                    let thread = process.thread(comm.tid).id;
                    if let Some(thread) = thread {
                        self.builder.rename_thread(thread, &name);
                    }
                    if let Some(id) = process.id.filter(|_| comm.pid == comm.tid) {
                        self.builder.rename_process(id, &name);
                    }
                }
                if comm.exec && self.options.begins_with_exec_of == Some(comm.pid) {
                    self.options.begins_with_exec_of = None;
                }
            }
            Record::Fork(task) => self.processes.fork(task.parent_pid, task.parent_tid, task.pid, task.tid),
            Record::Exit(task) => self.processes.exit(task.pid, task.tid),
            Record::Lost(count) => self.counters.lost += count,
            Record::LostSamples(count) => self.counters.lost_samples += count,
            Record::Throttle => self.counters.throttled += 1,
            Record::Malformed(_) => self.counters.malformed += 1,
            Record::Unthrottle | Record::Other(_) => {}
        }
    }

    /// Adds a row for what was not sampled, in the event's unit, so that the picture's width is what the targets used.
    ///
    /// It belongs to the process that was sampled, if it was one; else to a row of the name `target`, as nobody knows whose
    /// it is.
    pub fn add_estimate(&mut self, name: &str, value: u64, target: &str) {
        let thread = match self.builder.profile().processes.len() {
            1 => ThreadId(0),
            _ => {
                let process = self.builder.add_process(0, target);
                self.builder.add_thread(process, 0, target)
            }
        };
        let frame = self.builder.name_frame(name, FrameKind::Note);
        let stack = self.builder.stack(StackId(0), frame);
        let time = self.builder.profile().samples.last().map_or(Timestamp(0), |sample| sample.time);
        let end = StackEnd::Root;
        self.builder.add_sample(Sample { time, thread, cpu: 0, stack, end, event: self.event, value, count: 0 });
    }

    /// The finished recording.
    pub fn finish(self) -> Recorded {
        Recorded {
            profile: self.builder.finish(),
            images: self.images,
            jit_hosts: self.jit_hosts,
            counters: self.counters,
        }
    }

    fn map(&mut self, wanted: &Wanted<'_>, offset: u64) {
        if wanted.pid == OUTSIDE {
            return;
        }
        let Some(process) = self.processes.followed(wanted.pid) else { return };
        let builder = &mut self.builder;
        let mut add = |kind, path: &str, build_id| builder.add_image(kind, path, build_id);
        let (image, offset) = if wanted.path == b"[vdso]" {
            // It is mapped whole; what the kernel states as its file offset is none.
            (self.images.intern_vdso(add), 0)
        } else if is_file_path(wanted.path) {
            (self.images.intern(wanted, add), offset)
        } else {
            let jit = process.jit.unwrap_or_else(|| {
                // Opened now: at the end of the recording the process may be gone.
                self.jit_hosts.extend(JitHost::open(wanted.pid).ok());
                add(ImageKind::Jit(wanted.pid), "[anonymous]", None)
            });
            process.jit = Some(jit);
            (jit, wanted.start)
        };
        process.space.insert(Mapping { start: wanted.start, end: wanted.end, offset, image });
    }

    fn sample(&mut self, sample: &record::Sample<'_>) {
        let identity = sample.identity;
        if identity.time < self.begin || self.options.begins_with_exec_of.is_some() {
            return;
        }
        let Some(process) = self.processes.sampled(identity.pid, identity.tid) else { return };
        if identity.pid == OUTSIDE && process.name.is_empty() {
            process.name = "[idle, or of another pid namespace]".into();
        }
        self.addresses.clear();
        let kernel = kernel_frames(sample, &mut self.addresses);
        let stacks = self.options.user_stacks;
        let end = user_frames(&mut self.unwinder, &process.space, &self.images, sample, stacks, &mut self.addresses);
        let mut stack = StackId(0);
        for (depth, address) in self.addresses.iter().enumerate().rev() {
            let frame = if depth < kernel {
                self.builder.code_frame(ProfileBuilder::KERNEL, address.lookup())
            } else {
                let (image, offset) = match process.space.find(address.lookup()) {
                    Some(mapping) => (mapping.image, mapping.offset_of(address.lookup())),
                    None => (ProfileBuilder::UNMAPPED, address.lookup()),
                };
                self.builder.code_frame(image, offset)
            };
            stack = self.builder.stack(stack, frame);
        }
        let process_id = match process.id {
            Some(id) => id,
            None => *process.id.insert(self.builder.add_process(identity.pid, &process.name)),
        };
        let thread = process.thread(identity.tid);
        let thread_id = match thread.id {
            Some(id) => id,
            None => *thread.id.insert(self.builder.add_thread(process_id, identity.tid, &thread.name)),
        };
        let value = (sample.period / self.options.streams).max(1);
        self.counters.samples += 1;
        self.counters.value += value;
        self.builder.add_sample(Sample {
            time: Timestamp(identity.time),
            thread: thread_id,
            cpu: identity.cpu,
            stack,
            end,
            event: self.event,
            value,
            count: 1,
        });
    }
}

/// Appends the kernel part of the call chain; says how many frames it has.
fn kernel_frames(sample: &record::Sample<'_>, addresses: &mut Vec<CodeAddress>) -> usize {
    let mut in_kernel = false;
    for word in sample.callchain.iter() {
        if word >= context::FIRST {
            in_kernel = word == context::KERNEL;
        } else if in_kernel {
            push_chain(word, 0, addresses);
        }
    }
    addresses.len()
}

/// The first address of a chain, at `first`, is an instruction pointer; the others are return addresses.
fn push_chain(word: u64, first: usize, addresses: &mut Vec<CodeAddress>) {
    if addresses.len() == first {
        addresses.push(CodeAddress::Ip(word));
    } else {
        addresses.extend(CodeAddress::from_return(word));
    }
}

/// Appends the user part of the stack; says how it ended.
fn user_frames(
    unwinder: &mut Unwinder,
    space: &crate::process::AddressSpace,
    images: &Images,
    sample: &record::Sample<'_>,
    stacks: UserStacks,
    addresses: &mut Vec<CodeAddress>,
) -> StackEnd {
    let first = addresses.len();
    let copied = matches!(stacks, UserStacks::Auto | UserStacks::Dwarf);
    if copied
        && let Some(values) = sample.user_registers.filter(|values| values.abi == 2)
        && let Some(registers) = Registers::from_sample(|number| values.get(number))
        && !sample.user_stack.is_empty()
    {
        let stack = StackBytes { start: registers.sp, bytes: sample.user_stack, full: sample.user_stack_full };
        return unwinder.unwind(space, images, &registers, &stack, addresses);
    }
    let mut in_user = false;
    for word in sample.callchain.iter() {
        if word >= context::FIRST {
            in_user = word == context::USER;
        } else if in_user {
            push_chain(word, first, addresses);
        }
    }
    if addresses.len() > first {
        return StackEnd::Truncated(Truncation::FramePointers);
    }
    // Neither registers nor a chain: a kernel thread, or a task that has left its memory, has no user stack to miss.
    if sample.user_registers.is_none() && first > 0 {
        return StackEnd::Root;
    }
    if first == 0 && sample.ip != 0 {
        addresses.push(CodeAddress::Ip(sample.ip));
    }
    let asked = !matches!(stacks, UserStacks::None);
    StackEnd::Truncated(if asked { Truncation::NoRegisters } else { Truncation::NotAsked })
}

#[cfg(test)]
mod tests;
