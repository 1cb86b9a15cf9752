//! Files of the pages that the face serves.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file of a page, bytes: Studio's own largest, many times over.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A file of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Media type.
    pub kind: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Finds a file by its path below the root, without a slash at its beginning.
type Find = dyn Fn(&str) -> Option<Page> + Send + Sync;

/// Files of the pages that the face serves: those of a folder, or of a copy in the binary. Without any it serves the API alone.
#[derive(Clone, Default)]
pub struct Pages(Option<Arc<Find>>);

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Pages(some)" } else { "Pages(none)" })
    }
}

impl Pages {
    /// Files that a function finds.
    pub fn new(find: impl Fn(&str) -> Option<Page> + Send + Sync + 'static) -> Pages {
        Pages(Some(Arc::new(find)))
    }

    /// Files of a folder, read at each request.
    pub fn folder(folder: PathBuf) -> Pages {
        Pages::new(move |path| read(&folder, path))
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// A file; none where there is none of this name.
    pub fn find(&self, path: &str) -> Option<Page> {
        let plain = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        let plain = plain && !path.contains(['\\', '\0', '%']);
        self.0.as_ref().filter(|_| plain).and_then(|find| find(path))
    }
}

/// A file in a folder; none that a link leads out of it.
fn read(folder: &Path, path: &str) -> Option<Page> {
    let folder = folder.canonicalize().ok()?;
    let file = folder.join(path).canonicalize().ok().filter(|file| file.starts_with(&folder))?;
    let about = file.metadata().ok().filter(|about| about.is_file() && about.len() <= FILE_BYTES_MAX);
    about?;
    Some(Page { kind: kind(path).into(), bytes: std::fs::read(file).ok()? })
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "webmanifest") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_folder_and_nothing_beside_it() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("studio");
        std::fs::create_dir_all(folder.join("assets")).unwrap();
        std::fs::write(folder.join("index.html"), "<p>").unwrap();
        std::fs::write(folder.join("assets/a.js"), "1").unwrap();
        std::fs::write(outer.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(outer.path().join("secret"), folder.join("link")).unwrap();
        let pages = Pages::folder(folder);
        assert_eq!(pages.find("index.html").unwrap().kind, "text/html; charset=utf-8");
        assert_eq!(pages.find("assets/a.js").unwrap().bytes, b"1");
        for path in [
            "",
            "assets",
            "../secret",
            "assets/../../secret",
            "link",
            "/etc/passwd",
            "a\0",
            "assets//a.js",
            "./index.html",
        ] {
            assert_eq!(pages.find(path), None, "{path:?}");
        }
        assert_eq!(Pages::default().find("index.html"), None);
    }
}
