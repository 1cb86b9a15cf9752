//! The replicated state machine: what every node computes alike from the same blocks.
//!
//! # What it owns
//! Accounts and transfers, the register of data sources, stamps of hashes, validators' attestations of market data windows, the rule by
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
//! - Pools, accounts, deposits and what was burnt sum to the cap, after every block ([`check_supply`]).
//! - A refused transaction changes nothing; it leaves a receipt with its own error.
//! - At most one claim for a stream of a window is ever accepted, whatever the order of the attestations.
//!
//! # On failure
//! [`ExecuteError::State`] means that this node's own store is broken: the node must stop. [`ExecuteError::Block`]
//! means that the block must never have been decided; a correct network votes it away by [`validate_proposal`].

mod action;
mod block;
mod build;
mod checked;
mod context;
mod descriptor;
mod dispatch;
mod error;
mod event;
mod execute;
mod fact;
mod genesis;
pub mod keys;
pub mod light;
mod limits;
mod mempool;
mod merkle;
mod modules;
mod params;
mod registered;
mod retention;
mod rule_set;
mod rules;
mod state;
mod transaction;
mod upcoming;
mod verify;
mod vote;

pub use action::{Action, TypedField, TypedMessage};
pub use block::{
    Block, BlockError, BlockLimits, Certificate, HEADER_VERSION, HEADER_VERSIONS, Header, Tip, commit_hash,
};
pub use build::{
    ProposalError, build_block, build_block_on, validate_checked, validate_proposal, validate_proposal_on,
};
pub use checked::{CheckedBlock, HashedBlock, UnverifiedTransaction};
pub use descriptor::{ActionDescriptor, FieldDescriptor, FieldError, FieldInput, FieldKind, Fields};
pub use error::{CheckError, EnvelopeError, TransactionError};
pub use event::{Execution, LedgerEvent, Receipt};
pub use execute::{ExecuteError, execute_block, execute_block_on, execute_block_verified, execute_checked};
pub use fact::{Fact, FactProof};
pub use genesis::{Genesis, GenesisError, GenesisValidator, initial_state};
pub use limits::*;
pub use mempool::{Checked, MempoolRules, check_transaction, check_verified};
pub use merkle::{MerklePath, MerklePeaks, leaf_hash, transactions_root};
pub use modules::accounts::{Account, AccountsAction, AccountsError, AccountsEvent, AccountsParams, account};
pub use modules::beacon::{beacon, beacon_input, first_beacon, next_beacon};
pub use modules::deposits::{Deposit, DepositsEvent, deposit};
pub use modules::epochs::{
    ClosedEpoch, CurrentEpoch, DRAWN_AHEAD_EPOCHS, EPOCH_MS_MAX, EPOCH_MS_MIN, EPOCHS_KEPT, EpochKeys, EpochRecord,
    EpochsEvent, EpochsParams, MIX_BLOCKS_MAX, PRUNED_KEYS_PER_BLOCK_MIN, PRUNING_SPEED, assign, assigned,
    closed_epoch, current_epoch_record, epoch, epoch_keys, epoch_seed, epoch_validators, fact_peaks, turns_seed,
};
pub use modules::evidence::{
    CONSENSUS, EVIDENCE_AGE_BLOCKS_MAX, EVIDENCE_PER_BLOCK_MAX, Evidence, EvidenceError, EvidenceFact, SignedBlock,
    Step, proposal_sign_bytes,
};
pub use modules::fees::{
    BASE_FEE_MAX, BlockFees, BlockLoad, Charge, Fee, FeeEstimate, FeeOffer, FeesEvent, FeesParams, LOAD_WHOLE,
    base_fee, block_fees, estimate_fee, fee_of, next_base_fee, tip_of_weight, weight_fee,
};
pub use modules::incidents::{INCIDENT_DETAIL_BYTES_MAX, IncidentKind, LedgerIncident, incident, incidents};
pub use modules::sources::{
    Origin, SOURCE_FEEDS_MAX, SOURCE_SYMBOLS_MAX, SourceChange, SourceError, SourceKind, SourceRecord, SourceSpec,
    SourcesAction, SourcesError, SourcesEvent, SourcesParams, WINDOW_MS_MAX, WINDOW_MS_MIN, retired_source, source,
    source_or_retired, sources,
};
pub use modules::stamps::{
    STAMP_NOTE_BYTES_MAX, STAMP_TOPIC_BYTES_MAX, STAMPS_KEPT_EPOCHS_MAX, StampCount, StampName, StampRecord,
    StampsAction, StampsError, StampsEvent, StampsParams, stamp, stamp_at, stamp_count,
};
pub use modules::supply::{
    Allocation, AllocationError, AllocationFileError, FileFault, GRANTS_MAX, GROUPS, Grant, GroupSpec, POOLS, Pool,
    PoolAmount, PoolSpec, SUPPLY_CAP, Supply, check_supply, pool, pools, supply,
};
pub use modules::upgrades::{
    APPROVALS_PER_VALIDATOR_MAX, BALLOTS_PER_EPOCH_MAX, BallotCount, Lapse, LapsedPlan, PLAN_AHEAD_BLOCKS_MAX,
    PlanFault, PlanRecord, RELEASE_BYTES_MAX, RULES_OF_GENESIS, RulesInForce, Standing, UpgradeBallot, UpgradePlan,
    UpgradeRecord, UpgradeVote, UpgradesError, UpgradesEvent, ballot_count, known_versions, last_lapsed, plan, plans,
    plans_at, rules_in_force, standing, upgrades,
};
pub use modules::validators::{
    NearTurns, PRESENCE_BLOCKS, Share, Turns, VALIDATORS_MAX, Validator, ValidatorRecord, ValidatorSet,
    ValidatorSetError, last_validators, near_turns, next_validators, presence, proposer, proposer_index,
    validator_record, validators,
};
pub use modules::windows::{
    Abstention, AcceptedChunk, Attestation, CHUNK_CLAIMS_MAX, COMMIT_GRACE_MS_MAX, ChunkClaim, Commitment,
    DIFFERING_INCIDENTS_MAX, Differing, Said, SourceProgress, WINDOW_AHEAD_MEMPOOL_MS_MAX, WINDOW_AHEAD_MS_MAX,
    WINDOW_CLOSE_BLOCKS_MAX, WINDOW_NUMBER_MAX, WINDOW_SETTLE_MS, WindowRecord, WindowsError, WindowsEvent,
    WindowsFact, WindowsParams, chunk, pinned_epoch, said, source_progress, window,
};
pub use params::{BlocksParams, Params, params};
pub use registered::{REGISTERED_TAG_MIN, RegisteredAction};
pub use rule_set::{
    Migrate, MigrationWrites, RegisteredCall, RegisteredRules, RuleSet, RuleSets, RuleSetsError, RulesError,
};
pub use rules::{BlockMeta, block_meta, current_epoch};
pub use state::{Overlay, Pairs, StateError, StateRead};
pub use transaction::{AccountTransaction, Class, Transaction};
pub use upcoming::{Migration, Upcoming};
pub use verify::{RawTransaction, VerifiedTransaction, check_transactions_batch, verify_stateless};
pub use vote::{VoteKind, precommit_sign_bytes, vote_sign_bytes};
