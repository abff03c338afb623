//! The recordings of `perf record`, of simpleperf, and of `profile record` itself.
//!
//! ```text
//! map (file, folder) ---.
//!                        >--> Scan: record by record --> Feed: order of time --> Recorder --> names --> Profile
//! chunks (stream) ------'       '-- attributes, sections, compressed records
//! ```
//! A file is mapped, and its records are parsed where they lie; what was read is given back now and then, so that memory does not
//! follow the size of the file. A stream is held as far as it is not in order yet. What holds no samples is passed over and
//! counted by its type.

mod events;
mod files;
mod names;
mod scan;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::files::Files;
use self::scan::{Known, Scan, Scanned};
use super::ImportOptions;
use super::source::{Input, Meter, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::image::Images;
use crate::model::{self, Profile};
use crate::perf::data::header::{self, FILE_HEADER, FileHeader, NoHeader, Start};
use crate::perf::record::{self, kind_name};
use crate::perf::{AttrFlags, Layout, Record, Sampling};
use crate::process::Membership;
use crate::recorder::{Origin, Recorder, RecorderOptions, Sink};

/// Reads a recording: a file, a folder of `perf record --threads`, or a stream.
///
/// Applies `options.filter` itself, before frames are named; `model::merge`, `--event` and the summary come after.
pub(super) fn read(source: Source, options: &ImportOptions, meter: &Meter) -> Result<Profile> {
    let path = source.path.clone();
    let scanned = scan(source, meter, &|known| {
        let features = known.features;
        let recorder_options = RecorderOptions {
            membership: Membership::All,
            events: known.recorded_events(),
            streams: 1,
            user_stacks: options.user_stacks,
            stack_copy: 0,
            begins_with_exec_of: None,
            waits: None,
            origin: Origin::Recording {
                processor: known.processor(),
                is_monotonic: known.is_monotonic(),
                symbols_of: features.simpleperf.files.iter().map(|file| file.path.as_bytes().into()).collect(),
                build_ids: features.build_ids.iter().map(|file| (file.path.as_slice().into(), file.build_id)).collect(),
            },
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let images = Images::recorded(names::sources(features, path.as_deref(), options));
        let mut recorder = Recorder::with_images(recorder_options, images);
        recorder.begin(0);
        recorder
    })?;
    finish(scanned, options)
}

/// Goes through the records of a recording in order of time, for whoever wants to look at them one by one.
///
/// # Errors
/// If it is no recording, or cannot be read.
pub fn records(path: &Path, each: impl FnMut(&Record<'_>)) -> Result<()> {
    struct Each<'e, F>(&'e RefCell<F>);
    impl<F: FnMut(&Record<'_>)> Sink for Each<'_, F> {
        fn take<'a>(&mut self, records: impl Iterator<Item = (&'a [u8], &'a Layout)>) {
            records.for_each(|(bytes, layout)| (self.0.borrow_mut())(&record::parse(bytes, layout)));
        }
    }
    let meter = Meter::new(Arc::default());
    let source = Source::open(Input::Path(path.to_owned()), &meter)?;
    let each = RefCell::new(each);
    scan(source, &meter, &|_| Each(&each)).map(drop)
}

/// Goes through a recording; `make` makes who takes in its records, once it is known what they are.
fn scan<S: Sink>(mut source: Source, meter: &Meter, make: &dyn Fn(&Known<'_>) -> S) -> Result<Scanned<S>> {
    let name = source.name.clone();
    let no_header = |why: NoHeader, length: usize| match why {
        NoHeader::Short => {
            Error::new(ErrorKind::Malformed, format!("{name} ends within the header of a perf.data, at byte {length}"))
                .with_hint("the recording was cut short before anything was in it: record again")
        }
        NoHeader::OtherMagic => {
            Error::new(ErrorKind::Malformed, format!("{name} does not begin as a perf.data does, with PERFILE2"))
                .with_hint("leave out --from: what it is, is told by its content")
        }
    };
    let files = if let Some(path) = &source.path {
        Files::open(path, &name)?
    } else {
        match header::read(&source.head) {
            Err(why) => return Err(no_header(why, source.head.len())),
            Ok(Start::Pipe { order, size }) => {
                let failed = |error| Error::io(format!("cannot read {name}"), error);
                source.bytes.read_exact(&mut vec![0; size]).map_err(failed)?;
                let mut scan = Scan::new(&name, order, meter, None, make);
                scan.stream(&mut *source.bytes)?;
                return scan.finish();
            }
            // A file's sections stand behind its records, and say how to read them.
            Ok(Start::File(_)) => Files::spool(&mut *source.bytes, &name)?,
        }
    };
    let main = files.main();
    match header::read(main).map_err(|why| no_header(why, main.len()))? {
        Start::Pipe { order, size } => {
            let mut scan = Scan::new(&name, order, meter, Some(&files), make);
            scan.file(0, size as u64..main.len() as u64);
            scan.finish()
        }
        Start::File(header) => {
            let mut scan = Scan::new(&name, header.order, meter, Some(&files), make);
            let data = records_of(&header, main, &mut scan);
            for (number, section) in header.sections(main) {
                scan.add_section(number, section);
            }
            for (attr, ids) in header.attrs(main) {
                scan.add_attr(attr, ids);
            }
            if let Some(types) = header::slice(main, &header.event_types) {
                scan.add_event_types(types);
            }
            scan.file(0, data);
            for number in 1..files.count() {
                scan.file(number, 0..u64::MAX);
            }
            scan.finish()
        }
    }
}

/// Where the records are; what is wrong with that is noted.
fn records_of<S: Sink>(header: &FileHeader, file: &[u8], scan: &mut Scan<'_, S>) -> std::ops::Range<u64> {
    let length = file.len() as u64;
    let mut data = header.data.clone();
    if data.is_empty() {
        // The size is written when the recording ends.
        let start = data.start.max(FILE_HEADER as u64);
        scan.note_cut("the recording was never finished (perf was killed, or is still at it): sections with build ids are missing");
        data = start.min(length)..length;
    } else if data.end > length {
        scan.note_cut(&format!(
            "the file is cut short: {} of {} bytes of records are there",
            length.saturating_sub(data.start),
            data.end - data.start
        ));
        data = data.start.min(length)..length;
    } else if header.sections(file).len() < header.announced_sections() {
        scan.note("the file is cut short behind its records: some sections about the machine are missing");
    }
    data
}

/// Ends the recording, names its frames and sums up.
fn finish(scanned: Scanned<Recorder>, options: &ImportOptions) -> Result<Profile> {
    let Scanned { sink, features, events, counts, mut skipped, mut notes, is_cut } = scanned;
    let recorded = sink.finish();
    notes.extend(recorded.notes);
    let counters = recorded.counters;
    let mut profile = recorded.profile;
    // Images and the kernel stay with what knows where their files are.
    let code = names::Code {
        images: recorded.images,
        jit_hosts: recorded.jit_hosts,
        kernel: recorded.kernel,
        kernel_symbols: recorded.kernel_symbols,
    };
    choose_main(&mut profile);
    let times = profile.samples.iter().map(|sample| sample.time.0).filter(|time| *time > 0);
    let (first, last) = times.fold((u64::MAX, 0), |(first, last), time| (first.min(time), last.max(time)));
    profile.stats.frames = counters.frames();
    options.filter.apply(&mut profile)?;
    notes.extend(names::name(&mut profile, &code, &features, options));

    let stats = &mut profile.stats;
    stats.origin = model::Origin::Records;
    stats.duration = Duration::from_nanos(last.saturating_sub(first));
    stats.lost = counters.lost.max(counters.lost_samples);
    stats.throttled = counters.throttled;
    stats.records = counts.into_iter().map(|(kind, count)| (kind_name(kind), count)).collect::<BTreeMap<_, _>>();
    let malformed = counters.malformed - counters.malformed_samples;
    for (what, count) in [
        ("samples that contradict themselves", counters.malformed_samples),
        ("records that contradict themselves", malformed),
        ("bytes of hardware trace (not decoded)", counters.aux_bytes),
    ] {
        if count > 0 {
            let sum = skipped.entry(what.to_owned()).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    stats.skipped.append(&mut skipped);
    if let Some(event) = events.get(profile.main.index())
        && let Sampling::Frequency(rate) = event.attr.sampling
        && event.attr.flags.has(AttrFlags::FREQ)
    {
        stats.rate = Some(rate as f64);
    }
    stats.target = features.cmdline.join(" ");
    stats.host = [features.hostname.as_deref(), features.osrelease.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    if let Some(offset) = features.wall_offset
        && first < u64::MAX
    {
        stats.started_unix = u64::try_from((i128::from(first) + offset) / 1_000_000_000).unwrap_or(0);
    }
    if counters.late > 0 {
        notes.push(format!("{} came out of order: frames may be wrong", count_of(counters.late, "record")));
    }
    if counters.aux_lost > 0 {
        notes.push(format!("hardware trace was lost {} times", counters.aux_lost));
    }
    if counters.waits_by_next_sample > 0 {
        notes.push(format!(
            "the end of {} is taken to be the thread's next sample, as the recording does not say when it came on a CPU",
            count_of(counters.waits_by_next_sample, "wait")
        ));
    }
    if counters.open_waits > 0 {
        notes.push(format!("{} had not ended when the recording did: left out", count_of(counters.open_waits, "wait")));
    }
    stats.is_cut = is_cut;
    stats.notes.append(&mut notes);
    Ok(profile)
}

/// The main event: the first that has samples; time off the CPU rather than the number of switches that it was made of.
fn choose_main(profile: &mut Profile) {
    profile.choose_main();
    let is_switch = profile.main_event().trim_start_matches("sched:").split(':').next() == Some("sched_switch");
    let off_cpu = profile.events.iter().position(|event| profile.strings.get(event.name) == crate::recorder::OFF_CPU);
    if let (true, Some(off_cpu)) = (is_switch, off_cpu) {
        profile.main = model::EventId::from_index(off_cpu);
    }
}

/// A number of things, in words.
fn count_of(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
