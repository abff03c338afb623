//! The parts of the validation; `tests/validate.rs` tests them.

pub mod cells;
pub mod comparisons;
pub mod dice;
pub mod found;
pub mod gate;
pub mod load;
pub mod naive;
pub mod planted;
pub mod pool;
pub mod programs;
pub mod rates;
pub mod record;
pub mod table;
