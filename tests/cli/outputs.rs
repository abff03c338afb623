//! What is written, where and as what.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::account::{self, Account};
use crate::common::folded::Folded;
use crate::common::programs;
use crate::common::run::{binary, finish, names_in, profile, record, stderr, stdout, text};
use crate::need;

/// Records 150 ms of `actor busy` into FILE of a folder and returns what was written.
fn written(flags: &[&str], file: &str) -> String {
    let folder = account::folder();
    let out = folder.path().join(file);
    let mut command = profile(Account::Own);
    command
        .args(["-F", "999"])
        .args(flags)
        .arg("-o")
        .arg(&out)
        .arg("--")
        .arg(programs::c("actor"))
        .args(["busy", "150"]);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(names_in(folder.path()), [file], "nothing else is left behind");
    std::fs::read_to_string(&out).expect("it is text")
}

fn is_picture(text: &str) -> bool {
    text.trim_start().starts_with("<?xml") && text.contains("<svg") && text.trim_end().ends_with("</svg>")
        || text.trim_start().starts_with("<svg") && text.trim_end().ends_with("</svg>")
}

#[test]
fn extension_chooses_the_format() {
    assert!(is_picture(&written(&[], "out.svg")));
    assert!(Folded::parse(&written(&[], "out.folded")).total_of("busy_work") > 0);
    assert!(Folded::parse(&written(&[], "out.txt")).total_of("busy_work") > 0);
    let json: Value = serde_json::from_str(&written(&[], "out.json")).expect("it is JSON");
    assert!(json.to_string().contains("busy_work"));
}

#[test]
fn flag_overrides_the_extension() {
    assert!(Folded::parse(&written(&["-f", "folded"], "out.svg")).total_of("busy_work") > 0);
    assert!(is_picture(&written(&["-f", "svg"], "out.txt")));
    assert!(is_picture(&written(&[], "no-extension")), "SVG if nothing says otherwise");
    let top = written(&["-f", "top"], "out.txt");
    assert!(top.contains("busy_work") && !top.contains('\x1b'), "no colours in a file:\n{top}");
}

#[test]
fn picture_says_what_it_may_hide() {
    let picture = written(&[], "out.svg");
    assert!(picture.contains("busy_work") && picture.contains("main"));
    for word in ["samples", "lost", "coverage"] {
        assert!(picture.contains(word), "the footer does not say {word:?}");
    }
}

#[test]
fn every_view_is_drawn() {
    let plain = written(&[], "out.svg");
    let own = |picture: &str| picture.split("<metadata").next().unwrap().to_owned();
    for view in ["icicle", "reverse", "chart"] {
        let picture = written(&["--view", view, "--palette", "binary", "--per-process"], "out.svg");
        assert!(is_picture(&picture) && own(&picture).contains("busy_work"), "{view}");
        assert_ne!(own(&picture), own(&plain), "{view}");
    }
    let picture = written(&["--view", "sandwich", "--function", "busy_work"], "out.svg");
    assert!(own(&picture).contains("Callers and callees") && own(&picture).contains("busy_work"));
    let page = written(&["--view", "reverse"], "out.html");
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.contains("Content-Security-Policy") && page.contains("busy_work")
    );
}

/// What cannot be drawn is refused before it is recorded; where that shows only then, what was recorded is drawn otherwise.
#[test]
fn a_view_that_is_not_there_costs_no_recording() {
    let run = |arguments: &[&str]| {
        let mut command = profile(Account::Own);
        command.args(["-F", "999", "--view", "sandwich"]).args(arguments).arg("--").arg(programs::c("actor"));
        finish(command.args(["busy", "150"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn())
    };
    let refused = run(&[]);
    assert!(refused.status.code() == Some(2) && stderr(&refused).contains("--function NAME"), "{}", stderr(&refused));
    for view in ["flame", "icicle"] {
        let mut command = profile(Account::Own);
        command.args(["--view", view, "--function", "main", "--"]).arg(programs::c("actor")).args(["busy", "150"]);
        let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
        let said = stderr(&output);
        assert!(output.status.code() == Some(2) && said.contains("--view sandwich --function NAME"), "{said}");
    }
    let other = run(&["--function", "no_such_function"]);
    let said = stderr(&other);
    assert!(other.status.success() && is_picture(&stdout(&other)) && stdout(&other).contains("busy_work"), "{said}");
    assert!(
        said.contains("no function has no_such_function in its name")
            && said.contains("a flame graph is written instead"),
        "{said}"
    );
}

#[test]
fn pictures_are_read_back_and_compared() {
    let folder = account::folder();
    let path = |name: &str| folder.path().join(name);
    let run = |arguments: &[&str]| {
        let mut command = profile(Account::Own);
        command.args(arguments).current_dir(folder.path());
        let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    let program = programs::c("actor");
    run(&["-q", "-F", "999", "-o", "x.data", "--", &text(&program), "busy", "150"]);
    let folded = run(&["import", "x.data", "-f", "folded"]);
    for picture in ["x.svg", "x.html"] {
        run(&["import", "-q", "x.data", "--view", "reverse", "--per-thread", "-o", picture]);
        assert_eq!(run(&["import", picture, "-f", "folded"]), folded, "{picture}");
    }
    let table = run(&["diff", "x.svg", "x.html", "-f", "top"]);
    // The first line says how much there is on either side.
    let rows = table.lines().skip(1);
    let changed = rows.filter(|line| line.contains(" new ") || line.contains(" gone ")).count();
    assert!(changed == 0 && table.contains("busy_work"), "{table}");
    assert!(is_picture(&run(&["diff", "x.svg", "x.html", "-f", "svg"])));
    // A function is named alike in both: by its name, or by a part that no other has.
    for name in ["busy_work_piece", "work_pie"] {
        let picture = run(&["import", "x.data", "-f", "svg", "--view", "sandwich", "--function", name]);
        assert!(picture.contains("<title>Callers and callees of busy_work_piece, "), "{name}");
    }
    let whole = run(&["import", "x.data", "--callers", "busy_work_piece"]);
    assert_eq!(run(&["import", "x.data", "--callers", "work_pie"]), whole);
    for option in [&["--callers"][..], &["--callees"], &["--view", "sandwich", "--function"]] {
        for (name, words) in [("BUSY_WOR", "there are busy_work"), ("absent", "those that took most are ")] {
            let mut command = profile(Account::Own);
            command.arg("import").arg(path("x.data")).args(option).arg(name);
            let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(&format!("no function has {name} in its name")) && said.contains(words), "{said}");
            assert_eq!(stdout(&output), "", "a file is there to be read again: {option:?}");
        }
    }
}

/// A recording cannot be made again.
#[test]
fn a_name_that_is_not_there_costs_no_recording() {
    let folder = account::folder();
    let out = folder.path().join("out.table");
    let mut command = profile(Account::Own);
    command.args(["-F", "999", "--callers", "no_such_function", "-f", "top", "-o", &text(&out), "--"]);
    let command = command.arg(programs::c("actor")).args(["busy", "150"]);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("no function has no_such_function in its name") && said.contains("is written instead"));
    let table = std::fs::read_to_string(out).unwrap();
    assert!(table.contains("SELF") && table.contains("busy_work"), "{table}");
}

#[test]
fn standard_output_is_a_picture() {
    let mut command = profile(Account::Own);
    command.args(["-F", "999", "--"]).arg(programs::c("actor")).args(["busy", "100"]);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success() && is_picture(&stdout(&output)), "{}", stderr(&output));
}

#[test]
fn terminal_gets_the_table() {
    need!(account::have("script"), "terminal_gets_the_table", "needs `script` of util-linux");
    let line = format!("'{}' -F 999 -- '{}' busy 150", text(&binary()), text(&programs::c("actor")));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm-256color").stdin(Stdio::null());
    let output = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    let shown = stdout(&output);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("busy_work"), "{shown}");
    assert!(!shown.contains("<svg"), "a terminal is no place for a picture:\n{shown}");
}

#[test]
fn closed_pipe_is_success() {
    for format in ["svg", "folded", "top", "json"] {
        let mut command = profile(Account::Own);
        command.args(["-F", "999", "-f", format, "--"]).arg(programs::c("actor")).args(["busy", "50"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        drop(child.stdout.take());
        let output = finish(Ok(child));
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{format}: {said}");
        assert!(!said.contains("error") && !said.contains("panicked"), "{format}: quietly, but:\n{said}");
    }
}

#[test]
fn recording_without_samples_says_why() {
    let folder = account::folder();
    let out = folder.path().join("out.svg");
    let mut command = profile(Account::Own);
    // One sample in 17 minutes of CPU time.
    command.args(["-e", "cpu-clock", "-c", "1000000000000", "-o", &text(&out), "--", "true"]);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).to_lowercase().contains("no samples"), "{}", stderr(&output));
    let picture = std::fs::read_to_string(&out).expect("there is a picture");
    assert!(is_picture(&picture) && picture.to_lowercase().contains("no samples"), "{picture}");
}

#[test]
fn device_is_written_not_replaced() {
    // As a plain user, who could not replace it if that were tried.
    let account = Account::Plain;
    let actor = account.reachable(&programs::c("actor"));
    let mut command = profile(account);
    command
        .args(["-F", "999", "-f", "folded", "--annotate", "-o", "/dev/stdout", "--"])
        .arg(actor)
        .args(["busy", "100"]);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(Folded::parse(&stdout(&output)).total_of("busy_work") > 0);
}

#[test]
fn pipe_by_name_is_written_not_replaced() {
    let folder = account::folder();
    let fifo = folder.path().join("out.folded");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("there is a mkfifo").success());
    let reader = {
        let fifo = fifo.clone();
        std::thread::spawn(move || std::fs::read_to_string(fifo))
    };
    let mut command = profile(Account::Own);
    command.args(["-F", "999", "-o", &text(&fifo), "--"]).arg(programs::c("actor")).args(["busy", "100"]);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{}", stderr(&output));
    let is_fifo =
        std::os::unix::fs::FileTypeExt::is_fifo(&std::fs::symlink_metadata(&fifo).expect("it is there").file_type());
    assert!(is_fifo, "the pipe was replaced by a file, and its reader waits for ever");
    let read = reader.join().expect("the reader does not panic").expect("it is text");
    assert!(Folded::parse(&read).total_of("busy_work") > 0);
}

#[test]
fn link_keeps_leading_where_it_led() {
    let folder = account::folder();
    std::fs::create_dir(folder.path().join("there")).expect("it is ours");
    std::os::unix::fs::symlink("there/real.folded", folder.path().join("link.folded")).expect("it is ours");
    let mut command = profile(Account::Own);
    command
        .args(["-F", "999", "-o", &text(&folder.path().join("link.folded")), "--"])
        .arg(programs::c("actor"))
        .args(["busy", "50"]);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(folder.path().join("link.folded").is_symlink(), "the link was replaced");
    assert!(folder.path().join("there/real.folded").exists());
}

#[test]
fn names_are_data() {
    // A program's own name is what an attacker chooses most easily; 15 bytes of it are the process's name.
    let folder = account::folder();
    let program = folder.path().join("<b>;&\"'\n 7");
    std::fs::copy(programs::c("actor"), &program).expect("any name will do");
    for (file, check) in
        [("out.svg", picture_is_clean as fn(&str)), ("out.folded", folded_is_clean), ("out.json", json_is_clean)]
    {
        let out = folder.path().join(file);
        let mut command = profile(Account::Own);
        command.args(["-F", "999", "-o", &text(&out), "--"]).arg(&program).args(["busy", "100"]);
        let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
        assert!(output.status.success(), "{}", stderr(&output));
        check(&std::fs::read_to_string(&out).expect("it was written"));
    }
}

fn picture_is_clean(text: &str) {
    assert!(is_picture(text));
    assert!(!text.contains("<b>"), "a name became markup");
}

fn folded_is_clean(text: &str) {
    let folded = Folded::parse(text);
    // `NAME;...;main;busy_work...`: the name is one frame, whatever is in it.
    let row = folded.rows.iter().find(|row| row.has("busy_work")).expect("it was sampled");
    assert!(row.frames[0].contains("<b>") && !row.frames[1].contains('&'), "{row:?}");
}

fn json_is_clean(text: &str) {
    serde_json::from_str::<Value>(text).expect("it is JSON");
}

#[test]
fn only_user_or_only_kernel() {
    let run = |flag: &str, act: &str| record(Account::Own, &["-F", "999", flag], &programs::c("actor"), &[act, "200"]);
    let user = run("-U", "busy").folded;
    assert!(user.total_of("busy_work") > 0);
    assert!(!user.rows.iter().any(|row| row.frames.iter().any(|frame| frame.ends_with("_[k]"))), "{user:?}");
    need!(account::is_root(), "only_user_or_only_kernel", "needs root: kernel frames");
    let kernel = run("-K", "kernel").folded;
    let only_kernel = |row: &crate::common::folded::Row| {
        row.is_missing() || row.frames[1..].iter().all(|frame| frame.ends_with("_[k]"))
    };
    assert!(kernel.sampled() > 0 && kernel.rows.iter().all(only_kernel), "{}", kernel.counterexamples(only_kernel));
}

#[test]
fn software_events() {
    for account in [Account::Own, Account::Plain] {
        let run = record(account, &["-e", "page-faults", "-c", "1"], &programs::c("actor"), &["busy", "20"]);
        assert!(run.folded.sampled() >= 10, "{account:?}: {:?}", run.folded);
        // The loader's first code has no unwind information, and needs none: nothing calls it.
        let cut = |row: &crate::common::folded::Row| row.mentions("no unwind info") && row.mentions("ld-linux");
        assert_eq!(run.folded.weight(cut), 0, "{account:?}:\n{}", run.folded.counterexamples(|row| !cut(row)));
    }
}

#[test]
fn tracepoints() {
    need!(account::is_root(), "tracepoints", "needs root: tracefs");
    // In a namespace of its own, in which tracefs is where it belongs whether or not this machine has mounted it.
    let folder = account::folder();
    let out = folder.path().join("out.folded");
    let script = "[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing || exit 99
        exec \"$1\" -e sched:sched_switch -c 1 -o \"$2\" -- \"$3\" sleep 20";
    let (profile, actor) = (text(&binary()), text(&programs::c("actor")));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", &profile, &text(&out), &actor]);
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    need!(output.status.code() != Some(99), "tracepoints", "needs a kernel with tracefs");
    assert!(output.status.success(), "{}", stderr(&output));
    let folded = Folded::parse(&std::fs::read_to_string(&out).expect("it was written"));
    // It slept: that is one switch at least, through main and into the scheduler.
    let slept = |row: &crate::common::folded::Row| row.has("main") && row.mentions("schedule");
    assert!(folded.weight(slept) >= 1, "{}", folded.counterexamples(slept));
}

#[test]
fn rate_above_the_limit_is_lowered_and_said() {
    let run = record(Account::Own, &["-F", "100000000", "--unwind", "none"], &programs::c("actor"), &["busy", "20"]);
    assert!(run.said.contains("perf_event_max_sample_rate"), "{}", run.said);
    assert!(run.summary.number("rate") < 100_000_000.0);
}
