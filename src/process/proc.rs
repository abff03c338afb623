//! Readers of `/proc`: what runs already when a recording begins. See `proc(5)`.

use std::fs;
use std::io::{self, Read};

/// A line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapsLine {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Whether code may run there.
    pub executable: bool,
    /// What may be done there: `PROT_READ` 1, `PROT_WRITE` 2, `PROT_EXEC` 4.
    pub protection: u32,
    /// Whether what is written there is seen by others.
    pub shared: bool,
    /// File offset of the first address.
    pub offset: u64,
    /// Major and minor number of the device.
    pub device: (u32, u32),
    /// Inode; 0 if no file backs it.
    pub inode: u64,
    /// The path, or `[stack]` and the like, or nothing.
    pub path: Vec<u8>,
}

/// What `/proc/PID/status` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The process that the thread is of.
    pub tgid: u32,
    /// Its parent.
    pub parent: u32,
    /// `R`, `S`, `Z` ...
    pub state: char,
    /// The effective user.
    pub uid: u32,
}

impl Status {
    /// Whether it is a zombie, or is being taken away.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// The executable mappings of a process.
pub fn maps(pid: u32) -> io::Result<Vec<MapsLine>> {
    let mut lines = all_maps(pid)?;
    lines.retain(|line| line.executable);
    Ok(lines)
}

/// All mappings of a process.
pub fn all_maps(pid: u32) -> io::Result<Vec<MapsLine>> {
    let mut text = fs::read(format!("/proc/{pid}/maps"))?;
    if text.is_empty() {
        // The first thread has ended and others run on, or it is one of the kernel's.
        text = of_other_thread(pid, "maps").unwrap_or_default();
    }
    Ok(parse_maps(&text).collect())
}

/// A file of `/proc/PID/task/TID` of a thread that is not the first, if there is one: that one has no memory once it has ended.
fn of_other_thread(pid: u32, name: &str) -> Option<Vec<u8>> {
    let mut others = threads(pid).ok()?.into_iter().filter(|tid| *tid != pid);
    others.find_map(|tid| fs::read(format!("/proc/{pid}/task/{tid}/{name}")).ok().filter(|text| !text.is_empty()))
}

/// The memory of a process, for reading (`proc_pid_mem(5)`).
pub fn open_memory(pid: u32) -> io::Result<fs::File> {
    let others = || threads(pid).ok().into_iter().flatten().filter(|tid| *tid != pid);
    match has_ended(pid).then(others).into_iter().flatten().next() {
        Some(tid) => fs::File::open(format!("/proc/{pid}/task/{tid}/mem")),
        None => fs::File::open(format!("/proc/{pid}/mem")),
    }
}

/// Whether a thread has ended, and its number is not free yet; of one that is gone, no.
pub fn has_ended(tid: u32) -> bool {
    status(tid).is_ok_and(|status| status.has_ended())
}

/// The threads of a process that run: the first one may have ended, and is there as long as others are.
pub fn running_threads(pid: u32) -> Vec<u32> {
    let mut ids = threads(pid).unwrap_or_default();
    if ids.len() > 1 && has_ended(pid) {
        ids.retain(|tid| *tid != pid);
    }
    ids
}

/// Executable pages of a process (`mm->exec_vm`): what `status` tells of the program and of libraries is the whole of it (`task_mem`,
/// fs/proc/task_mmu.c).
pub fn executable_pages(pid: u32) -> Option<u64> {
    let pages = |status: &[u8]| {
        let status = String::from_utf8_lossy(status);
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        let page = rustix::param::page_size() as u64 / 1024;
        Some((kib("VmExe:")? + kib("VmLib:")?) / page)
    };
    let first = fs::read(format!("/proc/{pid}/status")).ok()?;
    pages(&first).or_else(|| pages(&of_other_thread(pid, "status")?))
}

/// Reads the text of a `maps` file; lines that are not as they should be are passed over.
pub fn parse_maps(text: &[u8]) -> impl Iterator<Item = MapsLine> + '_ {
    text.split(|byte| *byte == b'\n').filter_map(maps_line)
}

fn maps_line(line: &[u8]) -> Option<MapsLine> {
    let mut rest = line;
    let mut word = || {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after.trim_ascii_start();
        std::str::from_utf8(word).ok()
    };
    let (range, permissions, offset, device, inode) = (word()?, word()?, word()?, word()?, word()?);
    let (start, end) = range.split_once('-')?;
    let (major, minor) = device.split_once(':')?;
    let letters = permissions.as_bytes();
    let bit = |at: usize, letter: u8, bit: u32| if letters.get(at) == Some(&letter) { bit } else { 0 };
    let protection = bit(0, b'r', 1) | bit(1, b'w', 2) | bit(2, b'x', 4);
    Some(MapsLine {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        executable: protection & 4 != 0,
        protection,
        shared: letters.get(3) == Some(&b's'),
        offset: u64::from_str_radix(offset, 16).ok()?,
        device: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?),
        inode: inode.parse().ok()?,
        path: unescape(rest),
    })
}

/// `maps` writes a newline in a path as `\012`.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\\012") {
            out.push(b'\n');
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

/// The thread ids of a process.
pub fn threads(pid: u32) -> io::Result<Vec<u32>> {
    numbered_entries(&format!("/proc/{pid}/task"))
}

/// The ids of all processes that this one can see.
pub fn processes() -> io::Result<Vec<u32>> {
    numbered_entries("/proc")
}

fn numbered_entries(directory: &str) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        // An entry that goes while we read is no error.
        if let Ok(entry) = entry
            && let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok())
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The name of a thread (of the process's main thread if `tid` is its pid).
pub fn comm(pid: u32, tid: u32) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(format!("/proc/{pid}/task/{tid}/comm"))?.take(256).read_to_end(&mut bytes)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The status of a process or thread.
pub fn status(id: u32) -> io::Result<Status> {
    let text = fs::read(format!("/proc/{id}/status"))?;
    let mut status = Status::default();
    for line in String::from_utf8_lossy(&text).lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let mut words = value.split_whitespace();
        let mut number = |skip: usize| words.nth(skip).and_then(|word| word.parse().ok()).unwrap_or(0);
        match key {
            "Tgid" => status.tgid = number(0),
            "PPid" => status.parent = number(0),
            "Uid" => status.uid = number(1),
            "State" => status.state = value.trim_start().chars().next().unwrap_or('?'),
            _ => {}
        }
    }
    Ok(status)
}

/// The cgroups that a thread is in, as `/proc` names them (cgroups(7)); nothing if it has ended.
pub fn cgroups(pid: u32, tid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/task/{tid}/cgroup")).ok()
}

/// How long a thread has been on the CPU, in nanoseconds, as the scheduler knew at its last tick (`/proc/PID/schedstat`,
/// `Documentation/scheduler/sched-stats.rst`); nothing of one that is gone.
pub fn time_on_cpu(pid: u32, tid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Whether a process is one of the kernel's own threads; one that is gone is none.
///
/// Field 9 of `/proc/PID/stat` has `PF_KTHREAD` (`include/linux/sched.h`).
pub fn is_of_kernel(pid: u32) -> bool {
    const PF_KTHREAD: u64 = 0x0020_0000;
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let flags = text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & PF_KTHREAD != 0)
}

/// A process's processes: `roots` and all that descend from them, as they are now.
pub fn descendants(roots: &[u32]) -> Vec<u32> {
    let mut children: std::collections::BTreeMap<u32, Vec<u32>> = std::collections::BTreeMap::new();
    for pid in processes().unwrap_or_default() {
        if let Ok(status) = status(pid) {
            children.entry(status.parent).or_default().push(pid);
        }
    }
    let mut found: Vec<u32> = roots.to_vec();
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        next += 1;
        for child in children.get(pid).cloned().unwrap_or_default() {
            if !found.contains(&child) {
                found.push(child);
            }
        }
    }
    found
}

/// CPU time that a process and its waited-for children used in user mode and in the kernel, in clock ticks.
///
/// See `/proc/PID/stat` in `proc(5)`: utime, stime, cutime, cstime.
pub fn cpu_ticks(pid: u32) -> io::Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold spaces and parentheses: the fields begin behind its last ')'.
    let fields: Vec<u64> = text
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .skip(1)
        .map(|word| word.parse().unwrap_or(0))
        .collect();
    let field = |number: usize| fields.get(number - 4).copied().unwrap_or(0);
    Ok((field(14) + field(16), field(15) + field(17)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_lines_are_read() {
        let text = b"55d0c0a00000-55d0c0a21000 r-xp 00002000 fe:01 1234                       /usr/bin/a b\n\
            7ffd00000000-7ffd00001000 rw-p 00000000 00:00 0 \n\
            junk\n\
            7f0000000000-7f0000001000 r-xp 00000000 00:00 0                          [vdso]\n";
        let lines: Vec<_> = parse_maps(text).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[0],
            MapsLine {
                start: 0x55d0_c0a0_0000,
                end: 0x55d0_c0a2_1000,
                executable: true,
                protection: 5,
                shared: false,
                offset: 0x2000,
                device: (0xfe, 1),
                inode: 1234,
                path: b"/usr/bin/a b".to_vec(),
            }
        );
        assert_eq!((lines[1].executable, lines[1].path.as_slice()), (false, b"".as_slice()));
        assert_eq!(lines[2].path, b"[vdso]");
    }

    #[test]
    fn own_process_is_readable() {
        let pid = std::process::id();
        assert!(maps(pid).expect("maps").iter().any(|line| line.path.starts_with(b"/")));
        assert!(threads(pid).expect("threads").contains(&pid));
        assert_eq!(status(pid).expect("status").tgid, pid);
        assert!(!comm(pid, pid).expect("comm").is_empty());
        assert!(cpu_ticks(pid).is_ok());
    }
}
