//! The verdict: regression, no change, or that nothing can be said.

use super::causes::limits;
use super::comparison::{Comparison, Level, Method, Outcome, Side, Verdict};

/// More runs than this a side are not proposed.
const MOST_RUNS: f64 = 100.0;

/// What `of` says.
pub(super) fn verdict(of: &Comparison) -> Verdict {
    let settings = &of.settings;
    let runs = of.count(Side::Base).min(of.count(Side::New));
    let mut missing: Vec<String> = Vec::new();
    let (base, new) = (of.count(Side::Base), of.count(Side::New));
    match of.method {
        _ if runs == 0 => missing.push("a side has no runs".to_owned()),
        Method::OneRun { history_runs: 0, noise } => missing.push(format!(
            "one run a side: what varies from run to run is not known, and assumed to be {:.0} %; record {} runs a side, or use a history",
            noise * 100.0,
            settings.runs
        )),
        Method::OneRun { .. } => {}
        _ if (runs as u32) < settings.runs => {
            missing.push(format!("{base} and {new} runs, and {} a side are demanded", settings.runs));
        }
        Method::Relabelled { .. } | Method::Holm => {}
    }
    missing.extend(of.checks.iter().filter(|check| check.level == Level::Cap).map(|check| check.text.clone()));
    let limit = limits(&of.total, settings).relative;
    let total = of.total.on(settings.scale);
    let has_regression = of.regressions().next().is_some();
    let is_wide = total.high >= limit;
    if missing.is_empty() && !has_regression && is_wide {
        missing.push(format!(
            "everything together may have grown by up to {:.1} %, and {:.1} % would matter",
            total.high * 100.0,
            limit * 100.0
        ));
    }
    // The interval of a mean of k runs is as wide as 1 / sqrt(k); it should leave some room below the limit.
    let half = total.high.ln_1p() - total.change.ln_1p();
    let needed = (runs.max(1) as f64 * (half / (0.8 * limit.ln_1p())).powi(2)).ceil();
    let is_enough = (runs as u32) >= settings.runs && (!is_wide || has_regression);
    let needed = needed.max(f64::from(settings.runs));
    let more_runs = (!is_enough && needed > runs as f64 && needed <= MOST_RUNS).then(|| needed as u32 - runs as u32);
    let outcome = match (missing.is_empty(), has_regression) {
        (false, _) => Outcome::Inconclusive,
        (true, true) => Outcome::Regression,
        (true, false) => Outcome::NoChange,
    };
    Verdict { outcome, missing, more_runs }
}
