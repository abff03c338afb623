//! The runs of both sides, as they come: each is read, its names are made equal, and what is needed of it is kept.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::compare;
use super::comparison::{Comparison, RunFacts, Side};
use super::math::median;
use super::names::{Matching, Normaliser, is_interrupt};
use super::noise::Noise;
use super::settings::Settings;
use crate::analyze::{CallTree, RunTree, View};
use crate::model::{FrameKey, FrameKind, ImageKind, Merger, Profile, Unit, plain_event};

/// One run.
#[derive(Debug)]
pub struct RunInput {
    /// What it is called: its file.
    pub label: String,
    /// What was recorded.
    pub profile: Profile,
    /// Units of work that it did; 1 if a run is the unit.
    pub work: f64,
    /// Which one of its series it was, from 0, if that is known.
    pub order: Option<u32>,
    /// What the series is called: orders of several series say nothing of each other.
    pub series: String,
}

/// One run as it is compared.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub side: Side,
    pub facts: RunFacts,
    /// Its number in the tree.
    pub row: usize,
    pub unit: Unit,
    /// Which series its order is of.
    pub series: String,
    /// The variance of counts within the run, as a multiple of that of independent samples; not below 1.
    pub dispersion: f64,
}

/// The runs of both sides.
#[derive(Clone, Debug)]
pub struct Runs {
    pub(super) runs: Vec<Run>,
    pub(super) tree: RunTree,
    pub(super) names: Normaliser,
    /// Of either side, if they are kept.
    merged: Option<[Merger; 2]>,
    /// The first run of either side, and what makes it the first.
    first: [Option<(Place, Profile)>; 2],
}

/// Which run of a side comes before another: its number, when it began, what it is called.
type Place = (u32, u64, String);

impl Runs {
    /// None yet; `keeps_profiles` if [`Runs::merged`] is to be asked for.
    pub fn new(matching: Matching, keeps_profiles: bool) -> Runs {
        let merged = keeps_profiles.then(|| [Merger::default(), Merger::default()]);
        Runs {
            runs: Vec::new(),
            tree: RunTree::default(),
            names: Normaliser::new(matching),
            merged,
            first: [None, None],
        }
    }

    /// Adds a run.
    pub fn add(&mut self, side: Side, run: RunInput) {
        let RunInput { label, mut profile, work, order, series } = run;
        let facts = facts(&profile, label, work, order);
        let unit = profile.events.get(profile.main.index()).map_or(Unit::Count, |event| event.unit);
        let dispersion = dispersion(&profile);
        self.names.apply(&mut profile);
        // A thread that was preempted waits in an interrupt, and that is told apart by where it waits.
        let puts_aside = self.names.puts_interrupts_aside() && !has_waits(&profile);
        let put_aside = |name: &str, kind: FrameKind| puts_aside && is_interrupt(name, kind);
        self.tree.add(&CallTree::build(&profile, &View::default()), &profile, side == Side::New, put_aside);
        self.runs.push(Run { side, facts, row: self.tree.run_count() - 1, unit, series, dispersion });
        if let Some(merged) = &mut self.merged {
            let facts = &self.runs[self.runs.len() - 1].facts;
            let place = (facts.order.unwrap_or(u32::MAX), facts.started_unix, facts.label.clone());
            let first = &mut self.first[side as usize];
            if first.as_ref().is_none_or(|(of, _)| place < *of) {
                *first = Some((place, profile.clone()));
            }
            merged[side as usize].add(profile);
        }
    }

    /// How many runs `side` has.
    pub fn count(&self, side: Side) -> usize {
        self.runs.iter().filter(|run| run.side == side).count()
    }

    /// Compares them; the same for any order in which they were added.
    pub fn compare(&self, settings: &Settings, history: Option<&Noise>) -> Comparison {
        compare::compare(self, settings, history)
    }

    /// The first run of the base and of the new side, names made equal: what is drawn in order of time, as runs have none in common. Nothing if
    /// they are not kept.
    pub fn first(&self) -> Option<[&Profile; 2]> {
        let [Some((_, base)), Some((_, new))] = &self.first else { return None };
        Some([base, new])
    }

    /// All runs of the base as one profile, and all of the new side, names made equal; processes too, where either side has one of another
    /// name. Nothing if they are not kept. No runs are left to be compared: pictures need their memory.
    pub fn merged(&mut self) -> Option<[Profile; 2]> {
        let merged = self.merged.take()?;
        let runs = std::mem::take(&mut self.runs);
        self.tree = RunTree::default();
        let [base, new] = merged.map(Merger::finish);
        let (mut base, mut new) = (base, new);
        for side in [&mut base, &mut new] {
            side.summarize();
            // What it cost to read them is another thing each time.
            (side.stats.own_cpu, side.stats.peak_rss_bytes) = (Duration::ZERO, 0);
        }
        for (side, profile) in [Side::Base, Side::New].into_iter().zip([&mut base, &mut new]) {
            let of: Vec<&str> = runs.iter().filter(|run| run.side == side).map(|run| &run.facts.target[..]).collect();
            if let Some(name) = name_of(&of) {
                profile.stats.target = name;
            }
        }
        pair_processes(&base, &mut new);
        Some([base, new])
    }
}

/// Whether there is time off the CPU in it.
fn has_waits(profile: &Profile) -> bool {
    let is_wait = |key: &FrameKey| matches!(key, FrameKey::Name { kind: FrameKind::OffCpu, .. });
    profile.frames.iter().any(|frame| is_wait(&frame.key))
}

/// What several recordings of files are called together: their folder. Nothing if they have none in common, or are one.
fn name_of(targets: &[&str]) -> Option<String> {
    let folder = |target: &str| target.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let first = folder(targets.first()?)?;
    let is_of_files = targets.windows(2).any(|two| two[0] != two[1]);
    let is_one = targets.iter().all(|target| folder(target).as_ref() == Some(&first));
    (is_of_files && is_one).then(|| format!("{first}/ ({} runs)", targets.len()))
}

/// Gives the processes of `new` whose name is not in `base` the name of the one there which is not in `new`, if there is one each.
fn pair_processes(base: &Profile, new: &mut Profile) {
    let names = |profile: &Profile| {
        let mut names: Vec<String> =
            profile.processes.iter().map(|process| profile.strings.get(process.name).to_owned()).collect();
        names.sort();
        names.dedup();
        names
    };
    let (of_base, of_new) = (names(base), names(new));
    let only = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|name| !other.contains(name)).cloned().collect()
    };
    if let ([gone], [came]) = (&only(&of_base, &of_new)[..], &only(&of_new, &of_base)[..]) {
        let (came, gone) = (came.clone(), new.strings.intern(gone));
        for row in 0..new.processes.len() {
            if new.strings.get(new.processes[row].name) == came {
                new.processes[row].name = gone;
            }
        }
        for row in 0..new.threads.len() {
            if new.strings.get(new.threads[row].name) == came {
                new.threads[row].name = gone;
            }
        }
    }
}

/// Programs and libraries that are named with their build ids, at most.
const BUILDS: usize = 8;

fn facts(profile: &Profile, label: String, work: f64, order: Option<u32>) -> RunFacts {
    let stats = &profile.stats;
    let event = profile.events.get(profile.main.index());
    let (mut value, mut samples) = (0u64, 0u64);
    let mut by_image = vec![0u64; profile.images.len()];
    for sample in profile.samples.iter().filter(|sample| sample.event == profile.main) {
        value = value.saturating_add(sample.value);
        samples += u64::from(sample.count);
        if sample.stack.0 != 0
            && let FrameKey::Code { image, .. } = profile.frames[profile.stacks[sample.stack.index()].frame.index()].key
        {
            by_image[image.index()] = by_image[image.index()].saturating_add(sample.value);
        }
    }
    let mut images: Vec<usize> = (0..by_image.len()).filter(|row| by_image[*row] > 0).collect();
    images.retain(|row| matches!(profile.images[*row].kind, ImageKind::File));
    images.sort_by_key(|row| (std::cmp::Reverse(by_image[*row]), profile.strings.get(profile.images[*row].path)));
    images.truncate(BUILDS);
    let build = |row: usize| {
        let image = &profile.images[row];
        let id = image.build_id.as_ref().map(ToString::to_string)?;
        Some((profile.strings.get(image.path).to_owned(), id))
    };
    let mut found_by: Vec<(&'static str, u64)> = stats.frames.iter().map(|(way, count)| (*way, *count)).collect();
    found_by.sort_by_key(|(way, count)| (std::cmp::Reverse(*count), *way));
    RunFacts {
        label,
        event: plain_event(profile.main_event()).to_owned(),
        rate: stats.rate,
        period: event.and_then(|event| event.period),
        samples,
        value,
        work,
        lost: stats.lost,
        is_cut: stats.is_cut,
        truncated: stats.truncated_total(),
        unnamed: stats.unnamed_total(),
        host: stats.host.clone(),
        target: stats.target.clone(),
        started_unix: stats.started_unix,
        order,
        found_by: found_by.into_iter().map(|(way, _)| way).collect(),
        builds: images.into_iter().filter_map(build).collect(),
        notes: stats.notes.clone(),
    }
}

/// A run is cut into so many parts of equal time, to see how counts vary.
const BLOCKS: usize = 20;
/// Functions with fewer samples say nothing of that.
const LEAST_SAMPLES: u64 = 40;

/// How counts of functions vary over the time of a run: the median of variance by mean, 1 if there are no times.
///
/// A server under changing load has far more than 1 (30 s at 999 Hz, with traffic that is alike for half a second: 36). A program that does one
/// thing after the other has more too, though each run is the same: of one run nobody can tell these apart.
fn dispersion(profile: &Profile) -> f64 {
    let samples = || profile.samples.iter().filter(|sample| sample.event == profile.main && sample.has_time());
    let (Some(first), Some(last)) =
        (samples().map(|sample| sample.time.0).min(), samples().map(|sample| sample.time.0).max())
    else {
        return 1.0;
    };
    if first == last {
        return 1.0;
    }
    let span = u128::from(last - first) + 1;
    let mut counts: FxHashMap<u32, [u64; BLOCKS]> = FxHashMap::default();
    for sample in samples().filter(|sample| sample.stack.0 != 0) {
        let frame = profile.stacks[sample.stack.index()].frame;
        let function = profile.lines_of(frame).first().map_or(u32::MAX - frame.0, |line| line.function.0);
        let block = u128::from(sample.time.0 - first) * BLOCKS as u128 / span;
        counts.entry(function).or_default()[block as usize] += u64::from(sample.count);
    }
    let mut factors: Vec<f64> = counts
        .values()
        .filter(|blocks| blocks.iter().sum::<u64>() >= LEAST_SAMPLES)
        .map(|blocks| {
            let mean = blocks.iter().sum::<u64>() as f64 / BLOCKS as f64;
            let squares: f64 = blocks.iter().map(|count| (*count as f64 - mean).powi(2)).sum();
            squares / (BLOCKS - 1) as f64 / mean
        })
        .collect();
    median(&mut factors).max(1.0)
}
