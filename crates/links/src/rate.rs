//! Rate limits: a token bucket (`tbf`) at either end of a veth pair, each of which limits the direction that it sends in. The instance has no right to change
//! the queue of its own end, and what waits there holds its sockets back instead of being lost.

use netlink_packet_core::{DefaultNla, Nla, NlasIterator};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};

/// Smallest burst, in bytes: a few full frames; larger ones than the bucket are cut by the kernel.
const BURST_BYTES_MIN: u64 = 16 << 10;
/// Part of a second that a burst lasts: so much goes out between two ticks of a slow clock (100 Hz).
const BURST_PARTS: u64 = 100;
/// Smallest queue, in bytes: what a connection needs in flight to fill the rate on a short way.
const QUEUE_BYTES_MIN: u64 = 64 << 10;
/// Part of a second for which packets wait at most: longer, and what is interactive suffers from what is not.
const QUEUE_PARTS: u64 = 10;

// Source: linux/pkt_sched.h.
const TBF_PARMS: u16 = 1;
const TBF_RATE64: u16 = 4;
const TBF_BURST: u16 = 6;
/// Ethernet frames: with it the kernel needs no table of rates.
const LINKLAYER_ETHERNET: u8 = 1;
/// Bytes of `struct tc_tbf_qopt`.
const PARMS_BYTES: usize = 36;

/// Bytes a second.
fn bytes(bits: u64) -> u64 {
    bits / 8
}

/// Saturating 32 bits, as the kernel has them beside a 64-bit attribute.
fn low(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The queue at the root of a link that sends at most so many bits a second.
pub(crate) fn queue(index: u32, rate_bits: u64) -> TcMessage {
    let rate = bytes(rate_bits);
    let burst = BURST_BYTES_MIN.max(rate / BURST_PARTS);
    let limit = burst + QUEUE_BYTES_MIN.max(rate / QUEUE_PARTS);
    let mut parms = vec![0; PARMS_BYTES];
    parms[1] = LINKLAYER_ETHERNET;
    parms[8..12].copy_from_slice(&low(rate).to_ne_bytes());
    parms[24..28].copy_from_slice(&low(limit).to_ne_bytes());
    let mut options = vec![(TBF_PARMS, parms), (TBF_BURST, low(burst).to_ne_bytes().to_vec())];
    if rate >= u64::from(u32::MAX) {
        options.push((TBF_RATE64, rate.to_ne_bytes().to_vec()));
    }
    let mut message = TcMessage::with_index(i32::try_from(index).unwrap_or(i32::MAX));
    message.header.parent = TcHandle::ROOT;
    let option = |(kind, value)| TcOption::Other(DefaultNla::new(kind, value));
    message.attributes =
        vec![TcAttribute::Kind("tbf".to_string()), TcAttribute::Options(options.into_iter().map(option).collect())];
    message
}

/// The root queue of a link, for its removal.
pub(crate) fn root(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(i32::try_from(index).unwrap_or(i32::MAX));
    message.header.parent = TcHandle::ROOT;
    message
}

/// Index of the link and rate in bytes a second of a token bucket at a root; `None` for other queues.
pub(crate) fn read(message: &TcMessage) -> Option<(u32, u64)> {
    let index = u32::try_from(message.header.index).ok()?;
    let kind = message.attributes.iter().any(|attribute| matches!(attribute, TcAttribute::Kind(kind) if kind == "tbf"));
    if !kind || message.header.parent != TcHandle::ROOT {
        return None;
    }
    let nested = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => match options.first() {
            Some(TcOption::Other(nla)) => Some(value(nla)),
            _ => None,
        },
        _ => None,
    })?;
    let mut rate = None;
    for nla in NlasIterator::new(&nested[..]).flatten() {
        match (nla.kind(), nla.value()) {
            (TBF_PARMS, parms) if rate.is_none() => {
                rate = parms
                    .get(8..12)
                    .and_then(|part| part.try_into().ok())
                    .map(|part| u64::from(u32::from_ne_bytes(part)));
            }
            (TBF_RATE64, value) => rate = value.try_into().ok().map(u64::from_ne_bytes),
            _ => {}
        }
    }
    Some((index, rate?))
}

fn value(nla: &DefaultNla) -> Vec<u8> {
    let mut bytes = vec![0; nla.value_len()];
    nla.emit_value(&mut bytes);
    bytes
}

/// Rate in bytes a second that the kernel shows for a limit.
pub(crate) fn shown(rate_bits: u64) -> u64 {
    bytes(rate_bits)
}
