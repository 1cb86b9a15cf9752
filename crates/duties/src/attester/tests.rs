use super::*;
use openmesh_primitives::{ContentId, Digest, canonical};

const OPEN: WindowFacts = WindowFacts {
    height: 10,
    opened: false,
    closed: false,
    attested: false,
    epoch: 3,
    assigned: true,
    step: Step::Attest,
    seal: None,
};

fn name(number: u64) -> WindowName {
    WindowName { source: "kraken".into(), number }
}

fn window(number: u64, streams: &[&str]) -> Window {
    let claim = |stream: &&str| ChunkClaim {
        stream: (*stream).into(),
        cid: ContentId::of(format!("{stream} {number}").as_bytes()),
        bytes: 9,
        events: 1,
    };
    Window { name: name(number), chunks: streams.iter().map(claim).collect(), abstained: Vec::new() }
}

fn abstained(transaction: &[u8]) -> Vec<String> {
    let Transaction::Attestation(attestation) = canonical::decode(transaction).unwrap() else { panic!() };
    attestation.abstained
}

fn withdrawal(number: u64, stream: &str) -> Withdrawal {
    Withdrawal { name: name(number), stream: stream.into(), reason: "late" }
}

fn attester() -> Attester {
    Attester::new(ValidatorKey::from_seed([7; 32]), 1)
}

fn streams(transaction: &[u8]) -> Vec<String> {
    let Transaction::Attestation(attestation) = canonical::decode(transaction).unwrap() else { panic!() };
    attestation.chunks.into_iter().map(|claim| claim.stream).collect()
}

#[test]
fn a_chunk_that_is_withdrawn_in_time_is_not_claimed() {
    let mut attester = attester();
    attester.closed(window(1, &["BTC.USD/book", "BTC.USD/trades"]), 9);
    attester.closed(window(2, &["BTC.USD/trades"]), 9);
    assert_eq!(attester.withdrawn(&withdrawal(1, "BTC.USD/trades")), Withdrawn::Unsent);
    assert_eq!(attester.withdrawn(&withdrawal(2, "BTC.USD/trades")), Withdrawn::Unsent);
    assert_eq!(attester.withdrawn(&withdrawal(1, "ETH.USD/trades")), Withdrawn::Unsent, "of which there is none");
    let first = attester.decide(&name(1), &OPEN).unwrap();
    assert_eq!((streams(&first), abstained(&first)), (vec!["BTC.USD/book".into()], vec!["BTC.USD/trades".into()]));
    assert_eq!(attester.decide(&name(2), &OPEN), None, "nothing is left to be claimed");
}

#[test]
fn streams_that_were_not_covered_are_abstained_from() {
    let mut attester = attester();
    let partly = Window { abstained: vec!["ETH.USD/trades".into()], ..window(1, &["BTC.USD/trades"]) };
    attester.closed(partly, 9);
    attester.closed(Window { abstained: vec!["BTC.USD/trades".into()], ..window(2, &[]) }, 9);
    let first = attester.decide(&name(1), &OPEN).unwrap();
    assert_eq!((streams(&first), abstained(&first)), (vec!["BTC.USD/trades".into()], vec!["ETH.USD/trades".into()]));
    assert_eq!(attester.decide(&name(2), &OPEN), None, "a window is not opened for nothing");
    let second = attester.decide(&name(2), &WindowFacts { opened: true, ..OPEN }).unwrap();
    assert_eq!((streams(&second), abstained(&second)), (Vec::new(), vec!["BTC.USD/trades".into()]));
}

#[test]
fn a_chunk_that_is_withdrawn_too_late_is_known_to_be_claimed() {
    let (mut attester, late) = (attester(), withdrawal(1, "BTC.USD/trades"));
    attester.closed(window(1, &["BTC.USD/trades"]), 9);
    attester.decide(&name(1), &OPEN).unwrap();
    assert_eq!(attester.withdrawn(&late), Withdrawn::Sent, "on its way");
    attester.submitted(&name(1), 10, Submitted::Accepted);
    assert_eq!(attester.withdrawn(&late), Withdrawn::Sent, "in the mempool");
    let resent = attester.decide(&name(1), &WindowFacts { height: 15, ..OPEN }).unwrap();
    assert_eq!(streams(&resent), ["BTC.USD/trades"], "one statement about one window");
    attester.decide(&name(1), &WindowFacts { attested: true, ..OPEN });
    assert_eq!((attester.waiting(), attester.withdrawn(&late)), (0, Withdrawn::Sent), "on the ledger");
    assert_eq!(attester.withdrawn(&withdrawal(2, "BTC.USD/trades")), Withdrawn::Unsent);
}

#[test]
fn a_withdrawal_that_comes_before_its_window_counts() {
    let mut attester = attester();
    attester.withdrawn(&withdrawal(1, "BTC.USD/trades"));
    attester.withdrawn(&withdrawal(2, "BTC.USD/trades"));
    attester.closed(window(1, &["BTC.USD/book", "BTC.USD/trades"]), 9);
    attester.closed(window(2, &["BTC.USD/trades"]), 9);
    attester.closed(window(3, &["BTC.USD/trades"]), 9);
    assert_eq!(streams(&attester.decide(&name(1), &OPEN).unwrap()), ["BTC.USD/book"]);
    assert_eq!(attester.decide(&name(2), &OPEN), None);
    assert_eq!(streams(&attester.decide(&name(3), &OPEN).unwrap()), ["BTC.USD/trades"]);
}

#[test]
fn the_same_window_again_changes_nothing_that_was_sent() {
    let mut attester = attester();
    attester.closed(window(1, &["BTC.USD/trades"]), 9);
    attester.decide(&name(1), &OPEN).unwrap();
    attester.closed(window(1, &["BTC.USD/book"]), 9);
    attester.submitted(&name(1), 10, Submitted::Accepted);
    let resent = attester.decide(&name(1), &WindowFacts { height: 15, ..OPEN }).unwrap();
    assert_eq!(streams(&resent), ["BTC.USD/trades"]);
}

#[test]
fn what_is_not_on_the_ledger_is_sent_again_and_what_cannot_be_is_forgotten() {
    let mut attester = attester();
    (1..=4).for_each(|number| drop(attester.closed(window(number, &["BTC.USD/trades"]), 9)));
    let at = |height| WindowFacts { height, ..OPEN };
    assert!(attester.decide(&name(1), &at(10)).is_some());
    assert_eq!((attester.decide(&name(1), &at(11)), attester.due(11, 9).len()), (None, 3), "it is on its way");
    attester.submitted(&name(1), 10, Submitted::Later);
    assert!(attester.decide(&name(1), &at(11)).is_some(), "the mempool was full");
    attester.submitted(&name(1), 11, Submitted::Accepted);
    assert_eq!(attester.decide(&name(1), &at(15)), None);
    assert!(attester.decide(&name(1), &at(16)).is_some(), "it got into no block");
    // Not assigned: the next epoch may change that, unless the window is open under another.
    attester.decide(&name(2), &WindowFacts { assigned: false, ..OPEN });
    attester.decide(&name(3), &WindowFacts { assigned: false, opened: true, ..OPEN });
    attester.decide(&name(4), &WindowFacts { closed: true, ..OPEN });
    assert_eq!((attester.due(10, 9), attester.due(11, 9)), (vec![], vec![name(2)]), "after a pause");
    attester.decide(&name(2), &WindowFacts { assigned: false, height: 74, ..OPEN });
    attester.submitted(&name(1), 16, Submitted::Hopeless);
    assert_eq!(attester.waiting(), 0);
}

#[test]
fn windows_that_wait_are_looked_at_seldom() {
    let mut attester = attester();
    for number in 0..WAITING_WINDOWS_MAX as u64 {
        attester.closed(window(number, if number % 2 == 0 { &["BTC.USD/trades"] } else { &[] }), 9);
    }
    let mut looks = 0;
    for height in 10..10 + FORGET_BLOCKS {
        // As a network in which no block has room, and of which half of the windows are opened by nobody.
        loop {
            let due = attester.due(height, 64);
            let Some(_) = due.first() else { break };
            for name in due {
                looks += 1;
                if attester.decide(&name, &WindowFacts { height, ..OPEN }).is_some() {
                    let outcome = if height % 2 == 0 { Submitted::Accepted } else { Submitted::Later };
                    attester.submitted(&name, height, outcome);
                }
            }
        }
    }
    assert_eq!(attester.waiting(), WAITING_WINDOWS_MAX, "nothing is forgotten for it");
    let most = WAITING_WINDOWS_MAX as u64 * (FORGET_BLOCKS / PAUSE_BLOCKS_MAX + 3);
    assert!((WAITING_WINDOWS_MAX as u64..most).contains(&looks), "{looks} looks");
}

#[test]
fn those_that_are_due_for_longest_come_first() {
    let mut attester = attester();
    attester.closed(window(1, &["BTC.USD/trades"]), 9);
    attester.closed(window(2, &["BTC.USD/trades"]), 8);
    attester.closed(window(3, &["BTC.USD/trades"]), 10);
    assert_eq!((attester.due(9, 9), attester.due(10, 1)), (vec![name(2), name(1)], vec![name(2)]));
}

#[test]
fn where_too_many_wait_the_oldest_is_named_and_given_up() {
    let mut attester = attester();
    for number in 0..WAITING_WINDOWS_MAX as u64 {
        assert_eq!(attester.closed(window(number, &["BTC.USD/trades"]), number), None);
    }
    assert_eq!(attester.closed(window(9_999, &["BTC.USD/trades"]), 9_999), Some(name(0)));
    assert_eq!(attester.waiting(), WAITING_WINDOWS_MAX);
}

/// A network that asks for commitments, whose window nobody has opened.
const SEALED: WindowFacts = WindowFacts { step: Step::Commit, ..OPEN };

fn commitment(transaction: &[u8]) -> Commitment {
    let Transaction::Commitment(commitment) = canonical::decode(transaction).unwrap() else { panic!() };
    commitment
}

fn attestation(transaction: &[u8]) -> Attestation {
    let Transaction::Attestation(attestation) = canonical::decode(transaction).unwrap() else { panic!() };
    attestation
}

/// Facts after the commitment is on the ledger.
fn committed(height: Height, step: Step, seal: Digest) -> WindowFacts {
    WindowFacts { height, step, seal: Some(seal), opened: true, ..OPEN }
}

#[test]
fn a_window_is_committed_to_and_opened_when_nobody_can_commit_any_more() {
    let mut attester = attester();
    attester.closed(window(1, &["BTC.USD/trades"]), 9);
    let sent = commitment(&attester.decide(&name(1), &SEALED).unwrap());
    assert_eq!(attester.to_keep(&name(1)), Some(window(1, &["BTC.USD/trades"])), "before it is handed in");
    attester.submitted(&name(1), 10, Submitted::Accepted);
    assert_eq!(attester.due(11, 9), [name(1)], "the next block may hold it");
    assert_eq!(attester.decide(&name(1), &WindowFacts { height: 11, ..SEALED }), None, "not yet");
    assert_eq!(attester.decide(&name(1), &committed(12, Step::Wait, sent.seal)), None, "others may still commit");
    assert_eq!(attester.withdrawn(&withdrawal(1, "BTC.USD/trades")), Withdrawn::Sent, "what was committed to stands");
    let opened = attestation(&attester.decide(&name(1), &committed(13, Step::Open, sent.seal)).unwrap());
    assert_eq!((opened.seal(), attester.to_keep(&name(1))), (sent.seal, None));
    attester.submitted(&name(1), 13, Submitted::Accepted);
    assert!(attester.take_done().is_empty());
    attester.decide(&name(1), &WindowFacts { attested: true, ..committed(14, Step::Open, sent.seal) });
    assert_eq!(attester.take_done(), [name(1)], "its statement need not be kept any more");
}

#[test]
fn a_commitment_that_got_into_no_block_is_handed_in_again_as_it_was() {
    let mut attester = attester();
    attester.closed(window(1, &["BTC.USD/trades"]), 9);
    let first = attester.decide(&name(1), &SEALED).unwrap();
    attester.submitted(&name(1), 10, Submitted::Accepted);
    assert_eq!(attester.decide(&name(1), &WindowFacts { height: 14, ..SEALED }), None);
    let again = attester.decide(&name(1), &WindowFacts { height: 15, ..SEALED }).unwrap();
    assert_eq!(again, first);
    attester.submitted(&name(1), 15, Submitted::Later);
    let pinned = WindowFacts { height: 16, epoch: 2, opened: true, ..SEALED };
    let other_epoch = commitment(&attester.decide(&name(1), &pinned).unwrap());
    assert_eq!((other_epoch.epoch, other_epoch.seal), (2, commitment(&first).seal), "the seal holds under any epoch");
}

#[test]
fn a_statement_that_was_kept_opens_its_commitment_after_a_crash() {
    let mut before = attester();
    before.closed(window(1, &["BTC.USD/book", "BTC.USD/trades"]), 9);
    let seal = commitment(&before.decide(&name(1), &SEALED).unwrap()).seal;
    let kept = before.to_keep(&name(1)).unwrap();
    let mut after = attester();
    after.restored(kept.clone(), 11);
    after.closed(window(1, &["BTC.USD/trades"]), 11);
    assert_eq!(after.withdrawn(&withdrawal(1, "BTC.USD/book")), Withdrawn::Sent);
    let opened = attestation(&after.decide(&name(1), &committed(12, Step::Open, seal)).unwrap());
    assert_eq!(opened.seal(), seal, "whatever the collector says after the crash");
    // One whose commitment never got into a block commits again, to the same.
    let mut unsent = attester();
    unsent.restored(kept.clone(), 11);
    assert_eq!(commitment(&unsent.decide(&name(1), &SEALED).unwrap()).seal, seal);
    unsent.submitted(&name(1), 11, Submitted::Later);
    assert_eq!(unsent.withdrawn(&withdrawal(1, "BTC.USD/book")), Withdrawn::Sent, "it may be on its way elsewhere");
    // One that is too old for the ledger is let go.
    let mut old = attester();
    old.restored(kept, 11);
    old.decide(&name(1), &WindowFacts { closed: true, ..SEALED });
    assert_eq!((old.waiting(), old.take_done()), (0, vec![name(1)]));
}

#[test]
fn a_statement_that_cannot_open_what_stands_on_the_ledger_is_not_made() {
    let mut attester = attester();
    attester.closed(window(1, &["BTC.USD/trades"]), 9);
    assert_eq!(attester.decide(&name(1), &committed(12, Step::Open, Digest([7; 32]))), None, "a lost statement");
    assert_eq!(attester.waiting(), 0);
}

#[test]
fn who_comes_after_the_commitments_abstains_from_everything() {
    let mut attester = attester();
    let late = WindowFacts { step: Step::Abstain, opened: true, ..OPEN };
    attester.closed(window(1, &["BTC.USD/book", "BTC.USD/trades"]), 9);
    attester.closed(window(2, &[]), 9);
    let said = attestation(&attester.decide(&name(1), &late).unwrap());
    assert_eq!((said.chunks.len(), said.abstained.len(), said.abstains_from_all()), (0, 2, true));
    assert_eq!(attester.decide(&name(2), &late), None, "there is nothing to abstain from");
    assert_eq!(attester.waiting(), 1);
}

#[test]
fn who_covered_nothing_abstains_without_a_commitment_where_others_have_opened_the_window() {
    let mut attester = attester();
    attester.closed(Window { abstained: vec!["BTC.USD/trades".into()], ..window(1, &[]) }, 9);
    assert_eq!(attester.decide(&name(1), &SEALED), None, "it opens nothing");
    let said = attestation(&attester.decide(&name(1), &WindowFacts { opened: true, ..SEALED }).unwrap());
    assert!(said.abstains_from_all());
    assert_eq!(attester.to_keep(&name(1)), None);
    attester.submitted(&name(1), 10, Submitted::Accepted);
    let later = |height| WindowFacts { height, opened: true, ..SEALED };
    assert_eq!(attester.decide(&name(1), &later(12)), None, "it waits in the mempool");
    assert_eq!(attestation(&attester.decide(&name(1), &later(15)).unwrap()), said, "it got into no block");
}
