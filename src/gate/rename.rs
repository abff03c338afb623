//! Functions that have gone and such that came, and look like one: suggestions.
//!
//! An equal cost alone says nothing: of a dozen functions that came and went with a change of library, some take the same by chance. So a
//! pair has to have a name, a place in the source, or callers or callees in common too.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::comparison::{Part, Renamed};
use super::table::{Line, Table, mean};
use crate::analyze::{RunTree, is_of_library};

/// Pairs that are looked at, on each side those that take most.
const MOST: usize = 100;

/// The most that one may take of what the other takes, with another name.
const ALIKE: f64 = 1.2;

/// The same with a name that is alike.
const NEAR: f64 = 1.5;

/// Two names, or two sets of callers, have so much in common at least.
const COMMON: f64 = 0.5;

/// The pairs that are alike in cost and in name or place.
pub(super) fn renamed(table: &Table<'_>, tree: &RunTree) -> Vec<Renamed> {
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
    if gone.is_empty() || come.is_empty() {
        return Vec::new();
    }
    let relatives = Relatives::new(table, tree, &[&gone[..], &come[..]].concat());
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
            let is_near = of.facts.kind == other.facts.kind && of.part == other.part && ratio <= NEAR;
            let common = relatives.common(of, other);
            let why = match name >= COMMON {
                true => "names and costs are alike".to_owned(),
                false if ratio > ALIKE => return None,
                false => format!("{}, costs are alike", common?),
            };
            let score = name - (ratio - 1.0) + if common.is_some() { COMMON } else { 0.0 };
            is_near.then_some((score, at, after, why))
        });
        let best = alike.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)));
        if let Some((_, at, after, why)) = best {
            let other = come.remove(at);
            let why = format!("{why}: {:.2} % of the base, {:.2} % of the new side", before * 100.0, after * 100.0);
            pairs.push(Renamed { from: of.facts.name.clone(), to: other.facts.name.clone(), why });
        }
    }
    pairs
}

/// Functions, by row of the tree, with the value that each has to do with.
type Values = BTreeMap<u32, f64>;

/// Who calls the functions that have gone or come, and what they call.
struct Relatives {
    callers: FxHashMap<u32, Values>,
    callees: FxHashMap<u32, Values>,
}

impl Relatives {
    fn new(table: &Table<'_>, tree: &RunTree, of: &[&Line]) -> Relatives {
        let mut values = vec![0.0; tree.nodes.len()];
        table.runs.iter().for_each(|run| tree.for_each(run.row, |node, sum| values[node as usize] += sum.value));
        for node in (1..values.len()).rev() {
            values[tree.nodes[node].parent as usize] += values[node];
        }
        let mut is_wanted = vec![false; tree.functions.len()];
        of.iter().filter_map(|line| line.function).for_each(|function| is_wanted[function as usize] = true);
        let mut relatives = Relatives { callers: FxHashMap::default(), callees: FxHashMap::default() };
        for (node, value) in tree.nodes.iter().zip(values).skip(1) {
            let caller = tree.nodes[node.parent as usize].function;
            // The root is of no function, and a function that calls itself is no relative.
            if node.parent == 0 || caller == node.function || value == 0.0 {
                continue;
            }
            if is_wanted[node.function as usize] {
                *relatives.callers.entry(node.function).or_default().entry(caller).or_default() += value;
            }
            if is_wanted[caller as usize] {
                *relatives.callees.entry(caller).or_default().entry(node.function).or_default() += value;
            }
        }
        relatives
    }

    /// What two functions have in common beside their cost, in words; nothing if there is nothing.
    fn common(&self, one: &Line, other: &Line) -> Option<&'static str> {
        let (a, b) = (one.function?, other.function?);
        let is_same = |of: &FxHashMap<u32, Values>| {
            let (Some(one), Some(other)) = (of.get(&a), of.get(&b)) else { return false };
            in_common(one, other) >= COMMON
        };
        match (is_same(&self.callers), is_same(&self.callees)) {
            (true, true) => Some("same callers and callees"),
            (true, false) => Some("same callers"),
            (false, true) => Some("same callees"),
            (false, false) if is_same_file(&one.facts.file, &other.facts.file) => Some("same source file"),
            (false, false) => None,
        }
    }
}

/// How much two have in common, 0 to 1, each as shares of its own.
fn in_common(one: &Values, other: &Values) -> f64 {
    let all = |of: &Values| of.values().sum::<f64>();
    let (of_one, of_other) = (all(one), all(other));
    let common = one.iter().filter_map(|(function, value)| Some((value / of_one).min(other.get(function)? / of_other)));
    common.sum()
}

/// Whether two source files are the same one: both builds may have been made in folders of their own.
fn is_same_file(one: &str, other: &str) -> bool {
    let end = |path: &'_ str| path.rsplit('/').take(2).map(str::to_owned).collect::<Vec<_>>();
    !one.is_empty() && !is_of_library(one) && (one == other || one.contains('/') && end(one) == end(other))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_same_in_another_folder_of_a_build() {
        let check =
            |one: &str, other: &str, expected: bool| assert_eq!(is_same_file(one, other), expected, "{one} {other}");
        check("/build/base/src/crc.c", "/build/new/src/crc.c", true);
        check("crc.c", "crc.c", true);
        check("crc.c", "sum.c", false);
        check("/a/sums/crc.c", "/a/text/crc.c", false);
        check("/rustc/a/library/core/src/num/mod.rs", "/rustc/a/library/core/src/num/mod.rs", false);
        check("", "", false);
    }
}
