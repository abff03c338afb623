// What every fuzz target does with one input; tests/fuzz_seeds.rs does the same on a stable compiler.

use std::io::Cursor;

use flameprofile::analyze::View;
use flameprofile::import::{ImportOptions, Input, Kind, import};
use flameprofile::render::folded::{self, FoldedOptions};

/// Imports bytes as `kind`. That they are refused is fine; a profile must be sound, and can be written.
pub fn import_one(kind: Kind, bytes: &[u8]) {
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    let options = ImportOptions { from: Some(kind), ..ImportOptions::default() };
    if let Ok(profile) = import(vec![Input::Stream { name: "input".into(), reader }], &options, &mut |_| {}) {
        profile.check().expect("what is imported is sound");
        folded::write(&profile, &View::default(), &FoldedOptions::default(), &mut std::io::sink())
            .expect("a sink takes all");
    }
}
