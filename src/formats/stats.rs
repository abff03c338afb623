//! What a recording took, missed and cost, as JSON.

use serde_json::{Value, json};

use crate::model::{CaptureStats, OffCpuStats, Origin, RunMark};

/// The statistics as a JSON object; shares are 0..1, and what is not known is `null`.
///
/// `bpf` says of samples whose stacks were walked in the kernel: `{samples counts mean_call_ns why_not}`, `null` if nothing is known of
/// such.
///
/// Keys: `origin` (`recording`; `records` of one that was read; `stacks` that another program found, whose `lost`,
/// `throttled` and `complete` are `null`), `event rate duration_seconds samples lost trimmed throttled coverage cpu_seconds complete
/// unstated truncated completed_late no_unwind_info frames unnamed unnamed_innermost unnamed_images own_cpu_seconds peak_rss_bytes
/// records skipped off_cpu notes
/// target host started_unix`; `truncated` and `unnamed` are objects from reason to share, `no_unwind_info` from file to share, `frames`
/// (how callers in user mode were found), `records` (what was read, by type) and `skipped` (what was passed over, by reason)
/// to number; `unnamed_images` is a list, most first, of `{image reason share help}`: what to install or to type, empty if nothing
/// is known to help; `completed_late` is a number of samples, `null` of what was not recorded here;
/// `off_cpu` is `null` or `{blocked_seconds waits runnable_seconds runnable_waits still_blocked blocked_before wakers_known lost_waits
/// lost_seconds left_out on_cpu_seconds wall_seconds coverage}`, see [`OffCpuStats`]. Of a run that was kept with others of its series there
/// is `run` too, `{key label order work}`, see [`RunMark`].
pub fn stats_json(stats: &CaptureStats) -> Value {
    let is_known = stats.origin != Origin::Stacks;
    let origin = match stats.origin {
        Origin::Recording => "recording",
        Origin::Records => "records",
        Origin::Stacks => "stacks",
    };
    let mut json = json!({
        "origin": origin,
        "event": stats.event,
        "rate": stats.rate,
        "duration_seconds": stats.duration.as_secs_f64(),
        "samples": stats.samples,
        "lost": (is_known || stats.lost > 0).then_some(stats.lost),
        "trimmed": (stats.origin == Origin::Recording).then_some(stats.trimmed),
        "throttled": is_known.then_some(stats.throttled),
        "coverage": stats.coverage,
        "cpu_seconds": stats.cpu_time.map(|time| time.as_secs_f64()),
        "complete": (is_known && !stats.stacks_unknown).then_some(stats.complete),
        "unstated": (!stats.stacks_unknown).then_some(stats.unstated),
        "truncated": (!stats.stacks_unknown).then_some(&stats.truncated),
        "completed_late": (stats.origin == Origin::Recording && !stats.stacks_unknown).then_some(stats.completed_late),
        "no_unwind_info": (!stats.stacks_unknown).then_some(&stats.no_unwind_info),
        "frames": (!stats.stacks_unknown).then_some(&stats.frames),
        "unnamed": (!stats.stacks_unknown).then_some(&stats.unnamed),
        "unnamed_innermost": (!stats.stacks_unknown).then_some(stats.unnamed_innermost),
        "unnamed_images": (!stats.stacks_unknown).then(|| unnamed_images(stats)),
        "bpf": stats.kernel_walks.as_ref().map(|walks| json!({
            "samples": walks.samples,
            "counts": walks.counts,
            "mean_call_ns": walks.mean_call_ns,
            "why_not": walks.why_not,
        })),
        "own_cpu_seconds": stats.own_cpu.as_secs_f64(),
        "peak_rss_bytes": stats.peak_rss_bytes,
        "records": stats.records,
        "skipped": stats.skipped,
        "off_cpu": stats.off_cpu.as_ref().map(off_cpu),
        "notes": stats.notes,
        "target": stats.target,
        "host": stats.host,
        "started_unix": stats.started_unix,
    });
    if let Some(RunMark { key, label, order, work }) = &stats.run {
        json["run"] = json!({"key": key, "label": label, "order": order, "work": work});
    }
    json
}

fn off_cpu(stats: &OffCpuStats) -> Value {
    json!({
        "blocked_seconds": stats.blocked.as_secs_f64(),
        "waits": stats.waits,
        "runnable_seconds": stats.runnable.as_secs_f64(),
        "runnable_waits": stats.runnable_waits,
        "still_blocked": stats.still_blocked,
        "blocked_before": stats.blocked_before,
        "wakers_known": stats.wakers_known,
        "lost_waits": stats.lost_waits,
        "lost_seconds": stats.lost.as_secs_f64(),
        "left_out": stats.left_out,
        "on_cpu_seconds": stats.on_cpu.map(|time| time.as_secs_f64()),
        "wall_seconds": stats.wall.map(|time| time.as_secs_f64()),
        "coverage": stats.coverage(),
    })
}

fn unnamed_images(stats: &CaptureStats) -> Vec<Value> {
    let rows = stats.unnamed_images.iter();
    rows.map(|row| json!({"image": row.image, "reason": row.reason.as_str(), "share": row.share, "help": row.help}))
        .collect()
}
