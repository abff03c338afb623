//! The thread that makes tables of files, and what a table is worth.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::inbox::{Compiled, Inbox};
use crate::image::ElfImage;
use crate::sampler::bpf::abi::RULES;
use crate::sampler::bpf::{Limits, RulePool, Table};

/// A file for which a table is wanted.
pub(super) struct Job {
    /// Its number.
    pub number: u32,
    pub file: Arc<ElfImage>,
}

/// Compiles what is asked for, the smallest file first: a large one delays no small one by more than its own time.
///
/// Each file is asked for once, so there are no more jobs than files.
pub(super) fn compile_all(jobs: &Receiver<Job>, results: &Inbox) {
    let mut pool = RulePool::new(RULES);
    let mut told = 0;
    let mut waiting: BTreeMap<(usize, u32), Job> = BTreeMap::new();
    loop {
        if waiting.is_empty() {
            let Ok(job) = jobs.recv() else { return };
            waiting.insert((job.file.data().len(), job.number), job);
        }
        waiting.extend(jobs.try_iter().map(|job| ((job.file.data().len(), job.number), job)));
        let Some((_, Job { number, file })) = waiting.pop_first() else { continue };
        let table = Table::compile(&file, &mut pool, Limits::default());
        // Who walks copies of stacks needs little of what was read.
        file.forget(0..usize::MAX);
        let rules = pool.rules()[told..].to_vec();
        let first = std::mem::replace(&mut told, pool.rules().len()) as u32;
        if !results.compiled(Compiled { number, table, first, rules }) {
            return;
        }
    }
}

/// How many walks may have ended for want of a file's table before it is made, where stacks are copied until then.
///
/// To make one takes about 50 ns for each byte of call frame information; to copy and walk a stack 30 us. A table serves all that
/// comes later, and a copy takes time of who is recorded: so it is made at a seventh of what it costs.
pub(super) fn price(file: &ElfImage) -> u32 {
    const BYTES_A_WALK: u64 = 4096;
    const SECTIONS: [&str; 3] = [".eh_frame", ".debug_frame", ".gopclntab"];
    let bytes: u64 = SECTIONS.iter().filter_map(|name| file.section(name)).map(|section| section.size).sum();
    u32::try_from(bytes / BYTES_A_WALK).unwrap_or(u32::MAX)
}
