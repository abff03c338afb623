//! Names for what was recorded, perhaps on another machine.

use crate::image::Images;
use crate::import::ImportOptions;
use crate::model::Profile;
use crate::perf::data::features::Features;
use crate::process::KernelMaps;
use crate::recorder::KernelSymbol;
use crate::symbolize::symbolize;

/// What is known of where code is.
#[derive(Debug)]
pub(super) struct Code {
    pub images: Images,
    pub kernel: KernelMaps,
    pub kernel_symbols: Vec<KernelSymbol>,
}

/// Names the frames of a profile; returns what there is to say about it.
pub(super) fn name(profile: &mut Profile, code: &Code, _features: &Features, options: &ImportOptions) -> Vec<String> {
    symbolize(profile, &code.images, &[], &options.names);
    Vec::new()
}
