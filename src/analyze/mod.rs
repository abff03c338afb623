//! What a profile shows: from its samples to a tree, a table, and the numbers in them.
//!
//! Everything here is a pure function of a [`crate::model::Profile`] and a [`View`]; nothing is drawn. The result is the
//! same for the same profile, down to the order of nodes, so that what is drawn from it is byte-identical too. Stacks may
//! be tens of thousands of frames deep: nothing in this room recurses.

mod call_tree;
mod diff_top;
mod diff_tree;
mod frame_names;
mod function_rows;
mod growth;
mod leaves;
#[cfg(test)]
pub(crate) mod made;
mod names_like;
mod node;
mod paths;
mod pre_order;
mod relatives;
mod run_tree;
mod sandwich;
mod timeline;
mod top;
mod view;
mod waiter;

pub use call_tree::CallTree;
pub use diff_top::{DiffFunction, DiffTop};
pub use diff_tree::{DiffTree, Side};
pub use leaves::{Leaf, Leaves};
pub use names_like::names_like;
pub use node::{Node, NodeId, Place, is_of_library};
pub use paths::{Label, Paths};
pub use relatives::{Relative, Relatives};
pub use run_tree::{RunFunction, RunNode, RunTree, Sum};
pub use sandwich::{Sandwich, functions_like};
pub use timeline::{Lane, Span, Timeline};
pub use top::{Function, Top, Waiting};
pub use view::{Direction, View};
