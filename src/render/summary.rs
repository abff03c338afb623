//! What a recording took, missed and cost, in words.

use std::collections::BTreeMap;
use std::time::Duration;

use super::name::{printable, shorten};
use super::number::{count_of, grouped, percent, quantity, utc};
use crate::model::{CaptureStats, KernelWalks, OffCpuStats, Origin, Truncation, Unit, UnnamedImage};

/// One figure about a recording: what it is about, and the figure in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// One word: `event`, `stacks`.
    pub about: &'static str,
    /// The figure.
    pub text: String,
}

/// Longest sentence taken over from a recording, in columns; a command line may be megabytes.
const LONGEST: usize = 300;

/// The honesty figures of a recording, the same in every output.
pub fn facts(stats: &CaptureStats) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |about, text: String| facts.push(Fact { about, text });
    let rate = stats.rate.map(|rate| format!(" at {rate} Hz")).unwrap_or_default();
    if !stats.event.is_empty() {
        fact("event", format!("{}{rate}", quoted(&stats.event)));
    }
    let throttled = match stats.throttled {
        0 => "never throttled".to_owned(),
        1 => "throttled once".to_owned(),
        times => format!("throttled {} times", grouped(times)),
    };
    let samples = match &stats.off_cpu {
        Some(waits) => count_of(waits.waits.saturating_add(waits.runnable_waits), "wait"),
        None => count_of(stats.samples, "sample"),
    };
    let is_known = stats.origin != Origin::Stacks;
    let lost = grouped(stats.lost);
    fact(
        "recorded",
        match is_known {
            true if stats.trimmed > 0 => {
                let trimmed = grouped(stats.trimmed);
                format!("{}, {samples}, {lost} lost, {trimmed} trimmed, {throttled}", time(stats.duration))
            }
            true => format!("{}, {samples}, {lost} lost, {throttled}", time(stats.duration)),
            // Nobody has said how long, or how much is missing.
            false if stats.lost > 0 => format!("{}, {samples}, {lost} lost", time(stats.duration)),
            false if stats.duration.is_zero() => samples,
            false => format!("{}, {samples}", time(stats.duration)),
        },
    );
    for text in stats.off_cpu.iter().flat_map(|waits| off_cpu(waits, without_end(stats))) {
        fact("off-CPU", text);
    }
    fact(
        "coverage",
        match (stats.coverage, stats.cpu_time) {
            (Some(coverage), _) if stats.off_cpu.is_some() => {
                let wall = stats.off_cpu.as_ref().and_then(|waits| waits.wall).unwrap_or_default();
                format!("{} of the {} that its threads lived", percent(coverage), time(wall))
            }
            (Some(coverage), Some(cpu)) => format!("{} of {} CPU time", percent(coverage), time(cpu)),
            (Some(coverage), None) => format!("{} of the event's own count", percent(coverage)),
            (None, _) => "not known".to_owned(),
        },
    );
    let truncated = truncated(stats);
    fact(
        "stacks",
        match is_known {
            _ if stats.stacks_unknown => "as they came: neither unwound nor named".to_owned(),
            true if stats.unstated > 0.0 => {
                let unstated = percent(stats.unstated);
                format!("complete {}, truncated {truncated}, not stated {unstated}", percent(stats.complete))
            }
            true if stats.completed_late > 0 => {
                let late = grouped(stats.completed_late);
                format!("complete {} ({late} completed late), truncated {truncated}", percent(stats.complete))
            }
            true => format!("complete {}, truncated {truncated}", percent(stats.complete)),
            false if stats.truncated.is_empty() => {
                "as another program found them; how many are complete is not known".into()
            }
            false => format!("as another program found them, truncated {truncated}"),
        },
    );
    let found = stats.frames.values().fold(0u64, |sum, count| sum.saturating_add(*count));
    if found > 0 && !stats.stacks_unknown {
        let mut ways: Vec<(&str, u64)> = stats.frames.iter().map(|(way, count)| (*way, *count)).collect();
        ways.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let share = |(way, count): &(&str, u64)| format!("{way} {}", percent(*count as f64 / found as f64));
        fact("frames", ways.iter().map(share).collect::<Vec<_>>().join(", "));
    }
    if !stats.stacks_unknown {
        let frames = by_reason(stats.unnamed_total(), &stats.unnamed);
        let innermost = match stats.unnamed_innermost > 0.0 {
            true => format!("; of innermost frames {}", percent(stats.unnamed_innermost)),
            false => String::new(),
        };
        fact("names", format!("unnamed {frames}{innermost}"));
        unnamed_images(stats).into_iter().for_each(|text| fact("unnamed", text));
    }
    for (about, counts) in [("records", &stats.records), ("skipped", &stats.skipped)] {
        if !counts.is_empty() {
            let list: Vec<String> =
                counts.iter().map(|(what, count)| format!("{} {}", quoted(what), grouped(*count))).collect();
            fact(about, list.join(", "));
        }
    }
    if let Some(walks) = &stats.kernel_walks {
        let waits = stats.off_cpu.as_ref().map_or(0, |waits| waits.waits.saturating_add(waits.runnable_waits));
        fact("sampler", sampler(walks, stats.samples.saturating_sub(waits)));
    }
    let memory = quantity(stats.peak_rss_bytes, Unit::Bytes);
    // Of what is compared nobody recorded anything: what reading took is another thing each time.
    if stats.peak_rss_bytes > 0 || !stats.own_cpu.is_zero() {
        fact("profiler", format!("{} of CPU time, {memory} of memory at most", time(stats.own_cpu)));
    }
    if !stats.target.is_empty() {
        fact("target", quoted(&stats.target));
    }
    if !stats.host.is_empty() {
        fact("host", quoted(&stats.host));
    }
    if stats.started_unix > 0 {
        fact("started", utc(stats.started_unix));
    }
    facts.extend(stats.notes.iter().map(|note| Fact { about: "note", text: quoted(note) }));
    facts
}

/// By whom stacks were walked.
fn sampler(walks: &KernelWalks, samples: u64) -> String {
    if let Some(why_not) = &walks.why_not {
        return format!("perf events ({})", quoted(why_not));
    }
    if samples == 0 && walks.samples == 0 {
        let call = walks.mean_call_ns.map(|call| format!(", {call:.0} ns a call")).unwrap_or_default();
        return format!("bpf{call}");
    }
    let share = if samples > 0 { walks.samples as f64 / samples as f64 } else { 0.0 };
    let call = walks.mean_call_ns.map(|call| format!(", {call:.0} ns a call")).unwrap_or_default();
    format!("bpf, {} of the samples walked in the kernel{call}", percent(share))
}

/// The summary of a recording, a line for each fact.
pub fn summary(stats: &CaptureStats) -> String {
    let mut text = String::new();
    for Fact { about, text: figure } in facts(stats) {
        text.push_str(&format!("{about:<9} {figure}\n"));
    }
    text
}

/// Why what is shown may be wrong, a sentence each; none if nothing speaks against it.
pub fn warnings(stats: &CaptureStats) -> Vec<String> {
    let mut warnings = Vec::new();
    if stats.samples == 0 {
        warnings.push("there are no samples".to_owned());
    }
    if stats.lost > 0 {
        warnings.push(format!("{} lost", count_of(stats.lost, "sample")));
    }
    if let Some(count) = stats.skipped.get(CaptureStats::BEYOND) {
        let what = count_of(*count, "sample");
        warnings.push(format!("all values together are more than 2^64 - 1: {what} count in part only, or not at all"));
    }
    if let Some(count) = stats.skipped.get(CaptureStats::TOO_MANY) {
        let what = if *count == 1 { "1 stack stands".to_owned() } else { format!("{} stacks stand", grouped(*count)) };
        warnings.push(format!("{what} for more than 2^32 - 1 samples, and so many are counted; values are whole"));
    }
    if stats.trimmed > 0 {
        warnings.push(format!("the stacks of {} were copied in part only", count_of(stats.trimmed, "sample")));
    }
    if stats.throttled > 0 {
        warnings.push("the kernel throttled the event".to_owned());
    }
    if let Some(waits) = stats.off_cpu.as_ref().filter(|waits| waits.lost_waits > 0) {
        warnings.push(format!("{} of {} lost", count_of(waits.lost_waits, "wait"), time(waits.lost)));
    }
    if let (Some((_, most)), Some(waits)) = (without_end(stats), &stats.off_cpu)
        && most > (waits.blocked + waits.runnable).mul_f64(WITHOUT_END_MATTERS)
    {
        warnings.push(format!("waits of {} together, at most, are missing", time(most)));
    }
    // Programs in the kernel see nothing of them.
    match in_kernel(stats, "members_full") {
        0 => {}
        1 => warnings.push(
            "1 process could not be followed, for want of room: it is missing, with all that it started".to_owned(),
        ),
        count => {
            warnings.push(format!(
                "{} processes could not be followed, for want of room: they are missing, with all that they started",
                grouped(count)
            ));
        }
    }
    if let Some(coverage) = stats.coverage {
        // Chance alone moves it by about the root of the number of samples.
        let chance = 3.3 / (stats.samples.max(1) as f64).sqrt();
        if coverage < 1.0 - chance.max(0.05) {
            warnings.push(format!("the samples cover only {} of what ran", percent(coverage)));
        } else if coverage > 1.0 + chance.max(0.05) {
            warnings.push(format!("the samples stand for {} of what ran", percent(coverage)));
        }
    }
    if stats.truncated_total() > 0.01 {
        warnings.push(format!("{} of the stacks are cut", percent(stats.truncated_total())));
    }
    // Some have none wherever the system's libraries are stripped, and stand in the picture by their address.
    if stats.unnamed_innermost > 0.5 {
        warnings.push(format!("{} of what ran has no name", percent(stats.unnamed_innermost)));
    } else if stats.unnamed_total() > 0.5 {
        warnings.push(format!("{} of the frames have no name", percent(stats.unnamed_total())));
    }
    warnings
}

/// So large a part of the time off the CPU may be missing before it is warned of.
const WITHOUT_END_MATTERS: f64 = 0.01;

/// What programs in the kernel have counted.
fn in_kernel(stats: &CaptureStats, name: &str) -> u64 {
    stats.kernel_walks.as_ref().and_then(|walks| walks.counts.get(name)).copied().unwrap_or(0)
}

/// How many waits are missing as their end was not seen, and their time at most: on some machines a tracepoint does not tell of each
/// switch.
fn without_end(stats: &CaptureStats) -> Option<(u64, Duration)> {
    let count = in_kernel(stats, "waits_without_end");
    (count > 0).then(|| (count, Duration::from_nanos(in_kernel(stats, "waits_without_end_ns"))))
}

/// How much time threads were off the CPU, and what is to be known of it.
fn off_cpu(stats: &OffCpuStats, without_end: Option<(u64, Duration)>) -> Vec<String> {
    let mut texts = vec![format!(
        "{} blocked in {}, {} waiting for a CPU in {}",
        time(stats.blocked),
        count_of(stats.waits, "wait"),
        time(stats.runnable),
        count_of(stats.runnable_waits, "wait")
    )];
    if let Some(on) = stats.on_cpu {
        texts[0].push_str(&format!(", {} on the CPU", time(on)));
    }
    let mut parts = Vec::new();
    for (count, what) in [
        (stats.blocked_before, "had begun before the recording"),
        (stats.still_blocked, "had not ended when it did"),
        (stats.left_out, "left out, as shorter, longer or of another state than asked for"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", count_of(count, "wait")));
        }
    }
    if stats.lost_waits > 0 {
        parts.push(format!("{} of {} lost for want of room", count_of(stats.lost_waits, "wait"), time(stats.lost)));
    }
    if let Some((count, most)) = without_end {
        let (count, most) = (count_of(count, "wait"), time(most));
        parts.push(format!(
            "{count} missing, of {most} together at most, as the kernel has not told when threads were back"
        ));
    }
    if let Some(known) = stats.wakers_known {
        parts.push(format!("who woke is known of {}", count_of(known, "wait")));
    }
    if !parts.is_empty() {
        texts.push(parts.join("; "));
    }
    texts
}

/// How much is cut, by reason; for want of unwind information, the files that have none.
fn truncated(stats: &CaptureStats) -> String {
    /// So many files are named.
    const NAMED: usize = 3;
    let mut files: Vec<(&str, f64)> = stats.no_unwind_info.iter().map(|(path, share)| (&**path, *share)).collect();
    files.sort_by(|a, b| b.1.total_cmp(&a.1));
    let reasons = stats.truncated.iter().flat_map(|(reason, share)| {
        if *reason != Truncation::NoUnwindInfo.as_str() || files.is_empty() {
            return vec![format!("{reason} {}", percent(*share))];
        }
        let named = files.iter().take(NAMED).map(|(path, share)| {
            let name = path.rsplit('/').next().unwrap_or(path);
            format!("{reason} in {} {}", quoted(name), percent(*share))
        });
        let rest = files.get(NAMED..).unwrap_or_default();
        let others = (!rest.is_empty()).then(|| {
            let sum = rest.iter().map(|(_, share)| share).sum();
            format!("{reason} in {} {}", count_of(rest.len() as u64, "other file"), percent(sum))
        });
        named.chain(others).collect()
    });
    with_reasons(stats.truncated_total(), &reasons.collect::<Vec<_>>())
}

/// What most of the frames without a name are in, and what helps.
fn unnamed_images(stats: &CaptureStats) -> Vec<String> {
    /// So many are named; all are in `--stats`.
    const NAMED: usize = 3;
    /// Less is not worth a line.
    const LEAST: f64 = 0.01;
    let shown = stats.unnamed_images.iter().filter(|row| row.share >= LEAST).take(NAMED);
    let line = |row: &UnnamedImage| {
        let head = format!("{} {} ({})", percent(row.share), quoted(&row.image), row.reason.as_str());
        if row.help.is_empty() { head } else { format!("{head}: {}", quoted(&row.help)) }
    };
    shown.map(line).collect()
}

fn by_reason(total: f64, shares: &BTreeMap<&'static str, f64>) -> String {
    let reasons: Vec<String> = shares.iter().map(|(reason, share)| format!("{reason} {}", percent(*share))).collect();
    with_reasons(total, &reasons)
}

fn with_reasons(total: f64, reasons: &[String]) -> String {
    match reasons {
        [] => percent(total),
        reasons => format!("{} ({})", percent(total), reasons.join(", ")),
    }
}

/// A sentence from a recording on one line: a command may have line ends in it.
fn quoted(text: &str) -> String {
    let text: String = text.chars().map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c }).collect();
    shorten(&printable(&text), LONGEST).into_owned()
}

fn time(time: Duration) -> String {
    quantity(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Unit::Nanoseconds)
}
