//! Who is asked about which addresses, and the threads that ask.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::answers::Answers;
use super::{Asked, SymbolizeOptions, elf_file, kernel, perf_map};
use crate::image::{ElfImage, Images};
use crate::model::{FrameId, ImageKind, Profile, Unnamed};
use crate::process::JitHost;

/// A list of addresses, sorted, and the one who can name them.
#[derive(Debug)]
pub(super) struct Job<'a> {
    who: Who<'a>,
    frames: &'a [(u64, FrameId)],
}

#[derive(Clone, Copy, Debug)]
enum Who<'a> {
    Elf(&'a ElfImage),
    Kernel,
    Jit(Option<&'a JitHost>),
    /// Nobody, for a reason that is known already.
    Nobody(Unnamed),
}

/// Fewest addresses that are worth reading a file's debug information once more, in a thread of their own.
const FEWEST_IN_PART: usize = 1000;

impl<'a> Job<'a> {
    /// One job for each image, the largest ones in as many parts as there are threads.
    pub fn divide(
        profile: &Profile,
        images: &'a Images,
        jit_hosts: &'a [JitHost],
        asked: &'a Asked,
        options: &SymbolizeOptions,
        threads: usize,
    ) -> Vec<Job<'a>> {
        let mut jobs = Vec::with_capacity(asked.len());
        for (id, frames) in asked {
            let who = match profile.images[id.index()].kind {
                ImageKind::File | ImageKind::Vdso => match images.get(*id) {
                    Some(image) => Who::Elf(image),
                    None => Who::Nobody(images.missing(*id).unwrap_or(Unnamed::NoFile)),
                },
                ImageKind::Kernel => Who::Kernel,
                ImageKind::Jit(pid) => Who::Jit(jit_hosts.iter().rfind(|host| host.pid() == pid)),
                ImageKind::Unmapped => Who::Nobody(Unnamed::NotMapped),
            };
            let parts = match who {
                Who::Elf(image) if elf_file::is_slow(image, options) => {
                    (frames.len() / FEWEST_IN_PART).clamp(1, threads)
                }
                _ => 1,
            };
            let part = frames.len().div_ceil(parts);
            jobs.extend(frames.chunks(part).map(|frames| Job { who, frames }));
        }
        jobs
    }

    /// The offsets asked for, sorted, with the frames that ask.
    pub fn frames(&self) -> &'a [(u64, FrameId)] {
        self.frames
    }

    fn run(&self, options: &SymbolizeOptions) -> Answers {
        let offsets: Vec<u64> = self.frames.iter().map(|(offset, _)| *offset).collect();
        match self.who {
            Who::Elf(image) => elf_file::name(image, &offsets, options),
            Who::Kernel => kernel::name(&offsets),
            Who::Jit(Some(host)) => perf_map::name(host, &offsets),
            Who::Jit(None) => Answers::unnamed(offsets.len(), Unnamed::Anonymous),
            Who::Nobody(reason) => Answers::unnamed(offsets.len(), reason),
        }
    }

    /// A guess of what it costs, to begin with the longest.
    fn weight(&self, options: &SymbolizeOptions) -> usize {
        match self.who {
            Who::Elf(image) if elf_file::is_slow(image, options) => 1_000_000 + 100 * self.frames.len(),
            Who::Elf(image) => image.data().len() / 100 + self.frames.len(),
            // Reading the list takes the kernel tens of milliseconds.
            Who::Kernel => 2_000_000,
            Who::Jit(Some(_)) => 100_000,
            Who::Jit(None) | Who::Nobody(_) => 0,
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
            if let Ok(answers) = catch_unwind(AssertUnwindSafe(|| jobs[index].run(options))) {
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
