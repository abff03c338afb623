//! Which rows fail: causes are named, and what they explain, what only moved, and what rules accept is not.
//!
//! One function that became slower lifts all that call it. What functions took *themselves* is looked at first; a caller fails only for what
//! is left without those. Work that moved between functions of one caller leaves that caller as it was, and is no regression.

use rustc_hash::FxHashMap;

use super::compare::Judged;
use super::comparison::{Fate, Moved, Part, Row};
use super::inlined;
use super::math::t_quantile;
use super::repeated;
use super::runs::Runs;
use super::settings::{Allowed, Rule, Settings};
use super::table::{Table, mean};
use crate::analyze::{RunNode, Sum};

/// The least change of a row that matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub relative: f64,
    pub absolute: f64,
}

/// What holds for `row`, by the rule that it has.
pub(super) fn limits(row: &Row, settings: &Settings) -> Limits {
    let rule = row.rule.map(|rule| &settings.rules[rule]);
    let relative = match row.part {
        Part::Everything => settings.total_max,
        Part::Own => rule.and_then(|rule: &Rule| rule.self_max),
        Part::Inclusive => rule.and_then(|rule: &Rule| rule.inclusive_max),
    };
    Limits { relative: relative.unwrap_or(settings.min_relative), absolute: settings.min_absolute }
}

/// How sure it is that a row rose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rise {
    Sure,
    Likely,
    Small,
    No,
}

fn rise(row: &Row, settings: &Settings) -> Rise {
    let (of, limits) = (row.on(settings.scale), limits(row, settings));
    let matters = of.change >= limits.relative && row.of_total >= limits.absolute;
    // A caller that fails names no cause: it has to be twice as sure.
    let p = if row.part == Part::Inclusive { 2.0 * of.p } else { of.p };
    match (p, matters) {
        (p, true) if p <= settings.alpha => Rise::Sure,
        (p, true) if p <= settings.warn_alpha => Rise::Likely,
        (p, false) if p <= settings.alpha && of.change > 0.0 => Rise::Small,
        _ => Rise::No,
    }
}

/// In which order rows are shown: what fails first, and of that what functions took themselves.
pub(super) fn order(row: &Row) -> (u8, Part) {
    let rank = match row.fate {
        Fate::Regression => 0,
        Fate::Suspect => 1,
        Fate::Moved(_) => 2,
        Fate::Allowed(_) => 3,
        Fate::Ignored(_) => 4,
        Fate::Improved => 5,
        Fate::Explained(_) => 6,
        Fate::Small => 7,
        Fate::Unchanged => 8,
    };
    (rank, if rank == 0 { row.part } else { Part::Own })
}

/// Gives each of `rows`, which are in the order of the table's lines, what became of it; what moved is returned.
pub(super) fn decide(
    runs: &Runs,
    table: &Table<'_>,
    judged: &Judged,
    settings: &Settings,
    rows: &mut [Row],
) -> Vec<Moved> {
    for row in rows.iter_mut().filter(|row| row.part != Part::Everything) {
        row.rule = settings.rules.iter().rposition(|rule| rule.which.matches(&row.function));
    }
    let rises: Vec<Rise> = rows.iter().map(|row| rise(row, settings)).collect();
    let mut look = Look::new(runs, table, settings);
    let mut moved: Vec<Moved> = Vec::new();
    let mut fallen: Vec<(usize, Vec<String>)> = Vec::new();
    for at in 0..rows.len() {
        let row = &rows[at];
        let of = row.on(settings.scale);
        let fate = match (row.part, rises[at]) {
            (_, Rise::Small) => Fate::Small,
            (_, Rise::No) if of.p_less <= settings.alpha => Fate::Improved,
            (_, Rise::No) => Fate::Unchanged,
            (Part::Everything, Rise::Sure) => Fate::Regression,
            (Part::Everything, Rise::Likely) => Fate::Suspect,
            // Callers are looked at when all causes are known.
            (Part::Inclusive, _) => continue,
            (Part::Own, rise) => match look
                .offset(at, rows, judged)
                .or_else(|| look.offset_of_whole(at, rows, judged))
                .or_else(|| look.replaces(at, rows, settings))
            {
                Some(of) => {
                    let from = of.from.clone();
                    let place = place(&mut moved, of);
                    fallen.push((place, from));
                    Fate::Moved(place)
                }
                None => accepted(row, settings).unwrap_or(failed(rise)),
            },
        };
        rows[at].fate = fate;
    }
    callers(&mut look, table, judged, settings, rows, &rises, &mut moved);
    everything(&look, table, judged, settings, rows);
    for (to, from) in fallen {
        for row in rows.iter_mut().filter(|row| row.part == Part::Own && row.fate == Fate::Improved) {
            if from.contains(&row.function.name) {
                row.fate = Fate::Moved(to);
            }
        }
    }
    // What has gone may have too few samples in its caller to be tested there.
    for (row, line) in rows.iter_mut().zip(&table.lines) {
        if row.part == Part::Own && row.fate == Fate::Improved && row.new == 0.0 {
            let into = line.function.and_then(|function| look.absorbed(function));
            row.fate = into.map_or(Fate::Improved, |of| Fate::Moved(place(&mut moved, of)));
        }
    }
    inlined::place(&runs.tree, table, [&look.own, &look.inclusive], rows);
    repeated::mark(look.nodes, table, &look.own, rows);
    moved
}

/// The place of a move in the list; a function itself and with all that it calls can be one.
fn place(moved: &mut Vec<Moved>, of: Moved) -> usize {
    let is_same = |known: &Moved| known.to == of.to && known.within == of.within;
    if let Some(at) = moved.iter().position(is_same) {
        let more = of.from.into_iter().filter(|name| !moved[at].from.contains(name)).collect::<Vec<String>>();
        moved[at].from.extend(more);
        return at;
    }
    moved.push(of);
    moved.len() - 1
}

fn failed(rise: Rise) -> Fate {
    if rise == Rise::Sure { Fate::Regression } else { Fate::Suspect }
}

/// What rules say of a row that rose.
fn accepted(row: &Row, settings: &Settings) -> Option<Fate> {
    if let Some(rule) = row.rule.filter(|rule| settings.rules[*rule].ignore) {
        return Some(Fate::Ignored(rule));
    }
    // What came from nothing has no relative change: it counts as one of everything there is.
    let change = row.on(settings.scale).change;
    let change = if change.is_finite() { change } else { row.of_total };
    let is_over = |of: &Allowed| settings.today.is_some_and(|today| of.expired(today));
    let allowed = settings.allowed.iter();
    let allowed = allowed.map(|of| !is_over(of) && change <= of.up_to && of.which.matches(&row.function));
    let allowed = allowed.into_iter().position(|holds| holds);
    allowed.map(Fate::Allowed)
}

/// Rows that rose with what they call: those that nothing below explains fail, the innermost first.
fn callers(
    look: &mut Look<'_>,
    table: &Table<'_>,
    judged: &Judged,
    settings: &Settings,
    rows: &mut [Row],
    rises: &[Rise],
    moved: &mut Vec<Moved>,
) {
    let is_risen = |at: usize| matches!(rises[at], Rise::Sure | Rise::Likely);
    let mut is_cause = vec![false; look.runs.tree.functions.len()];
    // What a rule lets rise further is a cause all the same: its callers rise with it.
    let is_let = |at: usize| rises[at] == Rise::Small && rows[at].rule.is_some();
    // What moved explains nothing: what its caller did not lose elsewhere is left of it.
    let is_moved = |at: usize| matches!(rows[at].fate, Fate::Moved(_));
    let is_own_cause = |at: &usize| rows[*at].part == Part::Own && (is_risen(*at) || is_let(*at)) && !is_moved(*at);
    for at in (1..rows.len()).filter(is_own_cause) {
        if let Some(function) = table.lines[at].function {
            is_cause[function as usize] = true;
        }
    }
    // The root is of no function.
    let mut covered: Vec<bool> =
        look.nodes.iter().enumerate().map(|(at, node)| at > 0 && is_cause[node.own as usize]).collect();
    let mut risen: Vec<usize> =
        (1..rows.len()).filter(|at| rows[*at].part == Part::Inclusive && is_risen(*at)).collect();
    risen.sort_by(|a, b| rows[*a].base.max(rows[*a].new).total_cmp(&rows[*b].base.max(rows[*b].new)).then(a.cmp(b)));
    let mut found: Vec<String> = Vec::new();
    for at in risen {
        let function = table.lines[at].function.expect("only everything has none");
        let under = look.under(function);
        let names = look.explained_by(&under, rows, rises, &found);
        let rest = look.sums(|node| under[node] && !covered[node]);
        let scaled = table.scaled(&rest, settings.scale);
        let left = mean(scaled[table.base..].iter().copied()) - mean(scaled[..table.base].iter().copied());
        let is_left = left >= limits(&rows[at], settings).absolute
            && judged.seen(table, &rest, settings).t >= judged.critical
            && left >= limits(&rows[at], settings).relative * rows[at].share;
        rows[at].fate = if !is_left {
            match names.is_empty() {
                false => Fate::Explained(names),
                // Nothing below it rose enough to be named, nor did it without them.
                true => Fate::Suspect,
            }
        } else if let Some(of) = look.offset(at, rows, judged).or_else(|| look.replaces(at, rows, settings)) {
            Fate::Moved(place(moved, of))
        } else {
            accepted(&rows[at], settings).unwrap_or(failed(rises[at]))
        };
        if is_left {
            found.push(rows[at].function.name.clone());
            covered.iter_mut().zip(&under).for_each(|(covered, under)| *covered |= under);
        }
    }
}

/// Everything fails for what is left of it without what is accepted, ignored, or let rise by a rule.
///
/// How much that may have grown by is what the verdict then goes by.
fn everything(look: &Look<'_>, table: &Table<'_>, judged: &Judged, settings: &Settings, rows: &mut [Row]) {
    let is_let = |row: &Row| match row.fate {
        Fate::Allowed(_) | Fate::Ignored(_) => true,
        Fate::Small => row.rule.is_some(),
        _ => false,
    };
    let accepted: Vec<usize> = (1..rows.len()).filter(|at| is_let(&rows[*at])).collect();
    if accepted.is_empty() {
        return;
    }
    let mut covered = vec![false; look.nodes.len()];
    for at in &accepted {
        let Some(function) = table.lines[*at].function else { continue };
        match rows[*at].part {
            Part::Inclusive => {
                covered.iter_mut().zip(look.under(function)).for_each(|(covered, under)| *covered |= under)
            }
            _ => {
                covered.iter_mut().zip(look.nodes).skip(1).for_each(|(covered, node)| *covered |= node.own == function)
            }
        }
    }
    let rest = look.sums(|node| !covered[node]);
    let seen = judged.seen(table, &rest, settings);
    let limits = limits(&rows[0], settings);
    rows[0].rest_high = Some((seen.difference + t_quantile(0.025, judged.df[0]) * seen.error).exp_m1());
    let is_risen = matches!(rows[0].fate, Fate::Regression | Fate::Suspect);
    if is_risen && (seen.t < judged.critical || seen.difference.exp_m1() < limits.relative) {
        let mut names: Vec<String> = accepted.iter().map(|at| rows[*at].function.name.clone()).collect();
        names.dedup();
        names.truncate(MOST_NAMED);
        rows[0].fate = Fate::Explained(names);
    }
}

/// Causes that are named at most.
const MOST_NAMED: usize = 5;

/// What has gone must have taken so much of what came in its place.
const REPLACED: f64 = 0.8;

/// A caller with this share of the base is the last one in which cost is followed: beyond, something else falls by chance.
const WIDEST: f64 = 0.6;

/// What is asked of the tree of all runs.
struct Look<'a> {
    runs: &'a Runs,
    table: &'a Table<'a>,
    settings: &'a Settings,
    nodes: &'a [RunNode],
    /// By node, mean on the gate's scale: what ended there, base and new; and with all below.
    own: Vec<[f64; 2]>,
    inclusive: Vec<[f64; 2]>,
    /// By function, what it took itself.
    by_function: Vec<[f64; 2]>,
}

impl<'a> Look<'a> {
    fn new(runs: &'a Runs, table: &'a Table<'a>, settings: &'a Settings) -> Look<'a> {
        let nodes = &runs.tree.nodes[..];
        let mut look = Look {
            runs,
            table,
            settings,
            nodes,
            own: vec![[0.0; 2]; nodes.len()],
            inclusive: Vec::new(),
            by_function: Vec::new(),
        };
        let sides = [table.base, table.runs.len() - table.base];
        for (at, run) in table.runs.iter().enumerate() {
            let side = usize::from(at >= table.base);
            // What one of the event's unit is worth on the scale.
            let one: Vec<Sum> = (0..table.runs.len()).map(|_| Sum { value: 1.0, samples: 0.0 }).collect();
            let worth = table.scaled(&one, settings.scale)[at] / sides[side] as f64;
            runs.tree.for_each(run.row, |node, sum| look.own[node as usize][side] += sum.value * worth);
        }
        look.by_function = vec![[0.0; 2]; runs.tree.functions.len()];
        for (node, own) in nodes.iter().zip(&look.own).skip(1) {
            let sum = &mut look.by_function[node.own as usize];
            *sum = [sum[0] + own[0], sum[1] + own[1]];
        }
        look.inclusive.clone_from(&look.own);
        for node in (1..nodes.len()).rev() {
            let [base, new] = look.inclusive[node];
            let parent = &mut look.inclusive[nodes[node].parent as usize];
            parent[0] += base;
            parent[1] += new;
        }
        look
    }

    /// Whether each node is of `function` or below it.
    fn under(&self, function: u32) -> Vec<bool> {
        let mut under = vec![false; self.nodes.len()];
        for node in 1..self.nodes.len() {
            under[node] = self.nodes[node].function == function || under[self.nodes[node].parent as usize];
        }
        under
    }

    /// What the nodes that `is_wanted` says took in each run.
    fn sums(&self, is_wanted: impl Fn(usize) -> bool) -> Vec<Sum> {
        let of_run = |run: usize| {
            let mut sum = Sum::default();
            self.runs.tree.for_each(run, |node, of| {
                if is_wanted(node as usize) {
                    sum += of;
                }
            });
            sum
        };
        self.table.runs.iter().map(|run| of_run(run.row)).collect()
    }

    fn name(&self, function: u32) -> &str {
        self.runs.tree.names.get(self.runs.tree.functions[function as usize].name)
    }

    /// The causes among what is `under` a row, those that rose most first, by name.
    fn explained_by(&self, under: &[bool], rows: &[Row], rises: &[Rise], found: &[String]) -> Vec<String> {
        let mut changes = vec![0.0; self.runs.tree.functions.len()];
        let mut is_below = vec![false; self.runs.tree.functions.len()];
        for node in (1..self.nodes.len()).filter(|node| under[*node]) {
            changes[self.nodes[node].own as usize] += self.own[node][1] - self.own[node][0];
            is_below[self.nodes[node].function as usize] = true;
        }
        let mut causes: Vec<(f64, String)> = (1..rows.len())
            .filter(|at| rows[*at].part == Part::Own && matches!(rises[*at], Rise::Sure | Rise::Likely))
            .filter(|at| !matches!(rows[*at].fate, Fate::Moved(_)))
            .filter_map(|at| Some((changes[self.table.lines[at].function? as usize], rows[at].function.name.clone())))
            .filter(|(change, _)| *change > 0.0)
            .collect();
        let below = (0..is_below.len()).filter(|function| is_below[*function]).map(|row| self.name(row as u32));
        let below: Vec<&str> = below.collect();
        causes.extend(found.iter().filter(|name| below.contains(&&name[..])).map(|name| (0.0, name.clone())));
        causes.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let mut names: Vec<String> = Vec::new();
        for (_, name) in causes {
            if !names.contains(&name) && names.len() < MOST_NAMED {
                names.push(name);
            }
        }
        names
    }

    /// Whether the rise of row `at` is offset inside one of its callers, or in the function itself: that changed by less than half of it, for
    /// certain.
    fn offset(&mut self, at: usize, rows: &[Row], judged: &Judged) -> Option<Moved> {
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
                let has_risen = matches!(self::rise(caller, self.settings), Rise::Sure | Rise::Likely);
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

    /// The move of what has gone, or surely fell, to what came in its place: called by the same function, and of as much cost. Whatever else that
    /// function calls may have changed.
    fn replaces(&self, at: usize, rows: &[Row], settings: &Settings) -> Option<Moved> {
        let row = &rows[at];
        let function = self.table.lines[at].function.filter(|_| row.base == 0.0)?;
        let costs = if row.part == Part::Own { &self.own } else { &self.inclusive };
        let of = |node: usize| if row.part == Part::Own { self.nodes[node].own } else { self.nodes[node].function };
        let is_counted = |node: &usize| row.part == Part::Own || self.nodes[*node].is_outermost;
        let caller_of = |node: usize| self.nodes[self.nodes[node].parent as usize].function;
        let mut is_caller = vec![false; self.runs.tree.functions.len()];
        let (mut sums, mut is_below) = (vec![[0.0; 2]; is_caller.len()], vec![false; is_caller.len()]);
        let called = || (1..self.nodes.len()).filter(|node| self.nodes[*node].parent > 0);
        let mut within = None;
        for node in called().filter(|node| of(*node) == function && costs[*node][1] > 0.0) {
            is_caller[caller_of(node) as usize] = true;
            within = within.or(Some(caller_of(node)));
        }
        for node in (1..self.nodes.len()).filter(is_counted) {
            let sum = &mut sums[of(node) as usize];
            *sum = [sum[0] + costs[node][0], sum[1] + costs[node][1]];
        }
        called()
            .filter(|node| is_caller[caller_of(*node) as usize])
            .for_each(|node| is_below[of(node) as usize] = true);
        let mut has_fallen = vec![false; sums.len()];
        for (other, line) in rows.iter().zip(&self.table.lines).filter(|(other, _)| other.part == row.part) {
            let is_sure = other.on(settings.scale).p_less <= settings.alpha;
            line.function.iter().for_each(|of| has_fallen[*of as usize] = is_sure);
        }
        let is_gone = |function: &u32| {
            let at = *function as usize;
            is_below[at] && sums[at][0] > sums[at][1] && (sums[at][1] == 0.0 || has_fallen[at])
        };
        let fallen = |function: u32| sums[function as usize][0] - sums[function as usize][1];
        let mut gone: Vec<u32> = (0..sums.len() as u32).filter(is_gone).collect();
        // All that came there, as what has gone stands for so much only once.
        let came = |function: &u32| is_below[*function as usize] && sums[*function as usize][0] == 0.0;
        let rise: f64 = (0..sums.len() as u32).filter(came).map(|of| sums[of as usize][1]).sum();
        let fall: f64 = gone.iter().map(|of| fallen(*of)).sum();
        let within = within.filter(|_| fall >= REPLACED * rise)?;
        gone.sort_by(|a, b| fallen(*b).total_cmp(&fallen(*a)).then_with(|| self.name(*a).cmp(self.name(*b))));
        gone.truncate(MOST_NAMED);
        let under = self.under(within);
        Some(Moved {
            to: row.function.name.clone(),
            from: gone.into_iter().map(|of| self.name(of).to_owned()).collect(),
            within: self.name(within).to_owned(),
            rise: row.new,
            rest: self.change(&self.sums(|node| under[node])),
        })
    }

    /// By how much something changed, per unit of work, in the event's unit.
    fn change(&self, sums: &[Sum]) -> f64 {
        let runs = self.table.per_work(sums);
        mean(runs[self.table.base..].iter().copied()) - mean(runs[..self.table.base].iter().copied())
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
    fn absorbed(&self, function: u32) -> Option<Moved> {
        let [fall, _] = self.by_function[function as usize];
        let of = |node: &&RunNode| node.function == function && node.parent > 0;
        let mut callers: Vec<u32> =
            self.nodes[1..].iter().filter(of).map(|node| self.nodes[node.parent as usize].function).collect();
        callers.sort_unstable();
        callers.dedup();
        let [caller] = callers[..] else { return None };
        let [base, new] = self.by_function[caller as usize];
        let under = self.under(caller);
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

    /// The same of all that a function calls, if it came from nothing: what it took itself came with it.
    fn offset_of_whole(&mut self, at: usize, rows: &[Row], judged: &Judged) -> Option<Moved> {
        let lines = &self.table.lines;
        let is_whole =
            |other: &usize| lines[*other].part == Part::Inclusive && lines[*other].function == lines[at].function;
        let whole = (1..rows.len()).find(is_whole).filter(|_| rows[at].base == 0.0)?;
        self.offset(whole, rows, judged)
    }

    /// The functions below `caller` that fell by a tenth of `rise` at least, those that fell most first.
    fn fallen(&self, caller: u32, rise: f64) -> Vec<u32> {
        const MOST: usize = 4;
        let under = self.under(caller);
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
