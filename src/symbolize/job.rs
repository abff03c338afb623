//! Who is asked about which addresses, and the threads that ask.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::answers::Answers;
use super::elf_file::{self, Files};
use super::stored::{self, StoredTable};
use super::{Asked, KernelNames, Names, SymbolizeOptions, jit_dump, kernel, perf_map};
use crate::image::{DebugFiles, ElfImage, FileSources, Generation, JitDump, PerfMap};
use crate::model::{FrameId, ImageId, ImageKind, Profile, Unnamed};
use crate::process::JitHost;

/// A list of addresses, sorted, and the one who can name them.
#[derive(Debug)]
pub(super) struct Job<'a> {
    who: Who<'a>,
    /// What the recording itself says.
    stored: &'a [StoredTable],
    frames: &'a [(u64, FrameId)],
}

#[derive(Clone, Debug)]
enum Who<'a> {
    Elf {
        image: Arc<ElfImage>,
        debug: Box<DebugFiles>,
    },
    Kernel(&'a KernelNames),
    Jit(&'a JitHost),
    /// A perf map that was read while its process ran.
    Map(&'a PerfMap, Generation),
    /// A process of a recording.
    RecordedJit(&'a FileSources, u32),
    Dump(&'a JitDump),
    /// Nobody, for a reason that is known already.
    Nobody(Unnamed),
}

impl<'a> Who<'a> {
    fn knows(profile: &Profile, names: &Names<'a>, id: ImageId) -> Who<'a> {
        let images = names.images;
        match profile.images[id.index()].kind {
            ImageKind::File | ImageKind::Vdso => {
                let mut debug = Box::new(images.debug_files(id));
                match images.get(id).cloned().or_else(|| debug.separate.take()) {
                    Some(image) => Who::Elf { image, debug },
                    None => Who::Nobody(images.missing(id).unwrap_or(Unnamed::NoFile)),
                }
            }
            ImageKind::Kernel => Who::Kernel(names.kernel),
            ImageKind::Jit(pid) if images.perf_map_of(id).is_none() => {
                match (host_of(names, id, pid), images.sources()) {
                    (Some(host), None) => Who::Jit(host),
                    (_, Some(sources)) => Who::RecordedJit(sources, pid),
                    (None, None) => Who::Nobody(Unnamed::Anonymous),
                }
            }
            ImageKind::Jit(_) => images
                .perf_map_of(id)
                .map_or(Who::Nobody(Unnamed::Anonymous), |(map, generation)| Who::Map(map, generation)),
            ImageKind::JitDump => images.jit_dump(id).map_or(Who::Nobody(Unnamed::NoFile), |dump| Who::Dump(dump)),
            ImageKind::Unmapped => Who::Nobody(Unnamed::NotMapped),
        }
    }

    fn files(&self) -> Option<Files<'_>> {
        match self {
            Who::Elf { image, debug } => Some(Files { image, debug }),
            _ => None,
        }
    }

    fn is_slow(&self, options: &SymbolizeOptions) -> bool {
        self.files().is_some_and(|files| files.are_slow(options))
    }
}

/// The process of an image: the one that the image was made for, or the last of its id.
fn host_of<'a>(names: &Names<'a>, id: ImageId, pid: u32) -> Option<&'a JitHost> {
    let hosts = names.jit_hosts;
    let by_image = hosts.iter().rfind(|host| host.image() == Some(id));
    by_image.or_else(|| hosts.iter().rfind(|host| host.image().is_none() && host.pid() == pid))
}

impl<'a> Job<'a> {
    /// One job for each image. What one image takes is dealt out to threads unit by unit, see `debug_lookup`.
    pub fn of_each_image(profile: &Profile, names: &Names<'a>, asked: &'a Asked) -> Vec<Job<'a>> {
        let job = |(id, frames): &'a (ImageId, Vec<(u64, FrameId)>)| Job {
            who: Who::knows(profile, names, *id),
            stored: names.stored.of(*id),
            frames,
        };
        asked.iter().map(job).collect()
    }

    /// The offsets asked for, sorted, with the frames that ask.
    pub fn frames(&self) -> &'a [(u64, FrameId)] {
        self.frames
    }

    /// Whether there is debug information of the image.
    pub fn has_debug_info(&self) -> bool {
        let everything = SymbolizeOptions::default();
        self.who.is_slow(&everything)
    }

    fn run(&self, options: &SymbolizeOptions, threads: usize) -> Answers {
        let offsets: Vec<u64> = self.frames.iter().map(|(offset, _)| *offset).collect();
        // Of code that changes while the machine runs the recording knows best.
        let recording_first = match &self.who {
            Who::Kernel(names) => !matches!(names, KernelNames::Vmlinux { .. }),
            Who::Jit(_) | Who::Map(..) | Who::RecordedJit(..) => true,
            Who::Elf { .. } | Who::Dump(_) | Who::Nobody(_) => false,
        };
        let mut answers = if recording_first && !self.stored.is_empty() {
            let is_left = |row: &usize| stored::find(self.stored, offsets[*row]).is_none();
            let left: Vec<usize> = (0..offsets.len()).filter(is_left).collect();
            let asked: Vec<u64> = left.iter().map(|row| offsets[*row]).collect();
            self.ask(&asked, options, threads).spread(&left, offsets.len())
        } else {
            self.ask(&offsets, options, threads)
        };
        stored::fill_in(self.stored, &offsets, &mut answers);
        answers
    }

    fn ask(&self, offsets: &[u64], options: &SymbolizeOptions, threads: usize) -> Answers {
        match &self.who {
            _ if offsets.is_empty() => Answers::unnamed(0, Unnamed::NoMatch),
            Who::Elf { image, debug } => elf_file::name(&Files { image, debug }, offsets, options, threads),
            Who::Kernel(names) => kernel::name(names, offsets, options),
            Who::Jit(host) => perf_map::name(host, offsets, options),
            Who::Map(map, generation) => perf_map::name_read(map, *generation, offsets, options),
            Who::RecordedJit(sources, pid) => perf_map::name_recorded(sources, *pid, offsets, options),
            Who::Dump(dump) => jit_dump::name(dump, offsets, options),
            Who::Nobody(reason) => Answers::unnamed(offsets.len(), *reason),
        }
    }

    /// A guess of what it costs, to begin with the longest.
    fn weight(&self, options: &SymbolizeOptions) -> usize {
        match &self.who {
            Who::Elf { .. } if self.who.is_slow(options) => 1_000_000 + 100 * self.frames.len(),
            Who::Elf { image, .. } => image.data().len() / 100 + self.frames.len(),
            // Reading the list takes the kernel tens of milliseconds.
            Who::Kernel(_) => 2_000_000,
            Who::Jit(_) | Who::RecordedJit(..) => 100_000,
            Who::Dump(_) | Who::Map(..) => self.frames.len(),
            Who::Nobody(_) => 0,
        }
    }
}

/// Bytes of stack for a thread: debug information and C++ names nest, and their readers call themselves for each level.
/// It takes memory only where it is used.
pub(super) const STACK: usize = 256 << 20;

/// Runs all jobs on `threads` threads; the answers stand in the order of the jobs.
pub(super) fn run(jobs: &[Job<'_>], options: &SymbolizeOptions, threads: usize) -> Vec<Answers> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_cached_key(|index| std::cmp::Reverse(jobs[*index].weight(options)));
    let results: Vec<OnceLock<Answers>> = jobs.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            // A job that a library did not survive leaves its frames without a name; the others go on.
            if let Ok(answers) = catch_unwind(AssertUnwindSafe(|| jobs[index].run(options, threads))) {
                let _ = results[index].set(answers);
            }
        }
    };
    std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        if (0..threads.min(jobs.len())).map(spawn).filter(Result::is_ok).count() == 0 {
            work();
        }
    });
    let no_answer = |job: &Job<'_>| Answers::unnamed(job.frames.len(), Unnamed::NoMatch);
    results.into_iter().zip(jobs).map(|(result, job)| result.into_inner().unwrap_or_else(|| no_answer(job))).collect()
}
