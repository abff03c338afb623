//! The whole profile as JSON, for scripts: its tables, with names in place of the ids that lead to them, and its samples.
//!
//! One object; each row of a table is a line. Rows refer to rows of other tables by position, from 0.
//!
//! ```text
//! "format"     "flameprofile"
//! "version"    1; a change that breaks readers raises it
//! "stats"      what was taken, missed and cost (see `formats::stats_json`)
//! "main"       row of the event that is drawn
//! "events"     {"name", "unit": "ns" | "count" | "bytes", "period": nominal value of one sample, or null}
//! "images"     {"kind": "file" | "vdso" | "kernel" | "jit" | "unmapped", "path", "build_id": hex or null}
//! "processes"  {"pid", "name"}
//! "threads"    {"process": row, "tid", "name"}
//! "frames"     {"image": row, "offset": "0x...", "lines": [{"name", "raw_name", "file", "line"}, ...]}
//!                 lines are innermost first: all but the last were inlined; "file" "" and "line" 0 are unknown
//!              {"image": row, "offset": "0x...", "unnamed": why, "function": "0x..." where its function begins, or
//!                 "address": "0x..." if no function is known to be there; both as the object file states addresses,
//!                 neither if it was not read}
//!              {"name", "kind": "user" | "kernel" | "inlined" | "jit" | "task" | "note" | "off-cpu"}
//! "stacks"     {"parent": row of the caller's stack, which stands before, or null; "frame": row}
//! "samples"    {"time": ns or null, "thread": row, "cpu": or null, "stack": row or null, "truncated": why or null, "event": row,
//!                 "value": in the event's unit, "count": 1, or 0 for an estimate of what was not sampled}
//! ```
//!
//! Numbers are whole and may exceed 2^53, which JavaScript's own cannot hold.

use std::io::{BufWriter, Write};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::formats::stats_json;
use crate::model::{FrameKey, FrameKind, ImageKind, Line, Place, Profile, Resolution, Sample, StackEnd, StackId, Unit};

/// Writes `profile` row by row; no copy of it is made.
pub fn write(profile: &Profile, out: &mut impl Write) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let written = write_all(profile, &mut out).and_then(|()| out.flush());
    written.map_err(|error| Error::io("cannot write the profile as JSON", error))
}

fn write_all(profile: &Profile, out: &mut impl Write) -> std::io::Result<()> {
    let text = |id| profile.strings.get(id);
    write!(out, "{{\"format\":\"flameprofile\",\"version\":1,\n\"stats\":{}", stats_json(&profile.stats))?;
    write!(out, ",\n\"main\":{}", profile.main.0)?;
    table(out, "events", &profile.events, |event| {
        let unit = match event.unit {
            Unit::Nanoseconds => "ns",
            Unit::Count => "count",
            Unit::Bytes => "bytes",
        };
        json!({"name": text(event.name), "unit": unit, "period": event.period})
    })?;
    table(out, "images", &profile.images, |image| {
        let kind = match image.kind {
            ImageKind::File => "file",
            ImageKind::Vdso => "vdso",
            ImageKind::Kernel => "kernel",
            ImageKind::Jit(_) | ImageKind::JitDump => "jit",
            ImageKind::Unmapped => "unmapped",
        };
        json!({"kind": kind, "path": text(image.path), "build_id": image.build_id.map(|id| id.to_string())})
    })?;
    table(out, "processes", &profile.processes, |process| json!({"pid": process.pid, "name": text(process.name)}))?;
    table(
        out,
        "threads",
        &profile.threads,
        |thread| json!({"process": thread.process.0, "tid": thread.tid, "name": text(thread.name)}),
    )?;
    table(out, "frames", &profile.frames, |frame| match (frame.key, frame.resolution) {
        (FrameKey::Name { name, kind }, _) => json!({"name": text(name), "kind": kind_name(kind)}),
        (FrameKey::Code { image, offset }, Resolution::Unknown { reason, place }) => {
            let mut row = json!({"image": image.0, "offset": format!("{offset:#x}"), "unnamed": reason.as_str()});
            match place {
                Place::Offset => {}
                Place::Address(svma) => row["address"] = format!("{svma:#x}").into(),
                Place::Function(svma) => row["function"] = format!("{svma:#x}").into(),
            }
            row
        }
        (FrameKey::Code { image, offset }, Resolution::Lines { first, count }) => {
            let lines = &profile.lines[first as usize..first as usize + count as usize];
            let lines: Vec<Value> = lines.iter().map(|line| line_of(profile, line)).collect();
            json!({"image": image.0, "offset": format!("{offset:#x}"), "lines": lines})
        }
        (FrameKey::Code { image, offset }, Resolution::Name) => {
            json!({"image": image.0, "offset": format!("{offset:#x}")})
        }
    })?;
    // Row 0 of the table is the empty stack, which is `null` here: all others move up by one.
    let position = |stack: StackId| stack.0.checked_sub(1);
    table(
        out,
        "stacks",
        profile.stacks.get(1..).unwrap_or_default(),
        |stack| json!({"parent": position(stack.parent), "frame": stack.frame.0}),
    )?;
    table(out, "samples", profile.samples.iter(), |sample| {
        let truncated = match sample.end {
            StackEnd::Root => None,
            StackEnd::Unstated => Some("not stated"),
            StackEnd::Truncated(why) => Some(why.as_str()),
        };
        json!({
            "time": sample.has_time().then_some(sample.time.0),
            "thread": sample.thread.0,
            "cpu": (sample.cpu != Sample::NO_CPU).then_some(sample.cpu),
            "stack": position(sample.stack),
            "truncated": truncated,
            "event": sample.event.0,
            "value": sample.value,
            "count": sample.count,
        })
    })?;
    out.write_all(b"}\n")
}

fn table<T>(
    out: &mut impl Write,
    name: &str,
    rows: impl IntoIterator<Item = T>,
    row_of: impl Fn(T) -> Value,
) -> std::io::Result<()> {
    write!(out, ",\n\"{name}\":[")?;
    for (at, row) in rows.into_iter().enumerate() {
        out.write_all(if at == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &row_of(row))?;
    }
    out.write_all(b"]")
}

fn line_of(profile: &Profile, line: &Line) -> Value {
    let function = &profile.functions[line.function.index()];
    let text = |id| profile.strings.get(id);
    json!({
        "name": text(function.name),
        "raw_name": text(function.raw_name),
        "file": text(line.file),
        "line": line.line,
    })
}

fn kind_name(kind: FrameKind) -> &'static str {
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
