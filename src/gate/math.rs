//! The distributions that tests need: normal, Student's t, and what variances are moderated with.
//!
//! Formulas: Abramowitz and Stegun 6.1, 6.3, 6.4 (gamma and its derivatives), 26.5 (incomplete beta), 26.7 (t); Press et al., "Numerical
//! Recipes", 6.4 (its continued fraction). Errors are below 1e-10 where tests look, which is against SciPy.

use std::f64::consts::PI;

/// The logarithm of the gamma function, for `x > 0`.
pub fn ln_gamma(x: f64) -> f64 {
    // Stirling's series needs a large argument; the recurrence brings it there.
    let mut shift = 0.0;
    let mut x = x;
    while x < 10.0 {
        shift += x.ln();
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    let series = (1.0 / 12.0 - z * (1.0 / 360.0 - z * (1.0 / 1260.0 - z * (1.0 / 1680.0 - z / 1188.0)))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln() + series - shift
}

/// The derivative of the digamma function, for `x > 0`.
pub fn trigamma(x: f64) -> f64 {
    let mut sum = 0.0;
    let mut x = x;
    while x < 10.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    let series = z * (1.0 / 6.0 - z * (1.0 / 30.0 - z * (1.0 / 42.0 - z / 30.0)));
    sum + (1.0 + 0.5 / x + series) / x
}

/// The `x` at which [`trigamma`] is `y`; infinite if `y` is not above 0.
pub fn trigamma_inverse(y: f64) -> f64 {
    if y <= 1e-6 {
        return if y <= 0.0 { f64::INFINITY } else { 1.0 / y };
    }
    let (mut low, mut high) = (1e-4_f64, 2e6_f64);
    for _ in 0..200 {
        let middle = (low * high).sqrt();
        if trigamma(middle) > y { low = middle } else { high = middle }
    }
    (low * high).sqrt()
}

/// The regularized incomplete beta function, for `a, b > 0` and `x` in 0..=1.
pub fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let ln_front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    // The fraction converges fast on this side of the mean.
    if x < (a + 1.0) / (a + b + 2.0) {
        ln_front.exp() * beta_fraction(a, b, x) / a
    } else {
        1.0 - ln_front.exp() * beta_fraction(b, a, 1.0 - x) / b
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..=10_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        let step = d * c;
        fraction *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// The chance that a normal variable is at least `z`.
pub fn normal_above(z: f64) -> f64 {
    // Half the chance that the square of z, a chi square of one degree of freedom, is exceeded: Student's t of very many.
    if z.abs() > 38.0 {
        return if z > 0.0 { 0.0 } else { 1.0 };
    }
    let tail = 0.5 * erfc(z.abs() / std::f64::consts::SQRT_2);
    if z >= 0.0 { tail } else { 1.0 - tail }
}

/// The complementary error function, for `x >= 0`.
fn erfc(x: f64) -> f64 {
    if x < 2.0 {
        // Its power series.
        let (mut term, mut sum) = (x, x);
        let mut n = 0.0;
        while term.abs() > 1e-17 * sum.abs() {
            n += 1.0;
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
            if n > 200.0 {
                break;
            }
        }
        return 1.0 - 2.0 / PI.sqrt() * sum;
    }
    // Its continued fraction, from the far end.
    let mut fraction = 0.0;
    for k in (1..=80).rev() {
        fraction = f64::from(k) / 2.0 / (x + fraction);
    }
    (-x * x).exp() / PI.sqrt() / (x + fraction)
}

/// The chance that Student's t of `df` degrees of freedom is at least `t`.
pub fn t_above(t: f64, df: f64) -> f64 {
    if t.is_infinite() {
        return if t > 0.0 { 0.0 } else { 1.0 };
    }
    if df > 1e6 {
        return normal_above(t);
    }
    let tail = 0.5 * incomplete_beta(df / 2.0, 0.5, df / (df + t * t));
    if t >= 0.0 { tail } else { 1.0 - tail }
}

/// The `t` that Student's t of `df` degrees of freedom exceeds with the chance `above`, which is between 0 and 1.
pub fn t_quantile(above: f64, df: f64) -> f64 {
    if above > 0.5 {
        return -t_quantile(1.0 - above, df);
    }
    let (mut low, mut high) = (0.0, 1.0);
    while t_above(high, df) > above && high < 1e12 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if t_above(middle, df) > above { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// [`t_quantile`] of one chance, for one row after the other: most have as many degrees of freedom as the one before.
pub fn t_quantiles(above: f64) -> impl FnMut(f64) -> f64 {
    let mut last = (f64::NAN, 0.0);
    move |df| {
        if df != last.0 {
            last = (df, t_quantile(above, df));
        }
        last.1
    }
}

/// The median of `values`, which are sorted by it; 0 of none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => 0.5 * (values[count / 2 - 1] + values[count / 2]),
    }
}

/// The value at which half of the weight is reached; 0 of none.
pub fn weighted_median(values: &mut [(f64, f64)]) -> f64 {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = values.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    for (row, (value, weight)) in values.iter().enumerate() {
        sum += weight;
        if sum > half {
            return *value;
        }
        if sum == half {
            return values.get(row + 1).map_or(*value, |next| 0.5 * (value + next.0));
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-10 * expected.abs().max(1e-2), "{found} is not {expected}");
    }

    /// Values of SciPy 1.15: `gammaln`, `polygamma(1, x)`, `betainc`, `norm.sf`, `t.sf`, `t.isf`.
    #[test]
    fn as_scipy_has_them() {
        close(ln_gamma(0.5), 0.572_364_942_924_700_4);
        close(ln_gamma(7.25), 7.052_185_450_738_539_5);
        close(trigamma(0.5), 4.934_802_200_544_679);
        close(trigamma(4.0), 0.283_822_955_737_115_3);
        close(trigamma_inverse(0.283_822_955_737_115_3), 4.0);
        close(incomplete_beta(2.0, 3.0, 0.4), 0.5248);
        close(incomplete_beta(30.0, 0.5, 0.99), 0.439_334_368_905_250_74);
        close(normal_above(1.644_853_626_951_472_2), 0.05);
        close(normal_above(3.0), 0.001_349_898_031_630_093_3);
        close(normal_above(-1.0), 0.841_344_746_068_542_9);
        close(t_above(2.306_004_135_204_168, 8.0), 0.025);
        close(t_above(-1.0, 5.0), 0.818_391_266_175_439_3);
        close(t_quantile(0.025, 8.0), 2.306_004_135_204_168);
        close(t_quantile(0.975, 8.0), -2.306_004_135_204_168);
        close(t_quantile(0.01, 1e9), 2.326_347_874_040_841);
        let mut quantile = t_quantiles(0.025);
        [8.0, 8.0, 5.0, 8.0].into_iter().for_each(|df| assert_eq!(quantile(df), t_quantile(0.025, df)));
    }

    #[test]
    fn medians() {
        assert_eq!((median(&mut []), median(&mut [3.0, 1.0, 2.0]), median(&mut [4.0, 1.0])), (0.0, 2.0, 2.5));
        assert_eq!(weighted_median(&mut [(5.0, 1.0), (1.0, 1.0), (2.0, 3.0)]), 2.0);
        assert_eq!(weighted_median(&mut [(5.0, 1.0), (1.0, 1.0)]), 3.0);
    }
}
