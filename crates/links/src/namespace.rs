//! Network namespaces of instances.
//!
//! A namespace belongs to a thread, so whatever is done in one is done in a thread of its own, which ends with it. The calling thread stays where it is: its
//! namespace is the host, for this crate.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns};

use crate::error::LinksError;

/// Namespace of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// An open network namespace: it lives at least as long as this value.
#[derive(Debug)]
pub struct Namespace {
    path: PathBuf,
    file: File,
}

impl Namespace {
    /// The namespace of a process, told by its number and its start in clock ticks since the machine's: the number alone can be another process' by now.
    ///
    /// # Errors
    /// The process has ended, or its namespace is that of the calling thread.
    pub fn of_process(pid: u32, start_ticks: u64) -> Result<Namespace, LinksError> {
        let namespace = Namespace::at(format!("/proc/{pid}/ns/net"))?;
        // Looked at after the file is open: the same process then had the number all the while.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if start_of(&stat) == Some(start_ticks) {
            return Ok(namespace);
        }
        let source = io::Error::other(format!("process {pid} has ended, and its number may be another's"));
        Err(LinksError::Namespace { path: namespace.path, source })
    }

    /// The namespace that a path stands for: a file of `/proc/PID/ns`, or a bind mount of one.
    ///
    /// # Errors
    /// There is no such file, or the namespace is that of the calling thread.
    pub fn at(path: impl Into<PathBuf>) -> Result<Namespace, LinksError> {
        let path = path.into();
        match File::open(&path) {
            Ok(file) => {
                let namespace = Namespace { path, file };
                namespace.is_not_own()?;
                Ok(namespace)
            }
            Err(source) => Err(LinksError::Namespace { path, source }),
        }
    }

    /// Refuses the namespace of the calling thread, which is the host: what is done in an instance must never be done there.
    fn is_not_own(&self) -> Result<(), LinksError> {
        let error = |source| LinksError::Namespace { path: self.path.clone(), source };
        let (own, found) = (std::fs::metadata(OWN).map_err(error)?, self.file.metadata().map_err(error)?);
        if (own.dev(), own.ino()) == (found.dev(), found.ino()) {
            return Err(error(io::Error::other("it is the host's own, no instance's")));
        }
        Ok(())
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Runs a function in the namespace.
    ///
    /// # Errors
    /// The file is no network namespace, or that of the calling thread, or entering it is not allowed; or the function's own.
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> Result<T, LinksError> + Send) -> Result<T, LinksError> {
        self.is_not_own()?;
        let error = |source| LinksError::Namespace { path: self.path.clone(), source };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("namespace".to_string()).spawn_scoped(scope, || {
                setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| error(errno.into()))?;
                act()
            });
            let thread = thread.map_err(error)?;
            thread.join().unwrap_or_else(|_| Err(error(io::Error::other("the work in it panicked"))))
        })
    }
}

/// Start of a process, from `/proc/PID/stat`, whose second field is a name in parentheses that can hold anything.
fn start_of(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(namespace: Result<Namespace, LinksError>) -> String {
        let LinksError::Namespace { source, .. } = namespace.unwrap_err() else { panic!("another error") };
        source.to_string()
    }

    #[test]
    fn neither_the_host_nor_a_process_with_a_used_number_is_taken_for_an_instance() {
        let own = std::process::id();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let start = start_of(&stat).unwrap();
        assert!(text(Namespace::of_process(own, start)).contains("the host's own"));
        assert!(text(Namespace::at(OWN)).contains("the host's own"));
        assert_eq!(
            start_of("42 (a) S 1 (b)) S 7 42 42 0 -1 4194560 9 0 0 0 0 0 0 0 20 0 1 0 123456 9 9"),
            Some(123_456)
        );
        let (made, file) = std::sync::mpsc::channel();
        let (done, ends) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let path = nix::sched::unshare(CloneFlags::CLONE_NEWNET).ok();
            let path = path.and_then(|()| std::fs::read_link("/proc/thread-self").ok());
            made.send(path).unwrap();
            let _ = ends.recv();
        });
        let Some(thread) = file.recv().unwrap() else { return println!("skipped: these tests need root") };
        let other = Namespace::at(PathBuf::from("/proc").join(thread).join("ns/net")).unwrap();
        assert!(other.enter(|| Ok(())).is_ok());
        let within = other.enter(|| other.enter(|| Ok(())));
        assert!(within.is_err(), "the thread is in it already");
        drop(done);
    }
}
