//! A node of a call tree.

use crate::model::{FrameKind, ImageId, StringId};

/// A row of [`super::CallTree::nodes`].
pub type NodeId = u32;

/// A function where it was called from one particular stack; in a bottom-up tree, where it led to what is above it.
///
/// Values are in the event's unit. `self_*` is what was found with this node as the last of a stack, `total_*` adds all below it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// Its name, in [`super::CallTree::names`].
    pub name: StringId,
    /// What sort of code it is.
    pub kind: FrameKind,
    /// The node above it: its caller, or in a bottom-up tree what it called; the root is its own.
    pub parent: NodeId,
    /// One past the last node of its subtree.
    pub end: NodeId,
    /// How far from the root, which has depth 0.
    pub depth: u32,
    /// Value of the samples that ended here.
    pub self_value: u64,
    /// Value of the samples that ended here or below.
    pub total_value: u64,
    /// Number of samples that ended here; 0 with a value is an estimate of what was not sampled.
    pub self_samples: u64,
    /// Number of samples that ended here or below.
    pub total_samples: u64,
    /// Where its code is: a row of [`super::CallTree::places`], of which row 0 is known of nothing.
    pub place: u32,
}

const _: () = assert!(size_of::<Node>() == 56, "a tree of folded stacks has millions of nodes");

/// Where the code of a node is, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What its code is in; the first, if functions of several images share the name.
    pub image: Option<ImageId>,
    /// Its source file, in [`super::CallTree::names`]; the empty string if unknown. If several: one that is no library's
    /// ([`is_of_library`]), the first in order of name.
    pub file: StringId,
    /// First and last line seen in that file; 0 if unknown.
    pub lines: (u32, u32),
}

/// Whether a source file is one of the Rust standard library, as its compiler calls them, or of what is installed: code of such a one that
/// became part of a function says nothing of where that stands.
pub fn is_of_library(file: &str) -> bool {
    file.starts_with("/rustc/") || file.starts_with("/usr/")
}

/// Whether code is shown, and no task or note.
pub(super) fn is_function(kind: FrameKind) -> bool {
    match kind {
        FrameKind::Task | FrameKind::Note | FrameKind::OffCpu => false,
        FrameKind::User | FrameKind::Kernel | FrameKind::Inlined | FrameKind::Jit => true,
    }
}
