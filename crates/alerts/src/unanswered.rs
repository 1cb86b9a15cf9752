//! Words for requests to others that nobody has answered.

use std::time::Duration;

use openmesh_primitives::root_cause;

/// The cause of an error of a client that waits for an answer for so long, without the address: that may hold a key.
pub fn words(error: &reqwest::Error, patience: Duration) -> String {
    match std::error::Error::source(error) {
        _ if error.is_timeout() => format!("no answer within {} s", patience.as_secs()),
        Some(source) => root_cause(source),
        None => "no answer".into(),
    }
}
