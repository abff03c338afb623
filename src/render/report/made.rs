//! Comparisons for tests, made by hand: nothing here is computed from runs.

use std::path::PathBuf;

use crate::gate::{
    Allowed, Check, Comparison, Day, Estimate, Fate, FunctionFacts, Level, Method, Moved, Outcome, Part, Renamed, Row,
    Rule, RunFacts, Settings, Side, Verdict, Which,
};
use crate::model::{FrameKind, Unit};

/// An estimate of a change, with an interval of 3 points on either side.
fn estimate(change: f64, p: f64) -> Estimate {
    Estimate { change, low: change - 0.03, high: change + 0.03, t: change * 50.0, p, p_less: 1.0 - p }
}

/// A row of a function's own time, in milliseconds a run, of `runs` runs a side.
pub(super) fn row(name: &str, base: f64, new: f64, p: f64, fate: Fate, runs: usize) -> Row {
    let change = if base > 0.0 { new / base - 1.0 } else { f64::INFINITY };
    let around = |mean: f64, at: usize| (mean * (1.0 + 0.01 * (at as f64 - (runs as f64 - 1.0) / 2.0))) * 1e6;
    let values = (0..runs).map(|at| around(base, at)).chain((0..runs).map(|at| around(new, at)));
    Row {
        function: FunctionFacts {
            name: name.to_owned(),
            kind: Some(FrameKind::User),
            module: "server".to_owned(),
            file: "/build/src/crc.c".to_owned(),
            line: 12,
        },
        part: Part::Own,
        inlined_into: None,
        base: base * 1e6,
        new: new * 1e6,
        share: base / 2000.0,
        samples: [base, new],
        by_scale: [estimate(change, p), estimate(change * 0.8, p * 2.0), estimate(change * 0.9, p * 1.5)],
        of_total: (new - base) / 2000.0,
        runs: values.collect(),
        visible: 0.07,
        rule: None,
        fate,
        is_repeated: false,
        rest_high: None,
    }
}

/// What is known of a run.
fn run(side: Side, at: usize) -> (Side, RunFacts) {
    let order = 2 * at as u32 + u32::from(side == Side::New);
    let facts = RunFacts {
        label: format!("{} {}", side.name(), at + 1),
        event: "cpu-clock".to_owned(),
        rate: Some(2000.0),
        period: Some(500_000),
        samples: 4_000 + at as u64,
        value: 2_000_000_000,
        work: 1_000.0,
        truncated: 0.001,
        unnamed: 0.02,
        host: "box 6.1.0".to_owned(),
        target: "./server --once".to_owned(),
        started_unix: 1_795_246_509 + u64::from(order) * 3,
        order: Some(order),
        found_by: vec!["unwind info"],
        builds: vec![("server".to_owned(), format!("{:x}", 0xabc_def0 + u64::from(side == Side::New)))],
        ..RunFacts::default()
    };
    (side, facts)
}

/// A comparison of `runs` runs a side in which nothing was found.
pub(super) fn no_change(runs: usize) -> Comparison {
    let mut total = row("", 2000.0, 2004.0, 0.81, Fate::Unchanged, runs);
    total.part = Part::Everything;
    total.function = FunctionFacts::default();
    total.visible = 0.021;
    Comparison {
        settings: Settings::default(),
        event: "cpu-clock".to_owned(),
        unit: Unit::Nanoseconds,
        work_unit: "request".to_owned(),
        runs: [Side::Base, Side::New].into_iter().flat_map(|side| (0..runs).map(move |at| run(side, at))).collect(),
        checks: vec![Check { level: Level::Note, what: "order of runs", text: "interleaved at random".to_owned() }],
        matched: vec![("rust hash", 12), ("clone suffix", 3)],
        method: Method::Relabelled { relabellings: 252, is_exact: true, least_p: 1.0 / 252.0 },
        noise: 0.012,
        total,
        rows: vec![
            row("hash", 420.0, 421.0, 0.9, Fate::Unchanged, runs),
            row("parse::header", 100.0, 99.0, 0.95, Fate::Unchanged, runs),
            row("log", 20.0, 20.1, 0.99, Fate::Unchanged, runs),
        ],
        untested: 14,
        untested_share: [0.004, 0.0041],
        one_sided: [Vec::new(), Vec::new()],
        moved: Vec::new(),
        renamed: Vec::new(),
        robust_factor: 1.0013,
        verdict: Verdict { outcome: Outcome::NoChange, missing: Vec::new(), more_runs: None },
    }
}

/// One with everything in it: a regression of a function, one that rules say, what is explained, moved, allowed, ignored, suspect,
/// small, better, new and gone.
pub(super) fn regression() -> Comparison {
    let runs = 5;
    let mut made = no_change(runs);
    made.total = Row {
        part: Part::Everything,
        function: FunctionFacts::default(),
        visible: 0.031,
        ..row("", 2000.0, 2096.0, 0.012, Fate::Explained(vec!["crc".to_owned()]), runs)
    };
    let which = |function: &str| Which { function: Some(function.into()), ..Which::default() };
    made.settings.config = Some(PathBuf::from("profile.toml"));
    made.settings.rules = vec![
        Rule { which: which("codec::**"), self_max: Some(0.05), inclusive_max: Some(0.03), ignore: false, line: 12 },
        Rule { which: which("{tests,bench}::**"), ignore: true, line: 17, ..Rule::default() },
    ];
    made.settings.allowed = vec![Allowed {
        which: which("parser::validate"),
        up_to: 0.15,
        until: Day { year: 2026, month: 12, day: 31 },
        reason: "CVE fix, #812".to_owned(),
        line: 21,
    }];
    let with = |mut row: Row, part: Part, rule: Option<usize>| {
        (row.part, row.rule) = (part, rule);
        row
    };
    let mut unplaced = row("codec::decode<T>", 60.0, 66.0, 0.004, Fate::Regression, runs);
    (unplaced.function.file, unplaced.function.line) = (String::new(), 0);
    made.rows = vec![
        row("crc", 390.0, 471.0, 0.0039, Fate::Regression, runs),
        with(unplaced, Part::Inclusive, Some(0)),
        with(
            row("handle", 1500.0, 1590.0, 0.004, Fate::Explained(vec!["crc".to_owned()]), runs),
            Part::Inclusive,
            None,
        ),
        row("sum_in_parent", 10.0, 200.0, 0.004, Fate::Moved(0), runs),
        row("parser::validate", 50.0, 55.0, 0.006, Fate::Allowed(0), runs),
        with(row("tests::slow", 30.0, 60.0, 0.004, Fate::Ignored(1), runs), Part::Own, Some(1)),
        row("io::flush", 40.0, 44.0, 0.03, Fate::Suspect, runs),
        row("memcpy", 100.0, 101.5, 0.004, Fate::Small, runs),
        row("sort", 80.0, 40.0, 1.0, Fate::Improved, runs),
        row("sum", 193.0, 0.0, 1.0, Fate::Improved, runs),
        row("brand_new", 0.0, 3.0, 0.2, Fate::Unchanged, runs),
        row("hash", 420.0, 421.0, 0.9, Fate::Unchanged, runs),
    ];
    made.rows[3].of_total = 0.095;
    made.one_sided = [vec!["sum".to_owned(), "tiny_old".to_owned()], vec!["brand_new".to_owned()]];
    made.moved = vec![Moved {
        to: "sum_in_parent".to_owned(),
        from: vec!["sum".to_owned()],
        within: "handle".to_owned(),
        rise: 190e6,
        rest: -3e6,
    }];
    made.renamed = vec![Renamed {
        from: "tiny_old".to_owned(),
        to: "brand_new".to_owned(),
        why: "same callers, cost 0.1 % and 0.1 %".to_owned(),
    }];
    made.checks.push(Check { level: Level::Warning, what: "host", text: "another kernel on the new side".to_owned() });
    made.robust_factor = 1.013;
    made.verdict = Verdict { outcome: Outcome::Regression, missing: Vec::new(), more_runs: Some(4) };
    made
}

/// Too few runs.
pub(super) fn inconclusive() -> Comparison {
    let mut made = no_change(3);
    made.method = Method::Holm;
    made.verdict = Verdict {
        outcome: Outcome::Inconclusive,
        missing: vec!["3 runs a side, and 5 are demanded".to_owned(), "base ran before new".to_owned()],
        more_runs: Some(2),
    };
    made.checks.push(Check {
        level: Level::Cap,
        what: "order of runs",
        text: "all of base, then all of new".to_owned(),
    });
    made
}

/// One run a side.
pub(super) fn one_run() -> Comparison {
    let mut made = no_change(1);
    made.method = Method::OneRun { noise: 0.05, history_runs: 0 };
    made.total.visible = f64::INFINITY;
    made.verdict = Verdict {
        outcome: Outcome::Inconclusive,
        missing: vec!["one run a side says nothing of the noise between runs".to_owned()],
        more_runs: None,
    };
    made
}

/// Names that try to be something else.
pub(super) const HOSTILE: [&str; 14] = [
    "a|b",
    "a\\|b",
    "``` x `y`",
    "<script>alert(1)</script>",
    "@everyone see [this](https://evil.example)",
    "two\nlines\r\n::error::x",
    "##[error]x ##vso[task.setvariable]x",
    "\x1b[31mred\x1b[0m\0",
    "]]></failure><x>",
    "-->\n# heading",
    "::add-mask::a",
    "% 100%25,b:c",
    "$x$",
    "",
];

/// A regression everywhere that a name can stand, of hostile names.
pub(super) fn hostile() -> Comparison {
    let mut made = regression();
    let name = |at: usize| HOSTILE[at % HOSTILE.len()].to_owned();
    let all: Vec<String> = HOSTILE.iter().map(|name| (*name).to_owned()).collect();
    let fates = made.rows.clone();
    made.rows = Vec::new();
    for (at, of) in fates.iter().enumerate() {
        for other in 0..HOSTILE.len() {
            let mut row = of.clone();
            row.function.name = name(other);
            (row.function.module, row.function.file) = (name(other + at), name(other + at + 1));
            if let Fate::Explained(by) = &mut row.fate {
                by.clone_from(&all);
            }
            made.rows.push(row);
        }
    }
    made.event = name(6);
    made.work_unit = name(0);
    for (at, (_, run)) in made.runs.iter_mut().enumerate() {
        (run.label, run.host, run.target, run.event) = (name(at), name(at + 1), name(at + 2), name(at + 3));
        (run.builds, run.notes) = (vec![(name(at + 4), name(at + 5))], vec![name(at + 6)]);
    }
    made.checks = (0..HOSTILE.len())
        .map(|at| Check { level: [Level::Note, Level::Warning, Level::Cap][at % 3], what: "host", text: name(at) })
        .collect();
    made.one_sided = [all.clone(), all.clone()];
    made.moved = (0..HOSTILE.len())
        .map(|at| Moved { to: name(at), from: all.clone(), within: name(at + 1), rise: 1e6, rest: f64::NAN })
        .collect();
    made.renamed =
        (0..HOSTILE.len()).map(|at| Renamed { from: name(at), to: name(at + 1), why: name(at + 2) }).collect();
    made.settings.allowed[0].reason = name(9);
    made.settings.config = Some(PathBuf::from(name(5)));
    made.settings.rules[0].which.function = Some(name(8).as_str().into());
    made.verdict.missing = all;
    made
}

/// Thousands of functions of every fate, with long names, and a thousand runs.
pub(super) fn large() -> Comparison {
    let mut made = hostile();
    let fates = made.rows.clone();
    made.rows = (0..5_000)
        .map(|at| {
            let mut row = fates[at % fates.len()].clone();
            row.function.name = format!("{}::{at}::{}", row.function.name, "a|`大\u{301}".repeat(at % 40));
            row
        })
        .collect();
    made.one_sided = [0, 1].map(|_| made.rows.iter().map(|row| row.function.name.clone()).collect());
    made.moved = made.moved.iter().cycle().take(5_000).cloned().collect();
    made.renamed = made.renamed.iter().cycle().take(5_000).cloned().collect();
    made.checks = made.checks.iter().cycle().take(5_000).cloned().collect();
    made.runs = made.runs.iter().cycle().take(1_000).cloned().collect();
    made.verdict.missing = made.verdict.missing.iter().cycle().take(5_000).cloned().collect();
    made
}

/// Compares with `testdata/render/gate/NAME`, or rewrites it if `BLESS` is set.
pub(super) fn golden(name: &str, text: &str) {
    let path = format!("{}/testdata/render/gate/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(text == expected, "{name} differs; if it should, run with BLESS=1 and read the diff");
}
