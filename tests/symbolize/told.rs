//! What is said where debug files are missing, closed or damaged.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flameprofile::image::{Images, Refusal};
use flameprofile::model::{ProfileBuilder, Unnamed};
use rustix::process::{DumpableBehavior, getuid, set_dumpable_behavior};
use rustix::thread::set_thread_res_uid;

use super::files::{Built, Looked, with_dwz};
use super::open;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Looks up as a user for whom closed folders are closed: on a thread of its own, which is not root's.
fn look_up_unprivileged(built: &Built, dir: &str) -> Looked {
    set_mode(built.folder.path(), 0o755);
    let sources = built.dir(dir);
    let work = || {
        if getuid().is_root() {
            let nobody = rustix::process::Uid::from_raw(65534);
            set_thread_res_uid(nobody, nobody, nobody).unwrap();
            // Another user makes the whole process one that others may not look into.
            set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
        }
        Looked::up(&built.program, &sources, &built.svmas())
    };
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

#[test]
fn closed_folder_of_the_user_is_told_and_is_no_reason() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    let closed = built.path("closed");
    fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0);
    let looked = look_up_unprivileged(&built, "closed");
    set_mode(&closed, 0o755);
    let note = format!("cannot look into {}: Permission denied", closed.display());
    assert!(looked.notes.iter().any(|known| known.starts_with(&note)), "{:?}", looked.notes);
    assert!(!looked.files.denied);
    assert!(looked.named.iter().all(|named| matches!(named, Err(Unnamed::NoSymbols | Unnamed::NoMatch))));
}

#[test]
fn missing_file_of_dwz_is_told() {
    let Some((built, common)) = with_dwz(&[]) else { return };
    let there = Looked::up(&built.program, &built.no_sources(), &built.svmas());
    assert!(there.notes.is_empty() && there.refused.is_empty(), "{:?}", there.notes);
    fs::remove_file(common).unwrap();
    let gone = Looked::up(&built.program, &built.no_sources(), &built.svmas());
    let [Refusal::NotFound { wanted_by }] = &gone.refused[..] else { panic!("{:?}", gone.refused) };
    assert_eq!(Path::new(wanted_by), built.program);
    let expected =
        format!("not found: ../.dwz/common.debug, which has a part of the debug information of {wanted_by} (dwz)");
    assert_eq!(gone.notes, [expected]);
    assert_eq!(gone.skipped.get("files: not found"), Some(&1));
}

#[test]
fn what_has_come_is_not_missed_any_more() {
    let Some((built, common)) = with_dwz(&[]) else { return };
    let away = built.path("away");
    fs::rename(&common, &away).unwrap();
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let (id, _) = open(&built.program, &mut images, &mut builder);
    assert!(images.debug_files(id).supplementary.is_none() && images.refused().len() == 1);
    fs::rename(&away, &common).unwrap();
    assert!(images.debug_files(id).supplementary.is_some() && images.refused().is_empty());
}
