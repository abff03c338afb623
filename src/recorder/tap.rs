//! Keeps records as they are: what a perf.data is made of.
//!
//! ```text
//! Record ----> ProcessTable    is it the target's?
//!      `-----> perf::data      as the kernel wrote it
//! ```
//! The same tasks are kept as by [`super::Recorder`], and the same samples. Two things are written otherwise than they came:
//! the period of a sample is divided by the number of timers that count side by side, so that periods add up to CPU time
//! as they do with one timer; and records stand in order of time, whichever ring they are of.

use rustc_hash::FxHashSet;

use super::feed::Sink;
use super::{Counters, OUTSIDE, RecorderOptions};
use crate::image::{Images, Wanted, is_file_path};
use crate::model::{BuildId, ImageId};
use crate::perf::SampleFields;
use crate::perf::data::write::{self as data, BuildIdOf, Finished, NewMapping, Owner, Tally, Writer};
use crate::perf::record::{HEADER, Layout, Mmap, Record, parse};
use crate::process::{ProcessTable, kernel, proc};

/// Keeps records in a perf.data.
#[derive(Debug)]
pub struct Tap {
    options: RecorderOptions,
    processes: ProcessTable,
    data_mappings: bool,
    images: Images,
    /// What has been mapped, by [`ImageId`]: its path, and the build id that the kernel stated.
    files: Vec<(Vec<u8>, Option<BuildId>)>,
    kernel_build_ids: Vec<BuildIdOf>,
    writer: Writer,
    counters: Counters,
    /// Samples before this time are not kept; `u64::MAX` until the recording has begun.
    begin: u64,
    /// Where a sample's period is.
    period_at: usize,
    /// Size of the identity at the end of records that are no samples.
    identity: usize,
    sample_times: Option<(u64, u64)>,
    wrote: bool,
    /// Reused by every sample, whose period is written otherwise than it came.
    sample: Vec<u8>,
}

/// A finished perf.data.
#[derive(Debug)]
pub struct Tapped {
    /// How writing ended.
    pub finished: Finished,
    /// What was counted on the way; samples and their value are those in the file.
    pub counters: Counters,
}

impl Tap {
    /// Keeps what `options` choose of records of `layout`, from [`Tap::begin`] on.
    ///
    /// With `data_mappings` files that are mapped as data are told too: perf finds unwind tables in those.
    pub fn new(options: RecorderOptions, layout: &Layout, data_mappings: bool, writer: Writer) -> Tap {
        let before_period = [
            SampleFields::IDENTIFIER,
            SampleFields::IP,
            SampleFields::TID,
            SampleFields::TIME,
            SampleFields::ADDR,
            SampleFields::ID,
            SampleFields::STREAM_ID,
            SampleFields::CPU,
        ];
        let [ip, address] = [SampleFields::IP, SampleFields::ADDR];
        let of_all = before_period.into_iter().filter(|field| *field != ip && *field != address);
        let identity = of_all.filter(|field| layout.fields.has(*field)).count() * 8;
        Tap {
            processes: ProcessTable::new(options.membership.clone()),
            options,
            data_mappings,
            images: Images::default(),
            files: Vec::new(),
            kernel_build_ids: Vec::new(),
            writer,
            counters: Counters::default(),
            begin: u64::MAX,
            period_at: HEADER + before_period.into_iter().filter(|field| layout.fields.has(*field)).count() * 8,
            identity,
            sample_times: None,
            wrote: false,
            sample: Vec::new(),
        }
    }

    /// Keeps samples from `time` on, nanoseconds on the recording's clock.
    pub fn begin(&mut self, time: u64) {
        self.begin = time;
    }

    /// Whether nothing can be written any more.
    pub fn has_failed(&self) -> bool {
        self.writer.failure().is_some()
    }

    /// Adds the kernel and its modules, as far as their addresses may be seen.
    pub fn add_kernel(&mut self) {
        let mut made = Vec::new();
        let mut build_id_of = |path: &str, build_id: Option<BuildId>| {
            let path = path.as_bytes().to_vec();
            self.kernel_build_ids.extend(build_id.map(|build_id| BuildIdOf { owner: Owner::Kernel, build_id, path }));
        };
        if let Some(text) = kernel::kernel_text() {
            let name = format!("[kernel.kallsyms]{}", text.symbol);
            data::kernel_mmap(&mut made, self.identity, text.start, text.end, text.start, &name);
            build_id_of("[kernel.kallsyms]", kernel::kernel_build_id());
        }
        let modules = kernel::modules();
        let files = if modules.is_empty() { Vec::new() } else { kernel::module_files() };
        for module in modules {
            let file = files.iter().find(|(name, _)| *name == module.name);
            let path = file.map_or_else(|| format!("[{}]", module.name), |(_, path)| path.clone());
            data::kernel_mmap(&mut made, self.identity, module.start, module.end, 0, &path);
            build_id_of(&path, kernel::module_build_id(&module.name));
        }
        self.write(&made);
    }

    /// Adds a child that has not run its program yet: what it maps until then is not its own.
    pub fn add_waiting(&mut self, pid: u32) {
        self.processes.add(pid);
        let mut made = Vec::new();
        data::comm(&mut made, self.identity, pid, pid, &proc::comm(pid, pid).unwrap_or_default());
        self.write(&made);
    }

    /// Adds a process as it is now, as [`super::Recorder::add_existing`] does; says whether its mappings could be read.
    pub fn add_existing(&mut self, pid: u32) -> bool {
        let Ok(name) = proc::comm(pid, pid) else { return true };
        self.processes.add(pid);
        let parent = proc::status(pid).map_or(0, |status| status.parent);
        let mut made = Vec::new();
        data::fork(&mut made, self.identity, pid, pid, parent);
        data::comm(&mut made, self.identity, pid, pid, &name);
        for tid in proc::threads(pid).unwrap_or_default().into_iter().filter(|tid| *tid != pid) {
            if let Ok(name) = proc::comm(pid, tid) {
                data::fork(&mut made, self.identity, pid, tid, parent);
                data::comm(&mut made, self.identity, pid, tid, &name);
            }
        }
        let lines = proc::all_maps(pid);
        let coded = lines.iter().flatten().filter(|line| line.executable).map(|line| (line.device, line.inode));
        let coded: FxHashSet<_> = coded.collect();
        for line in lines.iter().flatten() {
            if !line.executable && !self.tells_data(&line.path) {
                continue;
            }
            let on_file = line.inode != 0;
            let path: &[u8] = if line.path.is_empty() { b"//anon" } else { &line.path };
            let wanted = Wanted {
                path,
                build_id: None,
                device: on_file.then_some(line.device),
                inode: on_file.then_some(line.inode),
                pid,
                start: line.start,
                end: line.end,
                offset: line.offset,
                time: 0,
            };
            // A file that no code runs of is not looked into, but all parts of one that it does have the same identity.
            let has_code = coded.contains(&(line.device, line.inode));
            let build_id = if has_code { self.file(&wanted) } else { None };
            let mapping = NewMapping {
                pid,
                start: line.start,
                end: line.end,
                offset: if path == b"[vdso]" { 0 } else { line.offset },
                protection: line.protection,
                shared: line.shared,
                device: line.device,
                inode: line.inode,
                build_id: build_id.filter(|_| is_file_path(path)),
                path,
            };
            data::mmap2(&mut made, self.identity, &mapping);
        }
        self.write(&made);
        lines.map_or_else(|error| error.kind() == std::io::ErrorKind::NotFound, |_| true)
    }

    /// Closes the file.
    pub fn finish(mut self) -> Tapped {
        let user = self.files.iter().enumerate().filter_map(|(row, (path, stated))| {
            let found = self.images.get(ImageId::from_index(row)).and_then(|image| image.build_id());
            let build_id = stated.or(found)?;
            Some(BuildIdOf { owner: Owner::User, build_id, path: path.clone() })
        });
        self.writer.features.build_ids = self.kernel_build_ids.iter().cloned().chain(user).collect();
        self.writer.features.sample_times = self.sample_times;
        let finished = self.writer.finish();
        let mut counters = self.counters;
        counters.samples = finished.tally.samples;
        counters.value = finished.tally.value;
        Tapped { finished, counters }
    }

    /// Notes a mapped file down, for its build id.
    fn file(&mut self, wanted: &Wanted<'_>) -> Option<BuildId> {
        let id = ImageId::from_index(self.files.len());
        let found = if wanted.path == b"[vdso]" {
            self.images.intern_vdso(wanted, |_, _, _| id)
        } else if is_file_path(wanted.path) {
            self.images.intern(wanted, |_, _, _| id)
        } else {
            return None;
        };
        if found == id {
            self.files.push((wanted.path.to_vec(), wanted.build_id));
        }
        self.images.get(found).and_then(|image| image.build_id())
    }

    /// Whether a mapping of data is told: none but of files, as unwind tables are nowhere else.
    fn tells_data(&self, path: &[u8]) -> bool {
        self.data_mappings && is_file_path(path)
    }

    fn mapped(&mut self, mmap: &Mmap<'_>) {
        self.file(&Wanted {
            path: mmap.path,
            build_id: mmap.build_id,
            device: mmap.device_inode.map(|(device, _)| device),
            inode: mmap.device_inode.map(|(_, inode)| inode),
            pid: mmap.pid,
            start: mmap.start,
            end: mmap.start.saturating_add(mmap.length),
            offset: mmap.offset,
            time: 0,
        });
    }

    /// Whether the record is to be kept: what [`super::Recorder::record`] would take in.
    fn keeps(&mut self, record: &Record<'_>) -> bool {
        match record {
            Record::Sample(sample) => {
                let identity = sample.identity;
                identity.time >= self.begin
                    && self.options.begins_with_exec_of.is_none()
                    && self.processes.sampled(identity.pid, identity.tid).is_some()
            }
            Record::Mmap(mmap) => {
                let kept = mmap.pid != OUTSIDE
                    && (mmap.executable || self.tells_data(mmap.path))
                    && self.processes.followed(mmap.pid).is_some();
                if kept && mmap.executable {
                    self.mapped(mmap);
                }
                kept
            }
            Record::Comm(comm) => {
                let name = String::from_utf8_lossy(comm.name);
                let kept = comm.pid != OUTSIDE && self.processes.rename(comm.pid, comm.tid, &name, comm.exec).is_some();
                if kept && comm.exec && self.options.begins_with_exec_of == Some(comm.pid) {
                    self.options.begins_with_exec_of = None;
                }
                kept
            }
            Record::Fork(task) => {
                self.processes.fork(task.parent_pid, task.parent_tid, task.pid, task.tid);
                self.processes.followed(task.pid).is_some()
            }
            Record::Exit(task) => {
                let kept = self.processes.followed(task.pid).is_some();
                self.processes.exit(task.pid, task.tid);
                kept
            }
            Record::Lost(count) => {
                self.counters.lost = self.counters.lost.saturating_add(*count);
                true
            }
            Record::LostSamples(count) => {
                self.counters.lost_samples = self.counters.lost_samples.saturating_add(*count);
                true
            }
            Record::Throttle => {
                self.counters.throttled += 1;
                true
            }
            Record::Malformed(_) => {
                self.counters.malformed += 1;
                false
            }
            Record::Unthrottle
            | Record::Switch(_)
            | Record::Deferred(_)
            | Record::Ksymbol(_)
            | Record::Aux { .. }
            | Record::KeyedStack(_)
            | Record::Unwound(_)
            | Record::Other(_) => true,
        }
    }

    fn write(&mut self, records: &[u8]) {
        let tally = Tally { samples: self.counters.samples, value: self.counters.value };
        self.writer.append(records, tally);
        self.wrote = true;
    }
}

impl Sink for Tap {
    fn take<'a>(&mut self, records: impl Iterator<Item = (&'a [u8], &'a Layout)>) {
        records.for_each(|(record, layout)| self.keep(record, layout));
    }

    fn end_round(&mut self) {
        if std::mem::take(&mut self.wrote) {
            self.writer.end_round();
        }
    }

    fn end(&mut self, late: u64) {
        self.counters.late = late;
    }
}

impl Tap {
    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn keep(&mut self, record: &[u8], layout: &Layout) {
        let parsed = parse(record, layout);
        if !self.keeps(&parsed) {
            return;
        }
        if let Record::Sample(sample) = parsed {
            let (time, period) = (sample.identity.time, (sample.period / self.options.streams).max(1));
            let (first, _) = self.sample_times.unwrap_or((time, time));
            self.sample_times = Some((first, time));
            self.counters.samples += 1;
            self.counters.value = self.counters.value.saturating_add(period);
            if layout.fields.has(SampleFields::PERIOD) && record.len() >= self.period_at + 8 {
                let mut own = std::mem::take(&mut self.sample);
                own.clear();
                own.extend_from_slice(record);
                own[self.period_at..self.period_at + 8].copy_from_slice(&period.to_ne_bytes());
                self.write(&own);
                self.sample = own;
                return;
            }
        }
        self.write(record);
    }
}

#[cfg(test)]
mod tests;
