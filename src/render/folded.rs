//! Folded stacks: a line for each stack, `process;outermost;...;innermost weight`, sorted by bytes.
//!
//! The format is that of FlameGraph's collapsers, which says nothing about names that hold its own signs. Here:
//!
//! - `;` in a name becomes `:`.
//! - What acts instead of being seen (line ends, control characters, ...) becomes U+FFFD, as in every output; all other
//!   white space becomes a blank, and blanks at the ends of a name become `_`.
//! - If the last word of the innermost name is a number, the blank before it becomes `_`, else it would be taken for the
//!   first of the two columns of a difference. A `#` at the beginning of a line becomes `_`, else it would be a comment.
//! - With [`FoldedOptions::annotate`], kernel functions end in `_[k]`, inlined ones in `_[i]`, JIT-compiled ones in `_[j]`, all others
//!   of who woke a thread in `_[w]`: FlameGraph and inferno take that for a hint at colour, others for a part of the name.
//!   For time off the CPU there is no hint; its frames have their names (`[runnable]`, ...), and an import knows those.
//!
//! Weights are whole numbers: samples for an event with a fixed period (an estimate of what was not sampled counts as the
//! samples its value would have been, rounded), else the event's value. Stacks of weight 0 are left out.

use std::borrow::Cow;
use std::io::{BufWriter, Write};

use super::name::printable;
use crate::analyze::{Direction, Paths, View};
use crate::error::{Error, Result};
use crate::model::{FrameKind, Profile};

/// How folded stacks are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedOptions {
    /// Suffixes that tell kernel, inlined and JIT-compiled functions, and those of wakers, from others: an import has their kinds again.
    pub annotate: bool,
}

impl Default for FoldedOptions {
    fn default() -> Self {
        FoldedOptions { annotate: true }
    }
}

/// Writes the stacks that `view` selects.
pub fn write(profile: &Profile, view: &View, options: &FoldedOptions, out: &mut impl Write) -> Result<()> {
    let mut label = label(view, options);
    let paths = Paths::build(profile, view, &mut label);
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let written = paths.for_each(innermost, |path, weight| writeln!(out, "{path} {weight}")).and_then(|()| out.flush());
    written.map_err(|error| Error::io("cannot write folded stacks", error))
}

/// What a frame is called in a line.
pub(super) fn label(view: &View, options: &FoldedOptions) -> impl FnMut(&str, FrameKind, bool) -> Box<str> {
    // A process begins the line; bottom-up, any function does.
    let (direction, annotate) = (view.direction, options.annotate);
    move |name, kind, is_waker| {
        let mut label = escape(name);
        if (kind == FrameKind::Task || direction == Direction::Callers) && label.starts_with('#') {
            label.replace_range(..1, "_");
        }
        if annotate {
            label.push_str(suffix(kind, is_waker));
        }
        label.into_boxed_str()
    }
}

/// The innermost name, whose last word must not be a number.
pub(super) fn innermost(label: &str) -> Cow<'_, str> {
    match label.rsplit_once(' ') {
        Some((begin, word)) if word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
            Cow::Owned(format!("{begin}_{word}"))
        }
        _ => Cow::Borrowed(label),
    }
}

/// The hint at a kind. One alone: FlameGraph takes off no more. So kernel functions of wakers have the one of the kernel.
fn suffix(kind: FrameKind, is_waker: bool) -> &'static str {
    match kind {
        FrameKind::User if is_waker => "_[w]",
        FrameKind::User | FrameKind::Task | FrameKind::Note | FrameKind::OffCpu => "",
        FrameKind::Kernel => "_[k]",
        FrameKind::Inlined => "_[i]",
        FrameKind::Jit => "_[j]",
    }
}

fn escape(name: &str) -> String {
    let name = printable(name);
    let mut escaped: String = name
        .chars()
        .map(|c| match c {
            ';' => ':',
            c if c.is_whitespace() => ' ',
            c => c,
        })
        .collect();
    let (begin, end) = (escaped.len() - escaped.trim_start().len(), escaped.trim_end().len());
    if begin >= end {
        return "_".repeat(escaped.len());
    }
    escaped.replace_range(end.., &"_".repeat(escaped.len() - end));
    escaped.replace_range(..begin, &"_".repeat(begin));
    escaped
}
