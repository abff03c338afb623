//! What a recording took, missed and cost, as it is read back from the JSON of [`super::stats_json`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::model::{
    CaptureStats, FoundBy, KernelWalks, OffCpuStats, Origin, RunMark, Truncation, Unnamed, UnnamedImage,
};

/// What was read, and what of it cannot be.
#[derive(Clone, Debug, Default)]
pub struct StatsRead {
    /// The figures; those that cannot be are not known. Shares count as recorded ([`CaptureStats::is_as_recorded`]) if each can be.
    pub stats: CaptureStats,
    /// The keys of figures that are no figures, or that no recording has, as they stand in the JSON.
    pub refused: Vec<String>,
}

/// Seconds that 64 bits of nanoseconds hold.
const MOST_SECONDS: f64 = 1.8e10;
/// One sample of a program that ran for a thousandth of its period.
const MOST_COVERAGE: f64 = 1_000.0;
/// A kernel's limit is below a millionth of it.
const MOST_RATE: f64 = 1e9;
/// Nobody counts more than nanoseconds.
const MOST_WORK: f64 = 1e18;
/// The year 9999 in seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;
/// How far sums of shares may be off by rounding.
const ROUNDING: f64 = 1e-6;

/// Reads the object that [`super::stats_json`] made. The cost of the profiler itself (`own_cpu_seconds`, `peak_rss_bytes`) and the number
/// of samples are not among what is read: they are those of who reads.
pub fn read_stats(json: &Value) -> StatsRead {
    let mut reader = Reader { json, refused: Vec::new() };
    if !json.is_object() {
        reader.refuse::<()>("stats");
    }
    let mut stats = CaptureStats {
        origin: match json["origin"].as_str() {
            Some("recording") => Origin::Recording,
            Some("records") => Origin::Records,
            _ => Origin::Stacks,
        },
        event: reader.text("event"),
        rate: reader.number("rate", MOST_RATE).filter(|rate| *rate > 0.0),
        duration: reader.seconds("duration_seconds").unwrap_or_default(),
        lost: reader.count("lost").unwrap_or(0),
        trimmed: reader.count("trimmed").unwrap_or(0),
        throttled: reader.count("throttled").unwrap_or(0),
        coverage: reader.number("coverage", MOST_COVERAGE),
        cpu_time: reader.seconds("cpu_seconds"),
        stacks_unknown: json["origin"].is_string() && json["unstated"].is_null(),
        completed_late: reader.count("completed_late").unwrap_or(0),
        kernel_walks: reader.kernel_walks(),
        records: reader.counts("records"),
        skipped: reader.counts("skipped"),
        off_cpu: reader.off_cpu(),
        run: reader.run(),
        target: reader.text("target"),
        host: reader.text("host"),
        started_unix: reader.count("started_unix").unwrap_or(0),
        ..CaptureStats::default()
    };
    if stats.started_unix > LAST_SECOND {
        stats.started_unix = 0;
        reader.refuse::<()>("started_unix");
    }
    stats.notes = reader.list("notes", |reader, note, key| match note.as_str() {
        Some(note) => Some(note.to_owned()),
        None => reader.refuse(key),
    });
    let before_shares = reader.refused.len();
    reader.shares(&mut stats);
    stats.is_as_recorded = json.is_object() && reader.refused.len() == before_shares;
    StatsRead { stats, refused: reader.refused }
}

/// Looks keys up; what is wrong is noted and then as if it were not there.
struct Reader<'a> {
    json: &'a Value,
    refused: Vec<String>,
}

impl<'a> Reader<'a> {
    fn refuse<T>(&mut self, key: &str) -> Option<T> {
        self.refused.push(key.to_owned());
        None
    }

    /// The value of a key; of one in an object, behind a dot.
    fn value(&self, key: &str) -> &'a Value {
        key.split('.').fold(self.json, |value, key| &value[key])
    }

    fn text(&mut self, key: &str) -> String {
        match self.value(key) {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            _ => self.refuse(key).unwrap_or_default(),
        }
    }

    /// A number from 0 to `most`.
    fn number(&mut self, key: &str, most: f64) -> Option<f64> {
        self.number_of(self.value(key), key, most)
    }

    fn number_of(&mut self, value: &Value, key: &str, most: f64) -> Option<f64> {
        match value.as_f64() {
            Some(number) if (0.0..=most).contains(&number) => Some(number),
            None if value.is_null() => None,
            _ => self.refuse(key),
        }
    }

    fn count(&mut self, key: &str) -> Option<u64> {
        self.count_of(self.value(key), key)
    }

    fn count_of(&mut self, value: &Value, key: &str) -> Option<u64> {
        match value.as_u64() {
            None if !value.is_null() => self.refuse(key),
            count => count,
        }
    }

    fn seconds(&mut self, key: &str) -> Option<Duration> {
        let seconds = self.number(key, MOST_SECONDS)?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn list<T>(&mut self, key: &str, mut read: impl FnMut(&mut Self, &'a Value, &str) -> Option<T>) -> Vec<T> {
        match self.value(key) {
            Value::Null => Vec::new(),
            Value::Array(list) => list.iter().filter_map(|value| read(self, value, key)).collect(),
            _ => self.refuse(key).unwrap_or_default(),
        }
    }

    fn map<T>(&mut self, key: &str, mut read: impl FnMut(&mut Self, &str, &'a Value) -> Option<T>) -> Vec<T> {
        match self.value(key) {
            Value::Null => Vec::new(),
            Value::Object(map) => map.iter().filter_map(|(name, value)| read(self, name, value)).collect(),
            _ => self.refuse(key).unwrap_or_default(),
        }
    }

    fn counts(&mut self, key: &str) -> BTreeMap<String, u64> {
        let read = |reader: &mut Self, name: &str, value: &Value| Some((name.to_owned(), reader.count_of(value, key)?));
        self.map(key, read).into_iter().collect()
    }

    /// Shares by reason; a reason that nobody knows is refused.
    fn shares_of(&mut self, key: &str, reasons: &[&'static str]) -> BTreeMap<&'static str, f64> {
        let shares = self.map(key, |reader, name, value| match reasons.iter().find(|reason| **reason == name) {
            Some(reason) => Some((*reason, reader.number_of(value, key, 1.0)?)),
            None => reader.refuse(key),
        });
        shares.into_iter().collect()
    }

    /// The figures that otherwise follow from the profile's tables.
    fn shares(&mut self, stats: &mut CaptureStats) {
        stats.complete = self.number("complete", 1.0).unwrap_or(0.0);
        stats.unstated = self.number("unstated", 1.0).unwrap_or(0.0);
        stats.truncated = self.shares_of("truncated", &Truncation::ALL.map(Truncation::as_str));
        stats.unnamed = self.shares_of("unnamed", &Unnamed::ALL.map(Unnamed::as_str));
        stats.unnamed_innermost = self.number("unnamed_innermost", 1.0).unwrap_or(0.0);
        let no_info = self.map("no_unwind_info", |reader, path, share| {
            Some((path.to_owned(), reader.number_of(share, "no_unwind_info", 1.0)?))
        });
        stats.no_unwind_info = no_info.into_iter().collect();
        stats.unnamed_images = self.list("unnamed_images", |reader, row, key| {
            let reason = Unnamed::ALL.into_iter().find(|reason| row["reason"] == reason.as_str());
            let Some((reason, image)) = reason.zip(row["image"].as_str()) else { return reader.refuse(key) };
            let share = reader.number_of(&row["share"], key, 1.0)?;
            let help = row["help"].as_str().unwrap_or_default().to_owned();
            Some(UnnamedImage { image: image.to_owned(), reason, share, help })
        });
        let ways = FoundBy::ALL.map(FoundBy::as_str);
        let frames = self.map("frames", |reader, name, count| match ways.iter().find(|way| **way == name) {
            Some(way) => Some((*way, reader.count_of(count, "frames")?)),
            None => reader.refuse("frames"),
        });
        stats.frames = frames.into_iter().collect();
        for (sum, what) in [
            (stats.complete + stats.unstated + stats.truncated_total(), "complete + truncated"),
            (stats.unnamed_total(), "unnamed"),
            (stats.unnamed_images.iter().map(|row| row.share).sum(), "unnamed_images"),
        ] {
            if sum > 1.0 + ROUNDING {
                self.refuse::<()>(what);
            }
        }
    }

    fn kernel_walks(&mut self) -> Option<KernelWalks> {
        self.value("bpf").as_object()?;
        Some(KernelWalks {
            samples: self.count("bpf.samples").unwrap_or(0),
            counts: self.counts("bpf.counts"),
            mean_call_ns: self.number("bpf.mean_call_ns", 1e12),
            why_not: Some(self.text("bpf.why_not")).filter(|why| !why.is_empty()),
        })
    }

    fn run(&mut self) -> Option<RunMark> {
        self.value("run").as_object()?;
        Some(RunMark {
            key: self.text("run.key"),
            label: self.text("run.label"),
            order: self.count("run.order").and_then(|order| u32::try_from(order).ok()),
            work: self.number("run.work", MOST_WORK).filter(|work| *work >= 1.0 / MOST_WORK).unwrap_or(1.0),
        })
    }

    fn off_cpu(&mut self) -> Option<OffCpuStats> {
        self.value("off_cpu").as_object()?;
        Some(OffCpuStats {
            blocked: self.seconds("off_cpu.blocked_seconds").unwrap_or_default(),
            waits: self.count("off_cpu.waits").unwrap_or(0),
            runnable: self.seconds("off_cpu.runnable_seconds").unwrap_or_default(),
            runnable_waits: self.count("off_cpu.runnable_waits").unwrap_or(0),
            still_blocked: self.count("off_cpu.still_blocked").unwrap_or(0),
            blocked_before: self.count("off_cpu.blocked_before").unwrap_or(0),
            wakers_known: self.count("off_cpu.wakers_known"),
            lost_waits: self.count("off_cpu.lost_waits").unwrap_or(0),
            lost: self.seconds("off_cpu.lost_seconds").unwrap_or_default(),
            left_out: self.count("off_cpu.left_out").unwrap_or(0),
            on_cpu: self.seconds("off_cpu.on_cpu_seconds"),
            wall: self.seconds("off_cpu.wall_seconds"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::stats_json;
    use super::*;

    fn whole() -> CaptureStats {
        CaptureStats {
            event: "cpu-clock".into(),
            rate: Some(99.0),
            duration: Duration::from_millis(1_500),
            lost: 3,
            trimmed: 2,
            throttled: 1,
            coverage: Some(1.25),
            cpu_time: Some(Duration::from_millis(750)),
            complete: 0.75,
            unstated: 0.125,
            truncated: [("stack copy", 0.0625), ("no unwind info", 0.0625)].into(),
            completed_late: 4,
            no_unwind_info: [("/lib/x.so".to_owned(), 0.0625)].into(),
            frames: [("unwind info", 30), ("frame pointer", 4)].into(),
            unnamed: [("no symbols", 0.25)].into(),
            unnamed_innermost: 0.5,
            unnamed_images: vec![UnnamedImage {
                image: "/lib/x.so".into(),
                reason: Unnamed::NoSymbols,
                share: 0.25,
                help: "install x".into(),
            }],
            kernel_walks: Some(KernelWalks {
                samples: 9,
                counts: [("calls".to_owned(), 12)].into(),
                mean_call_ns: Some(1500.5),
                why_not: Some("no".into()),
            }),
            records: [("sample".to_owned(), 5)].into(),
            skipped: [("odd".to_owned(), 6)].into(),
            off_cpu: Some(OffCpuStats { waits: 8, wall: Some(Duration::from_secs(2)), ..OffCpuStats::default() }),
            notes: vec!["less".into()],
            target: "prog".into(),
            host: "box".into(),
            started_unix: 1_795_246_509,
            run: Some(RunMark { key: "job".into(), label: "c0ffee".into(), order: Some(3), work: 2.5 }),
            ..CaptureStats::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for origin in [Origin::Recording, Origin::Records] {
            let mut stats = CaptureStats { origin, ..whole() };
            if origin == Origin::Records {
                (stats.trimmed, stats.completed_late) = (0, 0);
            }
            let read = read_stats(&stats_json(&stats));
            assert_eq!((read.refused, read.stats), (vec![], CaptureStats { is_as_recorded: true, ..stats }));
        }
        let unknown = CaptureStats { stacks_unknown: true, ..CaptureStats::default() };
        let read = read_stats(&stats_json(&unknown)).stats;
        assert_eq!(read, CaptureStats { is_as_recorded: true, ..unknown });
        assert!(!read_stats(&json!({})["stats"]).stats.is_as_recorded);
    }

    #[test]
    fn what_no_recording_has_is_refused() {
        let check = |key: &str, value: Value, what: &str| {
            let mut json = stats_json(&whole());
            *json.pointer_mut(&format!("/{}", key.replace('.', "/"))).unwrap() = value.clone();
            let read = read_stats(&json);
            assert_eq!(read.refused, [what], "{key}: {value}");
            let text = format!("{:?}", read.stats);
            assert!(!text.contains("1e300") && !text.contains("-5"), "{text}");
            read.stats
        };
        for value in [json!(-5.0), json!(1e300), json!("5"), json!([1]), json!(1_001)] {
            assert_eq!(check("coverage", value, "coverage").coverage, None);
        }
        for value in [json!(-0.5), json!(1.5), json!(1e300), json!("all"), json!({"a": 1})] {
            for key in ["complete", "unstated", "unnamed_innermost"] {
                assert!(!check(key, value.clone(), key).is_as_recorded, "{key}");
            }
        }
        for value in [json!(-5), json!(1.5), json!(1e300), json!("3"), json!(true)] {
            assert_eq!(check("lost", value.clone(), "lost").lost, 0);
            assert_eq!(check("off_cpu.waits", value.clone(), "off_cpu.waits").off_cpu.unwrap().waits, 0);
            check("bpf.counts", json!({"calls": value}), "bpf.counts");
            check("started_unix", value, "started_unix");
        }
        for value in [json!(-5.0), json!(1e300), json!("1 s")] {
            assert_eq!(check("duration_seconds", value.clone(), "duration_seconds").duration, Duration::ZERO);
            assert_eq!(check("rate", value, "rate").rate, None);
        }
        check("started_unix", json!(u64::MAX), "started_unix");
        for value in [json!(-5.0), json!(1e300), json!("2")] {
            assert_eq!(check("run.work", value, "run.work").run.unwrap().work, 1.0);
        }
        check("truncated", json!({"stack copy": -5.0}), "truncated");
        check("truncated", json!({"of no reason": 0.1}), "truncated");
        check("truncated", json!({"stack copy": 0.9}), "complete + truncated");
        check("unnamed", json!({"no symbols": 0.9, "no match": 0.9}), "unnamed");
        check("unnamed_images", json!([{"image": "x", "reason": "no match", "share": -5.0}]), "unnamed_images");
        check("notes", json!([5]), "notes");
        check("target", json!(5), "target");
    }
}
