//! Which rows fail: causes are named, and what they explain, what only moved, and what rules accept is not.
//!
//! One function that became slower lifts all that call it. What functions took *themselves* is looked at first; a caller fails only for what
//! is left without those. Work that moved between functions of one caller leaves that caller as it was, and is no regression.

use super::compare::Judged;
use super::comparison::{Fate, Moved, Part, Renamed, Row};
use super::inlined;
use super::look::Look;
use super::math::t_quantile;
use super::repeated;
use super::rise::{Rise, limits};
use super::runs::Runs;
use super::settings::{Allowed, Settings};
use super::table::{Table, mean};

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

/// Causes that are named at most.
const MOST_NAMED: usize = 5;

/// Gives each of `rows`, which are in the order of the table's lines, what became of it; what moved is returned, and what replaced something and takes more.
pub(super) fn decide(
    runs: &Runs,
    table: &Table<'_>,
    judged: &Judged,
    settings: &Settings,
    rows: &mut [Row],
) -> (Vec<Moved>, Vec<Renamed>) {
    for row in rows.iter_mut().filter(|row| row.part != Part::Everything) {
        row.rule = settings.rules.iter().rposition(|rule| rule.which.matches(&row.function));
    }
    let rises: Vec<Rise> = rows.iter().map(|row| Rise::of(row, settings)).collect();
    let look = Look::new(runs, table, settings);
    let mut moved: Vec<Moved> = Vec::new();
    let mut outgrown: Vec<Renamed> = Vec::new();
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
                .or_else(|| look.replaces(at, rows))
                .filter(|_| is_move(look.outgrown(at, rows, judged), &mut outgrown))
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
    callers(&look, table, judged, settings, rows, &rises, (&mut moved, &mut outgrown));
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
    repeated::mark(&runs.tree, table, &look.own, rows);
    (moved, outgrown)
}

/// Whether what rose only replaced something; what it replaced and surely takes more than is kept.
fn is_move(more: Option<Renamed>, outgrown: &mut Vec<Renamed>) -> bool {
    let is_move = more.is_none();
    outgrown.extend(more.filter(|more| !outgrown.iter().any(|of| of.from == more.from && of.to == more.to)));
    is_move
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
    look: &Look<'_>,
    table: &Table<'_>,
    judged: &Judged,
    settings: &Settings,
    rows: &mut [Row],
    rises: &[Rise],
    (moved, outgrown): (&mut Vec<Moved>, &mut Vec<Renamed>),
) {
    let is_risen = |at: usize| rises[at].is_told();
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
        let under = look.runs.tree.under(function);
        let names = explained_by(look, &under, rows, rises, &found);
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
        } else if let Some(of) = look
            .offset(at, rows, judged)
            .or_else(|| look.replaces(at, rows))
            .filter(|_| is_move(look.outgrown(at, rows, judged), outgrown))
        {
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
                covered.iter_mut().zip(look.runs.tree.under(function)).for_each(|(covered, under)| *covered |= under)
            }
            _ => {
                covered.iter_mut().zip(look.nodes).skip(1).for_each(|(covered, node)| *covered |= node.own == function)
            }
        }
    }
    let rest = look.sums(|node| !covered[node]);
    let seen = judged.seen(table, &rest, settings);
    let limits = limits(&rows[0], settings);
    rows[0].rest_high = Some(
        (seen.difference + t_quantile(0.025 / f64::from(settings.looks.max(1)), judged.df[0]) * seen.error).exp_m1(),
    );
    let is_risen = matches!(rows[0].fate, Fate::Regression | Fate::Suspect);
    if is_risen && (seen.t < judged.critical || seen.difference.exp_m1() < limits.relative) {
        let mut names: Vec<String> = accepted.iter().map(|at| rows[*at].function.name.clone()).collect();
        names.dedup();
        names.truncate(MOST_NAMED);
        rows[0].fate = Fate::Explained(names);
    }
}

/// The causes among what is `under` a row, those that rose most first, by name.
fn explained_by(look: &Look<'_>, under: &[bool], rows: &[Row], rises: &[Rise], found: &[String]) -> Vec<String> {
    let mut changes = vec![0.0; look.runs.tree.functions.len()];
    let mut is_below = vec![false; look.runs.tree.functions.len()];
    for node in (1..look.nodes.len()).filter(|node| under[*node]) {
        changes[look.nodes[node].own as usize] += look.own[node][1] - look.own[node][0];
        is_below[look.nodes[node].function as usize] = true;
    }
    let mut causes: Vec<(f64, String)> = (1..rows.len())
        // What a rule lets rise further is a cause all the same.
        .filter(|at| rises[*at].is_told() || (rises[*at] == Rise::Small && rows[*at].rule.is_some()))
        .filter(|at| rows[*at].part == Part::Own)
        .filter(|at| !matches!(rows[*at].fate, Fate::Moved(_)))
        .filter_map(|at| Some((changes[look.table.lines[at].function? as usize], rows[at].function.name.clone())))
        .filter(|(change, _)| *change > 0.0)
        .collect();
    let below = (0..is_below.len()).filter(|function| is_below[*function]).map(|row| look.name(row as u32));
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
