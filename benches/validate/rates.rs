//! Rates with their exact intervals (Clopper and Pearson 1934).

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// Of how many.
    pub of: u64,
}

impl Rate {
    /// Counts what is so.
    pub fn of(each: impl IntoIterator<Item = bool>) -> Rate {
        let mut rate = Rate::default();
        for is_so in each {
            rate.count += u64::from(is_so);
            rate.of += 1;
        }
        rate
    }

    /// Both together.
    pub fn and(self, other: Rate) -> Rate {
        Rate { count: self.count + other.count, of: self.of + other.of }
    }

    /// As a share; nothing of nothing is 0.
    pub fn share(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.count as f64 / self.of as f64 }
    }

    /// Below this the true rate is with so much confidence.
    pub fn upper(self, confidence: f64) -> f64 {
        if self.count >= self.of {
            return 1.0;
        }
        beta_quantile(confidence, (self.count + 1) as f64, (self.of - self.count) as f64)
    }

    /// Above this the true rate is with so much confidence.
    pub fn lower(self, confidence: f64) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        beta_quantile(1.0 - confidence, self.count as f64, (self.of - self.count + 1) as f64)
    }

    /// The two-sided interval of 95 %.
    pub fn interval(self) -> [f64; 2] {
        [self.lower(0.975), self.upper(0.975)]
    }
}

/// Where the beta distribution has so much below it.
fn beta_quantile(below: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // Half of what is left each time: 60 are more than the digits of a double near 0.001.
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if beta_below(middle, a, b) < below {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// The regularized incomplete beta function, by its continued fraction (Lentz), from the side on which that converges.
fn beta_below(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    }
}

fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let apart = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / apart(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for step in 1..500 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = value;
        for term in [even, odd] {
            d = 1.0 / apart(1.0 + term * d);
            c = apart(1.0 + term / c);
            value *= d * c;
        }
        if (value - before).abs() < 1e-15 * value.abs() {
            break;
        }
    }
    value
}

/// Lanczos' approximation, g = 7, nine terms: 15 digits above 0.5, and nothing below that is asked for.
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.5203681218851,
        -1259.1392167224028,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507343278686905,
        -0.13857109526572012,
        9.984_369_578_019_572e-6,
        1.5056327351493116e-7,
    ];
    let x = x - 1.0;
    let t = x + 7.5;
    let first = 0.999_999_999_999_809_9;
    let sum = TERMS.iter().zip(1..).fold(first, |sum, (term, i)| sum + term / (x + f64::from(i)));
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::{Rate, beta_below, ln_gamma};

    #[track_caller]
    fn check(count: u64, of: u64, low: f64, high: f64) {
        let [found_low, found_high] = Rate { count, of }.interval();
        assert!((found_low - low).abs() < 5e-7 && (found_high - high).abs() < 5e-7, "{found_low:.7} {found_high:.7}");
    }

    #[test]
    fn intervals_are_those_of_sums_of_the_binomial() {
        check(1, 40, 0.000632745, 0.131585858);
        check(2, 320, 0.000757802, 0.022393588);
        check(3, 320, 0.001937539, 0.027151806);
        check(38, 40, 0.830803136, 0.993886353);
        check(5, 10, 0.187086028, 0.812913972);
        check(1, 1000, 0.000025317, 0.005558924);
        check(77, 80, 0.894298015, 0.992198813);
    }

    #[test]
    fn ends_are_known_in_closed_form() {
        // None of n: 1 - (alpha / 2)^(1 / n).
        check(0, 40, 0.0, 1.0 - 0.025f64.powf(1.0 / 40.0));
        check(40, 40, 0.025f64.powf(1.0 / 40.0), 1.0);
        let upper = Rate { count: 0, of: 200 }.upper(0.95);
        assert!((upper - (1.0 - 0.05f64.powf(1.0 / 200.0))).abs() < 1e-12, "{upper}");
        assert_eq!(Rate::default().interval(), [0.0, 1.0]);
    }

    #[test]
    fn functions_agree_with_sums() {
        for n in 1..30u32 {
            let sum: f64 = (1..n).map(|i| f64::from(i).ln()).sum();
            assert!((ln_gamma(f64::from(n)) - sum).abs() < 1e-11 * sum.max(1.0), "{n}");
        }
        // The chance of at least 3 of 7 at 0.3, summed.
        let choose = [1.0, 7.0, 21.0, 35.0, 35.0, 21.0, 7.0, 1.0];
        let sum: f64 = (3..8).map(|i| choose[i] * 0.3f64.powi(i as i32) * 0.7f64.powi(7 - i as i32)).sum();
        assert!((beta_below(0.3, 3.0, 5.0) - sum).abs() < 1e-14);
    }
}
