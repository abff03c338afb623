//! The verdict: regression, no change, or that nothing can be said.

use super::comparison::{Comparison, Level, Method, Outcome, Part, Side, Verdict};
use super::rise::limits;
use super::settings::Scale;

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
    // What is no number is no pass either.
    let high = of.total.rest_high.unwrap_or(total.high);
    let is_wide = settings.scale != Scale::Share && (high >= limit || !high.is_finite());
    let untested = of.untested_share[0].max(of.untested_share[1]);
    if runs > 0 && !has_regression && (of.rows.is_empty() || untested >= 0.5) {
        missing.push(format!(
            "{:.0} % of the samples are in functions with too few of them to be tested",
            untested * 100.0
        ));
    }
    // Shares of everything say nothing: there what takes most is looked at.
    let largest = of.rows.iter().filter(|row| row.part == Part::Own).max_by(|a, b| a.share.total_cmp(&b.share));
    if let Some(row) = largest.filter(|_| settings.scale == Scale::Share && missing.is_empty() && !has_regression) {
        let (high, limit) = (row.on(Scale::Share).high, limits(row, settings).relative);
        if high >= limit || !high.is_finite() {
            missing.push(format!(
                "the share of {} may have grown by up to {:.1} %, and {:.1} % would matter",
                row.function.name,
                high * 100.0,
                limit * 100.0
            ));
        }
    }
    if missing.is_empty() && !has_regression && is_wide {
        let what = if of.total.rest_high.is_some() { "what is not accepted" } else { "everything together" };
        missing.push(format!(
            "{what} may have grown by up to {:.1} %, and {:.1} % would matter",
            high * 100.0,
            limit * 100.0
        ));
    }
    // The interval of a mean of k runs is as wide as 1 / sqrt(k); it should leave some room below the limit.
    let half = total.high.ln_1p() - total.change.ln_1p();
    let needed = (runs.max(1) as f64 * (half / (0.8 * limit.ln_1p())).powi(2)).ceil();
    let is_enough = (runs as u32) >= settings.runs && (!is_wide || has_regression);
    let needed = needed.max(f64::from(settings.runs));
    let is_known = matches!(of.method, Method::OneRun { history_runs: 1.., .. });
    let more_runs =
        (!is_enough && !is_known && needed > runs as f64 && needed <= MOST_RUNS).then(|| needed as u32 - runs as u32);
    let outcome = match (missing.is_empty(), has_regression) {
        (false, _) => Outcome::Inconclusive,
        (true, true) => Outcome::Regression,
        (true, false) => Outcome::NoChange,
    };
    Verdict { outcome, missing, more_runs }
}
