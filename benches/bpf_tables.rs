//! How long it takes to make the tables by which the kernel unwinds, and how much memory they take there.
//!
//! `cargo bench --bench bpf_tables`. Five large programs and libraries of this machine: CPython 3.11, Node, cargo, libLLVM (the largest
//! here) and rustc's own library. Each is compiled from a map nobody has looked into (the file is in the page cache), into one pool
//! of rules; CPU time of the one thread, the middle of the rounds. The peer is what other profilers keep: 8 bytes a row.
//!
//! `PROFILE_BPF_TABLES` names files to be compiled instead, separated by colons.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use flameprofile::image::ElfImage;
use flameprofile::unwind::table::{Limits, RulePool, Table};

const ROUNDS: usize = 5;
/// Bytes that the tables of the five take together.
const GOAL_BYTES: usize = 16 << 20;
/// Rows a second, of all together.
const GOAL_RATE: f64 = 3e6;
/// Bytes that others keep of a row: an address and the number of a rule, in an element of a map.
const PEER_ROW: usize = 8;

fn main() {
    let named = env::var_os("PROFILE_BPF_TABLES");
    let files: Vec<PathBuf> = match &named {
        Some(named) => env::split_paths(named).collect(),
        None => {
            let known = [
                ("CPython 3.11", python()),
                ("Node", of_command("node", &["-p", "process.execPath"])),
                ("cargo", of_toolchain("bin", "cargo")),
                ("libLLVM", llvm()),
                ("rustc's library", of_toolchain("lib", "librustc_driver")),
            ];
            let found = known.into_iter().filter_map(|(name, file)| {
                if file.is_none() {
                    println!("SKIPPED bpf_tables, {name}: there is none here");
                }
                file
            });
            found.collect()
        }
    };
    println!("    rows   a row  blocks     bytes      peer  new rules    time     rows/s  file");
    let mut pool = RulePool::default();
    let (mut rows, mut bytes, mut time, mut count) = (0, 0, Duration::ZERO, 0);
    for file in files {
        let known = pool.rules().len();
        let mut times = Vec::new();
        let mut made = None;
        for _ in 0..ROUNDS {
            let Ok(image) = ElfImage::open(&file) else { continue };
            let begin = thread_time();
            let table = Table::compile(&image, &mut pool, Limits::default());
            times.push(thread_time() - begin);
            made = Some(table);
        }
        times.sort();
        let name = file.display();
        let table = match made {
            Some(Ok(table)) => table,
            refused => {
                println!("no table of {name}: {refused:?}");
                continue;
            }
        };
        let its_time = times[times.len() / 2];
        println!(
            "{:8} {:7.2} {:7} {:9} {:9} {:10} {:5.0} ms {:8.2} M  {name}",
            table.rows,
            table.bytes() as f64 / table.rows.max(1) as f64,
            table.blocks.len() / 2048,
            table.bytes(),
            table.rows * PEER_ROW,
            pool.rules().len() - known,
            its_time.as_secs_f64() * 1e3,
            table.rows as f64 / its_time.as_secs_f64() / 1e6,
        );
        if table.pages_left_out > 0 {
            println!("         {} pages have more rows than fit", table.pages_left_out);
        }
        (rows, bytes, time, count) = (rows + table.rows, bytes + table.bytes(), time + its_time, count + 1);
    }
    if count == 0 {
        return;
    }
    let verdict = |met: bool| if met { "ok  " } else { "MISS" };
    let rate = rows as f64 / time.as_secs_f64();
    let rules = size_of_val(pool.rules());
    println!(
        "{} tables of {count} files and {} rules        goal <= {:.1} MiB measured {:.1} MiB",
        verdict(bytes + rules <= GOAL_BYTES),
        pool.rules().len(),
        GOAL_BYTES as f64 / (1 << 20) as f64,
        (bytes + rules) as f64 / (1 << 20) as f64,
    );
    println!(
        "     the same rows at {PEER_ROW} bytes each                         measured {:.1} MiB",
        (rows * PEER_ROW) as f64 / (1 << 20) as f64
    );
    println!(
        "{} rows a second, one thread              goal >= {:.1} M measured {:.1} M",
        verdict(rate >= GOAL_RATE),
        GOAL_RATE / 1e6,
        rate / 1e6
    );
    if pool.refused() > 0 {
        println!("     {} rows whose rule found no room", pool.refused());
    }
}

/// CPU time of this thread.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The file that a command says that it is.
fn of_command(command: &str, words: &[&str]) -> Option<PathBuf> {
    let output = Command::new(command).args(words).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_file().then_some(path)
}

/// The program, or the library that its code is in.
fn python() -> Option<PathBuf> {
    const LIBRARY: &str = "import sys,sysconfig;g=sysconfig.get_config_var;\
                           print(g('LIBDIR')+'/'+g('LDLIBRARY') if g('Py_ENABLE_SHARED') else sys.executable)";
    let shared = of_command("python3.11", &["-c", LIBRARY]);
    shared
        .and_then(|file| fs::canonicalize(file).ok())
        .or_else(|| of_command("python3.11", &["-c", "import sys;print(sys.executable)"]))
}

/// The largest of the files of this name in a folder of rustc's.
fn of_toolchain(folder: &str, name: &str) -> Option<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    largest(&[Path::new(String::from_utf8(output.stdout).ok()?.trim()).join(folder)], name)
}

fn llvm() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"].map(PathBuf::from);
    largest(&folders, "libLLVM")
}

fn largest(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(name)).map(|entry| entry.path());
    let files = named.filter_map(|path| Some((fs::metadata(&path).ok().filter(fs::Metadata::is_file)?.len(), path)));
    files.max().map(|(_, path)| path)
}
