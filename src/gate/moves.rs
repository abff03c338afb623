//! Which rows rose by what something else lost: work that moved between functions of one caller leaves that caller as it was.

use rustc_hash::FxHashMap;

use super::compare::Judged;
use super::comparison::{Moved, Part, Renamed, Row};
use super::look::Look;
use super::math::t_quantile;
use super::rise::{Rise, limits};
use super::table::mean;
use crate::analyze::{RunNode, Sum};

/// Functions that are named at most.
const MOST_NAMED: usize = 5;

/// What has gone must have taken so much of what came in its place.
const REPLACED: f64 = 0.8;

/// A caller with this share of the base is the last one in which cost is followed: beyond, something else falls by chance.
const WIDEST: f64 = 0.6;

/// What functions called before, and call now instead.
struct Exchanged {
    /// By function, whether it is one of those that call.
    is_caller: Vec<bool>,
    /// What has gone, or surely fell; what took most is first.
    gone: Vec<u32>,
    /// By function, whether it has gone or came there.
    is_part: Vec<bool>,
    /// What has gone took there, and what came takes.
    fall: f64,
    came: f64,
}

impl Look<'_> {
    /// Whether the rise of row `at` is offset inside one of its callers, or in the function itself: that changed by less than half of it, for
    /// certain.
    pub fn offset(&self, at: usize, rows: &[Row], judged: &Judged) -> Option<Moved> {
        let row = &rows[at];
        let function = self.table.lines[at].function?;
        let rise = row.of_total;
        let mut within = vec![[0.0f64; 2]; self.runs.tree.functions.len()];
        for node in 1..self.nodes.len() {
            let of = self.nodes[node];
            let (values, mut up) = match row.part {
                Part::Own if of.own == function => (self.own[node], node),
                Part::Inclusive if of.function == function && of.is_outermost => {
                    (self.inclusive[node], of.parent as usize)
                }
                _ => continue,
            };
            if values == [0.0; 2] {
                continue;
            }
            while up > 0 {
                let caller = self.nodes[up];
                // Once for each function on the way, however often it is there.
                if caller.is_outermost {
                    let sums = &mut within[caller.function as usize];
                    sums[0] += values[0];
                    sums[1] += values[1];
                }
                up = caller.parent as usize;
            }
        }
        let mut callers: Vec<(usize, &Row)> = (1..rows.len())
            .filter(|other| self.table.lines[*other].part == Part::Inclusive)
            .filter_map(|other| {
                let caller = self.table.lines[other].function?;
                let [base, new] = within[caller as usize];
                // The rise is inside it.
                (new - base >= 0.9 * rise && (caller, Part::Inclusive) != (function, row.part))
                    .then_some((other, &rows[other]))
            })
            .collect();
        callers.sort_by(|a, b| {
            let size = |row: &Row| row.base.max(row.new);
            size(a.1).total_cmp(&size(b.1)).then_with(|| a.1.function.name.cmp(&b.1.function.name))
        });
        for (other, caller) in callers {
            let error = t_quantile(0.05, judged.df[other])
                * judged.errors[other]
                * caller.share.max(caller.share + caller.of_total);
            let of_caller = self.table.lines[other].function?;
            // What a function called and has gone, it has taken in: then it need not be certain, if it is not certain of the contrary.
            let is_absorbed = || {
                let has_risen = Rise::of(caller, self.settings).is_told();
                row.part == Part::Own && of_caller == function && !has_risen && self.absorbs(function, rise)
            };
            if caller.of_total.abs() + error < 0.5 * rise || (caller.of_total < 0.5 * rise && is_absorbed()) {
                let from = self.fallen(of_caller, rise);
                // Two functions that have nothing to do with each other, one of which became slower and the other faster, are no move.
                if row.base > 0.0 && of_caller != function && !from.iter().any(|of| self.is_related(*of, function)) {
                    continue;
                }
                let from = from.into_iter().map(|of| self.name(of).to_owned()).collect();
                return Some(Moved {
                    to: row.function.name.clone(),
                    from,
                    within: caller.function.name.clone(),
                    rise: row.new - row.base,
                    rest: caller.new - caller.base,
                });
            }
            if caller.share >= WIDEST {
                break;
            }
        }
        None
    }

    /// The same of all that a function calls, if it came from nothing: what it took itself came with it.
    pub fn offset_of_whole(&self, at: usize, rows: &[Row], judged: &Judged) -> Option<Moved> {
        let lines = &self.table.lines;
        let is_whole =
            |other: &usize| lines[*other].part == Part::Inclusive && lines[*other].function == lines[at].function;
        let whole = (1..rows.len()).find(is_whole).filter(|_| rows[at].base == 0.0)?;
        self.offset(whole, rows, judged)
    }

    /// The move of what has gone, or surely fell, to what came in its place: called by the same functions, and of as much cost there. Whatever
    /// else those call may have changed.
    pub fn replaces(&self, at: usize, rows: &[Row]) -> Option<Moved> {
        let place = self.exchanged(at, rows)?;
        // All that came there, as what has gone stands for so much only once.
        if place.fall < REPLACED * place.came {
            return None;
        }
        let is_caller = &place.is_caller;
        let callers = (0..is_caller.len() as u32).filter(|caller| is_caller[*caller as usize]);
        let within = callers.min_by_key(|caller| self.name(*caller))?;
        let under = self.runs.tree.under(within);
        Some(Moved {
            to: rows[at].function.name.clone(),
            from: place.gone.iter().take(MOST_NAMED).map(|of| self.name(*of).to_owned()).collect(),
            within: self.name(within).to_owned(),
            rise: rows[at].new,
            rest: self.change(&self.sums(|node| under[node])),
        })
    }

    /// What came in the place of one function and surely takes more than that did, with it: renamed and slower is slower.
    ///
    /// Those that call it have to take more too: what they themselves or other functions below them lost may have moved there.
    pub fn outgrown(&self, at: usize, rows: &[Row], judged: &Judged) -> Option<Renamed> {
        let place = self.exchanged(at, rows)?;
        // Of several that have gone it is not known which one this replaced.
        let [gone] = place.gone[..] else { return None };
        let is_alone = place.is_part.iter().filter(|is_part| **is_part).count() == 2;
        let is_own = rows[at].part == Part::Own;
        let (mut is_of, mut is_under) = (vec![false; self.nodes.len()], vec![false; self.nodes.len()]);
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            let of = if is_own { node.own } else { node.function };
            let is_called = node.parent > 0 && place.is_caller[self.nodes[node.parent as usize].function as usize];
            is_of[at] = (!is_own && is_of[node.parent as usize]) || (is_called && place.is_part[of as usize]);
            is_under[at] = is_under[node.parent as usize] || place.is_caller[node.function as usize];
        }
        let sums = self.sums(|node| is_of[node]);
        let ([base, new], [base_under, new_under]) = (self.means(&sums), self.means(&self.sums(|node| is_under[node])));
        let more = new - base;
        let limits = limits(&rows[at], self.settings);
        let is_more = more >= limits.absolute.max(limits.relative * base)
            && new_under - base_under >= 0.5 * more
            && judged.seen(self.table, &sums, self.settings).t >= judged.critical;
        if !is_more {
            return None;
        }
        let whole = self.means(&self.table.lines[0].sums);
        let shares = [base / whole[0], new / whole[1]].map(|share| 100.0 * share);
        let others = if is_alone { "" } else { ", with others" };
        let why =
            format!("called in its place{others}: {:.2} % of the base, {:.2} % of the new side", shares[0], shares[1]);
        Some(Renamed { from: self.name(gone).to_owned(), to: rows[at].function.name.clone(), why })
    }

    /// The means of both sides on the gate's scale.
    fn means(&self, sums: &[Sum]) -> [f64; 2] {
        let scaled = self.table.scaled(sums, self.settings.scale);
        let (base, new) = scaled.split_at(self.table.base);
        [mean(base.iter().copied()), mean(new.iter().copied())]
    }

    /// What came where the function of row `at` did, and what has gone from there; nothing if it was there before.
    fn exchanged(&self, at: usize, rows: &[Row]) -> Option<Exchanged> {
        let row = &rows[at];
        let function = self.table.lines[at].function.filter(|_| row.base == 0.0)?;
        let is_own = row.part == Part::Own;
        let costs = if is_own { &self.own } else { &self.inclusive };
        let of = |node: usize| if is_own { self.nodes[node].own } else { self.nodes[node].function };
        let caller_of = |node: usize| self.nodes[self.nodes[node].parent as usize].function;
        let is_called = |node: usize| self.nodes[node].parent > 0;
        let counted = || (1..self.nodes.len()).filter(|node| is_own || self.nodes[*node].is_outermost);
        let mut is_caller = vec![false; self.runs.tree.functions.len()];
        for node in counted().filter(|node| is_called(*node) && of(*node) == function && costs[*node][1] > 0.0) {
            is_caller[caller_of(node) as usize] = true;
        }
        // By function, what it took everywhere, and where those call it: what it took elsewhere was replaced by something else.
        let mut sums = vec![[0.0; 2]; is_caller.len()];
        let mut sums_there = sums.clone();
        for node in counted() {
            let at = of(node) as usize;
            sums[at] = [0, 1].map(|side| sums[at][side] + costs[node][side]);
            if is_called(node) && is_caller[caller_of(node) as usize] {
                sums_there[at] = [0, 1].map(|side| sums_there[at][side] + costs[node][side]);
            }
        }
        let mut has_fallen = vec![false; sums.len()];
        for (other, line) in rows.iter().zip(&self.table.lines).filter(|(other, _)| other.part == row.part) {
            let is_sure = other.on(self.settings.scale).p_less <= self.settings.alpha;
            line.function.iter().for_each(|of| has_fallen[*of as usize] = is_sure);
        }
        // What is called from elsewhere now has not gone.
        let fall = |of: u32| [&sums, &sums_there].map(|sums| sums[of as usize][0] - sums[of as usize][1]);
        let fall = |of: u32| fall(of)[0].min(fall(of)[1]);
        let is_gone = |of: &u32| fall(*of) > 0.0 && (sums[*of as usize][1] == 0.0 || has_fallen[*of as usize]);
        let mut gone: Vec<u32> = (0..sums.len() as u32).filter(is_gone).collect();
        let has_come = |of: usize| sums_there[of][0] == 0.0 && sums_there[of][1] > 0.0;
        let came = (0..sums.len()).filter(|of| has_come(*of)).map(|of| sums_there[of][1]).sum();
        gone.sort_by(|a, b| fall(*b).total_cmp(&fall(*a)).then_with(|| self.name(*a).cmp(self.name(*b))));
        let mut is_part: Vec<bool> = (0..sums.len()).map(has_come).collect();
        gone.iter().for_each(|of| is_part[*of as usize] = true);
        Some(Exchanged { fall: gone.iter().map(|of| fall(*of)).sum(), came, gone, is_caller, is_part })
    }

    /// Whether something that `caller` called has gone, and took half of `rise` there at least.
    fn absorbs(&self, caller: u32, rise: f64) -> bool {
        let mut called: FxHashMap<u32, f64> = FxHashMap::default();
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            if node.parent > 0 && self.nodes[node.parent as usize].function == caller && node.own != caller {
                *called.entry(node.own).or_default() += self.own[at][0];
            }
        }
        called.into_iter().any(|(function, base)| base >= 0.5 * rise && self.by_function[function as usize][1] == 0.0)
    }

    /// The move of a function that has gone into the one that called it, if that rose by as much, give or take half, and with all that it
    /// calls it rose by less than half of that.
    pub fn absorbed(&self, function: u32) -> Option<Moved> {
        let [fall, _] = self.by_function[function as usize];
        let of = |node: &&RunNode| node.function == function && node.parent > 0;
        let mut callers: Vec<u32> =
            self.nodes[1..].iter().filter(of).map(|node| self.nodes[node.parent as usize].function).collect();
        callers.sort_unstable();
        callers.dedup();
        let [caller] = callers[..] else { return None };
        let [base, new] = self.by_function[caller as usize];
        let under = self.runs.tree.under(caller);
        let outer = |node: &usize| self.nodes[*node].function == caller && self.nodes[*node].is_outermost;
        let rest: f64 =
            (1..self.nodes.len()).filter(outer).map(|node| self.inclusive[node][1] - self.inclusive[node][0]).sum();
        if !(0.5 * fall..=1.5 * fall).contains(&(new - base)) || rest >= 0.5 * fall {
            return None;
        }
        Some(Moved {
            to: self.name(caller).to_owned(),
            from: vec![self.name(function).to_owned()],
            within: self.name(caller).to_owned(),
            rise: self.change(&self.sums(|node| self.nodes[node].own == caller && node > 0)),
            rest: self.change(&self.sums(|node| under[node])),
        })
    }

    /// The functions below `caller` that fell by a tenth of `rise` at least, those that fell most first.
    fn fallen(&self, caller: u32, rise: f64) -> Vec<u32> {
        const MOST: usize = 4;
        let under = self.runs.tree.under(caller);
        let mut changes = vec![0.0; self.runs.tree.functions.len()];
        for node in (1..self.nodes.len()).filter(|node| under[*node]) {
            changes[self.nodes[node].own as usize] += self.own[node][1] - self.own[node][0];
        }
        let mut fallen: Vec<u32> =
            (0..changes.len() as u32).filter(|function| changes[*function as usize] <= -0.1 * rise).collect();
        let change = |function: u32| changes[function as usize];
        fallen.sort_by(|a, b| change(*a).total_cmp(&change(*b)).then_with(|| self.name(*a).cmp(self.name(*b))));
        fallen.truncate(MOST);
        fallen
    }

    /// Whether one of them has gone, or one calls the other: cost of one can become cost of the other without anybody doing more.
    fn is_related(&self, fallen: u32, risen: u32) -> bool {
        let mut is_there = false;
        for (node, sums) in self.nodes.iter().zip(&self.inclusive).skip(1) {
            is_there |= node.function == fallen && sums[1] > 0.0;
            let pair = (self.nodes[node.parent as usize].function, node.function);
            if node.parent > 0 && (pair == (fallen, risen) || pair == (risen, fallen)) {
                return true;
            }
        }
        !is_there
    }
}
