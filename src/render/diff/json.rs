//! Two profiles in one tree, as JSON.
//!
//! ```text
//! {"format": "flameprofile-diff", "version": 1; a change that breaks readers raises it
//!  "event", "unit": "ns" | "count" | "bytes", "period": number or null,
//!  "base_total", "new_total": numbers, "scale": what values of the base are multiplied by to be compared,
//!  "nodes": [{"name", "kind": as in the JSON of a profile, "parent": row or null,
//!             "base": {"self", "total", "self_samples", "total_samples"}, "new": the same}]}
//! ```
//!
//! Nodes are in pre-order: each stands before what it called. Values are whole numbers up to 2^64 - 1, and the base's are not scaled.

use std::io::{BufWriter, Write};

use serde_json::{Value, json};

use crate::analyze::DiffTree;
use crate::error::{Error, Result};
use crate::model::{FrameKind, Unit};

/// Writes `diff`.
pub fn write(diff: &DiffTree, out: &mut impl Write) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    nodes(diff, &mut out).and_then(|()| out.flush()).map_err(|error| Error::io("cannot write JSON", error))
}

fn nodes(diff: &DiffTree, out: &mut impl Write) -> std::io::Result<()> {
    let tree = &diff.tree;
    writeln!(
        out,
        "{{\"format\": \"flameprofile-diff\", \"version\": 1,\n\"event\": {}, \"unit\": {}, \"period\": {},\n\"base_total\": {}, \"new_total\": {}, \"scale\": {},\n\"nodes\": [",
        json!(tree.event),
        json!(unit(tree.unit)),
        json!(tree.period),
        diff.base_total,
        diff.new_total,
        json!(diff.scale),
    )?;
    for (id, (node, base)) in tree.nodes.iter().zip(&diff.base).enumerate() {
        let row = json!({
            "name": tree.names.get(node.name),
            "kind": kind(node.kind),
            "parent": if id == 0 { Value::Null } else { json!(node.parent) },
            "base": {
                "self": base.self_value,
                "total": base.total_value,
                "self_samples": base.self_samples,
                "total_samples": base.total_samples,
            },
            "new": {
                "self": node.self_value,
                "total": node.total_value,
                "self_samples": node.self_samples,
                "total_samples": node.total_samples,
            },
        });
        writeln!(out, "{row}{}", if id + 1 < tree.nodes.len() { "," } else { "" })?;
    }
    writeln!(out, "]}}")
}

/// A unit, as it stands in JSON.
pub(in crate::render) fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Nanoseconds => "ns",
        Unit::Count => "count",
        Unit::Bytes => "bytes",
    }
}

/// A kind, as it stands in JSON.
pub(in crate::render) fn kind(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::User => "user",
        FrameKind::Kernel => "kernel",
        FrameKind::Inlined => "inlined",
        FrameKind::Jit => "jit",
        FrameKind::Task => "task",
        FrameKind::Note => "note",
        FrameKind::OffCpu => "off-cpu",
    }
}
