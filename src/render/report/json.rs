//! A comparison of runs, as JSON.
//!
//! ```text
//! {"format": "flameprofile-gate", "version": 1; a change that breaks readers raises it
//!  "name": which comparison it is, "command": the command line, or "",
//!  "verdict": {"outcome": "regression" | "no change" | "inconclusive", "missing": [text], "more_runs": number or null,
//!              "exit_status": 0 | 1 | 2 | 3},
//!  "event", "unit": "ns" | "count" | "bytes", "work_unit": "run", "request", ..
//!  "method": {"name": "relabelled", "relabellings", "is_exact", "least_p"} | {"name": "holm"}
//!            | {"name": "one run", "noise", "history_runs": 0 if it is assumed},
//!  "noise": between runs, "robust_factor",
//!  "settings": {"alpha", "warn_alpha", "min_relative", "min_absolute", "margin", "total_max": number or null, "scale", "runs", "seed",
//!               "is_design_strict", "assumed_noise", "config": path or null,
//!               "rules": [{"function", "module", "file": pattern or null, "self_max", "inclusive_max": number or null, "ignore", "line"}],
//!               "allowed": [{"function", "module", "file", "up_to", "until": "2026-12-31", "reason", "line"}]},
//!  "runs": [{"side": "base" | "new", "label", "event", "rate", "period", "samples", "value", "work", "lost", "truncated", "unnamed",
//!            "host", "target", "started_unix", "order", "found_by": [text], "builds": [{"file", "build_id"}], "notes": [text]}],
//!  "checks": [{"level": "note" | "warning" | "cap", "what", "text"}],
//!  "normalised": [{"step", "names"}],
//!  "untested": {"functions", "base_share", "new_share"},
//!  "vanished": [name], "appeared": [name],
//!  "moved": [{"to", "from": [name], "within": name, "" for everything, "rise", "rest"}],
//!  "renamed": [{"from", "to", "why"}],
//!  "total": ROW, "rows": [ROW]}
//!
//! ROW: {"function": FUNCTION, "part": "everything" | "self" | "inclusive",
//!       "inlined_into": FUNCTION that has most of the change in its code, as the row's is inlined there; null if there is none,
//!       "base", "new": mean value per unit of work, "share": of what the base takes,
//!       "samples": [base, new] a run, "of_total", "visible",
//!       "scales": {"work": ESTIMATE, "share": ESTIMATE, "robust": ESTIMATE},
//!       "runs": [value per unit of work, in the order of "runs" above], "rule": row of the settings' rules or null,
//!       "fate": {"name": "regression" | "suspect" | "small" | "improved" | "unchanged"}
//!               | {"name": "explained", "by": [name]} | {"name": "moved", "row"} | {"name": "allowed", "row"} | {"name": "ignored", "row"},
//!       "is_repeated": whether it is a suspect whose rise is mostly that of other suspects and regressions below it}
//! FUNCTION: {"name", "kind", "module", "file", "line": 0 if it is not known}
//! ESTIMATE: {"change", "low", "high", "t", "p", "p_less"}
//! ```
//!
//! Shares and changes are 0..1: 0.2 is 20 %. JSON has no infinity: such a number is `null`, and its object has `"not_finite": {"change":
//! "inf"}` then, with `inf`, `-inf` or `nan` for each of them. Names are whole and as they came; whoever shows them has to escape them.

use std::io::{BufWriter, Write};

use serde_json::{Map, Value, json};

use super::ReportOptions;
use crate::error::{Error, Result};
use crate::gate::{
    Comparison, Estimate, Fate, FunctionFacts, Level, Method, Part, Row, RunFacts, Scale, Settings, Side, Which,
};
use crate::render::diff::json::{kind, unit};

/// Writes `comparison`.
pub fn write(comparison: &Comparison, options: &ReportOptions, out: &mut impl Write) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    document(comparison, options, &mut out)
        .and_then(|()| out.flush())
        .map_err(|error| Error::io("cannot write JSON", error))
}

fn document(comparison: &Comparison, options: &ReportOptions, out: &mut impl Write) -> std::io::Result<()> {
    let verdict = &comparison.verdict;
    writeln!(out, "{{\"format\": \"flameprofile-gate\", \"version\": 1,")?;
    let head = [
        ("name", json!(options.name)),
        ("command", json!(options.command)),
        (
            "verdict",
            json!({
                "outcome": verdict.outcome.name(),
                "missing": verdict.missing,
                "more_runs": verdict.more_runs,
                "exit_status": options.exit_status,
            }),
        ),
        ("event", json!(comparison.event)),
        ("unit", json!(unit(comparison.unit))),
        ("work_unit", json!(comparison.work_unit)),
        ("method", method(&comparison.method)),
        ("settings", settings(&comparison.settings)),
    ];
    for (key, value) in head {
        writeln!(out, "{}: {value},", json!(key))?;
    }
    let mut numbers = Map::new();
    finite(&mut numbers, &[("noise", comparison.noise), ("robust_factor", comparison.robust_factor)]);
    for (key, value) in numbers {
        writeln!(out, "{}: {value},", json!(key))?;
    }
    rows(out, "runs", comparison.runs.iter().map(|(side, run)| run_facts(*side, run)))?;
    rows(
        out,
        "checks",
        comparison
            .checks
            .iter()
            .map(|check| json!({"level": level(check.level), "what": check.what, "text": check.text})),
    )?;
    rows(out, "normalised", comparison.matched.iter().map(|(step, names)| json!({"step": step, "names": names})))?;
    let mut untested = Map::from_iter([("functions".to_owned(), json!(comparison.untested))]);
    let [base, new] = comparison.untested_share;
    finite(&mut untested, &[("base_share", base), ("new_share", new)]);
    writeln!(out, "\"untested\": {},", Value::Object(untested))?;
    rows(out, "vanished", comparison.one_sided[0].iter().map(|name| json!(name)))?;
    rows(out, "appeared", comparison.one_sided[1].iter().map(|name| json!(name)))?;
    rows(
        out,
        "moved",
        comparison.moved.iter().map(|moved| {
            let mut of = Map::new();
            of.insert("to".to_owned(), json!(moved.to));
            of.insert("from".to_owned(), json!(moved.from));
            of.insert("within".to_owned(), json!(moved.within));
            finite(&mut of, &[("rise", moved.rise), ("rest", moved.rest)]);
            Value::Object(of)
        }),
    )?;
    rows(
        out,
        "renamed",
        comparison.renamed.iter().map(|renamed| json!({"from": renamed.from, "to": renamed.to, "why": renamed.why})),
    )?;
    writeln!(out, "\"total\": {},", row(&comparison.total))?;
    write!(out, "\"rows\": [")?;
    for (at, of) in comparison.rows.iter().enumerate() {
        write!(out, "{}\n{}", if at > 0 { "," } else { "" }, row(of))?;
    }
    writeln!(out, "]}}")
}

/// A list, a line for each of its values.
fn rows(out: &mut impl Write, key: &str, values: impl Iterator<Item = Value>) -> std::io::Result<()> {
    write!(out, "{}: [", json!(key))?;
    for (at, value) in values.enumerate() {
        write!(out, "{}\n{value}", if at > 0 { "," } else { "" })?;
    }
    writeln!(out, "],")
}

/// Puts numbers into an object, and says of those that JSON does not have what they are.
fn finite(object: &mut Map<String, Value>, numbers: &[(&str, f64)]) {
    let mut not_finite = Map::new();
    for (key, number) in numbers {
        object.insert((*key).to_owned(), json!(number));
        let name = match *number {
            f64::INFINITY => "inf",
            f64::NEG_INFINITY => "-inf",
            number if number.is_nan() => "nan",
            _ => continue,
        };
        not_finite.insert((*key).to_owned(), json!(name));
    }
    if !not_finite.is_empty() {
        object.insert("not_finite".to_owned(), Value::Object(not_finite));
    }
}

fn row(row: &Row) -> Value {
    let mut object = Map::new();
    object.insert("function".to_owned(), function(&row.function));
    object.insert("inlined_into".to_owned(), row.inlined_into.as_ref().map_or(Value::Null, function));
    object.insert("part".to_owned(), json!(part(row.part)));
    object.insert("samples".to_owned(), json!(row.samples));
    let scales = Scale::ALL.map(|scale| (scale.name().to_owned(), estimate(row.on(scale))));
    object.insert("scales".to_owned(), Value::Object(Map::from_iter(scales)));
    object.insert("runs".to_owned(), json!(row.runs));
    object.insert("rule".to_owned(), json!(row.rule));
    object.insert("fate".to_owned(), fate(&row.fate));
    object.insert("is_repeated".to_owned(), json!(row.is_repeated));
    let numbers = [
        ("base", row.base),
        ("new", row.new),
        ("share", row.share),
        ("of_total", row.of_total),
        ("visible", row.visible),
    ];
    finite(&mut object, &numbers);
    Value::Object(object)
}

fn function(of: &FunctionFacts) -> Value {
    json!({"name": of.name, "kind": of.kind.map(kind), "module": of.module, "file": of.file, "line": of.line})
}

fn estimate(of: &Estimate) -> Value {
    let mut object = Map::new();
    let Estimate { change, low, high, t, p, p_less } = *of;
    let numbers = [("change", change), ("low", low), ("high", high), ("t", t), ("p", p), ("p_less", p_less)];
    finite(&mut object, &numbers);
    Value::Object(object)
}

fn fate(fate: &Fate) -> Value {
    match fate {
        Fate::Explained(by) => json!({"name": "explained", "by": by}),
        Fate::Moved(row) => json!({"name": "moved", "row": row}),
        Fate::Allowed(row) => json!({"name": "allowed", "row": row}),
        Fate::Ignored(row) => json!({"name": "ignored", "row": row}),
        Fate::Regression => json!({"name": "regression"}),
        Fate::Suspect => json!({"name": "suspect"}),
        Fate::Small => json!({"name": "small"}),
        Fate::Improved => json!({"name": "improved"}),
        Fate::Unchanged => json!({"name": "unchanged"}),
    }
}

fn method(method: &Method) -> Value {
    let mut object = Map::new();
    let name = match *method {
        Method::Relabelled { relabellings, is_exact, least_p } => {
            object.insert("relabellings".to_owned(), json!(relabellings));
            object.insert("is_exact".to_owned(), json!(is_exact));
            finite(&mut object, &[("least_p", least_p)]);
            "relabelled"
        }
        Method::Holm => "holm",
        Method::OneRun { noise, history_runs } => {
            finite(&mut object, &[("noise", noise)]);
            object.insert("history_runs".to_owned(), json!(history_runs));
            "one run"
        }
    };
    object.insert("name".to_owned(), json!(name));
    Value::Object(object)
}

fn settings(settings: &Settings) -> Value {
    let patterns = |which: &Which, mut object: Map<String, Value>| {
        for (key, pattern) in which.patterns() {
            object.insert(key.to_owned(), json!(pattern));
        }
        Value::Object(object)
    };
    let rules = settings.rules.iter().map(|rule| {
        let mut object = Map::new();
        object.insert("self_max".to_owned(), json!(rule.self_max));
        object.insert("inclusive_max".to_owned(), json!(rule.inclusive_max));
        object.insert("ignore".to_owned(), json!(rule.ignore));
        object.insert("line".to_owned(), json!(rule.line));
        patterns(&rule.which, object)
    });
    let allowed = settings.allowed.iter().map(|entry| {
        let mut object = Map::new();
        finite(&mut object, &[("up_to", entry.up_to)]);
        object.insert("until".to_owned(), json!(entry.until.to_string()));
        object.insert("reason".to_owned(), json!(entry.reason));
        object.insert("line".to_owned(), json!(entry.line));
        patterns(&entry.which, object)
    });
    json!({
        "alpha": settings.alpha,
        "warn_alpha": settings.warn_alpha,
        "min_relative": settings.min_relative,
        "min_absolute": settings.min_absolute,
        "margin": settings.margin,
        "total_max": settings.total_max,
        "scale": settings.scale.name(),
        "runs": settings.runs,
        "seed": settings.seed,
        "is_design_strict": settings.is_design_strict,
        "assumed_noise": settings.assumed_noise,
        "config": settings.config.as_ref().map(|path| path.to_string_lossy().into_owned()),
        "rules": rules.collect::<Vec<_>>(),
        "allowed": allowed.collect::<Vec<_>>(),
    })
}

fn run_facts(side: Side, run: &RunFacts) -> Value {
    let builds = run.builds.iter().map(|(file, build_id)| json!({"file": file, "build_id": build_id}));
    json!({
        "side": side.name(),
        "label": run.label,
        "event": run.event,
        "rate": run.rate,
        "period": run.period,
        "samples": run.samples,
        "value": run.value,
        "work": run.work,
        "lost": run.lost,
        "truncated": run.truncated,
        "unnamed": run.unnamed,
        "host": run.host,
        "target": run.target,
        "started_unix": run.started_unix,
        "order": run.order,
        "found_by": run.found_by,
        "builds": builds.collect::<Vec<_>>(),
        "notes": run.notes,
    })
}

fn part(part: Part) -> &'static str {
    match part {
        Part::Everything => "everything",
        Part::Own => "self",
        Part::Inclusive => "inclusive",
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Note => "note",
        Level::Warning => "warning",
        Level::Cap => "cap",
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{hostile, large, no_change, one_run, regression};
    use super::*;

    fn read(comparison: &Comparison) -> Value {
        let mut out = Vec::new();
        write(comparison, &ReportOptions { exit_status: 1, ..ReportOptions::default() }, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn everything_is_in_it() {
        let made = regression();
        let json = read(&made);
        assert_eq!((&json["format"], &json["version"]), (&json!("flameprofile-gate"), &json!(1)));
        assert_eq!(json["verdict"]["outcome"], "regression");
        assert_eq!(json["verdict"]["exit_status"], 1);
        assert_eq!(json["rows"].as_array().unwrap().len(), made.rows.len());
        assert_eq!(json["rows"][0]["scales"]["robust"]["p"], made.rows[0].by_scale[2].p);
        assert_eq!(json["rows"][0]["runs"].as_array().unwrap().len(), json["runs"].as_array().unwrap().len());
        assert_eq!(json["settings"]["allowed"][0]["until"], "2026-12-31");
        assert_eq!(json["rows"][3]["fate"], json!({"name": "moved", "row": 0}));
        assert_eq!(json["runs"][5]["side"], "new");
        assert_eq!(read(&no_change(5))["verdict"]["outcome"], "no change");
    }

    #[test]
    fn what_json_has_no_number_for_is_null_with_a_flag() {
        let json = read(&regression());
        let new = &json["rows"][10];
        assert_eq!(new["function"]["name"], "brand_new");
        assert_eq!(new["scales"]["work"]["change"], Value::Null);
        assert_eq!(new["scales"]["work"]["not_finite"]["change"], "inf");
        assert_eq!(json["rows"][0]["scales"]["work"].get("not_finite"), None);
        assert_eq!(read(&one_run())["total"]["not_finite"]["visible"], "inf");
    }

    #[test]
    fn names_come_through_as_they_are() {
        let made = hostile();
        let json = read(&made);
        for (row, of) in made.rows.iter().zip(json["rows"].as_array().unwrap()) {
            assert_eq!(of["function"]["name"], row.function.name);
        }
        assert_eq!(read(&large())["rows"].as_array().unwrap().len(), 5_000);
    }
}
