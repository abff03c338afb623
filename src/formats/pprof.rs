//! The field numbers of pprof's `profile.proto`, whose messages are read in `import` and written in `export`.
//!
//! <https://github.com/google/pprof/blob/main/proto/profile.proto>. Strings are rows of `string_table`, whose first is empty;
//! ids of mappings, locations and functions are not 0, which stands for none.

/// What a comment begins with that says which run of a series a profile is ([`crate::model::RunMark`]): JSON follows,
/// `{"format": 1, "period": the nominal value of a sample or null, "stats": as [`super::stats_json`] has them}`.
pub const RUN: &str = "flameprofile run: ";

/// `Profile`.
pub mod profile {
    /// What the values of samples are, a `ValueType` each.
    pub const SAMPLE_TYPE: u32 = 1;
    /// The samples.
    pub const SAMPLE: u32 = 2;
    /// What code is in; the first is the program.
    pub const MAPPING: u32 = 3;
    /// Code addresses.
    pub const LOCATION: u32 = 4;
    /// Functions.
    pub const FUNCTION: u32 = 5;
    /// All strings.
    pub const STRING_TABLE: u32 = 6;
    /// When it was taken, nanoseconds since 1970 (UTC).
    pub const TIME_NANOS: u32 = 9;
    /// How long it took.
    pub const DURATION_NANOS: u32 = 10;
    /// What happens between two samples, a `ValueType`.
    pub const PERIOD_TYPE: u32 = 11;
    /// How much of it.
    pub const PERIOD: u32 = 12;
    /// Text for people.
    pub const COMMENT: u32 = 13;
    /// The name of the value that is shown.
    pub const DEFAULT_SAMPLE_TYPE: u32 = 14;
}

/// `ValueType`.
pub mod value_type {
    /// Its name.
    pub const TYPE: u32 = 1;
    /// Its unit.
    pub const UNIT: u32 = 2;
}

/// `Sample`.
pub mod sample {
    /// Locations, the innermost first.
    pub const LOCATION_ID: u32 = 1;
    /// A value of each type.
    pub const VALUE: u32 = 2;
    /// What else is known of it.
    pub const LABEL: u32 = 3;
}

/// `Label`.
pub mod label {
    /// Its name.
    pub const KEY: u32 = 1;
    /// Its value, if that is text.
    pub const STR: u32 = 2;
    /// Its value, if that is a number.
    pub const NUM: u32 = 3;
}

/// `Mapping`.
pub mod mapping {
    /// Its id.
    pub const ID: u32 = 1;
    /// Its first address.
    pub const START: u32 = 2;
    /// One past its last address.
    pub const LIMIT: u32 = 3;
    /// Where in the file its first address is.
    pub const OFFSET: u32 = 4;
    /// The file.
    pub const FILENAME: u32 = 5;
    /// What identifies its contents, in hexadecimal digits.
    pub const BUILD_ID: u32 = 6;
    /// Whether its locations have functions, files, lines and inlined functions, each a field.
    pub const HAS: [u32; 4] = [7, 8, 9, 10];
}

/// `Location`.
pub mod location {
    /// Its id.
    pub const ID: u32 = 1;
    /// The mapping that it is in.
    pub const MAPPING_ID: u32 = 2;
    /// Its address.
    pub const ADDRESS: u32 = 3;
    /// Functions, the innermost first: all but the last were inlined.
    pub const LINE: u32 = 4;
}

/// `Line`.
pub mod line {
    /// The function.
    pub const FUNCTION_ID: u32 = 1;
    /// The line of its file.
    pub const LINE: u32 = 2;
}

/// `Function`.
pub mod function {
    /// Its id.
    pub const ID: u32 = 1;
    /// Its name as it is shown.
    pub const NAME: u32 = 2;
    /// Its name as the linker has it.
    pub const SYSTEM_NAME: u32 = 3;
    /// Its source file.
    pub const FILENAME: u32 = 4;
}
