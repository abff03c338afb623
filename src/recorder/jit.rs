//! Generated code: what JITs write about it is read while they run, and decides at the end what was where when.
//!
//! ```text
//! process maps memory of no file --> its JitHost, kept; its perf map is looked at again and again
//! process maps jit-PID.dump      --> the dump is followed: the unwinder uses what it has so far
//! end of the recording           --> each frame in such memory is what was there at the time of its sample
//! ```
//! Samples keep addresses until the end, as a JIT may write late: V8 holds two megabytes back.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::{Origin, Recorder};
use crate::image::{Generation, JitCode, JitDump};
use crate::model::{FrameId, FrameKey, ImageId, ImageKind};
use crate::process::{JitHost, Mapping, Runtime};

/// Dumps are read on no more often.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Where the code of a frame may be found: in which image, at which offset, from when on and up to when.
#[derive(Clone, Copy, Debug)]
struct Place {
    image: ImageId,
    offset: u64,
    begin: u64,
    until: u64,
    is_exact: bool,
}

impl Recorder {
    /// Reads what JITs have written into their dumps since the last time; to be called now and then while processes run.
    pub fn watch_jit_code(&mut self) {
        if self.dumps_read.is_none_or(|read| read.elapsed() >= BETWEEN_LOOKS) {
            self.images.grow_jit_dumps();
            self.dumps_read = Some(Instant::now());
        }
    }

    /// The image of a process's memory that no file has.
    pub(super) fn jit_image(&mut self, pid: u32) -> Option<ImageId> {
        let process = self.processes.followed(pid)?;
        if let Some(image) = process.jit {
            return Some(image);
        }
        let image = self.builder.add_image(ImageKind::Jit(pid), "[anonymous]", None);
        process.jit = Some(image);
        if let Some(dump) = process.dump {
            self.images.set_dump_of(image, dump);
        }
        // Opened now: at the end of the recording the process may be gone.
        let host = match self.options.origin {
            Origin::Live => JitHost::open(pid).unwrap_or_else(|_| JitHost::gone(pid, self.began_unix)),
            Origin::Recording { .. } => JitHost::recorded(pid),
        };
        self.followed_maps.add(image, &host);
        let runtime = self.processes.followed(pid).and_then(|process| process.runtime);
        self.jit_hosts.push(host.of_image(image).of_runtime(runtime));
        Some(image)
    }

    /// A process has mapped a file, which may tell which runtime it is.
    pub(super) fn note_runtime(&mut self, pid: u32, path: &[u8]) {
        let Some(runtime) = Runtime::of_path(path) else { return };
        let Some(process) = self.processes.followed(pid) else { return };
        // A program may have several; the first is what it was started as, but for a version that a library tells.
        if process.runtime.is_some_and(|known| std::mem::discriminant(&known) != std::mem::discriminant(&runtime)) {
            return;
        }
        process.runtime = Some(runtime);
        let (jit, runtime) = (process.jit, process.runtime);
        if let Some(host) = self.jit_hosts.iter_mut().rfind(|host| jit.is_some() && host.image() == jit) {
            *host = std::mem::replace(host, JitHost::recorded(pid)).of_runtime(runtime);
        }
    }

    /// A process that runs has mapped its JIT's dump.
    pub(super) fn follow_dump(&mut self, pid: u32, dump: ImageId) {
        let Some(process) = self.processes.followed(pid) else { return };
        process.dump = Some(dump);
        if let Some(jit) = process.jit {
            self.images.set_dump_of(jit, dump);
        }
    }

    /// Ends the watching; each frame of generated code is now of what was there when its sample was taken. Returns what there is to
    /// say of code for which that is not known.
    pub(super) fn settle_jit_code(&mut self) -> Option<String> {
        if !matches!(self.options.origin, Origin::Live) {
            return None;
        }
        self.images.settle_jit_dumps();
        let mut generations = FxHashMap::default();
        let mut too_large = Vec::new();
        for (image, mut map) in self.followed_maps.finish() {
            if map.is_too_large()
                && let ImageKind::Jit(pid) = self.builder.profile().images[image.index()].kind
            {
                too_large.push(pid);
            }
            if map.history().is_empty() {
                continue;
            }
            map.settle();
            let row = self.images.add_perf_map(map);
            self.images.set_perf_map_of(image, row, Generation::Of(0));
            generations.insert(image, row);
        }
        let mut places = FxHashMap::default();
        for row in 0..self.builder.profile().frames.len() {
            let FrameKey::Code { image, offset } = self.builder.profile().frames[row].key else { continue };
            let found = self.places_of(image, offset, &generations);
            let is_plain = match &found[..] {
                [] => true,
                [one] => one.image == image && one.until == u64::MAX,
                _ => false,
            };
            if !is_plain {
                places.insert(FrameId::from_index(row), found);
            }
        }
        if !places.is_empty() {
            self.place_by_time(&places);
        }
        note_of_large(&too_large)
    }

    /// What was at an address of a process's memory in the course of time.
    fn places_of(&mut self, image: ImageId, address: u64, maps: &FxHashMap<ImageId, usize>) -> Vec<Place> {
        let mut places = Vec::new();
        if let Some((dump, code)) = self.images.dump_of(image)
            && let Some(history) = code.history()
        {
            places.extend(history.pieces_at(address).map(|piece| Place {
                image: dump,
                offset: piece.value.wrapping_add(address - piece.start),
                begin: piece.begin,
                until: piece.until,
                is_exact: true,
            }));
        }
        let Some(&row) = maps.get(&image) else { return places };
        let Some((map, _)) = self.images.perf_map_of(image) else { return places };
        let pieces: Vec<_> = map.history().pieces_at(address).copied().collect();
        let ends = pieces.iter().any(|piece| piece.until != u64::MAX);
        for piece in &pieces {
            let image = self.image_of_generation(image, row, Generation::Of(piece.generation));
            let (begin, until) = (piece.begin, piece.until);
            places.push(Place { image, offset: address, begin, until, is_exact: false });
        }
        if ends {
            // Last, so that it is taken only where nothing else is.
            let image = self.image_of_generation(image, row, Generation::None);
            places.push(Place { image, offset: address, begin: u64::MAX, until: u64::MAX, is_exact: false });
        }
        places
    }

    /// The image that stands for the memory of a process as far as a generation of its perf map names it.
    fn image_of_generation(&mut self, jit: ImageId, map: usize, generation: Generation) -> ImageId {
        if generation == Generation::Of(0) {
            return jit;
        }
        if let Some(image) = self.images.image_of_generation(map, generation) {
            return image;
        }
        let kind = self.builder.profile().images[jit.index()].kind;
        let image = self.builder.add_image(kind, "[anonymous]", None);
        self.images.set_perf_map_of(image, map, generation);
        image
    }

    fn place_by_time(&mut self, places: &FxHashMap<FrameId, Vec<Place>>) {
        let profile = self.builder.profile();
        let mut is_concerned = vec![false; profile.stacks.len()];
        for (row, stack) in profile.stacks.iter().enumerate().skip(1) {
            is_concerned[row] = is_concerned[stack.parent.index()] || places.contains_key(&stack.frame);
        }
        let mut frames = Vec::new();
        for row in 0..self.builder.profile().samples.len() {
            let sample = self.builder.profile().samples.get(row);
            if !is_concerned[sample.stack.index()] {
                continue;
            }
            frames.clear();
            frames.extend(self.builder.profile().frames_of(sample.stack));
            let mut stack = crate::model::StackId(0);
            for frame in frames.iter().rev() {
                let place = places.get(frame).and_then(|places| choose(places, sample.time.0));
                let frame = match place {
                    Some(place) => self.builder.frame_in(*frame, place.image, place.offset),
                    None => *frame,
                };
                stack = self.builder.stack(stack, frame);
            }
            self.builder.replace_stack(row, stack, sample.end);
        }
    }
}

/// What it means that the perf maps of these processes are too large to be followed.
fn note_of_large(pids: &[u32]) -> Option<String> {
    /// So many are named.
    const MOST_NAMED: usize = 5;
    let named: Vec<String> = pids.iter().take(MOST_NAMED).map(u32::to_string).collect();
    let more = match pids.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (maps, are) = match pids.len() {
        0 => return None,
        1 => ("map of process", "is"),
        _ => ("maps of processes", "are"),
    };
    let named = named.join(", ");
    Some(format!(
        "the perf {maps} {named}{more} {are} too large to be followed: generated code has the name that was written last for its \
         address, also in samples of what was there before"
    ))
}

/// What was there at a time: the last that had come by then; else, of what nobody knows the time of exactly, the next that came.
fn choose(places: &[Place], time: u64) -> Option<&Place> {
    let by = |exact| {
        let there = places.iter().filter(move |place| place.is_exact == exact);
        there.filter(|place| place.begin <= time && time < place.until).max_by_key(|place| place.begin)
    };
    let next = || places.iter().filter(|place| !place.is_exact && place.begin > time).min_by_key(|place| place.begin);
    by(true).or_else(|| by(false)).or_else(next)
}

/// Which code a JIT's dump puts where, and when; all at once if its clock is another one.
pub(super) fn code_of(dump: &JitDump, image: ImageId, by_time: bool) -> Vec<(u64, Mapping)> {
    let mapping = |code: &JitCode, start: u64| Mapping {
        start,
        end: start.saturating_add(code.size),
        offset: code.offset,
        image,
    };
    let by_index: FxHashMap<u64, &JitCode> = dump.loads().map(|code| (code.index, code)).collect();
    let loads = dump.loads().map(|code| (code.time, mapping(code, code.address)));
    let moves = dump.moves().iter();
    let moves = moves.filter_map(|moved| Some((moved.time, mapping(by_index.get(&moved.index)?, moved.address))));
    let mut code: Vec<_> = loads.chain(moves).collect();
    code.sort_by_key(|(time, _)| *time);
    if !by_time {
        code.iter_mut().for_each(|(time, _)| *time = 0);
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_maps_are_told_in_one_sentence() {
        let begins = |pids: &[u32], expected: &str| {
            assert!(note_of_large(pids).is_some_and(|note| note.starts_with(expected)), "{expected}");
        };
        assert_eq!(note_of_large(&[]), None);
        begins(&[7], "the perf map of process 7 is too large to be followed: ");
        begins(&[7, 8], "the perf maps of processes 7, 8 are too large");
        begins(&[1, 2, 3, 4, 5, 6, 7], "the perf maps of processes 1, 2, 3, 4, 5 and 2 more are too large");
    }
}
