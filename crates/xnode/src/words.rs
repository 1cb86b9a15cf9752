//! Words for people.

use openmesh_shim::protocol::{Cause, End};

/// The end of a first process.
pub fn end(end: &End) -> String {
    let cause = match &end.cause {
        Cause::Exited { code } => format!("ended with code {code}"),
        Cause::Killed { name, .. } => format!("was ended by {name}"),
        Cause::NotCreated { reason } => format!("could not be made: {reason}"),
        Cause::NotStarted { reason } => format!("could not be started: {reason}"),
        Cause::Unseen => "ended while nobody looked".into(),
    };
    let memory = if end.out_of_memory { ", out of memory" } else { "" };
    format!("{cause}{memory} after {} ms", end.lasted_ms)
}
