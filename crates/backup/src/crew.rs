//! Threads that work for one act: jobs of which the caller's door sees each (B-37, B-44), and the end of all of them where one fails.
//!
//! # Why the door stays with the caller's thread
//! A door is no thing to be called by several at once: tests kill the process in it, and callers count. So it is passed before a job is given to a
//! thread, and again when the thread has told that the job is done. Between the two, other jobs may be under way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::door::{Door, pass};
use crate::error::BackupError;

/// Threads of an act, at most: more than the machine has processors do not help, and more than eight not the disk.
const THREADS_MAX: usize = 8;

/// Number of threads for work that takes a processor.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

/// Locks, also what a thread held that has panicked: its panic ends the act by itself.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The word that threads of one act end before their time.
#[derive(Debug, Default)]
pub(crate) struct Brake(AtomicBool);

impl Brake {
    /// Lets all of them end.
    pub(crate) fn pull(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Fails where it was pulled; the cause is with the one who pulled it.
    pub(crate) fn check(&self) -> Result<(), BackupError> {
        if self.0.load(Ordering::SeqCst) { Err(BackupError::Cancelled) } else { Ok(()) }
    }
}

/// The cause among results of threads of which one ended the others: the first error that says more than that it was stopped.
pub(crate) fn first(results: impl IntoIterator<Item = Result<(), BackupError>>) -> Result<(), BackupError> {
    let mut found = Ok(());
    for result in results {
        if result.is_err() && matches!(found, Ok(()) | Err(BackupError::Cancelled)) {
            found = result;
        }
    }
    found
}

/// An order to do jobs in threads.
pub(crate) struct Crew<'c> {
    /// The caller's door.
    pub door: Door<'c>,
    /// Name of the effect that each job is.
    pub name: &'c str,
    /// Threads.
    pub threads: usize,
    /// Jobs that are given before a thread is free for them.
    pub waiting: usize,
    /// Pulled as soon as one fails.
    pub brake: &'c Brake,
}

impl Crew<'_> {
    /// Does all jobs. `make` is called once by each thread and makes what does its jobs; `done` is called in the caller's thread.
    ///
    /// # Errors
    /// The first job that failed, the door, or `done`: then no further job is begun, and all threads have ended.
    pub(crate) fn work<J, R, F>(
        &self,
        jobs: impl Iterator<Item = J>,
        make: impl Fn() -> F + Sync,
        done: impl FnMut(R) -> Result<(), BackupError>,
    ) -> Result<(), BackupError>
    where
        J: Send,
        R: Send,
        F: FnMut(J) -> Result<R, BackupError>,
    {
        let (give, waiting) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let (waiting, brake) = (Mutex::new(waiting), self.brake);
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                let (waiting, make, tell) = (&waiting, &make, tell.clone());
                scope.spawn(move || {
                    let bell = Bell { tell, brake };
                    do_jobs(waiting, &bell, make());
                });
            }
            drop(tell);
            // Both ends go with this call: after an error the threads are given nothing more, and nobody hears them.
            let result = self.lead(jobs, give, told, done);
            if result.is_err() {
                brake.pull();
            }
            result
        })
    }

    fn lead<J, R>(
        &self,
        mut jobs: impl Iterator<Item = J>,
        give: Sender<J>,
        told: Receiver<Result<R, BackupError>>,
        mut done: impl FnMut(R) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let after = format!("{} done", self.name);
        let mut land = |result: Result<R, BackupError>| {
            let value = result?;
            pass(self.door, &after)?;
            done(value)
        };
        // None but after a panic, which is what the caller gets then.
        let next = || told.recv().unwrap_or(Err(BackupError::Cancelled));
        let mut flying = 0_usize;
        loop {
            while let Ok(result) = told.try_recv() {
                // A thread that panics before its first job tells of it too.
                flying = flying.saturating_sub(1);
                land(result)?;
            }
            while flying >= self.threads.max(1) + self.waiting {
                flying -= 1;
                land(next())?;
            }
            let Some(job) = jobs.next() else { break };
            pass(self.door, self.name)?;
            if give.send(job).is_err() {
                return Err(BackupError::Cancelled);
            }
            flying += 1;
        }
        (0..flying).try_for_each(|_| land(next()))
    }
}

/// A thread's way to tell; it tells of a panic too, so that nobody waits for a job that nobody does.
struct Bell<'b, R> {
    tell: Sender<Result<R, BackupError>>,
    brake: &'b Brake,
}

impl<R> Drop for Bell<'_, R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.tell.send(Err(BackupError::Cancelled));
            self.brake.pull();
        }
    }
}

fn do_jobs<J, R>(jobs: &Mutex<Receiver<J>>, bell: &Bell<'_, R>, mut act: impl FnMut(J) -> Result<R, BackupError>) {
    loop {
        let job = lock(jobs).recv();
        let Ok(job) = job else { return };
        let result = bell.brake.check().and_then(|()| act(job));
        let has_failed = result.is_err();
        // Told before the others are stopped, so that their words come after it.
        if bell.tell.send(result).is_err() || has_failed {
            return bell.brake.pull();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::io;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const THREADS: usize = 3;

    fn odd() -> BackupError {
        BackupError::damaged("packs/x", "odd")
    }

    fn is_odd(error: &BackupError) -> bool {
        matches!(error, BackupError::Damaged { what, .. } if what == "odd")
    }

    #[test]
    fn every_job_is_done_once_between_its_two_passages() {
        let (said, brake) = (RefCell::new(Vec::new()), Brake::default());
        let door = |name: &str| {
            said.borrow_mut().push(name.to_string());
            Ok(())
        };
        let crew = Crew { door: &door, name: "put", threads: THREADS, waiting: 1, brake: &brake };
        let mut found = BTreeSet::new();
        let double = || |job: usize| Ok(job * 2);
        crew.work(0..100, double, |value| {
            assert!(found.insert(value));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, (0..100).map(|job| job * 2).collect());
        let (mut flying, said) = (0, said.take());
        for name in &said {
            flying = if name == "put" { flying + 1 } else { flying - 1 };
            assert!((0..=THREADS as i32 + 1).contains(&flying), "{said:?}");
        }
        assert_eq!((said.len(), flying), (200, 0));
        brake.check().unwrap();
    }

    #[test]
    fn the_first_failure_ends_all_and_is_the_one_that_is_told() {
        for (bad, threads) in [(0, THREADS), (5, THREADS), (99, THREADS), (5, 1)] {
            let (brake, begun) = (Brake::default(), AtomicUsize::new(0));
            let crew = Crew { door: &crate::door::open, name: "put", threads, waiting: 1, brake: &brake };
            let count = &begun;
            let make = move || {
                move |job: usize| {
                    count.fetch_add(1, Ordering::SeqCst);
                    if job == bad { Err(odd()) } else { Ok(()) }
                }
            };
            let failed = crew.work(0..100, make, |()| Ok(())).unwrap_err();
            assert!(is_odd(&failed), "{failed}");
            assert!(brake.check().is_err(), "what else runs beside it ends too");
            assert!(threads > 1 || begun.load(Ordering::SeqCst) == bad + 1, "none is begun after it");
        }
    }

    #[test]
    fn a_door_that_is_shut_ends_all() {
        for word in ["put", "put done"] {
            let (brake, count) = (Brake::default(), RefCell::new(0));
            let door = |name: &str| {
                *count.borrow_mut() += i32::from(name == word);
                if *count.borrow() == 4 { Err(io::Error::other("shut")) } else { Ok(()) }
            };
            let crew = Crew { door: &door, name: "put", threads: THREADS, waiting: 0, brake: &brake };
            let mut done = 0;
            let failed = crew.work(
                0..100,
                || |_: usize| Ok(()),
                |()| {
                    done += 1;
                    Ok(())
                },
            );
            assert!(matches!(failed, Err(BackupError::Door { ref effect, .. }) if effect == word), "{failed:?}");
            assert!(done <= 3 && brake.check().is_err(), "{word}: {done}");
        }
    }

    #[test]
    fn what_is_made_of_a_result_may_fail_and_a_panic_is_the_callers() {
        let brake = Brake::default();
        let crew = Crew { door: &crate::door::open, name: "put", threads: THREADS, waiting: 1, brake: &brake };
        let check = |job: usize| if job == 7 { Err(odd()) } else { Ok(()) };
        let failed = crew.work(0..100, || |job: usize| Ok(job), check);
        assert!(failed.is_err_and(|error| is_odd(&error)));
        let brake = Brake::default();
        let crew = Crew { door: &crate::door::open, name: "put", threads: THREADS, waiting: 1, brake: &brake };
        let make = || |job: usize| if job == 7 { panic!("of a thread") } else { Ok(()) };
        let panicked = catch_unwind(AssertUnwindSafe(|| crew.work(0..100, make, |()| Ok(()))));
        assert!(panicked.is_err());
    }

    #[test]
    fn an_error_that_says_more_goes_before_a_stop() {
        let stop = || Err(BackupError::Cancelled);
        assert!(first([Ok(()), Ok(())]).is_ok());
        assert!(first([stop(), Err(odd()), stop()]).is_err_and(|error| is_odd(&error)));
        assert!(first([Err(odd()), stop()]).is_err_and(|error| is_odd(&error)));
        assert!(matches!(first([Ok(()), stop()]), Err(BackupError::Cancelled)));
    }
}
