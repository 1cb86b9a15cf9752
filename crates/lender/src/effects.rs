//! The passage of every effect.

use std::io;
use std::sync::Arc;

use openmesh_backup::Refusal;

/// Called with the name of an effect before it (`"place object"`) and after it (`"place object done"`). An error stops the act there; tests kill the
/// process.
pub type Effects = Arc<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// Lets every effect pass.
pub fn free() -> Effects {
    Arc::new(|_| Ok(()))
}

/// The refusal of a failure of the lender's disk: a full one is told apart, since it passes once there is room.
pub(crate) fn of_disk(cause: &io::Error) -> Refusal {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::Disk,
        _ => Refusal::failed(&cause.to_string()),
    }
}

/// Does an effect between its two passages.
pub(crate) fn effect<T>(effects: &Effects, name: &str, act: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    let pass = |name: &str| effects(name).map_err(|cause| of_disk(&cause));
    pass(name)?;
    let done = act()?;
    pass(&format!("{name} done"))?;
    Ok(done)
}
