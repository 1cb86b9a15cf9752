//! Tables of our own ledger, and of the archive of raw frames.

use super::spec::TableSpec;
use super::spec::define::*;

pub(super) fn blocks() -> TableSpec {
    spec(
        "ledger_blocks",
        "A committed block of the Openmesh ledger.",
        vec![
            integer("height", "height, the first block after genesis is 1"),
            time("time", "block time"),
            text("hash", "SHA-256 of the header, hexadecimal"),
            text("parent", "hash of the block before"),
            text("state_root", "root of the state after the parent"),
            text("transactions_root", "root of the transactions"),
            text("proposer", "address of the validator that proposed it"),
            integer("round", "round in which it was decided, from 0"),
            integer("transactions", "number of transactions"),
            integer("bytes", "size in bytes"),
            integer("signatures", "number of precommits in its certificate"),
        ],
        "time",
        &["height"],
        "SELECT proposer, count(*) AS blocks, sum(transactions) AS transactions FROM ledger_blocks GROUP BY proposer",
    )
}

pub(super) fn transactions() -> TableSpec {
    spec(
        "ledger_transactions",
        "A transaction of a committed block, with its outcome.",
        vec![
            integer("height", "height of its block"),
            integer("transaction_index", "position in the block, from 0"),
            time("time", "block time"),
            text("hash", "SHA-256 of its bytes, hexadecimal"),
            text("class", "account, attestation, evidence or upgrade"),
            text("sender", "address of the account or validator that signed it"),
            text("action", "transfer, register_source, attestation, ..."),
            or_null(integer(
                "nonce",
                "the sender's nonce; null for attestations, and in a refused transaction whose nonce is 2^63 or more",
            )),
            text("fee", "fee in units of 10^-18 OPEN, exact decimal text"),
            integer("bytes", "size in bytes"),
            boolean("ok", "whether it took effect"),
            or_null(text("error", "code of the error where it did not")),
        ],
        "time",
        &["height", "transaction_index"],
        "SELECT action, ok, count(*) AS transactions FROM ledger_transactions GROUP BY action, ok",
    )
}

pub(super) fn chunks() -> TableSpec {
    spec(
        "ledger_chunks",
        "A stream in one window that the validators accepted, disputed, or too few covered to decide.",
        vec![
            integer("height", "height of the block that decided it"),
            time("time", "block time"),
            text("source", "source"),
            integer("window", "number of the window"),
            time("window_start", "start of the window, by the source's own clock"),
            time("window_end", "end of the window, exclusive"),
            text("stream", "BTC.USDT/trades"),
            or_null(text("symbol", "instrument")),
            text("feed", "feed"),
            text("status", "accepted, disputed or uncovered (too few covered it; accuses nobody)"),
            or_null(text("cid", "CID of the accepted chunk; null unless accepted")),
            integer("bytes", "size of the canonical bytes"),
            integer("events", "number of events"),
            integer("attesters", "number of validators that named this CID"),
            text("attester_addresses", "their addresses, separated by commas"),
        ],
        "time",
        &["source", "stream", "window"],
        "SELECT source, status, count(*) AS chunks, sum(events) AS events FROM ledger_chunks GROUP BY source, status",
    )
}

pub(super) fn incidents() -> TableSpec {
    spec(
        "ledger_incidents",
        "A validator that differed, was missing or signed two blocks, or a stream that was disputed or uncovered.",
        vec![
            integer("height", "height of the block that recorded it"),
            integer("incident_index", "position among the block's incidents, from 0"),
            time("time", "block time"),
            text("kind", "differing, missing, disputed, uncovered, equivocation or copied"),
            text("source", "source"),
            integer("window", "number of the window"),
            or_null(text("stream", "stream, where it concerns one")),
            or_null(text("validator", "address, where it concerns one")),
            text("detail", "for people"),
        ],
        "time",
        &["height", "incident_index"],
        "SELECT kind, validator, count(*) AS incidents FROM ledger_incidents GROUP BY kind, validator",
    )
}

pub(super) fn raw_segments() -> TableSpec {
    spec(
        "raw_segments",
        "A segment of the archive of raw frames, as one site received them.",
        vec![
            text("source", "source"),
            text("origin", "live, simulated or replay"),
            text("site", "address of the validator that captured and signed it"),
            integer("sequence", "number of the segment of this source and site, from 0; signed with the one before it"),
            text("cid", "CID of the segment: JSON lines, zstd"),
            time("start", "time of capture of the first frame"),
            time("stop", "time of capture of the last frame"),
            integer("frames", "number of frames"),
            integer("lost", "frames before it that the site could not keep; nearly always 0"),
            integer("bytes", "size before compression"),
        ],
        "start",
        &["source", "start"],
        "SELECT source, site, sum(frames) AS frames, sum(bytes) AS bytes FROM raw_segments GROUP BY source, site",
    )
}

pub(super) fn node_incidents() -> TableSpec {
    spec(
        "node_incidents",
        "An incident of one node: of its connections, or a chunk that it took back. Other nodes may have noticed nothing.",
        vec![
            text("site", "address of the validator whose node noticed it"),
            text("source", "source"),
            time("time", "time at which it was noticed"),
            text(
                "kind",
                "gap, checksum, garbage, disconnected, refused, crossed, silence, chunk_withdrawn, \
                 attested_chunk_withdrawn, window_not_attested or incidents_lost",
            ),
            or_null(integer("window", "number of the window, where it concerns one")),
            or_null(text("stream", "stream, where it concerns one")),
            text("detail", "for people"),
        ],
        "time",
        &["source", "time"],
        "SELECT source, kind, count(*) AS incidents FROM node_incidents GROUP BY source, kind",
    )
}
