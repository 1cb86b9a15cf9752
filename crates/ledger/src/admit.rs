//! Whether a transaction may take effect: the same rules for the mempool, the proposer and the execution.
//! Clauses T and A of `docs/spec/transactions.md`, in the order in which they stand there.

use openmesh_primitives::{Address, Amount, Digest, Height, Timestamp};

use crate::state::{chain_id, read};
use crate::{
    Account, AccountTransaction, Action, Attestation, Class, EVIDENCE_AGE_BLOCKS_MAX, Params, SourceKind, SourceRecord,
    StateError, StateRead, Transaction, TransactionError, VerifiedTransaction, WINDOW_AHEAD_MEMPOOL_MS_MAX,
    WINDOW_AHEAD_MS_MAX, WINDOW_NUMBER_MAX, WindowRecord, assign, block_meta, epoch, epoch_first_height,
    epoch_of_height, keys, params, source, supply, verify_stateless, window,
};

/// Why a transaction does not get in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The sender's fault.
    #[error(transparent)]
    Refused(#[from] TransactionError),
    /// This node's fault.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What a mempool wants to know about a transaction that may take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// SHA-256 of the bytes.
    pub hash: Digest,
    /// Its class.
    pub class: Class,
    /// Account or validator; of evidence, whom it names.
    pub sender: Address,
    /// Of an account's transaction.
    pub nonce: Option<u64>,
    /// Of an account's transaction; zero for an attestation.
    pub fee: Amount,
    /// Length of the bytes.
    pub bytes: u64,
    /// The last height that may still include it, if there is one as things stand.
    pub expires_after_height: Option<Height>,
}

/// What the rules need to know beside the state itself.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub params: Params,
    pub chain_id: u64,
    pub epoch: u64,
    pub time: Timestamp,
    /// Of the block.
    pub height: Height,
    supply: Amount,
    window_ahead_ms_max: i64,
}

/// An attestation that may take effect: its window with the rules that hold for it.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub source: SourceRecord,
    pub window: WindowRecord,
    pub opens: bool,
}

impl Rules {
    /// For a block of this height and time.
    pub fn of_block(state: &impl StateRead, height: Height, time: Timestamp) -> Result<Rules, StateError> {
        let params = params(state)?;
        let epoch = epoch_of_height(height, params.epoch_blocks);
        let window_ahead_ms_max = WINDOW_AHEAD_MS_MAX;
        let (chain_id, supply) = (chain_id(state)?, supply(state)?);
        Ok(Rules { chain_id, epoch, time, height, supply, window_ahead_ms_max, params })
    }

    /// For a transaction that waits: the last block stands in for the next.
    pub fn of_mempool(state: &impl StateRead) -> Result<Rules, StateError> {
        let meta = block_meta(state)?;
        let rules = Rules::of_block(state, meta.height, meta.time)?;
        let height = meta.height + 1;
        Ok(Rules { window_ahead_ms_max: WINDOW_AHEAD_MEMPOOL_MS_MAX, height, ..rules })
    }

    pub fn size(&self, bytes: &[u8]) -> Result<(), TransactionError> {
        let (bytes, bytes_max) = (bytes.len() as u64, self.params.transaction_bytes_max);
        if bytes > bytes_max { Err(TransactionError::Size { bytes, bytes_max }) } else { Ok(()) }
    }

    pub fn chain(&self, got: u64) -> Result<(), TransactionError> {
        let expected = self.chain_id;
        if got == expected { Ok(()) } else { Err(TransactionError::Chain { expected, got }) }
    }

    /// No balance can exceed the supply; if one would, the state is not one that these rules made.
    pub fn credit(&self, account: Account, amount: Amount) -> Result<Account, StateError> {
        match account.balance.checked_add(amount) {
            Some(balance) if balance <= self.supply => Ok(Account { balance, ..account }),
            _ => Err(StateError::Damaged {
                key: "account/".to_string(),
                reason: format!("a balance would exceed the supply of {}", self.supply),
            }),
        }
    }

    /// Clause T: returns what the account loses.
    pub fn account(
        &self,
        state: &impl StateRead,
        transaction: &AccountTransaction,
        sender: Address,
        account: Option<Account>,
    ) -> Result<Amount, CheckError> {
        self.chain(transaction.chain_id)?;
        let account = account.ok_or(TransactionError::UnknownSender { account: sender })?;
        let (expected, got) = (account.nonce, transaction.nonce);
        if got < expected {
            return Err(TransactionError::NonceLow { expected, got }.into());
        }
        if got > expected {
            return Err(TransactionError::NonceGap { expected, got }.into());
        }
        let (min, amount) = match &transaction.action {
            Action::Transfer { amount, .. } => (self.params.fee_min, *amount),
            Action::RegisterSource(_) => (self.params.fee_min.max(self.params.source_fee_min), Amount::ZERO),
        };
        if transaction.fee < min {
            return Err(TransactionError::FeeLow { min, got: transaction.fee }.into());
        }
        // A sum beyond 128 bits is beyond any balance as well.
        let needed = amount.checked_add(transaction.fee).unwrap_or(Amount(u128::MAX));
        if needed > account.balance {
            return Err(TransactionError::Overdraft { account: sender, balance: account.balance, needed }.into());
        }
        if let Action::RegisterSource(spec) = &transaction.action {
            spec.validate().map_err(|fault| TransactionError::SourceInvalid { fault })?;
            if source(state, &spec.id)?.is_some() {
                return Err(TransactionError::SourceExists { id: spec.id.clone() }.into());
            }
            let max = self.params.sources_max;
            if source_count(state)? >= max {
                return Err(TransactionError::SourcesFull { max }.into());
            }
        }
        Ok(needed)
    }

    /// Clause A.
    pub fn attestation(
        &self,
        state: &impl StateRead,
        attestation: &Attestation,
        validator: Address,
    ) -> Result<Admission, CheckError> {
        self.chain(attestation.chain_id)?;
        let unknown = || TransactionError::UnknownSource { id: attestation.source.chars().take(64).collect() };
        let source = source(state, &attestation.source)?.ok_or_else(unknown)?;
        if let Some(reason) = attestation.claims_fault() {
            return Err(TransactionError::Claims { reason: reason.to_string() }.into());
        }
        if let Some(claim) = attestation.chunks.iter().find(|claim| !source.spec.has_stream(&claim.stream)) {
            let stream = claim.stream.chars().take(80).collect();
            return Err(TransactionError::UnknownStream { stream }.into());
        }
        self.window_time(&source, attestation.window)?;
        let (window, opens) = match window(state, &attestation.source, attestation.window)? {
            Some(window) => (self.later_attestation(window, attestation)?, false),
            None => (self.first_attestation(state, &source, attestation, validator)?, true),
        };
        if window.power_of(&validator).is_none() {
            return Err(TransactionError::NotAssigned { validator, epoch: window.epoch }.into());
        }
        if window.attested.contains(&validator) {
            return Err(TransactionError::DuplicateAttestation { validator }.into());
        }
        if opens {
            self.may_open(state, validator)?;
        }
        Ok(Admission { source, window, opens })
    }

    /// A window of a market must have ended, give or take the clocks' tolerance: a simulated market has this machine's clock, a
    /// recording's lies in the past. A chain's windows are blocks, which have numbers and no times.
    fn window_time(&self, source: &SourceRecord, window: u64) -> Result<(), TransactionError> {
        if source.spec.kind == SourceKind::Chain {
            let max = WINDOW_NUMBER_MAX;
            return if window <= max { Ok(()) } else { Err(TransactionError::WindowNumber { max }) };
        }
        let (end_ms, time_ms) = (source.spec.window_end_ms(window), self.time.millis());
        let latest = i128::from(time_ms) + i128::from(self.window_ahead_ms_max);
        if end_ms > latest {
            return Err(TransactionError::WindowAhead { end_ms: u64::try_from(end_ms).unwrap_or(u64::MAX), time_ms });
        }
        Ok(())
    }

    /// An open window keeps its epoch for as long as it is open, however many epochs begin meanwhile.
    fn later_attestation(
        &self,
        window: WindowRecord,
        attestation: &Attestation,
    ) -> Result<WindowRecord, TransactionError> {
        if window.closed {
            return Err(TransactionError::WindowClosed { height: window.closes_at });
        }
        let (pinned, got) = (window.epoch, attestation.epoch);
        if got == pinned { Ok(window) } else { Err(TransactionError::PinnedEpoch { pinned, got }) }
    }

    /// The first attestation pins the current epoch or the one before.
    fn first_attestation(
        &self,
        state: &impl StateRead,
        source: &SourceRecord,
        attestation: &Attestation,
        validator: Address,
    ) -> Result<WindowRecord, CheckError> {
        let (current, got) = (self.epoch, attestation.epoch);
        if got > current || current - got > 1 {
            return Err(TransactionError::WrongEpoch { current, got }.into());
        }
        if got < source.active_from_epoch {
            return Err(TransactionError::SourceNotActive { from_epoch: source.active_from_epoch }.into());
        }
        let record = epoch(state, got)?.ok_or(TransactionError::WrongEpoch { current, got })?;
        let assigned = assign(&record, &attestation.source, self.params.assigned_per_source);
        Ok(WindowRecord {
            epoch: got,
            assigned: assigned.iter().map(|v| (v.address, v.power)).collect(),
            opened_by: validator,
            opened_height: 0,
            closes_at: 0,
            closed: false,
            attested: Vec::new(),
            accepted: 0,
            absent: Vec::new(),
            differing: Vec::new(),
            disputed: Vec::new(),
        })
    }

    /// Attestations pay no fee, so the number of windows that a liar can open is limited in another way.
    fn may_open(&self, state: &impl StateRead, validator: Address) -> Result<(), CheckError> {
        let max = self.params.open_windows_max;
        let open = crate::validator_record(state, &validator)?.map_or(0, |record| record.open_windows);
        if open >= max { Err(TransactionError::OpenWindows { max }.into()) } else { Ok(()) }
    }
}

pub(crate) fn source_count(state: &impl StateRead) -> Result<u32, StateError> {
    Ok(read(state, keys::SOURCE_COUNT)?.unwrap_or(0))
}

/// Checks a transaction for the mempool: its signature, then against the state.
pub fn check_transaction(state: &impl StateRead, bytes: &[u8]) -> Result<Checked, CheckError> {
    check_verified(state, &verify_stateless(bytes)?)
}

/// The part against the state. Hand in an [`crate::Overlay`] to check against what waits already.
pub fn check_verified(state: &impl StateRead, verified: &VerifiedTransaction) -> Result<Checked, CheckError> {
    MempoolRules::of(state)?.check(state, verified)
}

/// What is the same for all transactions that wait for the next block: read once for each block, not for each of them.
#[derive(Clone, Debug)]
pub struct MempoolRules(Rules);

impl MempoolRules {
    /// After the state's last block.
    pub fn of(state: &impl StateRead) -> Result<MempoolRules, StateError> {
        Rules::of_mempool(state).map(MempoolRules)
    }

    /// The network's parameters.
    pub const fn params(&self) -> &Params {
        &self.0.params
    }

    /// [`check_verified`] against the state that these rules were read from.
    pub fn check(&self, state: &impl StateRead, verified: &VerifiedTransaction) -> Result<Checked, CheckError> {
        let MempoolRules(rules) = self;
        rules.size(verified.bytes())?;
        let sender = verified.sender();
        let checked = |nonce, fee, expires_after_height| Checked {
            hash: verified.hash(),
            class: verified.class(),
            sender,
            nonce,
            fee,
            bytes: verified.bytes().len() as u64,
            expires_after_height,
        };
        match verified.transaction() {
            Transaction::Account(transaction) => {
                let account = read(state, &keys::account(&sender))?;
                rules.account(state, transaction, sender, account)?;
                Ok(checked(Some(transaction.nonce), transaction.fee, None))
            }
            Transaction::Attestation(attestation) => {
                let admission = rules.attestation(state, attestation, sender)?;
                let last = if admission.opens {
                    // It must open its window in its own epoch or the next one.
                    epoch_first_height(attestation.epoch.saturating_add(2), rules.params.epoch_blocks) - 1
                } else {
                    admission.window.closes_at
                };
                Ok(checked(None, Amount::ZERO, Some(last)))
            }
            Transaction::Evidence(evidence) => {
                rules.evidence(state, evidence)?;
                let last = evidence.height.saturating_add(EVIDENCE_AGE_BLOCKS_MAX);
                Ok(checked(None, Amount::ZERO, Some(last)))
            }
        }
    }
}
