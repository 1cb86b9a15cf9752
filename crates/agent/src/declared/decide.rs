//! Decision about a document that a file has: pure.

use openmesh_primitives::Digest;
use serde::{Deserialize, Serialize};

/// Note of the document that was taken from the file last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    /// Its hash.
    pub document: Digest,
    /// Number of the generation in which it was taken.
    pub generation: u64,
}

/// The wanted generation, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Present {
    /// Its number.
    pub number: u64,
    /// Its maker.
    pub by: String,
    /// Hash of its document.
    pub document: Digest,
    /// Nobody but the agent has made a generation since the one of the mark.
    pub is_untouched: bool,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It was taken, and is what the machine has.
    Taken,
    /// It was taken, and the machine has something else by now: that stays.
    Differs,
    /// The machine has it, whoever brought it there: that is noted.
    Note,
    /// It is to be taken.
    Take,
    /// Taking it would undo what somebody did since.
    Touched,
}

/// Decides about the document that the file has now. There is no present one before the first generation.
pub(super) fn decide(file: Digest, mark: Option<Mark>, present: Option<&Present>) -> Decision {
    let Some(present) = present else { return Decision::Take };
    let is_there = present.document == file;
    match mark {
        Some(mark) if mark.document == file && is_there => Decision::Taken,
        Some(mark) if mark.document == file => Decision::Differs,
        _ if is_there => Decision::Note,
        Some(mark) if present.document == mark.document || present.is_untouched => Decision::Take,
        _ => Decision::Touched,
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::sha256;

    use super::*;

    fn hash(name: &str) -> Digest {
        sha256(&[name.as_bytes()])
    }

    fn present(number: u64, document: &str, is_untouched: bool) -> Present {
        Present { number, by: "alice".into(), document: hash(document), is_untouched }
    }

    fn mark(document: &str, generation: u64) -> Option<Mark> {
        Some(Mark { document: hash(document), generation })
    }

    #[test]
    fn a_document_is_taken_once_and_nothing_of_a_person_is_undone() {
        for (file, mark, present, expected) in [
            // The first one, also where a mark outlived what it was about.
            ("a", None, None, Decision::Take),
            ("a", mark("a", 4), None, Decision::Take),
            // A machine that had its document before: the same one is noted, another one is somebody's.
            ("a", None, Some(present(3, "a", false)), Decision::Note),
            ("a", None, Some(present(3, "b", false)), Decision::Touched),
            // Taken: not again, whatever came after it.
            ("a", mark("a", 3), Some(present(3, "a", true)), Decision::Taken),
            ("a", mark("a", 3), Some(present(5, "b", false)), Decision::Differs),
            ("a", mark("a", 3), Some(present(4, "b", true)), Decision::Differs),
            ("a", mark("a", 3), Some(present(6, "a", false)), Decision::Taken),
            // Another one follows where the machine has the one before, has come back from it by itself, or was brought back by a person.
            ("b", mark("a", 3), Some(present(3, "a", true)), Decision::Take),
            ("b", mark("a", 3), Some(present(4, "z", true)), Decision::Take),
            ("b", mark("a", 3), Some(present(6, "a", false)), Decision::Take),
            // Else it waits for a person, who may deploy it by hand.
            ("b", mark("a", 3), Some(present(5, "c", false)), Decision::Touched),
            ("b", mark("a", 3), Some(present(5, "b", false)), Decision::Note),
        ] {
            assert_eq!(decide(hash(file), mark, present.as_ref()), expected, "{file} {mark:?} {present:?}");
        }
    }
}
