//! Abstention: a word of its own, which accuses nobody and stays in the denominator. Clauses Q and W.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_ledger::{
    Abstention, IncidentKind, LedgerEvent, Params, TransactionError, WindowRecord, WindowsError, WindowsEvent,
    WindowsParams, source_progress, validator_record, window,
};
use openmesh_primitives::{Address, ContentId};
use proptest::prelude::*;

use crate::chain::{BOOK, Chain, SOURCE, TRADES, accepted, claim, incidents};

const ETHER: &str = "ETH.USD/trades";

fn params(close: u64) -> Params {
    Params { windows: WindowsParams { window_close_blocks: close, ..WindowsParams::default() }, ..Params::default() }
}

fn strings(streams: &[&str]) -> Vec<String> {
    streams.iter().map(|s| (*s).to_string()).collect()
}

fn record(chain: &Chain, number: u64) -> WindowRecord {
    window(&chain.state, SOURCE, number).unwrap().unwrap()
}

#[test]
fn a_stream_that_too_few_covered_is_uncovered_and_named_where_the_hole_begins() {
    let mut chain = Chain::new(&[1; 4], params(3));
    let mut events = Vec::new();
    for number in [1, 2] {
        let said = |v: usize| match v {
            0 | 1 => (vec![claim(BOOK, "b"), claim(TRADES, "t")], vec![]),
            _ => (vec![claim(BOOK, "b")], vec![TRADES]),
        };
        let all = (0..4).map(|v| chain.attest_with(v, number, 0, said(v).0, &said(v).1)).collect();
        events.extend(chain.run(all).events);
    }
    events.extend(chain.run_to(6));
    assert_eq!(accepted(&events).len(), 2, "the book of both windows");
    assert_eq!(incidents(&events), [(IncidentKind::Uncovered, Some(TRADES.to_string()), None)], "of the first only");
    for number in [1, 2] {
        let record = record(&chain, number);
        assert_eq!((record.uncovered.as_slice(), record.disputed.len()), (strings(&[TRADES]).as_slice(), 0));
        let abstained = [2, 3].map(|v| Abstention { validator: chain.address(v), streams: strings(&[TRADES]) });
        assert_eq!(record.abstained, abstained);
        assert!(record.abstained_from(&chain.address(2), TRADES) && !record.abstained_from(&chain.address(2), BOOK));
    }
    let closed = events.iter().filter_map(|event| match event {
        LedgerEvent::Windows(WindowsEvent::WindowClosed { uncovered, .. }) => Some(uncovered.clone()),
        _ => None,
    });
    assert_eq!(closed.collect::<Vec<_>>(), [strings(&[TRADES]), strings(&[TRADES])]);
    assert_eq!(source_progress(&chain.state, SOURCE).unwrap().streams_uncovered, 2);
    let of = |v| validator_record(&chain.state, &chain.address(v)).unwrap().unwrap();
    assert_eq!((of(0).abstained, of(2).abstained, of(2).differing), (0, 2, 0));
}

#[test]
fn who_began_later_is_not_named_and_the_stream_is_agreed_where_two_thirds_covered_it() {
    for late in 0..4 {
        let mut chain = Chain::new(&[1; 4], params(3));
        let said = |chain: &Chain, v: usize| {
            let (chunks, abstained): (Vec<_>, Vec<&str>) = if v == late {
                (vec![], vec![BOOK, TRADES])
            } else {
                (vec![claim(BOOK, "b"), claim(TRADES, "t")], vec![])
            };
            chain.attest_with(v, 1, 0, chunks, &abstained)
        };
        let mut events = chain.run((0..4).map(|v| said(&chain, v)).collect()).events;
        events.extend(chain.run_to(4));
        assert_eq!(accepted(&events).len(), 2);
        assert_eq!(incidents(&events), []);
    }
}

#[test]
fn a_liar_that_invents_a_stream_is_outvoted_where_two_thirds_say_that_there_is_none() {
    let mut chain = Chain::new(&[1; 5], params(3));
    let said = |v: usize| match v {
        0 => (vec![claim(ETHER, "invented"), claim(TRADES, "t")], vec![]),
        _ => (vec![claim(TRADES, "t")], vec![]),
    };
    let all = (0..5).map(|v| chain.attest_with(v, 1, 0, said(v).0, &said(v).1)).collect();
    let mut events = chain.run(all).events;
    events.extend(chain.run_to(4));
    assert_eq!(incidents(&events), [(IncidentKind::Differing, Some(ETHER.to_string()), Some(chain.address(0)))]);
    assert_eq!(record(&chain, 1).absent, [ETHER]);
}

#[test]
fn a_stream_that_nobody_claims_is_uncovered_only_where_no_quorum_says_that_there_is_none() {
    for (abstainers, uncovered) in [(1, vec![]), (2, vec![TRADES])] {
        let mut chain = Chain::new(&[1; 4], params(3));
        let said = |v: usize| if v < abstainers { vec![TRADES] } else { vec![] };
        let all = (0..4).map(|v| chain.attest_with(v, 1, 0, vec![claim(BOOK, "b")], &said(v))).collect();
        let mut events = chain.run(all).events;
        events.extend(chain.run_to(4));
        assert_eq!(record(&chain, 1).uncovered, strings(&uncovered), "{abstainers} abstained");
        assert_eq!(incidents(&events).len(), uncovered.len());
    }
}

#[test]
fn malformed_abstentions_are_refused() {
    let mut chain = Chain::four();
    let refused = |chain: &mut Chain, chunks, abstained: &[&str]| {
        let bytes = chain.attest_with(0, 1, 0, chunks, abstained);
        chain.run_one(bytes)
    };
    let claims = |error| matches!(error, Some(TransactionError::Windows(WindowsError::Claims { .. })));
    assert!(claims(refused(&mut chain, vec![], &[TRADES, TRADES])), "twice");
    assert!(claims(refused(&mut chain, vec![claim(TRADES, "t")], &[TRADES])), "claimed too");
    let unknown = refused(&mut chain, vec![], &["DOGE.USD/trades"]);
    assert!(matches!(unknown, Some(TransactionError::Windows(WindowsError::UnknownStream { .. }))));
    assert_eq!(refused(&mut chain, vec![claim(TRADES, "t")], &[BOOK]), None);
}

/// A thousand wrong claims in one attestation are all in the record, and a few of them are incidents.
#[test]
fn incidents_about_one_validator_in_one_window_are_bounded() {
    use openmesh_ledger::{DIFFERING_INCIDENTS_MAX, Origin, initial_state};
    let mut chain = Chain::new(&[1; 4], params(3));
    let mut genesis = chain.genesis.clone();
    let mut wide = crate::chain::source("wide", Origin::Replay);
    wide.symbols = (0..20).map(|n| format!("C{n:02}.USD")).collect();
    genesis.sources.push(wide);
    chain.state = initial_state(&genesis).unwrap();
    let streams: Vec<String> = (0..20).map(|n| format!("C{n:02}.USD/trades")).collect();
    let said = |v: usize| streams.iter().map(|s| claim(s, if v == 3 { "forged" } else { "t" })).collect::<Vec<_>>();
    let all = (0..4).map(|v| chain.attest_source(v, "wide", 1, 0, said(v))).collect();
    let events = chain.run(all).events;
    assert_eq!(incidents(&events).len(), DIFFERING_INCIDENTS_MAX);
    let record = window(&chain.state, "wide", 1).unwrap().unwrap();
    assert_eq!((record.differing.len(), record.accepted), (20, 20));
    assert_eq!(validator_record(&chain.state, &chain.address(3)).unwrap().unwrap().differing, 20);
}

/// A validator whose attestation did not come in is counted. It is named only if it was not there at all.
#[test]
fn a_validator_is_missing_only_if_it_was_not_there_for_a_hundred_heights() {
    let attested = |chain: &mut Chain, number| {
        let all = (0..3).map(|v| chain.attest(v, number, 0, vec![claim(TRADES, "t")])).collect();
        let mut events = chain.run(all).events;
        let end = chain.tip.height + 3;
        events.extend(chain.run_to(end));
        incidents(&events)
    };
    let mut there = Chain::new(&[1; 4], params(3));
    there.run_to(120);
    assert_eq!(attested(&mut there, 1), [], "it signs, so a proposer may have left its attestation out");
    assert_eq!(validator_record(&there.state, &there.address(3)).unwrap().unwrap().missing, 1);
    let mut gone = Chain::new(&[1; 4], params(3));
    gone.signers = vec![0, 1, 2];
    gone.run_to(90);
    assert_eq!(attested(&mut gone, 1), []);
    gone.run_to(101);
    assert_eq!(attested(&mut gone, 2), [(IncidentKind::Missing, None, Some(gone.address(3)))]);
    gone.signers = vec![0, 1, 2, 3];
    gone.run(vec![]);
    gone.signers = vec![0, 1, 2];
    assert_eq!(attested(&mut gone, 3), [], "one late precommit is enough");
}

/// Roles of validators about one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Claims,
    Abstains,
    Silent,
    Lies(u8),
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        4 => Just(Role::Claims),
        3 => Just(Role::Abstains),
        1 => Just(Role::Silent),
        2 => (0..4u8).prop_map(Role::Lies),
    ]
}

struct Outcome {
    chunks: Vec<(String, ContentId)>,
    named: Vec<(IncidentKind, Option<String>, Option<Address>)>,
    record: Option<WindowRecord>,
}

fn outcome(powers: &[u64], roles: &[Role], order: &[usize], cuts: &[bool]) -> (Chain, Outcome) {
    let mut chain = Chain::new(powers, params(20));
    let (mut events, mut block) = (Vec::new(), Vec::new());
    for (at, v) in order.iter().filter(|v| **v < powers.len()).enumerate() {
        let (chunks, abstained) = match roles[*v] {
            Role::Claims => (vec![claim(TRADES, "t")], vec![]),
            Role::Abstains => (vec![], vec![TRADES]),
            Role::Silent => continue,
            Role::Lies(0) => (vec![], vec![]),
            Role::Lies(1) => (vec![claim(TRADES, "t"), claim(ETHER, "invented")], vec![]),
            Role::Lies(n) => (vec![claim(TRADES, &n.to_string())], vec![]),
        };
        block.push(chain.attest_with(*v, 1, 0, chunks, &abstained));
        if cuts[at] {
            events.extend(chain.run(std::mem::take(&mut block)).events);
        }
    }
    events.extend(chain.run(block).events);
    events.extend(chain.run_to(30));
    let (mut chunks, mut named) = (accepted(&events), incidents(&events));
    chunks.sort();
    named.sort_by_key(|(kind, stream, who)| (*kind as u8, stream.clone(), *who));
    let record = window(&chain.state, SOURCE, 1).unwrap();
    (chain, Outcome { chunks, named, record })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whoever speaks the truth or abstains is never named, in whatever order and blocks the attestations come, as long as
    /// no lie has a quorum; every stream has at most one outcome; and the outcome is that of the rule, computed here anew
    /// from the powers alone.
    #[test]
    fn honest_abstainers_are_never_named(
        powers in prop::collection::vec(1..20u64, 4..8),
        roles in prop::collection::vec(role(), 8),
        order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(),
        cuts in prop::collection::vec(any::<bool>(), 8),
    ) {
        let total: u64 = powers.iter().sum();
        let power = |wanted: &dyn Fn(Role) -> bool| -> u64 {
            powers.iter().zip(&roles).filter(|(_, role)| wanted(**role)).map(|(power, _)| power).sum()
        };
        let lies = power(&|role| matches!(role, Role::Lies(_)));
        prop_assume!(lies * 3 < total);
        let (chain, found) = outcome(&powers, &roles, &order, &cuts);
        let in_order: Vec<usize> = (0..8).collect();
        let (_, again) = outcome(&powers, &roles, &in_order, &[false; 8]);
        prop_assert_eq!((&found.chunks, &found.named), (&again.chunks, &again.named));
        let honest: BTreeSet<Address> = (0..powers.len())
            .filter(|v| !matches!(roles[*v], Role::Lies(_)))
            .map(|v| chain.address(v))
            .collect();
        for (kind, stream, who) in &found.named {
            prop_assert!(who.is_none_or(|who| !honest.contains(&who)), "{kind:?} {stream:?} names an honest one");
        }
        let Some(record) = found.record else { return Ok(()) };
        for stream in [TRADES, ETHER] {
            let has = |list: &[String]| usize::from(list.iter().any(|s| s == stream));
            let chunks = found.chunks.iter().filter(|(s, _)| s == stream).count();
            let outcomes = chunks + has(&record.absent) + has(&record.disputed) + has(&record.uncovered);
            prop_assert!(outcomes <= 1, "{stream}: {record:?}");
        }
        // The rule about the stream of trades.
        let mut words: BTreeMap<u8, u64> = BTreeMap::new();
        for (power, role) in powers.iter().zip(&roles) {
            match role {
                Role::Claims | Role::Lies(1) => *words.entry(1).or_default() += power,
                Role::Lies(n) => *words.entry(*n).or_default() += power,
                Role::Abstains | Role::Silent => {}
            }
        }
        let strongest = words.values().copied().max().unwrap_or(0);
        let spoken: u64 = words.values().sum();
        let quorum = |power: u64| power * 3 > total * 2;
        let credible = (total - power(&|role| role == Role::Silent)) * 3 > total;
        if quorum(strongest) {
            let true_one = words.get(&1) == Some(&strongest);
            prop_assert_eq!(true_one, found.chunks.iter().any(|(s, cid)| s == TRADES && *cid == ContentId::of(b"t")));
        } else if credible && spoken + power(&|role| role == Role::Abstains) > 0 {
            let claimed_or_abstained = words.keys().any(|word| *word != 0) || power(&|role| role == Role::Abstains) > 0;
            let uncovered = quorum(strongest + total - spoken);
            if claimed_or_abstained {
                prop_assert_eq!(record.uncovered.iter().any(|s| s == TRADES), uncovered);
                prop_assert_eq!(record.disputed.iter().any(|s| s == TRADES), !uncovered);
            }
        }
    }
}
