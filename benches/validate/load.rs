//! A load beside the programs: a process for each of two CPUs that works and rests for random times.

use std::io::Read;
use std::process::{Child, Command, Stdio, exit};
use std::time::{Duration, Instant};
use std::{env, hint, thread};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::dice::Dice;

/// Processes that are ended when it is dropped.
#[derive(Debug)]
pub struct Load(Vec<Child>);

impl Load {
    /// Begins it.
    pub fn begin() -> Load {
        let own = env::current_exe().expect("a program knows its file");
        let start = |cpu: usize| {
            let mut command = Command::new(&own);
            command.args(["burn", &cpu.to_string()]).stdin(Stdio::piped());
            command.spawn().expect("the load can be started")
        };
        Load((0..2).map(start).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What such a process does. It ends when whoever started it has: its standard input does then.
pub fn burn(cpu: usize) -> ! {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    // Where there is one CPU only, both are on it.
    let _ = sched_setaffinity(None::<Pid>, &cpus);
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        exit(0);
    });
    let mut dice = Dice::new(u64::from(std::process::id()), "burn");
    // More than the second-level cache, so that it drives out what the program has there.
    let mut memory = vec![1u64; 1 << 20];
    loop {
        let end = Instant::now() + time(&mut dice);
        while Instant::now() < end {
            for _ in 0..1000 {
                let at = dice.below(memory.len());
                memory[at] = memory[at].wrapping_mul(31) ^ dice.draw();
            }
            hint::black_box(&memory);
        }
        thread::sleep(time(&mut dice));
    }
}

/// Exponential with a mean of 60 ms, cut at 300.
fn time(dice: &mut Dice) -> Duration {
    Duration::from_secs_f64((-0.06 * (1.0 - dice.share()).ln()).min(0.3))
}
