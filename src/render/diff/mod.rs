//! Two profiles beside each other, as text: the functions that changed, folded stacks of two columns, JSON.

pub mod folded;
pub mod json;
pub mod top;
