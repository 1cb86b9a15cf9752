//! A fault that stops an entry of an archive.

use super::job::Refused;

/// Fault that stops an entry.
pub(super) enum Fault {
    /// A rule, or the system.
    Rule(Refused),
    /// The archive's own stream.
    Input(std::io::Error),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Fault {
        Fault::Rule(refused)
    }
}
