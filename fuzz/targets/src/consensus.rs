//! Bytes that validators and other peers send: messages of consensus, streamed blocks, envelopes of transactions, and the
//! protocol by which blocks of content are fetched.

use openmesh_engine::fuzz as engine;
use openmesh_network::fuzz as network;
use openmesh_primitives::{Digest, canonical};

use crate::input::Input;

/// A kind, then its bytes. What is read is written in one form, which is read as the same again.
pub fn messages(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let Some(written) = engine::message(*kind, bytes) else { return };
    assert_eq!(engine::message(*kind, &written), Some(written.clone()), "what was written is read as something else");
    // A peer's id in a status is a multihash, whose lengths have several forms; everything else has one.
    let status = kind % engine::KINDS == 7;
    assert!(status || written == bytes, "two encodings of one message of kind {}", kind % engine::KINDS);
}

/// Blocks in parts, which arrive out of order, twice, from several neighbours, altered or not at all. What is put together
/// is a block that was sent, and only once each time it is sent.
pub fn parts(data: &[u8]) {
    let mut input = Input::new(data);
    let block: Vec<u8> =
        (0..usize::from(input.below(4)) * 100_000 + usize::from(input.byte())).map(|n| n as u8).collect();
    let messages = engine::parts(input.number(), u32::from(input.byte()), &block);
    let mut assembler = engine::Parts::default();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        let (which, from, how) = (usize::from(input.byte()), [input.below(20)], input.byte());
        let mut message = messages[which % messages.len()].clone();
        if how & 0x80 != 0 {
            let at = usize::from(input.byte()) * message.len() / 256;
            message[at] ^= input.byte();
        }
        let publisher = [how & 3];
        if let Some(whole) = assembler.receive(&publisher, &from, &message, how & 0x40 == 0) {
            assert!(whole == block || how & 0x80 != 0, "another block was put together");
        }
        if how & 0x30 == 0x30 {
            assembler.prune(u64::from(how));
        }
    }
}

/// An envelope of transactions, and the lists of hashes before it: within their limits, and in one form.
pub fn envelope(data: &[u8]) {
    if let Some(hashes) = openmesh_engine::relay::wire::wanted(data) {
        assert_eq!(openmesh_engine::relay::wire::want(&hashes), data, "two encodings of one want");
    }
    if let Some((announcer, hashes)) = openmesh_engine::relay::wire::announced(data) {
        assert!(announcer.len() <= openmesh_engine::relay::wire::NAME_BYTES_MAX);
        assert!(!hashes.is_empty() && hashes.len() <= openmesh_engine::relay::ANNOUNCED_MAX);
    }
    let Some(transactions) = engine::envelope(data) else { return };
    assert_eq!(canonical::encode(&transactions), data, "two encodings of one envelope");
    assert!(!transactions.is_empty() && transactions.len() <= 4_096);
}

/// `a`: an answer about a block; `r`: a request.
pub fn protocol(data: &[u8]) {
    match data.split_first() {
        Some((b'a', bytes)) => {
            let Some(written) = network::answer(bytes) else { return };
            assert!(bytes.starts_with(&written), "an answer of two forms");
        }
        Some((b'r', bytes)) => {
            let Some(written) = network::request(bytes) else { return };
            assert!(bytes.starts_with(&written), "a request of two forms");
        }
        _ => {}
    }
}

/// Seeds of [`messages`]: what the kinds have in common is Borsh, so a few fields go a long way.
pub fn messages_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![8, 3, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]];
    for part in engine::parts(5, 1, b"a block of few bytes") {
        seeds.push([&[3][..], &part].concat());
    }
    for kind in 0..engine::KINDS {
        seeds.push([&[kind][..], &[0; 160]].concat());
        seeds.push([&[kind][..], &[1; 160]].concat());
    }
    // A vote (kind, height, round, value, validator, signature) and a proof (two byte strings and a signature).
    let vote = [&[1, 0, 0][..], &7u64.to_le_bytes(), &[1; 5], &[0], &[9; 20], &[3; 64]].concat();
    let proof = [&[4][..], &32u32.to_le_bytes(), &[1; 32], &38u32.to_le_bytes(), &[2; 38], &[3; 64]].concat();
    seeds.extend([vote, proof]);
    // A status: the id of a peer is an identity multihash of its key.
    let key = [&[0, 36, 8, 1, 18, 32][..], &[5; 32]].concat();
    seeds.push([&[7][..], &(key.len() as u32).to_le_bytes(), &key, &[8; 16]].concat());
    seeds
}

/// Seeds of [`parts`].
pub fn parts_seeds() -> Vec<Vec<u8>> {
    let order = |size: u8, steps: &[[u8; 3]]| [&[size, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], &steps.concat()].concat();
    vec![
        order(3, &[[0, 1, 0], [1, 1, 0], [2, 2, 0], [3, 2, 0]]),
        order(3, &[[3, 1, 0], [2, 1, 0], [1, 2, 0], [0, 2, 0]]),
        order(2, &[[1, 1, 0], [1, 1, 0], [0, 1, 0x40], [0, 1, 0], [2, 1, 0], [2, 1, 0x30]]),
        order(0, &[[0, 1, 0], [1, 1, 0x80], [9, 1, 0], [1, 1, 0]]),
    ]
}

/// Seeds of [`envelope`].
pub fn envelope_seeds() -> Vec<Vec<u8>> {
    let transactions = crate::ledger::transaction_seeds();
    vec![
        canonical::encode(&transactions),
        canonical::encode(&vec![vec![1u8, 2], Vec::new()]),
        canonical::encode(&Vec::<Vec<u8>>::new()),
        vec![0xff; 8],
        openmesh_engine::relay::wire::announcement(b"name", 1, &[Digest([7; 32]); 2]).to_vec(),
        openmesh_engine::relay::wire::want(&[Digest([7; 32]); 2]),
    ]
}

/// Seeds of [`protocol`].
pub fn protocol_seeds() -> Vec<Vec<u8>> {
    vec![
        vec![b'a', 0],
        vec![b'a', 2],
        [&b"a\x01\x00\x00\x00\x05"[..], b"hello"].concat(),
        b"a\x01\xff\xff\xff\xff".to_vec(),
        [&b"r"[..], &[7; 32]].concat(),
    ]
}
