//! Refusals of stamps.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Height;
use serde::{Deserialize, Serialize};

use super::limits::{STAMP_NOTE_BYTES_MAX, STAMP_TOPIC_BYTES_MAX};

/// A refusal of a stamp.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum StampsError {
    /// A topic that is empty or too long.
    #[error("topic: it has {bytes} bytes, 1 to {STAMP_TOPIC_BYTES_MAX} are expected")]
    StampTopicLength {
        /// Of the topic.
        bytes: u64,
    },
    /// A topic with a control character.
    #[error("topic: a control character stands at byte {at}")]
    StampTopicControl {
        /// Position in the topic, from 0.
        at: u64,
    },
    /// A topic with another character than those allowed.
    #[error("topic: {character:?} at byte {at} is none of a-z, 0-9, -, _ and .")]
    StampTopicCharacter {
        /// Position in the topic, from 0.
        at: u64,
        /// The character.
        character: String,
    },
    /// A note that is too long.
    #[error("note: it has {bytes} bytes, at most {STAMP_NOTE_BYTES_MAX} are allowed; stamp the hash of what is longer")]
    StampNoteLength {
        /// Of the note.
        bytes: u64,
    },
    /// A note with a control character.
    #[error("note: a control character stands at byte {at}")]
    StampNoteControl {
        /// Position in the note, from 0.
        at: u64,
    },
    /// The account has stamped the hash under this topic already.
    #[error("the account has stamped this hash under this topic already, in block {height}")]
    StampExists {
        /// Of the block.
        height: Height,
    },
    /// The account has stamped as much as it may in this epoch.
    #[error("the account has made {max} stamps in this epoch, which are all that are allowed; go on in the next one")]
    StampsFull {
        /// As allowed.
        max: u32,
    },
}

impl StampsError {
    /// Stable name of the error; the same as `code` in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            StampsError::StampTopicLength { .. } => "stamp_topic_length",
            StampsError::StampTopicControl { .. } => "stamp_topic_control",
            StampsError::StampTopicCharacter { .. } => "stamp_topic_character",
            StampsError::StampNoteLength { .. } => "stamp_note_length",
            StampsError::StampNoteControl { .. } => "stamp_note_control",
            StampsError::StampExists { .. } => "stamp_exists",
            StampsError::StampsFull { .. } => "stamps_full",
        }
    }
}
