//! Our own pictures: what an SVG or HTML file of this program was drawn from is in it, and is read back.

mod frames;

use std::io::Read;

use serde_json::Value;

use self::frames::{Frames, Function};
use super::source::{read_whole, refused};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::picture::{MARK, Unpacked, signed};
use crate::formats::{StatsRead, read_stats};
use crate::model::{
    CaptureStats, FrameId, FrameKind, Profile, ProfileBuilder, Sample, StackEnd, StackId, ThreadId, Timestamp, Unit,
};

/// No picture is larger.
const LARGEST: u64 = 4 << 30;

/// Whether text begins like a page or a picture that may be ours.
pub(super) fn is_applicable(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    let begins = |text: &[u8]| head.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text));
    let has = |text: &[u8]| memchr::memmem::find(head, text).is_some();
    // Other programs' XML has neither.
    (begins(b"<?xml") && has(b"<svg")) || begins(b"<svg") || begins(b"<!doctype html") || begins(b"<html")
}

/// Reads the data of a picture; `name` is what errors call it.
///
/// A picture of a difference has two events, `base` and `new`, of which the new one is drawn. Of a page with several pictures the first is
/// read; the others are counted as passed over.
pub(super) fn read(name: &str, mut bytes: impl Read) -> Result<Profile> {
    let text = read_whole(&mut bytes, name, LARGEST)?;
    let found = memchr::memmem::find(&text, MARK.as_bytes()).ok_or_else(|| {
        Error::new(ErrorKind::Malformed, format!("{name} holds no data of a picture of this program")).with_hint(
            "only pictures of this program can be read back; of others, read what they were drawn from (folded stacks, perf.data)",
        )
    })?;
    let rest = &text[found + MARK.len()..];
    let begin = memchr::memchr(b'>', rest).map_or(rest.len(), |at| at + 1);
    let end = memchr::memchr(b'<', &rest[begin..]).map_or(rest.len(), |length| begin + length);
    let unpacked = Unpacked::read(&rest[begin..end]).map_err(|error| refused(name, &error))?;
    // The script looks for the mark too, in brackets.
    let rest = &rest[end..];
    let is_attribute = |at: &usize| rest[..*at].last().is_some_and(u8::is_ascii_whitespace);
    let others = memchr::memmem::find_iter(rest, MARK.as_bytes()).filter(is_attribute).count() as u64;
    drop(text);
    let mut profile = profile(&unpacked).map_err(|error| refused(name, &error))?;
    if others > 0 {
        let note = format!("{name} holds {} pictures, of which the first was read", others + 1);
        profile.stats.notes.push(note);
        profile.stats.skipped.insert("pictures after the first".into(), others);
    }
    Ok(profile)
}

struct Node {
    parent: usize,
    stack: StackId,
    /// What the frame of the stack stands on; others may be inlined into it.
    base: StackId,
    frame: Option<FrameId>,
    thread: ThreadId,
    end: StackEnd,
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("its data are damaged: {what}"))
}

fn profile(data: &Unpacked) -> Result<Profile> {
    let header = &data.header;
    let StatsRead { mut stats, mut refused } = read_stats(&header["stats"]);
    let text = data.text()?;
    let mut number = |key: &str| match header[key].as_u64() {
        None if !header[key].is_null() => {
            refused.push(key.to_owned());
            None
        }
        number => number,
    };
    let (period, tick, mut time) =
        (number("period"), number("tick").filter(|tick| *tick > 0).unwrap_or(1), number("start").unwrap_or(0));
    let mut builder = ProfileBuilder::new();
    let unit = match header["unit"].as_str() {
        Some("ns") => Unit::Nanoseconds,
        Some("bytes") => Unit::Bytes,
        _ => Unit::Count,
    };
    let is_diff = header["kind"] == "diff";
    let event_name = header["event"].as_str().unwrap_or_default();
    let base_event = is_diff.then(|| builder.add_event("base", unit, period));
    let event = builder.add_event(if is_diff { "new" } else { event_name }, unit, period);

    let samples = data.rows("node").max(data.rows("value")).max(data.rows("count"));
    // Samples tell their thread; the base of a difference has none.
    let has_tasks = samples == 0 || is_diff;
    let mut frames = Frames::read(data, &text, has_tasks, &stats.unnamed_images, &mut builder)?;
    let threads = threads(data, &text, &mut builder)?;
    // Which stacks are not stated to be whole, the picture does not say.
    let end = if stats.unstated > 0.0 { StackEnd::Unstated } else { StackEnd::Root };
    let nodes = nodes(data, &mut frames, end, has_tasks, &mut builder)?;

    let mut add = |node: &Node, thread: ThreadId, time: Timestamp, event, value: u64, count: u64| {
        builder.add_sample(Sample {
            time,
            thread,
            cpu: Sample::NO_CPU,
            stack: node.stack,
            end: node.end,
            event,
            value,
            count: u32::try_from(count).unwrap_or(u32::MAX),
        });
    };
    if let Some(base_event) = base_event {
        let values = data.numbers("base").zip(data.numbers("base_samples"));
        for (node, (value, count)) in nodes.iter().zip(values).filter(|(_, (value, _))| *value > 0) {
            add(node, node.thread, Timestamp::UNKNOWN, base_event, value, count);
        }
    }
    if samples > 0 {
        let mut before = vec![0i64; threads.len()];
        let rows = data.numbers("time").zip(data.numbers("thread")).zip(data.numbers("node"));
        let rows = rows.zip(data.numbers("value")).zip(data.numbers("count")).zip(data.numbers("unplaced"));
        for (((((distance, thread), node), value), count), unplaced) in rows.take(samples as usize) {
            time = time.saturating_add(distance.saturating_mul(tick));
            let row = usize::try_from(thread).ok().filter(|row| *row < threads.len());
            let row = row.ok_or_else(|| broken("a sample of no thread"))?;
            before[row] = before[row].saturating_add(signed(node));
            let node = usize::try_from(before[row]).ok().and_then(|node| nodes.get(node));
            let node = node.ok_or_else(|| broken("a sample of no frame"))?;
            let time = if unplaced == 0 { Timestamp(time) } else { Timestamp::UNKNOWN };
            add(node, threads[row], time, event, value, count);
        }
    } else {
        let values = data.numbers("self").zip(data.numbers("samples"));
        for (node, (value, count)) in nodes.iter().zip(values).filter(|(_, (value, _))| *value > 0) {
            add(node, node.thread, Timestamp::UNKNOWN, event, value, count);
        }
    }
    let mut profile = builder.finish();
    frames.note_ways(&mut profile);
    profile.main = event;
    stats.records.insert("frames of the picture".into(), nodes.len() as u64);
    told(&mut stats, header, refused, is_diff);
    profile.stats = stats;
    Ok(profile)
}

/// What the picture says of its recording that is more than figures.
fn told(stats: &mut CaptureStats, header: &Value, mut refused: Vec<String>, is_diff: bool) {
    refused.dedup();
    if !refused.is_empty() {
        let list = refused.join(", ");
        stats.notes.push(format!("figures in the picture that cannot be are left out: {list}"));
    }
    // What figures that are whole warn of is said again. A picture of a picture has said it already.
    if stats.is_as_recorded && refused.is_empty() && !is_diff {
        return;
    }
    let texts = header["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for note in texts.map(|text| format!("the picture warns: {text}")) {
        if !stats.notes.contains(&note) {
            stats.notes.push(note);
        }
    }
}

fn threads(data: &Unpacked, text: &[&str], builder: &mut ProfileBuilder) -> Result<Vec<ThreadId>> {
    let string = |row: u64| usize::try_from(row).ok().and_then(|row| text.get(row)).copied();
    let rows = data.rows("pid").max(data.rows("tid")).max(data.rows("process"));
    let numbers =
        data.numbers("pid").zip(data.numbers("tid")).zip(data.numbers("process")).zip(data.numbers("thread_name"));
    let mut processes = rustc_hash::FxHashMap::default();
    let mut threads = Vec::new();
    for (((pid, tid), process), name) in numbers.take(rows as usize) {
        let names = string(process).zip(string(name)).ok_or_else(|| broken("a thread without a name"))?;
        let [pid, tid] = [pid, tid].map(|id| u32::try_from(id).unwrap_or(0));
        let process = *processes.entry((pid, process)).or_insert_with(|| builder.add_process(pid, names.0));
        threads.push(builder.add_thread(process, tid, names.1));
    }
    Ok(threads)
}

fn nodes(
    data: &Unpacked,
    frames: &mut Frames<'_>,
    whole: StackEnd,
    has_tasks: bool,
    builder: &mut ProfileBuilder,
) -> Result<Vec<Node>> {
    let rows = data.rows("up").max(data.rows("function")).max(data.rows("self"));
    let mut nodes: Vec<Node> = Vec::new();
    for (row, (up, function)) in data.numbers("up").zip(data.numbers("function")).take(rows as usize).enumerate() {
        let index = usize::try_from(function).ok().filter(|function| *function < frames.functions.len());
        let index = index.ok_or_else(|| broken("a frame of no function"))?;
        let mut parent = row.saturating_sub(1);
        for _ in 0..up {
            if parent == 0 {
                return Err(broken("a frame that nothing called"));
            }
            parent = nodes[parent].parent;
        }
        let (stack, base, frame, thread, end) = match nodes.get(parent) {
            Some(parent) => (parent.stack, parent.base, parent.frame, parent.thread, parent.end),
            None => (StackId(0), StackId(0), None, ThreadId(u32::MAX), whole),
        };
        let node = Node { parent, stack, base, frame, thread, end };
        let (base, frame) = match frames.functions[index] {
            Function::Root | Function::Process(None) => {
                nodes.push(node);
                continue;
            }
            Function::Process(Some(thread)) => {
                nodes.push(Node { thread, ..node });
                continue;
            }
            Function::Cut(reason) if stack == StackId(0) => {
                nodes.push(Node { end: StackEnd::Truncated(reason), ..node });
                continue;
            }
            Function::Cut(reason) => (stack, builder.name_frame(&reason.note(), FrameKind::Note)),
            Function::Frame => match frame.filter(|frame| frames.is_inlined(index, *frame, builder.profile())) {
                Some(into) => (base, frames.frame(index, Some(into), builder)),
                None => (stack, frames.frame(index, None, builder)),
            },
        };
        nodes.push(Node { stack: builder.stack(base, frame), base, frame: Some(frame), ..node });
    }
    // What stands on no process is of one without a name.
    if has_tasks && nodes.iter().any(|node| node.thread == ThreadId(u32::MAX)) {
        let process = builder.add_process(0, "");
        let thread = builder.add_thread(process, 0, "");
        nodes.iter_mut().filter(|node| node.thread == ThreadId(u32::MAX)).for_each(|node| node.thread = thread);
    }
    Ok(nodes)
}
