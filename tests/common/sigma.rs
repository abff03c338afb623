//! The statistics that judge a figure: how far is it from the truth, in standard deviations of honest sampling.

/// The limit of the figures: with honest sampling one value in 1,000 lies beyond.
pub const LIMIT: f64 = 3.3;

/// How far `hits` of `samples` is from a true share, in standard deviations of the binomial distribution.
pub fn of_share(hits: u64, samples: u64, truth: f64) -> f64 {
    let samples = samples as f64;
    (hits as f64 - samples * truth) / (samples * truth * (1.0 - truth)).sqrt()
}

/// How far a count is from the expected one, in standard deviations of the Poisson distribution.
///
/// A sampler with even periods varies less than that, so this is the lenient side.
pub fn of_count(count: u64, expected: f64) -> f64 {
    (count as f64 - expected) / expected.sqrt()
}

/// The chi-square statistic of counts against true shares, and the limit that honest sampling passes in 999 of 1,000
/// cases (Wilson and Hilferty's approximation).
pub fn chi_square(hits: &[u64], truths: &[f64]) -> (f64, f64) {
    let samples = hits.iter().sum::<u64>() as f64;
    let statistic =
        hits.iter().zip(truths).map(|(&hit, truth)| (hit as f64 - samples * truth).powi(2) / (samples * truth)).sum();
    let freedom = (hits.len() - 1) as f64;
    let spread = 2.0 / (9.0 * freedom);
    (statistic, freedom * (1.0 - spread + 3.090 * spread.sqrt()).powi(3))
}

#[test]
fn share_in_sigmas() {
    assert_eq!(of_share(400, 1000, 0.4), 0.0);
    // sqrt(1000 x 0.4 x 0.6) = 15.49
    assert!((of_share(431, 1000, 0.4) - 2.001).abs() < 0.001);
    assert!((of_count(121, 100.0) - 2.1).abs() < 1e-9);
}

#[test]
fn chi_square_knows_its_table() {
    // 99.9 % point for five degrees of freedom is 20.515.
    let (statistic, limit) = chi_square(&[40, 25, 15, 10, 7, 3], &[0.4, 0.25, 0.15, 0.1, 0.07, 0.03]);
    assert!(statistic < 1e-9);
    assert!((limit - 20.515).abs() < 0.3, "{limit}");
}
