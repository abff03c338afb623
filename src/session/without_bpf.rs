//! In place of samples whose stacks are walked in the kernel, where this program was built without that.

use super::keeper::Keeper;
use super::options::RecordOptions;
use super::plan::{Plan, Subject};
use crate::error::Result as Fallible;
use crate::image::Images;
use crate::model::KernelWalks;
use crate::recorder::{Counters, KernelLists, Recorder};
use crate::sampler::{Beside, Opened, Target};

/// There is none.
#[derive(Debug)]
pub(super) enum Walks {}

impl Walks {
    /// Says why there is none.
    pub fn load(_: &RecordOptions, _: &Plan, _: &Subject, _: Images) -> Result<Walks, String> {
        Err("built without the feature `bpf`".into())
    }

    pub fn lists(&self) -> KernelLists {
        match *self {}
    }

    pub fn beside(&mut self) -> Option<Box<dyn Beside>> {
        match *self {}
    }

    pub fn attach(&mut self, _: &Opened, _: &Subject, _: &Target) -> Result<(), String> {
        match *self {}
    }

    pub fn begin_waits(&mut self, _: &mut Keeper, _: &Subject, _: bool, _: u64) -> Fallible<()> {
        match *self {}
    }

    pub fn end_waits(&mut self, _: u64) -> Fallible<()> {
        match *self {}
    }

    pub fn find_again(&mut self, _: &mut Recorder) {
        match *self {}
    }

    pub fn add_waits(&self, _: &mut Recorder) -> Fallible<()> {
        match *self {}
    }

    pub fn finish(self, _: &Counters) -> KernelWalks {
        match self {}
    }
}
