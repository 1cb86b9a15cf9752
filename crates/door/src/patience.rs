//! Times that a door gives to clients and instances.

use std::time::Duration;

use crate::limits::{ANSWER_MS_MAX, GREETING_MS_MAX, HEAD_MS_MAX, UPLOAD_SILENCE_MS_MAX};

/// Times after which a door waits no longer. A door that serves has those of `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a TLS greeting and for the first byte of HTTP.
    pub greeting: Duration,
    /// For a whole head, and between two requests on one connection.
    pub head: Duration,
    /// For a silence in a request's body before its answer begins.
    pub upload: Duration,
    /// From the end of a request to the head of its answer.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            greeting: Duration::from_millis(GREETING_MS_MAX),
            head: Duration::from_millis(HEAD_MS_MAX),
            upload: Duration::from_millis(UPLOAD_SILENCE_MS_MAX),
            answer: Duration::from_millis(ANSWER_MS_MAX),
        }
    }
}
