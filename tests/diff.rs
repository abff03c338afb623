//! `profile diff` as a user types it: what it writes, that another tool writes the same, and what bad input gets.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::run::{binary, finish, stderr, stdout};

const BASE: &str = "srv;main;parse 30\nsrv;main;copy 10\nsrv;main;same;f_[k] 60\n";
const NEW: &str = "srv;main;copy 50\nsrv;main;same;f_[k] 120\nsrv;main;write it;x:1 30\n";

/// A folder with files of these names and texts.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn diff_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    let command = command.current_dir(folder).arg("diff").args(arguments);
    finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn())
}

/// What it writes; one that fails fails the test.
fn written(folder: &Path, arguments: &[&str]) -> String {
    let output = diff_in(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// That it ends with 2 and says these things.
fn refused(folder: &Path, arguments: &[&str], says: &[&str]) {
    let output = diff_in(folder, arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    for text in says {
        assert!(said.contains(text), "{arguments:?} says nothing of {text:?}: {said}");
    }
    assert!(stdout(&output).is_empty(), "{arguments:?}");
}

/// The lines of inferno's `inferno-diff-folded`, sorted.
fn by_inferno(base: &Path, new: &Path) -> String {
    let mut out = Vec::new();
    inferno::differential::from_files(inferno::differential::Options::default(), base, new, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn two_columns_are_those_of_another_tool() {
    let folder = folder(&[("a.folded", BASE), ("b.folded", NEW)]);
    let at = |name: &str| folder.path().join(name);
    let ours = written(folder.path(), &["a.folded", "b.folded", "-f", "folded", "--annotate", "-q"]);
    assert_eq!(
        ours,
        "srv;main;copy 10 50\nsrv;main;parse 30 0\nsrv;main;same;f_[k] 60 120\nsrv;main;write it;x:1 0 30\n"
    );
    assert_eq!(ours, by_inferno(&at("a.folded"), &at("b.folded")));
    // And it is drawn by it.
    let mut picture = Vec::new();
    let mut options = inferno::flamegraph::Options::default();
    inferno::flamegraph::from_lines(&mut options, ours.lines(), &mut picture).unwrap();
    assert!(String::from_utf8(picture).unwrap().contains("parse"));
}

/// A line of many stacks that both, or one of them, have.
fn many(seed: u64) -> String {
    let mut state = seed;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut stacks = std::collections::BTreeMap::new();
    for _ in 0..2_000 {
        let frames: Vec<String> = (0..1 + random(6)).map(|_| format!("f {}x", random(9))).collect();
        *stacks.entry(format!("p{};{}", random(3), frames.join(";"))).or_insert(0) += 1 + random(5);
    }
    stacks.into_iter().map(|(stack, weight)| format!("{stack} {weight}\n")).collect()
}

#[test]
fn many_stacks_are_those_of_another_tool() {
    let folder = folder(&[("a.folded", &many(1)), ("b.folded", &many(2))]);
    let ours = written(folder.path(), &["a.folded", "b.folded", "-f", "folded", "-q"]);
    assert!(ours.lines().count() > 2_000);
    assert!(ours.lines().is_sorted());
    assert_eq!(ours, by_inferno(&folder.path().join("a.folded"), &folder.path().join("b.folded")));
}

#[test]
fn the_table_has_what_changed_first() {
    let folder = folder(&[("a.folded", BASE), ("b.folded", NEW)]);
    let output = diff_in(folder.path(), &["a.folded", "b.folded", "-f", "top"]);
    let table = stdout(&output);
    let rows: Vec<Vec<&str>> = table.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["30.00", "%", "0", "%", "-30.00", "-30.00", "gone", "parse"], "{table}");
    let of =
        |name: &str| rows.iter().find(|row| row.last() == Some(&name)).unwrap_or_else(|| panic!("{table}")).join(" ");
    assert_eq!(of("copy"), "10.00 % 25.00 % +15.00 +15.00 copy");
    assert_eq!(of("x:1"), "0 % 15.00 % +15.00 +15.00 new x:1");
    assert_eq!(of("f"), "60.00 % 60.00 % 0 0 f", "normalised it is the same share");
    let said = stderr(&output);
    assert!(
        said.contains("base: 1 file; samples: 100 in 100 samples;") && said.contains("counts 2.0000 times"),
        "{said}"
    );
    let raw = written(folder.path(), &["a.folded", "b.folded", "-f", "top", "--raw"]);
    assert!(raw.contains("60.00 %  120.00 %    +60.00"), "{raw}");
}

#[test]
fn json_has_both_sides_of_each_function() {
    let folder = folder(&[("a.folded", BASE), ("b.folded", NEW)]);
    let value: serde_json::Value =
        serde_json::from_str(&written(folder.path(), &["a.folded", "b.folded", "-f", "json", "-q"])).unwrap();
    assert_eq!(
        (value["base_total"].as_u64(), value["new_total"].as_u64(), value["scale"].as_f64()),
        (Some(100), Some(200), Some(2.0))
    );
    let parse = value["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "parse").unwrap();
    assert_eq!((parse["base"]["self"].as_u64(), parse["new"]["total"].as_u64()), (Some(30), Some(0)));
    assert_eq!(value["nodes"][parse["parent"].as_u64().unwrap() as usize]["name"], "main");
}

#[test]
fn several_files_a_side_are_merged() {
    let list = "# Monday\none/1.folded\n\n  two/3.folded  \n";
    let files = [
        ("one/1.folded", "p;a 1\n"),
        ("one/2.folded", "p;a 2\np;b 4\n"),
        ("one/.hidden", "what is this\n"),
        ("two/3.folded", "p;c 8\n"),
        ("new.folded", "p;a 5\n"),
        ("list.txt", list),
    ];
    let folder = folder(&files);
    let folded = |base: &str| written(folder.path(), &[base, "new.folded", "-f", "folded", "-q"]);
    assert_eq!(folded("one"), "p;a 3 5\np;b 4 0\n");
    assert_eq!(folded("@list.txt"), "p;a 1 5\np;c 8 0\n");
    let output = diff_in(folder.path(), &["new.folded", "@list.txt", "-o", "x.folded", "--stats", "s.json"]);
    assert!(output.status.success() && stdout(&output).is_empty(), "{}", stderr(&output));
    assert!(stderr(&output).contains("wrote x.folded") && stderr(&output).contains("2 files"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(folder.path().join("x.folded")).unwrap(), "p;a 5 1\np;c 0 8\n");
    let stats: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("s.json")).unwrap()).unwrap();
    assert!(stats["base"]["event"] == "samples" && stats["new"]["samples"].is_number(), "{stats}");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_type() {
    let two_columns = "p;a 1 2\np;b 3 4\n";
    let files = [
        ("a.folded", BASE),
        ("b.folded", NEW),
        ("both.folded", two_columns),
        ("none.folded", "p;a 0\np;b 0\n"),
        ("nothing/.keep", ""),
        ("empty.txt", "# nothing\n"),
        ("twice.txt", "a.folded\n./a.folded\n"),
        ("minus.folded", "p;a -5\np;b -6\n"),
    ];
    let folder = folder(&files);
    let folder = folder.path();
    refused(folder, &["a.folded", "a.folded"], &["a.folded is on both sides", "before.data after.data"]);
    refused(folder, &["a.folded", "./a.folded"], &["on both sides"]);
    refused(folder, &["@twice.txt", "b.folded"], &["named twice on the base side"]);
    refused(folder, &["-", "-"], &["on both sides"]);
    refused(folder, &["a.folded"], &["a.folded is one", "profile diff BASE NEW", "two columns"]);
    refused(folder, &["a.folded", "b.folded", "both.folded"], &["two sides are compared, and 3 are named", "@LIST"]);
    refused(
        folder,
        &["a.folded", "nothing"],
        &["no files for the new side: nothing names none", "a folder with files"],
    );
    refused(folder, &["@empty.txt", "b.folded"], &["no files for the base side"]);
    refused(folder, &["@missing.txt", "b.folded"], &["cannot read the list missing.txt", "./@NAME"]);
    refused(folder, &["missing.folded", "b.folded"], &["cannot read missing.folded"]);
    refused(
        folder,
        &["none.folded", "b.folded"],
        &["the base side has no samples of the event samples: none.folded", "profile import"],
    );
    refused(
        folder,
        &["a.folded", "both.folded"],
        &["the event samples, the new side of new", "-e new -f folded -o new.folded"],
    );
    refused(folder, &["a.folded", "b.folded", "-f", "pprof"], &["one profile", "-f svg"]);
    for format in ["top", "html", "json"] {
        for option in ["--callers", "--callees", "--function"] {
            let says = [option, "of one profile", "profile import FILE --callers NAME"];
            refused(folder, &["a.folded", "b.folded", "-f", format, option, "main"], &says);
        }
    }
    refused(folder, &["a.folded", "b.folded", "--view", "sandwich"], &["icicle graph", "-f html"]);
    refused(folder, &["a.folded", "b.folded", "-o", "b.folded"], &["b.folded is read, and would be written over"]);
    refused(
        folder,
        &["a.folded", "b.folded", "-e", "cycles"],
        &["no event cycles was recorded", "samples (3 samples)"],
    );
    refused(folder, &["a.folded", "minus.folded"], &["all weights of minus.folded are negative"]);
    assert_eq!(fs::read_to_string(folder.join("b.folded")).unwrap(), NEW);
}

/// Folded stacks of two columns, and pictures of a difference.
#[test]
fn one_file_that_has_both_sides_is_compared() {
    let both = "srv;main;copy 10 50\nsrv;main;same;f 60 120\nsrv;main;parse 30 0\n";
    let folder = folder(&[("both.folded", both), ("a.folded", BASE)]);
    let folder = folder.path();
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let expected = sorted(both.to_owned());
    assert_eq!(sorted(written(folder, &["both.folded", "-f", "folded"])), expected);
    for picture in ["both.svg", "both.html"] {
        written(folder, &["both.folded", "-o", picture]);
        assert_eq!(sorted(written(folder, &[picture, "-f", "folded"])), expected, "{picture}");
    }
    let table = written(folder, &["both.folded", "-f", "top"]);
    assert!(table.starts_with("new: base 100 in 100 samples, new 170 in 170 samples\n"), "{table}");
    refused(folder, &["a.folded", "both.folded"], &["both.folded has both sides", "`profile diff both.folded`"]);
    // Where one side is drawn, that is said.
    let mut command = Command::new(binary());
    let command = command.current_dir(folder).args(["import", "both.folded", "-f", "top"]).stdin(Stdio::null());
    let table = stdout(&finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()));
    assert!(table.contains("note: this is one side of a difference") && table.contains("profile diff FILE"), "{table}");
}

#[test]
fn help_lists_what_is_taken() {
    let folder = folder(&[]);
    let help = written(folder.path(), &["--help"]);
    for (word, is_taken) in [
        ("- icicle:", true),
        ("- html:", true),
        ("- reverse:", false),
        ("- chart:", true),
        ("- sandwich:", false),
        ("- pprof:", false),
        ("- perf-data:", false),
        ("--callers", false),
        ("--callees", false),
        ("--function", false),
    ] {
        assert_eq!(help.contains(word), is_taken, "{word}: {help}");
    }
}

#[test]
fn what_is_left_out_is_said() {
    let folder = folder(&[("a.folded", "p;a 5\np;b -5\nwhat\n"), ("b.folded", NEW)]);
    let output = diff_in(folder.path(), &["a.folded", "b.folded", "-q", "--from", "folded", "-f", "folded"]);
    let said = stderr(&output);
    assert!(said.contains("warning: base: 1 lines with a negative weight left out"), "{said}");
    assert!(said.contains("warning: base: 1 lines without a weight left out"), "{said}");
    assert!(stdout(&output).contains("p;a 5 0") && !stdout(&output).contains("p;b"), "{}", stdout(&output));
}

#[test]
fn events_are_compared_with_their_like() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/import/perf_script_default.txt");
    let folder = folder(&[("a.folded", BASE)]);
    let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
    fs::copy(&data, folder.path().join("copy.txt")).unwrap();
    refused(folder.path(), &[&path(&data), "a.folded"], &["they count different things", "-f folded -o base.folded"]);
    let same = written(folder.path(), &[&path(&data), "copy.txt", "-f", "top", "-q"]);
    assert!(same.lines().skip(3).all(|line| line.contains(" 0         0  ")), "nothing has changed: {same}");
}
