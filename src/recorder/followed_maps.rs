//! The thread that looks at perf maps while their processes run.
//!
//! Lines have no times, so what is seen of their coming is all there is. Where a map is written to, it is looked at every 10 ms,
//! else every 50: a single change has its time from the file, and only of several between two looks it is a guess.
//! Measured with one map: 0.1 to 0.3 % of a CPU.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::image::{PerfMap, open_perf_map};
use crate::model::ImageId;
use crate::process::JitHost;

/// Between two looks, of up to [`AT_EASE`] maps, where something has changed within the last [`RESTLESS`].
const SHORT: Duration = Duration::from_millis(10);
/// Between two looks else.
const LONG: Duration = Duration::from_millis(50);
const RESTLESS: Duration = Duration::from_secs(1);
const AT_EASE: u32 = 16;
/// Every so many looks it is seen whether another file stands at the map's path.
const LOOKS_AT_ONE_FILE: u32 = 8;
/// So much memory they may take; the largest is given up.
const MOST_MEMORY: usize = 256 << 20;
/// So many maps are followed; those of further processes are read once, at the end.
const MOST: usize = 512;

/// The perf maps of processes that run.
#[derive(Debug, Default)]
pub(super) struct FollowedMaps {
    shared: Arc<Shared>,
    /// How many were added.
    count: usize,
    is_watched: bool,
}

/// What the thread that records and the one that looks have in common.
#[derive(Debug, Default)]
struct Shared {
    /// Held while maps are looked at, which takes its time.
    maps: Mutex<Vec<FollowedMap>>,
    /// Those that came since, held for a moment only: whoever records waits for no look.
    new: Mutex<Vec<FollowedMap>>,
}

impl Shared {
    /// All maps, with the new ones.
    fn maps(&self) -> MutexGuard<'_, Vec<FollowedMap>> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        // While `maps` is held, so that none is on its way from one list to the other when the recording ends.
        maps.append(&mut self.new.lock().unwrap_or_else(PoisonError::into_inner));
        maps
    }
}

#[derive(Debug)]
struct FollowedMap {
    /// The memory of no file of its process.
    image: ImageId,
    host: JitHost,
    file: Option<File>,
    looks: u32,
    map: PerfMap,
}

impl FollowedMap {
    /// Reads what is new; whether there was something.
    fn look(&mut self) -> bool {
        let is_gone = |file: &File| file.metadata().is_ok_and(|facts| facts.nlink() == 0);
        if self.looks.is_multiple_of(LOOKS_AT_ONE_FILE) || self.file.as_ref().is_none_or(is_gone) {
            let host = &self.host;
            let may_have_written = |written| host.may_have_written(written);
            let found = host
                .root()
                .and_then(|root| open_perf_map(root, host.namespace_pid(), host.pid(), host.uid(), may_have_written));
            self.file = found.or(self.file.take());
        }
        self.looks = self.looks.wrapping_add(1);
        let before = self.map.history().len();
        if let Some(file) = &self.file {
            // What cannot be read now may be later; what was read stays.
            let _ = self.map.look(file);
        }
        self.map.history().len() != before
    }
}

impl FollowedMaps {
    /// Follows the map of a process, whose memory of no file an image stands for.
    pub fn add(&mut self, image: ImageId, host: &JitHost) {
        if self.count == MOST {
            return;
        }
        let Some(host) = host.try_clone().filter(|host| host.root().is_some()) else { return };
        let mut followed = FollowedMap { image, host, file: None, looks: 0, map: PerfMap::default() };
        followed.look();
        self.shared.new.lock().unwrap_or_else(PoisonError::into_inner).push(followed);
        self.count += 1;
        if !std::mem::replace(&mut self.is_watched, true) {
            let shared = Arc::downgrade(&self.shared);
            // Without a thread maps are looked at when a process comes, and at the end.
            let _ = std::thread::Builder::new().name("perf maps".into()).spawn(move || watch(&shared));
        }
    }

    /// Ends the following; what was read of each map that has something.
    pub fn finish(&mut self) -> Vec<(ImageId, PerfMap)> {
        let mut maps = std::mem::take(&mut *self.shared.maps());
        // The thread finds nothing to look at, and ends.
        *self = FollowedMaps::default();
        for followed in &mut maps {
            followed.looks = 0;
            followed.look();
        }
        maps.into_iter().map(|followed| (followed.image, followed.map)).collect()
    }
}

/// Gives up the largest maps, until all take no more memory than that.
fn bound(maps: &mut [FollowedMap], most: usize) {
    while maps.iter().map(|followed| followed.map.memory()).sum::<usize>() > most {
        let Some(largest) = maps.iter_mut().max_by_key(|followed| followed.map.memory()) else { return };
        largest.map.give_up();
    }
}

/// Looks until nobody wants to know any more.
fn watch(shared: &Weak<Shared>) {
    let mut changed = Instant::now();
    loop {
        let count = {
            let Some(shared) = shared.upgrade() else { return };
            let mut maps = shared.maps();
            let mut has_changed = false;
            maps.iter_mut().for_each(|map| has_changed |= map.look());
            bound(&mut maps, MOST_MEMORY);
            if has_changed {
                changed = Instant::now();
            }
            maps.len() as u32
        };
        let interval = if changed.elapsed() < RESTLESS { SHORT } else { LONG };
        std::thread::sleep(interval * count.div_ceil(AT_EASE).max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_is_added_while_others_are_looked_at() {
        let mut followed = FollowedMaps::default();
        let host = JitHost::open(std::process::id()).unwrap();
        let shared = Arc::clone(&followed.shared);
        let looking = shared.maps();
        // Would wait for ever for a list that is held here.
        followed.add(ImageId(2), &host);
        followed.add(ImageId(3), &host);
        drop(looking);
        let images: Vec<ImageId> = followed.finish().into_iter().map(|(image, _)| image).collect();
        assert_eq!(images, [ImageId(2), ImageId(3)]);
    }

    #[test]
    fn largest_maps_are_given_up() {
        let mut maps: Vec<FollowedMap> = [10, 1000, 100]
            .map(|lines| {
                let mut map = PerfMap::default();
                (0..lines).for_each(|line| map.take(format!("{line}000 10 name\n").as_bytes(), 0));
                FollowedMap { image: ImageId(2), host: JitHost::recorded(1), file: None, looks: 0, map }
            })
            .into();
        bound(&mut maps, 64 << 10);
        let given_up: Vec<bool> = maps.iter().map(|followed| followed.map.is_too_large()).collect();
        assert_eq!(given_up, [false, true, false]);
        bound(&mut maps, 0);
        assert!(maps.iter().all(|followed| followed.map.memory() == 0 && followed.map.is_too_large()));
    }
}
