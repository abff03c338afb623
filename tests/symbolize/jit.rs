//! Generated code is what it was when it was sampled: `testdata/programs/jit.c` says what it runs, by who calls it.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::common::account::{Account, have, is_root};
use crate::common::folded::Folded;
use crate::common::programs;
use crate::common::run::{self, Running, Target};
use crate::common::skip::skip;

const CALLERS: [(&str, &str); 3] = [("by_even", "even_code"), ("by_odd", "odd_code"), ("by_moved", "even_code")];

/// How many samples have the name of the code that ran, and how many another one.
fn judge(folded: &Folded) -> (u64, u64) {
    let named = |row: &crate::common::folded::Row| {
        let (_, right) = CALLERS.iter().find(|(caller, _)| row.has(caller))?;
        ["even_code", "odd_code"].iter().find(|name| row.has(name)).map(|name| name == right)
    };
    (folded.weight(|row| named(row) == Some(true)), folded.weight(|row| named(row) == Some(false)))
}

/// The folded stacks of the program, which is there before the recording begins.
fn record(arguments: &[&str]) -> Folded {
    let mut target = Target::start(Account::Own, &programs::c("jit"), arguments);
    let running = Running::start(Account::Own, &["-F", "499", "-p", &target.pid_text()]);
    target.go();
    let recording = running.finish();
    assert!(recording.summary.number("samples") > 0.0, "{}", recording.said);
    recording.folded
}

fn is_x86_64(test: &str) -> bool {
    let is = cfg!(target_arch = "x86_64");
    if !is {
        skip(test, "the program's code is for x86-64");
    }
    is
}

#[test]
fn code_replaced_at_one_address_is_what_it_was_by_its_dump() {
    if !is_x86_64("code_replaced_at_one_address_is_what_it_was_by_its_dump") {
        return;
    }
    for names in ["dump", "move"] {
        let folded = record(&[names, "anon", "6", "120"]);
        let (right, wrong) = judge(&folded);
        println!("{names}: {right} right, {wrong} wrong");
        assert!(
            right >= 100 && wrong == 0,
            "{names}: {right} right, {wrong} wrong\n{}",
            folded.counterexamples(|_| false)
        );
        for (caller, _) in &CALLERS[..if names == "move" { 3 } else { 2 }] {
            // The code keeps no frame pointer: without its unwind information nobody would have called it.
            assert!(folded.total_of(caller) >= 20, "{names}: {caller}\n{}", folded.counterexamples(|_| false));
        }
        let cut = folded.weight(|row| row.mentions("[truncated"));
        assert_eq!(cut, 0, "{names}:\n{}", folded.counterexamples(|row| !row.mentions("[truncated")));
    }
}

#[test]
fn code_replaced_at_one_address_is_what_it_was_by_a_perf_map() {
    if !is_x86_64("code_replaced_at_one_address_is_what_it_was_by_a_perf_map") {
        return;
    }
    for names in ["map", "rewrite"] {
        // Of two changes that nobody has looked between one is a guess: a busy machine is tried once more.
        let found = (0..4).find_map(|_| {
            let folded = record(&[names, "anon", "6", "200"]);
            let (right, wrong) = judge(&folded);
            println!("{names}: {right} right, {wrong} wrong");
            (right >= 100 && wrong == 0).then_some(())
        });
        assert!(found.is_some(), "{names}: samples have names of what was there at other times");
    }
}

#[test]
fn code_is_named_in_every_kind_of_memory() {
    if !is_x86_64("code_is_named_in_every_kind_of_memory") {
        return;
    }
    for memory in ["zero", "memfd", "file", "heap", "stack"] {
        let program = programs::c("jit");
        let folded = run::record(Account::Own, &["-F", "499"], &program, &["map", memory, "1", "300"]).folded;
        let named = folded.total_of("even_code");
        assert!(named >= 20, "{memory}: {named}\n{}", folded.counterexamples(|_| false));
        let nameless = folded.weight(|row| row.has("by_even") && row.mentions("[anonymous"));
        assert_eq!(nameless, 0, "{memory}:\n{}", folded.counterexamples(|row| !row.mentions("[anonymous")));
    }
}

#[test]
fn map_in_another_namespace_is_found_by_its_own_pid() {
    const TEST: &str = "map_in_another_namespace_is_found_by_its_own_pid";
    if !is_x86_64(TEST) {
        return;
    }
    let program = programs::c("jit");
    if program.starts_with("/tmp") {
        return skip(TEST, "the programs are compiled below /tmp, which the container hides");
    }
    let inside = format!("mount -t tmpfs none /tmp && exec {} map anon 2 200", program.display());
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--fork", "--kill-child", "sh", "-c", &inside]);
    let may = Command::new("unshare").args(["--pid", "--mount", "--fork", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        return skip(TEST, "this user may not make namespaces");
    }
    let mut target = Target::start_command(&mut command);
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", target.pid())).unwrap();
    let pid = children.split_whitespace().next().expect("the program runs in the namespace").to_owned();
    let running = Running::start(Account::Own, &["-F", "499", "-p", &pid]);
    target.go();
    let recording = running.finish();
    let map = PathBuf::from(format!("/tmp/perf-{pid}.map"));
    assert!(!map.exists(), "the map is in the container alone");
    let named = recording.folded.total_of("even_code") + recording.folded.total_of("odd_code");
    assert!(named >= 40, "{named}\n{}", recording.folded.counterexamples(|_| false));
}

/// Records the program, of another user, with a map that a user has written at a time.
///
/// Returns how many samples it names, and what is said on standard error.
fn named_by_map_of(owner: u32, age: Duration) -> (u64, String) {
    let program = programs::c("jit");
    let mut target = Target::start(Account::Plain, &program, &["none", "anon", "1", "400"]);
    let maps = fs::read_to_string(format!("/proc/{}/maps", target.pid())).unwrap();
    let code = maps
        .lines()
        .find(|line| line.contains("rwxp") && line.ends_with(" 0 "))
        .or_else(|| maps.lines().find(|line| line.contains("rwxp 00000000 00:00 0")));
    let start = code.and_then(|line| line.split('-').next()).unwrap_or_else(|| panic!("no code in\n{maps}"));
    let map = PathBuf::from(format!("/tmp/perf-{}.map", target.pid()));
    fs::write(&map, format!("{start} 1000 by_the_map\n")).unwrap();
    chown(&map, Some(owner), None).unwrap();
    File::options().write(true).open(&map).unwrap().set_modified(SystemTime::now() - age).unwrap();
    let running = Running::start(Account::Own, &["-F", "499", "-p", &target.pid_text()]);
    target.go();
    let recording = running.finish();
    fs::remove_file(&map).unwrap();
    assert!(recording.folded.total_of("by_even") >= 20, "{}", recording.folded.counterexamples(|_| false));
    (recording.folded.total_of("by_the_map"), recording.said)
}

#[test]
fn map_of_a_stranger_or_of_an_earlier_process_is_not_believed() {
    const TEST: &str = "map_of_a_stranger_or_of_an_earlier_process_is_not_believed";
    if !is_x86_64(TEST) {
        return;
    }
    if !is_root() {
        return skip(TEST, "needs root, to write files of other users");
    }
    let (plain, stranger, hour) = (65534, 12345, Duration::from_secs(3600));
    assert!(named_by_map_of(plain, Duration::ZERO).0 >= 20);
    assert!(named_by_map_of(0, Duration::ZERO).0 >= 20);
    for (owner, age, why) in [
        (stranger, Duration::ZERO, "map is not used: it belongs to uid 12345, the process to uid 65534"),
        (plain, hour, "map is not used: it is older than the process"),
    ] {
        let (named, said) = named_by_map_of(owner, age);
        assert_eq!(named, 0);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn imported_dump_names_and_unwinds_by_time() {
    if !is_x86_64("imported_dump_names_and_unwinds_by_time") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("recorded.data");
    let mut command = run::profile(Account::Own);
    command.args(["-F", "499", "-f", "perf-data", "-o"]).arg(&data).arg("--").arg(programs::c("jit"));
    command.args(["move", "anon", "4", "150"]).stdin(Stdio::null());
    let output = run::finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{}", run::stderr(&output));
    let imported = import(&data);
    let (right, wrong) = judge(&imported);
    println!("{right} right, {wrong} wrong");
    assert!(right >= 60 && wrong == 0, "{right} right, {wrong} wrong\n{}", imported.counterexamples(|_| false));
    assert!(imported.total_of("by_moved") >= 20);
}

fn import(data: &Path) -> Folded {
    let mut command = run::profile(Account::Own);
    command.arg("import").arg(data).args(["-f", "folded", "--annotate", "-o", "-"]).stdin(Stdio::null());
    let output = run::finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    assert!(output.status.success(), "{}", run::stderr(&output));
    Folded::parse(&run::stdout(&output))
}

/// The share of the stacks that have a function of the program, and of those of whom all callers are known too.
fn shares(folded: &Folded, functions: &[&str]) -> Vec<f64> {
    let all = folded.sampled().max(1) as f64;
    functions.iter().map(|function| folded.weight(|row| row.mentions(function)) as f64 / all).collect()
}

fn check_runtime(test: &str, program: &str, arguments: &[&str], functions: &[&str], least: f64) {
    if !have(program) {
        return skip(test, &format!("there is no {program} here"));
    }
    // V8 writes its dump where it is started.
    let folder = tempfile::tempdir().unwrap();
    let (stacks, path) = (folder.path().join("out.folded"), folder.path());
    let mut command = run::profile(Account::Own);
    command
        .current_dir(path)
        .args(["-F", "499", "-f", "folded", "--annotate", "-o"])
        .arg(&stacks)
        .arg("--")
        .arg(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = run::finish(command.spawn());
    assert!(output.status.success(), "{}", run::stderr(&output));
    let folded = Folded::parse(&fs::read_to_string(&stacks).unwrap());
    let shares = shares(&folded, functions);
    println!("{program} {arguments:?}: {functions:?} {shares:.3?} of {} samples", folded.sampled());
    assert!(shares.iter().all(|share| *share >= least), "{shares:?}\n{}", folded.counterexamples(|_| false));
    let nameless = folded.weight(|row| row.mentions("[anonymous"));
    assert!(
        nameless * 50 <= folded.sampled(),
        "{nameless}\n{}",
        folded.counterexamples(|row| !row.mentions("[anonymous"))
    );
}

#[test]
fn node_by_perf_map_and_by_dump() {
    const TEST: &str = "node_by_perf_map_and_by_dump";
    let script = programs::source_text("nested.js");
    for flags in [
        &["--perf-basic-prof", "--interpreted-frames-native-stack"][..],
        &["--perf-prof", "--interpreted-frames-native-stack"],
    ] {
        let arguments = [flags, &[&script, "2"]].concat();
        check_runtime(TEST, "node", &arguments, &["outer"], 0.4);
    }
}

/// A Python of a version: one of pyenv's (whose own programs of that name are shell scripts), or the system's.
fn find_python(version: &str) -> Option<String> {
    let name = format!("python{version}");
    let versions = std::env::home_dir()?.join(".pyenv/versions");
    let entries = fs::read_dir(versions).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path().join("bin").join(&name)).collect();
    found.extend(["/usr/bin", "/usr/local/bin"].map(|folder| Path::new(folder).join(&name)));
    found.iter().find(|path| path.exists())?.to_str().map(str::to_owned)
}

#[test]
fn python_by_perf_map_and_by_dump() {
    const TEST: &str = "python_by_perf_map_and_by_dump";
    let script = programs::source_text("nested.py");
    for (version, flag) in [("3.12", "perf"), ("3.13", "perf"), ("3.13", "perf_jit")] {
        let Some(python) = find_python(version) else {
            skip(TEST, &format!("there is no python{version} here"));
            continue;
        };
        check_runtime(TEST, &python, &["-X", flag, &script, "1.5"], &["outer", "main"], 0.5);
    }
}

#[test]
fn java_is_named_once_it_was_told_to_write_its_map() {
    const TEST: &str = "java_is_named_once_it_was_told_to_write_its_map";
    if !["java", "javac", "jcmd"].into_iter().all(have) {
        return skip(TEST, "there is no JDK here");
    }
    let classes = programs::java("Nested");
    let mut java = Command::new("java");
    java.args(["-XX:+PreserveFramePointer", "-cp"]).arg(&classes).args(["Nested", "120"]);
    let mut child = java.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id().to_string();
    let map = PathBuf::from(format!("/tmp/perf-{pid}.map"));
    let record = || Running::start(Account::Own, &["-F", "199", "-d", "2", "-p", &pid]).finish();
    run::wait_until("the code is compiled", || record().folded.weight(|row| row.mentions("[anonymous")) >= 100);
    let before = record();
    let told = Command::new("jcmd").args([&pid, "Compiler.perfmap"]).output().unwrap();
    if !told.status.success() || !map.exists() {
        let _ = (child.kill(), child.wait());
        return skip(TEST, "this Java does not know Compiler.perfmap");
    }
    let after = record();
    let _ = (child.kill(), child.wait(), fs::remove_file(&map));
    let hot = |folded: &Folded| folded.weight(|row| row.mentions("Nested")) as f64 / folded.sampled().max(1) as f64;
    println!("{:.3} of the stacks have Java's names before, {:.3} after", hot(&before.folded), hot(&after.folded));
    assert_eq!(hot(&before.folded), 0.0, "{}", before.folded.counterexamples(|_| false));
    assert!(hot(&after.folded) >= 0.8, "{}", after.folded.counterexamples(|_| false));
}
