//! Room and time for the answers to one batch. Clause 4 of `docs/spec/rpc.md`.

use std::time::{Duration, Instant};

use openmesh_api::limits::{RPC_ANSWER_BYTES_MAX, RPC_BATCH_MS_MAX};
use serde_json::Value;

use crate::rpc::{Fault, LIMIT_EXCEEDED, Outcome, reply};

/// Room for the answers to a batch, and the reason for which the rest of it is not answered.
#[derive(Debug)]
pub struct Room {
    bytes_left: usize,
    deadline: Instant,
    ended: Option<&'static str>,
}

impl Room {
    /// The room of a batch that begins now.
    pub fn new(now: Instant) -> Room {
        let deadline = now + Duration::from_millis(RPC_BATCH_MS_MAX);
        Room { bytes_left: RPC_ANSWER_BYTES_MAX, deadline, ended: None }
    }

    /// Goes on with the next request. Fails where the rest of the batch is not answered.
    pub fn go_on(&mut self, now: Instant) -> Result<(), Fault> {
        if self.ended.is_none() && now >= self.deadline {
            self.ended = Some("it took too long");
        }
        self.ended.map_or(Ok(()), |why| Err(too_much(why)))
    }

    /// The answer to a request as text. A result that is longer than what is left is refused, and with it the rest of the batch.
    pub fn answer(&mut self, id: &Value, outcome: Outcome) -> String {
        let is_long = outcome.as_ref().is_ok_and(|result| result.get().len() > self.bytes_left);
        let text = match is_long {
            true => reply(id, Err(too_much(self.ended.insert("its answers are too long")))),
            false => reply(id, outcome),
        };
        self.bytes_left = self.bytes_left.saturating_sub(text.len());
        text
    }
}

fn too_much(why: &str) -> Fault {
    let message = format!("the rest of the batch is not answered: {why}");
    Fault::new(LIMIT_EXCEEDED, message, "ask for the rest in another one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::{METHOD_NOT_FOUND, raw};
    use serde_json::json;

    fn code(text: &str) -> Option<i64> {
        let answer: Value = serde_json::from_str(text).unwrap();
        assert_eq!(answer["id"], 7);
        answer["error"]["code"].as_i64()
    }

    #[test]
    fn a_batch_ends_with_the_first_result_that_has_no_room() {
        let now = Instant::now();
        let mut room = Room::new(now);
        let half = || raw(&"x".repeat(RPC_ANSWER_BYTES_MAX / 2));
        assert_eq!((room.go_on(now), code(&room.answer(&json!(7), half()))), (Ok(()), None));
        assert_eq!(code(&room.answer(&json!(7), half())), Some(i64::from(LIMIT_EXCEEDED)));
        let fault = room.go_on(now).unwrap_err();
        assert!(fault.message.contains("too long"), "{fault:?}");
        // A refusal has its own words all the same.
        let unknown = Err(Fault::new(METHOD_NOT_FOUND, "m", "h"));
        assert_eq!(code(&room.answer(&json!(7), unknown)), Some(i64::from(METHOD_NOT_FOUND)));
    }

    #[test]
    fn a_batch_ends_with_its_time() {
        let now = Instant::now();
        let mut room = Room::new(now);
        let end = now + Duration::from_millis(RPC_BATCH_MS_MAX);
        assert_eq!(room.go_on(end - Duration::from_millis(1)), Ok(()));
        assert_eq!(room.go_on(end).unwrap_err().code, LIMIT_EXCEEDED);
        assert!(room.go_on(now).is_err(), "it stays so");
        assert_eq!(code(&room.answer(&json!(7), raw(&1))), None, "a result that came has its answer");
    }
}
