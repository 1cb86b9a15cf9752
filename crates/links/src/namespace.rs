//! Network namespaces of instances.
//!
//! A namespace belongs to a thread, so whatever is done in one is done in a thread of its own, which ends with it. The calling thread stays where it is: its
//! namespace is the host, for this crate.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns};

use crate::error::LinksError;

/// An open network namespace: it lives at least as long as this value.
#[derive(Debug)]
pub struct Namespace {
    path: PathBuf,
    file: File,
}

impl Namespace {
    /// The namespace of a process.
    ///
    /// # Errors
    /// The process has ended.
    pub fn of_process(pid: u32) -> Result<Namespace, LinksError> {
        Namespace::at(format!("/proc/{pid}/ns/net"))
    }

    /// The namespace that a path stands for: a file of `/proc/PID/ns`, or a bind mount of one.
    ///
    /// # Errors
    /// There is no such file.
    pub fn at(path: impl Into<PathBuf>) -> Result<Namespace, LinksError> {
        let path = path.into();
        match File::open(&path) {
            Ok(file) => Ok(Namespace { path, file }),
            Err(source) => Err(LinksError::Namespace { path, source }),
        }
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Runs a function in the namespace.
    ///
    /// # Errors
    /// The file is no network namespace, or entering it is not allowed; or the function's own.
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> Result<T, LinksError> + Send) -> Result<T, LinksError> {
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
