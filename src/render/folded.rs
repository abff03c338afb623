//! Folded stacks: a line for each stack, `process;outermost;...;innermost weight`, sorted by bytes.
//!
//! The format is that of FlameGraph's collapsers, which says nothing about names that hold its own signs. Here:
//!
//! - `;` in a name becomes `:`.
//! - What acts instead of being seen (line ends, control characters, ...) becomes U+FFFD, as in every output; all other
//!   white space becomes a blank, and blanks at the ends of a name become `_`.
//! - If the last word of the innermost name is a number, the blank before it becomes `_`, else it would be taken for the
//!   first of the two columns of a difference. A `#` at the beginning of a line becomes `_`, else it would be a comment.
//! - With [`FoldedOptions::annotate`], kernel functions end in `_[k]`, inlined ones in `_[i]`, JIT-compiled ones in `_[j]`,
//!   which FlameGraph and inferno take for a hint at colour.
//!
//! Weights are whole numbers: samples for an event with a fixed period (an estimate of what was not sampled counts as the
//! samples its value would have been, rounded), else the event's value. Stacks of weight 0 are left out.

use std::io::Write;

use super::name::printable;
use crate::analyze::{CallTree, NodeId};
use crate::error::{Error, Result};
use crate::model::FrameKind;

/// How folded stacks are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedOptions {
    /// Suffixes that tell kernel, inlined and JIT-compiled functions from others.
    pub annotate: bool,
}

impl Default for FoldedOptions {
    fn default() -> Self {
        FoldedOptions { annotate: true }
    }
}

/// Writes the stacks of `tree`.
pub fn write(tree: &CallTree, options: &FoldedOptions, out: &mut impl Write) -> Result<()> {
    // Each name of each kind is escaped once.
    let mut names: Vec<[Option<Box<str>>; 4]> = vec![[const { None }; 4]; tree.names.count()];
    let mut lines: Vec<String> = Vec::new();
    let mut path: Vec<NodeId> = Vec::new();
    for id in 1..tree.nodes.len() as NodeId {
        let weight = tree.self_weight(id);
        if weight == 0 {
            continue;
        }
        path.clear();
        let mut at = id;
        while at != 0 {
            path.push(at);
            at = tree.nodes[at as usize].parent;
        }
        let mut line = String::new();
        for at in path.iter().rev() {
            if !line.is_empty() {
                line.push(';');
            }
            let node = &tree.nodes[*at as usize];
            let suffix = if options.annotate { suffix(node.kind) } else { 0 };
            let name = &mut names[node.name.index()][suffix];
            line.push_str(name.get_or_insert_with(|| format!("{}{}", escape(tree.name(*at)), SUFFIXES[suffix]).into()));
        }
        if line.starts_with('#') {
            line.replace_range(..1, "_");
        }
        if let Some(blank) = line.rfind(' ')
            && line[blank + 1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        {
            line.replace_range(blank..=blank, "_");
        }
        line.push_str(&format!(" {weight}\n"));
        lines.push(line);
    }
    lines.sort_unstable();
    let written = lines.iter().try_for_each(|line| out.write_all(line.as_bytes())).and_then(|()| out.flush());
    written.map_err(|error| Error::io("cannot write folded stacks", error))
}

const SUFFIXES: [&str; 4] = ["", "_[k]", "_[i]", "_[j]"];

fn suffix(kind: FrameKind) -> usize {
    match kind {
        FrameKind::User | FrameKind::Task | FrameKind::Note => 0,
        FrameKind::Kernel => 1,
        FrameKind::Inlined => 2,
        FrameKind::Jit => 3,
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
