//! The door that every effect passes.

use std::io;

use crate::error::VolumeError;

/// Called with the name of an effect before it (`"reserve"`) and after it (`"reserve done"`). An error stops the act there; tests kill the process.
pub type Door<'a> = &'a dyn Fn(&str) -> io::Result<()>;

/// A door that lets everything pass.
///
/// # Errors
/// None.
pub fn open(_: &str) -> io::Result<()> {
    Ok(())
}

/// Does an effect between its two passages of the door.
pub(crate) fn effect<T>(
    door: Door<'_>,
    name: &str,
    act: impl FnOnce() -> Result<T, VolumeError>,
) -> Result<T, VolumeError> {
    pass(door, name)?;
    let result = act()?;
    pass(door, &format!("{name} done"))?;
    Ok(result)
}

fn pass(door: Door<'_>, name: &str) -> Result<(), VolumeError> {
    door(name).map_err(|cause| VolumeError::Door { effect: name.to_string(), cause })
}
