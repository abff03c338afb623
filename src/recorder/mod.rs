//! The junction: records in order of time become a profile.
//!
//! ```text
//!            .--> ProcessTable    who runs what (fork, exec, mmap, comm, exit, switch)
//! Record ----+--> Unwinder        stack copies to addresses
//!            '--> ProfileBuilder  addresses to interned rows
//! ```
//! It matches and hands over; what is known of the world is with those three (and the images that are mapped).
//!
//! A sample is taken in by three steps, of which only the middle one is work, and needs nothing that a later record changes:
//! *admit* (whose is it? what is mapped?), *walk* (which addresses are on its stack?), *add* (a row). So a recording that is there
//! already is walked by all CPUs, see [`Recorder::record_all`].

mod aliases;
mod call_stack;
mod called;
mod changes;
mod code;
mod counters;
mod deferred;
mod ends;
mod epochs;
mod existing;
mod feed;
mod followed_maps;
mod jit;
mod kernel_stacks;
mod late;
mod on_cpu;
mod options;
mod other_stack;
mod so_far;
mod tap;
mod trusted;
mod unwound;
mod waited;
mod waiting;
mod waits;
mod walk;

pub use code::{Change, Code, Listed, name_of};
pub use counters::Counters;
pub use ends::OFF_CPU;
pub use epochs::{Epoch, Epochs};
pub use feed::{Feed, Sink};
pub use kernel_stacks::{StackOf, SummedWaits, WakerOf};
pub use on_cpu::ThreadTime;
pub use options::{Origin, RecordedEvent, RecorderOptions, UserStacks, Weight};
pub use tap::{Tap, Tapped};
pub use unwound::{KernelLists, Mapped, NumberedImage, NumberedImages};
pub use waited::{Waited, Waker};
pub use waiting::{Found, WaitingThread};
pub use waits::WaitOptions;
// What samples must carry to be unwound: who opens the events asks for it.
pub use crate::unwind::{Processor, REGISTERS_MASK, Registers};

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::image::{Images, Wanted, is_deleted_scratch, is_file_path};
use crate::model::{EventId, ImageKind, Profile, ProfileBuilder, StackId, ThreadId, Unnamed};
use crate::perf::record::{self, CpuMode};
use crate::perf::{Layout, Record, data};
use crate::process::{AddressSpace, JitHost, KernelMaps, Mapping, OffCpu, ProcessTable};
use crate::unwind::{Unwinder, WalkedFrame, WithoutTables};
use deferred::Incomplete;
use late::Late;
use waits::Waits;
use walk::{Part, Walk, Walked};

/// The pid of an idle CPU, and of every task that is not in our pid namespace: nothing more is known of those.
const OUTSIDE: u32 = 0;

/// A symbol of the kernel that came while it was recorded: a BPF program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSymbol {
    /// First address.
    pub address: u64,
    /// Length in bytes.
    pub length: u32,
    /// Its name.
    pub name: String,
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
    /// Where the kernel was.
    pub kernel: KernelMaps,
    /// Symbols of the kernel that came while it was recorded.
    pub kernel_symbols: Vec<KernelSymbol>,
    /// What was counted on the way.
    pub counters: Counters,
    /// What there is to say of it beside, a sentence each.
    pub notes: Vec<String>,
}

/// Turns records into a profile.
#[derive(Debug)]
pub struct Recorder {
    options: RecorderOptions,
    processes: ProcessTable,
    /// One for each thread that walks stacks.
    unwinders: Vec<Unwinder>,
    builder: ProfileBuilder,
    images: Images,
    jit_hosts: Vec<JitHost>,
    followed_maps: followed_maps::FollowedMaps,
    /// When JITs' dumps were read on.
    dumps_read: Option<Instant>,
    /// When the recording began, in seconds since 1970.
    began_unix: u64,
    kernel_symbols: Vec<KernelSymbol>,
    off_cpu: OffCpu,
    /// Of tasks that run.
    waits: Option<Waits>,
    incomplete: Incomplete,
    /// Of processes that run.
    late: Option<Late>,
    unwound: unwound::UnwoundStacks,
    changes: changes::Changes,
    counters: Counters,
    /// Samples before this time are not kept; `u64::MAX` until the recording has begun.
    begin: u64,
    /// By [`record::Sample::event`].
    events: Vec<EventId>,
    /// Reused by every sample.
    frames: Vec<WalkedFrame>,
    /// Reused by every batch of samples.
    parts: Vec<Part>,
}

/// A sample that is kept.
#[derive(Debug)]
struct Admitted<'a> {
    sample: record::Sample<'a>,
    thread: ThreadId,
    /// What was mapped when it was taken.
    space: Arc<AddressSpace>,
}

impl Recorder {
    /// An empty recording, which keeps no samples until [`Recorder::begin`] says from when on.
    pub fn new(options: RecorderOptions) -> Recorder {
        Recorder::with_images(options, Images::default())
    }

    /// The same, with what knows where the files of the recording are.
    pub fn with_images(options: RecorderOptions, images: Images) -> Recorder {
        let mut builder = ProfileBuilder::new();
        let events: Vec<EventId> =
            options.events.iter().map(|event| builder.add_event(&event.name, event.unit, event.period)).collect();
        let waits = options.waits.map(|waits| Waits::new(waits, options.event_of_waits(&events)));
        let mut unwinders = Vec::new();
        let without_tables = match options.user_stacks {
            UserStacks::Dwarf => WithoutTables::Stop,
            UserStacks::Auto | UserStacks::FramePointers | UserStacks::CallStack | UserStacks::None => {
                WithoutTables::Try
            }
        };
        unwinders.resize_with(options.threads.get(), || Unwinder::new(without_tables));
        let late = matches!(options.origin, Origin::Live).then(Late::default);
        Recorder {
            processes: ProcessTable::new(options.membership.clone()),
            options,
            unwinders,
            builder,
            images,
            jit_hosts: Vec::new(),
            followed_maps: followed_maps::FollowedMaps::default(),
            dumps_read: None,
            began_unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            kernel_symbols: Vec::new(),
            off_cpu: OffCpu::default(),
            waits,
            incomplete: Incomplete::default(),
            late,
            unwound: unwound::UnwoundStacks::default(),
            changes: changes::Changes::default(),
            counters: Counters::default(),
            begin: u64::MAX,
            events,
            frames: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Keeps samples from `time` on, nanoseconds on the recording's clock.
    pub fn begin(&mut self, time: u64) {
        self.begin = time;
    }

    /// Adds an event that became known while the recording was read; the samples of event `n` are of the `n`th.
    pub fn add_event(&mut self, event: RecordedEvent) {
        self.events.push(self.builder.add_event(&event.name, event.unit, event.period));
        self.options.events.push(event);
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let late = self.late.as_ref();
        Counters {
            completed_late: late.map_or(0, |late| late.completed),
            memory_denied: late.is_some_and(Late::was_denied),
            mappings_forgotten: self.changes.forgotten,
            waiting_denied: self.waits.as_ref().is_some_and(|waits| waits.memory.was_denied()),
            ..self.counters
        }
    }

    /// How many stacks were larger than their copies, so that the memory of their processes was to be read; the sooner the better.
    pub fn stacks_wanted(&self) -> u64 {
        self.late.as_ref().map_or(0, |late| late.wanted)
    }

    /// Takes in the next record in order of time.
    pub fn record(&mut self, record: &Record<'_>) {
        match record {
            Record::Sample(sample) => {
                let Some(admitted) = self.admit(sample) else { return };
                let mut frames = std::mem::take(&mut self.frames);
                frames.clear();
                let modules = &self.processes.kernel.modules;
                let walk = Walk { images: &self.images, modules, options: &self.options };
                let walked = walk.frames(&mut self.unwinders[0], self.late.as_mut(), &admitted, &mut frames);
                self.add(&admitted, walked, &frames);
                self.frames = frames;
            }
            Record::Mmap(mmap) => {
                self.changes.mapped(mmap);
                self.mmap(mmap);
            }
            Record::Comm(comm) if comm.pid == OUTSIDE => {}
            Record::Comm(comm) => {
                let name = String::from_utf8_lossy(comm.name);
                if comm.exec {
                    self.changes.ended(comm.pid, comm.identity.time);
                    self.forget_memory(comm.pid);
                    self.runs_program(comm.pid, comm.identity.time);
                }
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
                    self.begins(comm.pid, comm.tid, comm.identity.time, false);
                }
            }
            Record::Fork(task) => {
                // The number may have been another's.
                if task.pid == task.tid {
                    self.changes.forked(task.parent_pid, task.pid, task.time);
                    self.forget_memory(task.pid);
                }
                self.processes.fork(task.parent_pid, task.parent_tid, task.pid, task.tid);
                self.begins(task.pid, task.tid, task.time, true);
            }
            Record::Exit(task) => {
                if task.pid == task.tid {
                    self.changes.leader_ended(task.pid, task.time);
                    self.forget_memory(task.pid);
                }
                self.off_cpu.ends(task.tid);
                self.keep_name(task.pid, task.tid, task.time);
                self.processes.exit(task.pid, task.tid);
            }
            Record::Lost(count) => self.counters.lost = self.counters.lost.saturating_add(*count),
            Record::LostSamples(count) => {
                self.counters.lost_samples = self.counters.lost_samples.saturating_add(*count)
            }
            Record::Throttle => self.counters.throttled += 1,
            Record::Switch(switch) => self.switches(switch),
            Record::Deferred(deferred) => self.complete(deferred),
            Record::KeyedStack(stack) => self.unwound.take(stack),
            Record::Unwound(sample) => self.add_unwound(sample),
            Record::Ksymbol(symbol) if !symbol.gone => self.kernel_symbols.push(KernelSymbol {
                address: symbol.address,
                length: symbol.length,
                name: String::from_utf8_lossy(symbol.name).into_owned(),
            }),
            Record::Aux { size, flags } => {
                self.counters.aux_bytes = self.counters.aux_bytes.saturating_add(*size);
                self.counters.aux_lost += flags & data::AUX_TRUNCATED;
            }
            Record::Malformed(kind) => {
                self.counters.malformed += 1;
                self.counters.malformed_samples += u64::from(*kind == record::kind::SAMPLE);
            }
            Record::Ksymbol(_) | Record::Unthrottle | Record::Other(_) => {}
        }
    }

    /// Takes in many records in order of time; their stacks are walked by as many threads as the options say.
    ///
    /// The profile is the same as by [`Recorder::record`], to the last id.
    pub fn record_all<'a>(&mut self, records: impl Iterator<Item = Record<'a>>) {
        /// So many samples are held, with what was mapped when they were taken.
        const BATCH: usize = 512;
        if self.unwinders.len() == 1 {
            return records.for_each(|record| self.record(&record));
        }
        let mut batch = Vec::with_capacity(BATCH);
        for record in records {
            match &record {
                Record::Sample(sample) => batch.extend(self.admit(sample)),
                // It completes rows, which must be there; or it is one, behind those before it.
                Record::Deferred(_) | Record::Unwound(_) => {
                    self.flush(&mut batch);
                    self.record(&record);
                }
                record => self.record(record),
            }
            if batch.len() == BATCH {
                self.flush(&mut batch);
            }
        }
        self.flush(&mut batch);
    }

    fn flush(&mut self, batch: &mut Vec<Admitted<'_>>) {
        let modules = &self.processes.kernel.modules;
        let walk = Walk { images: &self.images, modules, options: &self.options };
        let mut parts = std::mem::take(&mut self.parts);
        walk.all(&mut self.unwinders, batch, &mut parts);
        let mut samples = batch.iter();
        for part in &parts {
            let mut frames = part.frames.as_slice();
            for (walked, admitted) in part.walked.iter().zip(&mut samples) {
                let (own, rest) = frames.split_at(walked.count);
                self.add(admitted, *walked, own);
                frames = rest;
            }
        }
        self.parts = parts;
        batch.clear();
    }

    /// The finished recording.
    pub fn finish(mut self) -> Recorded {
        let notes = self.settle_jit_code().into_iter().collect();
        self.add_waits();
        let counters = self.counters();
        Recorded {
            profile: self.builder.finish(),
            images: self.images,
            jit_hosts: self.jit_hosts,
            kernel: self.processes.kernel,
            kernel_symbols: self.kernel_symbols,
            counters,
            notes,
        }
    }

    /// Looks at a record whose turn comes later: what of its stack is not in the copy is read now.
    fn arrives(&mut self, bytes: &[u8], layout: &Layout) {
        let kind = record::header(bytes, layout.order).map(|(kind, ..)| kind);
        if self.unwound.mapped.is_some()
            && matches!(kind, Some(record::kind::MMAP | record::kind::MMAP2))
            && let Record::Mmap(mmap) = record::parse(bytes, layout)
        {
            return self.tell_mapped(&mmap);
        }
        if self.late.is_none() || self.begin == u64::MAX || self.options.begins_with_exec_of.is_some() {
            return;
        }
        if kind != Some(record::kind::SAMPLE) {
            return;
        }
        let Record::Sample(sample) = record::parse(bytes, layout) else { return };
        let identity = sample.identity;
        if !sample.user_stack_full || self.processes.sampled(identity.pid, identity.tid).is_none() {
            return;
        }
        let Some(registers) = walk::registers_of(&sample, &self.options.origin) else { return };
        if let Some(late) = &mut self.late {
            late.arrives(&sample, &walk::stack_of(&sample, &registers));
        }
    }

    fn forget_memory(&mut self, pid: u32) {
        if let Some(late) = &mut self.late {
            late.forget(pid);
        }
    }

    fn mmap(&mut self, mmap: &record::Mmap<'_>) {
        match mmap.mode {
            CpuMode::Kernel => return self.map_kernel(mmap),
            CpuMode::GuestKernel | CpuMode::GuestUser | CpuMode::Hypervisor => return,
            CpuMode::User | CpuMode::Unknown => {}
        }
        // Code of an interpreter is no code of the processor.
        if mmap.executable || self.options.origin.has_symbols_of(mmap.path) {
            let wanted = Wanted {
                path: mmap.path,
                build_id: mmap.build_id.or_else(|| self.options.origin.build_id_of(mmap.path)),
                device: mmap.device_inode.map(|(device, _)| device),
                inode: mmap.device_inode.map(|(_, inode)| inode),
                pid: mmap.pid,
                start: mmap.start,
                end: mmap.start.saturating_add(mmap.length),
                offset: mmap.offset,
                time: mmap.identity.time,
            };
            self.map(&wanted, mmap.offset);
        } else if let Some(process) = self.processes.followed(mmap.pid) {
            // Where data is now, there is no code any more.
            process.unmap(mmap.start, mmap.start.saturating_add(mmap.length));
        }
    }

    /// A mapping of the kernel's, as perf makes them up: `[kernel.kallsyms]_text` for the kernel itself, whose offset is the
    /// address of that symbol; a name in brackets or a path for a module.
    fn map_kernel(&mut self, mmap: &record::Mmap<'_>) {
        let name = String::from_utf8_lossy(mmap.path);
        if let Some(symbol) = name.strip_prefix("[kernel.kallsyms]") {
            let kernel = &mut self.processes.kernel;
            kernel.build_id = mmap.build_id.or(kernel.build_id);
            if !symbol.is_empty() && mmap.offset != 0 {
                kernel.reference = Some((mmap.offset, symbol.to_owned()));
            }
            return;
        }
        let end = mmap.start.saturating_add(mmap.length);
        let space = &self.processes.kernel.modules;
        let build_id = mmap.build_id.or_else(|| self.options.origin.build_id_of(mmap.path));
        // Said again for every ring.
        if space.find(mmap.start).is_some_and(|known| known.start == mmap.start && known.end == end) {
            return;
        }
        let image = self.builder.add_image(ImageKind::Kernel, &name, build_id);
        let mapping = Mapping { start: mmap.start, end, offset: mmap.start, image };
        self.processes.kernel.modules.insert(mapping);
    }

    fn map(&mut self, wanted: &Wanted<'_>, offset: u64) {
        // The gate page is no memory of the process, nor code that it has made.
        if wanted.pid == OUTSIDE || wanted.path == b"[vsyscall]" {
            return;
        }
        let Some(process) = self.processes.followed(wanted.pid) else { return };
        let builder = &mut self.builder;
        let mut add = |kind, path: &str, build_id| builder.add_image(kind, path, build_id);
        // It is mapped only as a mark that it is there.
        if let Some((image, dump)) = self.images.intern_jit_dump(wanted, &mut add) {
            if matches!(self.options.origin, Origin::Live) {
                drop(dump);
                return self.follow_dump(wanted.pid, image);
            }
            let by_time = self.options.origin.is_monotonic() && !dump.arch_timestamps();
            return process.set_code(jit::code_of(&dump, image, by_time));
        }
        let (image, offset) = if wanted.path == b"[vdso]" {
            // It is mapped whole; what the kernel states as its file offset is none.
            (self.images.intern_vdso(wanted, add), 0)
        } else if is_file_path(wanted.path) || self.options.origin.has_symbols_of(wanted.path) {
            let image = self.images.intern(wanted, add);
            self.note_runtime(wanted.pid, wanted.path);
            // A JIT may keep its code in a file of its own that it has deleted, to map it twice. What could not be looked into may be
            // a program as well.
            let is_code = self.images.missing(image) == Some(Unnamed::NoSymbols) && is_deleted_scratch(wanted.path);
            let jit = if is_code { self.jit_image(wanted.pid) } else { None };
            jit.map_or((image, offset), |jit| (jit, wanted.start))
        } else {
            let Some(jit) = self.jit_image(wanted.pid) else { return };
            (jit, wanted.start)
        };
        let Some(process) = self.processes.followed(wanted.pid) else { return };
        process.map(Mapping { start: wanted.start, end: wanted.end, offset, image });
    }

    /// Whether a sample is kept, and what must be known of the moment to walk its stack.
    fn admit<'a>(&mut self, sample: &record::Sample<'a>) -> Option<Admitted<'a>> {
        let identity = sample.identity;
        if identity.time < self.begin || self.options.begins_with_exec_of.is_some() {
            return None;
        }
        let event = self.options.events.get(sample.event as usize)?;
        let (is_switch, next_pid) = (event.is_switch, event.next_pid);
        let process = self.processes.sampled(identity.pid, identity.tid)?;
        process.map_code(identity.time);
        let (thread_id, space) = self.row_of_thread(identity.pid, identity.tid)?;
        if identity.pid != OUTSIDE {
            self.off_cpu.is_seen(identity.tid, identity.time);
        }
        if let Some(waits) = &mut self.waits {
            waits.off.is_seen(identity.tid, identity.time);
        } else if is_switch {
            let offset = next_pid.or_else(|| data::tracing::usual_next_pid(sample.raw));
            let next = offset.and_then(|offset| sample.raw_u32(offset));
            if identity.pid != OUTSIDE {
                self.off_cpu.goes_off(identity.tid, self.counters.samples as usize, identity.time);
            }
            self.off_cpu.comes_on(next.unwrap_or(OUTSIDE), identity.time);
        }
        self.counters.samples += 1;
        let copied = sample.user_stack.len();
        let is_trimmed =
            sample.user_stack_full && record::TRIMMED.contains(&copied) && copied < self.options.stack_copy;
        self.counters.trimmed += u64::from(is_trimmed);
        // What a recording says of itself may be anything.
        if self.waits.is_none() || !is_switch {
            self.counters.value = self.counters.value.saturating_add(self.value(sample));
        }
        Some(Admitted { sample: *sample, thread: thread_id, space })
    }

    /// The row of a thread whose samples are kept, and what is mapped in it now.
    fn row_of_thread(&mut self, pid: u32, tid: u32) -> Option<(ThreadId, Arc<AddressSpace>)> {
        let process = self.processes.sampled(pid, tid)?;
        if process.name.is_empty() {
            process.name = self.options.origin.name_of_nameless(pid);
        }
        let process_id = match process.id {
            Some(id) => id,
            None => *process.id.insert(self.builder.add_process(pid, &process.name)),
        };
        let space = process.space.clone();
        if process.thread(tid).name.is_empty() {
            let name = process.name.clone();
            process.thread(tid).name = name;
        }
        let thread = process.thread(tid);
        let id = match thread.id {
            Some(id) => id,
            None => *thread.id.insert(self.builder.add_thread(process_id, tid, &thread.name)),
        };
        Some((id, space))
    }

    fn value(&self, sample: &record::Sample<'_>) -> u64 {
        let period = match self.options.events[sample.event as usize].weight {
            Weight::Period => sample.period,
            Weight::Fixed(period) => period,
        };
        (period / self.options.streams).max(1)
    }

    /// Adds the row of a sample whose stack has been walked.
    fn add(&mut self, admitted: &Admitted<'_>, walked: Walked, frames: &[WalkedFrame]) {
        let stack = self.stack(frames);
        let sample = &admitted.sample;
        if self.waits.is_some() && self.options.events[sample.event as usize].is_switch {
            return self.goes_off(admitted, stack, walked.end);
        }
        let row = self.builder.profile().samples.len();
        if let Some(cookie) = walked.deferred {
            self.incomplete.add(sample.identity.tid, cookie, row);
        }
        self.add_row(admitted, stack, walked.end);
    }

    /// Interns a stack.
    fn stack(&mut self, frames: &[WalkedFrame]) -> StackId {
        let mut stack = StackId(0);
        for WalkedFrame { image, by, offset } in frames.iter().rev() {
            let frame = self.builder.found_frame(*image, *offset, *by);
            self.counters.found[*by as usize] += 1;
            stack = self.builder.stack(stack, frame);
        }
        stack
    }

    /// Puts the user part below the stacks of the samples that wait for it.
    fn complete(&mut self, deferred: &record::Deferred<'_>) {
        let rows = self.incomplete.take(deferred.identity.tid, deferred.cookie);
        let Some(process) = self.processes.followed(deferred.identity.pid) else { return };
        let space = process.space.clone();
        let mut frames = Vec::new();
        walk::user_chain(deferred.callchain.iter(), &space, &mut frames);
        let end = self.options.origin.end_of_chain();
        let base = self.stack(&frames);
        for row in rows {
            let kernel: Vec<_> =
                self.builder.profile().frames_of(self.builder.profile().samples.get(row).stack).collect();
            let stack = kernel.into_iter().rev().fold(base, |stack, frame| self.builder.stack(stack, frame));
            self.builder.replace_stack(row, stack, end);
        }
    }
}

#[cfg(test)]
mod tests;
