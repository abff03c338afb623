//! A comparison as a picture carries it, in the header of its data (see [`crate::formats::picture`]).

use serde_json::{Value, json};

use super::difference::Difference;
use super::evidence::{factor, fate_rank};
use super::name::printable;
use super::verdict;
use crate::analyze::{DiffTop, DiffTree};
use crate::formats::picture::{COMPARISON_VERSION, KINDS};
use crate::gate::{Comparison, Estimate, Level, Method, Part, Row, Scale, Side};
use crate::model::FrameKind;

/// So many rows of functions that did not change are carried at most: those with less take up room and say nothing.
const MOST_ROWS: usize = 4_000;

/// A number with six digits; `null` for what is none or has no end.
fn short(number: f64) -> Value {
    if !number.is_finite() {
        return Value::Null;
    }
    if number == 0.0 {
        return json!(0);
    }
    let rounded: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    // Whole numbers without a point.
    if rounded.fract() == 0.0 && rounded.abs() < 9e15 { json!(rounded as i64) } else { json!(rounded) }
}

/// What a comparison says, for the header of a picture of `difference`.
pub(super) fn pack(difference: &Difference<'_>, comparison: &Comparison) -> Value {
    let settings = &comparison.settings;
    let DiffTree { base_total, new_total, .. } = *difference.diff;
    let mut rows: Vec<&Row> = comparison.rows.iter().collect();
    // Stable: within a fate as the comparison has them.
    rows.sort_by_key(|row| fate_rank(&row.fate));
    rows.truncate(MOST_ROWS);
    let rows: Vec<Value> =
        std::iter::once(&comparison.total).chain(rows).map(|row| pack_row(row, comparison)).collect();
    let moved = comparison.moved.iter().map(|moved| {
        let from: Vec<_> = moved.from.iter().map(|name| printable(name)).collect();
        let words = verdict::moved(moved, comparison);
        json!([printable(&moved.to), from, printable(&moved.within), short(moved.rise), short(moved.rest), words])
    });
    let runs = comparison.runs.iter().map(|(side, run)| {
        json!([u8::from(*side == Side::New), printable(&run.label), short(run.work), run.samples, printable(&run.host)])
    });
    let checks = comparison.checks.iter().map(|check| {
        let level = match check.level {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Cap => "cap",
        };
        json!([level, check.what, printable(&check.text)])
    });
    json!({
        "version": COMPARISON_VERSION,
        "verdict": comparison.verdict.outcome.name(),
        "line": verdict::line(comparison),
        "facts": verdict::facts(comparison),
        "alpha": settings.alpha,
        "warn_alpha": settings.warn_alpha,
        "min_relative": settings.min_relative,
        "min_absolute": settings.min_absolute,
        "seed": settings.seed,
        "scale": settings.scale.name(),
        "scales": Scale::ALL.map(|scale| json!(factor(comparison, scale, base_total, new_total))),
        "robust_factor": short(comparison.robust_factor),
        "method": match comparison.method {
            Method::Relabelled { .. } => "relabelled",
            Method::Holm => "holm",
            Method::OneRun { .. } => "one run",
        },
        "noise": short(comparison.noise),
        "visible": short(comparison.total.visible),
        "work_unit": printable(&comparison.work_unit),
        "runs": runs.collect::<Vec<_>>(),
        "checks": checks.collect::<Vec<_>>(),
        "moved": moved.collect::<Vec<_>>(),
        "rows": rows,
    })
}

/// Name, kind (none for everything), part, base, new, share of the total on the gate's scale, estimates, smallest visible change, fate in
/// one word and in words, value of each run, into what it was inlined (the name is empty if nothing).
fn pack_row(row: &Row, comparison: &Comparison) -> Value {
    let kind = row.function.kind.and_then(|kind| KINDS.iter().position(|known| *known == kind));
    let part = match row.part {
        Part::Everything => 0,
        Part::Own => 1,
        Part::Inclusive => 2,
    };
    let estimates = row.by_scale.iter().flat_map(|Estimate { change, low, high, p, p_less, .. }| {
        [change, low, high, p, p_less].map(|number| short(*number))
    });
    let fate = verdict::fate_name(&row.fate);
    let words = verdict::fate(row, comparison);
    json!([
        printable(&row.function.name),
        kind,
        part,
        short(row.base),
        short(row.new),
        short(row.of_total),
        estimates.collect::<Vec<_>>(),
        short(row.visible),
        fate,
        if words == fate { "" } else { &words },
        row.runs.iter().map(|value| short(*value)).collect::<Vec<_>>(),
        row.inlined_into.as_ref().map_or_else(Default::default, |into| printable(&into.name)),
    ])
}

/// How much functions changed, -1..1 of the larger side, own and inclusive, where no runs were compared: by name and kind, those within the
/// noise of the counts left out.
pub(super) fn changes(difference: &Difference<'_>) -> Vec<(String, FrameKind, f64, f64)> {
    let diff = difference.diff;
    let functions = DiffTop::build(diff).functions.into_iter().filter_map(|function| {
        let (base, new) = (&function.base, &function.new);
        let own = beyond_noise(diff, (base.self_value, base.self_samples), (new.self_value, new.self_samples));
        let total = beyond_noise(diff, (base.total_value, base.total_samples), (new.total_value, new.total_samples));
        let name = diff.tree.names.get(function.name).to_owned();
        (own != 0.0 || total != 0.0).then_some((name, function.kind, own, total))
    });
    functions.collect()
}

/// How much something has changed, -1..1, relative to the larger side; 0 if that is within two standard deviations of the counts. Sides are
/// values and numbers of samples.
pub(super) fn beyond_noise(diff: &DiffTree, base: (u64, u64), new: (u64, u64)) -> f64 {
    let difference = diff.change(base.0, new.0);
    if difference == 0.0 {
        return 0.0;
    }
    let (old, value) = (base.0 as f64 * diff.scale, new.0 as f64);
    let (old_samples, samples) = (base.1 as f64, new.1 as f64);
    let counted = samples + old_samples * diff.scale;
    let per_sample = if counted > 0.0 { (value + old) / counted } else { 0.0 };
    let noise = 2.0 * per_sample * (samples + old_samples * diff.scale * diff.scale).sqrt();
    if difference.abs() <= noise { 0.0 } else { (difference / value.max(old)).clamp(-1.0, 1.0) }
}

/// The same as the script reads them.
pub(super) fn pack_changes(difference: &Difference<'_>) -> Value {
    let rows = changes(difference).into_iter().map(|(name, kind, own, total)| {
        let kind = KINDS.iter().position(|known| *known == kind);
        json!([printable(&name), kind, short(own), short(total)])
    });
    Value::Array(rows.collect())
}
