//! `rust_prog SECONDS`: an ordinary release build with what makes Rust stacks hard to read: a generic function with two
//! instances, a function that is always inlined, a closure passed through a trait object, and an iterator chain.
//! It works for SECONDS by the wall clock and prints nothing.

use std::hint::black_box;
use std::time::{Duration, Instant};

trait Mixer {
    fn mix(&self, x: u64) -> u64;
}

struct Multiply(u64);
struct Rotate(u32);

impl Mixer for Multiply {
    fn mix(&self, x: u64) -> u64 {
        turn(x, self.0)
    }
}

impl Mixer for Rotate {
    fn mix(&self, x: u64) -> u64 {
        turn(x.rotate_left(self.0), 29)
    }
}

#[inline(always)]
fn turn(x: u64, addend: u64) -> u64 {
    black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(addend))
}

#[inline(never)]
fn generic_work<M: Mixer>(mixer: &M, turns: u64, mut x: u64) -> u64 {
    for _ in 0..turns {
        x = mixer.mix(x);
    }
    black_box(x)
}

#[inline(never)]
fn closure_work(turns: u64, step: &dyn Fn(u64) -> u64) -> u64 {
    let x = (0..turns).fold(1, |x, _| step(x));
    black_box(x)
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1.0);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut x = 1;
    while Instant::now() < until {
        x = generic_work(&Multiply(31), 100_000, x);
        x = generic_work(&Rotate(7), 100_000, x);
        let addend = x;
        x = closure_work(100_000, &|y| turn(y, addend));
    }
    black_box(x);
}
