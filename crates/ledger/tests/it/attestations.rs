//! Windows: who may attest, what is accepted, who is named.

use openmesh_ledger::{
    EnvelopeError, EpochsParams,
    IncidentKind::{Differing, Disputed, Missing, Uncovered},
    LedgerEvent, Origin, Params, SourceKind, SourceSpec, SourcesError, SourcesParams, TransactionError as E,
    WINDOW_CLOSE_BLOCKS_MAX, WINDOW_NUMBER_MAX, WindowsError, WindowsEvent, WindowsParams, assigned, beacon, chunk,
    current_epoch, epoch, incidents as stored, keys, pinned_epoch, source_progress, validator_record, window,
};
use openmesh_primitives::{Address, ContentId};

use crate::chain::{BOOK, CHAIN_ID, Chain, SOURCE, START, TRADES, accepted, claim, incidents, source};

fn params() -> Params {
    Params {
        windows: WindowsParams { window_close_blocks: 3, ..WindowsParams::default() },
        epochs: EpochsParams { epoch_ms: 5_000, ..EpochsParams::default() },
        ..Params::default()
    }
}

fn four() -> Chain {
    Chain::new(&[1, 1, 1, 1], params())
}

#[test]
fn a_chunk_is_accepted_with_the_third_of_four_and_the_window_closes() {
    let mut chain = four();
    let honest = || vec![claim(TRADES, "t"), claim(BOOK, "b")];
    let first = chain.run(vec![chain.attest(0, 7, 0, honest()), chain.attest(1, 7, 0, honest())]);
    assert_eq!(accepted(&first.events), []);
    assert_eq!(pinned_epoch(&chain.state, SOURCE, 7).unwrap(), Some(0));
    let second = chain.run(vec![chain.attest(2, 7, 0, honest())]);
    let expected = vec![(BOOK.to_string(), ContentId::of(b"b")), (TRADES.to_string(), ContentId::of(b"t"))];
    assert_eq!(accepted(&second.events), expected);
    assert_eq!(chunk(&chain.state, SOURCE, 7, BOOK).unwrap().unwrap().height, 2);
    let third = chain.run(vec![chain.attest(3, 7, 0, honest())]);
    let [LedgerEvent::Windows(WindowsEvent::Attested { window: 7, validator, .. })] = third.events.as_slice() else {
        panic!("the fourth agrees, and nothing else is new: {:?}", third.events)
    };
    assert_eq!(*validator, chain.address(3));
    let closing = chain.run(vec![]);
    let [LedgerEvent::Windows(WindowsEvent::WindowClosed { accepted: 2, disputed, missing, height: 4, .. })] =
        closing.events.as_slice()
    else {
        panic!("{:?}", closing.events)
    };
    assert!(disputed.is_empty() && missing.is_empty());
    let record = window(&chain.state, SOURCE, 7).unwrap().unwrap();
    assert!(record.closed && record.attested.len() == 4 && record.differing.is_empty());
    let gone = [keys::attestation(SOURCE, 7, &chain.address(0)), keys::closing(4, SOURCE, 7)];
    assert!(gone.iter().all(|key| !chain.state.contains_key(key)), "what is no longer needed is deleted");
    let late = chain.attest(0, 7, 0, honest());
    assert_eq!(chain.run_one(late), Some(E::Windows(WindowsError::WindowClosed { height: 4 })));
    assert_eq!(source_progress(&chain.state, SOURCE).unwrap().last_window, Some(7));
}

#[test]
fn a_liar_is_named_whether_it_comes_first_or_last() {
    for liar in 0..4 {
        let mut chain = four();
        let said = |v: usize| vec![claim(TRADES, if v == liar { "forged" } else { "t" })];
        let mut events = chain.run((0..4).map(|v| chain.attest(v, 1, 0, said(v))).collect()).events;
        assert_eq!(accepted(&events), [(TRADES.to_string(), ContentId::of(b"t"))]);
        assert_eq!(incidents(&events), [(Differing, Some(TRADES.to_string()), Some(chain.address(liar)))]);
        events = chain.run_to(4);
        assert_eq!(incidents(&events), [], "closing names nobody twice");
        assert_eq!(validator_record(&chain.state, &chain.address(liar)).unwrap().unwrap().differing, 1);
        assert_eq!(stored(&chain.state, 0, 10).unwrap().len(), 1);
    }
}

#[test]
fn inventing_and_omitting_a_stream_is_differing_too() {
    for liar in 0..4 {
        let mut chain = four();
        let invents =
            |v: usize| if v == liar { vec![claim(TRADES, "t"), claim(BOOK, "x")] } else { vec![claim(TRADES, "t")] };
        let events = chain.run((0..4).map(|v| chain.attest(v, 1, 0, invents(v))).collect()).events;
        assert_eq!(accepted(&events), [(TRADES.to_string(), ContentId::of(b"t"))]);
        assert_eq!(incidents(&events), [(Differing, Some(BOOK.to_string()), Some(chain.address(liar)))]);
        let omits = |v: usize| if v == liar { vec![] } else { vec![claim(TRADES, "t")] };
        let events = chain.run((0..4).map(|v| chain.attest(v, 2, 0, omits(v))).collect()).events;
        assert_eq!(accepted(&events).len(), 1);
        assert_eq!(incidents(&events), [(Differing, Some(TRADES.to_string()), Some(chain.address(liar)))]);
    }
}

#[test]
fn without_agreement_the_stream_is_disputed_and_nobody_is_accused() {
    let mut chain = four();
    let said = |v: usize| vec![claim(TRADES, if v < 2 { "a" } else { "b" }), claim(BOOK, "same")];
    let events = chain.run((0..4).map(|v| chain.attest(v, 1, 0, said(v))).collect()).events;
    assert_eq!(accepted(&events), [(BOOK.to_string(), ContentId::of(b"same"))]);
    let events = chain.run_to(4);
    assert_eq!(incidents(&events), [(Disputed, Some(TRADES.to_string()), None)]);
    assert_eq!(window(&chain.state, SOURCE, 1).unwrap().unwrap().disputed, [TRADES]);
}

#[test]
fn one_of_four_alone_cannot_accuse_the_others() {
    let mut chain = four();
    chain.run(vec![chain.attest(2, 900, 0, vec![claim(TRADES, "nonsense")])]);
    let events = chain.run_to(4);
    assert_eq!(incidents(&events), [(Uncovered, None, None)]);
    assert!((0..4).all(|v| validator_record(&chain.state, &chain.address(v)).unwrap().unwrap().missing == 0));
    assert_eq!(source_progress(&chain.state, SOURCE).unwrap().last_window, None, "nor move the source's clock");
}

#[test]
fn a_window_that_nobody_attested_is_named() {
    let mut chain = four();
    let all = |chain: &Chain, w| (0..4).map(|v| chain.attest(v, w, 0, vec![])).collect::<Vec<_>>();
    chain.run(all(&chain, 10));
    chain.run(all(&chain, 12));
    chain.run(all(&chain, 15));
    let events = chain.run_to(7);
    let gaps: Vec<(u64, String)> = events
        .iter()
        .filter_map(|event| match event {
            LedgerEvent::Incident(incident) => Some((incident.window, incident.detail.clone())),
            _ => None,
        })
        .collect();
    let expected = [(11, "windows 11 to 11 were attested by nobody"), (13, "windows 13 to 14 were attested by nobody")];
    assert_eq!(gaps, expected.map(|(window, detail)| (window, detail.to_string())));
}

/// A window in which some streams have chunks is not missing, but a stream that nobody covers in it is.
#[test]
fn a_stream_that_nobody_covers_any_more_is_named_once() {
    let mut chain = four();
    let mut events = Vec::new();
    for (window, streams) in [(1, vec![TRADES, BOOK]), (2, vec![TRADES]), (3, vec![TRADES]), (4, vec![TRADES, BOOK])] {
        let claims = || streams.iter().map(|stream| claim(stream, &window.to_string())).collect();
        events.extend(chain.run((0..4).map(|v| chain.attest(v, window, 0, claims())).collect()).events);
    }
    events.extend(chain.run_to(9));
    let named: Vec<(u64, Option<String>)> = events
        .iter()
        .filter_map(|event| match event {
            LedgerEvent::Incident(incident) if incident.kind == Missing => {
                Some((incident.window, incident.stream.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(named, [(2, Some(BOOK.to_string()))]);
}

#[test]
fn refusals_of_attestations() {
    let mut chain = Chain::new(
        &[1, 1, 1, 1],
        Params { windows: WindowsParams { open_windows_max: 2, ..params().windows }, ..params() },
    );
    let honest = || vec![claim(TRADES, "t")];
    let unknown = chain.attest_source(0, "nowhere", 1, 0, honest());
    assert_eq!(chain.run_one(unknown), Some(E::Sources(SourcesError::UnknownSource { id: "nowhere".to_string() })));
    let stream = chain.attest(0, 1, 0, vec![claim("DOGE.USD/trades", "x")]);
    assert_eq!(
        chain.run_one(stream),
        Some(E::Windows(WindowsError::UnknownStream { stream: "DOGE.USD/trades".to_string() }))
    );
    let twice = chain.attest(0, 1, 0, vec![claim(TRADES, "x"), claim(TRADES, "y")]);
    assert!(matches!(chain.run_one(twice), Some(E::Windows(WindowsError::Claims { .. }))));
    assert_eq!(
        chain.run_one(chain.attest(0, 1, 9, honest())),
        Some(E::Windows(WindowsError::WrongEpoch { current: 0, got: 9 }))
    );
    assert_eq!(chain.run_one(chain.attest(0, 1, 0, honest())), None);
    let duplicate = chain.attest(0, 1, 0, vec![claim(TRADES, "another")]);
    let validator = chain.address(0);
    assert_eq!(chain.run_one(duplicate), Some(E::Windows(WindowsError::DuplicateAttestation { validator })));
    assert_eq!(
        chain.run_one(chain.attest(1, 1, 1, honest())),
        Some(E::Windows(WindowsError::PinnedEpoch { pinned: 0, got: 1 }))
    );
    assert_eq!(chain.run_one(chain.attest(0, 2, 1, honest())), None);
    let more = chain.run_one(chain.attest(0, 4, 1, honest()));
    assert_eq!(
        more,
        Some(E::Windows(WindowsError::OpenWindows { max: 2 })),
        "window 1 has closed, but nobody joined it"
    );
    assert_eq!(chain.run_one(chain.attest(1, 4, 1, honest())), None, "another validator may still open it");
}

#[test]
fn altered_attestations() {
    use openmesh_ledger::{Attestation, Transaction, verify_stateless};
    let mut chain = four();
    let key = chain.validators[0].clone();
    let signed = Attestation::sign(&key, CHAIN_ID, SOURCE, 1, 0, vec![claim(TRADES, "t")], vec![]);
    let other = Attestation { window: 2, ..signed.clone() };
    assert_eq!(chain.run_one(Transaction::Attestation(other).encode()), Some(E::Envelope(EnvelopeError::Signature)));
    let stolen = Attestation { public_key: chain.validators[1].public(), ..signed.clone() };
    assert_eq!(
        verify_stateless(&Transaction::Attestation(stolen).encode()),
        Err(E::Envelope(EnvelopeError::Signature))
    );
    let foreign = Attestation::sign(&key, 1, SOURCE, 1, 0, vec![], vec![]);
    let foreign = Transaction::Attestation(foreign).encode();
    assert_eq!(chain.run_one(foreign), Some(E::Envelope(EnvelopeError::Chain { expected: CHAIN_ID, got: 1 })));
    let stranger = openmesh_primitives::ValidatorKey::from_seed([200; 32]);
    let nobody =
        Transaction::Attestation(Attestation::sign(&stranger, CHAIN_ID, SOURCE, 1, 0, vec![], vec![])).encode();
    let validator = stranger.public().address();
    assert_eq!(chain.run_one(nobody), Some(E::Windows(WindowsError::NotAssigned { validator, epoch: 0 })));
}

#[test]
fn the_pinned_epoch_holds_beyond_the_next_one() {
    let mut chain = Chain::new(
        &[1; 4],
        Params {
            epochs: EpochsParams { epoch_ms: 2_000, ..EpochsParams::default() },
            windows: WindowsParams { window_close_blocks: 20, ..WindowsParams::default() },
            ..Params::default()
        },
    );
    chain.run_to(2);
    assert_eq!(chain.run_one(chain.attest(0, 1, 0, vec![])), None, "height 3 is epoch 1: the one before is allowed");
    chain.run_to(8);
    assert_eq!(current_epoch(&chain.state).unwrap(), 3);
    assert_eq!(chain.run_one(chain.attest(1, 1, 0, vec![])), None, "the window keeps its epoch while it is open");
    let fresh = chain.attest(1, 2, 0, vec![]);
    assert_eq!(chain.run_one(fresh), Some(E::Windows(WindowsError::WrongEpoch { current: 4, got: 0 })));
}

#[test]
fn only_the_assigned_count() {
    let mut chain = Chain::new(
        &[1; 7],
        Params { sources: SourcesParams { assigned_per_source: 4, ..params().sources }, ..params() },
    );
    let drawn: Vec<Address> = assigned(&chain.state, SOURCE, 0).unwrap().iter().map(|v| v.address).collect();
    assert_eq!(drawn.len(), 4);
    let mut taken = 0;
    for v in 0..7 {
        let error = chain.run_one(chain.attest(v, u64::from(v as u8 > 3), 0, vec![claim(TRADES, "t")]));
        let validator = chain.address(v);
        match drawn.contains(&validator) {
            true => assert_eq!(error, None),
            false => assert_eq!(error, Some(E::Windows(WindowsError::NotAssigned { validator, epoch: 0 }))),
        }
        taken += usize::from(error.is_none());
    }
    assert_eq!(taken, 4);
}

#[test]
fn the_draw_of_an_epoch_is_known_one_epoch_before() {
    let mut chain = four();
    chain.run_to(5);
    let before = beacon(&chain.state).unwrap();
    assert_eq!((current_epoch(&chain.state).unwrap(), epoch(&chain.state, 2).unwrap()), (0, None));
    assert_eq!(epoch(&chain.state, 1).unwrap().map(|draw| draw.drawn_height), Some(0), "of the genesis");
    chain.run(vec![]);
    assert_eq!(current_epoch(&chain.state).unwrap(), 1);
    let draw = epoch(&chain.state, 2).unwrap().unwrap();
    assert_eq!((draw.seed, draw.drawn_height), (openmesh_ledger::epoch_seed(&before, 2), 6));
}

#[test]
fn a_window_must_have_ended() {
    for origin in [Origin::Live, Origin::Simulated, Origin::Replay] {
        a_window_of_this_origin_must_have_ended(origin);
    }
}

fn a_window_of_this_origin_must_have_ended(origin: Origin) {
    let mut chain = four();
    let mut genesis = chain.genesis.clone();
    genesis.sources.push(source("live", origin));
    chain.state = openmesh_ledger::initial_state(&genesis).unwrap();
    let window_of = |ms: i64| (ms / 10_000) as u64;
    // The first block's time is START + 1 s; the windows are 10 s long and one ends at START.
    let running = window_of(START.millis());
    let ahead = chain.attest_source(0, "live", running, 0, vec![]);
    let Some(E::Windows(WindowsError::WindowAhead { end_ms, .. })) = chain.run_one(ahead) else {
        panic!("it ends 9 s ahead")
    };
    assert_eq!(end_ms as i64, START.millis() + 10_000);
    let before = chain.run_one(chain.attest_source(0, "live", running - 1, 0, vec![]));
    let past = (origin == Origin::Live).then_some(E::Windows(WindowsError::WindowPast { first: running }));
    assert_eq!(before, past, "a live source has no windows before its registration");
    chain.run_to(4);
    let near = chain.attest_source(0, "live", running, 0, vec![]);
    assert_eq!(chain.run_one(near), None, "5 s before its end at a block time of START + 5 s");
    let far = chain.attest_source(0, "live", u64::MAX, 0, vec![]);
    assert!(matches!(chain.run_one(far), Some(E::Windows(WindowsError::WindowAhead { .. }))));
}

#[test]
fn a_stray_byte_in_a_claim_is_another_claim() {
    let mut chain = four();
    let mut odd = claim(TRADES, "t");
    odd.events += 1;
    let mut transactions: Vec<_> = (0..3).map(|v| chain.attest(v, 1, 0, vec![claim(TRADES, "t")])).collect();
    transactions.push(chain.attest(3, 1, 0, vec![odd]));
    let events = chain.run(transactions).events;
    assert_eq!(incidents(&events), [(Differing, Some(TRADES.to_string()), Some(chain.address(3)))]);
}

/// A chain's windows are blocks, which have no time by which a number is too far ahead. Numbers that a table cannot hold are
/// refused: such a one, once committed, would stand in the way of every block after it.
#[test]
fn the_highest_number_of_a_window_closes_like_any_other_and_higher_ones_are_refused() {
    let mut chain = Chain::new(
        &[1, 1, 1, 1],
        Params { windows: WindowsParams { window_close_blocks: 1, ..WindowsParams::default() }, ..Params::default() },
    );
    let mut genesis = chain.genesis.clone();
    genesis.sources.push(SourceSpec { kind: SourceKind::Chain, ..source("chain", Origin::Replay) });
    chain.state = openmesh_ledger::initial_state(&genesis).unwrap();
    for window in [WINDOW_NUMBER_MAX + 1, u64::MAX] {
        let far = chain.attest_source(0, "chain", window, 0, vec![]);
        assert_eq!(chain.run_one(far), Some(E::Windows(WindowsError::WindowNumber { max: WINDOW_NUMBER_MAX })));
    }
    let mut closed = Vec::new();
    for window in [5, WINDOW_NUMBER_MAX] {
        let all = (0..3).map(|v| chain.attest_source(v, "chain", window, 0, vec![])).collect();
        for transactions in [all, vec![], vec![]] {
            closed.extend(chain.run(transactions).events.into_iter().filter_map(|event| match event {
                LedgerEvent::Windows(WindowsEvent::WindowClosed { window, .. }) => Some(window),
                _ => None,
            }));
        }
    }
    assert_eq!(closed, [5, WINDOW_NUMBER_MAX]);
}

/// Found by reading for the fuzzer: the height at which such a window closes does not fit.
#[test]
fn windows_that_never_close_are_no_parameter() {
    for (blocks, sound) in [(0, false), (1, true), (WINDOW_CLOSE_BLOCKS_MAX, true), (u64::MAX, false)] {
        assert_eq!(
            Params {
                windows: WindowsParams { window_close_blocks: blocks, ..WindowsParams::default() },
                ..Params::default()
            }
            .validate()
            .is_ok(),
            sound,
            "{blocks}"
        );
    }
}
