//! The figures that `profile` promises, held by counts and standard deviations on programs that know their own truth.
//!
//! Each runs alone: a second busy test would not make a figure wrong, but it would make it slow, and the storms crowded.
//! A figure with a limit of 3.3 sigma fails by chance once in 1,000 times, and there are about 100 of them. So one that
//! fails is measured a second time: chance does not strike twice, a bias does. Both results are printed.

mod common;

use std::sync::Mutex;

use common::account::{self, Account};
use common::figure::{self, Figure, Ordinary, Storm};

static ALONE: Mutex<()> = Mutex::new(());

/// Measures, prints, and fails if a figure misses its goal twice.
fn hold(measure: impl Fn() -> Vec<Figure>) {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let first = print(measure());
    if first.is_empty() {
        return;
    }
    println!("once more:");
    let second = print(measure());
    let both: Vec<_> = second.iter().filter(|figure| first.iter().any(|before| before.name == figure.name)).collect();
    assert!(both.is_empty(), "missed twice:\n{}", both.iter().map(|figure| figure.line() + "\n").collect::<String>());
}

/// Prints figures and returns those that miss.
fn print(figures: Vec<Figure>) -> Vec<Figure> {
    // Below `test NAME ...`, if there is no capture.
    println!();
    for figure in &figures {
        println!("{}", figure.line());
    }
    figures.into_iter().filter(|figure| !figure.holds).collect()
}

/// A test that holds a figure as whoever runs the tests, sampled per CPU, and as a plain user, sampled per task.
macro_rules! figures {
    ($($name:ident: $measure:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn per_cpu() {
                need!(account::is_root(), concat!(stringify!($name), "::per_cpu"), "needs root: a plain user cannot sample per CPU");
                let measure: fn(Account) -> Vec<Figure> = $measure;
                hold(|| measure(Account::Own));
            }

            #[test]
            fn per_task() {
                let measure: fn(Account) -> Vec<Figure> = $measure;
                hold(|| measure(Account::Plain));
            }
        }
    )*};
}

figures! {
    shares_1_thread: |account| figure::shares(account, 1);
    shares_8_threads: |account| figure::shares(account, 8);
    shares_200_threads: |account| figure::shares(account, 200);
    rate_99: |account| figure::rate(account, 99);
    rate_999: |account| figure::rate(account, 999);
    rate_4999: |account| figure::rate(account, 4999);
    main_reached_c: |account| figure::main_reached(account, Ordinary::C);
    main_reached_rust: |account| figure::main_reached(account, Ordinary::Rust);
    main_reached_libc: |account| figure::main_reached(account, Ordinary::Libc);
    lockstep_99: |account| figure::lockstep(account, 99);
    lockstep_100: |account| figure::lockstep(account, 100);
    lockstep_101: |account| figure::lockstep(account, 101);
    storm_threads_99: |account| figure::storm(account, Storm::Threads, 99);
    storm_threads_999: |account| figure::storm(account, Storm::Threads, 999);
    storm_forks_99: |account| figure::storm(account, Storm::Forks, 99);
    storm_forks_999: |account| figure::storm(account, Storm::Forks, 999);
    storm_execs_99: |account| figure::storm(account, Storm::Execs, 99);
    storm_execs_999: |account| figure::storm(account, Storm::Execs, 999);
}
