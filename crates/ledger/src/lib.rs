//! The replicated state machine: what every node computes alike from the same blocks.
//!
//! # What it owns
//! Accounts and transfers, the register of data sources, validators' attestations of market data windows, the rule by
//! which a chunk is accepted, the layout of the state ([`keys`], `docs/spec/state.md`), the formats of transactions
//! and blocks (`docs/spec/transactions.md`) and the check that a light client makes ([`light`]).
//!
//! # Why it is shaped so
//! Every rule is a plain function of a state that can be read ([`StateRead`]) and a block; the result is a set of
//! writes ([`Execution`]) that somebody else stores. There is no clock, randomness, file, socket or thread in here, and
//! no float and no map with a random order, so that two nodes cannot come to different results and a failing case
//! can be replayed from its input alone. The storage sits behind a trait that this crate declares, because the rules
//! must not know where bytes live, and the simulator and the tests keep them in a map.
//!
//! Signatures cost far more than everything else here. So a transaction is checked in two steps:
//! [`verify_stateless`] (pure in the bytes, may run on any thread, once) and the check against the state. The
//! result is the same whether a caller hands in what it has verified or leaves it to [`execute_block`].
//!
//! # Invariants
//! - The sum of all balances is the supply of the genesis, after every block ([`check_supply`]).
//! - A refused transaction changes nothing; it leaves a receipt with its own error.
//! - At most one claim for a stream of a window is ever accepted, whatever the order of the attestations.
//!
//! # On failure
//! [`ExecuteError::State`] means that this node's own store is broken: the node must stop. [`ExecuteError::Block`]
//! means that the block must never have been decided; a correct network votes it away by [`validate_proposal`].

mod admit;
mod assign;
mod attestation;
mod block;
mod build;
mod events;
mod evidence;
mod execute;
mod genesis;
pub mod keys;
pub mod light;
mod limits;
mod merkle;
mod quorum;
mod source;
mod state;
mod transaction;
mod validators;
mod verify;
mod window;

pub use admit::{CheckError, Checked, MempoolRules, check_transaction, check_verified};
pub use assign::{assign, assigned, current_epoch, epoch_first_height, epoch_of_height, epoch_seed, pinned_epoch};
pub use attestation::{Attestation, ChunkClaim};
pub use block::{
    Block, BlockError, Certificate, HEADER_VERSION, Header, VoteKind, commit_hash, precommit_sign_bytes,
    vote_sign_bytes,
};
pub use build::{BlockLimits, ProposalError, build_block, validate_proposal};
pub use events::{Execution, IncidentKind, LedgerEvent, LedgerIncident, Receipt};
pub use evidence::{CONSENSUS, Evidence, SignedBlock, Step, proposal_sign_bytes};
pub use execute::{ExecuteError, execute_block, execute_block_verified};
pub use genesis::{Genesis, GenesisError, GenesisValidator, Params, Tip, initial_state};
pub use limits::*;
pub use merkle::transactions_root;
pub use source::{Origin, SourceError, SourceKind, SourceSpec};
pub use state::{
    AcceptedChunk, Account, BlockMeta, Differing, EpochRecord, Overlay, Pairs, SourceProgress, SourceRecord,
    StateError, StateRead, ValidatorRecord, WindowRecord, account, block_meta, check_supply, chunk, epoch, incident,
    incidents, last_validators, next_validators, params, source, source_progress, sources, supply, validator_record,
    validators, window,
};
pub use transaction::{AccountTransaction, Action, Class, Transaction, TransactionError, TypedField, TypedMessage};
pub use validators::{Validator, ValidatorSet, ValidatorSetError};
pub use verify::{VerifiedTransaction, check_transactions_batch, verify_stateless};
