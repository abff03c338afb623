//! Code that takes the place of other code, and the processes in which that happens: those are left to copies of stacks for a while.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::{Keeper, SHORTEST_REST};
use crate::process::proc::MapsLine;
use crate::recorder::{Change, Code, Listed, name_of};

fn code_of(line: &MapsLine) -> Code {
    Code::of(&line.path, line.device, line.inode, (line.start, line.offset))
}

/// A mapping as it is listed in an epoch.
pub(super) fn listed(line: &MapsLine, image: u32, (read, seen): (u64, u64)) -> Listed {
    Listed { range: line.start..line.end, code: code_of(line), image, name: name_of(&line.path), read, seen }
}

impl Keeper {
    /// A process has mapped code: if other code is listed there, its list is not to be used any more.
    pub(super) fn mapped_over(&mut self, tgid: u32, change: &Change) {
        let Some(known) = self.processes.get(&tgid) else {
            // One that was forked has its parent's list.
            if self.epoch_there(tgid).is_some() {
                self.look(tgid);
            }
            return;
        };
        if change.time <= known.read {
            return;
        }
        if self.epoch_there(tgid) != Some(known.epoch) {
            // It runs another program, of which nothing is said yet.
            return self.forget_known(tgid);
        }
        let is_there = |line: &MapsLine| change.start < line.end && line.start < change.end;
        let mut there = known.lines.iter().filter(|(line, _)| is_there(line)).peekable();
        if there.peek().is_none() {
            return self.look(tgid);
        }
        if there.all(|(line, _)| self.epochs.is_same(&change.code, &code_of(line))) {
            return;
        }
        let may_look = known.looked.elapsed() >= SHORTEST_REST;
        self.was_replaced(tgid);
        self.forget(tgid);
        // Else it is read when it is asked for.
        if may_look {
            self.look(tgid);
        }
    }

    /// Other code is in a process where some was listed.
    pub(super) fn was_replaced(&mut self, tgid: u32) {
        self.kept.replaced += 1;
        if let Some(restless) = &mut self.restless {
            restless.add(tgid, Instant::now());
            self.forget(tgid);
        }
    }
}

/// Processes in which code takes the place of other code: no list of them is right for long.
#[derive(Debug, Default)]
pub(super) struct Restless {
    /// Until when each is left alone, and how often that was so.
    until: FxHashMap<u32, (Instant, u32)>,
}

impl Restless {
    /// For so long a process is left alone, then for twice as long, and so on.
    const SHORTEST: Duration = Duration::from_secs(2);
    /// The number of a process may become another's.
    const MOST: usize = 4096;

    /// Whether it is left alone now.
    pub fn has(&self, tgid: u32, now: Instant) -> bool {
        self.until.get(&tgid).is_some_and(|(until, _)| now < *until)
    }

    /// Other code has taken the place of some in it.
    pub fn add(&mut self, tgid: u32, now: Instant) {
        if self.until.len() >= Restless::MOST {
            self.until.retain(|_, (until, _)| now < *until);
        }
        let times = self.until.get(&tgid).map_or(0, |(_, times)| *times);
        self.until.insert(tgid, (now + Restless::SHORTEST * (1 << times.min(10)), times + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_twice_as_long() {
        let (mut restless, now) = (Restless::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        restless.add(7, now);
        assert!(restless.has(7, after(1)) && !restless.has(7, after(2)) && !restless.has(8, now));
        restless.add(7, after(2));
        assert!(restless.has(7, after(5)) && !restless.has(7, after(6)));
        for _ in 0..40 {
            restless.add(7, now);
        }
        assert!(restless.has(7, after(2000)) && !restless.has(7, after(2048)));
        for tgid in 0..2 * Restless::MOST as u32 {
            restless.add(100 + tgid, after(4 * u64::from(tgid)));
        }
        assert!(restless.until.len() <= Restless::MOST);
    }
}
