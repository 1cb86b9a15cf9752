//! The store in a folder.

use openmesh_backup::Folder;

use crate::conformance;

#[test]
fn a_folder_is_a_store_as_every_other() {
    let folder = tempfile::tempdir().unwrap();
    conformance::objects(&Folder::open(folder.path().join("objects")).unwrap());
    conformance::life(&Folder::open(folder.path().join("repository")).unwrap());
}
