//! Whether the sides can be compared at all: what was recorded, how, where, and in which order.

use super::comparison::{Check, Level, RunFacts, Side};
use super::math::{median, normal_above};
use super::settings::Settings;
use super::table::Table;
use crate::analyze::RunTree;

/// Points by which shares of cut stacks or of nameless frames may differ between the sides.
const POINTS: f64 = 0.05;
/// Share of samples that may be lost before it is warned of.
const LOST: f64 = 0.001;

/// Points by which shares of interrupts may differ.
const INTERRUPTS: f64 = 0.01;

/// All findings, those that matter most first.
pub(super) fn checks(table: &Table<'_>, tree: &RunTree, settings: &Settings) -> Vec<Check> {
    let mut found = Found { checks: Vec::new(), table, tree };
    found.same("event", Level::Cap, |run| Some(run.event.clone()).filter(|event| !event.is_empty()));
    found.same("rate", Level::Warning, |run| run.rate.map(|rate| format!("{rate} Hz")));
    found.same("period", Level::Warning, |run| run.period.map(|period| format!("a sample is worth {period}")));
    found.same("host", Level::Warning, |run| Some(run.host.clone()).filter(|host| !host.is_empty()));
    found.same("unwinding", Level::Warning, |run| run.found_by.first().map(|way| (*way).to_owned()));
    found.builds();
    found.shares("cut stacks", |run| run.truncated);
    found.shares("frames without a name", |run| run.unnamed);
    found.lost();
    found.cut();
    found.order(settings);
    found.copies();
    found.interrupts();
    let mut checks = found.checks;
    checks.sort_by_key(|check| std::cmp::Reverse(check.level));
    checks
}

/// Says if there was next to nothing to compare.
pub(super) fn too_few_names(checks: &mut Vec<Check>, table: &Table<'_>) {
    let untested = table.untested_share[0].max(table.untested_share[1]);
    if untested >= 0.5 {
        let text =
            format!("{:.0} % of the samples are in functions with too few of them to be tested", untested * 100.0);
        checks.push(Check { level: Level::Warning, what: "samples", text });
    }
}

struct Found<'a> {
    checks: Vec<Check>,
    table: &'a Table<'a>,
    tree: &'a RunTree,
}

impl Found<'_> {
    fn add(&mut self, level: Level, what: &'static str, text: String) {
        self.checks.push(Check { level, what, text });
    }

    /// What ran in interrupts is said, for it is in everything together and in no row.
    fn interrupts(&mut self) {
        let Some(row) = self.tree.aside() else { return };
        let [base, new] = [Side::Base, Side::New].map(|side| {
            let runs = self.table.runs.iter().filter(|run| run.side == side);
            let sums = runs.map(|run| (self.tree.sums(run.row).0[row as usize].value, self.tree.total(run.row).value));
            let (own, all) = sums.fold((0.0, 0.0), |(own, all), sum| (own + sum.0, all + sum.1));
            if all > 0.0 { own / all } else { 0.0 }
        });
        let level = if (new - base).abs() >= INTERRUPTS { Level::Warning } else { Level::Note };
        let text = format!(
            "{:.1} % and {:.1} % were spent in interrupts of the machine: no function has them, everything together does (--match -interrupts leaves them where they came)",
            100.0 * base,
            100.0 * new,
        );
        self.add(level, "interrupts", text);
    }

    fn facts(&self, side: Side) -> impl Iterator<Item = &RunFacts> {
        self.table.runs.iter().filter(move |run| run.side == side).map(|run| &run.facts)
    }

    /// What all runs should have in common.
    fn same(&mut self, what: &'static str, level: Level, of: impl Fn(&RunFacts) -> Option<String>) {
        let values = |side: Side| {
            let mut values: Vec<String> = self.facts(side).filter_map(&of).collect();
            values.sort();
            values.dedup();
            values
        };
        let (base, new) = (values(Side::Base), values(Side::New));
        let text = if base.is_empty() || new.is_empty() || (base == new && base.len() == 1) {
            return;
        } else if base == new {
            format!("runs differ in {what}, on both sides: {}", shown(&base))
        } else {
            format!("the sides differ in {what}: base {}, new {}", shown(&base), shown(&new))
        };
        let level = if base == new { Level::Warning.min(level) } else { level };
        self.add(level, what, text);
    }

    /// Which programs and libraries are others on either side.
    fn builds(&mut self) {
        let builds = |side: Side| {
            let mut builds: Vec<(String, String)> = self.facts(side).flat_map(|run| run.builds.clone()).collect();
            builds.sort();
            builds.dedup();
            builds
        };
        let (base, new) = (builds(Side::Base), builds(Side::New));
        if base.is_empty() || new.is_empty() {
            return;
        }
        let file = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let only = |of: &[(String, String)], other: &[(String, String)]| {
            let mut names: Vec<String> = of
                .iter()
                .filter(|(_, id)| !other.iter().any(|(_, known)| known == id))
                .map(|(path, _)| file(path))
                .collect();
            names.dedup();
            names
        };
        let mut changed: Vec<String> = base
            .iter()
            .filter(|(path, id)| new.iter().any(|(other, of)| file(other) == file(path) && of != id))
            .filter(|build| !new.contains(build))
            .map(|(path, _)| file(path))
            .collect();
        changed.dedup();
        let [gone, came] = [only(&base, &new), only(&new, &base)];
        let text = match (changed.is_empty(), gone.is_empty() && came.is_empty()) {
            (false, _) => format!("other builds of {}", shown(&changed)),
            (true, true) => "the same builds on both sides".to_owned(),
            (true, false) if gone.is_empty() => format!("new side alone has {}", shown(&came)),
            (true, false) if came.is_empty() => format!("base alone has {}", shown(&gone)),
            (true, false) => format!("base has {}, and the new side {}", shown(&gone), shown(&came)),
        };
        self.add(Level::Note, "builds", text);
    }

    fn shares(&mut self, what: &'static str, of: impl Fn(&RunFacts) -> f64) {
        let side = |side: Side| super::table::mean(self.facts(side).map(&of));
        let (base, new) = (side(Side::Base), side(Side::New));
        if (base - new).abs() >= POINTS {
            let (base, new) = (base * 100.0, new * 100.0);
            self.add(Level::Warning, what, format!("{what}: base {base:.1} %, new {new:.1} %"));
        }
    }

    /// A part of a run is no run.
    fn cut(&mut self) {
        let runs = self.table.runs.iter().filter(|run| run.facts.is_cut);
        let labels: Vec<String> = runs.map(|run| run.facts.label.clone()).collect();
        if let Some(first) = labels.first() {
            let others = match labels.len() - 1 {
                0 => String::new(),
                1 => ", and one more file".to_owned(),
                more => format!(", and {more} more files"),
            };
            let text = format!("{first} is cut short{others}: what is missing looks like a change; record again");
            self.add(Level::Cap, "files", text);
        }
    }

    fn lost(&mut self) {
        for side in [Side::Base, Side::New] {
            let (lost, samples) =
                self.facts(side).fold((0.0, 0.0), |sum, run| (sum.0 + run.lost as f64, sum.1 + run.samples as f64));
            let share = lost / (lost + samples).max(1.0);
            if share >= LOST {
                let text = format!("the kernel lost {:.2} % of the samples of the {} side", share * 100.0, side.name());
                self.add(Level::Warning, "loss", text);
            }
        }
    }

    /// When runs were made, in an order that both sides share; nothing if that is not known of all.
    fn places(&self) -> Option<Vec<(u64, Side, f64)>> {
        let runs = &self.table.runs;
        let by_order = self.table.is_ordered;
        let by_time = runs.iter().all(|run| run.facts.started_unix > 0);
        if (!by_order && !by_time) || self.table.base == 0 || self.table.base == runs.len() {
            return None;
        }
        let total = self.table.per_work(&self.table.lines[0].sums);
        let mut places: Vec<(u64, Side, f64)> = runs
            .iter()
            .zip(total)
            .map(|(run, total)| {
                let place = if by_order { run.facts.order.unwrap_or(0).into() } else { run.facts.started_unix };
                (place, run.side, total)
            })
            .collect();
        places.sort_by_key(|place| (place.0, place.1));
        Some(places)
    }

    /// Whether runs were made in an order in which a drift of the machine hits both sides alike.
    fn order(&mut self, settings: &Settings) {
        const WHAT: &str = "order of runs";
        let Some(places) = self.places() else {
            let text = "in which order runs were made is not known: a drift of the machine would be taken for a change"
                .to_owned();
            self.add(Level::Warning, WHAT, text);
            return;
        };
        let ends = |side: Side| {
            let of = || places.iter().filter(|place| place.1 == side).map(|place| place.0);
            (of().min().unwrap_or(0), of().max().unwrap_or(0))
        };
        let ((base_first, base_last), (new_first, new_last)) = (ends(Side::Base), ends(Side::New));
        let cap = if settings.is_design_strict { Level::Cap } else { Level::Warning };
        // How likely a run of the new side is later than one of the base: a half where they were made in turn.
        let later: usize = places
            .iter()
            .enumerate()
            .map(|(at, place)| match place.1 {
                Side::New => places[..at].iter().filter(|other| other.1 == Side::Base).count(),
                Side::Base => 0,
            })
            .sum();
        let count = |side: Side| places.iter().filter(|place| place.1 == side).count();
        let later = later as f64 / (count(Side::Base) * count(Side::New)).max(1) as f64;
        if places.len() > 2 && base_last < new_first {
            let text = format!(
                "all runs of the base were made before those of the new side{}: whatever drifted with time would be taken for a change; \
                 record them in turn, as profile compare does",
                self.drift(&places).map_or(String::new(), |drift| format!(", and {drift}"))
            );
            self.add(cap, WHAT, text);
        } else if new_last < base_first {
            let text = "all runs of the new side were made before those of the base: are the sides swapped?".to_owned();
            self.add(if places.len() > 2 { cap } else { Level::Warning }, WHAT, text);
        } else if places.len() > 4 && (later - 0.5).abs() > 0.35 {
            let (early, late) = if later > 0.5 { ("base", "new side") } else { ("new side", "base") };
            let text = format!(
                "nearly all runs of the {early} were made before those of the {late}: whatever drifted with time would be taken for a change; \
                 record them in turn, as profile compare does"
            );
            self.add(cap, WHAT, text);
        } else if let Some(drift) = self.drift(&places) {
            self.add(
                Level::Warning,
                WHAT,
                format!("{drift}; runs of both sides were made in turn, which evens it out"),
            );
        }
    }

    /// A trend of what runs took over their order, within the sides: Theil and Sen's slope, Kendall's test at 1 %.
    fn drift(&self, places: &[(u64, Side, f64)]) -> Option<String> {
        let (mut slopes, mut score, mut variance) = (Vec::new(), 0.0, 0.0);
        for side in [Side::Base, Side::New] {
            let of: Vec<(f64, f64)> = places
                .iter()
                .enumerate()
                .filter(|(_, place)| place.1 == side && place.2 > 0.0)
                .map(|(at, place)| (at as f64, place.2.ln()))
                .collect();
            let n = of.len() as f64;
            variance += n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
            for (at, one) in of.iter().enumerate() {
                for other in &of[at + 1..] {
                    slopes.push((other.1 - one.1) / (other.0 - one.0));
                    score += (other.1 - one.1).signum();
                }
            }
        }
        if slopes.is_empty() || 2.0 * normal_above(score.abs() / variance.sqrt()) > 0.01 {
            return None;
        }
        let over = (median(&mut slopes) * places.len() as f64).exp_m1() * 100.0;
        Some(format!("what a run takes drifted by {over:+.1} % over all runs"))
    }

    /// A recording that is there twice is no second run.
    fn copies(&mut self) {
        /// Fewer samples may be the same by chance.
        const LEAST_SAMPLES: u64 = 100;
        let runs = &self.table.runs;
        let mut texts = Vec::new();
        for (at, run) in runs.iter().enumerate().filter(|(_, run)| run.facts.samples >= LEAST_SAMPLES) {
            let key = |of: &RunFacts| (of.samples, of.value);
            let mut before = runs[..at].iter().filter(|other| key(&other.facts) == key(&run.facts));
            if let Some(other) = before.find(|other| self.tree.is_same(other.row, run.row)) {
                texts.push(format!("{} and {} are one recording", other.facts.label, run.facts.label));
            }
        }
        for text in texts {
            self.add(Level::Cap, "copies", text);
        }
    }
}

/// A few of them.
fn shown(values: &[String]) -> String {
    const MOST: usize = 3;
    let more = values.len().saturating_sub(MOST);
    let list = values.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}
