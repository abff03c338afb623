//! Fetches files in the background, largest share first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cache::{Cached, Kind};
use super::client::Client;
use super::hot::Wanted;
use super::proof;
use super::report::{Failure, Report};
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::model::BuildId;

/// Files that are being fetched by threads of their own.
#[derive(Debug)]
pub struct Downloads {
    shared: Arc<Shared>,
}

/// How far downloads are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownloadsProgress {
    /// Files that came, or will not come.
    pub done: usize,
    /// Of so many.
    pub of: usize,
    /// The file that has been on its way for longest.
    pub name: String,
    /// How many bytes of it are here.
    pub bytes: u64,
    /// Of how many, if the server tells.
    pub of_bytes: Option<u64>,
}

/// So many files are fetched at the same time.
const THREADS: usize = 3;
/// How long threads are waited for that have been told to stop: they remove what they have begun.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    client: Client,
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Threads that fetch, or are about to.
    threads: usize,
    waiting: VecDeque<Wanted>,
    on_way: Vec<OnWay>,
    asked: BTreeSet<(BuildId, Kind)>,
    /// Servers that do not answer, as rows of [`Settings::servers`].
    given_up: BTreeMap<usize, Failure>,
    report: Report,
    /// What is promised of [`Settings::max_total`] to files on their way, and used by those that came.
    bytes: u64,
}

#[derive(Debug)]
struct OnWay {
    wanted: Wanted,
    bytes: u64,
    of: Option<u64>,
}

impl Downloads {
    /// Nothing yet, to be fetched as the settings say.
    pub fn new(settings: Settings) -> Downloads {
        let client = Client::new(&settings);
        let (state, changed, stop) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        Downloads { shared: Arc::new(Shared { settings, client, state, changed, stop }) }
    }

    /// Begins to fetch files, but for those that were asked for before.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn add(&self, wanted: Vec<Wanted>) -> Result<()> {
        let mut state = self.shared.lock();
        for wanted in wanted {
            if state.asked.insert((wanted.build_id, wanted.kind)) {
                state.waiting.push_back(wanted);
            }
        }
        while state.threads < THREADS.min(state.waiting.len() + state.on_way.len()) {
            let shared = self.shared.clone();
            std::thread::Builder::new()
                .name("debuginfod".into())
                .spawn(move || shared.work(|wanted| shared.have(wanted)))
                .map_err(|error| Error::io("cannot start a thread for downloads", error))?;
            state.threads += 1;
        }
        Ok(())
    }

    /// The servers that are asked.
    pub fn servers(&self) -> &[String] {
        &self.shared.settings.servers
    }

    /// How far they are.
    pub fn progress(&self) -> DownloadsProgress {
        let state = self.shared.lock();
        let done = state.report.arrived.len() + state.report.failed.len();
        let of = done + state.waiting.len() + state.on_way.len();
        let first = state.on_way.first();
        let (bytes, of_bytes) = first.map_or((0, None), |on_way| (on_way.bytes, on_way.of));
        let name = first.map(|on_way| on_way.wanted.name.clone()).unwrap_or_default();
        DownloadsProgress { done, of, name, bytes, of_bytes }
    }

    /// Waits until all is done, but no longer than `at_most`; says whether all is done.
    pub fn wait(&self, at_most: Duration) -> bool {
        let end = Instant::now() + at_most;
        let mut state = self.shared.lock();
        while !state.is_over() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Ends what is still under way, and says what came since the last time.
    pub fn finish(&self) -> Report {
        self.stop();
        let mut state = self.shared.lock();
        let mut report = std::mem::take(&mut state.report);
        let rest = state.on_way.drain(..).map(|on_way| on_way.wanted).collect::<Vec<_>>();
        report.failed.extend(rest.into_iter().map(|wanted| (wanted, Failure::Stopped)));
        let by_share = |one: &Wanted, other: &Wanted| other.share.total_cmp(&one.share);
        report.arrived.sort_by(by_share);
        report.failed.sort_by(|(one, _), (other, _)| by_share(one, other));
        report
    }

    fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut state = self.shared.lock();
        let never = std::mem::take(&mut state.waiting);
        state.report.failed.extend(never.into_iter().map(|wanted| (wanted, Failure::Stopped)));
        if state.is_over() {
            return;
        }
        drop(state);
        self.shared.client.shut_down();
        self.wait(GRACE);
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.on_way.is_empty()
    }

    /// Promises a file that has `taken` of the sum as much as it `takes`, which is what a server says: any number.
    fn promise(&mut self, taken: &mut u64, takes: u64, most: u64) -> std::result::Result<(), Failure> {
        if takes > most {
            return Err(Failure::TooLarge(most));
        }
        let Some(more) = takes.checked_sub(*taken) else { return Ok(()) };
        let sum = self.bytes.checked_add(more).filter(|sum| *sum <= most).ok_or(Failure::TooMuch)?;
        (self.bytes, *taken) = (sum, takes);
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Has the files that wait, one after the other, until none does.
    fn work(&self, have: impl Fn(&Wanted) -> std::result::Result<Option<BuildId>, Failure>) {
        loop {
            let wanted = {
                let mut state = self.lock();
                let Some(wanted) = state.waiting.pop_front() else {
                    state.threads -= 1;
                    return;
                };
                state.on_way.push(OnWay { wanted: wanted.clone(), bytes: 0, of: None });
                wanted
            };
            // What the libraries for HTTP, TLS and ELF do not survive is one file less: a file that stays on its way, or one that
            // no thread is left for, would be waited for without end.
            let result = catch_unwind(AssertUnwindSafe(|| have(&wanted))).unwrap_or(Err(Failure::Broken));
            let mut state = self.lock();
            state.on_way.retain(|on_way| !is_same(&on_way.wanted, &wanted));
            match result {
                Ok(supplementary) => {
                    // Without it, names and lines that the program has in common with others are missing.
                    if let Some(build_id) = supplementary
                        && state.asked.insert((build_id, Kind::Debuginfo))
                        && !self.is_stopped()
                    {
                        let name = format!("what {} has in common with others", wanted.name);
                        state.waiting.push_front(Wanted { build_id, kind: Kind::Debuginfo, name, ..wanted.clone() });
                    }
                    state.report.arrived.push(wanted);
                }
                Err(failure) => state.report.failed.push((wanted, failure)),
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Sees to it that a file is in the cache; returns the build id of the one that belongs to it, if one does.
    fn have(&self, wanted: &Wanted) -> std::result::Result<Option<BuildId>, Failure> {
        let cache = &self.settings.cache;
        match cache.look(wanted.build_id, wanted.kind) {
            Cached::Here(path) => {
                let proof = std::fs::File::open(path).ok().and_then(|file| proof::read(&file));
                if let Some(proof) = proof.filter(|proof| proof.build_id == Some(wanted.build_id)) {
                    return Ok(proof.supplementary);
                }
            }
            Cached::Missed => return Err(Failure::Missed),
            Cached::Unknown => {}
        }
        let (mut worst, mut all_lack) = (Failure::NotFound, true);
        for (row, server) in self.settings.servers.iter().enumerate() {
            let given_up = self.lock().given_up.get(&row).cloned();
            if let Some(failure) = given_up {
                (worst, all_lack) = (failure, false);
                continue;
            }
            match self.fetch(server, wanted) {
                Err(Failure::NotFound) => {}
                Err(failure) => {
                    if self.is_stopped() {
                        return Err(Failure::Stopped);
                    }
                    if failure.is_of_server() {
                        self.lock().given_up.insert(row, failure.clone());
                    }
                    (worst, all_lack) = (failure, false);
                }
                done => return done,
            }
        }
        if all_lack {
            cache.miss_now(wanted.build_id, wanted.kind);
        }
        Err(worst)
    }

    fn fetch(&self, server: &str, wanted: &Wanted) -> std::result::Result<Option<BuildId>, Failure> {
        let failed = |error: std::io::Error| Failure::Cache(error.to_string());
        let mut part = self.settings.cache.begin(wanted.build_id, wanted.kind).map_err(failed)?;
        let path = format!("buildid/{}/{}", wanted.build_id, wanted.kind.as_str());
        // What this file has of the sum so far: what it will have as soon as the server tells.
        let mut taken = 0;
        let result = self.client.get(
            server,
            &path,
            &mut |bytes, of| {
                if self.is_stopped() {
                    return Err(Failure::Stopped);
                }
                let mut state = self.lock();
                state.promise(&mut taken, bytes.max(of.unwrap_or(0)), self.settings.max_total)?;
                if let Some(on_way) = state.on_way.iter_mut().find(|on_way| is_same(&on_way.wanted, wanted)) {
                    (on_way.bytes, on_way.of) = (bytes, of);
                }
                Ok(())
            },
            &mut part.file,
        );
        let result = result.and_then(|bytes| {
            let proof = proof::read(&part.file).filter(|proof| proof.build_id == Some(wanted.build_id));
            Ok((bytes, proof.ok_or(Failure::WrongFile)?))
        });
        match result {
            Ok((bytes, proof)) => {
                part.keep().map_err(failed)?;
                self.lock().report.bytes += bytes;
                Ok(proof.supplementary)
            }
            Err(failure) => {
                self.lock().bytes -= taken;
                Err(failure)
            }
        }
    }
}

fn is_same(one: &Wanted, other: &Wanted) -> bool {
    (one.build_id, one.kind) == (other.build_id, other.kind)
}

#[cfg(test)]
mod tests {
    use super::super::cache::Cache;
    use super::*;
    use crate::model::ImageId;

    #[test]
    fn file_that_ends_in_a_panic_is_reported_and_the_next_is_had() {
        let cache = Cache::of(&|name| (name == "HOME").then(|| "/nowhere".into())).expect("there is a home");
        let servers = Vec::new();
        let downloads =
            Downloads::new(Settings { servers, timeout: None, max_time: None, max_size: None, max_total: 1, cache });
        let wanted = |id: u8| Wanted {
            build_id: BuildId::new(&[id; 20]).expect("20 bytes are an id"),
            kind: Kind::Debuginfo,
            name: id.to_string(),
            share: 0.5,
            image: ImageId(0),
        };
        {
            let mut state = downloads.shared.lock();
            state.waiting.extend([wanted(1), wanted(2)]);
            state.threads = 1;
        }
        downloads.shared.work(|wanted| if wanted.name == "1" { panic!("as a library may") } else { Ok(None) });
        assert!(downloads.wait(Duration::ZERO));
        assert_eq!(downloads.shared.lock().threads, 0);
        let report = downloads.finish();
        assert_eq!((report.arrived, report.failed), (vec![wanted(2)], vec![(wanted(1), Failure::Broken)]));
    }

    #[test]
    fn no_size_gets_round_the_sum() {
        let mut state = State::default();
        let (mut one, mut other) = (0, 0);
        assert_eq!(state.promise(&mut one, 60, 100), Ok(()));
        for takes in [41, 100] {
            assert_eq!(state.promise(&mut other, takes, 100), Err(Failure::TooMuch), "{takes}");
        }
        for takes in [101, u64::MAX - 59, u64::MAX] {
            assert_eq!(state.promise(&mut other, takes, 100), Err(Failure::TooLarge(100)), "{takes}");
        }
        assert_eq!(state.promise(&mut other, 40, 100), Ok(()));
        assert_eq!(state.promise(&mut one, 50, 100), Ok(()));
        assert_eq!((state.bytes, one, other), (100, 60, 40));
    }
}
