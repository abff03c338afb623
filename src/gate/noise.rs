//! How much runs of one program differ beside counting, learned from runs that are kept: what one profile alone cannot tell.
//!
//! Of a function with x samples a run the logarithm of its cost per unit of work has the variance `tau^2 + 1/x`: noise between runs, and
//! counting. Each comparison of a run with others of its label, or, where labels have one run each, with the run before it, gives a square
//! that should be this variance. The median of the squares divided by it is then that of a chi-squared of one degree, 0.4549, and tau
//! is where it is so. A median takes no notice of the few functions that a commit changed.
//!
//! Small functions say nothing of tau, as counting is all that is seen of them, so each square weighs what it tells: `1/(tau^2 + 1/x)^2`,
//! at 2 %.

use std::collections::BTreeMap;

use super::names::{Matching, Normaliser};
use crate::analyze::{CallTree, Top, View};
use crate::model::{Profile, Unit};

/// What a history says of the noise between runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// The standard deviation of the logarithm of a function's cost per unit of work from run to run, without that of counting.
    pub deviation: f64,
    /// On how many runs it rests.
    pub runs: u32,
}

/// What the functions of one run took themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnCosts {
    /// Runs of one label are of the same program.
    pub label: String,
    /// The event, by name.
    pub event: String,
    /// What its values count; nothing if there is no event.
    pub unit: Option<Unit>,
    /// By function: value per unit of work, and samples.
    pub functions: BTreeMap<String, (f64, u64)>,
}

impl OwnCosts {
    /// Those of a run that did `work` units, names made equal across builds.
    pub fn of(mut profile: Profile, label: &str, work: f64, matching: &Matching) -> OwnCosts {
        Normaliser::new(matching.clone()).apply(&mut profile);
        let tree = CallTree::build(&profile, &View::default());
        let mut functions: BTreeMap<String, (f64, u64)> = BTreeMap::new();
        for function in Top::build(&tree).functions.iter().filter(|function| function.self_samples > 0) {
            let (value, samples) = functions.entry(tree.names.get(function.name).to_owned()).or_default();
            *value += function.self_value as f64 / work;
            *samples += function.self_samples;
        }
        let unit = profile.events.get(profile.main.index()).map(|event| event.unit);
        OwnCosts { label: label.to_owned(), event: profile.main_event().to_owned(), unit, functions }
    }
}

/// A function with fewer samples in a run is not looked at: its logarithm is no normal number.
const LEAST_SAMPLES: u64 = 10;
/// Fewer runs say nothing.
const LEAST_RUNS: usize = 3;
/// The median of the square of a normal number.
const MEDIAN: f64 = 0.454_936;
/// The noise at which squares are weighed.
const USUAL: f64 = 0.02;

/// The noise between runs, oldest first; nothing if there are fewer than three that can be compared.
pub fn noise_of(runs: &[OwnCosts]) -> Option<Noise> {
    let mut by_label: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, run) in runs.iter().enumerate().filter(|(_, run)| !run.label.is_empty()) {
        by_label.entry(&run.label).or_default().push(row);
    }
    let mut squares = Vec::new();
    let mut used = vec![false; runs.len()];
    for group in by_label.values().filter(|group| group.len() > 1) {
        add_group(runs, group, &mut squares);
        group.iter().for_each(|row| used[*row] = true);
    }
    if squares.is_empty() {
        // One run a label: what is beside each other differs by a commit at most.
        for row in 1..runs.len() {
            let before = squares.len();
            add_group(runs, &[row - 1, row], &mut squares);
            if squares.len() > before {
                used[row - 1..=row].fill(true);
            }
        }
    }
    let count = used.iter().filter(|used| **used).count();
    if squares.is_empty() || count < LEAST_RUNS {
        return None;
    }
    Some(Noise { deviation: deviation(&squares), runs: count as u32 })
}

/// A square that has the expectation `part * (tau^2 + counting)`.
struct Square {
    square: f64,
    part: f64,
    counting: f64,
}

/// Adds the squares of runs of one program: for each function and run that from the mean of all.
fn add_group(runs: &[OwnCosts], group: &[usize], squares: &mut Vec<Square>) {
    let count = group.len() as f64;
    for name in runs[group[0]].functions.keys() {
        let found =
            group.iter().map(|row| runs[*row].functions.get(name).filter(|(_, samples)| *samples >= LEAST_SAMPLES));
        let Some(found) = found.collect::<Option<Vec<_>>>() else { continue };
        let logarithms: Vec<f64> = found.iter().map(|(value, _)| value.ln()).collect();
        let mean = logarithms.iter().sum::<f64>() / count;
        let counting = found.iter().map(|(_, samples)| 1.0 / *samples as f64).sum::<f64>() / count;
        // Of two runs both squares are the same one.
        let told = if group.len() == 2 { 1 } else { group.len() };
        for logarithm in &logarithms[..told] {
            let square = (logarithm - mean).powi(2);
            if square.is_finite() {
                squares.push(Square { square, part: 1.0 - 1.0 / count, counting });
            }
        }
    }
}

/// The noise at which the median of the squares is what it should be; 0 if counting explains all.
fn deviation(squares: &[Square]) -> f64 {
    let excess = |deviation: f64| {
        let mut rows: Vec<(f64, f64)> = squares
            .iter()
            .map(|Square { square, part, counting }| {
                let weight = (USUAL * USUAL + counting).powi(-2);
                (square / (part * (deviation * deviation + counting)), weight)
            })
            .collect();
        rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let half = rows.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
        let mut sum = 0.0;
        let middle = rows.iter().find(|(_, weight)| {
            sum += weight;
            sum >= half
        });
        middle.map_or(0.0, |(square, _)| square - MEDIAN)
    };
    let (mut low, mut high) = (0.0, 10.0);
    if excess(low) <= 0.0 {
        return 0.0;
    }
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if excess(middle) > 0.0 { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64, and normal numbers by sums of twelve.
    struct Random(u64);

    impl Random {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
        }

        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
        }
    }

    /// Runs of a program of 40 functions, that of row r with 20,000/(r + 1) samples.
    fn runs(labels: &[&str], tau: f64, random: &mut Random) -> Vec<OwnCosts> {
        let run = |label: &&str| {
            let function = |row: u64| {
                let mean = 20_000.0 / (row + 1) as f64;
                let cost = mean * (tau * random.normal()).exp();
                let samples = (cost + cost.sqrt() * random.normal()).max(0.0).round();
                (format!("f{row}"), (samples * 1e6, samples as u64))
            };
            OwnCosts {
                label: (*label).to_owned(),
                event: "cpu-clock".into(),
                unit: Some(Unit::Nanoseconds),
                functions: (0..40).map(function).collect(),
            }
        };
        labels.iter().map(run).collect()
    }

    #[test]
    fn the_noise_that_was_put_in_is_found() {
        let mut random = Random(1);
        for tau in [0.01, 0.03, 0.08] {
            for labels in [["a"; 8], ["a", "b", "c", "d", "e", "f", "g", "h"], ["a", "a", "b", "b", "c", "c", "d", "d"]]
            {
                let found = noise_of(&runs(&labels, tau, &mut random)).unwrap();
                assert_eq!(found.runs, 8);
                assert!((found.deviation - tau).abs() < 0.2 * tau + 0.006, "{tau} {labels:?}: {found:?}");
            }
        }
    }

    #[test]
    fn counting_alone_is_no_noise() {
        let found = noise_of(&runs(&["a"; 20], 0.0, &mut Random(2))).unwrap();
        assert!(found.deviation < 0.005, "{found:?}");
    }

    #[test]
    fn a_commit_that_changes_some_functions_is_no_noise() {
        let mut runs = runs(&["a", "b", "c", "d", "e", "f"], 0.02, &mut Random(3));
        for run in &mut runs[3..] {
            for name in ["f1", "f4", "f9"] {
                run.functions.entry(name.into()).and_modify(|(value, _)| *value *= 2.0);
            }
        }
        let found = noise_of(&runs).unwrap();
        assert!((0.01..0.03).contains(&found.deviation), "{found:?}");
    }

    #[test]
    fn too_little_says_nothing() {
        let mut random = Random(4);
        assert_eq!(noise_of(&[]), None);
        assert_eq!(noise_of(&runs(&["a"; 2], 0.02, &mut random)), None);
        let mut small = runs(&["a"; 5], 0.02, &mut random);
        small.iter_mut().flat_map(|run| run.functions.values_mut()).for_each(|(_, samples)| *samples = 9);
        assert_eq!(noise_of(&small), None);
    }
}
