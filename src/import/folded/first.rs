//! Whether folded stacks begin with processes.

use memchr::memrchr;

use super::{first_name, weight};

/// What the first name of a stack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import) enum First {
    /// The process: `comm`, `comm-PID` or `comm-PID/TID` (`stackcollapse-perf.pl --pid`, `--tid`).
    Process,
    /// A function as any other.
    Function,
}

/// The kernel keeps so many bytes of a name (`TASK_COMM_LEN` less the zero behind it, `proc_pid_comm(5)`).
const LONGEST_COMM: usize = 15;
/// Of a thread of its work queues it says what it works on, too (`wq_worker_comm` in kernel/workqueue.c, 64 bytes with the zero).
const LONGEST_WORKER: usize = 63;
/// Functions that programs and threads begin with; `main` may be a program too.
const OUTERMOST: [&[u8]; 9] =
    [b"_main", b"_start", b"start", b"start_thread", b"thread_start", b"clone", b"clone3", b"__clone", b"__clone3"];

impl First {
    /// What it is in text that begins with `head`. All of the first lines must be able to be processes, and one must be no function for all
    /// that can be told: a process that is shown as a function is still there, a function that is taken for a process would be in no table
    /// of functions, and in no other format. That a stack is cut stands only behind a process.
    pub fn of(head: &[u8]) -> First {
        let end = head.iter().rposition(|byte| *byte == b'\n').unwrap_or(head.len());
        let lines = head[..end].split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
        let (mut can_all_be, mut is_any_likely) = (true, false);
        for (name, rest) in lines.filter_map(|line| weight(line).map(|(path, _)| first_name(path))) {
            if rest.is_some_and(|rest| rest.starts_with(b"[truncated: ")) {
                return First::Process;
            }
            can_all_be &= can_be_process(name);
            is_any_likely |= !is_like_function(name);
        }
        match can_all_be && is_any_likely {
            true => First::Process,
            false => First::Function,
        }
    }
}

fn can_be_process(name: &[u8]) -> bool {
    let is_id = |text: &[u8]| {
        !text.is_empty() && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'/' || *byte == b'?')
    };
    let comm = match memrchr(b'-', name) {
        Some(at) if is_id(&name[at + 1..]) => &name[..at],
        _ => name,
    };
    let longest = if comm.starts_with(b"kworker/") { LONGEST_WORKER } else { LONGEST_COMM };
    let is_marked = [&b"_[k]"[..], b"_[i]", b"_[j]", b"_[w]"].iter().any(|suffix| comm.ends_with(suffix));
    comm.len() <= longest && !OUTERMOST.contains(&comm) && !is_marked
}

/// Whether it is rather a function: threads of Rust's tests are named as these, and a program may be called `main`.
fn is_like_function(name: &[u8]) -> bool {
    name == b"main" || memchr::memmem::find(name, b"::").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_process_is_a_function() {
        for (text, expected) in [
            ("prog;main 1\nother;main 2\n", First::Process),
            ("a_name_of_15_byt-7;main 1\n", First::Function),
            ("a_name_of_15_by-12345;main 1\nb-?/7;f 2\nkworker/0:1-7/8;f 2\n", First::Process),
            ("main;work 1\nmain;rest 2\n", First::Function),
            ("main;work 1\nprog;rest 2\n", First::Process),
            ("main;[truncated: too deep];work 1\n", First::Process),
            ("kworker/u16:3-events_unbound;f 1\ntests::x;g 2\n", First::Process),
            ("prog;main 1\nstart_thread;work 2\n", First::Function),
            ("a::main;work 1\n", First::Function),
            ("java/lang/Thread.run;work 1\n", First::Function),
            ("run_[j];work 1\n", First::Function),
            ("# a comment\nprog;main;[truncated: too deep] 1 2\n", First::Process),
        ] {
            assert_eq!(First::of(text.as_bytes()), expected, "{text}");
        }
    }
}
