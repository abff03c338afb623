//! What a comparison of runs says of the function that a frame is of.

use rustc_hash::FxHashMap;

use crate::gate::{Comparison, Fate, Part, Row, Scale, Side};
use crate::model::FrameKind;

/// How sure it is that something changed: by the adjusted p of its direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Strength {
    /// It cannot be told from chance, or was not tested.
    #[default]
    None,
    /// Up to the p that is warned of.
    Weak,
    /// Up to the p that fails.
    Strong,
}

/// The rows of one function.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known<'a> {
    /// What it took itself.
    pub own: Option<&'a Row>,
    /// With all that it called.
    pub inclusive: Option<&'a Row>,
}

impl<'a> Known<'a> {
    /// One row alone.
    pub fn only(row: &'a Row) -> Known<'a> {
        match row.part {
            Part::Own => Known { own: Some(row), inclusive: None },
            Part::Inclusive | Part::Everything => Known { own: None, inclusive: Some(row) },
        }
    }

    /// The row that says most: of equal ones that of its own part, as that is a cause.
    pub fn telling(&self) -> Option<&'a Row> {
        let rank = |row: &&Row| fate_rank(&row.fate);
        self.own.into_iter().chain(self.inclusive).min_by_key(rank)
    }
}

/// How much is to be seen of a fate, the most first: the order of tables, and what decides where a function has two.
pub(super) fn fate_rank(fate: &Fate) -> u8 {
    match fate {
        Fate::Regression => 0,
        Fate::Suspect => 1,
        Fate::Moved(_) => 2,
        Fate::Allowed(_) => 3,
        Fate::Explained(_) => 4,
        Fate::Improved => 5,
        Fate::Ignored(_) => 6,
        Fate::Small => 7,
        Fate::Unchanged => 8,
    }
}

/// A comparison by function.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// All of it.
    pub comparison: &'a Comparison,
    functions: FxHashMap<(&'a str, FrameKind), Known<'a>>,
}

impl<'a> Evidence<'a> {
    pub fn new(comparison: &'a Comparison) -> Evidence<'a> {
        let mut functions: FxHashMap<_, Known> = FxHashMap::default();
        for row in &comparison.rows {
            let Some(kind) = row.function.kind else { continue };
            let known = functions.entry((row.function.name.as_str(), kind)).or_default();
            match row.part {
                Part::Own => known.own = known.own.or(Some(row)),
                Part::Inclusive => known.inclusive = known.inclusive.or(Some(row)),
                Part::Everything => {}
            }
        }
        Evidence { comparison, functions }
    }

    /// The rows of a function; one that is inlined counts as its callers' sort of code, and is looked for among those.
    pub fn of<'s>(&'s self, name: &'s str, kind: FrameKind) -> Known<'s> {
        let inlined = [FrameKind::User, FrameKind::Jit, FrameKind::Kernel];
        let kinds: &[FrameKind] = if kind == FrameKind::Inlined { &inlined } else { &[kind] };
        kinds.iter().find_map(|kind| self.functions.get(&(name, *kind))).copied().unwrap_or_default()
    }

    /// The row of all there is, for the root of a tree.
    pub fn of_all(&self) -> Known<'_> {
        Known { own: None, inclusive: Some(&self.comparison.total) }
    }

    /// What changed, everything among it, that of most weight first: of each function what fails, as many rows as the verdict says, else the
    /// row that says most.
    pub fn causes(&self) -> Vec<&'a Row> {
        let is_telling = |row: &&Row| match row.function.kind {
            _ if row.fate == Fate::Regression => true,
            Some(kind) => {
                self.of(&row.function.name, kind).telling().is_some_and(|telling| std::ptr::eq(telling, *row))
            }
            None => true,
        };
        let rows = std::iter::once(&self.comparison.total).chain(&self.comparison.rows).filter(is_telling);
        let mut rows: Vec<&Row> = rows.filter(|row| !matches!(row.fate, Fate::Unchanged | Fate::Small)).collect();
        // Stable: within a fate as the comparison has them.
        rows.sort_by_key(|row| fate_rank(&row.fate));
        rows
    }

    /// How sure a change into the direction of `change` is.
    pub fn strength(&self, row: &Row, change: f64) -> Strength {
        let settings = &self.comparison.settings;
        let estimate = row.on(settings.scale);
        let p = match change {
            change if change > 0.0 => estimate.p,
            change if change < 0.0 => estimate.p_less,
            _ => return Strength::None,
        };
        match p {
            p if p <= settings.alpha => Strength::Strong,
            p if p <= settings.warn_alpha => Strength::Weak,
            _ => Strength::None,
        }
    }

    /// How sure it is that what went from `base` to `new` at one place, both on the gate's scale, changed, and by how much: -1..1 of the
    /// larger side. The place gives the size and the direction, the function the evidence.
    pub fn at_place(&self, row: Option<&Row>, base: f64, new: f64) -> (f64, Strength) {
        let size = (new - base) / new.max(base);
        match row {
            Some(row) if size.is_finite() => (size.clamp(-1.0, 1.0), self.strength(row, size)),
            _ => (0.0, Strength::None),
        }
    }

    /// The same of a function wherever it is.
    pub fn of_function(&self, row: Option<&Row>) -> (f64, Strength) {
        let Some(row) = row else { return (0.0, Strength::None) };
        let size = match row.on(self.comparison.settings.scale).change {
            change if change.is_nan() => 0.0,
            change if change > 0.0 => 1.0 - 1.0 / (1.0 + change),
            change => change.max(-1.0),
        };
        (size, self.strength(row, size))
    }
}

/// What values of the base are multiplied by to be compared with those of the new side, on `scale`; 1 where nothing can be said.
pub(super) fn factor(comparison: &Comparison, scale: Scale, base_total: u64, new_total: u64) -> f64 {
    let work = |side: Side| comparison.runs.iter().filter(|(of, _)| *of == side).map(|(_, run)| run.work).sum::<f64>();
    let factor = match scale {
        Scale::Work => work(Side::New) / work(Side::Base),
        Scale::Share => new_total as f64 / base_total as f64,
        Scale::Robust => work(Side::New) / work(Side::Base) * comparison.robust_factor,
    };
    if factor.is_finite() && factor > 0.0 { factor } else { 1.0 }
}
