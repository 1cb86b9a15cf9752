//! Texts that are compared with files; `OPENMESH_UPDATE=1` writes them anew.

use std::path::PathBuf;

/// Compares a text with the file of this name below `tests/golden`.
pub fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("OPENMESH_UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expected, text, "OPENMESH_UPDATE=1 writes {}", path.display());
}
