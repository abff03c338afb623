//! Which samples of a profile are shown, how they are grouped, and their sums before any name is looked at.

use rustc_hash::FxHashMap;

use crate::model::{EventId, Profile, StackEnd, StackId, StringId, ThreadId, Truncation};

/// Which samples of a profile are shown, and how they are grouped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// A level for each thread below that of its process.
    pub per_thread: bool,
    /// Processes of one name are told apart: each is `name-pid`. One whose id is not known is its name alone.
    pub per_process: bool,
    /// What a node's children are.
    pub direction: Direction,
    /// The event whose samples are counted, the profile's main one if not given; the others are left out.
    pub event: Option<EventId>,
}

/// What the children of a node of the tree are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// What it called: the root's children are processes, stacks end at their innermost functions.
    #[default]
    Callees,
    /// What called it, "bottom-up": the root's children are the innermost functions, stacks end at their processes. Where a
    /// stack is cut, that is said between its outermost function and its process.
    Callers,
}

/// What samples must share to be counted as one before any name is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    /// The thread, or, if threads are not told apart, the first one seen of the process, or of all of its name.
    pub thread: ThreadId,
    /// 0 for a stack that is not known to be cut, else one more than the row of [`Truncation::ALL`].
    pub end: u8,
    pub stack: StackId,
}

/// Value and number of samples.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    pub value: u64,
    pub samples: u64,
}

impl Weight {
    /// As one whole number, see [`super::CallTree::self_weight`].
    pub fn whole(self, period: Option<u64>) -> u64 {
        match period {
            Some(_) if self.samples > 0 => self.samples,
            Some(period) if period > 0 => self.value / period + u64::from(self.value % period >= period.div_ceil(2)),
            _ => self.value,
        }
    }
}

/// The samples of `event`, summed up as `view` groups them; rows of one thread and end are side by side.
pub(super) fn aggregate(profile: &Profile, event: EventId, view: &View) -> Vec<(Key, Weight)> {
    let mut of_process: FxHashMap<(StringId, u32), ThreadId> = FxHashMap::default();
    let thread_of: Vec<ThreadId> = (0..profile.threads.len())
        .map(|row| {
            let thread = ThreadId::from_index(row);
            if view.per_thread {
                return thread;
            }
            let process = &profile.processes[profile.threads[row].process.index()];
            let pid = if view.per_process { process.pid } else { 0 };
            *of_process.entry((process.name, pid)).or_insert(thread)
        })
        .collect();
    let mut rows: Vec<(Key, Weight)> = Vec::new();
    // The first row of each stack, the only one of most, 1 more than its number; and all others.
    let mut of_stack: Vec<u32> = vec![0; profile.stacks.len()];
    let mut others: FxHashMap<Key, u32> = FxHashMap::default();
    let mut sum = 0u64;
    for sample in profile.samples.iter().filter(|sample| sample.event == event) {
        let end = match sample.end {
            StackEnd::Root | StackEnd::Unstated => 0,
            StackEnd::Truncated(reason) => {
                1 + Truncation::ALL.iter().position(|known| *known == reason).expect("ALL holds all") as u8
            }
        };
        let key = Key { thread: thread_of[sample.thread.index()], end, stack: sample.stack };
        let value = sample.value.min(u64::MAX - sum);
        sum += value;
        let next = u32::try_from(rows.len() + 1).expect("a table holds fewer than 2^32 rows");
        let row = match &mut of_stack[key.stack.index()] {
            first @ 0 => {
                *first = next;
                next
            }
            first if rows[*first as usize - 1].0 == key => *first,
            _ => *others.entry(key).or_insert(next),
        };
        if row == next {
            rows.push((key, Weight::default()));
        }
        let weight = &mut rows[row as usize - 1].1;
        weight.value += value;
        weight.samples += u64::from(sample.count);
    }
    // Of these rows are few or of one kind: what is sorted already costs one look at each.
    rows.sort_unstable_by_key(|(key, _)| (key.thread, key.end));
    rows
}
