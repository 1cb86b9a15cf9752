//! The door that every effect passes.

use std::io;

/// Called with the name of an effect before and after it; an error stands for one of the system, or for the process's death.
pub type Effect<'a> = &'a (dyn Fn(&str) -> io::Result<()> + Sync);

/// Lets every effect pass: the door where nothing is tested.
///
/// # Errors
/// Never.
pub fn open(_name: &str) -> io::Result<()> {
    Ok(())
}

/// Does something between two passages of its door.
pub(crate) fn through<T>(effect: Effect<'_>, name: &str, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    effect(name)?;
    let done = act()?;
    effect(name)?;
    Ok(done)
}
