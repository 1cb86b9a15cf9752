use super::*;

fn chunk(height: Height, n: usize) -> AcceptedChunkMeta {
    AcceptedChunkMeta {
        source: "kraken".into(),
        origin: "simulated".into(),
        cid: ContentId::of(format!("{height} {n}").as_bytes()),
        window: height,
        stream: "BTC.USD/trades".into(),
        height,
    }
}

/// Tries everything that is due, with one outcome; returns the heights of the chunks' blocks.
fn try_all(awaited: &mut Awaited, now: Height, failure: Failure) -> Vec<Height> {
    let mut tried = Vec::new();
    while let Some((ticket, _)) = awaited.next_local(now) {
        awaited.not_held(ticket);
    }
    while let Some((ticket, meta)) = awaited.next_remote() {
        tried.push(meta.height);
        awaited.failed(ticket, now, failure);
    }
    tried
}

fn durable_nowhere(_: &ContentId) -> bool {
    false
}

#[test]
fn a_full_queue_stops_scanning_and_forgets_nothing_that_was_not_asked_for() {
    let mut awaited = Awaited::new(4);
    assert_eq!(awaited.next_scan().0, Some(5));
    awaited.scanned(5, (0..AWAITED_CHUNKS_MAX).map(|n| chunk(5, n)));
    assert_eq!((awaited.next_scan(), awaited.counts().late), ((None, Vec::new()), AWAITED_CHUNKS_MAX as u64));
    // All but the first come.
    let (first, _) = awaited.next_local(6).unwrap();
    while let Some((ticket, _)) = awaited.next_local(6) {
        awaited.complete(ticket);
    }
    awaited.failed(first, 6, Failure::Passing);
    assert_eq!((awaited.next_scan().0, awaited.counts().late), (Some(6), 1));
    awaited.scanned(6, [chunk(6, 0)]);
    assert_eq!(try_all(&mut awaited, 6, Failure::Passing), [6], "the other one pauses");
    assert_eq!(try_all(&mut awaited, 7, Failure::Passing), [5, 6]);
}

#[test]
fn a_full_queue_is_filled_again_by_blocks_and_not_for_each_chunk() {
    const BLOCK: usize = 1_024;
    let mut awaited = Awaited::new(4);
    awaited.scanned(5, (0..AWAITED_CHUNKS_MAX).map(|n| chunk(5, n)));
    let (mut scans, mut height) = (0, 5);
    for _ in 0..AWAITED_CHUNKS_MAX {
        let (ticket, _) = awaited.next_local(6).unwrap();
        awaited.complete(ticket);
        if let (Some(next), abandoned) = awaited.next_scan() {
            assert_eq!((next, abandoned), (height + 1, Vec::new()));
            (scans, height) = (scans + 1, next);
            awaited.scanned(next, (0..BLOCK).map(|n| chunk(next, n)));
        }
    }
    assert_eq!(scans, AWAITED_CHUNKS_MAX / BLOCK);
}

#[test]
fn attempts_become_rare_and_never_end_while_there_is_room() {
    let mut awaited = Awaited::new(0);
    awaited.scanned(1, [chunk(1, 0)]);
    let tried: Vec<Height> =
        (1..10_000).filter(|now| !try_all(&mut awaited, *now, Failure::Passing).is_empty()).collect();
    assert_eq!(tried[..6], [1, 2, 4, 8, 16, 32]);
    assert!(tried.windows(2).all(|pair| pair[1] - pair[0] <= PAUSE_BLOCKS_MAX));
    assert!(tried.last() > Some(&8_900) && awaited.counts().missing == 0);
}

#[test]
fn what_nobody_gives_makes_room_for_what_may_be_had() {
    let mut awaited = Awaited::new(0);
    awaited.scanned(1, (0..AWAITED_CHUNKS_MAX).map(|n| chunk(1, n)));
    let mut now = 1;
    let abandoned = loop {
        if let (Some(_), abandoned) = awaited.next_scan() {
            break abandoned;
        }
        now += PAUSE_BLOCKS_MAX;
        try_all(&mut awaited, now, Failure::Passing);
    };
    let counts = awaited.counts();
    assert_eq!((abandoned.len(), counts.missing, counts.late), (1, 1, 0));
    assert_eq!(counts.unavailable, AWAITED_CHUNKS_MAX as u64 - 1);
}

#[test]
fn nothing_is_given_up_where_no_place_comes_of_it() {
    let mut awaited = Awaited::new(0);
    awaited.scanned(1, (0..5).map(|n| chunk(1, n)));
    for now in (1..=ATTEMPTS_MIN.into()).map(|n: u64| n * PAUSE_BLOCKS_MAX) {
        try_all(&mut awaited, now, Failure::Passing);
    }
    // The last block had more chunks than there was room for.
    awaited.scanned(2, (0..AWAITED_CHUNKS_MAX).map(|n| chunk(2, n)));
    assert_eq!((awaited.next_scan(), awaited.counts().missing), ((None, Vec::new()), 0), "six have to go, five may");
    let (ticket, _) = awaited.next_local(1).unwrap();
    awaited.complete(ticket);
    let (next, abandoned) = awaited.next_scan();
    assert_eq!((next, abandoned.len(), awaited.room()), (Some(3), 5, 1));
}

#[test]
fn a_chunk_that_nobody_holds_is_told_apart_from_one_that_is_late() {
    let mut awaited = Awaited::new(0);
    awaited.scanned(1, [chunk(1, 0)]);
    for now in [1, 2, 4] {
        assert_eq!(awaited.counts(), Counts { late: 1, ..Counts::default() });
        assert_eq!(try_all(&mut awaited, now, Failure::Absent), [1]);
    }
    assert_eq!(awaited.counts(), Counts { unavailable: 1, ..Counts::default() });
    // A peer that does not answer may hold it.
    try_all(&mut awaited, 8, Failure::Passing);
    assert_eq!(awaited.counts(), Counts { late: 1, ..Counts::default() });
}

#[test]
fn a_chunk_that_cannot_be_read_is_given_up_at_once() {
    let mut awaited = Awaited::new(0);
    awaited.scanned(1, [chunk(1, 0)]);
    let (ticket, meta) = awaited.next_local(1).unwrap();
    assert_eq!(awaited.failed(ticket, 1, Failure::Permanent), Some(meta));
    assert_eq!(awaited.counts(), Counts { missing: 1, ..Counts::default() });
    assert_eq!(awaited.next_local(9_999), None);
}

#[test]
fn a_start_scans_only_new_blocks_however_long_a_chunk_is_awaited() {
    let mut awaited = Awaited::new(0);
    awaited.scanned(1, [chunk(1, 0), chunk(1, 1)]);
    (2..=5_000).for_each(|height| awaited.scanned(height, []));
    let (had, _) = awaited.next_local(5_000).unwrap();
    try_all(&mut awaited, 5_000, Failure::Absent);
    awaited.complete(had);
    let memory = awaited.memory(4_990, durable_nowhere);
    assert_eq!((memory.scanned, memory.chunks.len()), (4_990, 2), "rows in memory only count as awaited");
    let text = serde_json::to_string(&memory).unwrap();
    assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);

    let mut again = Awaited::restore(memory, 5_000, |cid| *cid == chunk(1, 0).cid);
    assert_eq!(again.next_scan().0, Some(4_991));
    let (_, meta) = again.next_local(1).unwrap();
    assert_eq!((meta, again.next_local(1)), (chunk(1, 1), None));
    assert_eq!(awaited.memory(5_000, |_| true).chunks.len(), 1, "rows in files are done with");
}

#[test]
fn tables_that_lost_blocks_are_filled_again_from_where_they_are() {
    let mut awaited = Awaited::new(0);
    awaited.scanned(1, [chunk(1, 0)]);
    awaited.scanned(7, [chunk(7, 0)]);
    let memory = awaited.memory(9, durable_nowhere);
    let mut emptied = Awaited::restore(memory, 3, durable_nowhere);
    assert_eq!((emptied.next_scan().0, emptied.counts().late), (Some(4), 1), "the other one is scanned again");
}
