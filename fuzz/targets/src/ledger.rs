//! The ledger: transactions and blocks as bytes, the genesis file, execution, and the light client.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_ledger::{
    self as ledger, AcceptedChunk, Account, AccountTransaction, AccountsAction, AccountsError, AccountsEvent, Action,
    Allocation, Attestation, BallotCount, Block, BlockLimits, Certificate, ChunkClaim, Commitment, Deposit,
    EnvelopeError, EpochRecord, EpochsParams, Evidence, Execution, Genesis, GenesisValidator, Header, LapsedPlan,
    LedgerEvent, LedgerIncident, Origin, Params, PlanRecord, Pool, REGISTERED_TAG_MIN, Receipt, RegisteredAction,
    RuleSets, RulesError, SUPPLY_CAP, SignedBlock, SourceKind, SourceProgress, SourceRecord, SourceSpec, SourcesAction,
    SourcesParams, StampRecord, StampsAction, Step, Supply, Tip, Transaction, TransactionError, Upcoming,
    UpgradeBallot, UpgradePlan, UpgradeRecord, UpgradeVote, Validator, ValidatorRecord, ValidatorSet,
    VerifiedTransaction, VoteKind, WindowRecord, WindowsParams, build_block, check_supply, execute_block,
    initial_state, light, precommit_sign_bytes, validate_proposal, verify_stateless, vote_sign_bytes,
};
use openmesh_primitives::{
    AccountKey, AccountSignature, Address, Amount, ContentId, Digest, Timestamp, ValidatorKey, canonical, sha256,
};

use crate::input::Input;

/// The network of the seeds.
pub const CHAIN_ID: u64 = 7117;
const SOURCE: &str = "kraken";
/// Order of secp256k1: `s` and the order less `s` belong to the same signature.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba, 0xae, 0xdc,
    0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// The account of a number.
fn account_key(n: u8) -> AccountKey {
    AccountKey::from_bytes([n % 4 + 1; 32]).expect("a key")
}

/// The validator of a number.
pub fn validator_key(n: u8) -> ValidatorKey {
    ValidatorKey::from_seed([n + 1; 32])
}

/// Transactions. `r`: bytes to be verified; `a`: an account's, made of bytes and altered; `v`: a validator's; `u`: its ballot about an
/// upgrade; `e`: evidence against one.
///
/// A transaction that verifies is the only encoding of itself, and nobody without the key can make of a valid transaction another
/// one of the same sender.
pub fn transaction(data: &[u8]) {
    match data.split_first() {
        Some((b'r', bytes)) => drop(verified(bytes)),
        Some((b'a', bytes)) => {
            let mut input = Input::new(bytes);
            let (key, nonce, fee) = (account_key(input.byte()), input.number(), Amount(u128::from(input.number())));
            let (at, mask) = (input.number() as usize, input.byte());
            let action = action(&mut input);
            let signed = AccountTransaction::sign(&key, CHAIN_ID, nonce, fee, action).expect("a signature");
            let bytes = Transaction::Account(signed.clone()).encode();
            let of = verified(&bytes).expect("what was signed verifies");
            assert_eq!(of.sender(), key.address());
            if let Ok(other) = verified(&altered(&bytes, at, mask)) {
                assert!(other.bytes() == bytes || other.sender() != key.address(), "two transactions of one signature");
            }
            for twin in twins(&signed.signature) {
                let twin = Transaction::Account(AccountTransaction { signature: twin, ..signed.clone() }).encode();
                assert_eq!(
                    verified(&twin).err(),
                    Some(TransactionError::Envelope(EnvelopeError::Signature)),
                    "a signature has a twin"
                );
            }
        }
        Some((b'v', bytes)) => {
            let mut input = Input::new(bytes);
            let key = validator_key(input.below(4));
            let (window, epoch, at, mask) = (input.number(), input.number(), input.number() as usize, input.byte());
            let signed =
                Attestation::sign(&key, CHAIN_ID, SOURCE, window, epoch, claims(&mut input), abstained(&mut input));
            let commitment = Transaction::Commitment(Commitment::to(&key, &signed)).encode();
            let changed = self::altered(&commitment, at, mask);
            assert!(changed == commitment || verified(&changed).is_err(), "an altered commitment verifies");
            let bytes = Transaction::Attestation(signed).encode();
            assert_eq!(verified(&bytes).expect("what was signed verifies").sender(), key.public().address());
            let altered = altered(&bytes, at, mask);
            assert!(altered == bytes || verified(&altered).is_err(), "an altered attestation verifies");
        }
        Some((b'u', bytes)) => {
            let mut input = Input::new(bytes);
            let key = validator_key(input.below(4));
            let (number, at, mask) = (input.number(), input.number() as usize, input.byte());
            let signed = UpgradeBallot::sign(&key, CHAIN_ID, number, vote(&mut input, 0));
            let bytes = Transaction::Upgrade(signed).encode();
            assert_eq!(verified(&bytes).expect("what was signed verifies").sender(), key.public().address());
            let altered = altered(&bytes, at, mask);
            assert!(altered == bytes || verified(&altered).is_err(), "an altered ballot verifies");
        }
        Some((b'e', bytes)) => {
            let mut input = Input::new(bytes);
            let (at, mask) = (input.number() as usize, input.byte());
            let bytes = Transaction::Evidence(evidence(&mut input, 1)).encode();
            drop(verified(&bytes));
            let altered = altered(&bytes, at, mask);
            assert!(altered == bytes || verified(&altered).is_err(), "altered evidence verifies");
        }
        _ => {}
    }
}

/// A ballot about plans near a height.
fn vote(input: &mut Input<'_>, height: u64) -> UpgradeVote {
    let kind = input.byte();
    if kind == 255 {
        return UpgradeVote::Ready { version: input.number() as u32 };
    }
    if kind == 254 {
        return UpgradeVote::Payout { account: Address([input.below(4); 20]) };
    }
    let near = height.saturating_add(u64::from(input.below(4)));
    let height = if input.byte() > 240 { input.number() } else { near };
    let plan = UpgradePlan {
        version: u32::from(input.below(3)),
        height,
        release: if input.byte() & 7 == 0 { text(input) } else { "openmesh-2".to_owned() },
        digest: Digest([input.below(2); 32]),
    };
    if kind & 3 == 0 { UpgradeVote::Withdraw { height, plan: plan.id() } } else { UpgradeVote::Approve(plan) }
}

/// Two votes of a validator, for the blocks that the input names.
fn evidence(input: &mut Input<'_>, height: u64) -> Evidence {
    let key = validator_key(input.below(4));
    let address = key.public().address();
    let round = i64::from(input.byte()) - 1;
    let (kind, step) =
        [(VoteKind::Prevote, Step::Prevote), (VoteKind::Precommit, Step::Precommit)][usize::from(input.below(2))];
    let mut vote = || {
        let block = (input.byte() & 3 != 0).then(|| Digest([input.below(3); 32]));
        let bytes = vote_sign_bytes(CHAIN_ID, kind, height, round, block.as_ref(), &address);
        SignedBlock { block, signature: key.sign(&bytes) }
    };
    let (first, second) = (vote(), vote());
    Evidence { chain_id: CHAIN_ID, public_key: key.public(), height, round, step, first, second }.in_order()
}

/// Verifies, and holds what was accepted against its bytes.
fn verified(bytes: &[u8]) -> Result<VerifiedTransaction, TransactionError> {
    let result = verify_stateless(bytes);
    if let Ok(transaction) = canonical::decode::<Transaction>(bytes) {
        assert_eq!(transaction.encode(), bytes, "two encodings of one transaction");
    }
    if let Ok(verified) = &result {
        assert_eq!(verified.transaction().encode(), bytes);
        assert_eq!((verified.hash(), verified.bytes()), (sha256(&[bytes]), bytes));
        let json = serde_json::to_string(verified.transaction()).expect("a transaction can be shown");
        assert_eq!(serde_json::from_str::<Transaction>(&json).ok().as_ref(), Some(verified.transaction()));
    }
    result
}

/// One byte altered, or for a mask of 0 one left out or one added.
fn altered(bytes: &[u8], at: usize, mask: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let place = at % bytes.len();
    match (mask, at % 2) {
        (0, 0) => drop(bytes.remove(place)),
        (0, _) => bytes.push(at as u8),
        _ => bytes[place] ^= mask,
    }
    bytes
}

/// Other spellings of a signature: the high `s` with the other parity, and `v` without 27.
fn twins(signature: &AccountSignature) -> Vec<AccountSignature> {
    let mut high = signature.0;
    let mut borrow = 0i16;
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(signature.0[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        high[32 + at] = difference as u8;
    }
    let mut both = high;
    both[64] = if high[64] == 27 { 28 } else { 27 };
    let mut low_v = signature.0;
    low_v[64] -= 27;
    [high, both, low_v].map(AccountSignature).to_vec()
}

fn text(input: &mut Input<'_>) -> String {
    String::from_utf8_lossy(input.short()).into_owned()
}

fn action(input: &mut Input<'_>) -> Action {
    let kind = input.byte();
    if kind == 255 {
        let tag = REGISTERED_TAG_MIN + input.below(16);
        return Action::from(RegisteredAction { tag, body: text(input) });
    }
    if kind & 1 == 0 {
        let to = [account_key(input.byte()).address(), Address(input.array())][usize::from(input.below(2))];
        return Action::Accounts(AccountsAction::Transfer { to, amount: Amount(u128::from_le_bytes(input.array())) });
    }
    if kind & 6 == 6 {
        let (hash, topic, note) = (Digest([input.below(3); 32]), text(input), text(input));
        let topic = if input.byte() & 1 == 0 { "drill".to_owned() } else { topic };
        return Action::Stamps(StampsAction::Stamp { hash, topic, note });
    }
    let mut list = |fallback: &str| -> Vec<String> {
        (0..input.below(4)).map(|n| if n == 0 { fallback.to_owned() } else { text(input) }).collect()
    };
    let (symbols, feeds) = (list("BTC.USD"), list("trades"));
    Action::Sources(SourcesAction::Register(SourceSpec {
        id: text(input),
        exchange: text(input),
        kind: if input.byte() & 1 == 0 { SourceKind::Market } else { SourceKind::Chain },
        symbols,
        feeds,
        window_ms: input.number() % 4_000_000,
        origin: [Origin::Live, Origin::Simulated, Origin::Replay][usize::from(input.below(3))],
    }))
}

fn claims(input: &mut Input<'_>) -> Vec<ChunkClaim> {
    let streams = ["BTC.USD/trades", "BTC.USD/book", "ETH.USD/trades", "nope"];
    let claim = |n: u8, input: &mut Input<'_>| ChunkClaim {
        stream: streams[usize::from(n % 4)].to_owned(),
        cid: ContentId::of(&[input.below(3)]),
        bytes: u64::from(input.byte()),
        events: u32::from(input.byte()),
    };
    (0..input.below(4)).map(|n| claim(n, input)).collect()
}

/// Streams to abstain from, some of them also claimed or out of order.
fn abstained(input: &mut Input<'_>) -> Vec<String> {
    let streams = ["BTC.USD/book", "BTC.USD/trades", "ETH.USD/trades", "nope"];
    (0..input.below(3)).map(|n| streams[usize::from(n + input.below(3)) % 4].to_owned()).collect()
}

/// Canonical bytes of every type that is stored or sent; the first byte says which. What decodes is the only encoding.
pub fn types(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 24 {
        0 => {
            if let Some(block) = one_form::<Block>(bytes) {
                let _ = block.verify_basic(&BlockLimits::of(&Params::default()));
                assert_eq!(block.hash(), block.header.hash());
                assert!(block.transaction_bytes() <= bytes.len() as u64);
            }
        }
        1 => drop(json_too::<Header>(bytes)),
        2 => drop(json_too::<Certificate>(bytes)),
        3 => {
            if let Some(set) = json_too::<ValidatorSet>(bytes) {
                assert!(!set.is_empty() && set.iter().all(|v| set.get(&v.address) == Some(v)));
                assert!(set.is_quorum(set.total_power()) && !set.is_quorum(set.total_power() / 3 * 2));
            }
        }
        4 => {
            if let Some(genesis) = json_too::<Genesis>(bytes) {
                assert_eq!(genesis.validate().is_ok(), initial_state(&genesis).is_ok());
            }
        }
        5 => drop(json_too::<Receipt>(bytes)),
        6 => drop(one_form::<LedgerEvent>(bytes)),
        7 => drop(json_too::<LedgerIncident>(bytes)),
        8 => drop(json_too::<WindowRecord>(bytes)),
        9 => drop(json_too::<SourceRecord>(bytes)),
        10 => drop(json_too::<AcceptedChunk>(bytes)),
        11 => drop(json_too::<EpochRecord>(bytes)),
        12 => drop(json_too::<ValidatorRecord>(bytes)),
        13 => drop(json_too::<Account>(bytes)),
        14 => drop(json_too::<SourceProgress>(bytes)),
        15 => drop(json_too::<Transaction>(bytes)),
        16 => drop(json_too::<Supply>(bytes)),
        17 => drop(json_too::<Pool>(bytes)),
        18 => drop(json_too::<Deposit>(bytes)),
        19 => drop(json_too::<StampRecord>(bytes)),
        20 => drop(json_too::<PlanRecord>(bytes)),
        21 => drop(json_too::<UpgradeRecord>(bytes)),
        22 => drop(json_too::<LapsedPlan>(bytes)),
        _ => drop(json_too::<BallotCount>(bytes)),
    }
}

fn one_form<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> Option<T> {
    let value: T = canonical::decode(bytes).ok()?;
    assert_eq!(canonical::encode(&value), bytes, "two encodings of one {}", std::any::type_name::<T>());
    Some(value)
}

fn json_too<T>(bytes: &[u8]) -> Option<T>
where
    T: BorshSerialize + BorshDeserialize + serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    let value: T = one_form(bytes)?;
    let json = serde_json::to_string(&value).expect("it can be shown");
    let again: T = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{json} cannot be read again: {e}"));
    assert_eq!(again, value);
    Some(value)
}

/// A genesis file: refused, or a network that gets through its first blocks with its supply whole. What is no JSON is read as the
/// file of an allocation.
pub fn genesis(data: &[u8]) {
    let Ok(genesis) = serde_json::from_slice::<Genesis>(data) else { return allocation(data) };
    let json = serde_json::to_string(&genesis).expect("what was read can be written");
    assert_eq!(serde_json::from_str::<Genesis>(&json).expect("and read again"), genesis);
    let Ok(state) = initial_state(&genesis) else { return assert!(genesis.validate().is_err()) };
    let mut net = Net::new(genesis, state);
    let (validators, source) = (net.known_validators(), net.genesis.sources.first().map(|s| s.id.clone()));
    for _ in 0..3 {
        let mut candidates = Vec::new();
        if let Some(id) = &source {
            let epoch = ledger::current_epoch(&net.state).expect("a whole state");
            let sign =
                |key: &ValidatorKey| Attestation::sign(key, net.genesis.chain_id, id, 0, epoch, Vec::new(), Vec::new());
            candidates.extend(validators.iter().map(|key| Transaction::Attestation(sign(key)).encode()));
        }
        net.block(&candidates, 1_000);
    }
}

/// The file of an allocation: refused at one of its lines, or the whole cap, and written as it is read.
fn allocation(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Allocation::from_file(text) {
        Ok(read) => {
            let sum = read.pools.iter().map(|pool| pool.amount.0).sum::<u128>();
            assert_eq!(sum, SUPPLY_CAP.0, "an allocation that is not the cap");
            assert_eq!(Allocation::from_file(&read.to_file()), Ok(read));
        }
        Err(error) => assert!((1..=text.lines().count().max(1)).contains(&error.line), "{error}"),
    }
}

/// A network of one process with its state in a map.
struct Net {
    genesis: Genesis,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    tip: Tip,
}

impl Net {
    fn new(genesis: Genesis, state: BTreeMap<Vec<u8>, Vec<u8>>) -> Net {
        let tip = Tip { height: 0, block_hash: genesis.hash(), state_root: root(&state), time: genesis.time };
        Net { genesis, state, tip }
    }

    /// Keys of the genesis' validators that the seeds use.
    fn known_validators(&self) -> Vec<ValidatorKey> {
        let of_genesis = |key: &ValidatorKey| self.genesis.validators.iter().any(|v| v.public_key == key.public());
        (0..4).map(validator_key).filter(of_genesis).collect()
    }

    /// Precommits for the tip of all whose keys are known; `None` where those are too few, or there is no block yet.
    fn last_commit(&self) -> Option<Certificate> {
        let (height, block_hash) = (self.tip.height, self.tip.block_hash);
        let sign = |key: &ValidatorKey| {
            let address = key.public().address();
            let bytes = precommit_sign_bytes(self.genesis.chain_id, height, 0, &block_hash, &address);
            (address, key.sign(&bytes))
        };
        let signatures = self.known_validators().iter().map(sign).collect();
        (height > 0).then_some(Certificate { height, round: 0, block_hash, signatures })
    }

    /// Builds a block of what verifies. `None`: nobody's key is known who could propose.
    fn build(&self, candidates: &[Vec<u8>], millis: i64) -> Option<Block> {
        let known = self.known_validators();
        let proposer = known.get(self.tip.height as usize % known.len().max(1))?;
        let time = Timestamp(self.tip.time.nanos().saturating_add(millis * 1_000_000));
        let candidates: Vec<_> = candidates.iter().filter_map(|b| verify_stateless(b).ok()).map(Arc::new).collect();
        let limits = BlockLimits::of(&self.genesis.params);
        let (tip, commit) = (&self.tip, self.last_commit());
        let (block, execution) = build_block(&self.state, tip, commit, &candidates, proposer, time, &limits)
            .expect("a block can be built of anything that verifies");
        assert_eq!(Ok(execution), execute_block(&self.state, &block), "the proposer's execution is everybody's");
        Some(block)
    }

    /// Builds a block, judges it, executes it twice and stores it.
    fn block(&mut self, candidates: &[Vec<u8>], millis: i64) {
        let Some(block) = self.build(candidates, millis) else { return };
        let known = self.known_validators();
        let strangers = self.genesis.validators.iter().any(|v| known.iter().all(|key| key.public() != v.public_key));
        if block.header.time <= self.tip.time || (self.tip.height > 0 && strangers) {
            // The end of time, after which no block follows; or validators whose commit nobody here can sign.
            return;
        }
        assert_eq!(validate_proposal(&self.state, &self.tip, &block), Ok(()), "one's own block is refused");
        let execution = self.execute(&block);
        assert!(execution.receipts.iter().all(Receipt::ok), "what was picked is refused");
    }

    fn execute(&mut self, block: &Block) -> Execution {
        let execution = execute_block(&self.state, block).expect("a judged block executes");
        assert_eq!(execute_block(&self.state, block).as_ref(), Ok(&execution), "two executions differ");
        assert_eq!(execution.receipts.len(), block.transactions.len());
        for (key, value) in &*execution.all_writes() {
            match value {
                Some(value) => drop(self.state.insert(key.clone(), value.clone())),
                None => drop(self.state.remove(key)),
            }
        }
        let height = block.header.height;
        self.tip = Tip { height, block_hash: block.hash(), state_root: root(&self.state), time: block.header.time };
        let (_, whole) = check_supply(&self.state).expect("a whole state");
        assert!(whole, "money was made or lost at height {height}");
        execution
    }
}

fn root(state: &BTreeMap<Vec<u8>, Vec<u8>>) -> Digest {
    sha256(&[&canonical::encode(state)])
}

/// The first block of a network, without transactions.
pub fn first_block(genesis: &Genesis) -> Block {
    let state = initial_state(genesis).expect("a sound genesis");
    Net::new(genesis.clone(), state).build(&[], 1_000).expect("a validator whose key is known")
}

fn network(powers: [u64; 4], params: Params) -> Genesis {
    let validator = |(n, power): (usize, &u64)| GenesisValidator {
        public_key: validator_key(n as u8).public(),
        power: *power,
        name: format!("v{n}"),
        payout: None,
    };
    let source = |id: &str, origin| SourceSpec {
        id: id.to_owned(),
        exchange: "kraken".to_owned(),
        kind: SourceKind::Market,
        symbols: vec!["BTC.USD".to_owned(), "ETH.USD".to_owned()],
        feeds: vec!["book".to_owned(), "trades".to_owned()],
        window_ms: 10_000,
        origin,
    };
    Genesis {
        chain_id: CHAIN_ID,
        name: "fuzz".to_owned(),
        time: Timestamp::from_millis(1_786_309_548_000),
        validators: powers.iter().enumerate().map(validator).collect(),
        accounts: (0..3).map(|n| (account_key(n).address(), Amount::open(1_000))).collect(),
        sources: vec![source(SOURCE, Origin::Replay), source("live", Origin::Live)],
        source_owners: Default::default(),
        allocation: Default::default(),
        params,
    }
}

/// Blocks of transactions made of bytes: wrong nonces, foreign chains, windows and epochs at the ends of their ranges.
/// Nothing stops the machine, money is neither made nor lost, a block of what verifies is one that others accept, and a
/// block that is not judged first is executed or refused, alike at every node.
pub fn execute(data: &[u8]) {
    let mut input = Input::new(data);
    let powers = [0; 4].map(|_: u64| 1 + u64::from(input.below(4)));
    let params = Params {
        epochs: EpochsParams { epoch_ms: 1_000 * (1 + u64::from(input.below(4))), ..EpochsParams::default() },
        windows: WindowsParams {
            window_close_blocks: 1 + u64::from(input.below(3)),
            open_windows_max: 1 + u32::from(input.below(4)),
            commitments: input.byte() & 1 == 0,
            ..WindowsParams::default()
        },
        sources: SourcesParams { assigned_per_source: 1 + u32::from(input.below(5)), ..SourcesParams::default() },
        ..Params::default()
    };
    let genesis = network(powers, params);
    let state = initial_state(&genesis).expect("a sound genesis");
    let mut net = Net::new(genesis, state);
    for _ in 0..12 {
        if input.is_empty() {
            break;
        }
        if let Err(error) = Upcoming::of(&RuleSets::built_in(), &net.state, net.tip.height + 1) {
            // Validators have agreed on rules that nobody has: this program must not go on.
            assert!(matches!(error, RulesError::Unknown { version: 2, newest: 1, .. }), "{error}");
            break;
        }
        let transactions: Vec<Vec<u8>> = (0..input.below(5)).map(|_| step(&net, &mut input)).collect();
        let millis = i64::from(input.byte()) * 100;
        if input.byte() & 7 == 0 {
            // Straight in, as a block of a wrong majority would come.
            let empty = net.build(&[], millis).expect("validators whose keys are known");
            let transactions_root = ledger::transactions_root(&transactions);
            let block = Block { header: Header { transactions_root, ..empty.header }, transactions, ..empty };
            if execute_block(&net.state, &block).is_ok() {
                net.execute(&block);
            }
        } else {
            net.block(&transactions, millis);
        }
    }
}

/// A transaction for the next block, right for the most part.
fn step(net: &Net, input: &mut Input<'_>) -> Vec<u8> {
    let chain_id = if input.byte() == 255 { 1 } else { CHAIN_ID };
    let kind = input.byte();
    if kind == 254 {
        return Transaction::Evidence(evidence(input, net.tip.height)).encode();
    }
    if kind == 253 {
        let key = validator_key(input.below(5));
        let cast = ledger::ballot_count(&net.state, &key.public().address()).map_or(0, |count| count.next);
        let number = if input.byte() > 240 { input.number() } else { cast };
        let ballot = UpgradeBallot::sign(&key, chain_id, number, vote(input, net.tip.height));
        return Transaction::Upgrade(ballot).encode();
    }
    if kind & 1 == 0 {
        let key = account_key(input.byte());
        let nonce = ledger::account(&net.state, &key.address()).map_or(0, |a| a.nonce);
        let wrong = input.byte();
        let nonce = if wrong < 224 { nonce } else { nonce.wrapping_add(u64::from(wrong)).wrapping_sub(230) };
        let fee = Amount(u128::from(input.byte()) << [40, 60, 90, 120][usize::from(input.below(4))]);
        let action = action(input);
        let signed = AccountTransaction::sign(&key, chain_id, nonce, fee, action).expect("a signature");
        return Transaction::Account(signed).encode();
    }
    let key = validator_key(input.below(5));
    let source = [SOURCE, "live", "nope"][usize::from(input.below(3))];
    let near = u64::from(input.below(4));
    let window = match input.below(6) {
        0 => u64::MAX - near,
        1 => 178_630_954 + near,
        _ => near,
    };
    let epoch = ledger::current_epoch(&net.state).unwrap_or(0);
    let epoch = if input.byte() > 240 { input.number() } else { epoch };
    let signed = Attestation::sign(&key, chain_id, source, window, epoch, claims(input), abstained(input));
    if input.byte() & 1 == 0 {
        return Transaction::Commitment(Commitment::to(&key, &signed)).encode();
    }
    Transaction::Attestation(signed).encode()
}

/// A header with precommits of some validators, one field of it altered: believed exactly where different validators of
/// more than two thirds of the power have signed these very bytes.
pub fn light_client(data: &[u8]) {
    let mut input = Input::new(data);
    let count = 1 + input.below(6);
    let powers: Vec<u64> = (0..count).map(|_| 1 + u64::from(input.byte())).collect();
    let keys: Vec<ValidatorKey> = (0..count).map(validator_key).collect();
    let list = keys.iter().zip(&powers).map(|(key, power)| Validator::new(key.public(), *power, "v")).collect();
    let set = ValidatorSet::new(list).expect("a sound set");
    let mut header = Header {
        height: input.number(),
        state_root: Digest(input.array()),
        validators_hash: set.hash(),
        ..first_block(&network([1; 4], Params::default())).header
    };
    let round = i64::from(input.byte()) - 1;
    let hash = header.hash();
    let mut signatures = Vec::new();
    let signers = input.byte();
    for key in keys.iter().enumerate().filter(|(n, _)| signers >> n & 1 == 1).map(|(_, key)| key) {
        let address = key.public().address();
        let bytes = precommit_sign_bytes(CHAIN_ID, header.height, round, &hash, &address);
        signatures.push((address, key.sign(&bytes)));
    }
    let of = |address: &Address| set.get(address).map_or(0, |v| v.power);
    let signed: u64 = signatures.iter().map(|(address, _)| of(address)).sum();
    let total: u64 = powers.iter().sum();
    let mut certificate = Certificate { height: header.height, round, block_hash: hash, signatures };
    let trusted = light::verify(CHAIN_ID, &set, &header, &certificate);
    assert_eq!(trusted.is_ok(), signed * 3 > total * 2, "{signed} of {total} signed: {trusted:?}");
    // Now with one thing altered, as bytes: then only who signed may be said again, and nothing else.
    let mut bytes = canonical::encode(&(&header, &certificate));
    let (at, mask) = (input.number() as usize % bytes.len(), input.byte());
    bytes[at] ^= mask;
    if let Ok(altered) = canonical::decode::<(Header, Certificate)>(&bytes) {
        (header, certificate) = altered;
        let believed = light::verify(CHAIN_ID, &set, &header, &certificate).is_ok();
        assert!(!believed || (mask == 0 && trusted.is_ok()), "an altered header or certificate is believed");
    }
    if let Some(first) = certificate.signatures.first().copied() {
        certificate.signatures.push(first);
        assert!(light::verify(CHAIN_ID, &set, &header, &certificate).is_err(), "a signature counts twice");
    }
}

/// Seeds of [`transaction`].
pub fn transaction_seeds() -> Vec<Vec<u8>> {
    let made = |kind: u8, fill: &[u8]| [&[kind], fill].concat();
    let filler: Vec<u8> = (0u8..120).map(|n| n.wrapping_mul(29)).collect();
    let transfer = Action::Accounts(AccountsAction::Transfer { to: Address([9; 20]), amount: Amount::open(1) });
    let spec = network([1; 4], Params::default()).sources.remove(0);
    let mut seeds = vec![
        made(b'a', &[0; 40]),
        made(b'a', &filler),
        made(b'a', &[&[1; 26][..], b"\x01\x02\x03ETH\x01\x02x1\x06source\x06kraken"].concat()),
        made(b'v', &[0; 40]),
        made(b'v', &filler),
        made(b'u', &[0; 40]),
        made(b'u', &filler),
    ];
    let stamp = StampsAction::Stamp { hash: Digest([1; 32]), topic: "drill".to_owned(), note: "a note".to_owned() };
    let registered = Action::from(RegisteredAction { tag: REGISTERED_TAG_MIN, body: "x".to_owned() });
    for action in [transfer, Action::Sources(SourcesAction::Register(spec)), Action::Stamps(stamp), registered] {
        let signed = AccountTransaction::sign(&account_key(0), CHAIN_ID, 3, Amount(1 << 40), action);
        seeds.push(made(b'r', &Transaction::Account(signed.expect("a signature")).encode()));
    }
    let claims = claims(&mut Input::new(&[3, 1, 1, 1, 2, 2, 2, 0, 0, 0]));
    let two = evidence(&mut Input::new(&[1, 1, 1, 1, 0, 1, 1]), 5);
    seeds.push(made(b'r', &Transaction::Evidence(two).encode()));
    seeds.push(made(b'e', &[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1]));
    let attestation =
        Attestation::sign(&validator_key(0), CHAIN_ID, SOURCE, 5, 1, claims, vec!["ETH.USD/trades".into()]);
    seeds.push(made(b'r', &Transaction::Attestation(attestation).encode()));
    for vote in [UpgradeVote::Approve(plan()), UpgradeVote::Ready { version: 2 }] {
        let ballot = UpgradeBallot::sign(&validator_key(0), CHAIN_ID, 0, vote);
        seeds.push(made(b'r', &Transaction::Upgrade(ballot).encode()));
    }
    seeds
}

fn plan() -> UpgradePlan {
    UpgradePlan { version: 2, height: 9, release: "openmesh-2".to_owned(), digest: Digest([2; 32]) }
}

/// Seeds of [`types`].
pub fn types_seeds() -> Vec<Vec<u8>> {
    let genesis = network([1, 2, 3, 4], Params::default());
    let state = initial_state(&genesis).expect("a sound genesis");
    let set = genesis.validator_set().expect("a sound set");
    let empty = first_block(&genesis);
    let header = first_block(&genesis).header;
    let signature = (Address([1; 20]), validator_key(0).sign(b"x"));
    let certificate = Certificate { height: 1, round: 0, block_hash: header.hash(), signatures: vec![signature] };
    let transactions: Vec<Vec<u8>> =
        transaction_seeds().into_iter().filter(|s| s[0] == b'r').map(|s| s[1..].to_vec()).collect();
    let record = SourceRecord {
        spec: genesis.sources[0].clone(),
        owner: Some(Address([3; 20])),
        registered_height: 4,
        registered_time: genesis.time,
        active_from_epoch: 1,
        changed: None,
        retires_from_epoch: None,
    };
    let receipt = Receipt {
        hash: Digest([1; 32]),
        index: 0,
        class: ledger::Class::Account,
        sender: None,
        nonce: Some(1),
        fee: Amount::ZERO,
        tip: Amount::ZERO,
        error: Some(TransactionError::Accounts(AccountsError::NonceGap { expected: 1, got: 2 })),
    };
    let value = |key: &[u8]| state.get(key).cloned().unwrap_or_default();
    let stamp = StampRecord {
        hash: Digest([1; 32]),
        topic: "drill".to_owned(),
        account: Address([2; 20]),
        note: String::new(),
        height: 3,
        number: 4,
        time: genesis.time,
        transaction: Digest([5; 32]),
    };
    let (plan, proposer) = (plan(), Address([1; 20]));
    let planned = PlanRecord {
        plan: plan.clone(),
        proposer,
        proposed_height: 3,
        approvals: [(proposer, 3)].into_iter().collect(),
    };
    let upgraded = UpgradeRecord { plan: plan.clone(), from: 1, approved: vec![proposer], power: 3, total: 4 };
    let lapsed = LapsedPlan { plan, lapse: ledger::Lapse::TooLittlePower, power: 1, total: 4, height: 9 };
    let bodies: [(u8, Vec<u8>); 22] = [
        (0, canonical::encode(&Block { transactions: transactions.clone(), ..empty })),
        (1, canonical::encode(&header)),
        (2, canonical::encode(&certificate)),
        (3, canonical::encode(&set)),
        (4, canonical::encode(&genesis)),
        (5, canonical::encode(&receipt)),
        (
            6,
            canonical::encode(&LedgerEvent::Accounts(AccountsEvent::Transferred {
                from: Address([1; 20]),
                to: Address([2; 20]),
                amount: Amount(3),
                transaction: Digest([4; 32]),
                height: 5,
            })),
        ),
        (9, canonical::encode(&record)),
        (10, canonical::encode(&AcceptedChunk { cid: ContentId::of(b"x"), bytes: 1, events: 2, height: 3 })),
        (11, value(&ledger::keys::epoch(0))),
        (12, value(&ledger::keys::validator(&header.proposer))),
        (13, value(&ledger::keys::account(&account_key(0).address()))),
        (14, canonical::encode(&SourceProgress::default())),
        (15, transactions[0].clone()),
        (16, value(ledger::keys::SUPPLY)),
        (17, value(&ledger::keys::pool("staking"))),
        (18, canonical::encode(&Deposit { owner: Address([5; 20]), amount: Amount(6) })),
        (19, canonical::encode(&stamp)),
        (20, canonical::encode(&planned)),
        (21, canonical::encode(&upgraded)),
        (22, canonical::encode(&lapsed)),
        (23, canonical::encode(&BallotCount { next: 2, epoch: 1, in_epoch: 1, knows: Some(2) })),
    ];
    bodies.into_iter().map(|(kind, body)| [&[kind][..], &body].concat()).collect()
}

/// Seeds of [`genesis`].
pub fn genesis_seeds() -> Vec<Vec<u8>> {
    let small = Params {
        epochs: EpochsParams { epoch_ms: 1_000, ..EpochsParams::default() },
        windows: WindowsParams { window_close_blocks: 1, ..WindowsParams::default() },
        ..Params::default()
    };
    [network([1; 4], Params::default()), network([1, 2, 3, u64::MAX / 6], small)]
        .iter()
        .map(|genesis| serde_json::to_vec_pretty(genesis).expect("JSON"))
        .chain([Allocation::default().to_file().into_bytes()])
        .collect()
}

/// Seeds of [`execute`].
pub fn execute_seeds() -> Vec<Vec<u8>> {
    (0u8..6).map(|seed| (0u8..240).map(|n| n.wrapping_mul(seed.wrapping_mul(46) | 1) ^ n >> 3).collect()).collect()
}

/// Seeds of [`light_client`].
pub fn light_client_seeds() -> Vec<Vec<u8>> {
    let seed = |signers: u8| {
        let head = [3, 1, 1, 1, 1, 9, 0, 0, 0, 0, 0, 0, 0];
        [&head[..], &[7; 32], &[1, signers, 40, 0, 0, 0, 0, 0, 0, 0, 1]].concat()
    };
    vec![seed(0b1111), seed(0b0111), seed(0b0011), seed(0), vec![0; 60]]
}
