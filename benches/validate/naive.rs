//! The gate that everybody writes first, for comparison: a function of at least 0.5 % whose share grew by a tenth fails.

use std::collections::BTreeMap;
use std::fs;

use super::found::{Found, Verdict};
use super::pool::Run;

/// The smallest share that is looked at.
const SHARE: f64 = 0.005;

/// By how much a share may grow.
const RISE: f64 = 0.1;

/// The shares of what functions took themselves, of all runs of a side together.
fn shares(runs: &[&Run]) -> BTreeMap<String, f64> {
    let mut shares = BTreeMap::new();
    let mut total = 0.0;
    for run in runs {
        let text = fs::read_to_string(&run.file).unwrap_or_else(|error| panic!("{}: {error}", run.file.display()));
        for line in text.lines() {
            let Some((stack, weight)) = line.rsplit_once(' ') else { continue };
            let weight: f64 = weight.parse().unwrap_or_default();
            let leaf = stack.rsplit(';').next().unwrap_or_default();
            *shares.entry(leaf.to_owned()).or_default() += weight;
            total += weight;
        }
    }
    shares.values_mut().for_each(|share| *share /= total);
    shares
}

/// What it says.
pub fn evaluate(base: &[&Run], new: &[&Run]) -> Found {
    let (base, new) = (shares(base), shares(new));
    let rise = |name: &String| new[name] - base.get(name).copied().unwrap_or_default();
    let grew = |name: &&String| {
        new[*name] >= SHARE && new[*name] >= (1.0 + RISE) * base.get(*name).copied().unwrap_or_default()
    };
    let mut gated: Vec<String> = new.keys().filter(grew).cloned().collect();
    gated.sort_by(|a, b| rise(b).total_cmp(&rise(a)));
    let one_sided =
        base.keys().filter(|name| !new.contains_key(*name)).chain(new.keys().filter(|name| !base.contains_key(*name)));
    let verdict = if gated.is_empty() { Verdict::NoChange } else { Verdict::Regression };
    Found { verdict, one_sided: one_sided.cloned().collect(), gated, ..Found::default() }
}
