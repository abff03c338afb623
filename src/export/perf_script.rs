//! Text like that of `perf script`, for the many tools that read it.
//!
//! ```text
//! comm pid/tid [cpu] seconds.micros: period event:
//! <TAB>address symbol+0xoffset (object)
//! ```
//! A line for each sample of each event, in order of time; `tools/perf/builtin-script.c`. An estimate of what was not sampled is no
//! sample, but a share of the whole: it stands there too, so that the sums are right. A stack that is cut ends in
//! `0 [truncated: ...] ([profile])`. Names lose line ends; what has none is `[unknown]`, with what it is in. Where no time is known of a
//! sample, as of waits that were added up, it is 0.000000, which no clock says: without a time at all, inferno takes the event for another.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};

use crate::error::{Error, Result};
use crate::model::{FrameId, FrameKey, FrameKind, ImageKind, Profile, Resolution, Sample, StackEnd};

/// Writes the samples of all events of `profile`.
pub fn write(profile: &Profile, out: &mut impl Write) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let written = write_all(profile, &mut out).and_then(|()| out.flush());
    written.map_err(|error| Error::io("cannot write the text", error))
}

fn write_all(profile: &Profile, out: &mut impl Write) -> std::io::Result<()> {
    // The text of each frame is made once.
    let mut frames: Vec<Option<Box<str>>> = vec![None; profile.frames.len()];
    for sample in &profile.samples {
        write_header(profile, &sample, out)?;
        let pid = profile.processes[profile.threads[sample.thread.index()].process.index()].pid;
        for frame in profile.frames_of(sample.stack) {
            let text = frames[frame.index()].get_or_insert_with(|| lines_of(profile, frame, pid).into());
            out.write_all(text.as_bytes())?;
        }
        if let StackEnd::Truncated(reason) = sample.end {
            writeln!(out, "\t{:16x} {} ([profile])", 0, reason.note())?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn write_header(profile: &Profile, sample: &Sample, out: &mut impl Write) -> std::io::Result<()> {
    let thread = &profile.threads[sample.thread.index()];
    let process = &profile.processes[thread.process.index()];
    match one_line(profile.strings.get(thread.name)) {
        name if name.is_empty() => write!(out, ":{}", thread.tid as i32)?,
        name => write!(out, "{name}")?,
    }
    match process.pid {
        // It is not known.
        0 => write!(out, " {}", thread.tid as i32)?,
        // Of a task that is ending the kernel says -1.
        pid => write!(out, " {}/{}", pid as i32, thread.tid as i32)?,
    }
    if sample.cpu != Sample::NO_CPU {
        write!(out, " [{:03}]", sample.cpu)?;
    }
    let micros = sample.time.0 / 1_000;
    let event = profile.strings.get(profile.events[sample.event.index()].name);
    let event: String = one_line(event).chars().map(|c| if c == ' ' { '_' } else { c }).collect();
    writeln!(out, " {}.{:06}: {:10} {event}: ", micros / 1_000_000, micros % 1_000_000, sample.value)
}

/// The lines of one frame, innermost first.
fn lines_of(profile: &Profile, id: FrameId, pid: u32) -> String {
    let frame = profile.frames[id.index()];
    let mut text = String::new();
    let (address, object) = match frame.key {
        FrameKey::Code { image, offset } => {
            let image = &profile.images[image.index()];
            let object = match image.kind {
                ImageKind::Kernel => "[kernel.kallsyms]".to_owned(),
                ImageKind::Jit(_) => format!("/tmp/perf-{pid}.map"),
                ImageKind::Unmapped => "[unknown]".to_owned(),
                ImageKind::File | ImageKind::Vdso | ImageKind::JitDump => one_line(profile.strings.get(image.path)),
            };
            (offset, object)
        }
        FrameKey::Name { kind, .. } => (
            0,
            match kind {
                FrameKind::Kernel => "[kernel.kallsyms]".to_owned(),
                FrameKind::Jit => format!("/tmp/perf-{pid}.map"),
                FrameKind::Inlined => "inlined".to_owned(),
                FrameKind::Note | FrameKind::OffCpu => "[profile]".to_owned(),
                FrameKind::User | FrameKind::Task => "[unknown]".to_owned(),
            },
        ),
    };
    let mut line = |name: &str, object: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\t{address:16x} {} ({object})", one_line(name));
    };
    match (frame.resolution, frame.key) {
        (Resolution::Lines { .. }, _) => {
            let lines = profile.lines_of(id);
            for (row, of) in lines.iter().enumerate() {
                let name = profile.strings.get(profile.functions[of.function.index()].name);
                line(name, if row + 1 < lines.len() { "inlined" } else { &object });
            }
        }
        // What was nameless in the text that was read has what it is in for a name.
        (Resolution::Unknown { .. }, FrameKey::Name { name, .. }) => {
            let name = profile.strings.get(name);
            let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
            let is_kernel = object == "[kernel.kallsyms]";
            line("[unknown]", &if is_kernel || inner == "unknown" { format!("[{inner}]") } else { one_line(inner) });
        }
        (_, FrameKey::Name { name, .. }) => line(profile.strings.get(name), &object),
        (_, FrameKey::Code { .. }) => line("[unknown]", &object),
    }
    text
}

/// Text without what would end a line or begin a column.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}
