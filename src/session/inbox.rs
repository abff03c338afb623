//! What the thread that keeps the tables is asked for and told: what is asked twice is asked once, and there is no more of it than has
//! room.
//!
//! Programs ask for a process again as long as they want for it, and what a record says is held against stacks by the recorder in any
//! case: so what finds no room here makes stacks shorter for a while, and is counted.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::recorder::Change;
use crate::sampler::bpf::{Refused, Table};

/// Of so many processes something may be asked at once, and so many mappings be told.
const MOST_PROCESSES: usize = 16_384;
const MOST_CHANGES: usize = 16_384;
/// So many mappings of one process.
const MOST_OF_ONE: usize = 64;
/// So many tables wait; who makes them waits then.
const MOST_COMPILED: usize = 8;

/// A table that is there, or will not be.
#[derive(Debug)]
pub(super) struct Compiled {
    /// Of which image.
    pub number: u32,
    pub table: Result<Table, Refused>,
    /// The first of the rules that are new, and those.
    pub first: u32,
    pub rules: Vec<u64>,
}

/// What is asked for of a process.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// How often it was asked to look at its mappings.
    pub looks: u32,
    /// Code that it has mapped, each at its last time.
    pub changes: Vec<Change>,
    /// Whether it has mapped more than there was room for.
    pub has_more: bool,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next {
    /// It is over.
    Over,
    /// Nothing has come.
    Nothing,
    /// Tables are to be taken in.
    Compiled(Vec<Compiled>),
    /// A process is to be looked at.
    Process(u32, Asked),
    /// Something is to be sent when all tables are there that were asked for until now.
    TellWhenReady(Sender<()>),
}

/// What the thread is asked for.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    has_come: Condvar,
    has_room: Condvar,
}

#[derive(Debug)]
enum Turn {
    Process(u32),
    TellWhenReady(Sender<()>),
}

#[derive(Debug, Default)]
struct State {
    turns: VecDeque<Turn>,
    asked: FxHashMap<u32, Asked>,
    /// How many changes there are in `asked`.
    changes: usize,
    compiled: Vec<Compiled>,
    left_out: u64,
    is_over: bool,
}

impl State {
    /// What is asked for of a process, if there is room for it.
    fn of(&mut self, pid: u32) -> Option<&mut Asked> {
        if !self.asked.contains_key(&pid) {
            if self.is_over || self.asked.len() >= MOST_PROCESSES {
                self.left_out += u64::from(!self.is_over);
                return None;
            }
            self.turns.push_back(Turn::Process(pid));
        }
        Some(self.asked.entry(pid).or_default())
    }
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mappings of a process are not those that are known.
    pub fn look(&self, pid: u32) {
        if let Some(asked) = self.state().of(pid) {
            asked.looks = asked.looks.saturating_add(1);
            self.has_come.notify_one();
        }
    }

    /// A process has mapped code.
    pub fn mapped(&self, pid: u32, change: Change) {
        let mut state = self.state();
        let has_room = state.changes < MOST_CHANGES;
        let Some(asked) = state.of(pid) else { return };
        let is_same =
            |known: &&mut Change| (known.start, known.end, known.code) == (change.start, change.end, change.code);
        if let Some(known) = asked.changes.iter_mut().find(is_same) {
            known.time = known.time.max(change.time);
        } else if has_room && asked.changes.len() < MOST_OF_ONE {
            asked.changes.push(change);
            state.changes += 1;
        } else {
            asked.has_more = true;
            state.left_out += 1;
        }
        self.has_come.notify_one();
    }

    /// Something is to be sent when all tables are there that were asked for until now.
    pub fn tell_when_ready(&self, sender: Sender<()>) {
        self.state().turns.push_back(Turn::TellWhenReady(sender));
        self.has_come.notify_one();
    }

    /// A table was made; waits until there is room for it. Says whether it is of use still.
    pub fn compiled(&self, compiled: Compiled) -> bool {
        let is_full = |state: &mut State| !state.is_over && state.compiled.len() >= MOST_COMPILED;
        let mut state = self.has_room.wait_while(self.state(), is_full).unwrap_or_else(PoisonError::into_inner);
        if state.is_over {
            return false;
        }
        state.compiled.push(compiled);
        self.has_come.notify_one();
        true
    }

    /// It is over: nothing of what waits is done any more.
    pub fn end(&self) {
        self.state().is_over = true;
        self.has_come.notify_all();
        self.has_room.notify_all();
    }

    /// How much of what was asked and told found no room.
    pub fn left_out(&self) -> u64 {
        self.state().left_out
    }

    /// What is to be done next; waits for it, but no longer than so long.
    pub fn next(&self, longest: Duration) -> Next {
        let until = Instant::now() + longest;
        let mut state = self.state();
        loop {
            if state.is_over {
                return Next::Over;
            }
            if !state.compiled.is_empty() {
                self.has_room.notify_all();
                return Next::Compiled(std::mem::take(&mut state.compiled));
            }
            match state.turns.pop_front() {
                Some(Turn::TellWhenReady(sender)) => return Next::TellWhenReady(sender),
                Some(Turn::Process(pid)) => {
                    let asked = state.asked.remove(&pid).unwrap_or_default();
                    state.changes -= asked.changes.len();
                    return Next::Process(pid, asked);
                }
                None => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            state = self.has_come.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::recorder::Code;

    fn change(time: u64, start: u64) -> Change {
        Change { time, start, end: start + 1, code: Code::Other, name: 0 }
    }

    fn compiled(number: u32) -> Compiled {
        Compiled { number, table: Err(Refused::Damaged), first: 0, rules: Vec::new() }
    }

    /// What a process is asked for, if that is next.
    fn process(inbox: &Inbox) -> Option<(u32, Asked)> {
        match inbox.next(Duration::ZERO) {
            Next::Process(pid, asked) => Some((pid, asked)),
            Next::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_asked_twice_is_asked_once() {
        let inbox = Inbox::default();
        for time in 1..=100 {
            inbox.look(7);
            inbox.mapped(8, change(time, 5));
            inbox.mapped(8, change(time, 6));
        }
        inbox.look(8);
        assert_eq!(process(&inbox), Some((7, Asked { looks: 100, ..Asked::default() })));
        let changes = vec![change(100, 5), change(100, 6)];
        assert_eq!(process(&inbox), Some((8, Asked { looks: 1, changes, has_more: false })));
        assert_eq!(process(&inbox), None);
        inbox.look(7);
        assert_eq!(process(&inbox), Some((7, Asked { looks: 1, ..Asked::default() })));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let inbox = Inbox::default();
        let most = MOST_PROCESSES as u32;
        for pid in 0..most + 10 {
            inbox.look(pid);
        }
        assert_eq!((inbox.left_out(), inbox.state().asked.len()), (10, MOST_PROCESSES));
        for start in 0..MOST_OF_ONE as u64 + 5 {
            inbox.mapped(3, change(1, start));
        }
        assert_eq!(inbox.left_out(), 15);
        for pid in 0..most {
            (0..3).for_each(|start| inbox.mapped(pid, change(1, start)));
        }
        assert_eq!(inbox.state().changes, MOST_CHANGES);
        let mut with_more = 0;
        while let Some((_, asked)) = process(&inbox) {
            assert!(asked.changes.len() <= MOST_OF_ONE);
            with_more += u32::from(asked.has_more);
        }
        assert!(with_more > 1 && with_more < most, "{with_more}");
        let state = inbox.state();
        assert_eq!((state.changes, state.turns.len(), state.asked.len()), (0, 0, 0));
    }

    #[test]
    fn end_is_seen_before_all_that_waits() {
        let inbox = Inbox::default();
        let (sender, ready) = channel();
        (0..1000).for_each(|pid| inbox.look(pid));
        inbox.tell_when_ready(sender);
        assert!(inbox.compiled(compiled(1)));
        inbox.end();
        assert!(matches!(inbox.next(Duration::from_secs(1000)), Next::Over));
        assert!(!inbox.compiled(compiled(2)));
        inbox.look(5000);
        assert_eq!(inbox.left_out(), 0);
        drop(inbox);
        assert!(ready.recv().is_err());
    }

    #[test]
    fn tables_come_first_and_who_makes_them_waits_for_room() {
        let inbox = Inbox::default();
        let (sender, _ready) = channel();
        inbox.look(7);
        inbox.tell_when_ready(sender);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..100).all(|number| inbox.compiled(compiled(number))));
            let mut seen = Vec::new();
            while seen.len() < 100 {
                match inbox.next(Duration::from_secs(1000)) {
                    Next::Compiled(all) => {
                        assert!((1..=MOST_COMPILED).contains(&all.len()));
                        seen.extend(all.into_iter().map(|compiled| compiled.number));
                    }
                    Next::Process(7, _) | Next::TellWhenReady(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            assert!(seen.iter().copied().eq(0..100));
        });
    }
}
