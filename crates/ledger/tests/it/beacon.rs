//! The beacon: one output for a proposer and height, the draw that is made of it, who counts. Clauses R and E.

use std::collections::BTreeMap;

use openmesh_ledger::{
    BlockError, EpochsParams, ExecuteError, GenesisError, Overlay, Params, ProposalError, StateRead, Validator,
    ValidatorRecord, ValidatorSet, beacon, beacon_input, build_block, epoch, epoch_seed, epoch_validators,
    execute_block, first_beacon, keys, light, light::LightError, near_turns, next_beacon, turns_seed,
    validate_proposal, validators,
};
use openmesh_primitives::{Amount, Digest, Timestamp, ValidatorKey, ValidatorPublicKey, VrfProof, canonical, sha256};
use proptest::prelude::*;

use crate::chain::{CHAIN_ID, Chain, verified};

fn mixing(epoch_ms: u64, mix_blocks: u64) -> Chain {
    let epochs = EpochsParams { epoch_ms, mix_blocks, ..EpochsParams::default() };
    Chain::of(&[1; 4], Params { epochs, ..Params::default() })
}

/// Puts a set in force, as staking will: what a transaction would write in this block for the one after the next.
fn write_next_validators(chain: &mut Chain, set: &ValidatorSet) {
    let mut overlay = Overlay::new(&chain.state);
    overlay.put(keys::VALIDATORS_NEXT.to_vec(), set);
    let written = overlay.get(keys::VALIDATORS_NEXT).unwrap().unwrap();
    chain.state.insert(keys::VALIDATORS_NEXT.to_vec(), written);
}

#[test]
fn each_block_renews_the_beacon_and_a_follower_of_headers_computes_the_same() {
    let mut chain = Chain::four();
    let set = validators(&chain.state).unwrap();
    let mut followed = first_beacon(&chain.genesis.hash());
    assert_eq!(beacon(&chain.state).unwrap(), followed);
    for height in 1..=6 {
        let block = chain.block(vec![]);
        let input = beacon_input(CHAIN_ID, height, &followed);
        let output = chain.proposer().public().vrf_verify(&input, &block.header.beacon_proof).unwrap();
        let expected = next_beacon(&followed, &output);
        followed = light::beacon_after(&followed, &block.header, &set, &set).unwrap();
        chain.commit(&block);
        assert_eq!((beacon(&chain.state).unwrap(), followed), (expected, expected), "height {height}");
    }
}

#[test]
fn a_proof_of_something_else_gets_no_vote() {
    let mut chain = Chain::four();
    chain.run_to(3);
    let good = chain.block(vec![]);
    let before = beacon(&chain.state).unwrap();
    let set = validators(&chain.state).unwrap();
    let of = |key: &ValidatorKey, input: Vec<u8>| key.vrf_prove(&input).unwrap();
    let (own, other) = (chain.proposer(), &chain.validators[0]);
    let wrong = [
        ("another height", of(own, beacon_input(CHAIN_ID, 5, &before))),
        ("another network", of(own, beacon_input(1, 4, &before))),
        ("another beacon", of(own, beacon_input(CHAIN_ID, 4, &Digest::ZERO))),
        ("another validator's", of(other, beacon_input(CHAIN_ID, 4, &before))),
    ];
    assert_ne!(own.public(), other.public());
    for (what, proof) in wrong {
        let mut block = good.clone();
        block.header.beacon_proof = proof;
        let (proposer, height) = (good.header.proposer, 4);
        let refused = validate_proposal(&chain.state, &chain.tip, &block);
        assert_eq!(refused, Err(ProposalError::Beacon { proposer, height }), "{what}");
        let followed = light::beacon_after(&before, &block.header, &set, &set);
        assert_eq!(followed, Err(LightError::Beacon(4)), "{what}");
    }
    let mut none = good.clone();
    none.header.beacon_proof = VrfProof([0xff; 80]);
    assert_eq!(
        execute_block(&chain.state, &none),
        Err(ExecuteError::Block(BlockError::BeaconProof)),
        "not even a point: no machine executes it"
    );
    let strangers = ValidatorSet::new(vec![Validator::new(other.public(), 1, "v")]).unwrap();
    let refused = light::beacon_after(&before, &good.header, &strangers, &strangers);
    assert_eq!(refused, Err(LightError::Proposer(good.header.proposer)));
}

#[test]
fn the_draw_is_made_so_many_blocks_into_the_epoch_of_all_outputs_before() {
    let mut chain = mixing(10_000, 4);
    chain.run_to(11);
    assert_eq!(openmesh_ledger::current_epoch(&chain.state).unwrap(), 1);
    chain.run_to(14);
    assert_eq!(epoch(&chain.state, 2).unwrap(), None, "the blocks 11 to 14 are mixed first");
    let before = beacon(&chain.state).unwrap();
    chain.run_to(15);
    let draw = epoch(&chain.state, 2).unwrap().unwrap();
    assert_eq!((draw.seed, draw.drawn_height), (epoch_seed(&before, 2), 15));
    chain.run_to(20);
    assert_eq!(epoch(&chain.state, 2).unwrap().unwrap(), draw, "once");
    assert_eq!(epoch(&chain.state, 3).unwrap(), None);
}

/// A network that stood still may have an epoch of a single block: then the draw is made of what there is.
#[test]
fn an_epoch_that_is_over_before_its_draw_was_due_is_drawn_with_the_next() {
    let mut chain = mixing(10_000, 100);
    chain.run_to(11);
    chain.pause_ms(1_000_000);
    let before = beacon(&chain.state).unwrap();
    chain.run(vec![]);
    assert_eq!(openmesh_ledger::current_epoch(&chain.state).unwrap(), 2);
    let draw = epoch(&chain.state, 2).unwrap().unwrap();
    assert_eq!((draw.seed, draw.drawn_height), (epoch_seed(&before, 2), 12));
}

#[test]
fn a_genesis_with_a_key_that_proves_nothing_is_refused() {
    let mut genesis = Chain::four().genesis;
    let neutral = {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        ValidatorPublicKey(bytes)
    };
    for key in [neutral, ValidatorPublicKey([0xff; 32])] {
        genesis.validators[2].public_key = key;
        assert_eq!(genesis.validate(), Err(GenesisError::Key(key)));
    }
}

/// Somebody who makes a key when some of an epoch's outputs are known could make it so that its own output suits: it does not count.
#[test]
fn who_joins_within_an_epoch_counts_from_the_next_one_on() {
    let mut chain = mixing(20_000, 8);
    chain.run_to(2);
    let old = validators(&chain.state).unwrap();
    let key = ValidatorKey::from_seed([50; 32]);
    let joined = Validator::new(key.public(), 1, "new");
    let new = ValidatorSet::new(old.iter().cloned().chain([joined]).collect()).unwrap();
    write_next_validators(&mut chain, &new);
    let record = canonical::encode(&ValidatorRecord::new(key.public(), "new", None));
    chain.state.insert(keys::validator(&key.public().address()), record);
    chain.run_to(4);
    chain.validators.push(key);
    chain.signers = vec![0, 1, 2, 3, 4];
    assert_eq!(validators(&chain.state).unwrap(), new);
    let (mut proposed, mut counted) = (Vec::new(), Vec::new());
    while chain.tip.height < 40 {
        let (height, before) = (chain.tip.height + 1, beacon(&chain.state).unwrap());
        let of_joined = chain.proposer().public() == chain.validators[4].public();
        chain.run(vec![]);
        if of_joined {
            proposed.push(height);
        }
        if of_joined && beacon(&chain.state).unwrap() != before {
            counted.push(height);
        }
    }
    assert_eq!(proposed.first(), Some(&5), "the outputs are verified from the first block on");
    assert_eq!(counted, proposed.iter().copied().filter(|height| *height >= 21).collect::<Vec<_>>());
    assert_eq!(epoch_validators(&chain.state).unwrap(), new);
    assert_eq!(epoch(&chain.state, 2).unwrap().unwrap().validators, new);
}

/// The order of a height is known two heights before, and changes with the epoch.
#[test]
fn turns_go_by_the_seed_of_the_epoch_two_heights_before() {
    let mut chain = mixing(5_000, 1);
    let first = turns_seed(&first_beacon(&chain.genesis.hash()));
    let mut seeds = vec![first];
    let mut by_height: BTreeMap<u64, Digest> = BTreeMap::new();
    while chain.tip.height < 30 {
        let (tip, turns) = (chain.tip.height, near_turns(&chain.state).unwrap());
        for (height, seed) in [(tip, turns.last.seed), (tip + 1, turns.current.seed), (tip + 2, turns.next.seed)] {
            assert_eq!(*by_height.entry(height).or_insert(seed), seed, "height {height} as it was known before");
        }
        let before = beacon(&chain.state).unwrap();
        chain.run(vec![]);
        if openmesh_ledger::current_epoch(&chain.state).unwrap() == seeds.len() as u64 {
            seeds.push(turns_seed(&before));
        }
    }
    // Epochs begin with the blocks 6, 11, 16: of the heights 1 to 7 the first one's counts.
    let expected = |height: u64| seeds[(height.saturating_sub(3) / 5) as usize];
    assert!(by_height.iter().all(|(height, seed)| *seed == expected(*height)), "{by_height:?}");
    assert_eq!(seeds.iter().collect::<std::collections::BTreeSet<_>>().len(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A proposer with many blocks to choose from has one beacon: whatever stands in the block, at whatever time, in whatever
    /// round. Another proposer has another.
    #[test]
    fn a_proposer_has_one_beacon_for_a_height(
        candidates in prop::collection::vec((0..5u64, 1..2_000_000_000i64), 2..8),
        tip in 0..6u64,
    ) {
        let mut chain = Chain::four();
        chain.run_to(tip);
        let after = |proposer: &ValidatorKey, transfers: u64, nanos: i64| {
            let to = openmesh_primitives::Address([9; 20]);
            let bytes: Vec<_> = (0..transfers).map(|nonce| chain.transfer(0, to, Amount(1), nonce)).collect();
            let (time, commit) = (Timestamp(chain.tip.time.nanos() + nanos), chain.last_commit());
            let limits = chain.limits();
            let built = build_block(&chain.state, &chain.tip, commit, &verified(&bytes), proposer, time, &limits);
            let (block, execution) = built.unwrap();
            (block.hash(), execution.writes[keys::BEACON].clone())
        };
        let mine: Vec<_> =
            candidates.iter().map(|(transfers, nanos)| after(&chain.validators[1], *transfers, *nanos)).collect();
        let theirs = after(&chain.validators[2], 0, 1);
        prop_assert!(mine.iter().all(|(_, beacon)| *beacon == mine[0].1 && *beacon != theirs.1));
        let distinct: std::collections::BTreeSet<_> = candidates.iter().collect();
        let blocks: std::collections::BTreeSet<_> = mine.iter().map(|(hash, _)| *hash).collect();
        prop_assert_eq!(blocks.len(), distinct.len(), "the blocks do differ");
    }
}

/// Computed by another program too: Python with hashlib, the curve written from RFC 8032 and RFC 9381, and clause R.
#[test]
fn golden() {
    let key = ValidatorKey::from_seed([1; 32]);
    let first = first_beacon(&sha256(&[b"genesis"]));
    let input = beacon_input(7117, 1, &first);
    let proof = key.vrf_prove(&input).unwrap();
    let next = next_beacon(&first, &proof.output().unwrap());
    let found = [first.to_string(), sha256(&[&input]).to_string(), sha256(&[&proof.0]).to_string(), next.to_string()];
    let seed = epoch_seed(&next, 2).to_string();
    assert_eq!(found, GOLDEN_CHAIN);
    assert_eq!(seed, GOLDEN_SEED);
}

const GOLDEN_CHAIN: [&str; 4] = [
    "1aa46d213327b24ccd58493ebf69e23933a85cad6829bf560472e66c9f11a80a",
    "180721a70cfcb11165ede6c82c43d4df12e5f06a03a66dfb7c66fb1cd528693e",
    "c979506d3a2cbfa58ca399904ee6ac042ecea1ac693e2dc912096f584512ac2b",
    "870b04a425d75960e2ad04f3bb2262105827cae7f4a33e67e7375a40067a20dd",
];
const GOLDEN_SEED: &str = "8f96c8151b6f814ce8badcfaa22f33e032f75247bfafa83c7f47955ebe1ab6ec";
