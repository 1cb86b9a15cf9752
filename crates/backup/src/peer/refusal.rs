//! Refusals of lenders (B-73): each says what was wrong, and what helps.

use borsh::{BorshDeserialize, BorshSerialize};

/// Longest words of a failure, bytes: a path and the system's word.
const WORDS_BYTES_MAX: usize = 300;

/// A refusal of a lender.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
pub enum Refusal {
    /// The guest's key is in no loan.
    #[error(
        "it lends nothing to this machine's key; its owner gives room with `openmesh xnode lend give NAME --to KEY`, and `openmesh xnode backup-key show` prints the key"
    )]
    Stranger,
    /// The loan has ended, by its date or by a person.
    #[error("its loan has ended, and nothing new is taken; what is there can be read")]
    Over,
    /// No object has this name.
    #[error("it is not there")]
    Missing,
    /// The room that is lent is full.
    #[error(
        "the room that is lent is full: {wanted_bytes} bytes are wanted, and of {room_bytes} objects take {used_bytes} and removed ones that are withheld {held_bytes}; the lender's owner gives more, or keep fewer backups"
    )]
    Room {
        /// Room that is lent, bytes.
        room_bytes: u64,
        /// Room that objects take, bytes.
        used_bytes: u64,
        /// Room that removed objects take which are withheld, bytes.
        held_bytes: u64,
        /// Room that the object would take, bytes.
        wanted_bytes: u64,
    },
    /// There are too many objects of a kind.
    #[error("there are {most} objects of its kind, and no more are taken")]
    Objects {
        /// The most.
        most: u64,
    },
    /// The lender's own disk has no room beside what the machine needs itself.
    #[error("the disk of the lender is full, although room of the loan is left; its owner makes room")]
    Disk,
    /// The marker of a repository is never removed.
    #[error("the marker of a repository is not removed; the lender's owner ends the loan")]
    Protected,
    /// An object beyond the size of its kind.
    #[error("it is larger than {bytes_max} bytes, the most for its kind")]
    Size {
        /// The most bytes.
        bytes_max: u64,
    },
    /// Bytes that are not those of the name.
    #[error("its bytes are not those of its name")]
    Content,
    /// Too many connections, or the lender is about to start anew.
    #[error("it has too many connections, or starts anew; the next try may pass")]
    Crowded,
    /// A request that cannot be read.
    #[error("the request cannot be read; one of the two machines has another version")]
    Malformed,
    /// The lender's disk failed.
    #[error("its disk failed: {words}")]
    Failed {
        /// The system's word.
        words: String,
    },
    /// The key is one of an owner, which reads alone (B-83).
    #[error("the owner's key reads what is there, and stores and removes nothing")]
    Reader,
}

impl Refusal {
    /// Returns true where the lender ends the connection after it: nothing more is heard on it.
    pub fn ends_line(&self) -> bool {
        matches!(self, Refusal::Stranger | Refusal::Crowded | Refusal::Malformed)
    }

    /// A failure of the lender's disk, with a bounded part of its words.
    pub fn failed(words: &str) -> Refusal {
        let mut end = words.len().min(WORDS_BYTES_MAX);
        while !words.is_char_boundary(end) {
            end -= 1;
        }
        Refusal::Failed { words: words.get(..end).unwrap_or_default().to_string() }
    }

    /// The refusal as a person may read it: a stranger's words have no control characters, and are short.
    #[must_use]
    pub fn shown(self) -> Refusal {
        match self {
            Refusal::Failed { words } => {
                let words: String = words.chars().filter(|letter| !letter.is_control()).collect();
                Refusal::failed(&words)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_stranger_are_short_and_without_controls() {
        let Refusal::Failed { words } = Refusal::failed(&"ü".repeat(1000)) else { panic!("another one") };
        assert!(words.len() <= WORDS_BYTES_MAX && words.len() > WORDS_BYTES_MAX - 2);
        let shown = Refusal::Failed { words: "a\x1b[2Jb\n".into() }.shown();
        assert_eq!(shown, Refusal::Failed { words: "a[2Jb".into() });
        assert_eq!(Refusal::Disk.shown(), Refusal::Disk);
    }
}
