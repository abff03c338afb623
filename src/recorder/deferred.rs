//! Samples whose user part comes later.

use rustc_hash::FxHashMap;

/// Rows of the profile by what they wait for.
#[derive(Debug, Default)]
pub(super) struct Incomplete {
    /// By thread and cookie: a cookie is of one entry of a task into the kernel, and another CPU may count the same.
    rows: FxHashMap<(u32, u64), Vec<usize>>,
}

impl Incomplete {
    pub fn add(&mut self, tid: u32, cookie: u64, row: usize) {
        self.rows.entry((tid, cookie)).or_default().push(row);
    }

    pub fn take(&mut self, tid: u32, cookie: u64) -> Vec<usize> {
        self.rows.remove(&(tid, cookie)).unwrap_or_default()
    }
}
