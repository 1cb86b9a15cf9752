//! Tests of the host's decisions, without a clock, an actor or a store.

use openmesh_ledger::{SignedBlock, Step};

use super::*;
use crate::consensus::parts::split;
use crate::consensus::types::Validator;

const CHAIN: u64 = 3;
const BYTES_MAX: usize = 1 << 20;
const PACE: Pace = Pace {
    idle: Duration::from_millis(1_000),
    min: Duration::from_millis(100),
    batch: Duration::from_millis(20),
    grace: Duration::from_millis(200),
};

fn key(n: u8) -> ValidatorKey {
    ValidatorKey::from_seed([n; 32])
}

fn set() -> ValidatorSet {
    let validator = |n| {
        let public_key = key(n).public();
        // In the middle: they take turns by address.
        let phase = 1 << 31;
        Validator { address: Address(public_key.address()), public_key, power: 1, phase, passed_over: false }
    };
    let mut all: Vec<Validator> = (1..=4).map(validator).collect();
    all.sort_by_key(|v| v.address);
    ValidatorSet(std::sync::Arc::new(all))
}

fn sets() -> [ValidatorSet; 2] {
    [set(), set()]
}

/// The key of the proposer of a height's round.
fn proposer(height: u64, round: u32) -> ValidatorKey {
    let address = set().proposer(Height(height), Round::new(round)).address;
    (1..=4).map(key).find(|key| Address(key.public().address()) == address).unwrap()
}

fn at(ms: u64) -> Now {
    Now { moment: Moment(Duration::from_millis(ms)), time: Timestamp::from_millis(1_000_000 + ms as i64) }
}

/// A block's time, so that it is not old when it is committed at that moment.
fn tip(height: u64, ms: u64) -> Tip {
    Tip { height: Height(height), time: at(ms).time }
}

/// A host of a validator whose last block is `height`, committed at moment 0.
fn host(key: Option<ValidatorKey>, height: u64) -> HostState {
    HostState::new(CHAIN, key, PACE, BYTES_MAX, tip(height, 0), sets(), at(0))
}

/// The parts of a block that this key streams.
fn parts(key: &ValidatorKey, height: u64, round: u32, body: &[u8]) -> Vec<StreamMessage<Part>> {
    let signer = HostState::new(CHAIN, Some(key.clone()), PACE, BYTES_MAX, tip(0, 0), sets(), at(0));
    let init = signer.announce(Height(height), Round::new(round), Round::Nil, body).unwrap();
    split(&init, body)
}

fn stream(host: &mut HostState, neighbor: &str, parts: Vec<StreamMessage<Part>>) -> Vec<Effect> {
    let name = neighbor.as_bytes().to_vec();
    let step = |part| host.step(Input::Part { publisher: name.clone(), neighbor: name.clone(), part }, at(1));
    parts.into_iter().flat_map(step).collect()
}

fn candidate(body: &[u8]) -> Candidate {
    Candidate { id: sha256(&[body]), proposer: key(1).public().address(), bytes: body.to_vec().into() }
}

fn judged_heights(effects: &[Effect]) -> Vec<u64> {
    let height = |e: &Effect| if let Effect::Judge(a) = e { Some(a.init.height.0) } else { None };
    effects.iter().filter_map(height).collect()
}

fn committed(host: &mut HostState, height: u64, ms: u64) -> Vec<Effect> {
    host.step(Input::Committed { tip: tip(height, ms), sets: sets() }, at(ms))
}

#[test]
fn a_block_that_came_early_is_judged_when_its_turn_comes() {
    let mut host = host(None, 10);
    assert_eq!(judged_heights(&stream(&mut host, "n", parts(&proposer(11, 0), 11, 0, b"next"))), vec![11]);
    for round in 0..6 {
        let body = [round as u8; 9];
        let effects = stream(&mut host, &format!("n{round}"), parts(&proposer(12, round), 12, round, &body));
        assert!(effects.is_empty(), "the height after the next waits");
    }
    assert_eq!(host.early.len(), EARLY_MAX, "and only so many of it");
    assert!(stream(&mut host, "n", parts(&proposer(13, 0), 13, 0, b"too far")).is_empty());
    assert_eq!(judged_heights(&committed(&mut host, 11, 500)), vec![12; EARLY_MAX]);
    // What found no place may come again.
    let again = stream(&mut host, "n5", parts(&proposer(12, 5), 12, 5, &[5; 9]));
    assert_eq!(judged_heights(&again), vec![12]);
}

#[test]
fn only_the_proposer_may_stream_a_block() {
    let mut host = host(None, 10);
    let stranger = (1..=4).map(key).find(|k| k.public() != proposer(11, 0).public()).unwrap();
    assert!(stream(&mut host, "a", parts(&stranger, 11, 0, b"stolen")).is_empty());
    let far = ROUNDS_AHEAD_MAX + 1;
    assert!(stream(&mut host, "b", parts(&proposer(11, far), 11, far, b"far")).is_empty());
    assert!(host.heard < Height(11), "nor does it wake anybody");
    host.step(Input::StartedRound { height: Height(11), round: Round::new(1) }, at(1));
    assert_eq!(judged_heights(&stream(&mut host, "c", parts(&proposer(11, far), 11, far, b"far"))), vec![11]);
}

#[test]
fn judged_blocks_are_offered_once_their_height_has_started() {
    let mut host = host(None, 10);
    let init = |round| match &parts(&proposer(11, round), 11, round, b"block")[0].content {
        malachite_app::streaming::StreamContent::Data(Part::Init(init)) => init.clone(),
        other => panic!("{other:?}"),
    };
    let valid = || Judged::Valid(candidate(b"block"));
    assert!(host.step(Input::Judged { init: init(0), judged: valid() }, at(1)).is_empty());
    let started = |host: &mut HostState, round| {
        host.step(Input::StartedRound { height: Height(11), round: Round::new(round) }, at(2)).len()
    };
    assert_eq!(started(&mut host, 0), 1, "when the height starts");
    assert_eq!(started(&mut host, 1), 0, "and not with every round");
    let offered = host.step(Input::Judged { init: init(1), judged: valid() }, at(3));
    assert!(matches!(offered.as_slice(), [Effect::Offer(value)] if value.round == Round::new(1)));
    let refused = Judged::Invalid {
        id: sha256(&[b"bad"]),
        proposer: key(1).public().address(),
        reason: String::new(),
        again: false,
    };
    let offered = host.step(Input::Judged { init: init(2), judged: refused }, at(3));
    assert!(matches!(offered.as_slice(), [Effect::Offer(value)] if !value.validity.is_valid()));
    let useless = Judged::Useless("no block".to_owned());
    assert!(host.step(Input::Judged { init: init(3), judged: useless }, at(3)).is_empty());
    committed(&mut host, 11, 10);
    assert!(host.values.is_empty() && host.announcements.is_empty(), "a decided height leaves nothing behind");
}

#[test]
fn a_height_begins_once_and_only_after_the_last_one_is_committed() {
    let mut host = host(Some(key(1)), 10);
    assert_eq!(host.wake_at(), None, "consensus was told to decide the first height");
    assert!(host.step(Input::Tick, at(9_000)).is_empty());
    assert!(host.step(Input::Finalized { height: Height(11), evidence: vec![] }, at(10_000)).is_empty());
    committed(&mut host, 11, 10_000);
    assert_eq!(host.wake_at(), Some(at(11_000).moment), "the idle pause");
    assert!(host.step(Input::Tick, at(10_999)).is_empty());
    let begun = host.step(Input::Tick, at(11_000));
    assert!(matches!(begun.as_slice(), [Effect::StartHeight { height: Height(12), finalized: true, .. }]));
    assert!(host.step(Input::Tick, at(12_000)).is_empty(), "not twice");

    // The next height begins before consensus has finished this one: the late word is no question any more.
    committed(&mut host, 12, 12_000);
    let begun = host.step(Input::Tick, at(13_000));
    assert!(matches!(begun.as_slice(), [Effect::StartHeight { height: Height(13), finalized: false, .. }]));
    host.step(Input::Finalized { height: Height(12), evidence: vec![] }, at(13_001));
    committed(&mut host, 13, 14_000);
    let begun = host.step(Input::Tick, at(15_000));
    assert!(matches!(begun.as_slice(), [Effect::StartHeight { finalized: false, .. }]));
}

#[test]
fn work_and_a_heard_block_shorten_the_pause() {
    let next = proposer(12, 0);
    let other = (1..=4).map(key).find(|k| k.public() != next.public()).unwrap();
    for (key, grace) in [(next.clone(), 0), (other, 200)] {
        let mut host = host(Some(key), 10);
        committed(&mut host, 11, 1_000);
        host.step(Input::Work(true), at(1_300));
        host.step(Input::Work(true), at(1_310));
        assert_eq!(host.wake_at(), Some(at(1_320 + grace).moment), "from when the work came");
        host.step(Input::Work(false), at(1_315));
        assert_eq!(host.wake_at(), Some(at(2_000).moment));
        stream(&mut host, "n", parts(&next, 12, 0, b"somebody is there"));
        assert!(host.wake_at().unwrap() <= at(1_001).moment);
    }
}

#[test]
fn evidence_waits_for_its_height_to_be_committed() {
    let mut host = host(None, 10);
    let signed = |block| SignedBlock { block, signature: ValidatorSignature([0; 64]) };
    let (step, public_key) = (Step::Prevote, key(2).public());
    let (first, second) = (signed(None), signed(Some(Digest([1; 32]))));
    let evidence = Evidence { chain_id: CHAIN, public_key, height: 11, round: 0, step, first, second };
    assert!(host.step(Input::Finalized { height: Height(11), evidence: vec![evidence] }, at(1)).is_empty());
    let accused = |effects: Vec<Effect>| effects.iter().filter(|e| matches!(e, Effect::Accuse(_))).count();
    assert_eq!(accused(committed(&mut host, 11, 2)), 1);
    assert_eq!(accused(committed(&mut host, 12, 3)), 0, "once");
}

#[test]
fn old_blocks_by_sync_mean_catching_up_and_no_pause() {
    let mut host = host(None, 10);
    let adopted = Some((Digest([4; 32]), key(1).public().address()));
    let answer = host.step(Input::Adopted { height: Height(11), round: Round::new(0), adopted }, at(1));
    assert!(matches!(answer.as_slice(), [Effect::AnswerSync(SyncedValueOutcome::Verdict(_))]));
    let nonsense = Input::Adopted { height: Height(12), round: Round::new(0), adopted: None };
    let answer = host.step(nonsense, at(1));
    assert!(matches!(answer.as_slice(), [Effect::AnswerSync(SyncedValueOutcome::PeerFault)]));
    let progress = |host: &mut HostState, height, ms| {
        let effects = host.step(Input::Committed { tip: tip(height, 0), sets: sets() }, at(ms));
        match effects.first() {
            Some(Effect::Progress { by_sync, syncing, .. }) => (*by_sync, *syncing),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(progress(&mut host, 11, 60_000), (true, true));
    assert_eq!(host.wake_at(), Some(at(60_000).moment), "who is behind does not pause");
    // Voted for here, however old it is; and a fresh one that a peer was faster with.
    assert_eq!(progress(&mut host, 12, 60_000), (false, false));
    let adopted = Some((Digest([5; 32]), key(1).public().address()));
    host.step(Input::Adopted { height: Height(13), round: Round::new(0), adopted }, at(1));
    assert_eq!(progress(&mut host, 13, 100), (true, false));
}

#[test]
fn a_proposal_is_streamed_again_word_for_word_or_by_the_rounds_proposer() {
    let ours = proposer(11, 0);
    let mut host = host(Some(ours.clone()), 10);
    let built = Input::Built { height: Height(11), round: Round::new(0), built: Some(candidate(b"body")) };
    let effects = host.step(built, at(1));
    let [Effect::Propose { id, .. }, Effect::Publish { init, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let (id, init) = (*id, init.clone());
    let again = |host: &HostState, round, valid_round| {
        let restream = Restream { height: Height(11), round: Round::new(round), valid_round, id };
        let effects = host.stream_again(restream, Some(Bytes::from_static(b"body")));
        effects.into_iter().find_map(|e| if let Effect::Publish { init, .. } = e { Some(init) } else { None })
    };
    assert_eq!(again(&host, 0, Round::Nil), Some(init));
    let (mine, others): (Vec<u32>, Vec<u32>) = (1..12).partition(|r| proposer(11, *r).public() == ours.public());
    let streamed = again(&host, mine[0], Round::new(0)).unwrap();
    assert_eq!((streamed.round, streamed.pol_round), (Round::new(mine[0]), Round::new(0)));
    assert_eq!(again(&host, others[0], Round::new(0)), None, "it is another's turn");
}
