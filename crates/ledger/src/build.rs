//! Building of blocks from waiting transactions, and validation of proposals. Clause B of `docs/spec/transactions.md`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use openmesh_primitives::{Address, Amount, Digest, Height, Timestamp, ValidatorKey};

use crate::block::{Block, BlockError, BlockLimits, Certificate, Header, Tip, commit_hash};
use crate::checked::CheckedBlock;
use crate::error::{CheckError, TransactionError};
use crate::event::Execution;
use crate::execute::{ExecuteError, Executor};
use crate::light::{self, LightError};
use crate::merkle::root_over_hashes;
use crate::modules::accounts::AccountsError;
use crate::modules::beacon::{beacon, beacon_input};
use crate::modules::evidence::EVIDENCE_PER_BLOCK_MAX;
use crate::modules::fees::tip_of_weight;
use crate::modules::validators::{last_validators, next_validators, validators};
use crate::rule_set::{RuleSets, RulesError};
use crate::rules::chain_id;
use crate::state::{StateError, StateRead};
use crate::transaction::{Class, Transaction};
use crate::upcoming::Upcoming;
use crate::verify::VerifiedTransaction;

/// A reason to vote against a proposal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// Malformed in itself.
    #[error("the block is malformed")]
    Block(#[from] BlockError),
    /// Of another network.
    #[error("the block is of chain {got}, this is chain {expected}")]
    Chain {
        /// This network.
        expected: u64,
        /// In the header.
        got: u64,
    },
    /// Not the next height.
    #[error("the block is of height {got}, {expected} is next")]
    Height {
        /// Next.
        expected: Height,
        /// In the header.
        got: Height,
    },
    /// Not on top of the tip.
    #[error("the block's parent is {got}, the tip is {expected}")]
    Parent {
        /// The tip.
        expected: Digest,
        /// In the header.
        got: Digest,
    },
    /// Another state: somebody computed differently.
    #[error("the block's state root is {got}, this node's is {expected}")]
    StateRoot {
        /// This node's.
        expected: Digest,
        /// In the header.
        got: Digest,
    },
    /// Not later than the parent.
    #[error("the block's time {got} is not after its parent's {parent}")]
    Time {
        /// The parent's.
        parent: Timestamp,
        /// In the header.
        got: Timestamp,
    },
    /// The commit of the parent is missing, or there is none to have.
    #[error("a block of height {0} and its last commit: from height 2 on there is one, before there is none")]
    NoLastCommit(Height),
    /// The commit of the parent does not hold.
    #[error("the block's last commit")]
    LastCommit(#[source] LightError),
    /// The commit of the parent in another form than the one allowed.
    #[error("the signatures of the block's last commit do not stand in ascending order of address")]
    LastCommitOrder,
    /// Another set of validators.
    #[error("the header's hash of the {which} validators is {got}, {expected} is expected")]
    Validators {
        /// `current` or `next`.
        which: &'static str,
        /// This node's.
        expected: Digest,
        /// In the header.
        got: Digest,
    },
    /// The proposer's part in the beacon does not hold.
    #[error("the header's beacon proof is not one of the proposer {proposer} for height {height}")]
    Beacon {
        /// In the header.
        proposer: Address,
        /// In the header.
        height: Height,
    },
    /// This node's store is broken.
    #[error(transparent)]
    State(#[from] StateError),
    /// This program has no rules for the block.
    #[error(transparent)]
    Rules(RulesError),
}

impl From<RulesError> for ProposalError {
    fn from(error: RulesError) -> ProposalError {
        match error {
            RulesError::State(error) => ProposalError::State(error),
            other => ProposalError::Rules(other),
        }
    }
}

/// Makes the next block by the rule sets of this crate; see [`build_block_on`].
pub fn build_block(
    state: &dyn StateRead,
    tip: &Tip,
    last_commit: Option<Certificate>,
    candidates: &[Arc<VerifiedTransaction>],
    proposer: &ValidatorKey,
    time: Timestamp,
    limits: &BlockLimits,
) -> Result<(Block, Execution), ExecuteError> {
    let upcoming = Upcoming::of(&RuleSets::built_in(), state, tip.height + 1)?;
    build_block_on(&upcoming, state, tip, last_commit, candidates, proposer, time, limits)
}

/// Picks transactions and makes the next block of them, by the rule set with which its height begins: evidence, attestations and
/// ballots in the order given as far as their reserved room goes, then account transactions by tip, each sender's by nonce, then
/// more attestations in what room is left. So neither class can crowd the other out. Every one has been tried on the state, so none
/// will be refused; that some attestations are tried after account transactions and stand before them makes no difference, because
/// no rule of the one class looks at what the other wrote in the same block, and what comes of both is put into the block's order.
/// `time` is raised if it is not after the tip's.
///
/// The proposer's key makes the block's part in the beacon (clause R), and nothing else here.
///
/// Returns the block with its execution, which is the same that [`crate::execute_block`] gives for it. Fails if the
/// proposer is no validator, or if the store does.
pub fn build_block_on(
    upcoming: &Upcoming,
    state: &dyn StateRead,
    tip: &Tip,
    last_commit: Option<Certificate>,
    candidates: &[Arc<VerifiedTransaction>],
    proposer: &ValidatorKey,
    time: Timestamp,
    limits: &BlockLimits,
) -> Result<(Block, Execution), ExecuteError> {
    let last_commit = last_commit.map(|mut commit| {
        commit.signatures.sort_by_key(|(address, _)| *address);
        commit
    });
    let (chain_id, height) = (chain_id(state)?, tip.height + 1);
    let input = beacon_input(chain_id, height, &beacon(state)?);
    // What belongs to consensus no migration has written, so the state before it has the same.
    let mut header = Header {
        version: upcoming.set().header_version,
        chain_id,
        height,
        time: time.max(Timestamp(tip.time.nanos().saturating_add(1))),
        parent: tip.block_hash,
        state_root: tip.state_root,
        transactions_root: Digest::ZERO,
        last_commit_hash: commit_hash(last_commit.as_ref()),
        proposer: proposer.public().address(),
        validators_hash: validators(state)?.hash(),
        next_validators_hash: next_validators(state)?.hash(),
        beacon_proof: proposer.vrf_prove(&input).map_err(|_| BlockError::BeaconProof)?,
    };
    let executor = Executor::begin(upcoming, state, &header, last_commit.as_ref())?;
    let base_fee = upcoming.base_fee();
    let mut picker = Picker { executor, base_fee, limits: *limits, picked: Default::default() };
    picker.pick_evidence(candidates)?;
    let of_validators = |c: &&VerifiedTransaction| matches!(c.class(), Class::Attestation | Class::Upgrade);
    let attestations = candidates.iter().map(Arc::as_ref).filter(of_validators);
    let left = picker.pick_attestations(attestations, limits.attestation_bytes_reserved)?;
    picker.pick_account_transactions(candidates)?;
    picker.pick_attestations(left.into_iter(), limits.bytes_max)?;
    let Picker { executor, picked, .. } = picker;
    let (hashes, transactions): (Vec<_>, Vec<_>) = picked.into_iter().flat_map(|picked| picked.transactions).unzip();
    header.transactions_root = root_over_hashes(&hashes);
    Ok((Block { header, last_commit, transactions }, executor.finish()?))
}

/// Validates a proposal by the rule sets of this crate; see [`validate_proposal_on`].
pub fn validate_proposal(state: &dyn StateRead, tip: &Tip, block: &Block) -> Result<(), ProposalError> {
    validate_proposal_on(&Upcoming::of(&RuleSets::built_in(), state, tip.height + 1)?, state, tip, block)
}

/// Validates a proposal by everything that is the same at every node, under the rule set with which its height begins. Only the
/// consensus engine knows if its time is near enough to now and if it was its proposer's turn. Fails with the first rule that the
/// block breaks.
pub fn validate_proposal_on(
    upcoming: &Upcoming,
    state: &dyn StateRead,
    tip: &Tip,
    block: &Block,
) -> Result<(), ProposalError> {
    validate_checked(state, tip, &block.hashed().check(upcoming, &[])?)
}

/// The part of [`validate_proposal_on`] for a block whose form was checked under the rule set with which its height begins.
pub fn validate_checked(state: &dyn StateRead, tip: &Tip, checked: &CheckedBlock<'_>) -> Result<(), ProposalError> {
    let block = checked.block();
    let header = &block.header;
    // Chain, validators and beacon are read before the migration, which cannot write them.
    let expected = chain_id(state)?;
    if header.chain_id != expected {
        return Err(ProposalError::Chain { expected, got: header.chain_id });
    }
    let expected = tip.height + 1;
    if header.height != expected {
        return Err(ProposalError::Height { expected, got: header.height });
    }
    if header.parent != tip.block_hash {
        return Err(ProposalError::Parent { expected: tip.block_hash, got: header.parent });
    }
    if header.state_root != tip.state_root {
        return Err(ProposalError::StateRoot { expected: tip.state_root, got: header.state_root });
    }
    if header.time <= tip.time {
        return Err(ProposalError::Time { parent: tip.time, got: header.time });
    }
    validate_last_commit(state, tip, block)?;
    validate_validators(state, header)
}

/// The parent was decided by more than two thirds of its validators, each signature verified.
fn validate_last_commit(state: &dyn StateRead, tip: &Tip, block: &Block) -> Result<(), ProposalError> {
    let height = block.header.height;
    match (&block.last_commit, last_validators(state)?) {
        (None, None) => Ok(()),
        (Some(commit), Some(set)) => {
            if !commit.signatures.is_sorted_by_key(|(address, _)| *address) {
                return Err(ProposalError::LastCommitOrder);
            }
            light::verify_certificate(block.header.chain_id, &set, tip.height, &tip.block_hash, commit)
                .map_err(ProposalError::LastCommit)
        }
        _ => Err(ProposalError::NoLastCommit(height)),
    }
}

fn validate_validators(state: &dyn StateRead, header: &Header) -> Result<(), ProposalError> {
    let (current, next) = (validators(state)?, next_validators(state)?);
    let hashes =
        [("current", current.hash(), header.validators_hash), ("next", next.hash(), header.next_validators_hash)];
    if let Some((which, expected, got)) = hashes.into_iter().find(|(_, expected, got)| expected != got) {
        return Err(ProposalError::Validators { which, expected, got });
    }
    let (proposer, height) = (header.proposer, header.height);
    let Some(validator) = current.get(&proposer) else { return Err(BlockError::Proposer(proposer).into()) };
    let input = beacon_input(header.chain_id, height, &beacon(state)?);
    let shown = validator.public_key.vrf_verify(&input, &header.beacon_proof);
    shown.map(|_| ()).map_err(|_| ProposalError::Beacon { proposer, height })
}

/// A block in the making.
struct Picker<'a> {
    executor: Executor<'a>,
    /// Of a unit of weight.
    base_fee: Amount,
    limits: BlockLimits,
    /// Transactions picked of each class, by [`Class::rank`].
    picked: [Picked; 3],
}

/// Transactions picked of one class.
#[derive(Default)]
struct Picked {
    bytes: u64,
    weight: u64,
    /// Hash and bytes of each.
    transactions: Vec<(Digest, Vec<u8>)>,
}

/// The outcome of trying a transaction.
enum Tried {
    Picked,
    NoRoom,
    Refused(TransactionError),
}

impl Picker<'_> {
    /// Evidence may take any room: it is bounded by its number, each piece has some hundred bytes, and a network that reserves less than
    /// that for attestations would never name whoever signs twice.
    fn pick_evidence(&mut self, candidates: &[Arc<VerifiedTransaction>]) -> Result<(), StateError> {
        let bytes_max = self.limits.bytes_max;
        let mut left = EVIDENCE_PER_BLOCK_MAX;
        for candidate in candidates.iter().filter(|c| c.class() == Class::Evidence) {
            if left > 0 && matches!(self.try_pick(candidate, bytes_max)?, Tried::Picked) {
                left -= 1;
            }
        }
        Ok(())
    }

    /// Returns those for which there is no room within `bytes_max` bytes of attestations.
    fn pick_attestations<'c>(
        &mut self,
        candidates: impl Iterator<Item = &'c VerifiedTransaction>,
        bytes_max: u64,
    ) -> Result<Vec<&'c VerifiedTransaction>, StateError> {
        let mut left = Vec::new();
        for candidate in candidates {
            if matches!(self.try_pick(candidate, bytes_max)?, Tried::NoRoom) {
                left.push(candidate);
            }
        }
        Ok(left)
    }

    /// The best paid transaction whose turn it is within its sender's own order, again and again.
    fn pick_account_transactions(&mut self, candidates: &[Arc<VerifiedTransaction>]) -> Result<(), StateError> {
        let bytes_max = self.limits.account_bytes_max();
        let mut queues = queues(candidates, self.base_fee);
        let mut heads: BinaryHeap<(Amount, Reverse<Digest>, Address)> = BinaryHeap::new();
        heads.extend(queues.iter().filter_map(|(sender, queue)| head(*sender, queue)));
        while let Some((_, _, sender)) = heads.pop() {
            let Some(queue) = queues.get_mut(&sender) else { continue };
            let Some((_, (_, candidate))) = queue.pop_first() else { continue };
            match self.try_pick(candidate, bytes_max)? {
                Tried::Picked | Tried::Refused(TransactionError::Accounts(AccountsError::NonceLow { .. })) => {
                    heads.extend(head(sender, queue))
                }
                // What comes later from this sender has to wait for this one.
                Tried::NoRoom | Tried::Refused(_) => {}
            }
        }
        Ok(())
    }

    /// Tries a transaction, if with it its class takes no more than `bytes_max` bytes and the block has room.
    fn try_pick(&mut self, candidate: &VerifiedTransaction, bytes_max: u64) -> Result<Tried, StateError> {
        let length = candidate.bytes().len() as u64;
        let weight = self.picked.iter().map(|p| p.weight).sum::<u64>() + candidate.transaction().weight();
        let all_bytes = self.picked.iter().map(|p| p.bytes).sum::<u64>() + length;
        let class = &mut self.picked[usize::from(candidate.class().rank())];
        if weight > self.limits.transactions_max
            || all_bytes > self.limits.bytes_max
            || class.bytes + length > bytes_max
        {
            return Ok(Tried::NoRoom);
        }
        match self.executor.apply(candidate) {
            Ok(()) => {
                class.bytes += length;
                class.weight += candidate.transaction().weight();
                class.transactions.push((candidate.hash(), candidate.bytes().to_vec()));
                Ok(Tried::Picked)
            }
            Err(CheckError::Refused(error)) => Ok(Tried::Refused(error)),
            Err(CheckError::State(error)) => Err(error),
        }
    }
}

/// A sender's transactions by nonce with the proposer's tip for a unit of weight; of several with the same nonce the best paid.
type Queue<'a> = BTreeMap<u64, (Amount, &'a VerifiedTransaction)>;

fn queues(candidates: &[Arc<VerifiedTransaction>], base_fee: Amount) -> BTreeMap<Address, Queue<'_>> {
    let mut queues: BTreeMap<Address, Queue<'_>> = BTreeMap::new();
    for candidate in candidates {
        let Transaction::Account(transaction) = candidate.transaction() else { continue };
        let queue = queues.entry(candidate.sender()).or_default();
        let tip = tip_of_weight(transaction.offer, transaction.action.descriptor().weight, base_fee);
        let better = queue.get(&transaction.nonce).is_none_or(|(known, _)| *known < tip);
        if better {
            queue.insert(transaction.nonce, (tip, candidate.as_ref()));
        }
    }
    queues
}

fn head(sender: Address, queue: &Queue<'_>) -> Option<(Amount, Reverse<Digest>, Address)> {
    queue.first_key_value().map(|(_, (tip, candidate))| (*tip, Reverse(candidate.hash()), sender))
}
