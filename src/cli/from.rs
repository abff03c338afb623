//! The values of `--from`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use flameprofile::import::Kind;

/// Takes the names of the formats that can be read.
pub fn kind_parser() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::name))
        .map(|name| name.parse().expect("the values that are possible are the names of kinds"))
}
