//! Files that only the target sees, or that are there no more: names are found all the same, or it is said why not.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use flameprofile::image::ElfImage;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::account::{self, Account, have};
use crate::common::run::{Running, Target, profile, stderr, text, wait_until};
use crate::common::{programs, skip, summary::Summary};
use crate::need;

/// A program without symbols, and its debug information in the place that its build id names.
struct Parts {
    folder: TempDir,
    program: PathBuf,
    debug: PathBuf,
    /// Below a folder of debug files.
    debug_name: String,
}

fn parts(test: &str, flags: &[&str]) -> Option<Parts> {
    if !have("objcopy") {
        skip::skip(test, "needs objcopy");
        return None;
    }
    let whole = programs::c_with("boxed", &[&["-g", "-Wl,--build-id=sha1"], flags].concat());
    let folder = account::folder();
    let [program, debug] = ["boxed", "apart"].map(|name| folder.path().join(name));
    for (flag, to) in [("--strip-all", &program), ("--only-keep-debug", &debug)] {
        assert!(Command::new("objcopy").arg(flag).args([&whole, to]).status().expect("it can be run").success());
    }
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("it is ours");
    let id = ElfImage::open(&whole).expect("it is an ELF file").build_id().expect("it has one").to_string();
    Some(Parts { folder, program, debug, debug_name: format!(".build-id/{}/{}.debug", &id[..2], &id[2..]) })
}

/// The words of a command that runs `/opt/app/boxed MILLISECONDS` in a root of its own, where alone the program is, with its debug
/// information in a file system of its own below it.
fn boxed(parts: &Parts, milliseconds: u32) -> Vec<String> {
    const SCRIPT: &str = "mount -t tmpfs inside \"$1\" && mkdir -p \"$1/opt/app\" \"$1/outside\" \"$1/usr/lib/debug\" \
        && mount -t tmpfs debug \"$1/usr/lib/debug\" && mkdir -p \"$1/usr/lib/debug/$(dirname \"$4\")\" \
        && cp \"$2\" \"$1/opt/app/boxed\" && cp \"$3\" \"$1/usr/lib/debug/$4\" \
        && cd \"$1\" && pivot_root . outside && exec /opt/app/boxed \"$5\"";
    let root = parts.folder.path().join("root");
    fs::create_dir_all(&root).expect("it is ours");
    let (program, debug) = (text(&parts.program), text(&parts.debug));
    let words =
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh", &text(&root), &program, &debug];
    let rest = [&parts.debug_name, &milliseconds.to_string()].map(Clone::clone);
    words.map(str::to_owned).into_iter().chain(rest).collect()
}

/// Samples of the boxed program: all, and those that have both functions with the right lines.
fn named(json: &Value) -> (usize, usize) {
    let source = include_str!("../../testdata/programs/boxed.c");
    let line_of = |mark: &str| source.lines().position(|line| line.contains(mark)).expect("it is there") as u64 + 1;
    let (work, call) = (line_of("the line of the work"), line_of("the line of the call"));
    let rows = |table: &str| json[table].as_array().expect("it is a table");
    let is_right = |frame: &Value| {
        let lines = frame["lines"].as_array()?;
        let line = |row: usize| Some((lines.get(row)?["name"].as_str()?, lines.get(row)?["line"].as_u64()?));
        // The compiler may count the loop's own line too.
        let ((inlined, at), (outer, from)) = (line(0)?, line(1)?);
        let file = lines[0]["file"].as_str()?.ends_with("boxed.c");
        Some(
            inlined == "inlined_work"
                && outer == "hidden_work"
                && work - at <= 1
                && from == call
                && file
                && lines.len() == 2,
        )
    };
    let is_in_box = |frame: &Value| {
        let path = frame["image"].as_u64().map(|image| &rows("images")[image as usize]["path"]);
        path.and_then(Value::as_str) == Some("/opt/app/boxed")
    };
    let leaf = |sample: &Value| {
        let stack = &rows("stacks")[sample["stack"].as_u64()? as usize];
        Some(&rows("frames")[stack["frame"].as_u64()? as usize])
    };
    let leaves: Vec<&Value> = rows("samples").iter().filter_map(leaf).filter(|frame| is_in_box(frame)).collect();
    (leaves.len(), leaves.iter().filter(|frame| is_right(frame) == Some(true)).count())
}

#[track_caller]
fn is_named(what: &str, folder: &TempDir, said: &str) {
    let json =
        fs::read_to_string(folder.path().join("out.json")).unwrap_or_else(|error| panic!("{what}: {error}\n{said}"));
    let (all, right) = named(&serde_json::from_str(&json).expect("it is JSON"));
    assert!(all >= 50 && right * 20 >= all * 19, "{what}: {right} of {all} samples have their names\n{said}");
}

#[test]
fn program_and_debug_file_in_a_container() {
    const TEST: &str = "program_and_debug_file_in_a_container";
    need!(account::is_root(), TEST, "needs root: makes a mount namespace");
    let Some(parts) = parts(TEST, &["-static"]) else { return };
    let folder = account::folder();
    let recorded = |what: &str, arguments: &[String]| {
        let mut command = profile(Account::Own);
        if !arguments.contains(&"-F".to_owned()) {
            command.args(["-F", "999"]);
        }
        command.args(["-f", "json", "-o"]).arg(folder.path().join("out.json")).args(arguments);
        let output = command.output().expect("profile can be started");
        assert!(output.status.success(), "{what}: {}", stderr(&output));
        is_named(what, &folder, &stderr(&output));
        fs::remove_file(folder.path().join("out.json")).expect("it was written");
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let start = |milliseconds| {
        let command = boxed(&parts, milliseconds);
        Target::start_command(Command::new(&command[0]).args(&command[1..]))
    };
    let mut target = start(100_000);
    assert!(!Path::new("/opt/app/boxed").exists());
    recorded("it runs on", &words(&["-d", "0.5", "-p", &target.pid_text()]));
    target.kill();
    // It ends, and the recording with it: when names are looked up, its root and what was mounted there are nobody's.
    let target = start(700);
    recorded("it has ended", &words(&["-p", &target.pid_text()]));
    drop(target);
    // Made, run and gone within the recording.
    recorded("it is the command", &[words(&["--"]), boxed(&parts, 400)].concat());
    let command = boxed(&parts, 800);
    let beside = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        Command::new(&command[0]).args(&command[1..]).output()
    });
    // Of all that runs, at a rate at which nobody falls behind.
    recorded("it is one of all", &words(&["-F", "199", "-a", "-d", "3"]));
    assert!(beside.join().expect("it does not panic").expect("it was started").status.success());
}

/// Whoever may sample a process need not be allowed to look into its root.
#[test]
fn root_without_permission_is_a_reason() {
    const TEST: &str = "root_without_permission_is_a_reason";
    need!(account::is_root(), TEST, "needs root: makes a mount namespace, and is another user");
    let Some(parts) = parts(TEST, &["-static"]) else { return };
    let command = boxed(&parts, 100_000);
    let target = Target::start_command(Command::new(&command[0]).args(&command[1..]));
    let run = Running::start(Account::Perfmon, &["-F", "999", "-d", "0.5", "-p", &target.pid_text()]).finish();
    let denied = run.summary.json()["unnamed"]["permission"].as_f64().unwrap_or_default();
    assert!(denied > 0.3 && run.folded.total_of("hidden_work") == 0, "{}", run.said);
}

/// It is said of the folder, and files that it has nothing to do with keep their own reasons.
#[test]
fn folder_without_permission_is_told() {
    const TEST: &str = "folder_without_permission_is_told";
    need!(account::is_root(), TEST, "needs root: to be another user");
    let Some(parts) = parts(TEST, &[]) else { return };
    let place = parts.folder.path().join("dir").join(&parts.debug_name);
    fs::create_dir_all(place.parent().expect("it has one")).expect("it is ours");
    fs::copy(&parts.debug, &place).expect("it is ours");
    let dir = parts.folder.path().join("dir");
    let reasons = |account: Account, mode: u32| {
        fs::set_permissions(&dir, Permissions::from_mode(mode)).expect("it is ours");
        let folder = account::folder();
        let stats = folder.path().join("stats.json");
        let mut command = profile(account);
        command.args(["-F", "999", "--debug-dir"]).arg(&dir).arg("--stats").arg(&stats);
        command.arg("-o").arg(folder.path().join("x.folded")).arg("--").arg(&parts.program).arg("200");
        let output = command.output().expect("profile can be started");
        assert!(output.status.success(), "{}", stderr(&output));
        let folded = fs::read_to_string(folder.path().join("x.folded")).expect("it was written");
        let summary = Summary::parse(&fs::read_to_string(stats).expect("it was written"));
        (folded.contains("hidden_work"), summary, stderr(&output))
    };
    let (named, _, _) = reasons(Account::Plain, 0o755);
    assert!(named);
    let (named, summary, said) = reasons(Account::Plain, 0o700);
    assert!(!named);
    assert_eq!(summary.json()["unnamed"]["permission"].as_f64(), None, "{said}");
    assert!(summary.json()["unnamed"]["no symbols"].as_f64().is_some_and(|share| share > 0.3), "{said}");
    assert!(said.contains("dir: Permission denied"), "{said}");
}

#[test]
fn deleted_library_is_read_through_the_map() {
    const TEST: &str = "deleted_library_is_read_through_the_map";
    need!(account::is_root(), TEST, "needs root: only it may open what is mapped");
    for account in [Account::Own, Account::Plain] {
        // Not in /tmp, where a file that is gone is taken for one that a runtime keeps its code in.
        const SCRIPT: &str = "mount -t tmpfs late /mnt && cp \"$1\" /mnt/late.so && shift && exec \"$@\"";
        let library = programs::c_with("late_library", &["-shared", "-fPIC"]);
        let actor = account.command(account.reachable(&programs::c("actor")));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]).arg(&library);
        command.arg(actor.get_program()).args(actor.get_args()).args(["dlopen", "/mnt/late.so", "60000"]);
        let mut target = Target::start_command(&mut command);
        target.go();
        let maps = format!("/proc/{}/maps", target.pid());
        wait_until("the library is loaded", || fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("late.so")));
        fs::remove_file(format!("/proc/{}/root/mnt/late.so", target.pid())).expect("root sees it");
        let run = Running::start(account, &["-F", "999", "-d", "1", "-p", &target.pid_text()]).finish();
        let share = run.folded.share_of("late_work");
        let denied = run.summary.json()["unnamed"]["permission"].as_f64().unwrap_or_default();
        if account == Account::Own {
            assert!(share > 0.5 && denied == 0.0, "{}\n{}", run.said, run.folded.counterexamples(|_| false));
        } else {
            // What is mapped may be opened by root only (`proc_map_files_get_link`, fs/proc/base.c).
            assert!(share == 0.0 && denied > 0.2, "{}\n{}", run.said, run.folded.counterexamples(|_| false));
        }
    }
}
