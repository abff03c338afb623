//! Recordings of perf, of every kind that it writes, read by the real binary: all samples that perf itself finds in them, the
//! same ones in every clothing of the same recording, and what is there of one that is cut.
//!
//! What is expected was taken from perf when the recordings were made (`testdata/perf_data/record.sh`).

mod common;
#[path = "import_perf_data/container.rs"]
mod container;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::account::{self, Account};
use common::folded::Folded;
use common::run::{finish, profile, stderr};
use common::summary::Summary;
use container::Recording;
use flameprofile::perf::Record;
use flameprofile::perf::record::Mmap;

/// A recording of `testdata/perf_data`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/perf_data").join(name)
}

/// The lines of `expected.txt` in which the second word is no function: recording, event, samples.
fn expected() -> Vec<(String, String, u64)> {
    let text = fs::read_to_string(fixture("expected.txt")).expect("the fixtures are there");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [file, what, number] = words[..] else { panic!("no FILE WHAT NUMBER: {line:?}") };
        (file.to_owned(), what.to_owned(), number.parse().expect("a number"))
    };
    lines.map(row).collect()
}

fn is_function(what: &str) -> bool {
    what.ends_with("_wait")
}

/// Imports with the real binary.
fn import(path: &Path, flags: &[&str]) -> (Folded, Summary) {
    let folder = account::folder();
    let (stacks, stats) = (folder.path().join("out.folded"), folder.path().join("stats.json"));
    let mut command = profile(Account::Own);
    command
        .arg("import")
        .arg(path)
        .args(flags)
        .args(["-f", "folded", "--annotate", "-o"])
        .arg(&stacks)
        .arg("--stats")
        .arg(&stats);
    let output = finish(command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn());
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, stderr(&output));
    let read = |path: &Path| fs::read_to_string(path).expect("it was written");
    (Folded::parse(&read(&stacks)), Summary::parse(&read(&stats)))
}

/// Writes bytes to a file of a temporary folder, and keeps both.
fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = account::folder();
    let path = folder.path().join("perf.data");
    fs::write(&path, bytes).expect("/tmp is writable");
    (folder, path)
}

/// All that is known of every sample and mapping, as text.
fn rows(path: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    let read = flameprofile::import::records(path, |record| match record {
        Record::Sample(sample) => {
            let registers =
                sample.user_registers.map(|values| (values.abi, values.mask, values.values.iter().collect::<Vec<_>>()));
            rows.push(format!(
                "{:?} {} {:x} {} {:?} {:x?} {registers:x?} {:x?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                sample.identity,
                sample.event,
                sample.ip,
                sample.period,
                sample.address,
                sample.callchain.iter().collect::<Vec<_>>(),
                sample.user_stack,
                sample.weight,
                sample.data_source,
                sample.transaction,
                sample.physical_address,
                sample.cgroup,
                sample.data_page_size,
                sample.code_page_size,
                sample.raw_u32(56),
            ));
        }
        Record::Mmap(Mmap { identity, pid, mode, start, length, offset, executable, build_id, device_inode, path }) => {
            let path = String::from_utf8_lossy(path);
            rows.push(format!(
                "{identity:?} {pid} {mode:?} {start:x} {length:x} {offset:x} {executable} {build_id:?} {device_inode:?} {path}"
            ));
        }
        Record::Comm(comm) => rows.push(format!("{comm:?}")),
        Record::Fork(task) | Record::Exit(task) => rows.push(format!("{task:?}")),
        Record::Switch(switch) => rows.push(format!("{switch:?}")),
        Record::Malformed(kind) => panic!("{}: a record of type {kind} is said to be malformed", path.display()),
        _ => {}
    });
    read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    rows
}

#[test]
fn samples_of_every_event_are_as_many_as_perf_counts() {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for (file, event, samples) in expected().iter().filter(|(_, what, _)| !is_function(what)) {
        let (folded, summary) = import(&fixture(file), &["--event", event]);
        assert_eq!(summary.count("samples"), *samples, "{file}: {event}: {}", summary.json());
        assert!(folded.sampled() > 0, "{file}: {event}: no stacks");
        *all.entry(file.clone()).or_default() += samples;
    }
    for (file, samples) in all {
        let (_, summary) = import(&fixture(&file), &[]);
        assert_eq!(summary.json()["records"]["SAMPLE"].as_u64(), Some(samples), "{file}");
        assert_eq!(summary.json()["skipped"], serde_json::json!({}), "{file}: nothing is passed over");
    }
}

/// File, stream, folder and the other byte order: one recording, one result.
#[test]
fn clothes_do_not_matter() {
    let path = fixture("three_events.data");
    let recording = Recording::parse(&fs::read(&path).expect("the fixture is there"));
    let folder = account::folder();
    for (name, bytes) in recording.folder() {
        fs::write(folder.path().join(name), bytes).expect("/tmp is writable");
    }
    let (_kept, swapped) = written(&recording.swapped());
    let (_kept_too, rewritten) = written(&recording.file());
    for event in ["cpu-clock", "page-faults", "context-switches"] {
        let of_file = import(&path, &["--event", event]).0;
        assert!(of_file.rows.len() > 1);
        for other in [&fixture("three_events_pipe.data"), folder.path(), &swapped, &rewritten] as [&Path; 4] {
            assert_eq!(import(other, &["--event", event]).0, of_file, "{}: {event}", other.display());
        }
    }
}

#[test]
fn other_byte_order_is_read_to_the_last_field() {
    for name in ["three_events", "dwarf", "switches", "namespaces", "fields"] {
        let path = fixture(&format!("{name}.data"));
        let recording = Recording::parse(&fs::read(&path).expect("the fixture is there"));
        let (_kept, swapped) = written(&recording.swapped());
        let (native, swapped) = (rows(&path), rows(&swapped));
        assert!(native.len() > 20, "{name}: {} rows", native.len());
        assert_eq!(native.len(), swapped.len(), "{name}");
        for (native, swapped) in native.iter().zip(&swapped) {
            assert_eq!(swapped, native, "{name}");
        }
    }
}

/// Cut at every 1000th byte: what is whole before the cut is there, the rest is told of.
#[test]
fn what_is_before_a_cut_is_kept() {
    for name in ["three_events.data", "dwarf.data", "fields.data", "switches.data", "killed.data"] {
        let whole = fs::read(fixture(name)).expect("the fixture is there");
        let data = match name {
            "killed.data" => container::data_of(&whole).start..whole.len(),
            _ => container::data_of(&whole),
        };
        let records = container::records_in(&whole, data.clone());
        for cut in (0..whole.len()).step_by(1000) {
            let before =
                records.iter().filter(|place| place.end <= cut && container::kind(&whole[(*place).clone()]) == 9);
            check_cut(name, &whole[..cut], cut > data.start, before.count());
        }
    }
    let whole = fs::read(fixture("pipe.data")).expect("the fixture is there");
    let records = container::records_in(&whole, 16..whole.len());
    for cut in (0..whole.len()).step_by(1000) {
        let before = records.iter().filter(|place| place.end <= cut);
        let kinds: Vec<u32> = before.map(|place| container::kind(&whole[place.clone()])).collect();
        // Attributes come first.
        let samples = kinds.iter().filter(|kind| **kind == 9).count();
        check_cut("pipe.data", &whole[..cut], kinds.contains(&64), samples);
    }
}

fn check_cut(name: &str, bytes: &[u8], is_readable: bool, expected: usize) {
    let (_kept, path) = written(bytes);
    let mut samples = 0;
    let read =
        flameprofile::import::records(&path, |record| samples += usize::from(matches!(record, Record::Sample(_))));
    let cut = bytes.len();
    match read {
        Ok(()) => assert_eq!(samples, expected, "{name} cut at {cut}"),
        Err(error) => {
            assert!(!is_readable, "{name} cut at {cut}: {error}");
            assert!(error.to_string().contains("perf.data"), "{name} cut at {cut}: {error} names no file");
        }
    }
}

/// The real binary on a few cuts: it says that something is missing.
#[test]
fn a_cut_is_told_of() {
    for name in ["three_events.data", "compressed.data", "pipe.data"] {
        let whole = fs::read(fixture(name)).expect("the fixture is there");
        let (_kept, path) = written(&whole[..whole.len() * 3 / 5 + 3]);
        let summary = import(&path, &[]).1;
        let json = summary.json();
        let is_noted =
            json["notes"].as_array().is_some_and(|notes| notes.iter().any(|note| note.to_string().contains("cut")));
        let is_counted =
            json["skipped"].as_object().is_some_and(|skipped| skipped.keys().any(|what| what.contains("cut")));
        assert!(is_noted || is_counted, "{name}: {json}");
        assert!(summary.count("samples") > 0, "{name}: {json}");
    }
    let (_kept, path) = written(&fs::read(fixture("three_events.data")).expect("the fixture is there")[..50]);
    let output = profile(Account::Own).arg("import").arg(&path).output().expect("profile can be started");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("perf.data ends within the header"), "{}", stderr(&output));
    let summary = import(&fixture("killed.data"), &[]).1;
    assert!(summary.json().to_string().contains("never finished"), "{}", summary.json());
}

/// Time off the CPU by function, to the nanosecond as perf's own text has it.
#[test]
fn time_off_the_cpu_is_by_stack() {
    let root = fixture("root");
    let (folded, summary) =
        import(&fixture("switches.data"), &["--sysroot", root.to_str().expect("test paths are UTF-8")]);
    assert_eq!(summary.json()["event"].as_str(), Some("off-cpu"), "{}", summary.json());
    for (_, function, nanoseconds) in expected().iter().filter(|(_, what, _)| is_function(what)) {
        assert_eq!(folded.total_of(function), *nanoseconds, "{function}: {folded:?}");
        // Ten waits of 8 ms and of 2 ms: never shorter, and not much longer on any machine that records at all.
        let asked = if function == "long_wait" { 80_000_000 } else { 20_000_000 };
        assert!((asked..2 * asked).contains(nanoseconds), "{function}: {nanoseconds}");
    }
    // The end of the process is the one switch that nothing follows.
    assert_eq!(folded.sampled(), folded.total_of("wait"));
}

/// Frames of copied stacks, by the program under `root`: from the function that burns CPU to where it began.
#[test]
fn copied_stacks_are_unwound_with_files_of_another_root() {
    let root = fixture("root");
    let (folded, _) = import(&fixture("dwarf.data"), &["--sysroot", root.to_str().expect("test paths are UTF-8")]);
    let in_program = folded.weight(|row| row.has("inner"));
    let whole = folded.weight(|row| {
        let from = row.frames.iter().position(|frame| frame == "_start");
        from.is_some_and(|from| {
            let names: Vec<&str> = row.frames[from..].iter().map(String::as_str).collect();
            names.starts_with(&["_start", "begin", "burn", "parent_loop", "outer", "inner"])
                || names.starts_with(&["_start", "begin", "burn", "child_loop", "outer", "inner"])
        })
    });
    assert!(in_program > 0, "{folded:?}");
    assert_eq!(whole, in_program, "{}", folded.counterexamples(|row| row.has("_start")));
}
