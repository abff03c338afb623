//! What is known while records still come.

use super::Recorder;
use crate::image::Images;
use crate::model::Profile;

impl Recorder {
    /// The samples so far, without names, and the files that they are in. Stacks that wait for their rest are not among them.
    pub fn so_far(&self) -> (&Profile, &Images) {
        (self.builder.profile(), &self.images)
    }
}
