//! Evidence of equivocation: what is recorded, and what is refused. Clause V of `docs/spec/transactions.md`.

use openmesh_ledger::{
    BlockError, BlockLimits, CONSENSUS, EVIDENCE_AGE_BLOCKS_MAX, EVIDENCE_PER_BLOCK_MAX, EnvelopeError, Evidence,
    EvidenceError, IncidentKind, SignedBlock, SourceError, Step, Transaction, TransactionError, VoteKind, incidents,
    proposal_sign_bytes, validator_record, vote_sign_bytes,
};
use openmesh_primitives::{Address, Amount, Digest, ValidatorKey, ValidatorSignature};

use crate::chain::{CHAIN_ID, Chain, TRADES, claim, incidents as named, source, verified};

const ONE: Digest = Digest([1; 32]);
const TWO: Digest = Digest([2; 32]);

/// The bytes that a validator signs when it votes for a block, or for nil.
fn vote(key: &ValidatorKey, kind: VoteKind, height: u64, round: i64, block: Option<Digest>) -> SignedBlock {
    let bytes = vote_sign_bytes(CHAIN_ID, kind, height, round, block.as_ref(), &key.public().address());
    SignedBlock { block, signature: key.sign(&bytes) }
}

fn proposal(key: &ValidatorKey, height: u64, block: Digest, pol_round: i64) -> SignedBlock {
    let bytes = proposal_sign_bytes(CHAIN_ID, height, 0, &block, pol_round, &key.public().address());
    SignedBlock { block: Some(block), signature: key.sign(&bytes) }
}

fn votes(key: &ValidatorKey, height: u64, a: Option<Digest>, b: Option<Digest>) -> Evidence {
    let [first, second] = [a, b].map(|block| vote(key, VoteKind::Precommit, height, 0, block));
    let (chain_id, public_key, step) = (CHAIN_ID, key.public(), Step::Precommit);
    Evidence { chain_id, public_key, height, round: 0, step, first, second }.in_order()
}

fn bytes(evidence: &Evidence) -> Vec<u8> {
    Transaction::Evidence(evidence.clone()).encode()
}

#[test]
fn two_votes_are_an_incident_once() {
    let mut chain = Chain::four();
    chain.run_to(3);
    let liar = chain.validators[2].clone();
    let execution = chain.run(vec![bytes(&votes(&liar, 2, Some(TWO), Some(ONE)))]);
    assert_eq!(execution.receipts[0].error, None);
    assert_eq!(execution.receipts[0].fee, Amount::ZERO);
    let step = Some("precommit".to_string());
    assert_eq!(named(&execution.events), [(IncidentKind::Equivocation, step, Some(chain.address(2)))]);
    let incident = incidents(&chain.state, 1, 9).unwrap().remove(0);
    assert_eq!((incident.source.as_str(), incident.window, incident.height), (CONSENSUS, 2, 4));
    assert!(incident.detail.contains("signed two precommits in round 0 of height 2"), "{}", incident.detail);

    // Another pair of the same height says nothing new; another height does.
    let again = chain.run_one(bytes(&votes(&liar, 2, None, Some(ONE))));
    assert_eq!(
        again,
        Some(TransactionError::Evidence(EvidenceError::DuplicateEvidence { validator: chain.address(2), height: 2 }))
    );
    assert_eq!(chain.run_one(bytes(&votes(&liar, 3, None, Some(ONE)))), None);
    let count = |n: usize| validator_record(&chain.state, &chain.address(n)).unwrap().unwrap().equivocations;
    assert_eq!((0..4).map(count).collect::<Vec<_>>(), [0, 0, 2, 0]);
}

#[test]
fn two_proposals_are_an_incident() {
    let mut chain = Chain::four();
    chain.run_to(3);
    let liar = &chain.validators[1];
    let step = Step::Proposal { first_pol_round: -1, second_pol_round: -1 };
    let (first, second) = (proposal(liar, 3, ONE, -1), proposal(liar, 3, TWO, -1));
    let evidence = Evidence { chain_id: CHAIN_ID, public_key: liar.public(), height: 3, round: 0, step, first, second };
    // An honest proposer may refer the same block to another round.
    let same = Evidence {
        step: Step::Proposal { first_pol_round: -1, second_pol_round: 0 },
        second: proposal(liar, 3, ONE, 0),
        ..evidence.clone()
    };
    assert_eq!(same.verify(), Ok(()));
    let signed_for_another_round =
        Evidence { step: Step::Proposal { first_pol_round: -1, second_pol_round: 7 }, ..evidence.clone() };
    assert!(signed_for_another_round.verify().is_err());
    assert_eq!(chain.run_one(bytes(&same)), Some(TransactionError::Evidence(EvidenceError::NoConflict)));
    assert_eq!(chain.run_one(bytes(&evidence)), None);
}

#[test]
fn what_proves_nothing_is_refused() {
    let mut chain = Chain::four();
    chain.run_to(5);
    let liar = chain.validators[0].clone();
    let good = votes(&liar, 4, Some(ONE), Some(TWO));
    let refused = |evidence: &Evidence| {
        let execution = openmesh_ledger::execute_block(&chain.state, &chain.block(vec![bytes(evidence)])).unwrap();
        assert!(execution.events.is_empty());
        execution.receipts[0].error.clone().unwrap()
    };
    // Nobody can be accused by messages that they did not sign.
    let framed = Evidence { public_key: chain.validators[3].public(), ..good.clone() };
    assert_eq!(refused(&framed), TransactionError::Envelope(EnvelopeError::Signature));
    let forged =
        Evidence { second: SignedBlock { signature: ValidatorSignature([9; 64]), ..good.second }, ..good.clone() };
    assert_eq!(refused(&forged), TransactionError::Envelope(EnvelopeError::Signature));
    for moved in [
        Evidence { height: 3, ..good.clone() },
        Evidence { round: 1, ..good.clone() },
        Evidence { step: Step::Prevote, ..good.clone() },
        Evidence { chain_id: 1, ..good.clone() },
    ] {
        assert_eq!(refused(&moved), TransactionError::Envelope(EnvelopeError::Signature));
    }
    let one_prevote_one_precommit =
        Evidence { second: vote(&liar, VoteKind::Prevote, 4, 0, Some(TWO)), ..good.clone() };
    assert_eq!(refused(&one_prevote_one_precommit), TransactionError::Envelope(EnvelopeError::Signature));
    // Two votes for the same block are fine, however often they are sent; a pair has one order.
    assert_eq!(refused(&votes(&liar, 4, Some(ONE), Some(ONE))), TransactionError::Evidence(EvidenceError::NoConflict));
    let reversed = Evidence { first: good.second, second: good.first, ..good.clone() };
    assert_eq!(refused(&reversed), TransactionError::Evidence(EvidenceError::NoConflict));
    let stranger = ValidatorKey::from_seed([77; 32]);
    let validator = stranger.public().address();
    assert_eq!(
        refused(&votes(&stranger, 4, None, Some(ONE))),
        TransactionError::Evidence(EvidenceError::UnknownValidator { validator })
    );
    let early = TransactionError::Evidence(EvidenceError::EvidenceHeight { height: 6, from: 0, to: 5 });
    assert_eq!(refused(&votes(&liar, 6, None, Some(ONE))), early, "this height is not decided yet");
    chain.tip.height = EVIDENCE_AGE_BLOCKS_MAX + 4;
    let mut late = chain.block(vec![bytes(&good)]);
    late.last_commit = None;
    late.header.last_commit_hash = Digest::ZERO;
    let execution = openmesh_ledger::execute_block(&chain.state, &late).unwrap();
    let (from, to) = (5, EVIDENCE_AGE_BLOCKS_MAX + 4);
    assert_eq!(
        execution.receipts[0].error,
        Some(TransactionError::Evidence(EvidenceError::EvidenceHeight { height: 4, from, to }))
    );
}

#[test]
fn evidence_stands_first_and_is_limited() {
    let mut chain = Chain::four();
    chain.run_to(EVIDENCE_PER_BLOCK_MAX as u64 + 2);
    let liar = &chain.validators[0];
    let all: Vec<Vec<u8>> =
        (1..=EVIDENCE_PER_BLOCK_MAX as u64 + 1).map(|h| bytes(&votes(liar, h, None, Some(ONE)))).collect();
    let limits = chain.limits();
    let too_many = chain.block(all.clone());
    let count = EVIDENCE_PER_BLOCK_MAX + 1;
    assert_eq!(too_many.verify_basic(&limits).unwrap_err(), BlockError::Evidence(count));
    let attestation = chain.attest(1, 1, 0, vec![claim(TRADES, "t")]);
    let transfer = chain.transfer(0, Address([9; 20]), Amount(1), 0);
    for wrong in [vec![attestation.clone(), all[0].clone()], vec![transfer.clone(), all[0].clone()]] {
        assert_eq!(chain.block(wrong).verify_basic(&limits).unwrap_err(), BlockError::Order(1));
    }
    let candidates: Vec<_> = [vec![transfer.clone(), attestation.clone()], all.clone()]
        .concat()
        .iter()
        .map(|b| std::sync::Arc::new(openmesh_ledger::verify_stateless(b).unwrap()))
        .collect();
    let time = openmesh_primitives::Timestamp(chain.tip.time.nanos() + 1);
    let commit = chain.last_commit();
    let proposer = chain.proposer();
    let (built, execution) =
        openmesh_ledger::build_block(&chain.state, &chain.tip, commit, &candidates, proposer, time, &limits).unwrap();
    assert_eq!(execution, openmesh_ledger::execute_block(&chain.state, &built).unwrap());
    let expected = [&all[..EVIDENCE_PER_BLOCK_MAX], &[attestation, transfer]].concat();
    assert_eq!(built.transactions, expected);
    assert!(chain.commit(&built).receipts.iter().all(|r| r.ok()));
}

/// A network may reserve no room for attestations: whoever signs twice is named all the same.
#[test]
fn evidence_needs_no_reserved_room() {
    let mut chain = Chain::four();
    chain.run_to(3);
    let found = bytes(&votes(&chain.validators[2], 2, Some(TWO), Some(ONE)));
    let transfer = chain.transfer(0, Address([9; 20]), Amount(1), 0);
    let limits = BlockLimits { attestation_bytes_reserved: 0, ..chain.limits() };
    let time = openmesh_primitives::Timestamp(chain.tip.time.nanos() + 1);
    let (commit, proposer) = (chain.last_commit(), chain.proposer());
    let candidates = verified(&[transfer.clone(), found.clone()]);
    let (built, _) =
        openmesh_ledger::build_block(&chain.state, &chain.tip, commit, &candidates, proposer, time, &limits).unwrap();
    assert_eq!(built.transactions, [found, transfer]);
    assert!(chain.commit(&built).receipts.iter().all(|r| r.ok()));
}

#[test]
fn no_source_takes_the_name() {
    let spec = source(CONSENSUS, openmesh_ledger::Origin::Live);
    assert_eq!(spec.validate(), Err(SourceError::Reserved(CONSENSUS.to_string())));
}
