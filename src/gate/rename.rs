//! Functions that have gone and such that came, and look like one: suggestions.

use std::collections::BTreeSet;

use super::comparison::{Part, Renamed};
use super::table::{Line, Table, mean};

/// Pairs that are looked at, on each side those that take most.
const MOST: usize = 100;

/// The pairs that are alike in cost and in name or place.
pub(super) fn renamed(table: &Table<'_>) -> Vec<Renamed> {
    let is_nothing = |line: &Line, is_base: bool| {
        let (base, new) = line.sums.split_at(table.base);
        (if is_base { base } else { new }).iter().all(|sum| sum.value == 0.0)
    };
    // With all that it calls, where that is a row.
    let mut lines: Vec<&Line> = table.lines.iter().filter(|line| line.part != Part::Everything).collect();
    lines.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.facts.name.cmp(&b.facts.name)));
    let only = |is_base: bool| {
        let mut names = BTreeSet::new();
        let lines = lines.iter().filter(|line| is_nothing(line, !is_base) && !is_nothing(line, is_base));
        let lines = lines.filter(|line| names.insert((line.facts.name.clone(), line.facts.kind)));
        lines.take(MOST).copied().collect::<Vec<&Line>>()
    };
    let (gone, mut come) = (only(true), only(false));
    let cost = |line: &Line, is_base: bool| {
        let values = table.scaled(&line.sums, super::Scale::Share);
        mean((if is_base { &values[..table.base] } else { &values[table.base..] }).iter().copied())
    };
    let mut pairs = Vec::new();
    for of in gone {
        let before = cost(of, true);
        let alike = come.iter().enumerate().filter_map(|(at, other)| {
            let after = cost(other, false);
            let ratio = (after / before).max(before / after);
            let name = alike(&of.facts.name, &other.facts.name);
            let is_near = of.facts.kind == other.facts.kind && of.part == other.part && ratio <= 1.5;
            (is_near && (name >= 0.5 || ratio <= 1.2)).then_some((name - (ratio - 1.0), at, after, name))
        });
        let best = alike.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)));
        if let Some((_, at, after, name)) = best {
            let other = come.remove(at);
            let what = if name >= 0.5 { "names and costs are alike" } else { "costs are alike" };
            let why = format!("{what}: {:.2} % of the base, {:.2} % of the new side", before * 100.0, after * 100.0);
            pairs.push(Renamed { from: of.facts.name.clone(), to: other.facts.name.clone(), why });
        }
    }
    pairs
}

/// How much two names have in common, 0 to 1: their pairs of letters (Dice).
fn alike(one: &str, other: &str) -> f64 {
    let pairs = |name: &str| -> Vec<(u8, u8)> {
        let bytes = &name.as_bytes()[..name.len().min(200)];
        let mut pairs: Vec<(u8, u8)> = bytes.windows(2).map(|pair| (pair[0], pair[1])).collect();
        pairs.sort_unstable();
        pairs
    };
    let (one, other) = (pairs(one), pairs(other));
    let (mut a, mut b, mut common) = (0, 0, 0);
    while a < one.len() && b < other.len() {
        match one[a].cmp(&other[b]) {
            std::cmp::Ordering::Less => a += 1,
            std::cmp::Ordering::Greater => b += 1,
            std::cmp::Ordering::Equal => (a, b, common) = (a + 1, b + 1, common + 1),
        }
    }
    match one.len() + other.len() {
        0 => 0.0,
        all => 2.0 * f64::from(common) / all as f64,
    }
}
