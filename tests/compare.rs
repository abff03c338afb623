//! `profile compare` and `profile baseline` as a user types them: what is recorded and kept, what is said, and what bad input gets.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::run::{binary, finish, stderr, stdout, wait_until};
use common::{programs, skip};
use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::model::{Profile, RunMark};
use rustix::process::{Pid, Signal, kill_process};

/// The program, if there is a compiler; else that it is skipped is said.
fn program() -> Option<PathBuf> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    if Command::new(compiler).arg("--version").output().is_err() {
        skip::here("there is no C compiler");
        return None;
    }
    Some(programs::c_with("compared", &["-g"]))
}

/// A folder with the program in it, as `prog`, so that commands are short and the same everywhere.
fn place() -> Option<tempfile::TempDir> {
    let program = program()?;
    let folder = tempfile::tempdir().unwrap();
    fs::copy(program, folder.path().join("prog")).unwrap();
    Some(folder)
}

fn run_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    for commit in ["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILDKITE_COMMIT"] {
        command.env_remove(commit);
    }
    let command = command.current_dir(folder).args(arguments);
    finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn())
}

/// `profile compare` of two commands.
fn compare(folder: &Path, base: &str, new: &str, arguments: &[&str]) -> Output {
    run_in(folder, &[&["compare", "--base", base, "--new", new, "-f", "json"], arguments].concat())
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{:?}: {}", output.status, stderr(output)))
}

/// That it ends with 2 and says these things.
fn refused(output: &Output, says: &[&str]) {
    let said = stderr(output);
    assert_eq!(status(output), 2, "{said}");
    says.iter().for_each(|text| assert!(said.contains(text), "no {text:?} in: {said}"));
    assert_eq!(stdout(output), "", "{said}");
}

fn read(path: &Path) -> Profile {
    import(vec![Input::Path(path.to_owned())], &ImportOptions::default(), &mut |_| {}).unwrap()
}

/// The runs of a folder, in order of their names.
fn runs(folder: &Path) -> Vec<(Profile, RunMark)> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let run = |path: &PathBuf| {
        let profile = read(path);
        let mark = profile.stats.run.clone().unwrap_or_else(|| panic!("{}: no mark", path.display()));
        (profile, mark)
    };
    files.iter().map(run).collect()
}

/// Whether a profile has a function of this name, with a line.
fn has_function(profile: &Profile, name: &str) -> bool {
    let is_it = |function: flameprofile::model::FunctionId| {
        profile.strings.get(profile.functions[function.index()].name) == name
    };
    profile.lines.iter().any(|line| is_it(line.function) && line.line > 0)
}

#[test]
fn both_are_recorded_in_turn_and_kept_with_all_that_matters() {
    let Some(folder) = place() else { return };
    let folder = folder.path();
    let arguments = ["-k", "6", "--keep", "kept", "--work", "stdout:requests"];
    let output = compare(folder, "./prog 300 300", "./prog 330 300", &arguments);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    // What the commands print is not among it.
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON alone");
    assert!(json.is_object());
    let (base, new) = (runs(&folder.join("kept/base")), runs(&folder.join("kept/new")));
    assert_eq!((base.len(), new.len()), (6, 6));
    let mut sides = [None; 12];
    for (side, (_, mark)) in base.iter().map(|run| ("base", run)).chain(new.iter().map(|run| ("new", run))) {
        assert_eq!(mark.label, side);
        assert_eq!(mark.key, base[0].1.key);
        assert_eq!(mark.work, if side == "base" { 300.0 } else { 330.0 });
        sides[mark.order.unwrap() as usize] = Some(side);
    }
    // Pairs, and pairs of pairs the other way round.
    for four in sides.chunks(4) {
        assert!(four[0] != four[1] && four[0].is_some() && four[1].is_some(), "{sides:?}");
        assert_eq!((four[0], four[1]), (four[3], four[2]), "{sides:?}");
    }
    for (profile, _) in base.iter().chain(&new) {
        assert!(has_function(profile, "hash") && has_function(profile, "checksum"));
        let stats = &profile.stats;
        assert!(stats.started_unix > 1_700_000_000 && !stats.host.is_empty());
        assert!(stats.target.contains("./prog"), "{}", stats.target);
        assert!(stats.frames.contains_key("unwind info"), "{:?}", stats.frames);
        let event = &profile.events[profile.main.index()];
        if profile.main_event() == "cpu-clock" {
            assert_eq!((stats.rate, event.period), (Some(2000.0), Some(500_000)));
        }
    }
    // What was kept is compared again.
    let again = run_in(folder, &["diff", "kept/base", "kept/new", "--gate", "-f", "json"]);
    assert!([0, 1].contains(&status(&again)), "{}", stderr(&again));
    // Runs of another series do not get among them.
    refused(&compare(folder, "./prog", "./prog", &["--keep", "kept"]), &["kept/base is not empty"]);
}

#[test]
fn a_regression_is_found_and_named() {
    let Some(folder) = place() else { return };
    let output = compare(folder.path(), "./prog 200 200", "./prog 200 1000", &["-k", "6", "--gate"]);
    assert_eq!(status(&output), 1, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("checksum"));
    let only_warned =
        compare(folder.path(), "./prog 200 200", "./prog 200 1000", &["-k", "6", "--gate", "--warn-only"]);
    assert_eq!(status(&only_warned), 0, "{}", stderr(&only_warned));
}

#[test]
fn it_is_looked_at_until_it_is_decided() {
    let Some(folder) = place() else { return };
    let more = compare(folder.path(), "./prog 200 200", "./prog 200 1000", &["--gate", "--until-decided", "13"]);
    assert_eq!(status(&more), 1, "{}", stderr(&more));
    let said = stderr(&more);
    // Three looks, of which the first suffices, each at a third.
    assert!(said.contains("look 1 of 3: 6 runs of each, alpha 0.333 %: regression"), "{said}");
    assert!(!said.contains("look 2"), "{said}");
    refused(&compare(folder.path(), "./prog", "./prog", &["--until-decided", "5"]), &["--until-decided"]);
    refused(
        &compare(folder.path(), "./prog", "./prog", &["--until-decided", "9", "-k", "3"]),
        &["cannot be used with"],
    );
}

#[test]
fn a_command_that_fails_is_named() {
    let Some(folder) = place() else { return };
    let folder = folder.path();
    let check = |base: &str, new: &str, arguments: &[&str], says: &[&str]| {
        refused(&compare(folder, base, new, &[&["-k", "2"], arguments].concat()), says);
    };
    check("./prog 50 50", "./prog 50 50 3", &[], &["new, warm-up run: ./prog 50 50 3 failed, exit status: 3"]);
    let recorded = ["new, run 1: ./prog 50 50 3 failed, exit status: 3", "its standard error ends: begun | done: 100"];
    check("./prog 50 50", "./prog 50 50 3", &["--warmup", "0"], &recorded);
    check(
        "./prog 50 50 -11",
        "./prog",
        &["--warmup", "0"],
        &["base, run 1: ./prog 50 50 -11 failed, signal: 11 (SIGSEGV)"],
    );
    check("./none", "./prog", &[], &["base, warm-up run cannot be recorded", "cannot run ./none", "is it installed"]);
    check("./none", "./prog", &["--warmup", "0"], &["base, run 1 cannot be recorded", "cannot run ./none"]);
    check("./prog", "./prog", &["--cwd-new", "nowhere"], &["new is to run in nowhere, which is no folder"]);
    let taken = compare(folder, "./prog 100 100 3", "./prog 100 100 3", &["-k", "2", "--ignore-failure"]);
    assert_eq!(status(&taken), 0, "{}", stderr(&taken));
}

#[test]
fn commands_are_split_and_no_shell_is_run() {
    let Some(folder) = place() else { return };
    let folder = folder.path();
    refused(
        &compare(folder, "./prog $HOME", "./prog", &[]),
        &["--base: no shell is run, and $ is for one", "sh -c './prog $HOME'"],
    );
    refused(&compare(folder, "./prog", "./prog | cat", &[]), &["--new: no shell is run, and | is for one"]);
    refused(&compare(folder, "./prog", "", &[]), &["--new: the command is empty"]);
    let folders = [folder.join("a b"), folder.join("c")];
    for other in &folders {
        fs::create_dir(other).unwrap();
        fs::copy(folder.join("prog"), other.join("it's")).unwrap();
    }
    let places = ["-k", "2", "--cwd-base", "a b", "--cwd-new", "c"];
    let output = compare(folder, "./'it'\\''s' \"100\" 100", "./it\\'s 100 100", &places);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
}

#[test]
fn units_of_work_are_read_from_what_is_printed() {
    let Some(folder) = place() else { return };
    let folder = folder.path();
    let output =
        compare(folder, "./prog 100 50", "./prog 200 50", &["-k", "2", "--keep", "kept", "--work", "stderr:done"]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let works =
        |side: &str| runs(&folder.join("kept").join(side)).iter().map(|(_, mark)| mark.work).collect::<Vec<_>>();
    assert_eq!((works("base"), works("new")), (vec![150.0; 2], vec![250.0; 2]));
    let missing = compare(folder, "./prog 100 50", "./prog 100 50", &["--work", "stdout:responses"]);
    refused(
        &missing,
        &["run 1: no number above 0 follows \"responses\" on standard output: ./prog 100 50", "requests: 100"],
    );
    refused(&compare(folder, "./prog", "./prog", &["--work", "many"]), &["--work", "stdout:requests"]);
}

#[test]
fn what_is_stopped_keeps_whole_pairs() {
    let Some(folder) = place() else { return };
    let folder = folder.path();
    let mut command = Command::new(binary());
    let arguments = ["compare", "-k", "900", "--base", "./prog 100 100", "--new", "./prog 100 100", "--keep", "kept"];
    command.current_dir(folder).args(arguments).args(["--gate", "--fail-on", "inconclusive", "-f", "json"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let count = |side: &str| {
        let names = fs::read_dir(folder.join("kept").join(side)).into_iter().flatten().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with("run-")).count()
    };
    wait_until("two pairs are kept", || count("base") >= 2 && count("new") >= 2);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = finish(Ok(child));
    let said = stderr(&output);
    assert_eq!(status(&output), 2, "{said}");
    assert_eq!(count("base"), count("new"));
    assert!(said.contains(&format!("stopped: {} runs of each, of 900", count("base"))), "{said}");
    assert!(stdout(&output).contains("it was stopped after"), "{}", stdout(&output));
}

#[test]
fn a_run_that_takes_too_long_is_ended_with_all_that_it_started() {
    let Some(folder) = place() else { return };
    let folder = folder.path();
    // Neither the shell nor what it starts minds being told.
    fs::write(folder.join("late"), "trap '' TERM\nsleep 600 &\necho $! > pid\nwait\nsleep 600\n").unwrap();
    let check = |arguments: &[&str], says: &str| {
        let began = Instant::now();
        let output = compare(folder, "./prog 100 100", "sh late", &[&["--timeout", "500ms"], arguments].concat());
        refused(&output, &[says, "--timeout SECONDS"]);
        assert!(began.elapsed() < Duration::from_secs(60));
        let pid = fs::read_to_string(folder.join("pid")).unwrap();
        let state = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        wait_until("what it started has ended", || state().is_empty() || state().contains(") Z "));
    };
    check(&[], "new, warm-up run: sh late took longer than 0.5 s and was ended");
    check(&["--warmup", "0"], "new, run 1: sh late took longer than 0.5 s and was ended");
    refused(&compare(folder, "./prog", "./prog", &["--timeout", "0"]), &["--timeout", "more than 0"]);
}

#[test]
fn pairs_that_were_made_before_a_late_run_are_reported() {
    let Some(folder) = place() else { return };
    let folder = folder.path();
    let script = "echo >> count\n[ $(wc -l < count) -gt 2 ] && sleep 600\nexec ./prog 100 100\n";
    fs::write(folder.join("third"), script).unwrap();
    let arguments = ["--warmup", "0", "--timeout", "10", "--keep", "kept", "--gate", "--report", "report.md"];
    let output = compare(folder, "./prog 100 100", "sh third", &arguments);
    let said = stderr(&output);
    assert_eq!(status(&output), 2, "{said}");
    assert!(said.contains("new, run 3: sh third took longer than 10 s and was ended"), "{said}");
    for side in ["base", "new"] {
        assert_eq!(runs(&folder.join("kept").join(side)).len(), 2);
    }
    assert!(stdout(&output).contains("was ended; before that there were 2 runs of each"), "{}", stdout(&output));
    assert!(
        fs::read_to_string(folder.join("report.md"))
            .unwrap()
            .contains("was ended; before that there were 2 runs of each")
    );
}

#[test]
fn runs_are_saved_listed_and_removed() {
    let Some(folder) = place() else { return };
    let folder = folder.path();
    let output = compare(folder, "./prog 200 200", "./prog 200 200", &["-k", "3", "--keep", "kept", "--work", "200"]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let run = |arguments: &[&str]| run_in(folder, &[&["baseline"], arguments].concat());
    let save = ["save", "store", "kept/base", "kept/new", "--key", "job-x86", "--label", "c0ffee"];
    let saved = run(&save);
    assert_eq!(status(&saved), 0, "{}", stderr(&saved));
    assert_eq!(stdout(&saved).lines().filter(|line| line.starts_with("saved store/job-x86/2")).count(), 6);
    let again = stdout(&run(&save));
    assert_eq!(again.lines().filter(|line| line.starts_with("is there already: ")).count(), 6, "{again}");
    let stored = runs(&folder.join("store/job-x86"));
    assert_eq!(stored.len(), 6);
    for (profile, mark) in &stored {
        let expected = RunMark { key: "job-x86".into(), label: "c0ffee".into(), order: None, work: 200.0 };
        assert_eq!(*mark, expected);
        assert!(has_function(profile, "checksum"));
    }
    let list = stdout(&run(&["list", "store"]));
    assert!(list.starts_with("job-x86: 6 runs\nbegan"), "{list}");
    assert_eq!(list.matches("c0ffee").count(), 6, "{list}");
    assert!(list.contains("noise between runs of ") && list.contains(" from 6 runs"), "{list}");
    // The runs of a key are a side like any other.
    let diff = run_in(folder, &["diff", "store/job-x86", "kept/new", "-f", "top"]);
    assert_eq!(status(&diff), 0, "{}", stderr(&diff));
    // Other files are left alone.
    fs::write(folder.join("store/job-x86/notes.txt"), "mine").unwrap();
    let would = stdout(&run(&["prune", "store", "--keep", "4", "--dry-run"]));
    assert!(would.ends_with("2 runs would be removed, 4 kept\n"), "{would}");
    assert!(stdout(&run(&["prune", "store", "--keep", "4", "--older-than", "1"])).contains("0 runs removed, 6 kept"));
    let pruned = stdout(&run(&["prune", "store", "--keep", "4", "--key", "job-x86"]));
    assert_eq!(pruned.lines().filter(|line| line.starts_with("removed store/job-x86/")).count(), 2, "{pruned}");
    let left = fs::read_dir(folder.join("store/job-x86")).unwrap().count();
    assert_eq!(left, 5);
    refused(&run(&["prune", "store"]), &["--keep"]);
}

#[test]
fn bad_stores_keys_and_runs_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.folded"), "main;f 10\n").unwrap();
    fs::write(folder.join("empty.folded"), "").unwrap();
    fs::create_dir(folder.join("mine")).unwrap();
    fs::write(folder.join("mine/letter.txt"), "dear").unwrap();
    let run = |arguments: &[&str]| run_in(folder, &[&["baseline"], arguments].concat());
    refused(&run(&["list", "none"]), &["there is no store of baselines at none", "baseline save"]);
    refused(&run(&["list", "mine"]), &["mine is no store of baselines"]);
    refused(&run(&["save", "mine", "a.folded", "--key", "k"]), &["mine is no store of baselines"]);
    for key in ["../x", "a/b", "..", "", ".git", "a b"] {
        refused(&run(&["save", "store", "a.folded", "--key", key]), &["the key", "--key bench"]);
    }
    assert!(!folder.join("store").exists());
    refused(&run(&["save", "store", "gone.folded", "--key", "k"]), &["gone.folded"]);
    refused(&run(&["save", "store", "empty.folded", "--key", "k"]), &["empty.folded"]);
    refused(&run(&["save", "store", "a.folded", "--key", "k", "--label", "a\nb"]), &["label"]);
    let saved = run(&["save", "store", "a.folded", "--key", "k", "--work", "3"]);
    assert_eq!(status(&saved), 0, "{}", stderr(&saved));
    refused(&run(&["list", "store", "--key", "other"]), &["store has no runs of the key other", "baseline list store"]);
    let path = fs::read_dir(folder.join("store/k")).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    refused(&run(&["list", "store"]), &[name, "is damaged", "rm "]);
}

#[test]
fn what_samples_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let output = compare(folder.path(), "true", "true", &["-k", "1", "-F", "1"]);
    refused(&output, &["run 1: nothing was sampled", "raise -F"]);
}
