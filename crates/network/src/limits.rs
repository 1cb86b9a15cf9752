//! Every limit of this room, with the reason for its number.

use std::time::Duration;

/// Largest announcement, and largest envelope that answers a want. The engine fills envelopes to 256 KiB; the rest is room.
pub const ENVELOPE_BYTES_MAX: usize = 512 * 1024;
/// Largest block served or fetched: a window's chunk of the busiest book stays under 8 MiB.
pub const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Commands that may wait for the swarm's task. A full queue refuses instead of growing.
pub(crate) const COMMANDS_MAX: usize = 4096;
/// Bytes of received envelopes that may wait for the reader or be with it. A slow reader loses gossip, it does not fill
/// the memory. A short envelope counts as [`INCOMING_BYTES_MIN`].
pub(crate) const INCOMING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same for those of one peer, so that a flood leaves room for the others: some seconds of a busy network.
pub(crate) const INCOMING_PEER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Least count of an envelope: 32 of them from one peer.
pub(crate) const INCOMING_BYTES_MIN: usize = INCOMING_PEER_BYTES_MAX / 32;
/// Envelopes that may wait: no more have room.
pub(crate) const INCOMING_MAX: usize = INCOMING_BYTES_MAX / INCOMING_BYTES_MIN;
/// Questions for blocks that are open at the same time: together with [`BLOCK_BYTES_MAX`] this bounds the memory of
/// fetches to 256 MiB.
pub(crate) const ASKS_MAX: usize = 16;
/// Blocks for others at the same time, from the reading to the last byte sent: 256 MiB. Further askers are told that we
/// are busy.
pub(crate) const SERVES_MAX: usize = 16;
/// Of these, blocks for one peer: a few that read slowly must not take all the places.
pub(crate) const SERVES_PER_PEER_MAX: usize = 4;
/// Longest question that is no CID, bytes: a tag and some numbers.
pub const QUESTION_BYTES_MAX: usize = 64;
/// Answers to such questions for others at the same time, and for one peer: with parts of the state of at most 4 MiB this is 16 MiB,
/// and a node that joins keeps two on the way from each of its peers. Further askers are told that we are busy.
pub(crate) const QUESTION_SERVES_MAX: usize = 4;
/// See [`QUESTION_SERVES_MAX`].
pub(crate) const QUESTION_SERVES_PER_PEER_MAX: usize = 2;
/// Long answers to visitors of any chain at the same time: whoever joins asks a few times in its life, for parts of a genesis of at most
/// 4 MiB.
pub(crate) const HELLO_SERVES_MAX: usize = 8;
/// Of these, for one of them; also its open streams of this protocol.
pub(crate) const HELLO_SERVES_PER_PEER_MAX: usize = 2;
/// Of these, for all at one address: identities cost nothing, and a few that read slowly must not take all the places under ever new ones.
pub(crate) const HELLO_SERVES_PER_ADDRESS_MAX: usize = 4;
/// Longest short answer to a visitor, bytes: who is there. It takes no place. With [`HELLO_SERVES_PER_PEER_MAX`] streams of each of
/// [`CONNECTIONS_MAX`] connections that do not read these are 400 kB.
pub(crate) const HELLO_SHORT_BYTES_MAX: usize = 1 << 10;
/// Longest answer that a visitor reads: a part of a genesis. A start visits sixteen strangers at once.
pub(crate) const HELLO_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Our own open questions of that kind: eight peers with two each.
pub(crate) const QUESTIONS_MAX: usize = 16;
/// Longest want of what a peer has announced, bytes: a thousand hashes.
pub const WANT_BYTES_MAX: usize = 33 * 1024;
/// Answers to wants for others at the same time, beside one for each peer: with [`CONNECTIONS_MAX`] peers that do not read these are
/// 64 MiB of full envelopes. Further ones are told that we are busy.
pub(crate) const WANT_SERVES_MAX: usize = 64;
/// Answers for one peer, its own one and of those: it asks for one thing at a time, and again when we were silent.
pub(crate) const WANT_SERVES_PER_PEER_MAX: usize = 4;
/// Our own open wants: two of each peer, which is asked again once, and left alone for [`WANT_TIMEOUT`] when it was silent again. So
/// peers that do not answer cannot hold up what others are asked for.
pub(crate) const WANTS_MAX: usize = 2 * CONNECTIONS_MAX as usize;
/// Longest time for a want and its answer: a full envelope at 700 kbit/s. Whoever wanted it has asked another peer before.
pub(crate) const WANT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest time for one question and its answer, or for our answer.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that has not answered for a block after this is raced by the next one: a peer that has the block and a good
/// connection has answered by then.
pub(crate) const RACE_DELAY: Duration = Duration::from_millis(500);
/// Peers that are asked for one block at the same time.
pub(crate) const RACERS_MAX: usize = 2;
/// Longest fetch of one block, from whatever peers: a slow one may use up its time, and a second one some.
pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(12);
/// Connections that others opened. A validator has tens of peers, the rest is head-room for followers.
pub(crate) const CONNECTIONS_INCOMING_MAX: u32 = 128;
/// All connections.
pub(crate) const CONNECTIONS_MAX: u32 = 192;
/// Connections with one peer: two sides that dial each other at the same moment have two.
pub(crate) const CONNECTIONS_PER_PEER_MAX: u32 = 2;
/// Handshakes at the same time, for each direction.
pub(crate) const CONNECTIONS_PENDING_MAX: u32 = 32;
/// First pause before a configured peer is dialled again; doubles up to [`REDIAL_MAX`].
pub(crate) const REDIAL_MIN: Duration = Duration::from_millis(250);
/// Longest pause before a configured peer is dialled again.
pub(crate) const REDIAL_MAX: Duration = Duration::from_secs(30);
/// A connection that lasted this long was a success: the next pause starts small again.
pub(crate) const CONNECTION_STABLE: Duration = Duration::from_secs(5);
/// Time for which a peer stays shut out that sent bytes which do not match the hash it was asked for, or too many points.
pub(crate) const BAN: Duration = Duration::from_secs(600);
/// Peers shut out at the same time; the oldest is let in again when there are more.
pub(crate) const BANS_MAX: usize = 1024;
/// A peer with so many points is shut out; see [`INVALID_POINTS`] and [`WORTHLESS_POINT_BYTES`]. An accepted
/// envelope takes one back, because neighbours that are a block apart do not always agree.
pub(crate) const POINTS_MAX: u32 = 256;
/// Points for an invalid envelope, which every neighbour must have known: 32 of them shut a peer out.
pub(crate) const INVALID_POINTS: u32 = 8;
/// Time in which points halve: as long as a peer is shut out, so that one that comes back after that has half its credit.
pub(crate) const SCORE_HALF_LIFE: Duration = BAN;
/// Points that a stranger inherits from its address at most: what is left is four invalid envelopes, so that a node
/// behind a shared address can still show that it is honest.
pub(crate) const STRANGER_POINTS_MAX: u32 = POINTS_MAX - 4 * INVALID_POINTS;
/// Peers, and addresses, whose points are remembered: 20 times the connections there may be, some hundred kilobytes.
pub(crate) const SCORES_MAX: usize = 4096;
/// A worthless envelope makes one point for each so many bytes begun: what it costs is the signatures in it.
pub(crate) const WORTHLESS_POINT_BYTES: usize = 16 * 1024;
/// Longest wait for the first listening address. Binding a TCP port is immediate or fails.
pub(crate) const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection without any use is closed after this; gossip and pings keep the useful ones.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
