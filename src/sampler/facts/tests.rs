use super::*;

/// Facts of a made-up machine: a plain user, or root at level -1.
pub(crate) fn facts(paranoid: i32) -> Facts {
    let root = tree(&[
        ("proc/sys/kernel/perf_event_paranoid", &format!("{paranoid}\n")),
        ("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"),
        ("proc/self/status", STATUS),
    ]);
    Facts::read_from(&roots(&root))
}

pub(crate) const STATUS: &str = "Name:\tprofile\nState:\tR (running)\nPid:\t42\nUid:\t1000\t1000\t1000\t1000\n\
                                 CapEff:\t0000000000000000\nSeccomp:\t0\n";

pub(crate) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

pub(crate) fn roots(root: &tempfile::TempDir) -> Roots {
    Roots { proc: root.path().join("proc"), sysfs: root.path().join("sys") }
}

#[test]
fn facts_are_read_from_the_files() {
    let root = tree(&[
        ("proc/self/status", "Pid:\t7\nUid:\t1000\t0\t0\t0\nCapEff:\t0000004000000000\nSeccomp:\t2\n"),
        ("proc/self/uid_map", "         0          0 4294967295\n"),
        (
            "proc/self/limits",
            "Max locked memory         8388608    unlimited   bytes\nMax open files   20   30   files\n",
        ),
        ("proc/self/mountinfo", "1 2 0:3 / /proc rw - proc proc rw,gid=5,hidepid=2\n3 4 0:5 / /x rw - tmpfs t rw\n"),
        ("proc/sys/kernel/perf_event_paranoid", "-1\n"),
        ("proc/sys/kernel/osrelease", "5.10.0-28-amd64\n"),
        ("proc/kallsyms", "0000000000000000 A fixed_percpu_data\nffffffff81000000 T _text\n"),
        ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
        ("sys/kernel/btf/vmlinux", ""),
    ]);
    let facts = Facts::read_from(&roots(&root));
    assert_eq!((facts.paranoid, facts.user, facts.own_process), (Some(-1), 0, 7));
    assert!(facts.can(Capability::Perfmon) && !facts.can(Capability::Bpf) && facts.seccomp_filter);
    assert_eq!((facts.hidepid.as_deref(), facts.lockdown.as_deref()), (Some("2"), Some("integrity")));
    assert_eq!((facts.locked_memory, facts.open_files), (Some(8_388_608), Some((20, 30))));
    assert!(facts.kernel_names && facts.btf && facts.kernel == (5, 10));
}

#[test]
fn a_machine_that_says_nothing_gives_no_facts() {
    let root =
        tree(&[("proc/self/status", "\u{0}junk\nUid:\tx\nCapEff:\tzz\n"), ("proc/self/limits", "Max open files\n")]);
    let facts = Facts::read_from(&roots(&root));
    assert_eq!((facts.paranoid, facts.capabilities, facts.open_files, facts.kernel), (None, 0, None, (0, 0)));
    assert!(!facts.kernel_names && !facts.btf && facts.hidepid.is_none());
}

#[test]
fn root_of_a_user_namespace_has_no_capability() {
    let root = tree(&[("proc/self/status", "CapEff:\t000001ffffffffff\n"), ("proc/self/uid_map", "0 1000 1\n")]);
    assert!(!Facts::read_from(&roots(&root)).can(Capability::Perfmon));
}

#[test]
fn hidden_addresses_are_no_names() {
    let root = tree(&[("proc/kallsyms", "0000000000000000 T _stext\n0000000000000000 t x\n")]);
    assert!(!Facts::read_from(&roots(&root)).kernel_names);
}
