//! Runs of two sides and what is known of them, made by hand, for tests of what is drawn from a comparison.

#![allow(dead_code)]

use flameprofile::analyze::{DiffTree, View};
use flameprofile::gate::{
    Allowed, Check, Comparison, Day, Estimate, Fate, FunctionFacts, Level, Method, Moved, Outcome, Part, Row, Rule,
    RunFacts, Settings, Side, Verdict, Which,
};
use flameprofile::model::{FrameKind, Profile, Unit};
use flameprofile::render::{Difference, PictureOptions, html, svg};

use super::sketch::{PERIOD, Sketch};

/// Two sides with all that a picture may show.
pub struct Compared {
    pub base: Profile,
    pub new: Profile,
    pub diff: DiffTree,
    pub comparison: Comparison,
}

/// A name that tries to be more than one.
pub const EVIL: &str = "</text><script>window.hit=1</script>\u{202e}\"]]>\nline";

/// Stacks, and how many samples of each a run of the base and of the new side has.
const STACKS: [(&[&str], u64, u64); 12] = [
    (&["main"], 2, 2),
    (&["main", "handle"], 8, 8),
    (&["main", "handle", "crc"], 40, 52),
    (&["main", "handle", "parse"], 30, 12),
    (&["main", "handle", "parse", "scan"], 6, 24),
    (&["main", "handle", "hash"], 24, 18),
    (&["main", "render"], 20, 22),
    (&["main", "render", "layout"], 16, 16),
    (&["main", "log"], 10, 13),
    (&["main", "tests::setup"], 6, 9),
    (&["main", "retired"], 5, 0),
    (&["main", "arrived"], 0, 5),
];

/// The function, what its own part became, what it became with all that it calls, and the adjusted p of both.
fn fates() -> Vec<(&'static str, Fate, Fate, f64)> {
    let by = |name: &str| Fate::Explained(vec![name.into()]);
    vec![
        ("crc", Fate::Regression, by("crc"), 0.004),
        ("handle", Fate::Unchanged, by("crc"), 0.008),
        ("main", Fate::Unchanged, by("crc"), 0.009),
        ("scan", Fate::Moved(0), Fate::Moved(0), 0.004),
        ("parse", Fate::Improved, Fate::Unchanged, 0.004),
        ("hash", Fate::Improved, Fate::Improved, 0.004),
        ("render", Fate::Suspect, Fate::Suspect, 0.031),
        ("log", Fate::Allowed(0), Fate::Allowed(0), 0.006),
        ("tests::setup", Fate::Ignored(0), Fate::Ignored(0), 0.007),
        ("layout", Fate::Unchanged, Fate::Unchanged, 0.8),
        ("retired", Fate::Improved, Fate::Improved, 0.004),
        ("arrived", Fate::Small, Fate::Small, 0.2),
        (EVIL, Fate::Small, Fate::Small, 0.5),
    ]
}

/// So much more or less each run of a side has.
const SPREAD: [i64; 5] = [0, 1, -1, 1, 0];

fn sampled(count: u64, run: usize) -> u64 {
    if count == 0 { 0 } else { count.saturating_add_signed(SPREAD[run]) }
}

fn side(is_new: bool, names: &dyn Fn(&str) -> String) -> Profile {
    let mut sketch = Sketch::new();
    let worker = sketch.thread(7, "server", 8, "worker");
    let main = sketch.thread;
    let mut frames = std::collections::HashMap::new();
    for run in 0..SPREAD.len() {
        for (at, (path, base, new)) in STACKS.iter().enumerate() {
            let path: Vec<_> =
                path.iter().map(|name| *frames.entry(*name).or_insert_with(|| sketch.frame(&names(name)))).collect();
            let thread = if at % 3 == 0 { worker } else { main };
            let end = flameprofile::model::StackEnd::Root;
            sketch.sample_as(thread, &path, end, sampled(if is_new { *new } else { *base }, run));
        }
        let (root, evil) = (frames["main"], *frames.entry(EVIL).or_insert_with(|| sketch.frame(EVIL)));
        sketch.sample(&[root, evil], 1);
    }
    sketch.finish()
}

fn row(name: &str, part: Part, fate: Fate, p: f64, totals: &[f64; 10]) -> Row {
    let of_run = |run: usize| -> f64 {
        let is_new = run >= SPREAD.len();
        let counted = STACKS.iter().filter(|(path, ..)| match part {
            Part::Everything => true,
            Part::Own => path.last() == Some(&name),
            Part::Inclusive => path.contains(&name),
        });
        let sum: u64 =
            counted.map(|(_, base, new)| sampled(if is_new { *new } else { *base }, run % SPREAD.len())).sum();
        (sum + u64::from(name == EVIL || part == Part::Everything || name == "main" && part == Part::Inclusive)) as f64
            * PERIOD as f64
    };
    let runs: Vec<f64> = (0..2 * SPREAD.len()).map(of_run).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (base, new) = (mean(&runs[..5]), mean(&runs[5..]));
    let (all, all_new) = (mean(&totals[..5]), mean(&totals[5..]));
    let estimate = |change: f64| {
        let (p, p_less) = if change < 0.0 { (1.0, p) } else { (p, 1.0) };
        // What is new has no upper end.
        let low = if change.is_finite() { change - 0.055 } else { 3.0 };
        Estimate { change, low, high: change + 0.0612, t: 3.0, p, p_less }
    };
    let change = if base > 0.0 { new / base } else { f64::INFINITY };
    Row {
        function: FunctionFacts {
            name: if part == Part::Everything { String::new() } else { name.into() },
            kind: (part != Part::Everything).then_some(FrameKind::User),
            module: "server".into(),
            file: "/src/server.c".into(),
            line: 12,
        },
        part,
        inlined_into: None,
        base,
        new,
        share: base / all,
        samples: [base / PERIOD as f64, new / PERIOD as f64],
        by_scale: [change - 1.0, change / (all_new / all) - 1.0, change / FACTOR - 1.0].map(estimate),
        of_total: (new - base) / all,
        runs,
        visible: 0.07,
        rule: None,
        fate,
        is_repeated: false,
        rest_high: None,
    }
}

const FACTOR: f64 = 1.021;

/// Two sides of five runs each: `crc` is a regression, `scan` has cost that was in `parse`.
pub fn compared() -> Compared {
    compared_as(&|name| name.to_owned())
}

/// The same, with functions by other names in the profiles alone.
pub fn compared_as(names: &dyn Fn(&str) -> String) -> Compared {
    let (base, new) = (side(false, names), side(true, names));
    let diff = DiffTree::build(&base, &new, &View::default(), true);
    let totals = row("", Part::Everything, Fate::Unchanged, 0.4, &[1.0; 10]).runs;
    let totals: [f64; 10] = totals.try_into().unwrap();
    let mut rows = Vec::new();
    for (name, own, inclusive, p) in fates() {
        let own_p = if own == Fate::Unchanged { 0.7 } else { p };
        rows.push(row(name, Part::Own, own, own_p, &totals));
        rows.push(row(name, Part::Inclusive, inclusive, p, &totals));
    }
    let run = |side: Side, number: usize| {
        let label =
            if number == 4 { format!("{}/{EVIL}", side.name()) } else { format!("{}/{number}.data", side.name()) };
        let facts = RunFacts {
            label,
            samples: 170,
            value: 170 * PERIOD,
            work: 1.0,
            host: "box, Linux 6.12.0".into(),
            started_unix: 1_795_246_509 + number as u64,
            ..RunFacts::default()
        };
        (side, facts)
    };
    let runs = [Side::Base, Side::New].into_iter().flat_map(|side| (0..5).map(move |number| run(side, number)));
    let period = PERIOD as f64;
    let comparison = Comparison {
        settings: Settings {
            rules: vec![Rule {
                which: Which { function: Some("{tests,bench}::**".into()), ..Which::default() },
                ignore: true,
                ..Rule::default()
            }],
            allowed: vec![Allowed {
                which: Which { function: Some("log".into()), ..Which::default() },
                up_to: 0.5,
                until: Day { year: 2027, month: 3, day: 31 },
                reason: "CVE fix <#812>".into(),
                line: 9,
            }],
            ..Settings::default()
        },
        event: "cpu-clock".into(),
        unit: Unit::Nanoseconds,
        work_unit: "request".into(),
        runs: runs.collect(),
        checks: vec![
            Check { level: Level::Note, what: "rate", text: "997 Hz on both sides".into() },
            Check { level: Level::Warning, what: "host", text: format!("kernels differ: {EVIL}") },
        ],
        matched: vec![("rust hash", 12), ("clone suffix", 0)],
        method: Method::Relabelled { relabellings: 252, is_exact: true, least_p: 1.0 / 252.0 },
        noise: 0.017,
        total: row("", Part::Everything, Fate::Unchanged, 0.4, &totals),
        rows,
        untested: 7,
        untested_share: [0.004, 0.005],
        one_sided: [vec!["retired".into()], vec!["arrived".into(), EVIL.into()]],
        moved: vec![Moved {
            to: "scan".into(),
            from: vec!["parse".into()],
            within: "handle".into(),
            rise: 18.0 * period,
            rest: -period,
        }],
        renamed: Vec::new(),
        robust_factor: FACTOR,
        verdict: Verdict { outcome: Outcome::Regression, missing: Vec::new(), more_runs: Some(4) },
    };
    Compared { base, new, diff, comparison }
}

impl Compared {
    pub fn difference(&self) -> Difference<'_> {
        Difference { base: &self.base, new: &self.new, diff: &self.diff, comparison: Some(&self.comparison) }
    }

    pub fn svg(&self, options: &PictureOptions) -> String {
        let mut out = Vec::new();
        svg::write_diff(&self.difference(), options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    pub fn html(&self, options: &PictureOptions) -> String {
        let mut out = Vec::new();
        html::write_diff(&self.difference(), options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}
