//! `profile import` as a user types it: every format in, every format out, filters, events, and what bad input gets.

mod common;

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
    written(&[&[text(&file), "-q", "-f", "folded"], more].concat())
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
        written(&[text(&file), "-q", "-f", "folded", "--stats", text(&stats)]);
        let summary = Summary::parse(&fs::read_to_string(&stats).unwrap());
        assert_eq!(summary.json()["records"]["samples"], 15, "{name}");
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
            let again = written(&[&[text(&file), "-q", "-f", "folded"], events].concat());
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
    let twice = written(&[text(&file), text(&file), "-q", "-f", "folded"]);
    assert_eq!(total(&twice), 2 * total(&once));
    assert_eq!(twice.lines().count(), once.lines().count());
    let mut command = Command::new(binary());
    command
        .args(["import", "-", "-q", "-f", "folded"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(stdout(&finish(Ok(child))), once);
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
