//! Which comparisons are made of a pool: disjoint blocks of runs, in the order in which they were recorded.
//!
//! Random halves of one pool would share its runs, and what drifts would be on both sides alike: such a test cannot fail.

use super::cells::{Cell, Kind, LONGEST, SEED};
use super::dice::Dice;
use super::pool::{Pool, Run};

/// In which order the sides were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// In turns of chance.
    Interleaved,
    /// All of the base, then all that is new.
    BaseThenNew,
}

/// Two sides.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    /// The base's runs, in order of time.
    pub base: Vec<&'a Run>,
    /// The new ones.
    pub new: Vec<&'a Run>,
}

/// The comparisons of a cell with so many runs a side.
///
/// Of [`Kind::Same`] each block of `2 * k` runs is one; who is base is drawn among all ways (interleaved), or is the first half. Of the
/// others the labels are those of the recording, which are in the order that [`Cell::slots`] gave.
pub fn comparisons<'a>(pool: &'a Pool, cell: &Cell, k: usize, design: Design) -> Vec<Comparison<'a>> {
    let runs = pool.of(&cell.name);
    let mut dice = Dice::new(SEED, &format!("{} {k}", cell.name));
    match cell.kind {
        Kind::Same => runs.chunks_exact(2 * k).map(|block| dealt(block, design, &mut dice)).collect(),
        Kind::Planted => {
            let (new, base): (Vec<&Run>, Vec<&Run>) = runs.into_iter().partition(|run| run.is_new);
            let sides = base.chunks_exact(k).zip(new.chunks_exact(k));
            sides.map(|(base, new)| Comparison { base: base.to_vec(), new: new.to_vec() }).collect()
        }
        Kind::Layout | Kind::Drift => {
            let blocks = runs.chunks_exact(2 * LONGEST).map(|block| {
                let side = |is_new: bool| block.iter().filter(|run| run.is_new == is_new).take(k).copied().collect();
                Comparison { base: side(false), new: side(true) }
            });
            blocks.collect()
        }
    }
}

fn dealt<'a>(block: &[&'a Run], design: Design, dice: &mut Dice) -> Comparison<'a> {
    let mut is_new: Vec<bool> = (0..block.len()).map(|index| index >= block.len() / 2).collect();
    if design == Design::Interleaved {
        dice.shuffle(&mut is_new);
    }
    let side =
        |wanted: bool| block.iter().zip(&is_new).filter(|&(_, &new)| new == wanted).map(|(&run, _)| run).collect();
    Comparison { base: side(false), new: side(true) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Design, comparisons};
    use crate::validate::cells::{Cell, Kind, Size, cells};
    use crate::validate::pool::Pool;
    use crate::validate::pool::tests::run;

    fn filled(kind: Kind) -> (Cell, Pool) {
        let cell = cells(Size::LONG).into_iter().find(|cell| cell.kind == kind).expect("there is one of each kind");
        let slots = cell.slots();
        let runs = slots.iter().enumerate().map(|(sequence, slot)| run(&cell.name, sequence, slot.is_new)).collect();
        (cell, Pool { folder: "pool".into(), runs })
    }

    #[test]
    fn no_run_is_in_two_comparisons() {
        for kind in [Kind::Same, Kind::Planted, Kind::Layout, Kind::Drift] {
            let (cell, pool) = filled(kind);
            for k in [5, 8] {
                let mut seen = BTreeSet::new();
                let all = comparisons(&pool, &cell, k, Design::Interleaved);
                assert!(all.len() >= cell.runs / 16, "{kind:?}");
                for comparison in &all {
                    assert_eq!((comparison.base.len(), comparison.new.len()), (k, k));
                    for side in [&comparison.base, &comparison.new] {
                        assert!(side.is_sorted_by_key(|run| run.sequence), "in order of time");
                        assert!(side.iter().all(|run| seen.insert(run.sequence)), "{kind:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_are_of_neighbours() {
        let (cell, pool) = filled(Kind::Same);
        for (number, comparison) in comparisons(&pool, &cell, 5, Design::Interleaved).iter().enumerate() {
            let all = comparison.base.iter().chain(&comparison.new);
            assert!(all.map(|run| run.sequence).all(|sequence| sequence / 10 == number));
        }
        for comparison in comparisons(&pool, &cell, 5, Design::BaseThenNew) {
            assert!(comparison.base[4].sequence < comparison.new[0].sequence);
        }
    }

    #[test]
    fn labels_are_dealt_at_random() {
        let (cell, pool) = filled(Kind::Same);
        let interleaved = comparisons(&pool, &cell, 5, Design::Interleaved);
        let firsts = interleaved.iter().filter(|each| each.base[0].sequence % 10 == 0).count();
        assert!((10..=30).contains(&firsts), "the first is of the base in {firsts} of 40");
    }
}
