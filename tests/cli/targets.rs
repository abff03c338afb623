//! Which tasks are recorded, and whether they keep their names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::account::{self, Account};
use crate::common::programs;
use crate::common::run::{Running, Target, record, text, wait_until};
use crate::need;

const BOTH: [Account; 2] = [Account::Own, Account::Plain];

#[test]
fn several_processes_and_no_others() {
    for account in BOTH {
        let one = Target::start_silent(account, &programs::c("busy"), &["1000"]);
        let two = Target::start(account, &programs::c("actor"), &["spin"]);
        let _other = Target::start_silent(account, &programs::c("lockstep"), &["1000"]);
        let (one, two) = (one.pid_text(), two.pid_text());
        let list = format!("{one},{two}");
        for targets in [&["-p", one.as_str(), "-p", two.as_str()][..], &["-p", list.as_str()]] {
            let run = Running::start(account, &[&["-F", "999", "-d", "1"], targets].concat()).finish();
            assert!(
                run.folded.total_of("burn") > 0 && run.folded.total_of("busy_work") > 0,
                "{targets:?}: {:?}",
                run.folded
            );
            assert_eq!(run.folded.total_of("phase_75"), 0, "{targets:?}");
        }
    }
}

#[test]
fn one_thread_of_two() {
    for account in BOTH {
        let pair = Target::start(account, &programs::c("actor"), &["pair"]);
        let [first, second] = pair.numbers()[..] else { panic!("{:?}", pair.greeting) };
        for (thread, seen, unseen) in [(first, "busy_work", "other_work"), (second, "other_work", "busy_work")] {
            let run = Running::start(account, &["-F", "999", "-d", "1", "-t", &thread.to_string()]).finish();
            assert!(run.folded.total_of(seen) > 0, "{account:?}: {:?}", run.folded);
            assert_eq!(run.folded.total_of(unseen), 0, "{account:?}: a thread that was not asked for");
        }
    }
}

#[test]
fn whole_system() {
    need!(account::is_root(), "whole_system", "needs root: a plain user sees only his own processes");
    let _one = Target::start_silent(Account::Own, &programs::c("busy"), &["1000"]);
    let _two = Target::start(Account::Plain, &programs::c("actor"), &["spin"]);
    let run = Running::start(Account::Own, &["-F", "999", "-d", "1", "-a"]).finish();
    assert!(
        run.folded.total_of("burn") > 0 && run.folded.total_of("busy_work") > 0,
        "{}",
        run.folded.counterexamples(|_| false)
    );
}

#[test]
fn one_cpu_of_two() {
    need!(account::is_root(), "one_cpu_of_two", "needs root: sampling per CPU");
    need!(std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1), "one_cpu_of_two", "needs two CPUs");
    // Names of their own: other tests run the same programs at the same time, on any CPU.
    let folder = account::folder();
    let pinned = |cpu: &str| {
        let copy = folder.path().join(format!("pinned-to-{cpu}"));
        fs::copy(programs::c("busy"), &copy).expect("it can be copied");
        Target::start_silent(Account::Own, Path::new("/usr/bin/taskset"), &["-c", cpu, &text(&copy), "1000"])
    };
    let (_zero, _one) = (pinned("0"), pinned("1"));
    let run = Running::start(Account::Own, &["-F", "999", "-d", "1", "-a", "-C", "1"]).finish();
    let of = |name: &str| run.folded.weight(|row| row.frames[0] == name && row.has("burn"));
    assert!(of("pinned-to-1") > 0, "{}", run.folded.counterexamples(|_| false));
    assert_eq!(of("pinned-to-0"), 0, "a CPU that was not asked for");
}

/// A cgroup that is removed at the end, once its processes are gone.
struct Cgroup {
    path: PathBuf,
    name: String,
}

impl Cgroup {
    fn new(mount: &Path) -> std::io::Result<Cgroup> {
        let name = format!("profile-test-{}", std::process::id());
        let path = mount.join(&name);
        fs::create_dir(&path)?;
        Ok(Cgroup { path, name })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its members are killed, but leave a moment later.
        crate::common::run::wait_until("the cgroup is empty", || fs::remove_dir(&self.path).is_ok());
    }
}

/// Where the cgroup v2 hierarchy is mounted.
fn cgroup_mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|words| words[2] == "cgroup2")
        .map(|words| words[1].into())
}

#[test]
fn one_cgroup() {
    let mount = cgroup_mount().filter(|_| account::is_root());
    let Some(mount) = mount else {
        return crate::common::skip::skip("one_cgroup", "needs root and a mounted cgroup v2 hierarchy");
    };
    let cgroup = match Cgroup::new(&mount) {
        Ok(cgroup) => cgroup,
        Err(error) => {
            return crate::common::skip::skip("one_cgroup", &format!("needs a writable cgroup v2 hierarchy: {error}"));
        }
    };
    let inside = Target::start(Account::Own, &programs::c("actor"), &["spin"]);
    let _outside = Target::start_silent(Account::Own, &programs::c("busy"), &["1000"]);
    fs::write(cgroup.path.join("cgroup.procs"), inside.pid_text()).expect("the process can be moved");
    let run = Running::start(Account::Own, &["-F", "999", "-d", "1", "-G", &cgroup.name]).finish();
    assert!(run.folded.total_of("busy_work") > 0, "{}", run.folded.counterexamples(|_| false));
    assert_eq!(run.folded.total_of("burn"), 0, "a process outside of the cgroup");
    drop(inside);
}

#[test]
fn threads_and_children_that_appear_later() {
    for account in BOTH {
        let mut target = Target::start(account, &programs::c("actor"), &["later", "300"]);
        let running = Running::start(account, &["-F", "999", "-p", &target.pid_text()]);
        target.go();
        assert!(target.wait().success());
        let run = running.finish();
        for work in ["child_work", "thread_work"] {
            assert!(
                run.folded.total_of(work) >= 100,
                "{account:?}, {work}:\n{}",
                run.folded.counterexamples(|_| false)
            );
        }
    }
}

#[test]
fn library_that_is_loaded_later() {
    let library = programs::c_with("late_library", &["-shared", "-fPIC"]);
    for account in BOTH {
        let library = text(&account.reachable(&library));
        let mut target = Target::start(account, &programs::c("actor"), &["dlopen", &library, "300"]);
        let running = Running::start(account, &["-F", "999", "-p", &target.pid_text()]);
        target.go();
        assert!(target.wait().success());
        let run = running.finish();
        assert!(run.folded.total_of("late_work") >= 100, "{account:?}:\n{}", run.folded.counterexamples(|_| false));
        assert!(run.folded.total_of("main") >= 100, "{account:?}: through the library to main");
    }
}

#[test]
fn forked_and_executed_programs() {
    for account in BOTH {
        let busy = text(&account.reachable(&programs::c("busy")));
        let run = record(account, &["-F", "999"], &programs::c("actor"), &["fork", "300"]);
        assert!(run.folded.total_of("child_work") >= 100, "{account:?}:\n{}", run.folded.counterexamples(|_| false));
        for act in ["exec", "forkexec"] {
            let run = record(account, &["-F", "999"], &programs::c("actor"), &[act, &busy, "0.3"]);
            assert!(
                run.folded.total_of("burn") >= 100,
                "{account:?} {act}:\n{}",
                run.folded.counterexamples(|_| false)
            );
            let name = run.folded.rows.iter().find(|row| row.has("burn")).map(|row| row.frames[0].clone());
            assert_eq!(name.as_deref(), Some("busy"), "the process has the name of what it executed");
        }
    }
}

#[test]
fn binary_that_was_deleted() {
    for account in BOTH {
        let folder = account::folder();
        let copy = folder.path().join("soon-gone");
        fs::copy(programs::c("actor"), &copy).expect("it can be copied");
        // Reached as it is: a copy of the copy would not be deleted.
        let target = Target::start_command(account.command(&copy).arg("spin"));
        fs::remove_file(&copy).expect("it is ours");
        let run = Running::start(account, &["-F", "999", "-d", "1", "-p", &target.pid_text()]).finish();
        assert!(run.folded.total_of("busy_work") >= 100, "{account:?}:\n{}", run.folded.counterexamples(|_| false));
    }
}

#[test]
fn library_that_is_cut_short_while_it_is_mapped() {
    let folder = account::folder();
    let library = folder.path().join("cut.so");
    fs::copy(programs::c_with("late_library", &["-shared", "-fPIC"]), &library).expect("it can be copied");
    let mut target = Target::start(Account::Own, &programs::c("actor"), &["dlopen", &text(&library), "60000"]);
    let running = Running::start(Account::Own, &["-F", "999", "-p", &target.pid_text()]);
    target.go();
    // In clock ticks, of which a second has 100.
    let used = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.split(' ').nth(13).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0)
    };
    wait_until("the library has worked", || used(target.pid()) >= 30);
    fs::File::options().write(true).open(&library).and_then(|file| file.set_len(0)).expect("it is ours");
    // The target dies of it: SIGBUS. Whoever recorded it has the same file mapped, and does not.
    assert!(!target.wait().success());
    let run = running.finish();
    assert!(run.summary.json()["unnamed"]["file changed"].as_f64() > Some(0.0), "{}", run.summary.json());
    assert!(run.folded.weight(|row| row.mentions("[cut.so+")) >= 100, "{}", run.folded.counterexamples(|_| false));
}

#[test]
fn binary_and_process_that_are_gone() {
    for account in BOTH {
        let folder = account::folder();
        let copy = text(&folder.path().join("soon-gone"));
        let actor = text(&account.reachable(&programs::c("actor")));
        let script = format!("cp '{actor}' '{copy}' && '{copy}' busy 300; rm '{copy}'; '{actor}' busy 1");
        let run = record(account, &["-F", "999"], Path::new("/bin/sh"), &["-c", &script]);
        assert!(!Path::new(&copy).exists());
        let named = run.folded.weight(|row| row.frames[0] == "soon-gone" && row.has("busy_work"));
        assert!(named >= 100, "{account:?}:\n{}", run.folded.counterexamples(|_| false));
    }
}

#[test]
fn program_in_a_container() {
    need!(account::is_root(), "program_in_a_container", "needs root: makes a mount namespace");
    let program = programs::c_with("actor", &["-static"]);
    let folder = account::folder();
    let root = text(folder.path());
    // A root of its own, in which the program's path is one that the host does not have.
    let script = "mount -t tmpfs inside \"$1\" && mkdir -p \"$1/opt/app\" \"$1/outside\" && cp \"$2\" \"$1/opt/app/boxed\" \
        && cd \"$1\" && pivot_root . outside && exec /opt/app/boxed spin";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", &root, &text(&program)]);
    let target = Target::start_command(&mut command);
    assert!(!Path::new("/opt/app/boxed").exists());
    let run = Running::start(Account::Own, &["-F", "999", "-d", "1", "-p", &target.pid_text()]).finish();
    assert!(run.folded.total_of("busy_work") >= 100, "{}", run.folded.counterexamples(|_| false));
}
