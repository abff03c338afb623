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

/// Rows from which a prior can be fitted at all.
const LEAST_ROWS: usize = 6;

impl Prior {
    /// Fits rows of (variance over all runs, samples a run) of `runs` runs.
    pub fn fit(rows: &[(f64, f64)], runs: usize) -> Prior {
        let df = runs.saturating_sub(1).max(1) as f64;
        // The median of chi squares of so many degrees of freedom, of their mean (Wilson and Hilferty).
        let middle = (1.0 - 2.0 / (9.0 * df)).powi(3).max(0.05);
        let rows: Vec<(f64, f64)> = rows.iter().map(|(s2, x)| ((s2 / middle).max(1e-12), 1.0 / x.max(1.0))).collect();
        if rows.len() < LEAST_ROWS {
            // Too few to say how they vary: independent samples, and the mean of what is beyond.
            let beyond = rows.iter().map(|(s2, counting)| s2 - counting).sum::<f64>() / rows.len().max(1) as f64;
            return Prior { dispersion: 1.0, between: beyond.max(0.0), df: 4.0 };
        }
        let mut best = (f64::INFINITY, 1.0, 0.0);
        for dispersion in [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.35, 1.6, 2.0, 2.5, 3.2, 4.0] {
            for step in 0..=60 {
                // From 0.01 % to 100 % of noise.
                let between = if step == 0 { 0.0 } else { 1e-8 * 10f64.powf(f64::from(step) / 60.0 * 8.0) };
                let apart = |(s2, counting): &(f64, f64)| (s2 / (dispersion * counting + between)).ln().abs();
                let sum: f64 = rows.iter().map(apart).sum();
                if sum < best.0 - 1e-9 {
                    best = (sum, dispersion, between);
                }
            }
        }
        let (_, dispersion, between) = best;
        let mut apart: Vec<f64> =
            rows.iter().map(|(s2, counting)| (s2 / (dispersion * counting + between)).ln().abs()).collect();
        // The median of distances is 0.6745 standard deviations of what is normal.
        let spread = (median(&mut apart) / 0.6745).powi(2);
        let df = (2.0 * trigamma_inverse(spread - trigamma(df / 2.0))).clamp(1.0, 60.0);
        Prior { dispersion, between, df }
    }

    /// The variance that a row of so many samples a run is expected to have.
    pub fn variance(&self, samples: f64) -> f64 {
        (self.dispersion / samples.max(1.0) + self.between).max(1e-10)
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw::Random;
    use super::*;

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
        assert_eq!(Prior::fit(&[(0.5, 4.0); 3], 6).between, (0.5 / (1.0 - 2.0 / 45.0f64).powi(3)) - 0.25);
    }
}
