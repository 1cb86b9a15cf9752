//! An act in which nothing goes on while nobody serves.

use std::time::{Duration, Instant};

/// Time in which nothing of it went on before it counts as standing still: a disk that syncs much, and a store that answers late, are within it.
pub(super) const STILL: Duration = Duration::from_secs(600);

/// Watch over an act.
#[derive(Debug)]
pub(super) struct Watch {
    /// Its steps and its words when it was seen to go on.
    seen: (u64, String),
    since: Instant,
}

impl Watch {
    /// A watch that begins now.
    pub fn new(now: Instant) -> Watch {
        Watch { seen: (0, String::new()), since: now }
    }

    /// Looks at the steps of an act and at its words; true where both stand still for too long.
    pub fn stands(&mut self, steps: u64, words: &str, now: Instant) -> bool {
        if (self.seen.0, self.seen.1.as_str()) != (steps, words) {
            *self = Watch { seen: (steps, words.to_string()), since: now };
        }
        now.saturating_duration_since(self.since) >= STILL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_stands_still_where_neither_bytes_nor_words_go_on() {
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut watch = Watch::new(begun);
        assert!(!watch.stands(0, "begins", at(0)) && !watch.stands(0, "begins", at(599)));
        assert!(!watch.stands(1, "begins", at(600)), "a step");
        assert!(!watch.stands(1, "restores", at(1_199)), "another part of it");
        assert!(!watch.stands(1, "restores", at(1_798)) && watch.stands(1, "restores", at(1_799)));
        // Nothing is seen of an act that did not even begin.
        assert!(Watch::new(begun).stands(0, "", at(600)));
    }
}
