//! What is known of all functions' variances, to be added to what is known of one: five runs tell little of it.
//!
//! As in limma (Smyth 2004): the variance of a function is about `s0^2`, as surely as if it had been seen in `d0` more runs. Counting `x`
//! samples gives the logarithm a variance of about `1/x`; what comes on top is the same for all functions, the noise between runs. Both
//! are fitted to the variances of all functions over all runs, whichever side these are of: so what is fitted does not depend on labels,
//! and relabelling runs keeps it.

use super::math::{median, trigamma, trigamma_inverse};

/// What variances are moderated with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prior {
    /// How large the variance of counting is, as a multiple of that of independent samples: below 1 for programs that do the same in
    /// each run, as samples are taken at regular intervals.
    pub dispersion: f64,
    /// The variance between runs.
    pub between: f64,
    /// How many degrees of freedom it is worth.
    pub df: f64,
}

/// Noise between runs of 2 %: where it is as large as that of counting, a row tells as much of either.
const USUAL: f64 = 0.0004;
/// What is tried for the dispersion.
const DISPERSIONS: [f64; 16] = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.35, 1.6, 2.0, 2.5, 3.2, 4.0, 6.0];

/// What is tried for the variance between runs: none, and noise from 0.1 % to 100 %.
fn betweens() -> Vec<f64> {
    std::iter::once(0.0).chain((0..=90).map(|step| 1e-6 * 10f64.powf(f64::from(step) / 15.0))).collect()
}

/// The one of `values` at which `of` is least; the first of equal ones.
fn least(values: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let mut best = (f64::INFINITY, 0.0);
    for value in values {
        let now = of(*value);
        if now < best.0 - 1e-9 {
            best = (now, *value);
        }
    }
    best.1
}

/// How many degrees of freedom few rows are worth.
const DF_OF_FEW: f64 = 4.0;

/// Rows from which it can be told how they vary, too.
const LEAST_ROWS: usize = 6;

/// Of normal values that lie in one heap, the mean variance within their lower and upper half is about this part of that of all: 0.42 of 6
/// values, 0.37 of 40 (simulated).
const OF_HALVES: f64 = 0.4;

/// Values with less within their halves, as a part of that of all, lie in two heaps: of one heap of 10 that has two in a thousand, of 6 two in
/// a hundred (simulated).
const TWO_HEAPS: f64 = 0.1;

/// The variances of rows' logarithms, whichever runs are new; `base` are of one side.
///
/// A change that is large would be taken for noise, and in a small program hide all others: of values in two heaps, about as large as the
/// sides are, it is what they differ by within these. Where most rows do, it is the machine that has two states, and that is noise.
pub(super) fn blind_variances<'a>(rows: impl Iterator<Item = &'a [f64]>, base: usize) -> Vec<f64> {
    let of_rows: Vec<(f64, Option<f64>)> = rows.map(|logs| blind_variance(logs, base)).collect();
    let in_heaps = of_rows.iter().filter(|(_, within)| within.is_some()).count();
    let is_machine = 2 * in_heaps > of_rows.len();
    of_rows.into_iter().map(|(all, within)| within.filter(|_| !is_machine).unwrap_or(all)).collect()
}

/// The variance of all values, and within their two heaps, if that is what they lie in.
fn blind_variance(logs: &[f64], base: usize) -> (f64, Option<f64>) {
    let squares = |values: &[f64]| {
        let middle = values.iter().sum::<f64>() / values.len().max(1) as f64;
        values.iter().map(|value| (value - middle).powi(2)).sum::<f64>()
    };
    let all = squares(logs) / logs.len().saturating_sub(1).max(1) as f64;
    let mut sorted = logs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cuts = [base, logs.len().saturating_sub(base)];
    let within = cuts.map(|cut| {
        let (low, high) = sorted.split_at(cut.min(sorted.len()));
        squares(low) + squares(high)
    });
    let within = within[0].min(within[1]) / logs.len().saturating_sub(2).max(1) as f64;
    (all, (logs.len() > 5 && within < TWO_HEAPS * all).then_some(within / OF_HALVES))
}

impl Prior {
    /// Fits rows of (variance over all runs, samples a run) of `runs` runs.
    pub fn fit(rows: &[(f64, f64)], runs: usize) -> Prior {
        let df = runs.saturating_sub(1).max(1) as f64;
        // The median of chi squares of so many degrees of freedom, of their mean (Wilson and Hilferty).
        let middle = (1.0 - 2.0 / (9.0 * df)).powi(3).max(0.05);
        let rows: Vec<(f64, f64)> = rows.iter().map(|(s2, x)| ((s2 / middle).max(1e-12), 1.0 / x.max(1.0))).collect();
        // What is seen of large functions is noise between runs, of small ones counting: each tells of its own.
        let of_between = |counting: f64| USUAL / (counting + USUAL);
        let apart = |dispersion: f64, between: f64, weight: &dyn Fn(f64) -> f64| -> f64 {
            let one =
                |(s2, counting): &(f64, f64)| weight(*counting) * (s2 / (dispersion * counting + between)).ln().abs();
            rows.iter().map(one).sum()
        };
        if rows.is_empty() {
            return Prior { dispersion: 1.0, between: 0.0, df: DF_OF_FEW };
        }
        let (mut dispersion, mut between) = (1.0, USUAL);
        if rows.len() < LEAST_ROWS {
            // Too few to say how they vary: independent samples, and what most of them have beyond.
            between = least(&betweens(), |between| apart(dispersion, between, &of_between));
            return Prior { dispersion, between, df: DF_OF_FEW };
        }
        for _ in 0..4 {
            between = least(&betweens(), |between| apart(dispersion, between, &of_between));
            dispersion = least(&DISPERSIONS, |dispersion| apart(dispersion, between, &|x| 1.0 - of_between(x)));
        }
        let mut apart: Vec<f64> =
            rows.iter().map(|(s2, counting)| (s2 / (dispersion * counting + between)).ln().abs()).collect();
        // The median of distances is 0.6745 standard deviations of what is normal.
        let spread = (median(&mut apart) / 0.6745).powi(2);
        let df = (2.0 * trigamma_inverse(spread - trigamma(df / 2.0))).clamp(1.0, 60.0);
        Prior { dispersion, between, df }
    }

    /// How sure it is of everything together: of that there is one row only, and what functions do by themselves evens out in it.
    pub const DF_OF_ALL: f64 = 2.0;

    /// The variance that a row of so many samples a run is expected to have.
    pub fn variance(&self, samples: f64) -> f64 {
        (self.dispersion / samples.max(1.0) + self.between).max(1e-10)
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw::Random;
    use super::*;

    #[test]
    fn what_lies_in_two_heaps_is_no_noise() {
        let mut random = Random::new(3);
        let runs = |shift: f64, random: &mut Random| -> Vec<f64> {
            (0..16).map(|run| 0.01 * random.normal() + if run % 2 == 1 { shift } else { 0.0 }).collect()
        };
        let variances = |shifts: &[f64], random: &mut Random| {
            let rows: Vec<Vec<f64>> = shifts.iter().map(|shift| runs(*shift, random)).collect();
            blind_variances(rows.iter().map(|row| &row[..]), 8)
        };
        for _ in 0..100 {
            let of = variances(&[0.0, 0.2, 0.0], &mut random);
            assert!(of.iter().all(|of| (1e-5..2e-3).contains(of)), "{of:?}");
            // All of them at once: the machine does that.
            assert!(variances(&[0.2, 0.2, 0.0], &mut random)[1] > 5e-3);
        }
        assert!(blind_variances([&[0.1, 0.1, 0.1, 0.2, 0.2, 0.2][..], &[0.1; 6]].into_iter(), 3)[0] < 1e-9);
        assert_eq!(blind_variances([&[][..], &[1.0]].into_iter(), 1), [0.0, 0.0]);
    }

    /// Rows of made runs: normal logarithms with counting noise and noise between runs.
    #[test]
    fn finds_what_was_put_in() {
        let mut random = Random::new(7);
        for between in [0.0, 0.02, 0.1] {
            let runs = 10;
            let rows: Vec<(f64, f64)> = (0..400)
                .map(|row| {
                    let samples = 10.0 * 1.015f64.powi(row);
                    let deviation = (0.6 / samples + between * between).sqrt();
                    let logs: Vec<f64> = (0..runs).map(|_| deviation * random.normal()).collect();
                    let mean = logs.iter().sum::<f64>() / runs as f64;
                    (logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (runs - 1) as f64, samples)
                })
                .collect();
            let prior = Prior::fit(&rows, runs);
            assert!((prior.between.sqrt() - between).abs() < 0.006, "{between}: {prior:?}");
            assert!((0.5..=0.7).contains(&prior.dispersion), "{prior:?}");
            assert!(prior.df > 15.0, "all rows have what is expected: {prior:?}");
        }
        let few = Prior::fit(&[(0.5, 4.0); 3], 6).between / (0.5 / (1.0 - 2.0 / 45.0f64).powi(3) - 0.25);
        assert!((0.9..=1.1).contains(&few), "{few}");
        // One of few that differs is no noise of the others.
        let one = [(1e-4, 900.0), (1.2e-4, 800.0), (0.9e-4, 500.0), (4.0, 70.0)];
        assert!(Prior::fit(&one, 16).between < 0.001, "{:?}", Prior::fit(&one, 16));
    }
}
