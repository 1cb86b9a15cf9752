//! Network namespaces of instances.
//!
//! A namespace belongs to a thread, so whatever is done in one is done in a thread of its own, which ends with it. The calling thread stays where it is: its
//! namespace is the host, for this crate.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread::Builder;

use nix::sched::{CloneFlags, setns};

use crate::error::LinksError;

/// Namespace of the calling thread.
pub(crate) const OWN: &str = "/proc/thread-self/ns/net";

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
        let (own, found) = own().and_then(|own| Ok((own, number(&self.file)?))).map_err(|source| self.error(source))?;
        if own == found {
            return Err(self.error(io::Error::other("it is the host's own, no instance's")));
        }
        Ok(())
    }

    fn error(&self, source: io::Error) -> LinksError {
        LinksError::Namespace { path: self.path.clone(), source }
    }

    /// Lets the calling thread enter it.
    fn take_in(&self) -> Result<(), LinksError> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| self.error(errno.into()))
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
        std::thread::scope(|scope| {
            let thread = Builder::new().name("namespace".to_string()).spawn_scoped(scope, || {
                self.take_in()?;
                act()
            });
            let thread = thread.map_err(|source| self.error(source))?;
            thread.join().unwrap_or_else(|_| Err(self.error(io::Error::other("the work in it panicked"))))
        })
    }
}

/// Device and number of the file of a namespace.
type Number = (u64, u64);

fn number(file: &File) -> io::Result<Number> {
    file.metadata().map(|about| (about.dev(), about.ino()))
}

/// The namespace of the calling thread.
fn own() -> io::Result<Number> {
    std::fs::metadata(OWN).map(|about| (about.dev(), about.ino()))
}

/// Runs a function in each of several namespaces, one after another, and returns what it said in each. All of it is done in one thread, which ends with the
/// last: a thread for each costs as much as a look at it.
///
/// Errors are each namespace's own, as those of [`Namespace::enter`]; after a panic those that come later are not entered either.
pub(crate) fn each<K: Copy + Send + Sync, T: Send>(
    namespaces: &[(K, &Namespace)],
    act: impl Fn(K) -> Result<T, LinksError> + Send,
) -> Vec<(K, Result<T, LinksError>)> {
    if namespaces.is_empty() {
        return Vec::new();
    }
    let host = own();
    let (tell, told) = channel();
    let work = move || {
        for (key, namespace) in namespaces {
            let is_host = match (&host, number(&namespace.file)) {
                (Ok(host), Ok(found)) => *host == found,
                // What cannot be told from the host is not entered.
                _ => true,
            };
            let entered = match is_host {
                true => Err(namespace.error(io::Error::other("it is the host's own, no instance's"))),
                false => namespace.take_in(),
            };
            // Nobody hears it only where the caller has gone.
            let _ = tell.send(entered.and_then(|()| act(*key)));
        }
    };
    let ended = std::thread::scope(|scope| {
        let thread = Builder::new().name("namespaces".to_string()).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| io::Error::other("the work in a namespace panicked"))
    });
    let words = ended.err().map_or_else(String::new, |error| error.to_string());
    let missing = |namespace: &Namespace| Err(namespace.error(io::Error::other(words.clone())));
    let mut found = told.into_iter();
    namespaces.iter().map(|(key, namespace)| (*key, found.next().unwrap_or_else(|| missing(namespace)))).collect()
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
        let own = || std::fs::metadata(OWN).map(|about| about.ino()).unwrap();
        let before = own();
        let seen = each(&[(1, &other), (2, &other)], |key| Ok((key, own())));
        let seen: Vec<(i32, u64)> = seen.into_iter().map(|(key, seen)| (key, seen.unwrap().1)).collect();
        assert_eq!(seen.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [1, 2]);
        assert!(seen.iter().all(|(_, inside)| *inside != before), "it was within");
        assert_eq!(own(), before, "the caller stays where it is");
        let fails = each(&[(1, &other), (2, &other), (3, &other)], |key| match key {
            1 => Ok(()),
            2 => Err(LinksError::Kernel { task: "try".to_string(), source: io::ErrorKind::Other.into() }),
            _ => panic!("expected in this test"),
        });
        let fails: Vec<bool> = fails.iter().map(|(_, done)| done.is_ok()).collect();
        assert_eq!(fails, [true, false, false]);
        drop(done);
    }
}
