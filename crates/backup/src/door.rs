//! The door that every effect passes.

use std::io;

use crate::error::BackupError;

/// Called with the name of an effect before it (`"put pack"`) and after it (`"put pack done"`), always in the caller's thread; between the two, other effects of
/// the name may be under way (B-44). An error stops the act there; tests kill the process.
pub type Door<'a> = &'a dyn Fn(&str) -> io::Result<()>;

/// A door that lets everything pass.
///
/// # Errors
/// None.
pub fn open(_: &str) -> io::Result<()> {
    Ok(())
}

/// Does an effect between its two passages of the door.
pub(crate) fn effect<T, E: Into<BackupError>>(
    door: Door<'_>,
    name: &str,
    act: impl FnOnce() -> Result<T, E>,
) -> Result<T, BackupError> {
    pass(door, name)?;
    let result = act().map_err(Into::into)?;
    pass(door, &format!("{name} done"))?;
    Ok(result)
}

/// Passes the door.
pub(crate) fn pass(door: Door<'_>, name: &str) -> Result<(), BackupError> {
    door(name).map_err(|cause| BackupError::Door { effect: name.to_string(), cause })
}
