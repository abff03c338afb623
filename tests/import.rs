//! `profile import` as a user types it: every format in, every format out, filters, events, and what bad input gets.

mod common;
#[path = "common/sketch.rs"]
mod sketch;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::run::{binary, finish, stderr, stdout};
use common::summary::Summary;
use inferno::collapse::Collapse;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/import").join(name)
}

fn import(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    finish(
        command
            .arg("import")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn(),
    )
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// What an import writes; one that fails fails the test.
fn written(arguments: &[&str]) -> String {
    let output = import(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn folded(name: &str, more: &[&str]) -> String {
    let file = data(name);
    written(&[&[text(&file), "-q", "-f", "folded", "--annotate"], more].concat())
}

fn total(folded: &str) -> u64 {
    folded.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn all_fields_of_perf_script_give_the_same_stacks() {
    let folder = tempfile::tempdir().unwrap();
    let clock = |name: &str, more: &[&str]| folded(name, &[&["-e", "cpu-clock"], more].concat());
    let expected = clock("perf_script_default.txt", &[]);
    assert_eq!(total(&expected), 10, "samples of cpu-clock");
    assert!(expected.contains("my worker;"), "{expected}");
    assert_eq!(
        clock("perf_script_srcline.txt", &[]).replace("work;", "my worker;").lines().count(),
        expected.lines().count()
    );
    assert_eq!(clock("perf_script_records.txt", &[]), expected);
    assert_eq!(clock("perf_script_few_fields.txt", &[]), expected);
    assert_eq!(total(&clock("perf_script_one_line.txt", &[])), 10);
    for (name, skipped) in
        [("perf_script_srcline.txt", 1), ("perf_script_default.txt", 0), ("perf_script_records.txt", 0)]
    {
        let (file, stats) = (data(name), folder.path().join("stats.json"));
        written(&[text(&file), "-q", "-f", "folded", "--annotate", "--stats", text(&stats)]);
        let summary = Summary::parse(&fs::read_to_string(&stats).unwrap());
        assert_eq!(summary.json()["records"]["samples"], 15, "{name}");
        assert_eq!(summary.json()["records"]["samples of cpu-clock"], 10, "{name}");
        assert_eq!(summary.json()["records"]["samples of page-faults"], 5, "{name}");
        assert_eq!(summary.json()["skipped"].as_object().unwrap().len(), skipped, "{name}: {}", summary.json());
        assert!(summary.json()["complete"].is_null(), "nobody said how stacks end");
    }
}

#[test]
fn inferno_folds_the_same_text_to_the_same_stacks() {
    let file = data("perf_script_default.txt");
    let mut theirs = Vec::new();
    let mut options = inferno::collapse::perf::Options::default();
    options.event_filter = Some("page-faults".into());
    inferno::collapse::perf::Folder::from(options).collapse_file(Some(&file), &mut theirs).unwrap();
    let theirs = String::from_utf8(theirs).unwrap();
    // They do not tell the kernel's functions apart unless they are asked to.
    let ours = folded("perf_script_default.txt", &["-e", "page-faults"]).replace("_[k]", "");
    assert_eq!(ours.lines().collect::<Vec<_>>(), theirs.lines().collect::<Vec<_>>());
}

#[test]
fn what_we_write_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for event in ["cpu-clock", "page-faults"] {
        let expected = folded("perf_script_default.txt", &["-e", event]);
        for (format, name) in [("pprof", "x.pb.gz"), ("perf-script", "x.perf"), ("folded", "x.folded")] {
            let (source, file) = (data("perf_script_default.txt"), folder.path().join(name));
            written(&[text(&source), "-q", "-e", event, "-f", format, "-o", text(&file)]);
            let events: &[&str] = if format == "folded" { &[] } else { &["-e", event] };
            let again = written(&[&[text(&file), "-q", "-f", "folded", "--annotate"], events].concat());
            assert_eq!(total(&again), total(&expected), "{format}");
            let names = |text: &str| {
                let names = text.lines().map(|line| line.rsplit_once(' ').unwrap().0.replace("_[k]", ""));
                names.collect::<Vec<_>>()
            };
            assert_eq!(names(&again), names(&expected), "{format}");
        }
    }
}

#[test]
fn of_several_pictures_on_a_page_the_first_is_read_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut page = String::from("<!DOCTYPE html>\n<html><body>\n");
    for (name, stacks) in [("one", "p;main;a 5\n"), ("two", "p;main;b 7\n")] {
        let (folded, picture) = (path(&format!("{name}.folded")), path(&format!("{name}.svg")));
        fs::write(&folded, stacks).unwrap();
        written(&[text(&folded), "-q", "-o", text(&picture)]);
        page += fs::read_to_string(&picture).unwrap().split_once("?>").unwrap().1;
        let stats = path("stats.json");
        let alone = written(&[text(&picture), "-q", "-f", "folded", "--stats", text(&stats)]);
        let stats: serde_json::Value = serde_json::from_str(&fs::read_to_string(&stats).unwrap()).unwrap();
        assert_eq!((&*alone, &stats["skipped"]), (stacks, &serde_json::json!({})));
    }
    let (file, stats) = (path("page.html"), path("stats.json"));
    fs::write(&file, page + "</body></html>\n").unwrap();
    let output = import(&[text(&file), "-f", "folded", "--stats", text(&stats)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "p;main;a 5\n");
    assert!(stderr(&output).contains("page.html holds 2 pictures, of which the first was read"), "{}", stderr(&output));
    let stats: serde_json::Value = serde_json::from_str(&fs::read_to_string(&stats).unwrap()).unwrap();
    assert_eq!(stats["skipped"], serde_json::json!({"pictures after the first": 1}));
}

/// Of stacks that begin with no process none is made up, and the outermost function is one as any other.
#[test]
fn the_first_name_is_a_function_where_it_cannot_be_a_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.folded");
    let stacks = "main 1\nmain;rest 6\nmain;work;read 5\n";
    fs::write(&file, stacks).unwrap();
    assert_eq!(written(&[text(&file), "-q", "-f", "folded"]), stacks);
    assert!(written(&[text(&file), "-q", "--callees", "main"]).contains("callees of main: 100 % of all, 12\n"));
    for name in ["x.svg", "x.html"] {
        let picture = folder.path().join(name);
        written(&[text(&file), "-q", "-o", text(&picture)]);
        assert_eq!(written(&[text(&picture), "-q", "-f", "folded"]), stacks, "{name}");
    }
    let pprof = folder.path().join("x.pb.gz");
    written(&[text(&file), "-q", "-o", text(&pprof)]);
    assert!(written(&[text(&pprof), "-q", "-f", "folded"]).contains(";main;work;read 5\n"));
    fs::write(&file, stacks.replace("main", "server")).unwrap();
    assert!(!import(&[text(&file), "-q", "--callees", "server"]).status.success(), "it is a process");
    // What other tools fold has no process.
    written(&[text(&data("ghc.prof")), "-q", "--callees", "MAIN.MAIN"]);
}

#[test]
fn what_is_too_large_to_be_summed_is_counted_and_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let check = |stacks: &str, total: u64, skipped: serde_json::Value, warnings: &[&str]| {
        let (file, stats) = (folder.path().join("x.folded"), folder.path().join("stats.json"));
        fs::write(&file, stacks).unwrap();
        let output = import(&[text(&file), "-f", "folded", "--stats", text(&stats)]);
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        let sum: u128 =
            stdout(&output).lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u128>().unwrap()).sum();
        assert_eq!(sum, u128::from(total));
        let stats: serde_json::Value = serde_json::from_str(&fs::read_to_string(&stats).unwrap()).unwrap();
        assert_eq!(stats["skipped"], skipped);
        let found: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("warning: ")).collect();
        assert_eq!(found, warnings);
        let table = written(&[text(&file), "-q", "-f", "top"]);
        assert!(warnings.iter().all(|warning| table.contains(&format!("warning: {warning}\n"))), "{table}");
        let json = written(&[text(&file), "-q", "-f", "json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["stats"]["skipped"], skipped);
    };
    let half = 1u64 << 63;
    check("p;a 5\np;b 4294967294\n", 4_294_967_299, serde_json::json!({}), &[]);
    let too_many = "1 stack stands for more than 2^32 - 1 samples, and so many are counted; values are whole";
    check(
        "p;a 5\np;b 123456789012\n",
        123_456_789_017,
        serde_json::json!({"counts of samples above 2^32 - 1": 1}),
        &[too_many],
    );
    let many = "4 stacks stand for more than 2^32 - 1 samples, and so many are counted; values are whole";
    let beyond = "all values together are more than 2^64 - 1: 3 samples count in part only, or not at all";
    check(
        &format!("p;a {half}\np;b {half}\np;c {half}\np;d 99999999999999999999999\n"),
        u64::MAX,
        serde_json::json!({"counts of samples above 2^32 - 1": 4, "samples beyond a sum of 2^64 - 1": 3}),
        &[beyond, many],
    );
}

#[test]
fn our_perf_script_is_read_by_inferno() {
    let file = data("perf_script_default.txt");
    let ours = written(&[text(&file), "-q", "-f", "perf-script"]);
    assert!(ours.contains(" 3617.645180: "), "times have six digits:\n{ours}");
    let fold = |text: &str| {
        let mut folded = Vec::new();
        inferno::collapse::perf::Folder::default().collapse(text.as_bytes(), &mut folded).unwrap();
        total(&String::from_utf8(folded).unwrap())
    };
    assert_eq!(fold(&ours), fold(&fs::read_to_string(&file).unwrap()));
}

#[test]
fn formats_of_other_tools() {
    for (name, expected) in [
        ("bpftrace_map.txt", &["cat;main;__read;do_syscall_64_[k];vfs_read_[k] 12", "dd;__read;vfs_read_[k] 30"][..]),
        ("dtrace.txt", &["prog`main;prog`idle 3", "prog`main;prog`work;libc.so.1`write 12"]),
        (
            "sample.txt",
            &[
                "Thread_100;libdyld`start;prog`main;prog`rest 2",
                "Thread_100;libdyld`start;prog`main;prog`work 7",
                "Thread_100;libdyld`start;prog`other 3",
            ],
        ),
        ("vtune.csv", &["prog`main 10", "prog`main;prog`work it 25"]),
        ("vsprof.csv", &["exit 2", "main 3", "main;work 7"]),
        ("xctrace.xml", &["main;work 2"]),
        ("ghc.prof", &["MAIN.MAIN 100", "MAIN.MAIN;Main.work 900"]),
    ] {
        let folded = folded(name, &[]);
        assert_eq!(folded.lines().collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn filters_keep_what_they_name() {
    let samples = |more: &[&str]| {
        let file = data("perf_script_srcline.txt");
        let json = written(&[&[text(&file), "-q", "-f", "json"], more].concat());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        (json["samples"].as_array().unwrap().len(), json["frames"].as_array().unwrap().len())
    };
    let all = samples(&[]);
    assert_eq!(all.0, 15);
    let worker = samples(&["--comm", "my worker"]);
    assert!(worker.0 > 0 && worker.0 < 15 && worker.1 < all.1, "{worker:?} of {all:?}");
    let cpus = (samples(&["--cpu", "0"]).0, samples(&["--cpu", "1"]).0);
    assert_eq!(cpus.0 + cpus.1, 15);
    assert_eq!(samples(&["--time", "..50%"]).0 + samples(&["--time", "50.0001%.."]).0, 15);
    assert_eq!(samples(&["--time", "@3617.645180..@3617.645230"]).0, 2);
    assert_eq!(samples(&["--pid", "1"]).0, 0);
}

#[test]
fn several_files_and_standard_input_are_merged() {
    let file = data("perf_script_default.txt");
    let once = folded("perf_script_default.txt", &[]);
    let twice = written(&[text(&file), text(&file), "-q", "-f", "folded", "--annotate"]);
    assert_eq!(total(&twice), 2 * total(&once));
    assert_eq!(twice.lines().count(), once.lines().count());
    let mut command = Command::new(binary());
    command
        .args(["import", "-", "-q", "-f", "folded", "--annotate"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(stdout(&finish(Ok(child))), once);
}

#[test]
fn every_kind_of_frame_survives_pprof_and_perf_script() {
    use flameprofile::analyze::View;
    use flameprofile::export::{perf_script, pprof};
    use flameprofile::import::{ImportOptions, Input, import};
    use flameprofile::model::Profile;
    use flameprofile::render::folded::{self, FoldedOptions};

    let folded_of = |profile: &Profile, annotate: bool| {
        let mut out = Vec::new();
        folded::write(profile, &View::default(), &FoldedOptions { annotate }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let read = |bytes: Vec<u8>| {
        let reader = Box::new(std::io::Cursor::new(bytes));
        let input = Input::Stream { name: "x".into(), reader };
        let profile = import(vec![input], &ImportOptions::default(), &mut |_| {}).unwrap();
        profile.check().unwrap();
        profile
    };
    // The address of what has no name is another there: in text none, in pprof that of the file.
    let sorted = |folded: String| {
        let mut stacks: Vec<String> = folded
            .lines()
            .map(|line| {
                let names = line.split(';').map(|name| match name.split_once("+0x") {
                    Some((name, rest)) => format!("{name}]{}", rest.split_once(']').map_or("", |(_, rest)| rest)),
                    // Of what is in no file, pprof knows nothing.
                    None => name.replace("[anonymous]", "[unknown]").replace("[unmapped]", "[unknown]"),
                });
                names.collect::<Vec<_>>().join(";")
            })
            .collect();
        stacks.sort();
        stacks
    };
    let profile = sketch::every_kind();
    let mut text = Vec::new();
    perf_script::write(&profile, &mut text).unwrap();
    let text = read(text);
    let weight = |profile: &Profile| profile.samples.iter().map(|sample| sample.value).sum::<u64>();
    assert_eq!(weight(&text), weight(&profile));
    assert_eq!(text.samples.iter().map(|s| u64::from(s.count)).sum::<u64>(), profile.stats.samples);

    let mut bytes = Vec::new();
    pprof::write(&profile, &mut bytes).unwrap();
    let again = read(bytes.clone());
    assert_eq!(sorted(folded_of(&again, false)), sorted(folded_of(&profile, false)));
    assert_eq!(again.main_event(), profile.main_event());
    let build_ids = |profile: &Profile| {
        let images = profile.images.iter().filter_map(|image| image.build_id).collect::<Vec<_>>();
        images.len()
    };
    assert_eq!(build_ids(&again), build_ids(&profile));
    assert_eq!(again.stats.duration, profile.stats.duration);
    check_pprof(&bytes);
}

/// Holds a file against what pprof itself demands of one (`CheckValid` of its package `profile`).
fn check_pprof(bytes: &[u8]) {
    use flameprofile::formats::pprof::{function, line, location, mapping, profile, sample};
    use flameprofile::formats::protobuf::{Fields, Value};
    use std::collections::BTreeSet;
    use std::io::Read;

    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    let fields: Vec<(u64, Value)> = Fields::new(&plain).map(|field| field.expect("it is whole")).collect();
    let of = |number: u32| fields.iter().filter(move |(field, _)| *field == u64::from(number)).map(|(_, value)| *value);
    let get = |message: Value, number: u32| {
        let all = Fields::new(message.bytes()).map(Result::unwrap);
        all.filter(|(field, _)| *field == u64::from(number)).last().map_or(0, |(_, value)| value.number())
    };
    let strings: Vec<&[u8]> = of(profile::STRING_TABLE).map(Value::bytes).collect();
    assert_eq!(strings[0], b"");
    let types = of(profile::SAMPLE_TYPE).count();
    let ids = |table: u32, id: u32| {
        let ids: Vec<u64> = of(table).map(|row| get(row, id)).collect();
        let unique: BTreeSet<u64> = ids.iter().copied().collect();
        assert!(!unique.contains(&0) && unique.len() == ids.len(), "ids are unique and not 0: {ids:?}");
        unique
    };
    let (mappings, functions) = (ids(profile::MAPPING, mapping::ID), ids(profile::FUNCTION, function::ID));
    let locations = ids(profile::LOCATION, location::ID);
    for row in of(profile::FUNCTION) {
        for part in [function::NAME, function::SYSTEM_NAME, function::FILENAME] {
            assert!((get(row, part) as usize) < strings.len());
        }
    }
    let mut ranges = Vec::new();
    for row in of(profile::MAPPING) {
        ranges.push((get(row, mapping::START), get(row, mapping::LIMIT), get(row, mapping::ID)));
    }
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "mappings do not overlap: {ranges:x?}");
    for row in of(profile::LOCATION) {
        let (of_mapping, address) = (get(row, location::MAPPING_ID), get(row, location::ADDRESS));
        assert!(of_mapping == 0 || mappings.contains(&of_mapping));
        let range = ranges.iter().find(|(.., id)| *id == of_mapping);
        assert!(range.is_none_or(|(start, limit, _)| (start..limit).contains(&&address)), "{address:x} in {range:x?}");
        for (number, of) in Fields::new(row.bytes()).map(Result::unwrap) {
            assert!(number != u64::from(location::LINE) || functions.contains(&get(of, line::FUNCTION_ID)));
        }
    }
    let mut samples = 0;
    for row in of(profile::SAMPLE) {
        samples += 1;
        for (number, value) in Fields::new(row.bytes()).map(Result::unwrap) {
            let mut numbers = Vec::new();
            match number as u32 {
                sample::LOCATION_ID => assert!(value.numbers(|id| assert!(locations.contains(&id)))),
                sample::VALUE => {
                    assert!(value.numbers(|number| numbers.push(number)));
                    assert_eq!(numbers.len(), types);
                }
                _ => {}
            }
        }
    }
    assert!(samples > 0);
}

#[test]
fn what_was_read_before_a_stop_is_kept() {
    use flameprofile::import::{ImportOptions, Input, import};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Gives lines without end, and presses the button after some.
    struct Endless(Arc<AtomicBool>, usize, usize);
    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 += 1;
            self.0.store(self.1 > 10_000, Ordering::Relaxed);
            // A line has 17 bytes; what does not fit into the buffer is given the next time.
            let line: Vec<u8> =
                b"prog;main;work 1\n".iter().copied().cycle().skip(self.2 % 17).take(buffer.len().min(17)).collect();
            buffer[..line.len()].copy_from_slice(&line);
            self.2 += line.len();
            Ok(line.len())
        }
    }
    let options = ImportOptions { from: Some("folded".parse().unwrap()), ..ImportOptions::default() };
    let reader = Box::new(Endless(options.stop.clone(), 0, 0));
    let unread = Input::Path(data("perf_script_default.txt"));
    let endless = Input::Stream { name: "endless".into(), reader };
    let profile = import(vec![endless], &options, &mut |_| {}).unwrap();
    assert!(profile.stats.samples > 9_900, "{}", profile.stats.samples);
    assert!(profile.stats.notes.iter().any(|note| note.contains("stopped")), "{:?}", profile.stats.notes);
    // Of what was not begun, nothing is known.
    let profile = import(vec![unread], &options, &mut |_| {}).unwrap();
    assert!(profile.samples.is_empty());
}

#[test]
fn refusals_say_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x");
    let check = |content: &[u8], arguments: &[&str], expected: &[&str]| {
        fs::write(&file, content).unwrap();
        let output = import(&[&[text(&file)], arguments].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for words in expected {
            assert!(said.contains(words), "{words:?} is not in:\n{said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    };
    check(b"", &[], &["is empty"]);
    check(b"hello\n", &[], &["no format", "--from", "perf-script"]);
    check(b"hello\n", &["--from", "folded"], &["folded stack"]);
    check(b"hello\n", &["--from", "perf-script"], &["none of the 1 lines"]);
    check(b"hello\n", &["--from", "pprof"], &["pprof", "no value types"]);
    check(b"hello\n", &["--from", "what"], &["possible values"]);
    check(b"p;a 1\n", &["-e", "cycles"], &["no event cycles", "samples (1 samples)"]);
    check(b"p;a 1\n", &["--time", "1..2"], &["samples do not say"]);
    check(b"p;a 1\n", &["--cpu", "0"], &["samples do not say"]);
    check(b"p;a 1\n", &["--time", "soon"], &["1.5..3"]);
    let output = import(&["no/such/file"]);
    assert!(output.status.code() == Some(2) && stderr(&output).contains("no/such/file"));
}

#[test]
fn what_is_read_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.txt");
    fs::copy(data("perf_script_default.txt"), &input).unwrap();
    let before = fs::read(&input).unwrap();
    let link = folder.path().join("link.svg");
    std::os::unix::fs::symlink(&input, &link).unwrap();
    for arguments in [
        [text(&input), "-f", "svg", "-o", text(&input)],
        [text(&input), "-q", "--no-inline", "-o", text(&link)],
        [text(&input), "-o", "/dev/null", "--stats", text(&input)],
    ] {
        let output = import(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("would be written over"), "{arguments:?}: {}", stderr(&output));
    }
    let stats = folder.path().join("x.json");
    let dotted = folder.path().join("./x.json");
    let output = import(&[text(&input), "-f", "json", "-o", text(&stats), "--stats", text(&dotted)]);
    assert!(stderr(&output).contains("same file"), "{}", stderr(&output));
    assert_eq!(fs::read(&input).unwrap(), before);
}

#[test]
fn waiting_for_standard_input_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("out.folded");
    let mut command = Command::new(binary());
    command.args(["import", "-", "--from", "folded", "-f", "folded", "--annotate", "-o"]).arg(&picture);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"main;work 12\nmain;wait 3\n").unwrap();
    // It is told to stop once it hears signals and has taken what there is.
    let status = format!("/proc/{}/status", child.id());
    common::run::wait_until("it waits for more", || {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let caught = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok());
        caught.is_some_and(|signals| signals >> 1 & 1 == 1)
            && rustix::io::ioctl_fionread(&input).is_ok_and(|bytes| bytes == 0)
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = finish(Ok(child));
    drop(input);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(total(&fs::read_to_string(&picture).unwrap()), 15);
}

#[test]
fn gzip_that_is_cut_or_broken_gives_what_is_before_that_and_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let gzip = |plain: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let read = |packed: &[u8], from: &str| {
        let (file, stats) = (folder.path().join("x.gz"), folder.path().join("stats.json"));
        fs::write(&file, packed).unwrap();
        let folded =
            written(&[text(&file), "--from", from, "-q", "-f", "folded", "--annotate", "--stats", text(&stats)]);
        let summary = Summary::parse(&fs::read_to_string(&stats).unwrap());
        let notes = summary.json()["notes"].as_array().unwrap();
        let is_noted = notes.iter().any(|note| note.as_str().unwrap().contains("is cut, or its gzip is broken"));
        (total(&folded), is_noted)
    };
    let stacks: String =
        (0..20_000u64).map(|row| format!("prog;main;work_{} 1\n", row * row * 7919 % 65_537)).collect();
    let recording = data("../perf_data/three_events.data");
    let script = fs::read(data("perf_script_default.txt")).unwrap();
    for (from, plain) in
        [("folded", stacks.into_bytes()), ("perf-data", fs::read(&recording).unwrap()), ("perf-script", script)]
    {
        let whole = gzip(&plain);
        let (samples, is_noted) = read(&whole, from);
        assert!(samples > 0 && !is_noted, "{from}");
        let (half, is_noted) = read(&whole[..whole.len() / 2], from);
        assert!(half > 0 && half < samples && is_noted, "{from}: {half} of {samples} of a half");
        // Only the sum at the end is wrong.
        let mut broken = whole.clone();
        let sum = broken.len() - 8;
        broken[sum] ^= 1;
        assert_eq!(read(&broken, from), (samples, true), "{from}");
    }
    // Nothing comes out of these.
    let file = folder.path().join("header.gz");
    fs::write(&file, &gzip(b"prog;main 1\n")[..10]).unwrap();
    let output = import(&[text(&file), "--from", "folded"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("header.gz"), "{}", stderr(&output));
}
