//! The two sides that a picture of a difference is of.

use super::evidence::factor;
use crate::analyze::{DiffTree, NodeId};
use crate::gate::Comparison;
use crate::model::Profile;

/// What a picture of a difference is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Difference<'a> {
    /// What it was before: all runs of that side as one profile. Of a flame chart the first run, as several have no common time.
    pub base: &'a Profile,
    /// What it is now.
    pub new: &'a Profile,
    /// Both as one tree.
    pub diff: &'a DiffTree,
    /// What the runs of both sides say of each function; names are those of the tree. Without it changes are held against the noise of
    /// the counts alone.
    pub comparison: Option<&'a Comparison>,
}

impl Difference<'_> {
    /// What values of the base are multiplied by to be compared with new ones: on the scale of the gate, if there is one.
    pub(super) fn scale(&self) -> f64 {
        let DiffTree { base_total, new_total, scale, .. } = *self.diff;
        self.comparison.map_or(scale, |known| factor(known, known.settings.scale, base_total, new_total))
    }

    /// What a node itself took, base (scaled) and new.
    pub(super) fn own(&self, id: NodeId, scale: f64) -> (f64, f64) {
        let (base, new) = (&self.diff.base[id as usize], &self.diff.tree.nodes[id as usize]);
        (base.self_value as f64 * scale, new.self_value as f64)
    }

    /// The same with all below it.
    pub(super) fn total(&self, id: NodeId, scale: f64) -> (f64, f64) {
        let (base, new) = (&self.diff.base[id as usize], &self.diff.tree.nodes[id as usize]);
        (base.total_value as f64 * scale, new.total_value as f64)
    }
}
