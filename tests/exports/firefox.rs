//! `-f firefox`: the tables hold together, their sums are ours, and they are those that fxprof-processed-profile writes.

use std::collections::BTreeMap;
use std::io::Read;

use flameprofile::export::firefox;
use flameprofile::model::{BuildId, FrameKind, ImageKind, Profile, StackEnd, Unit, off_cpu};
use fxprof_processed_profile as fxprof;
use serde_json::Value;

use crate::sketch::{self, Sketch};
use crate::{sketches, sums, with_waits, without_times};

fn text(profile: &Profile) -> String {
    let mut out = Vec::new();
    firefox::write(profile, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("a list: {value:.100}"))
}

/// Nanoseconds of a number of milliseconds that is written in full.
fn nanoseconds(text: &str) -> u64 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    whole.parse::<u64>().unwrap() * 1_000_000 + format!("{part:0<6}").parse::<u64>().unwrap()
}

/// The numbers of a column as they are written: a float would round those near 2^63.
fn digits<'a>(thread: &'a str, column: &str) -> Vec<&'a str> {
    let (_, rest) = thread.split_once(&format!("\"{column}\":[")).unwrap();
    let numbers = rest.split_once(']').unwrap().0;
    numbers.split(',').filter(|number| !number.is_empty()).collect()
}

/// Every column of a table has its length, and its numbers are rows of another.
fn check_table(what: &str, table: &Value, references: &[(&str, usize)]) {
    let length = table["length"].as_u64().unwrap() as usize;
    for (name, column) in table.as_object().unwrap().iter().filter(|(_, column)| column.is_array()) {
        assert_eq!(list(column).len(), length, "{what}: {name}");
    }
    for (name, limit) in references {
        let is_row = |id: &Value| id.is_null() || id == -1 || id.as_u64().is_some_and(|id| (id as usize) < *limit);
        assert!(list(&table[*name]).iter().all(is_row), "{what}: {name}");
    }
}

fn length(table: &Value) -> usize {
    table["length"].as_u64().unwrap() as usize
}

fn check(what: &str, profile: &Profile) -> Value {
    let text = text(profile);
    let file: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(file["meta"]["preprocessedProfileVersion"], 55);
    let categories = list(&file["meta"]["categories"]);
    assert!(categories.iter().any(|category| category["color"] == "grey"), "the viewer asks for one");
    let libs = list(&file["libs"]).len();
    let mut expected: Vec<u64> = sums(profile).into_values().collect();
    let mut found = Vec::new();
    let texts: Vec<&str> = text.split("\"processName\":").skip(1).collect();
    for (thread, text) in list(&file["threads"]).iter().zip(texts) {
        let strings = list(&thread["stringArray"]).len();
        check_table(what, &thread["resourceTable"], &[("lib", libs), ("name", strings)]);
        check_table(
            what,
            &thread["funcTable"],
            &[("name", strings), ("fileName", strings), ("resource", length(&thread["resourceTable"]))],
        );
        check_table(what, &thread["frameTable"], &[("func", length(&thread["funcTable"])), ("category", 7)]);
        check_table(what, &thread["stackTable"], &[("frame", length(&thread["frameTable"]))]);
        for (at, prefix) in list(&thread["stackTable"]["prefix"]).iter().enumerate() {
            assert!(prefix.is_null() || (prefix.as_u64().unwrap() as usize) < at, "{what}: callers stand before");
        }
        check_table(what, &thread["samples"], &[("stack", length(&thread["stackTable"]))]);
        check_table(what, &thread["nativeSymbols"], &[]);
        check_table(what, &thread["markers"], &[("name", strings)]);
        assert!(thread["pid"].is_string() && thread["tid"].is_string());
        let weights = digits(text, "weight");
        found.push(match thread["samples"]["weightType"].as_str() {
            Some("tracing-ms") => weights.iter().map(|weight| nanoseconds(weight)).sum(),
            _ => weights.iter().map(|weight| weight.parse::<u64>().unwrap()).sum::<u64>(),
        });
        assert!(digits(text, "timeDeltas").iter().all(|delta| nanoseconds(delta) < 1 << 62));
    }
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected, "{what}");
    file
}

/// The names, kinds, files and lines of the frames of a sample's stack, outermost first.
fn stack_of(file: &Value, thread: &Value, sample: usize) -> Vec<String> {
    let of = |table: &str, column: &str, row: &Value| match row.as_u64() {
        Some(row) => thread[table][column][row as usize].clone(),
        None => Value::Null,
    };
    let string =
        |row: &Value| row.as_u64().map_or("-", |row| thread["stringArray"][row as usize].as_str().unwrap()).to_owned();
    let mut at = thread["samples"]["stack"][sample].clone();
    let mut frames = Vec::new();
    while !at.is_null() {
        let frame = of("stackTable", "frame", &at);
        let function = of("frameTable", "func", &frame);
        let category = of("frameTable", "category", &frame).as_u64().unwrap() as usize;
        let lib = of("resourceTable", "lib", &of("funcTable", "resource", &function));
        let lib = lib.as_u64().map_or("-", |lib| file["libs"][lib as usize]["name"].as_str().unwrap());
        frames.push(format!(
            "{} {} {}:{} {lib}",
            file["meta"]["categories"][category]["name"].as_str().unwrap(),
            string(&of("funcTable", "name", &function)),
            string(&of("funcTable", "fileName", &function)),
            of("frameTable", "line", &frame),
        ));
        at = of("stackTable", "prefix", &at);
    }
    frames.reverse();
    frames
}

#[test]
fn firefox_tables_hold_together_and_sums_are_ours() {
    for (what, profile) in sketches() {
        check(what, &profile);
        assert_eq!(text(&profile), text(&profile), "{what}: the same bytes each time");
    }
    let mut s = Sketch::new();
    let main = s.frame("main");
    let stack = s.stack(&[main]);
    s.row(s.thread, stack, StackEnd::Root, 1 << 62, 1);
    s.row(s.thread, stack, StackEnd::Root, 1, 1);
    check("large values", &s.finish());
}

#[test]
fn frames_have_kind_file_line_and_library() {
    let file = check("every kind", &sketch::every_kind());
    let names: Vec<String> = list(&file["threads"])
        .iter()
        .map(|thread| {
            ["processName", "name", "pid", "tid", "isMainThread"].map(|key| thread[key].to_string()).join(" ")
        })
        .collect();
    assert_eq!(
        names,
        [r#""server" "main" "7" "7" true"#, r#""logger" "logger" "8" "8" true"#, r#""server" "worker" "9" "9" true"#]
    );
    let thread = &file["threads"][0];
    assert_eq!(
        stack_of(&file, thread, 0),
        [
            "User server::main /src/server/src/main.rs:12 server",
            "User server::accept_loop /src/server/src/net.rs:40 server",
            "User server::http::parse_request /src/server/src/http.rs:77 server",
            "Inlined alloc::vec::Vec<T, A>::push /rust/alloc/vec/mod.rs:2440 server",
            "Inlined core::str::pattern::TwoWaySearcher::next /rust/core/str/pattern.rs:1301 server",
        ]
    );
    let all: Vec<String> = (0..length(&thread["samples"])).flat_map(|at| stack_of(&file, thread, at)).collect();
    for frame in [
        "Kernel tcp_recvmsg -:null [kernel]",
        "JIT LazyCompile:*route /srv/app.js:14 -:null [anonymous] of 7",
        "User [libblob.so+0x1a2b] -:null libblob.so",
        "Note [truncated: no unwind info] -:null -",
        "Note [not sampled] -:null -",
    ] {
        assert!(all.iter().any(|known| known == frame), "{frame}");
    }
    // A function is one, on whichever line it was.
    let names =
        list(&thread["funcTable"]["name"]).iter().map(|name| &thread["stringArray"][name.as_u64().unwrap() as usize]);
    assert_eq!(names.filter(|name| **name == "server::http::parse_request").count(), 1);
}

#[test]
fn time_off_the_cpu_is_no_cpu_time_and_events_are_threads() {
    let mut s = Sketch::new();
    let (main, read) = (s.frame("main"), s.frame("read"));
    let off = s.builder.name_frame(off_cpu::OFF_CPU, FrameKind::OffCpu);
    s.sample(&[main], 2);
    s.sample(&[main, read, off], 1);
    let faults = s.builder.add_event("page-faults", Unit::Count, None);
    let mut profile = s.finish();
    let mut sample = profile.samples.get(0);
    (sample.event, sample.value) = (faults, 3);
    profile.samples.extend([sample]);
    let image = profile.images.iter_mut().find(|image| image.kind == ImageKind::File).unwrap();
    image.build_id = BuildId::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    let file = check("waits", &profile);
    let threads = list(&file["threads"]);
    assert_eq!(threads[0]["samples"]["threadCPUDelta"], serde_json::json!([10101.01, 10101.01, 0]));
    assert_eq!(threads[0]["samples"]["timeDeltas"], serde_json::json!([0, 10.10101, 10.10101]));
    assert_eq!(
        (&threads[1]["name"], &threads[1]["samples"]["weightType"]),
        (&"main, page-faults".into(), &"samples".into())
    );
    assert!(threads[1]["samples"].get("threadCPUDelta").is_none());
    let lib = list(&file["libs"]).iter().find(|lib| lib["name"] == "server").unwrap();
    assert_eq!(lib["breakpadId"], "040302010605080709 0A0B0C0D0E0F100".replace(' ', ""));
    assert_eq!(lib["codeId"], "0102030405060708090a0b0c0d0e0f1011121314");
}

#[test]
fn times_that_are_made_up_are_said_to_be() {
    let timed = check("timed", &sketch::every_kind());
    assert!(!timed.to_string().contains("made up"));
    let file = check("untimed", &without_times(sketch::every_kind()));
    let thread = &file["threads"][0];
    assert_eq!(length(&thread["markers"]), 1);
    assert!(thread["markers"]["data"][0]["text"].as_str().unwrap().contains("made up"));
    assert!(file["meta"]["extra"].to_string().contains("made up"));
    let stacks: std::collections::BTreeSet<String> =
        list(&thread["samples"]["stack"]).iter().map(Value::to_string).collect();
    assert_eq!(stacks.len(), length(&thread["samples"]), "each stack is there once");
    assert!(list(&thread["samples"]["timeDeltas"]).iter().skip(1).all(|delta| delta == 1));
}

#[test]
fn waits_without_times_are_beside_the_others() {
    let file = check("waits", &with_waits());
    let threads = list(&file["threads"]);
    let names: Vec<&str> = threads.iter().map(|thread| thread["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["main", "main, without times", "logger", "worker"]);
    let waits = &threads[1];
    assert!(waits["markers"]["data"][0]["text"].as_str().unwrap().contains("made up"));
    assert_eq!((&waits["isMainThread"], &threads[0]["isMainThread"]), (&false.into(), &true.into()));
    assert_eq!(waits["samples"]["weight"], serde_json::json!([0.000007, 0.000007, 0.000014]), "each stack once");
}

#[test]
fn what_is_packed_is_the_same() {
    let profile = sketch::every_kind();
    let mut packed = Vec::new();
    firefox::write_gz(&profile, &mut packed).unwrap();
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).unwrap();
    assert!(unpacked == text(&profile) && packed.len() * 4 < unpacked.len(), "{} of {}", packed.len(), unpacked.len());
}

/// What a small profile is in the format, by the crate that others write it with.
fn by_fxprof() -> Value {
    let started = fxprof::ReferenceTimestamp::from_millis_since_unix_epoch(1.0);
    let mut profile = fxprof::Profile::new("x", started, fxprof::SamplingInterval::from_millis(1));
    let time = fxprof::Timestamp::from_nanos_since_reference;
    let process = profile.add_process("server", 7, time(0));
    let thread = profile.add_thread(process, 7, time(0), true);
    let library = profile.add_lib(fxprof::LibraryInfo {
        name: "server".into(),
        debug_name: "server".into(),
        path: "/usr/bin/server".into(),
        debug_path: "/usr/bin/server".into(),
        debug_id: Default::default(),
        code_id: Some("01".into()),
        arch: None,
        symbol_table: None,
    });
    profile.set_os_name("x");
    profile.add_initial_selected_thread(thread);
    let frame = fxprof::Frame::RelativeAddressFromInstructionPointer(library, 16);
    let category_pair = fxprof::CategoryHandle::OTHER.into();
    let frame = fxprof::FrameInfo { frame, category_pair, flags: fxprof::FrameFlags::empty() };
    let frame = profile.intern_frame(thread, frame);
    let stack = profile.intern_stack(thread, None, frame);
    for at in [1, 2] {
        profile.add_sample(thread, time(at), Some(stack), fxprof::CpuDelta::from_nanos(1_000), 1);
    }
    serde_json::to_value(&profile).unwrap()
}

/// Every member of `theirs` is one of `ours`, of the same type: an object's by name, a list's by its first.
fn has_all(path: &str, theirs: &Value, ours: &Value, missing: &mut BTreeMap<String, String>) {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(_)) => {
            for (name, value) in theirs {
                has_all(&format!("{path}.{name}"), value, &ours[name], missing);
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if let (Some(theirs), Some(ours)) = (theirs.first(), ours.first()) {
                has_all(&format!("{path}[]"), theirs, ours, missing);
            }
        }
        (theirs, ours) if kind(theirs) == kind(ours) => {}
        (theirs, ours) => {
            missing.insert(path.to_owned(), format!("{}, here {}", kind(theirs), kind(ours)));
        }
    }
}

#[test]
fn nothing_is_missing_that_fxprof_writes() {
    let mut s = Sketch::new();
    let main = s.frame_in(s.image, &[("main", "", 0)]);
    s.sample(&[main], 2);
    let mut profile = s.finish();
    profile.images.iter_mut().for_each(|image| image.build_id = BuildId::new(&[1; 20]));
    let ours = check("main", &profile);
    let theirs = by_fxprof();
    let mut missing = BTreeMap::new();
    has_all("", &theirs, &ours, &mut missing);
    // The end of a thread is known here.
    missing.remove(".threads[].unregisterTime");
    assert_eq!(missing, BTreeMap::new());
    assert_eq!(ours["meta"]["preprocessedProfileVersion"], theirs["meta"]["preprocessedProfileVersion"]);
}
