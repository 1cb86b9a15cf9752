//! Records of windows.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, ContentId, Digest, Height, Timestamp};
use serde::{Deserialize, Serialize};

use super::attestation::ChunkClaim;
use super::keys;
use crate::state::{StateError, StateRead, read};

/// The progress of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct SourceProgress {
    /// The highest window that closed with attestations of more than a third of the assigned power.
    pub last_window: Option<u64>,
    /// Number of windows that have closed.
    pub windows_closed: u64,
    /// Number of chunks that were accepted.
    pub chunks_accepted: u64,
    /// Number of streams that closed in dispute.
    pub streams_disputed: u64,
    /// Number of streams that closed uncovered.
    pub streams_uncovered: u64,
    /// No window below this one is opened again: it may have left the state.
    pub first_window: u64,
}

/// A chunk that the network agreed on. Its key names source, window and stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct AcceptedChunk {
    /// CID of the canonical bytes.
    pub cid: ContentId,
    /// Their number.
    pub bytes: u64,
    /// Number of events.
    pub events: u32,
    /// Height at which it was accepted.
    pub height: Height,
}

/// The content of a validator's statement about a window: claims, and the streams that it abstains from, each in ascending
/// order. Of every other stream it says that there is no chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Said {
    /// Claims in ascending order of stream.
    pub chunks: Vec<ChunkClaim>,
    /// Streams that the validator did not cover.
    pub abstained: Vec<String>,
}

impl Said {
    /// Returns true if it claims nothing and abstains from something: who covered nothing has no word about any stream.
    pub fn abstains_from_all(&self) -> bool {
        self.chunks.is_empty() && !self.abstained.is_empty()
    }
}

/// A validator that abstained from streams of a window.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Abstention {
    /// The validator.
    pub validator: Address,
    /// `<symbol>/<feed>`, in ascending order.
    pub streams: Vec<String>,
}

/// A validator that differed in a stream.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Differing {
    /// `<symbol>/<feed>`.
    pub stream: String,
    /// The validator.
    pub validator: Address,
}

/// A window of a source.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct WindowRecord {
    /// The epoch that the first commitment pinned, or the first attestation where the network asks for no commitments.
    pub epoch: u64,
    /// The validators assigned in it, and their power, in ascending order of address.
    pub assigned: Vec<(Address, u64)>,
    /// The validator that opened it.
    pub opened_by: Address,
    /// Height of the block that opened it.
    pub opened_height: Height,
    /// It closes at the end of this block.
    pub closes_at: Height,
    /// True once it has closed.
    pub closed: bool,
    /// The validators that attested, in the order of inclusion.
    pub attested: Vec<Address>,
    /// Number of chunks that were accepted.
    pub accepted: u32,
    /// Streams of which more than two thirds of the power said that there is no chunk while somebody claimed one.
    pub absent: Vec<String>,
    /// Validators that differed, and in which stream.
    pub differing: Vec<Differing>,
    /// Streams with conflicting words and no quorum, known when it closes.
    pub disputed: Vec<String>,
    /// Streams that too few covered, known when it closes.
    pub uncovered: Vec<String>,
    /// Validators that abstained, known when it closes; before, their statements are at hand ([`said`]).
    pub abstained: Vec<Abstention>,
    /// Validators that committed, with their seals, in the order of inclusion; gone when it has closed.
    pub committed: Vec<(Address, Digest)>,
    /// Last height whose block takes commitments, if they are not over before ([`WindowRecord::commitments_over`]). 0 where the network
    /// asks for none.
    pub commits_until: Height,
    /// Height and time of the block with which more than two thirds of the power had committed.
    pub quorum: Option<(Height, Timestamp)>,
    /// Validators that committed and never opened it, known when it closes: they count as abstaining from every stream.
    pub unopened: Vec<Address>,
}

impl WindowRecord {
    /// A window that nobody has attested yet.
    pub(crate) fn new(epoch: u64, assigned: Vec<(Address, u64)>, opened_by: Address) -> WindowRecord {
        WindowRecord {
            epoch,
            assigned,
            opened_by,
            opened_height: 0,
            closes_at: 0,
            closed: false,
            attested: Vec::new(),
            accepted: 0,
            absent: Vec::new(),
            differing: Vec::new(),
            disputed: Vec::new(),
            uncovered: Vec::new(),
            abstained: Vec::new(),
            committed: Vec::new(),
            commits_until: 0,
            quorum: None,
            unopened: Vec::new(),
        }
    }

    /// Sum of the assigned power.
    pub fn assigned_power(&self) -> u64 {
        self.assigned.iter().map(|(_, power)| power).sum()
    }

    /// Power of one assigned validator.
    pub fn power_of(&self, validator: &Address) -> Option<u64> {
        self.assigned.iter().find(|(address, _)| address == validator).map(|(_, power)| *power)
    }

    /// Returns true if a validator abstained from a stream of this closed window.
    pub fn abstained_from(&self, validator: &Address, stream: &str) -> bool {
        let streams = self.abstained.iter().filter(|a| a.validator == *validator).flat_map(|a| &a.streams);
        streams.into_iter().any(|s| s == stream)
    }

    /// Power of those that attested.
    pub fn attested_power(&self) -> u64 {
        self.attested.iter().filter_map(|v| self.power_of(v)).sum()
    }

    /// The seal under which a validator committed.
    pub fn seal_of(&self, validator: &Address) -> Option<Digest> {
        self.committed.iter().find(|(address, _)| address == validator).map(|(_, seal)| *seal)
    }

    /// Returns true if a block of this height and time takes no more commitments, and attestations in their place.
    pub fn commitments_over(&self, height: Height, time: Timestamp, grace_ms: u64) -> bool {
        let waited = |(at, from): (Height, Timestamp)| {
            height > at && i128::from(time.millis()) >= i128::from(from.millis()) + i128::from(grace_ms)
        };
        height > self.commits_until || self.quorum.is_some_and(waited)
    }

    /// Power of those that committed.
    pub fn committed_power(&self) -> u64 {
        self.committed.iter().filter_map(|(address, _)| self.power_of(address)).sum()
    }

    /// Assigned validators that have not attested.
    pub fn not_attested(&self) -> Vec<Address> {
        self.assigned.iter().map(|(address, _)| *address).filter(|a| !self.attested.contains(a)).collect()
    }
}

/// The progress of a source.
pub fn source_progress(state: &dyn StateRead, id: &str) -> Result<SourceProgress, StateError> {
    Ok(read(state, &keys::progress(id))?.unwrap_or_default())
}

/// A window of a source.
pub fn window(state: &dyn StateRead, source: &str, number: u64) -> Result<Option<WindowRecord>, StateError> {
    read(state, &keys::window(source, number))
}

/// A validator's statement about a window that is still open. Fails if the store does.
pub fn said(state: &dyn StateRead, source: &str, window: u64, validator: &Address) -> Result<Option<Said>, StateError> {
    read(state, &keys::attestation(source, window, validator))
}

/// An accepted chunk. Fails if the store does.
pub fn chunk(
    state: &dyn StateRead,
    source: &str,
    window: u64,
    stream: &str,
) -> Result<Option<AcceptedChunk>, StateError> {
    read(state, &keys::chunk(source, window, stream))
}

/// The epoch that a window's first attestation pinned, if there was one. Fails if the store does.
pub fn pinned_epoch(state: &dyn StateRead, source: &str, number: u64) -> Result<Option<u64>, StateError> {
    Ok(window(state, source, number)?.map(|record| record.epoch))
}
