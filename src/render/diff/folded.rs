//! Folded stacks of two profiles: a line for each stack that one of them has, `stack BASE NEW`.
//!
//! It is what FlameGraph's `difffolded.pl` and `inferno-diff-folded` write and what `flamegraph.pl` and `inferno-flamegraph` draw;
//! names are escaped as in [`crate::render::folded`], lines are sorted by bytes. Weights are as they were counted, not
//! normalised: a scaled count would have to be rounded, and those who read them can scale (`difffolded.pl -n`). They are numbers
//! of samples if all of both are worth the same, else values.

use std::cmp::Ordering;
use std::io::{BufWriter, Write};

use crate::analyze::{Paths, View};
use crate::error::{Error, Result};
use crate::model::Profile;
use crate::render::folded::{FoldedOptions, innermost, label};

/// Writes the stacks that `view` selects of both; its event, if it names one, is the same row in both.
pub fn write(base: &Profile, new: &Profile, view: &View, options: &FoldedOptions, out: &mut impl Write) -> Result<()> {
    let mut base = Paths::build(base, view, &mut label(view, options));
    let mut new = Paths::build(new, view, &mut label(view, options));
    if base.period() != new.period() {
        base.weigh_by_value();
        new.weigh_by_value();
    }
    let mut out = BufWriter::with_capacity(1 << 16, out);
    merge(&base, &new, &mut out)
        .and_then(|()| out.flush())
        .map_err(|error| Error::io("cannot write folded stacks", error))
}

fn merge(base: &Paths, new: &Paths, out: &mut impl Write) -> std::io::Result<()> {
    let mut old: Vec<(Box<str>, u64)> = Vec::new();
    base.for_each(innermost, |path, weight| {
        old.push((path.into(), weight));
        Ok::<(), std::io::Error>(())
    })?;
    let mut old = old.into_iter().peekable();
    new.for_each(innermost, |path, weight| {
        while let Some((before, of_base)) = old.next_if(|(before, _)| as_lines(before, path).is_lt()) {
            writeln!(out, "{before} {of_base} 0")?;
        }
        let of_base = old.next_if(|(same, _)| **same == *path).map_or(0, |(_, weight)| weight);
        writeln!(out, "{path} {of_base} {weight}")
    })?;
    old.try_for_each(|(path, of_base)| writeln!(out, "{path} {of_base} 0"))
}

/// The order of two paths as lines, where a blank follows them.
fn as_lines(one: &str, other: &str) -> Ordering {
    one.bytes().chain([b' ']).cmp(other.bytes().chain([b' ']))
}
