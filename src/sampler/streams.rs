//! Sampling a clock so that it cannot lock onto the program's own beat.
//!
//! One timer of a fixed period, run against a loop of nearly that period, samples the same place of the loop for seconds.
//! So each CPU has several timers, each so much slower that together they give the rate that was asked for, with
//! different periods and phases. A loop can be in step with one of them, but hardly with two:
//!
//! ```text
//! asked     |----|----|----|----|----|----|----|----|
//! stream 0  |-------------------|-------------------|
//! stream 1      |-----------------|-----------------|
//! stream 2            |---------------|---------------|
//! ```
//! Changing the period while the timer runs would do it with one, but `PERF_EVENT_IOC_PERIOD` restarts the running
//! period and loses samples.

use std::time::Duration;

/// Most timers per CPU. Simulated on a loop of 10 ms at 99 to 101 Hz for 2.5 s, a share that is off by more than 4 sigma
/// came out in 28 % of the runs with one timer (period random within 1 %), 1 % with four, 0.2 % with eight.
const MOST: u64 = 8;
/// How far periods lie from their mean, as a share of it.
const SPREAD: f64 = 0.1;
/// Longest period of a stream: a recording must be longer than that to be sampled by all.
const LONGEST_NS: f64 = 82e6;

/// The timers of one CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Streams {
    /// Period in nanoseconds, and when to start it after the others' common start.
    pub timers: Vec<(u64, Duration)>,
}

impl Streams {
    /// How many timers a CPU has for `rate` samples a second.
    pub fn count_for(rate: f64) -> u64 {
        ((rate * LONGEST_NS / 1e9) as u64).clamp(1, MOST)
    }

    /// Timers that together fire `rate` times a second; `random` gives numbers in 0..1.
    pub fn new(rate: f64, random: &mut impl FnMut() -> f64) -> Streams {
        let count = Streams::count_for(rate);
        let mean = count as f64 * 1e9 / rate;
        // One part of the spread for each, so that no two are alike.
        let stretch: Vec<f64> =
            (0..count).map(|stream| 1.0 + SPREAD * (2.0 * (stream as f64 + random()) / count as f64 - 1.0)).collect();
        // The sum of the rates is to be as asked, whatever was drawn.
        let sum: f64 = stretch.iter().map(|factor| 1.0 / factor).sum::<f64>() / count as f64;
        let first = random();
        let timers = stretch
            .iter()
            .enumerate()
            .map(|(stream, factor)| {
                let period = mean * factor * sum;
                let phase = (first + stream as f64 / count as f64).fract();
                (period.round().max(1.0) as u64, Duration::from_nanos((phase * mean) as u64))
            })
            .collect();
        Streams { timers }
    }

    /// Two timers of nearly the period asked for, of which one runs at a time: for events on tasks.
    ///
    /// Several slower ones would miss more of short tasks, as each task begins with a whole period of each. Taking turns
    /// loses nothing: a timer that is stopped keeps what is left of its period. The two differ by 8 to 14 %, so that a
    /// loop can be in step with one of them only, and each turn begins at another place of the loop.
    pub fn taking_turns(rate: f64, random: &mut impl FnMut() -> f64) -> Streams {
        let spread = 0.04 + 0.03 * random();
        // The rates have to average to what was asked.
        let mean = 1e9 / rate / (1.0 - spread * spread);
        let period = |factor: f64| ((mean * factor).round().max(1.0) as u64, Duration::ZERO);
        let mut timers = vec![period(1.0 + spread), period(1.0 - spread)];
        if random() < 0.5 {
            timers.reverse();
        }
        Streams { timers }
    }
}

/// Numbers in 0..1, other ones in each recording.
pub(super) fn random_numbers() -> impl FnMut() -> f64 {
    let mut seed = [0; 8];
    // Without randomness from the kernel, the time of day is random enough for a phase.
    if rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::NONBLOCK).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        seed = now.as_nanos().to_ne_bytes()[..8].try_into().expect("eight bytes");
    }
    let mut state = u64::from_ne_bytes(seed) | 1;
    // xorshift64* (Marsaglia 2003, Vigna 2016).
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pseudo_random() -> impl FnMut() -> f64 {
        let mut state = 0x1234_5678_9abc_def0u64;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    #[test]
    fn rates_add_up_to_what_was_asked() {
        let mut random = pseudo_random();
        for rate in [1.0, 49.0, 99.0, 999.0, 4999.0, 49_999.0] {
            let streams = Streams::new(rate, &mut random);
            let sum: f64 = streams.timers.iter().map(|(period, _)| 1e9 / *period as f64).sum();
            assert!((sum / rate - 1.0).abs() < 1e-3, "{rate}: {sum}");
        }
    }

    #[test]
    fn turns_average_to_what_was_asked() {
        let mut random = pseudo_random();
        for rate in [49.0, 99.0, 999.0, 4999.0] {
            let streams = Streams::taking_turns(rate, &mut random);
            let mean: f64 = streams.timers.iter().map(|(period, _)| 1e9 / *period as f64).sum::<f64>() / 2.0;
            assert!((mean / rate - 1.0).abs() < 1e-3, "{rate}: {mean}");
            let [first, second] = [streams.timers[0].0 as f64, streams.timers[1].0 as f64];
            assert!((first / second - 1.0).abs() > 0.07);
        }
    }

    #[test]
    fn timers_differ_and_none_is_slow() {
        let mut random = pseudo_random();
        let streams = Streams::new(99.0, &mut random);
        assert_eq!(streams.timers.len(), 8);
        let mut periods: Vec<u64> = streams.timers.iter().map(|(period, _)| *period).collect();
        periods.dedup();
        assert_eq!(periods.len(), 8);
        assert!(streams.timers.iter().all(|(period, start)| *period < 95_000_000 && start.as_millis() < 95));
        assert_eq!(Streams::new(10.0, &mut random).timers.len(), 1);
    }
}
