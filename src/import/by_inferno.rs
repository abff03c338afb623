//! Text of other tools, by way of inferno's collapsers and folded stacks.

use std::io::{BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use inferno::collapse::{Collapse, dtrace, ghcprof, sample, vsprof, vtune, xctrace};

use super::folded;
use super::kind::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Profile;

/// The formats of inferno that text is told by, those first whose first lines are most their own.
const KINDS: [Kind; 6] = [Kind::Xctrace, Kind::Sample, Kind::Vtune, Kind::VsProf, Kind::GhcProf, Kind::Dtrace];

/// The format of text, if inferno knows it by its first bytes.
pub(super) fn detect(head: &[u8]) -> Option<Kind> {
    let head = std::str::from_utf8(head).ok().filter(|head| !head.trim().is_empty())?;
    let is_applicable = |kind: &Kind| {
        let asked = AssertUnwindSafe(|| match kind {
            Kind::Dtrace => dtrace::Folder::default().is_applicable(head),
            Kind::Sample => {
                sample::Folder::default().is_applicable(head).or(head.contains("\nCall graph:").then_some(true))
            }
            Kind::Vtune => vtune::Folder::default().is_applicable(head),
            Kind::VsProf => vsprof::Folder::default().is_applicable(head),
            Kind::Xctrace => xctrace::Folder::default().is_applicable(head),
            Kind::GhcProf => ghcprof::Folder::default().is_applicable(head),
            _ => None,
        });
        catch_unwind(asked).ok().flatten() == Some(true)
    };
    KINDS.into_iter().find(is_applicable)
}

/// Reads text of `kind`, which is one of inferno's; `name` is what errors call it.
pub(super) fn read(name: &str, kind: Kind, text: impl Read) -> Result<Profile> {
    let text = BufReader::with_capacity(1 << 18, text);
    let mut folded = Vec::new();
    // Its collapsers are written for text of their tools, and have been seen to panic on other.
    let collapsed = catch_unwind(AssertUnwindSafe(|| match kind {
        Kind::Dtrace => dtrace::Folder::default().collapse(text, &mut folded),
        Kind::Sample => sample::Folder::default().collapse(text, &mut folded),
        Kind::Vtune => vtune::Folder::default().collapse(text, &mut folded),
        Kind::VsProf => vsprof::Folder::default().collapse(text, &mut folded),
        Kind::Xctrace => xctrace::Folder::default().collapse(text, &mut folded),
        Kind::GhcProf => ghcprof::Folder::default().collapse(text, &mut folded),
        _ => Ok(()),
    }));
    let refused = |why: String| {
        Error::new(ErrorKind::Malformed, format!("cannot read {name} as {}: {why}", kind.name()))
            .with_hint("--from names another format, if it is of one")
    };
    match collapsed {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(refused(error.to_string())),
        Err(_) => return Err(refused("inferno's collapser does not survive it".into())),
    }
    if folded.is_empty() {
        return Err(refused("it holds no stacks".into()));
    }
    folded::read(name, &folded, folded.as_slice(), folded::First::Function)
}
