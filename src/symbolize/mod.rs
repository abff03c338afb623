//! Code addresses to functions, inlined frames, files and lines.
//!
//! What costs is repeated work, not any single look-up: so each address is resolved once, in order, each image by one
//! thread that forgets it afterwards, and each raw name is demangled once.
//!
//! ```text
//! frames --> by image, sorted --> elf_file  (debug information, else symbols) --> Answers --> demangled --> profile
//!                            |--> kernel    (kallsyms, vmlinux)             |
//!                            |--> perf_map, jit_dump (JIT)                  |
//!                             \-> stored    (what the recording carries)    /
//! ```
//!
//! An address without a name is no error: it keeps its image and offset, and gets the reason. If a file says where its
//! function begins (`image::function_starts`), that stands for the name, so that a function without a symbol is one frame.

mod answers;
mod debug_info;
mod debug_lookup;
mod demangle;
mod elf_file;
mod elf_symbols;
mod help;
mod interpreters;
mod jit_dump;
mod jit_names;
mod job;
mod kallsyms;
mod kernel;
mod lines;
mod perf_map;
mod plt;
mod stored;
mod unlisted;

use rustc_hash::FxHashMap;

use crate::image::Images;
use crate::model::{
    FrameId, FrameKey, Function, FunctionId, Image, ImageId, Line, Place, Profile, Resolution, StringId, Unnamed,
};
use crate::process::JitHost;
use answers::{Answers, Name, Nameless};
pub use debug_info::{OpenSplit, SourceFrame, source_frames};
pub use interpreters::interpreter_notes;
use job::Job;
pub use kernel::KernelNames;
pub use stored::{StoredSymbols, StoredTable};

/// Where names come from.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The images that the recording opened.
    pub images: &'a Images,
    /// Processes that run here and whose code no file holds.
    pub jit_hosts: &'a [JitHost],
    /// Who names the kernel.
    pub kernel: &'a KernelNames,
    /// The symbols that the recording carries itself; they name what no file does.
    pub stored: &'a StoredSymbols,
}

/// What is asked for; less is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymbolizeOptions {
    /// Whether to find the functions that were inlined at an address.
    pub inlines: bool,
    /// Whether to find files and lines.
    pub lines: bool,
    /// Whether to demangle names.
    pub demangle: bool,
    /// Whether demangled names keep what tells overloads and instances apart: parameters, return types, hashes.
    pub full_names: bool,
}

impl Default for SymbolizeOptions {
    fn default() -> Self {
        SymbolizeOptions { inlines: true, lines: true, demangle: true, full_names: false }
    }
}

/// Names every frame of the profile that has none yet, and says what helps where that failed
/// ([`crate::model::CaptureStats::unnamed_images`]).
pub fn symbolize(profile: &mut Profile, names: &Names<'_>, options: &SymbolizeOptions) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let asked = unresolved(profile);
    let jobs = Job::of_each_image(profile, names, &asked);
    let results = job::run(&jobs, options, threads);
    let shown = shown_names(&results, options, threads);
    let functions = profile.functions.iter().enumerate().map(|(row, of)| (*of, FunctionId::from_index(row))).collect();
    let of_runtimes =
        results.iter().flat_map(Answers::names).filter_map(|name| Some((&*name.raw, name.shown.as_deref()?)));
    let told_apart = jit_names::told_apart(of_runtimes);
    let mut writer = Writer { profile, names: shown, told_apart, functions };
    for (job, answers) in jobs.iter().zip(&results) {
        if let Some(FrameKey::Code { image, .. }) =
            job.frames().first().map(|(_, frame)| writer.profile.frames[frame.index()].key)
        {
            writer.profile.images[image.index()].debug_info |= job.has_debug_info();
            writer.count(image, answers);
        }
        writer.write(job.frames(), answers);
    }
    // What has no name is counted, and what helps is said for what weighs most.
    profile.summarize();
    help::advise(profile, names);
}

/// Names the frames of some images anew, as more is known of these than when they were named: debug information has come.
pub fn symbolize_again(
    profile: &mut Profile,
    which: impl Fn(&Image) -> bool,
    names: &Names<'_>,
    options: &SymbolizeOptions,
) {
    let again: Vec<bool> = profile.images.iter().map(which).collect();
    for frame in &mut profile.frames {
        if let FrameKey::Code { image, .. } = frame.key
            && again[image.index()]
        {
            frame.resolution = Resolution::Unknown { reason: Unnamed::NotAsked, place: Place::Offset };
        }
    }
    symbolize(profile, names, options);
}

/// Addresses asked for in one image, and the frames that ask.
type Asked = Vec<(ImageId, Vec<(u64, FrameId)>)>;

/// The frames without a name, by image, sorted by offset. Equal keys are one frame, so each offset stands here once.
fn unresolved(profile: &Profile) -> Asked {
    let mut by_image: Vec<Vec<(u64, FrameId)>> = vec![Vec::new(); profile.images.len()];
    for (row, frame) in profile.frames.iter().enumerate() {
        if let (FrameKey::Code { image, offset }, Resolution::Unknown { .. }) = (frame.key, frame.resolution) {
            by_image[image.index()].push((offset, FrameId::from_index(row)));
        }
    }
    let mut asked = Asked::new();
    for (row, mut frames) in by_image.into_iter().enumerate().filter(|(_, frames)| !frames.is_empty()) {
        frames.sort_unstable();
        asked.push((ImageId::from_index(row), frames));
    }
    asked
}

/// How each name of the answers is shown; names that are shown as they are do not occur.
fn shown_names<'a>(
    results: &'a [Answers],
    options: &SymbolizeOptions,
    threads: usize,
) -> FxHashMap<&'a [u8], Box<str>> {
    if !options.demangle {
        return FxHashMap::default();
    }
    let mut names: Vec<&[u8]> = results
        .iter()
        .flat_map(Answers::names)
        .filter(|name| name.shown.is_none() && demangle::is_shown_otherwise(&name.raw))
        .map(|name| &*name.raw)
        .collect();
    names.sort_unstable();
    names.dedup();
    // Dealt out like cards, as neighbours cost alike: long names have long prefixes in common.
    let hand = |first: usize, threads: usize| {
        let names = &names;
        move || {
            let mine = names.iter().skip(first).step_by(threads);
            mine.filter_map(|raw| Some((*raw, demangle::demangle(raw, options.full_names)?))).collect::<Vec<_>>()
        }
    };
    let threads = if names.len() < 64 { 1 } else { threads };
    std::thread::scope(|scope| {
        let spawn =
            |first| std::thread::Builder::new().stack_size(job::STACK).spawn_scoped(scope, hand(first, threads));
        let workers: Vec<_> = (0..threads).filter_map(|first| spawn(first).ok()).collect();
        // A name that our demanglers do not survive stays as it is.
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    })
}

/// Writes answers into the profile's tables, each function once.
struct Writer<'a> {
    profile: &'a mut Profile,
    names: FxHashMap<&'a [u8], Box<str>>,
    /// Names that runtimes have given, of which more must be shown.
    told_apart: FxHashMap<&'a [u8], String>,
    functions: FxHashMap<Function, FunctionId>,
}

impl Writer<'_> {
    /// Says how many addresses of an image have no functions, as those of their units are in a file that was not found, and how
    /// much of its debug information is damaged.
    fn count(&mut self, image: ImageId, answers: &Answers) {
        let path = self.profile.strings.get(self.profile.images[image.index()].path);
        let split = format!("addresses of {path} whose split debug information is not here (.dwo, .dwp)");
        let damaged = format!("units of the debug information of {path} that are damaged");
        let skipped = &mut self.profile.stats.skipped;
        for (what, count) in [(split, answers.without_split), (damaged, answers.damaged)] {
            match count {
                0 => skipped.remove(&what),
                count => skipped.insert(what, count as u64),
            };
        }
    }

    fn write(&mut self, frames: &[(u64, FrameId)], answers: &Answers) {
        let functions: Vec<FunctionId> = answers.names().map(|name| self.function(name)).collect();
        let files: Vec<StringId> = answers.files().map(|file| self.profile.strings.intern(file)).collect();
        for ((_, frame), answer) in frames.iter().zip(answers.answers()) {
            let resolution = match answer {
                Err(Nameless { reason, place }) => Resolution::Unknown { reason, place },
                Ok(lines) => {
                    let first = self.profile.lines.len();
                    self.profile.lines.extend(lines.iter().map(|line| Line {
                        function: functions[line.name as usize],
                        file: files[line.file as usize],
                        line: line.line,
                    }));
                    match (u32::try_from(first), u32::try_from(lines.len())) {
                        (Ok(first), Ok(count)) => Resolution::Lines { first, count },
                        _ => Resolution::Unknown { reason: Unnamed::NoMatch, place: Place::Offset },
                    }
                }
            };
            self.profile.frames[frame.index()].resolution = resolution;
        }
    }

    fn function(&mut self, name: &Name) -> FunctionId {
        let raw = String::from_utf8_lossy(&name.raw);
        let apart = self.told_apart.get(&*name.raw).map(String::as_str).filter(|_| name.shown.is_some());
        let shown = apart.or(name.shown.as_deref()).or_else(|| self.names.get(&*name.raw).map(|shown| &**shown));
        let strings = &mut self.profile.strings;
        let function = Function { name: strings.intern(shown.unwrap_or(&raw)), raw_name: strings.intern(&raw) };
        *self.functions.entry(function).or_insert_with(|| {
            self.profile.functions.push(function);
            FunctionId::from_index(self.profile.functions.len() - 1)
        })
    }
}
