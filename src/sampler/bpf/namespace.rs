//! Which pid namespace we are in, and how deep it is: ids are to be those of this one.
//!
//! The kernel keeps the ids of a task by the level of each namespace that it has one in (`struct pid`, `include/linux/pid.h`), and
//! tells nobody what level is ours. It is found by clone3(2): that refuses a list of wanted ids that is longer than namespaces are
//! nested with EINVAL, and an id that is taken with EEXIST (or EPERM, for whoever may not choose ids). Process 1 is there in each.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::fs::MetadataExt;

/// `PROC_PID_INIT_INO`, include/linux/proc_ns.h.
const OF_MACHINE: u64 = 0xEFFF_FFFC;
/// `MAX_PID_NS_LEVEL`, include/linux/pid_namespace.h.
const MOST_LEVELS: usize = 32;

/// A pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PidNamespace {
    /// Its inode number.
    pub inode: u32,
    /// How deep it is; that of the machine is at 0.
    pub level: u32,
}

impl PidNamespace {
    /// Ours; nothing if nobody tells how deep it is.
    pub fn own() -> Option<PidNamespace> {
        let inode = std::fs::metadata("/proc/self/ns/pid").map_or(OF_MACHINE, |file| file.ino());
        let level = if inode == OF_MACHINE { 0 } else { level()? };
        Some(PidNamespace { inode: inode as u32, level })
    }
}

/// The level of our pid namespace, of one that is not the machine's.
fn level() -> Option<u32> {
    // Children are in another one after unshare(2): of that one it would be the level.
    let inode = |name: &str| std::fs::metadata(format!("/proc/self/ns/{name}")).ok().map(|file| file.ino());
    if inode("pid") != inode("pid_for_children") {
        return None;
    }
    // One id for each namespace from ours to the machine's: so many are as many as there are levels below ours, and ours.
    let fits = |ids: usize| match clone_with_taken_ids(ids).raw_os_error() {
        Some(libc::EEXIST | libc::EPERM) => Some(true),
        Some(libc::EINVAL) => Some(false),
        // A filter of system calls, or no such call.
        _ => None,
    };
    let mut ids = 1;
    // Where the first is refused the call is not what it is thought to be.
    if !fits(ids)? {
        return None;
    }
    while ids < MOST_LEVELS && fits(ids + 1)? {
        ids += 1;
    }
    // A filter may refuse all of them by EPERM.
    (2..MOST_LEVELS).contains(&ids).then_some(ids as u32 - 1)
}

/// Asks for a child whose id is 1 in our pid namespace and in so many less one around it; says how that is refused.
fn clone_with_taken_ids(count: usize) -> io::Error {
    /// `struct clone_args` up to `set_tid_size`, `include/uapi/linux/sched.h`.
    #[repr(C)]
    #[derive(Default)]
    struct CloneArgs {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
    }
    let ids = [1i32; MOST_LEVELS];
    let args = CloneArgs {
        exit_signal: libc::SIGCHLD as u64,
        set_tid: ids.as_ptr() as u64,
        set_tid_size: count.min(MOST_LEVELS) as u64,
        ..CloneArgs::default()
    };
    // SAFETY: the arguments are as long as is said, and point to as many ids as they say. No child can come of it, as its id is taken
    // by the process that every task of this namespace ends with; one that did would end at once, without running any code but this.
    unsafe {
        match libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) {
            0 => loop {
                libc::syscall(libc::SYS_exit_group, 0);
            },
            child if child > 0 => {
                libc::waitpid(child as libc::pid_t, std::ptr::null_mut(), 0);
                io::Error::other("there was no process 1")
            }
            _ => io::Error::last_os_error(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Not a test by itself: what the other one runs in namespaces.
    #[test]
    fn tell_the_level() {
        if std::env::var_os("FLAMEPROFILE_TELLS_LEVEL").is_some() {
            println!("\nLEVEL {:?}", PidNamespace::own().map(|own| own.level));
        }
    }

    #[test]
    fn each_namespace_is_one_deeper() {
        let Some(own) = PidNamespace::own() else {
            return crate::skip::here("a filter of system calls hides pid namespaces");
        };
        let program = std::env::current_exe().expect("this test");
        let mut words: Vec<&str> = Vec::new();
        for deeper in 1..4 {
            words.extend(["unshare", "--pid", "--fork", "--mount-proc"]);
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).arg(&program).args([
                "--nocapture",
                "--exact",
                "sampler::bpf::namespace::tests::tell_the_level",
            ]);
            let output = command.env("FLAMEPROFILE_TELLS_LEVEL", "1").output();
            let Some(output) = output.ok().filter(|output| output.status.success()) else {
                return crate::skip::here("pid namespaces cannot be made here");
            };
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains(&format!("LEVEL Some({})", own.level + deeper)), "{text}");
        }
    }
}
