//! Iterators inlined many deep, a generic function, a closure, and a trait object.
use std::collections::HashMap;

trait Weigh {
    fn weigh(&self) -> u64;
}

struct Word(String);

impl Weigh for Word {
    #[inline(never)]
    fn weigh(&self) -> u64 {
        self.0.bytes().map(u64::from).filter(|byte| byte % 3 != 0).sum()
    }
}

#[inline(never)]
fn largest<T: Ord + Copy>(values: &[T]) -> Option<T> {
    values.iter().copied().max()
}

fn main() {
    let count = std::env::args().count() * 500;
    let words: Vec<Box<dyn Weigh>> = (0..count).map(|n| Box::new(Word(format!("word {n}"))) as Box<dyn Weigh>).collect();
    let mut weights: Vec<u64> = words.iter().map(|word| word.weigh()).collect();
    weights.sort_unstable_by(|a, b| b.cmp(a));
    let mut seen: HashMap<u64, usize> = HashMap::new();
    for weight in &weights {
        *seen.entry(*weight).or_default() += 1;
    }
    println!("{:?} {}", largest(&weights), seen.len());
}
