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
