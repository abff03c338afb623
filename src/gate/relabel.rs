//! How large the largest t of all rows is if runs are given to the sides otherwise: what chance alone does.
//!
//! If nothing has changed, and runs differ by chance and not by when they were made, the runs could as well have been of the other side: each way
//! to deal them out is as likely as the one that was seen. So the chance that *any* row rises as much is the share of those ways in which
//! the largest t is as large: Westfall and Young 1993, stepping down from the largest row (algorithm 4.1). It holds however rows depend on
//! each other, callers and callees or functions on one machine.
//!
//! All ways are taken, or drawn from all. `profile compare` does not deal runs out in all of them: of two rounds the first has both sides in an
//! order that is drawn, and the second has them the other way round (`session/series.rs`), which are 2^(k/2) ways of C(2k, k). No p
//! among those alone is below 1/16 at k = 8, so they are not asked alone. Where the machine drifts, runs are not alike but for their labels, and
//! the p is no exact one; but what changes steadily over two rounds is on both sides alike as they were dealt. It does not move the difference
//! that was seen, and adds to that of most other ways and to the variance: a p of such a series is too large rather than too small.

use super::draw::Random;

/// All ways to deal runs out are taken up to so many; beyond, [`DRAWN`] are drawn.
const MOST: u64 = 20_000;
const DRAWN: usize = 9_999;

/// The ways in which runs are dealt to the sides: for each, which runs are new. The first one is what was seen.
#[derive(Clone, Debug)]
pub(super) struct Relabellings {
    /// A bit for each run.
    ways: Vec<u128>,
    pub is_exact: bool,
}

impl Relabellings {
    /// Of `runs` runs, of which the first `base` are of the base.
    pub fn new(runs: usize, base: usize, seed: u64) -> Relabellings {
        let new = runs - base;
        let seen = (base..runs).fold(0u128, |way, run| way | 1 << run);
        if ways_to_choose(runs as u64, new as u64) <= MOST {
            let mut ways = vec![seen];
            // The next larger number with as many bits (Gosper).
            let mut way = (1u128 << new) - 1;
            while way < 1 << runs {
                if way != seen {
                    ways.push(way);
                }
                let lowest = way & way.wrapping_neg();
                let ripple = way + lowest;
                way = (((ripple ^ way) >> 2) / lowest) | ripple;
            }
            return Relabellings { ways, is_exact: true };
        }
        let mut random = Random::new(seed);
        let mut order: Vec<usize> = (0..runs).collect();
        let drawn = (0..DRAWN).map(|_| {
            random.shuffle(&mut order);
            order[..new].iter().fold(0u128, |way, run| way | 1 << run)
        });
        Relabellings { ways: std::iter::once(seen).chain(drawn).collect(), is_exact: false }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ways.len()
    }

    /// The smallest p that there can be.
    pub fn least_p(&self) -> f64 {
        1.0 / self.ways.len() as f64
    }
}

/// Runs that can be told apart here.
pub(super) const MOST_RUNS: usize = 127;

fn ways_to_choose(of: u64, chosen: u64) -> u64 {
    let mut ways = 1u64;
    for step in 1..=chosen.min(of - chosen) {
        ways = ways.saturating_mul(of - step + 1) / step;
        if ways > MOST * 100 {
            return u64::MAX;
        }
    }
    ways
}

/// Rows of logarithms, and what their t is under any labels.
#[derive(Clone, Debug)]
pub(super) struct Tests {
    /// Of each row its logarithms less their mean, run by run.
    centred: Vec<f64>,
    squares: Vec<f64>,
    /// What variances are moderated with: `df x s0^2` of each row, and `df`.
    prior: Vec<f64>,
    df: Vec<f64>,
    runs: usize,
    base: usize,
}

/// One row under the labels that were seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// New less base.
    pub difference: f64,
    /// Its standard error.
    pub error: f64,
    pub t: f64,
}

impl Tests {
    /// `rows` of logarithms, each with the variance that is expected and how many degrees of freedom that is worth; the first `base` runs are of
    /// the base.
    pub fn new(rows: &[(&[f64], f64, f64)], base: usize) -> Tests {
        let runs = rows.first().map_or(0, |(logs, ..)| logs.len());
        let (mut centred, mut squares, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for (logs, variance, df) in rows {
            let mean = super::table::mean(logs.iter().copied());
            centred.extend(logs.iter().map(|log| log - mean));
            squares.push(logs.iter().map(|log| (log - mean).powi(2)).sum());
            expected.push(df * variance);
        }
        Tests { centred, squares, prior: expected, df: rows.iter().map(|(.., df)| *df).collect(), runs, base }
    }

    /// The same with `margin` taken from the logarithms of all new runs.
    pub fn less(&self, margin: f64) -> Tests {
        let mut tests = self.clone();
        let ones = (self.runs - self.base) as f64;
        for (row, squares) in tests.squares.iter_mut().enumerate() {
            let logs = &mut tests.centred[row * self.runs..(row + 1) * self.runs];
            for (run, log) in logs.iter_mut().enumerate() {
                *log += margin * ones / self.runs as f64 - if run >= self.base { margin } else { 0.0 };
            }
            *squares = logs.iter().map(|log| log * log).sum();
        }
        tests
    }

    pub fn count(&self) -> usize {
        self.squares.len()
    }

    /// Degrees of freedom of the moderated t of `row`.
    pub fn df(&self, row: usize) -> f64 {
        self.df[row] + self.runs as f64 - 2.0
    }

    /// What each row is under the labels that were seen.
    pub fn seen(&self) -> Vec<Seen> {
        let members: Vec<u32> = (self.base as u32..self.runs as u32).collect();
        (0..self.count())
            .map(|row| {
                let (difference, error) = self.row(row, &members);
                Seen { difference, error, t: difference / error }
            })
            .collect()
    }

    fn members(&self, way: u128) -> Vec<u32> {
        (0..self.runs as u32).filter(|run| way >> run & 1 == 1).collect()
    }

    /// The difference of the means and its moderated standard error.
    #[inline]
    fn row(&self, row: usize, new: &[u32]) -> (f64, f64) {
        let logs = &self.centred[row * self.runs..(row + 1) * self.runs];
        let sum: f64 = new.iter().map(|run| logs[*run as usize]).sum();
        let (ones, others) = (new.len() as f64, (self.runs - new.len()) as f64);
        // What is centred sums up to 0 over both sides.
        let difference = sum / ones + sum / others;
        let within = (self.squares[row] - difference * difference * ones * others / self.runs as f64).max(0.0);
        // A function that varies far more than others (interrupts, work of another thread) is as sure as its own runs make it.
        let own = within / (self.runs as f64 - 2.0) / LARGER;
        let variance = ((self.prior[row] + within) / self.df(row)).max(own);
        (difference, (variance * (1.0 / ones + 1.0 / others)).sqrt())
    }

    /// The adjusted p of each row: that it rises, and that it falls.
    pub fn adjusted(&self, relabellings: &Relabellings) -> Vec<(f64, f64)> {
        let seen = self.seen();
        let rising = order(seen.iter().map(|row| row.t).collect());
        let columns = Columns::new(self, &rising);
        let bounds = |of: &dyn Fn(&Seen) -> f64| rising.iter().map(|row| signed_square(of(&seen[*row]))).collect();
        // What falls is what rises with the other sign, in the opposite order.
        let rising_bounds: Vec<f64> = bounds(&|seen| seen.t - TIE);
        let mut falling_bounds: Vec<f64> = bounds(&|seen| -seen.t - TIE);
        falling_bounds.reverse();
        let parts = in_threads(&relabellings.ways, |ways| {
            let (mut up, mut down) = (Reached::new(&rising_bounds), Reached::new(&falling_bounds));
            let (mut t, mut opposite) = (vec![0.0; self.count()], vec![0.0; self.count()]);
            for way in ways {
                columns.squares_of_t(&self.members(*way), &mut t);
                up.add(&t);
                opposite.iter_mut().zip(t.iter().rev()).for_each(|(opposite, t)| *opposite = -t);
                down.add(&opposite);
            }
            (up.counts(), down.counts())
        });
        let mut p = vec![(0.0, 0.0); self.count()];
        // What was seen is one of them; of a large t another way to add the same numbers may differ by more than what counts as a tie.
        let of_all = |count: u32| f64::from(count.max(1)) / relabellings.count() as f64;
        // No row is surer than one with a larger t.
        let (mut least, mut least_of_falling) = (0.0f64, 0.0f64);
        for (at, row) in rising.iter().enumerate().rev() {
            least = least.max(of_all(parts.iter().map(|(up, _)| up[at]).sum()));
            p[*row].0 = least;
        }
        for (at, row) in rising.iter().rev().enumerate().rev() {
            least_of_falling = least_of_falling.max(of_all(parts.iter().map(|(_, down)| down[at]).sum()));
            p[*row].1 = least_of_falling;
        }
        p
    }

    /// The t that the largest of `rows` exceeds with the chance `alpha`, if nothing has changed.
    pub fn critical(&self, relabellings: &Relabellings, rows: &[usize], alpha: f64) -> f64 {
        let columns = Columns::new(self, rows);
        let parts = in_threads(&relabellings.ways, |ways| {
            let mut t = vec![0.0; rows.len()];
            let largest = |way: &u128| {
                columns.squares_of_t(&self.members(*way), &mut t);
                (t.iter().copied().fold(f64::NEG_INFINITY, f64::max), *way)
            };
            ways.iter().map(largest).collect::<Vec<(f64, u128)>>()
        });
        let mut all: Vec<(f64, u128)> = parts.into_iter().flatten().collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        // A t is seen if no more than this many are as large.
        let above = (alpha * all.len() as f64).floor() as usize;
        let (_, way) = all[all.len() - above.clamp(1, all.len())];
        let members = self.members(way);
        let t = rows.iter().map(|row| {
            let (difference, error) = self.row(*row, &members);
            difference / error
        });
        t.fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Rows that go through a relabelling at once.
const LANES: usize = 8;

/// Rows side by side, for what is asked of all of them under each of thousands of relabellings: the squares of t, with its sign, which order
/// rows as t does and need neither a root nor more than one division.
#[derive(Clone, Debug)]
struct Columns {
    /// Of each [`LANES`] rows, run after run, their logarithms less their means.
    logs: Vec<[f64; LANES]>,
    /// Of each [`LANES`] rows, what else is told of each.
    blocks: Vec<Block>,
    runs: usize,
    /// What the sum over the new side is multiplied with to be the difference of means, and the square of that to be what is between sides.
    of_sum: f64,
    of_square: f64,
    /// What is within sides is multiplied with to be the square of the error, if a row is as sure as its own runs make it.
    of_own: f64,
}

/// What is told of some rows, see [`Tests`].
#[derive(Clone, Copy, Debug)]
struct Block {
    squares: [f64; LANES],
    prior: [f64; LANES],
    /// What all variance together is multiplied with to be the square of the error.
    of_error: [f64; LANES],
}

impl Columns {
    /// Those of `rows`, in their order.
    fn new(tests: &Tests, rows: &[usize]) -> Columns {
        let (ones, others) = ((tests.runs - tests.base) as f64, tests.base as f64);
        let of_sum = 1.0 / ones + 1.0 / others;
        let (mut logs, mut blocks) = (Vec::new(), Vec::new());
        for rows in rows.chunks(LANES) {
            let lanes = |of: &dyn Fn(usize) -> f64, none: f64| {
                std::array::from_fn(|lane| rows.get(lane).map_or(none, |row| of(*row)))
            };
            logs.extend((0..tests.runs).map(|run| lanes(&|row| tests.centred[row * tests.runs + run], 0.0)));
            blocks.push(Block {
                squares: lanes(&|row| tests.squares[row], 0.0),
                prior: lanes(&|row| tests.prior[row], 1.0),
                of_error: lanes(&|row| of_sum / tests.df(row), 1.0),
            });
        }
        Columns {
            logs,
            blocks,
            runs: tests.runs,
            of_sum,
            of_square: ones * others / tests.runs as f64,
            of_own: of_sum / (tests.runs as f64 - 2.0) / LARGER,
        }
    }

    /// What [`Tests::row`] says, but for rounding, of all rows.
    fn squares_of_t(&self, new: &[u32], t: &mut [f64]) {
        let rows = self.logs.chunks_exact(self.runs).zip(&self.blocks);
        for ((logs, block), t) in rows.zip(t.chunks_mut(LANES)) {
            let mut sums = [0.0; LANES];
            for run in new {
                let logs = &logs[*run as usize];
                for lane in 0..LANES {
                    sums[lane] += logs[lane];
                }
            }
            let mut of_block = [0.0; LANES];
            for lane in 0..LANES {
                let difference = sums[lane] * self.of_sum;
                let square = difference * difference;
                let within = larger(block.squares[lane] - square * self.of_square, 0.0);
                let error = larger((block.prior[lane] + within) * block.of_error[lane], within * self.of_own);
                of_block[lane] = (square / error).copysign(difference);
            }
            t.copy_from_slice(&of_block[..t.len()]);
        }
    }
}

/// The larger of two numbers, where neither is none: one instruction, unlike [`f64::max`].
#[inline]
fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

fn signed_square(t: f64) -> f64 {
    t * t.abs()
}

/// For each row, under how many relabellings the largest t of those up to it reaches its bound. The bounds grow from row to row, and so do the
/// largest t: from one that is larger than all before to the next, those that are reached are the first ones. Few are larger than all before.
#[derive(Clone, Debug)]
struct Reached<'a> {
    bounds: &'a [f64],
    /// By how much the count of each row is more than that of the one before it.
    steps: Vec<i32>,
}

impl<'a> Reached<'a> {
    fn new(bounds: &'a [f64]) -> Reached<'a> {
        Reached { bounds, steps: vec![0; bounds.len() + 1] }
    }

    /// Adds a relabelling.
    fn add(&mut self, t: &[f64]) {
        let (mut from, mut largest) = (0, f64::NEG_INFINITY);
        for (block, rows) in t.chunks(LANES).enumerate() {
            // Most have none: that is told of all at once.
            if !rows.iter().fold(false, |is_larger, t| is_larger | (*t > largest)) {
                continue;
            }
            for (lane, t) in rows.iter().enumerate() {
                if *t > largest {
                    self.add_range(from, block * LANES + lane, largest);
                    (from, largest) = (block * LANES + lane, *t);
                }
            }
        }
        self.add_range(from, t.len(), largest);
    }

    fn add_range(&mut self, from: usize, to: usize, largest: f64) {
        let reached = self.bounds[from..to].partition_point(|bound| *bound <= largest);
        self.steps[from] += 1;
        self.steps[from + reached] -= 1;
    }

    fn counts(&self) -> Vec<u32> {
        let sums = self.steps.iter().scan(0, |sum, step| {
            *sum += step;
            Some(*sum as u32)
        });
        sums.take(self.bounds.len()).collect()
    }
}

/// Moderation makes a variance smaller by this at most. It is a part of the statistic, which is the same under each relabelling.
const LARGER: f64 = 1.5;
/// Sums of the same numbers in another order may differ by this.
const TIE: f64 = 1e-9;

/// The rows from the smallest `t` to the largest.
fn order(t: Vec<f64>) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..t.len()).collect();
    rows.sort_by(|a, b| t[*a].total_cmp(&t[*b]));
    rows
}

/// Does parts of the work on all CPUs; the parts' results in their order.
fn in_threads<T: Send>(ways: &[u128], work: impl Fn(&[u128]) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let size = ways.len().div_ceil(threads).max(1);
    if ways.len() < 1_000 {
        return vec![work(ways)];
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = ways.chunks(size).map(|part| scope.spawn(|| work(part))).collect();
        workers.into_iter().map(|worker| worker.join().expect("sums do not panic")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::moderate::Prior;
    use super::*;

    const PRIOR: Prior = Prior { dispersion: 1.0, between: 0.0004, df: 8.0 };

    #[test]
    fn all_ways_or_drawn_ones() {
        for (runs, base, expected, is_exact) in
            [(10, 5, 252, true), (16, 8, 12_870, true), (20, 10, 10_000, false), (7, 4, 35, true), (2, 1, 2, true)]
        {
            let ways = Relabellings::new(runs, base, 1);
            assert_eq!((ways.count(), ways.is_exact), (expected, is_exact), "{runs} {base}");
            assert!(ways.ways.iter().all(|way| way.count_ones() as usize == runs - base));
            assert_eq!(ways.ways[0].trailing_zeros() as usize, base);
        }
    }

    /// Runs of rows that have no more than noise, dealt out at random.
    fn made(random: &mut Random, rows: usize, runs: usize, rise: f64) -> Vec<Vec<f64>> {
        (0..rows)
            .map(|row| {
                let of_run = |run: usize| if row == 0 && run >= runs / 2 { rise } else { 0.0 };
                (0..runs).map(|run| 0.03 * random.normal() + of_run(run)).collect()
            })
            .collect()
    }

    fn p(logs: &[Vec<f64>]) -> Vec<(f64, f64)> {
        let rows: Vec<(&[f64], f64, f64)> =
            logs.iter().map(|logs| (&logs[..], PRIOR.variance(2000.0), PRIOR.df)).collect();
        let runs = logs[0].len();
        Tests::new(&rows, runs / 2).adjusted(&Relabellings::new(runs, runs / 2, 1))
    }

    /// The error of the whole comparison is what it is said to be: of 2,000 comparisons of nothing, each of 40 rows.
    #[test]
    fn keeps_its_error() {
        let mut random = Random::new(3);
        let (mut at_1, mut at_5) = (0, 0);
        for _ in 0..2_000 {
            let least = p(&made(&mut random, 40, 10, 0.0)).iter().map(|p| p.0).fold(1.0, f64::min);
            at_1 += u32::from(least <= 0.01);
            at_5 += u32::from(least <= 0.05);
        }
        // Two of 252 are 0.79 %, 12 of them 4.76 %: 16 and 95 of 2,000, with deviations of 4 and 10.
        assert!((2..=32).contains(&at_1), "{at_1} of 2,000 at 1 %");
        assert!((57..=133).contains(&at_5), "{at_5} of 2,000 at 5 %");
    }

    #[test]
    fn finds_what_rises_and_what_falls() {
        let mut random = Random::new(5);
        let rising = p(&made(&mut random, 40, 10, 0.2));
        assert_eq!(rising[0].0, 1.0 / 252.0);
        assert!(rising[1..].iter().all(|p| p.0 > 0.01) && rising[0].1 == 1.0);
        let falling = p(&made(&mut random, 40, 10, -0.2));
        assert_eq!(falling[0].1, 1.0 / 252.0);
    }

    /// As the definition has it: each row under each relabelling, the largest so far against what was seen.
    fn slowly(tests: &Tests, ways: &Relabellings) -> Vec<(f64, f64)> {
        let seen: Vec<f64> = tests.seen().iter().map(|row| row.t).collect();
        let mut p = vec![(0.0, 0.0); seen.len()];
        for sign in [1.0, -1.0] {
            let rows = order(seen.iter().map(|t| sign * t).collect());
            let mut counts = vec![0; seen.len()];
            for way in &ways.ways {
                let mut largest = f64::NEG_INFINITY;
                for row in &rows {
                    let (difference, error) = tests.row(*row, &tests.members(*way));
                    largest = largest.max(sign * difference / error);
                    counts[*row] += u32::from(largest >= sign * seen[*row] - TIE);
                }
            }
            let mut least = 0.0f64;
            for row in rows.iter().rev() {
                least = least.max(f64::from(counts[*row]) / ways.count() as f64);
                if sign > 0.0 { p[*row].0 = least } else { p[*row].1 = least }
            }
        }
        p
    }

    #[test]
    fn all_rows_at_once_are_as_each_alone() {
        let mut random = Random::new(7);
        for (rows, runs, rise) in
            [(1, 4, 0.0), (7, 9, 0.1), (5, 12, 0.0), (9, 14, 0.0), (8, 10, -0.1), (61, 11, 0.05), (40, 16, 0.0)]
        {
            let mut logs = made(&mut random, rows, runs, rise);
            // Rows that are the same, and one that is the same in all runs.
            logs.extend([logs[rows - 1].clone(), vec![1.5; runs]]);
            // One that came from nothing.
            logs.push((0..runs).map(|run| if run >= runs / 2 { 9.0 } else { 0.0 } + 0.02 * random.normal()).collect());
            let of: Vec<(&[f64], f64, f64)> =
                logs.iter().map(|logs| (&logs[..], PRIOR.variance(900.0), PRIOR.df)).collect();
            let (tests, ways) = (Tests::new(&of, runs / 2), Relabellings::new(runs, runs / 2, 1));
            assert_eq!(tests.adjusted(&ways), slowly(&tests, &ways), "{rows} rows of {runs} runs");
            let all: Vec<usize> = (0..logs.len()).collect();
            let largest = |way: &u128| {
                let t = all.iter().map(|row| tests.row(*row, &tests.members(*way)));
                t.fold(f64::NEG_INFINITY, |largest, (difference, error)| largest.max(difference / error))
            };
            let mut expected: Vec<f64> = ways.ways.iter().map(largest).collect();
            expected.sort_by(f64::total_cmp);
            let above = (0.05 * expected.len() as f64) as usize;
            assert_eq!(tests.critical(&ways, &all, 0.05), expected[expected.len() - above.max(1)]);
        }
    }

    #[test]
    fn a_margin_is_what_a_rise_has_to_be_more_than() {
        let logs = [1.0, 2.0, 3.0, 3.0, 4.0, 5.0];
        let tests = Tests::new(&[(&logs, 0.0, 0.0)], 3);
        let less = tests.less(0.5).seen()[0];
        assert!((less.difference - 1.5).abs() < 1e-12 && (less.error - tests.seen()[0].error).abs() < 1e-12);
        // Of many comparisons in which all rise by 5 %, those that rise by more than 10 % are none, by more than nothing most.
        let mut random = Random::new(9);
        let (mut above_none, mut above_margin) = (0, 0);
        for _ in 0..200 {
            let logs = made(&mut random, 1, 16, 0.05);
            let tests = Tests::new(&[(&logs[0][..], PRIOR.variance(2000.0), PRIOR.df)], 8);
            let ways = Relabellings::new(16, 8, 1);
            above_none += u32::from(tests.adjusted(&ways)[0].0 <= 0.05);
            above_margin += u32::from(tests.less(0.1).adjusted(&ways)[0].0 <= 0.05);
        }
        assert!(above_none >= 150 && above_margin == 0, "{above_none} {above_margin}");
    }

    #[test]
    fn a_row_alone_is_the_t_of_textbooks() {
        // With no prior: the two-sample t of equal variances.
        let logs = [1.0, 2.0, 3.0, 3.0, 4.0, 5.0];
        let seen = Tests::new(&[(&logs, 0.0, 0.0)], 3).seen();
        assert!((seen[0].difference - 2.0).abs() < 1e-12 && (seen[0].t - 2.0 / (2.0f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
