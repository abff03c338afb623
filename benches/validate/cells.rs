//! What is recorded: cells, each a series of runs of one or two builds, in an order that a seed fixes.
//!
//! The order of a cell's runs does not depend on how many there are, so that a pool can be stopped, resumed and made larger.

use super::dice::Dice;
use super::programs::{Build, Program};

/// Of which everything that is random is made.
pub const SEED: u64 = 8;

/// What a cell is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One build, again and again.
    Same,
    /// A build with a plant beside one without, in pairs of random order.
    Planted,
    /// Two builds of one source in another layout, other ones for each comparison.
    Layout,
    /// One build: eight runs while nothing else runs, then eight under load.
    Drift,
}

/// How many runs a side the longest comparison of a cell has; the blocks of [`Kind::Layout`] and [`Kind::Drift`].
pub const LONGEST: usize = 8;

/// A series of runs.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its name, and that of its folder: `server-quiet-crc20`.
    pub name: String,
    /// Which program.
    pub program: Program,
    /// Whether there is a load beside it.
    pub is_loaded: bool,
    /// What it is for.
    pub kind: Kind,
    /// What differs: `same`, `crc20`.
    pub variant: &'static str,
    /// Flags of the base's build and of the other one.
    flags: [&'static [&'static str]; 2],
    /// Samples a second.
    pub rate: u32,
    /// How much work a run is; nothing for the program's own.
    pub work: Option<u32>,
    /// How many runs.
    pub runs: usize,
}

/// One run that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What is started.
    pub build: Build,
    /// Whether it is of the new side.
    pub is_new: bool,
    /// Whether there is a load beside it.
    pub is_loaded: bool,
    /// Bytes that are added to its environment.
    pub environment: usize,
}

/// How large a pool is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Runs of each same-against-same cell.
    pub same: usize,
    /// Runs of each side of a plant.
    pub planted: usize,
    /// Pairs of layouts.
    pub layouts: usize,
    /// Blocks with a drift.
    pub drifts: usize,
    /// Whether there are all cells.
    pub is_long: bool,
}

impl Size {
    /// About an hour.
    pub const LONG: Size = Size { same: 400, planted: 80, layouts: 40, drifts: 10, is_long: true };
    /// A minute or two.
    pub const SHORT: Size = Size { same: 16, planted: 8, layouts: 1, drifts: 1, is_long: false };
}

/// Samples a second of CPU time of nearly all runs.
const RATE: u32 = 4000;

/// All cells of a pool.
pub fn cells(size: Size) -> Vec<Cell> {
    let mut cells = Vec::new();
    for is_loaded in [false, true] {
        for program in Program::ALL {
            if size.is_long || !is_loaded || program == Program::Server {
                cells.push(cell(program, is_loaded, Kind::Same, "same", [&[], &[]], size.same));
            }
        }
    }
    let mut plant = |program, is_loaded, variant, flags, is_short: bool| {
        if size.is_long || is_short {
            cells.push(cell(program, is_loaded, Kind::Planted, variant, flags, 2 * size.planted));
        }
    };
    plant(Program::Server, false, "crc20", [&[], &["-DPLANT_CRC20"]], true);
    plant(Program::Server, true, "crc20", [&[], &["-DPLANT_CRC20"]], false);
    plant(Program::Codec, false, "crc20", [&[], &["--cfg", "plant_crc20"]], true);
    plant(Program::Threads, false, "hash20", [&[], &["-DPLANT_HASH20"]], false);
    plant(Program::Server, false, "win", [&[], &["-DPLANT_WIN"]], true);
    plant(Program::Server, false, "move", [&[], &["-DMOVE"]], true);
    plant(Program::Server, false, "rename", [&[], &["-DRENAME"]], false);
    plant(Program::Server, false, "inline", [&[], &["-DINLINE"]], false);
    plant(Program::Server, false, "outline", [&[], &["-DOUTLINE"]], false);
    // Without debug information nothing tells that a function was inlined.
    plant(Program::Server, false, "inline-bare", [&["-g0"], &["-g0", "-DINLINE"]], false);
    plant(Program::Server, false, "outline-bare", [&["-g0"], &["-g0", "-DOUTLINE"]], false);
    for (program, variant, flags, work) in [
        (Program::Server, "small2", [&[] as &[_], &["-DPLANT_SMALL2"] as &[_]], 54_000),
        (Program::Codec, "small2", [&[], &["--cfg", "plant_small2"]], 30_000),
    ] {
        // 10,000 samples a run.
        let small = cell(program, false, Kind::Planted, variant, flags, 2 * size.planted);
        cells.extend(size.is_long.then_some(Cell { rate: 10_000, work: Some(work), ..small }));
    }
    cells.push(cell(Program::Server, false, Kind::Layout, "layout", [&[], &[]], 2 * LONGEST * size.layouts));
    cells.push(cell(Program::Server, false, Kind::Drift, "drift", [&[], &[]], 2 * LONGEST * size.drifts));
    cells
}

fn cell(
    program: Program,
    is_loaded: bool,
    kind: Kind,
    variant: &'static str,
    flags: [&'static [&'static str]; 2],
    runs: usize,
) -> Cell {
    let condition = if is_loaded { "loaded" } else { "quiet" };
    let name = format!("{}-{condition}-{variant}", program.name());
    Cell { name, program, is_loaded, kind, variant, flags, rate: RATE, work: None, runs }
}

impl Cell {
    /// Its runs in order of time.
    pub fn slots(&self) -> Vec<Slot> {
        let mut dice = Dice::new(SEED, &self.name);
        let builds = [0, 1].map(|side: usize| {
            let flags = self.flags[side];
            // Builds of the same flags are one, whatever cell they are of.
            let name = if flags.is_empty() { "base".to_owned() } else { flags.concat().replace(['-', '_', ' '], "") };
            Build::new(self.program, name.to_lowercase(), flags)
        });
        let slot =
            |build: &Build, is_new| Slot { build: build.clone(), is_new, is_loaded: self.is_loaded, environment: 0 };
        let mut slots = Vec::new();
        while slots.len() < self.runs {
            match self.kind {
                Kind::Same => slots.push(slot(&builds[0], false)),
                Kind::Planted => {
                    let mut pair = [slot(&builds[0], false), slot(&builds[1], true)];
                    dice.shuffle(&mut pair);
                    slots.extend(pair);
                }
                Kind::Layout => {
                    let sides = [0, 1].map(|side| {
                        let (build, environment) = layout(slots.len() / (2 * LONGEST), side, &mut dice);
                        Slot { environment, ..slot(&build, side == 1) }
                    });
                    for _ in 0..LONGEST {
                        let mut pair = sides.clone();
                        dice.shuffle(&mut pair);
                        slots.extend(pair);
                    }
                }
                Kind::Drift => {
                    for is_new in [false, true] {
                        let one = Slot { is_loaded: is_new, ..slot(&builds[0], is_new) };
                        slots.extend(std::iter::repeat_n(one, LONGEST));
                    }
                }
            }
        }
        slots.truncate(self.runs);
        slots
    }
}

/// A build in a layout of chance, and the bytes of its environment: what Mytkowicz et al. (ASPLOS 2009) found to bias results.
fn layout(number: usize, side: usize, dice: &mut Dice) -> (Build, usize) {
    // Bytes of nops before each function, which begin at a multiple of 16 by themselves.
    let padding = dice.below(64);
    let mut build = Build::new(Program::Server, format!("layout-{number:02}-{side}"), &[]);
    build.flags.push("-falign-functions=16".to_owned());
    build.flags.push(format!("-fpatchable-function-entry={padding},{padding}"));
    dice.shuffle(&mut build.order);
    (build, dice.below(4096))
}

#[cfg(test)]
mod tests {
    use super::{Kind, LONGEST, Size, cells};

    #[test]
    fn a_larger_pool_begins_with_the_smaller_one() {
        let larger = Size { same: 420, planted: 100, layouts: 44, ..Size::LONG };
        for (small, large) in cells(Size::LONG).iter().zip(cells(larger)) {
            assert_eq!(small.name, large.name);
            assert_eq!(small.slots().len(), small.runs);
            assert!(large.slots().starts_with(&small.slots()), "{}", small.name);
        }
    }

    #[test]
    fn names_tell_cells_apart() {
        let mut names: Vec<String> = cells(Size::LONG).into_iter().map(|cell| cell.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn sides_have_as_many_runs() {
        for cell in cells(Size::LONG).iter().filter(|cell| cell.kind != Kind::Same) {
            for block in cell.slots().chunks(2 * LONGEST) {
                assert_eq!(block.iter().filter(|slot| slot.is_new).count(), LONGEST, "{}", cell.name);
            }
        }
    }
}
