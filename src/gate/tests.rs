//! Made runs with changes that are known, and what is said of them. Real ones are judged by `benches/validate.rs`.

use super::*;
use crate::analyze::made::profile;

/// Functions with the samples that a run has of each, on average.
type Costs = Vec<(&'static str, f64)>;

/// A server: `handle` calls `parse`, `crc` and `compress`, and there is a tail of small functions.
fn server() -> Costs {
    let mut costs = vec![
        ("main;handle;parse", 300.0),
        ("main;handle;crc", 500.0),
        ("main;handle;compress;find_matches", 800.0),
        ("main;handle;compress;emit", 200.0),
        ("main;reply", 100.0),
        ("main;reply;format", 120.0),
    ];
    costs.extend(TAIL.iter().enumerate().map(|(row, path)| (*path, 90.0 - 3.0 * row as f64)));
    costs
}

const TAIL: [&str; 24] = [
    "main;idle;a",
    "main;idle;b",
    "main;idle;c",
    "main;idle;d",
    "main;idle;e",
    "main;idle;f",
    "main;idle;g",
    "main;idle;h",
    "main;load;i",
    "main;load;j",
    "main;load;k",
    "main;load;l",
    "main;load;m",
    "main;load;n",
    "main;load;o",
    "main;load;p",
    "main;tick;q",
    "main;tick;r",
    "main;tick;s",
    "main;tick;t",
    "main;tick;u",
    "main;tick;v",
    "main;tick;w",
    "main;tick;x",
];

fn with(mut costs: Costs, path: &'static str, samples: f64) -> Costs {
    match costs.iter_mut().find(|(known, _)| *known == path) {
        Some(known) => known.1 = samples,
        None => costs.push((path, samples)),
    }
    costs
}

/// One run: counting noise, 2 % of noise of each function, 1 % of the machine.
fn run(costs: &Costs, program: &str, random: &mut Random) -> RunInput {
    let machine = (0.01 * random.normal()).exp();
    let lines: Vec<String> = costs
        .iter()
        .filter_map(|(path, samples)| {
            let mean = samples * machine * (0.02 * random.normal()).exp();
            let count = (mean + mean.sqrt() * random.normal()).round();
            (count >= 1.0).then(|| format!("{program};{path} {count}"))
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    RunInput { label: String::new(), profile: profile(&lines), work: 1.0, order: None, series: "s".into() }
}

/// Runs of both, recorded in turn.
fn runs(base: &Costs, new: &Costs, count: u32, seed: u64) -> Vec<(Side, RunInput)> {
    let mut random = Random::new(seed);
    let mut runs = Vec::new();
    for row in 0..count {
        for (side, costs, program) in [(Side::Base, base, "old"), (Side::New, new, "new")] {
            let order = 2 * row + u32::from((side == Side::New) != (row % 2 == 1));
            let of = run(costs, program, &mut random);
            runs.push((side, RunInput { label: format!("{} {row:02}", side.name()), order: Some(order), ..of }));
        }
    }
    runs
}

fn of_runs(inputs: Vec<(Side, RunInput)>, settings: &Settings) -> Comparison {
    let mut runs = Runs::new(Matching::default(), false);
    inputs.into_iter().for_each(|(side, run)| runs.add(side, run));
    runs.compare(settings, None)
}

fn compared(base: &Costs, new: &Costs, seed: u64) -> Comparison {
    of_runs(runs(base, new, 5, seed), &Settings::default())
}

fn row<'a>(of: &'a Comparison, name: &str, part: Part) -> &'a Row {
    of.rows.iter().find(|row| row.function.name == name && row.part == part).expect("it is tested")
}

fn failed(of: &Comparison) -> Vec<(&str, Part)> {
    of.regressions().filter(|row| row.part != Part::Everything).map(|row| (&row.function.name[..], row.part)).collect()
}

#[test]
fn nothing_that_has_not_changed_fails() {
    let mut flags = 0;
    let (mut covered, mut all) = (0, 0);
    for seed in 0..60 {
        let of = compared(&server(), &server(), seed);
        flags += usize::from(of.regressions().next().is_some());
        for row in of.rows.iter().filter(|row| row.part == Part::Own) {
            let on = row.on(Scale::Work);
            covered += u32::from(on.low <= 0.0 && 0.0 <= on.high);
            all += 1;
        }
    }
    // 0.6 are expected at most.
    assert!(flags <= 2, "{flags} of 60 comparisons of nothing failed");
    let share = f64::from(covered) / f64::from(all);
    assert!((0.93..=0.97).contains(&share), "95 % intervals hold nothing in {share}");
}

#[test]
fn a_cause_is_named_and_its_callers_are_not() {
    for seed in 0..10 {
        let of = compared(&server(), &with(server(), "main;handle;crc", 650.0), seed);
        assert_eq!(failed(&of), [("crc", Part::Own)], "seed {seed}");
        assert_eq!(of.verdict.outcome, Outcome::Regression);
        let crc = row(&of, "crc", Part::Own);
        assert_eq!(crc.on(Scale::Work).p, 1.0 / 252.0);
        assert!(crc.on(Scale::Work).low < 0.3 && 0.3 < crc.on(Scale::Work).high);
        assert!((crc.of_total - 0.043).abs() < 0.02, "{}", crc.of_total);
        let handle = row(&of, "handle", Part::Inclusive);
        let is_explained = handle.fate == Fate::Explained(vec!["crc".to_owned()]);
        assert!(is_explained || handle.fate == Fate::Unchanged, "{:?}", handle.fate);
    }
}

#[test]
fn a_margin_passes_what_is_hardly_more() {
    let (base, new) = (server(), with(server(), "main;handle;crc", 540.0));
    let found = |margin: f64| {
        let mut all = Runs::new(Matching::default(), false);
        runs(&base, &new, 10, 4).into_iter().for_each(|(side, run)| all.add(side, run));
        let of = all.compare(&Settings { margin: Some(margin), ..Settings::default() }, None);
        let names: Vec<String> = of.regressions().map(|row| row.function.name.clone()).collect();
        let crc = of.rows.iter().find(|row| row.function.name == "crc" && row.part == Part::Own).unwrap().clone();
        (names, crc.on(Scale::Work).p, crc.visible)
    };
    let (none, some) = (found(0.0), found(0.05));
    assert_eq!((none.0, some.0), (vec!["crc".to_owned()], vec![]));
    assert!(none.1 < 0.001 && some.1 > 0.01 && some.2 > none.2 + 0.03, "{} {}, {} {}", none.1, some.1, none.2, some.2);
}

#[test]
fn with_many_runs_a_rise_has_to_be_surely_more_than_what_another_layout_takes() {
    let margin = |count: u32, settings: &Settings| {
        let mut inputs = runs(&server(), &server(), count, 4);
        inputs.truncate(2 * count as usize - 1);
        of_runs(inputs, settings).settings.margin
    };
    assert_eq!((margin(8, &Settings::default()), margin(9, &Settings::default())), (Some(0.0), Some(0.02)));
    let none = Settings { margin: Some(0.0), ..Settings::default() };
    assert_eq!(margin(9, &none), Some(0.0));
    // What is asked for is not overridden.
    assert_eq!(margin(9, &Settings { min_relative: 0.01, ..Settings::default() }), Some(0.01));
    assert_eq!(margin(9, &Settings { total_max: Some(0.005), ..Settings::default() }), Some(0.005));
    // A function that took 16 % more, for certain, fails; with a margin of that much it does not.
    let slower = with(server(), "main;handle;crc", 580.0);
    let found = |settings: &Settings| failed(&of_runs(runs(&server(), &slower, 12, 4), settings)).len();
    assert_eq!((found(&Settings::default()), found(&Settings { margin: Some(0.16), ..Settings::default() })), (1, 0));
}

#[test]
fn interrupts_are_nobodys_and_are_said() {
    let of = |matching: &str| {
        let mut all = Runs::new(Matching::parse(matching).unwrap(), false);
        let irq = "main;handle;crc;asm_sysvec_apic_timer_interrupt;irqentry_exit_to_user_mode";
        let (base, new) = (with(server(), irq, 40.0), with(server(), irq, 90.0));
        runs(&base, &new, 6, 5).into_iter().for_each(|(side, run)| all.add(side, run));
        all.compare(&Settings { total_max: Some(0.1), ..Settings::default() }, None)
    };
    let (aside, not) = (of("normal"), of("normal,-interrupts"));
    let names = |of: &Comparison| of.regressions().map(|row| row.function.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&aside), Vec::<String>::new());
    assert_eq!(names(&not), ["irqentry_exit_to_user_mode"]);
    // Everything together has them all the same.
    assert_eq!(aside.total.runs, not.total.runs);
    let check = aside.checks.iter().find(|check| check.what == "interrupts").unwrap();
    assert!(check.level == Level::Warning && check.text.starts_with("1."), "{check:?}");
    assert!(!not.checks.iter().any(|check| check.what == "interrupts"));
}

#[test]
fn many_small_rises_are_their_callers() {
    let mut costs = server();
    for path in &TAIL[..8] {
        let samples = costs.iter().find(|(known, _)| known == path).unwrap().1;
        costs = with(costs, path, samples * 1.2);
    }
    let found = (0..10).filter(|seed| failed(&compared(&server(), &costs, *seed)).contains(&("idle", Part::Inclusive)));
    assert!(found.count() >= 8);
}

#[test]
fn work_that_moved_within_a_caller_is_no_regression() {
    for seed in 0..10 {
        let half = with(with(server(), "main;handle;crc", 250.0), "main;handle;crc_rest", 250.0);
        let of = compared(&server(), &half, seed);
        assert_eq!(failed(&of), [], "seed {seed}");
        assert_ne!(of.verdict.outcome, Outcome::Regression);
        let moved: Vec<_> = of.moved.iter().map(|moved| (&moved.to[..], &moved.from[..], &moved.within[..])).collect();
        assert_eq!(moved, [("crc_rest", &["crc".to_owned()][..], "handle")]);
        assert_eq!(row(&of, "crc", Part::Own).fate, Fate::Moved(0));
        // Outlined, and the other way round inlined.
        let outlined = with(with(server(), "main;handle;parse", 100.0), "main;handle;parse;skip", 200.0);
        assert_eq!(failed(&compared(&server(), &outlined, seed)), []);
        assert_eq!(failed(&compared(&outlined, &server(), seed)), []);
    }
}

/// Too few samples to be certain that the caller has not changed, and now and then to be tested there at all.
#[test]
fn a_small_function_that_its_caller_took_in_has_moved() {
    let out = with(with(server(), "main;hash;mix", 24.0), "main;hash", 0.4);
    let taken_in = with(server(), "main;hash", 24.0);
    let mut fails = 0;
    for seed in 0..20 {
        let of = compared(&out, &taken_in, seed);
        assert_eq!(failed(&of), [], "seed {seed}");
        assert_eq!(row(&of, "mix", Part::Own).fate, Fate::Moved(0), "seed {seed}: {:?}", of.moved);
        assert_eq!((&of.moved[0].to[..], &of.moved[0].within[..], of.moved.len()), ("hash", "hash", 1), "seed {seed}");
        // Two thirds more than it took, and twice as much, are no move: the whole function fails at least.
        let more = compared(&out, &with(server(), "main;hash", 44.0), seed);
        fails += u32::from(failed(&more).iter().any(|(name, _)| *name == "hash"));
        let twice = compared(&out, &with(server(), "main;hash", 70.0), seed);
        assert_eq!(failed(&twice), [("hash", Part::Own)], "seed {seed}");
    }
    assert!(fails >= 10, "{fails} of 20");
}

/// Its caller rose for another reason, among so few functions that what came and went could be taken for noise.
#[test]
fn a_rename_beside_a_regression_is_no_regression() {
    let base: Costs = vec![
        ("main;work", 10.0),
        ("main;work;step", 340.0),
        ("main;work;other", 640.0),
        ("main;load", 20.0),
        ("main;save", 30.0),
    ];
    let new: Costs = vec![
        ("main;work", 10.0),
        ("main;work;advance", 345.0),
        ("main;work;other", 1100.0),
        ("main;load", 20.0),
        ("main;save", 30.0),
    ];
    for seed in 0..10 {
        let of = compared(&base, &new, seed);
        let own: Vec<_> = failed(&of).into_iter().filter(|(_, part)| *part == Part::Own).collect();
        assert_eq!(own, [("other", Part::Own)], "seed {seed}");
        let moved: Vec<_> = of.moved.iter().map(|of| (&of.to[..], &of.from[..], &of.within[..])).collect();
        assert_eq!(moved, [("advance", &["step".to_owned()][..], "work")], "seed {seed}");
        // What replaces it at twice the cost is one.
        let twice = compared(&base, &with(new.clone(), "main;work;advance", 690.0), seed);
        assert!(failed(&twice).contains(&("advance", Part::Own)), "seed {seed}");
        let two = compared(&base, &with(new.clone(), "main;work;retreat", 330.0), seed);
        assert!(!two.moved.iter().any(|of| of.to == "advance" || of.to == "retreat"), "seed {seed}: {:?}", two.moved);
    }
}

/// What went elsewhere stands for nothing here, and which of several callers is named does not hang on the order of runs.
#[test]
fn what_comes_replaces_only_what_its_callers_called() {
    let base = with(with(server(), "main;handle;old", 300.0), "main;idle;old", 4.0);
    let new = with(with(server(), "main;handle;renamed", 300.0), "main;idle;slow", 280.0);
    for seed in 0..5 {
        let of = compared(&base, &new, seed);
        assert!(failed(&of).contains(&("slow", Part::Own)), "seed {seed}: {:?}", of.moved);
        assert!(of.moved.iter().any(|of| of.to == "renamed" && of.within == "handle"), "seed {seed}: {:?}", of.moved);
    }
    // Nor does what is called from elsewhere now, as much as before.
    let base = with(server(), "main;handle;old", 300.0);
    let new = with(with(with(server(), "main;handle;slow", 290.0), "main;idle;old", 300.0), "main;handle", 250.0);
    let of = compared(&base, &new, 1);
    assert!(failed(&of).contains(&("slow", Part::Own)), "{:?}, {:?}", failed(&of), of.moved);
    let base = with(with(server(), "main;reply;old", 200.0), "main;handle;old", 200.0);
    let new = with(with(server(), "main;handle;renamed", 200.0), "main;reply;renamed", 200.0);
    let moved = |turn: bool| {
        let mut made = runs(&base, &new, 5, 1);
        if turn {
            made.reverse();
        }
        let mut all = Runs::new(Matching::default(), false);
        made.into_iter().for_each(|(side, run)| all.add(side, run));
        all.compare(&Settings::default(), None).moved
    };
    assert_eq!(moved(false), moved(true));
    assert!(moved(true).iter().any(|of| of.to == "renamed"), "{:?}", moved(true));
}

/// What replaces something is forgiven what that took, and no more.
#[test]
fn renamed_and_slower_is_slower() {
    let base = with(server(), "main;handle;old", 300.0);
    for (cost, is_slower) in [(300.0, false), (400.0, true)] {
        let of = compared(&base, &with(server(), "main;handle;renamed", cost), 2);
        let has_failed = failed(&of).contains(&("renamed", Part::Own));
        assert_eq!(has_failed, is_slower, "{cost}: {:?}, {:?}", failed(&of), of.moved);
        let is_told =
            of.renamed.iter().any(|of| of.from == "old" && of.to == "renamed" && of.why.contains("in its place"));
        assert_eq!(is_told, is_slower, "{cost}: {:?}", of.renamed);
    }
}

/// What its callers, or what they call, lost may be in what replaces something; what came beside it is not.
#[test]
fn what_replaces_and_takes_over_more_is_no_regression() {
    let base = with(with(server(), "main;handle", 500.0), "main;handle;old", 300.0);
    let new = with(with(server(), "main;handle", 300.0), "main;handle;renamed", 500.0);
    let of = compared(&base, &new, 4);
    assert_eq!(failed(&of), [], "{:?}", of.moved);
    let base = with(server(), "main;handle;old", 400.0);
    let new = with(with(server(), "main;handle;renamed", 400.0), "main;handle;more", 200.0);
    let of = compared(&base, &new, 4);
    assert!(failed(&of).contains(&("more", Part::Own)), "{:?}", of.moved);
}

/// In a program of few functions one that rose beyond all measure is no noise of the others.
#[test]
fn what_rose_most_hides_nothing_else() {
    let small = |crc: f64, build: f64| {
        vec![("main;handle;crc", crc), ("main;handle;validate", 170.0), ("main;handle;build", build)]
    };
    let of = compared(&small(800.0, 10.0), &small(920.0, 150.0), 3);
    assert_eq!(failed(&of), [("build", Part::Own), ("crc", Part::Own)], "noise {}", of.noise);
    assert!(of.noise < 0.1, "{}", of.noise);
}

#[test]
fn a_rename_is_proposed() {
    let mut renamed = server();
    renamed.iter_mut().for_each(|(path, _)| {
        if *path == "main;handle;crc" {
            *path = "main;handle;crc32";
        }
    });
    let of = compared(&server(), &renamed, 3);
    assert_eq!(failed(&of), []);
    assert_eq!(of.renamed.len(), 1);
    assert_eq!((&of.renamed[0].from[..], &of.renamed[0].to[..]), ("crc", "crc32"));
    assert_eq!(of.one_sided, [vec!["crc".to_owned()], vec!["crc32".to_owned()]]);
    // Names that builds add to are one from the start.
    let mut hashed = server();
    hashed[1].0 = "main;handle;crc.constprop.0";
    let of = compared(&server(), &hashed, 3);
    assert_eq!((of.renamed.len(), of.matched), (0, vec![("clone", 1)]));
}

#[test]
fn what_comes_from_nothing_fails_and_what_got_faster_does_not() {
    let of = compared(&server(), &with(server(), "main;handle;validate", 60.0), 1);
    assert_eq!(failed(&of), [("validate", Part::Own)]);
    assert_eq!(row(&of, "validate", Part::Own).on(Scale::Work).change, f64::INFINITY);
    for seed in 0..10 {
        let of = compared(&server(), &with(server(), "main;handle;compress;find_matches", 400.0), seed);
        assert_eq!(failed(&of), [], "work");
        assert_eq!(row(&of, "find_matches", Part::Own).fate, Fate::Improved);
        let robust = Settings { scale: Scale::Robust, ..Settings::default() };
        let win = with(server(), "main;handle;compress;find_matches", 400.0);
        assert_eq!(failed(&of_runs(runs(&server(), &win, 5, seed), &robust)), [], "robust");
    }
}

#[test]
fn rules_and_what_is_accepted() {
    let slower = with(server(), "main;handle;crc", 650.0);
    let which = || Which { function: Some("cr?".into()), ..Which::default() };
    let rule = |self_max, ignore| Rule { which: which(), self_max, ignore, ..Rule::default() };
    let day = |year| Day { year, month: 12, day: 31 };
    let accept = |up_to, year| Allowed { which: which(), up_to, until: day(year), reason: "a fix".into(), line: 1 };
    let usual = Settings { today: Some(day(2026)), ..Settings::default() };
    let check = |settings: Settings, expected: Fate| {
        let of = of_runs(runs(&server(), &slower, 5, 2), &settings);
        assert_eq!(row(&of, "crc", Part::Own).fate, expected);
        assert_eq!(of.verdict.outcome == Outcome::Regression, expected == Fate::Regression);
    };
    check(usual.clone(), Fate::Regression);
    check(Settings { rules: vec![rule(None, true)], ..usual.clone() }, Fate::Ignored(0));
    check(Settings { rules: vec![rule(None, true), rule(Some(0.1), false)], ..usual.clone() }, Fate::Regression);
    check(Settings { rules: vec![rule(Some(0.6), false)], ..usual.clone() }, Fate::Small);
    check(Settings { allowed: vec![accept(0.6, 2026)], ..usual.clone() }, Fate::Allowed(0));
    check(Settings { allowed: vec![accept(0.1, 2026)], ..usual.clone() }, Fate::Regression);
    check(Settings { allowed: vec![accept(0.6, 2025), accept(0.6, 2027)], ..usual.clone() }, Fate::Allowed(1));
    check(Settings { allowed: vec![accept(0.6, 2025)], ..usual }, Fate::Regression);
}

#[test]
fn the_same_whatever_the_order_of_adding() {
    let (base, new) = (server(), with(server(), "main;handle;crc", 560.0));
    for count in [5, 9] {
        let mut inputs = runs(&base, &new, count, 4);
        let one = of_runs(runs(&base, &new, count, 4), &Settings::default());
        Random::new(9).shuffle(&mut inputs);
        assert_eq!(of_runs(inputs, &Settings::default()), one);
    }
}

#[test]
fn blocks_are_no_verdict() {
    let order = |change: &dyn Fn(Side, u32) -> u32| {
        let mut inputs = runs(&server(), &with(server(), "main;handle;crc", 650.0), 5, 4);
        for (side, run) in &mut inputs {
            run.order = Some(change(*side, run.order.unwrap()));
        }
        inputs
    };
    let blocks = order(&|side, order| order + 100 * side as u32);
    let of = of_runs(blocks, &Settings::default());
    assert_eq!(of.verdict.outcome, Outcome::Inconclusive);
    assert!(of.verdict.missing[0].starts_with("all runs of the base were made before"), "{:?}", of.verdict);
    assert_eq!(failed(&of), [("crc", Part::Own)], "it is shown all the same");
    let swapped = order(&|side, order| order + 100 * u32::from(side == Side::Base));
    assert!(of_runs(swapped, &Settings::default()).verdict.missing[0].contains("swapped?"));
    let blocks = order(&|side, order| order + 100 * side as u32);
    let any = Settings { is_design_strict: false, ..Settings::default() };
    assert_eq!(of_runs(blocks, &any).verdict.outcome, Outcome::Regression);
}

#[test]
fn few_runs_and_one() {
    let slower = with(server(), "main;handle;crc", 900.0);
    let of = |count| of_runs(runs(&server(), &slower, count, 4), &Settings::default());
    let three = of(3);
    assert_eq!((three.method, three.verdict.outcome), (Method::Holm, Outcome::Inconclusive));
    assert_eq!(three.verdict.missing, ["3 and 3 runs, and 5 a side are demanded"]);
    let one = of(1);
    assert_eq!(one.method, Method::OneRun { noise: 0.05, history_runs: 0 });
    assert_eq!(one.verdict.outcome, Outcome::Inconclusive);
    let mut known = Runs::new(Matching::default(), false);
    runs(&server(), &slower, 1, 4).into_iter().for_each(|(side, run)| known.add(side, run));
    let of = known.compare(&Settings::default(), Some(&Noise { deviation: 0.025, runs: 40 }));
    assert_eq!((of.verdict.outcome, failed(&of)), (Outcome::Regression, vec![("crc", Part::Own)]));
}

#[test]
fn shares_rise_where_something_else_falls_and_work_does_not() {
    let win = with(server(), "main;handle;compress;find_matches", 100.0);
    let share = Settings { scale: Scale::Share, margin: Some(0.0), ..Settings::default() };
    let of = of_runs(runs(&server(), &win, 8, 1), &share);
    assert_eq!((of.total.on(Scale::Share).change, of.total.fate.clone()), (0.0, Fate::Unchanged));
    assert!(failed(&of).len() > 3, "{:?}", failed(&of));
    let of = of_runs(runs(&server(), &win, 8, 1), &Settings::default());
    assert_eq!(failed(&of), []);
}

#[test]
fn a_side_without_runs_is_no_verdict() {
    let inputs = runs(&server(), &server(), 5, 1).into_iter().filter(|(side, _)| *side == Side::Base).collect();
    let of = of_runs(inputs, &Settings::default());
    assert_eq!(
        (of.verdict.outcome, of.verdict.missing),
        (Outcome::Inconclusive, vec!["a side has no runs".to_owned()])
    );
    let of = of_runs(Vec::new(), &Settings::default());
    assert_eq!((of.verdict.outcome, of.rows.len()), (Outcome::Inconclusive, 0));
}

#[test]
fn very_many_runs() {
    let of = of_runs(runs(&server(), &with(server(), "main;handle;crc", 560.0), 70, 4), &Settings::default());
    assert_eq!((of.method, failed(&of)), (Method::Holm, vec![("crc", Part::Own)]));
}

#[test]
fn what_is_inlined_names_the_function_that_has_its_code() {
    let costs = |of_crc: f64| {
        let mut costs = server();
        costs.extend([
            ("main;handle;crc;step_[i];wrapping_mul_[i]", of_crc),
            ("main;handle;parse;wrapping_mul_[i]", 200.0),
            ("main;handle;compress;wrapping_mul", 150.0),
            ("main;idle;twice_[i]", 100.0),
            ("main;load;twice_[i]", 100.0),
            ("twice_[i]", 300.0),
        ]);
        costs
    };
    let of = compared(&costs(300.0), &costs(500.0), 1);
    assert_eq!(failed(&of), [("wrapping_mul", Part::Own)]);
    let into = |name: &str, part: Part| row(&of, name, part).inlined_into.as_ref().map(|into| into.name.as_str());
    assert_eq!(into("wrapping_mul", Part::Own), Some("crc"));
    assert_eq!(into("step", Part::Inclusive), Some("crc"));
    assert_eq!(into("crc", Part::Inclusive), None);
    // Most of the change is where it was called.
    let called = with(costs(300.0), "main;handle;compress;wrapping_mul", 400.0);
    let of = compared(&costs(300.0), &called, 1);
    assert_eq!(row(&of, "wrapping_mul", Part::Own).inlined_into, None);
    // What fell, by where it fell.
    let of = compared(&costs(500.0), &costs(300.0), 1);
    let into = row(&of, "wrapping_mul", Part::Own).inlined_into.as_ref();
    assert_eq!(into.map(|into| into.name.as_str()), Some("crc"));
}

#[test]
fn callers_of_a_suspect_are_suspects_that_say_nothing_more() {
    let costs = |of_busy: f64| -> Costs {
        let small = (0..40).map(|row| format!("main;run;serve;busy{row}").leak() as &'static str);
        // Each too small to be sure of.
        let mut costs: Costs = small.map(|path| (path, of_busy)).collect();
        costs.extend(TAIL.iter().map(|path| (*path, 90.0)));
        costs
    };
    let mut counted = 0;
    for seed in 0..20 {
        let of = compared(&costs(50.0), &costs(54.5), seed);
        let suspects: Vec<&Row> = of.rows.iter().filter(|row| row.fate == Fate::Suspect).collect();
        let shown = |name: &str| suspects.iter().any(|row| row.function.name == name && !row.is_repeated);
        let has = |name: &str| suspects.iter().any(|row| row.function.name == name);
        assert!(of.rows.iter().all(|row| !row.is_repeated || row.fate == Fate::Suspect));
        if has("run") && has("serve") {
            counted += 1;
            // They take the same, and the inner one says more.
            assert!(shown("serve") && !shown("run") && !shown("main"), "seed {seed}");
            assert!(of.total.fate != Fate::Suspect || of.total.is_repeated, "seed {seed}");
        }
    }
    assert!(counted >= 3, "{counted}");
}

#[test]
fn functions_that_only_cost_the_same_are_not_renamed() {
    let suggested = |gone: &[(&'static str, f64)], came: &[(&'static str, f64)]| -> Vec<String> {
        let with = |more: &[(&'static str, f64)]| server().into_iter().chain(more.iter().copied()).collect::<Costs>();
        let of = compared(&with(gone), &with(came), 1);
        of.renamed.iter().map(|of| format!("{} {} {}", of.from, of.to, &of.why[..of.why.find(':').unwrap()])).collect()
    };
    assert_eq!(suggested(&[("main;handle;quux", 200.0)], &[("main;reply;zebra", 200.0)]), [""; 0]);
    // Both are called by one function of many that call the other.
    let of_many = [("main;load;zebra", 70.0), ("main;tick;zebra", 70.0), ("main;handle;zebra", 70.0)];
    assert_eq!(suggested(&[("main;handle;quux", 210.0)], &of_many), [""; 0]);
    assert_eq!(
        suggested(&[("main;handle;quux", 200.0)], &[("main;handle;zebra", 200.0)]),
        ["quux zebra same callers, costs are alike"]
    );
    assert_eq!(
        suggested(
            &[("main;handle;quux", 100.0), ("main;handle;quux;crc", 100.0)],
            &[("main;reply;zebra", 100.0), ("main;reply;zebra;crc", 100.0)]
        ),
        ["quux zebra same callees, costs are alike"]
    );
    assert_eq!(
        suggested(&[("main;handle;read_block", 200.0)], &[("main;reply;read_blocks", 200.0)]),
        ["read_block read_blocks names and costs are alike"]
    );
    // A caller in common, and three times the cost.
    assert_eq!(suggested(&[("main;handle;quux", 100.0)], &[("main;handle;zebra", 300.0)]), [""; 0]);
}
