//! Our own pictures: what an SVG or HTML file of this program was drawn from is in it, and is read back.

use std::io::Read;

use super::source::{read_whole, refused};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::picture::{KINDS, MARK, Unpacked, signed};
use crate::model::{
    FrameId, FrameKind, Origin, Profile, ProfileBuilder, Sample, StackEnd, StackId, ThreadId, Timestamp, Truncation,
    Unit,
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
    thread: ThreadId,
    end: StackEnd,
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("its data are damaged: {what}"))
}

fn profile(data: &Unpacked) -> Result<Profile> {
    let header = &data.header;
    let text = data.text()?;
    let string = |row: u64| usize::try_from(row).ok().and_then(|row| text.get(row)).copied();
    let mut builder = ProfileBuilder::new();
    let unit = match header["unit"].as_str() {
        Some("ns") => Unit::Nanoseconds,
        Some("bytes") => Unit::Bytes,
        _ => Unit::Count,
    };
    let is_diff = header["kind"] == "diff";
    let event_name = header["event"].as_str().unwrap_or_default();
    let period = header["period"].as_u64();
    let base_event = is_diff.then(|| builder.add_event("base", unit, period));
    let event = builder.add_event(if is_diff { "new" } else { event_name }, unit, period);

    let functions = functions(data, &string, &mut builder)?;
    let threads = threads(data, &string, &mut builder)?;
    let samples = data.rows("node").max(data.rows("value")).max(data.rows("count"));
    let nodes = nodes(data, &functions, &mut builder)?;

    let mut add = |node: &Node, thread: ThreadId, time: u64, event, value: u64, count: u64| {
        builder.add_sample(Sample {
            time: Timestamp(time),
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
            add(node, node.thread, 0, base_event, value, count);
        }
    }
    if samples > 0 {
        let tick = header["tick"].as_u64().unwrap_or(1);
        let mut time = header["start"].as_u64().unwrap_or(0);
        let mut before = vec![0i64; threads.len()];
        let rows = data.numbers("time").zip(data.numbers("thread")).zip(data.numbers("node"));
        let rows = rows.zip(data.numbers("value")).zip(data.numbers("count"));
        for ((((distance, thread), node), value), count) in rows.take(samples as usize) {
            time = time.saturating_add(distance.saturating_mul(tick));
            let row = usize::try_from(thread).ok().filter(|row| *row < threads.len());
            let row = row.ok_or_else(|| broken("a sample of no thread"))?;
            before[row] = before[row].saturating_add(signed(node));
            let node = usize::try_from(before[row]).ok().and_then(|node| nodes.get(node));
            add(node.ok_or_else(|| broken("a sample of no frame"))?, threads[row], time, event, value, count);
        }
    } else {
        let values = data.numbers("self").zip(data.numbers("samples"));
        for (node, (value, count)) in nodes.iter().zip(values).filter(|(_, (value, _))| *value > 0) {
            add(node, node.thread, 0, event, value, count);
        }
    }
    let mut profile = builder.finish();
    profile.main = event;
    let stats = &mut profile.stats;
    stats.origin = Origin::Stacks;
    stats.records.insert("frames of the picture".into(), nodes.len() as u64);
    told(stats, header);
    Ok(profile)
}

/// What the picture says of its recording.
fn told(stats: &mut crate::model::CaptureStats, header: &serde_json::Value) {
    let of = &header["stats"];
    stats.target = of["target"].as_str().unwrap_or_default().to_owned();
    stats.host = of["host"].as_str().unwrap_or_default().to_owned();
    stats.started_unix = of["started_unix"].as_u64().unwrap_or(0);
    stats.lost = of["lost"].as_u64().unwrap_or(0);
    stats.rate = of["rate"].as_f64();
    stats.coverage = of["coverage"].as_f64();
    let seconds = of["duration_seconds"].as_f64().unwrap_or(0.0);
    stats.duration = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let texts =
        |key: &str| header[key].as_array().into_iter().flatten().filter_map(|text| text.as_str()).collect::<Vec<_>>();
    let notes = of["notes"].as_array().into_iter().flatten().filter_map(|note| note.as_str());
    let mut notes: Vec<String> = notes.map(str::to_owned).collect();
    let warned = texts("warnings").into_iter().map(|text| format!("the picture warns: {text}"));
    // A picture of a picture has said so already.
    notes.extend(
        warned.filter(|note| !of["notes"].as_array().is_some_and(|known| known.iter().any(|known| known == note))),
    );
    stats.notes = notes;
}

enum Function {
    Frame(FrameId),
    /// The base of stacks: a process.
    Process(ThreadId),
    Cut(Truncation),
    Root,
}

fn functions<'a>(
    data: &Unpacked,
    string: &dyn Fn(u64) -> Option<&'a str>,
    builder: &mut ProfileBuilder,
) -> Result<Vec<Function>> {
    let rows = data.rows("name").max(data.rows("kind"));
    let numbers = data.numbers("name").zip(data.numbers("kind"));
    let mut functions = Vec::new();
    for (row, (name, kind)) in numbers.take(rows as usize).enumerate() {
        let name = string(name).ok_or_else(|| broken("a function without a name"))?;
        let kind = usize::try_from(kind).ok().and_then(|kind| KINDS.get(kind));
        let kind = *kind.ok_or_else(|| broken("a frame of no known kind"))?;
        functions.push(match (kind, Truncation::of_note(name)) {
            _ if row == 0 => Function::Root,
            (FrameKind::Task, _) => {
                let process = builder.add_process(0, name);
                Function::Process(builder.add_thread(process, 0, name))
            }
            (FrameKind::Note, Some(reason)) => Function::Cut(reason),
            _ => Function::Frame(builder.name_frame(name, kind)),
        });
    }
    Ok(functions)
}

fn threads<'a>(
    data: &Unpacked,
    string: &dyn Fn(u64) -> Option<&'a str>,
    builder: &mut ProfileBuilder,
) -> Result<Vec<ThreadId>> {
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

fn nodes(data: &Unpacked, functions: &[Function], builder: &mut ProfileBuilder) -> Result<Vec<Node>> {
    let rows = data.rows("up").max(data.rows("function")).max(data.rows("self"));
    let mut nodes: Vec<Node> = Vec::new();
    for (row, (up, function)) in data.numbers("up").zip(data.numbers("function")).take(rows as usize).enumerate() {
        let index = usize::try_from(function).ok().filter(|function| *function < functions.len());
        let index = index.ok_or_else(|| broken("a frame of no function"))?;
        let mut parent = row.saturating_sub(1);
        for _ in 0..up {
            if parent == 0 {
                return Err(broken("a frame that nothing called"));
            }
            parent = nodes[parent].parent;
        }
        let (stack, thread, end) = match nodes.get(parent) {
            Some(parent) => (parent.stack, parent.thread, parent.end),
            None => (StackId(0), ThreadId(u32::MAX), StackEnd::Root),
        };
        let node = Node { parent, stack, thread, end };
        nodes.push(match functions[index] {
            Function::Root => node,
            Function::Process(thread) => Node { thread, ..node },
            Function::Cut(reason) if stack == StackId(0) => Node { end: StackEnd::Truncated(reason), ..node },
            Function::Cut(reason) => {
                let frame = builder.name_frame(&reason.note(), FrameKind::Note);
                Node { stack: builder.stack(stack, frame), ..node }
            }
            Function::Frame(frame) => Node { stack: builder.stack(stack, frame), ..node },
        });
    }
    // What stands on no process is of one without a name.
    if nodes.iter().any(|node| node.thread == ThreadId(u32::MAX)) {
        let process = builder.add_process(0, "");
        let thread = builder.add_thread(process, 0, "");
        nodes.iter_mut().filter(|node| node.thread == ThreadId(u32::MAX)).for_each(|node| node.thread = thread);
    }
    Ok(nodes)
}
