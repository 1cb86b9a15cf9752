//! The decision about a stream of a window. Clause Q of `docs/spec/transactions.md`.
//!
//! A validator that attests says one word about every stream: a claim, that there is no chunk, or that it abstains. Claims
//! and "no chunk" are counted alike, so that a liar that invents a stream is outvoted and named in the same way as one
//! that alters or omits one. An abstention counts for nothing and accuses nobody, but its power stays in the
//! denominator. Every validator speaks once and two quorums of more than two thirds share more than a third, so at most
//! one outcome can ever have a quorum, and the order in which attestations come does not matter.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_primitives::Address;

use super::attestation::ChunkClaim;
use super::records::Said;
use crate::modules::validators::more_than_two_thirds;

/// A validator's statement about a window, with its power.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub validator: Address,
    pub power: u64,
    pub said: Said,
}

/// A validator's word about one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word<'a> {
    /// These bytes, or (`None`) no chunk.
    Spoken(Option<&'a ChunkClaim>),
    /// It did not cover the stream.
    Abstained,
}

/// The state of a stream while its window is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No quorum yet.
    Open,
    /// More than two thirds claim this.
    Accepted(ChunkClaim),
    /// More than two thirds say that there is no chunk.
    Absent,
}

/// The reason for which a stream was not decided before its window closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undecided {
    /// Too few covered it: with those that abstained or sent nothing the strongest word would have been a quorum.
    Uncovered,
    /// The words conflict.
    Disputed,
}

impl Statement {
    /// Its word about a stream.
    pub fn word(&self, stream: &str) -> Word<'_> {
        if self.said.abstains_from_all() {
            return Word::Abstained;
        }
        if self.said.abstained.binary_search_by(|s| s.as_str().cmp(stream)).is_ok() {
            return Word::Abstained;
        }
        let at = self.said.chunks.binary_search_by(|claim| claim.stream.as_str().cmp(stream));
        Word::Spoken(at.ok().map(|at| &self.said.chunks[at]))
    }
}

/// The streams that anybody claims.
pub(crate) fn claimed(statements: &[Statement]) -> BTreeSet<String> {
    statements.iter().flat_map(|s| s.said.chunks.iter().map(|claim| claim.stream.clone())).collect()
}

/// The streams that anybody claims or abstains from.
pub(crate) fn spoken_of(statements: &[Statement]) -> BTreeSet<String> {
    let mut streams = claimed(statements);
    streams.extend(statements.iter().flat_map(|s| s.said.abstained.iter().cloned()));
    streams
}

/// Power behind each different word about a stream but abstentions. Claims differ if any of their fields does.
pub(crate) fn tally<'a>(stream: &str, statements: &'a [Statement]) -> BTreeMap<Option<&'a ChunkClaim>, u64> {
    let mut tally = BTreeMap::new();
    for statement in statements {
        if let Word::Spoken(word) = statement.word(stream) {
            *tally.entry(word).or_insert(0u64) += statement.power;
        }
    }
    tally
}

/// Counts the statements about one stream against the power assigned to the window.
pub(crate) fn verdict(stream: &str, statements: &[Statement], assigned_power: u64) -> Verdict {
    let decided = tally(stream, statements).into_iter().find(|(_, power)| more_than_two_thirds(*power, assigned_power));
    match decided {
        None => Verdict::Open,
        Some((Some(claim), _)) => Verdict::Accepted(claim.clone()),
        Some((None, _)) => Verdict::Absent,
    }
}

/// Judges a stream that has no quorum when its window closes.
pub(crate) fn undecided(stream: &str, statements: &[Statement], assigned_power: u64) -> Undecided {
    let tally = tally(stream, statements);
    let strongest = tally.values().copied().max().unwrap_or(0);
    let silent = assigned_power.saturating_sub(tally.values().sum());
    if more_than_two_thirds(strongest + silent, assigned_power) { Undecided::Uncovered } else { Undecided::Disputed }
}

/// A claim (`None`: no chunk) as a sentence of an incident has it.
pub(crate) fn describe_claim(claim: Option<&ChunkClaim>) -> String {
    claim.map_or_else(
        || "no chunk".to_string(),
        |claim| format!("{} ({} bytes, {} events)", claim.cid, claim.bytes, claim.events),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::ContentId;

    fn statement(n: u8, power: u64, claims: &[(&str, &[u8])], abstained: &[&str]) -> Statement {
        let claim = |(stream, data): &(&str, &[u8])| ChunkClaim {
            stream: (*stream).to_string(),
            cid: ContentId::of(data),
            bytes: data.len() as u64,
            events: 1,
        };
        let abstained = abstained.iter().map(|s| (*s).to_string()).collect();
        let said = Said { chunks: claims.iter().map(claim).collect(), abstained };
        Statement { validator: Address([n; 20]), power, said }
    }

    #[test]
    fn strictly_more_than_two_thirds_of_assigned_not_of_attested() {
        let said = [statement(1, 1, &[("a/t", b"x")], &[]), statement(2, 1, &[("a/t", b"x")], &[])];
        assert_eq!(verdict("a/t", &said, 3), Verdict::Open);
        let said = [said[0].clone(), said[1].clone(), statement(3, 1, &[("a/t", b"x")], &[])];
        assert_eq!(verdict("a/t", &said, 4), Verdict::Accepted(said[0].said.chunks[0].clone()));
        assert_eq!(verdict("a/t", &said, 5), Verdict::Open);
    }

    #[test]
    fn a_stream_that_is_not_listed_is_said_to_have_no_chunk() {
        let mut said = vec![statement(1, 1, &[("a/t", b"x"), ("b/t", b"y")], &[])];
        said.extend((2..5).map(|n| statement(n, 1, &[("a/t", b"x")], &[])));
        assert!(matches!(verdict("a/t", &said, 4), Verdict::Accepted(_)));
        assert_eq!(verdict("b/t", &said, 4), Verdict::Absent);
        assert_eq!(verdict("b/t", &said[..3], 4), Verdict::Open);
    }

    #[test]
    fn an_abstention_is_no_word_and_stays_in_the_denominator() {
        let claim = |n| statement(n, 1, &[("a/t", b"x")], &[]);
        let said = [claim(1), claim(2), statement(3, 1, &[], &["a/t"]), statement(4, 1, &[], &["a/t"])];
        assert_eq!(verdict("a/t", &said, 4), Verdict::Open, "two of four are no quorum");
        assert_eq!(undecided("a/t", &said, 4), Undecided::Uncovered, "two more would have made it one");
        let said = [claim(1), claim(2), claim(3), statement(4, 1, &[], &["a/t"])];
        assert!(matches!(verdict("a/t", &said, 4), Verdict::Accepted(_)));
    }

    #[test]
    fn who_claims_nothing_and_abstains_from_something_abstains_from_everything() {
        let said = [statement(1, 1, &[], &["b/t"]), statement(2, 1, &[], &[])];
        assert_eq!(said[0].word("a/t"), Word::Abstained);
        assert_eq!(said[1].word("a/t"), Word::Spoken(None), "nothing happened in any stream: that is a word");
    }

    #[test]
    fn conflicting_words_are_a_dispute_and_missing_ones_are_not() {
        let other = |n| statement(n, 1, &[("a/t", b"y")], &[]);
        let claim = |n| statement(n, 1, &[("a/t", b"x")], &[]);
        assert_eq!(undecided("a/t", &[claim(1), claim(2), other(3), other(4)], 4), Undecided::Disputed);
        assert_eq!(undecided("a/t", &[claim(1), claim(2), other(3)], 4), Undecided::Uncovered);
        assert_eq!(
            undecided("a/t", &[claim(1), other(2), other(3), statement(4, 1, &[], &[])], 4),
            Undecided::Disputed
        );
        assert_eq!(undecided("a/t", &[], 4), Undecided::Uncovered);
    }

    #[test]
    fn the_same_cid_with_another_length_is_another_claim() {
        let mut liar = statement(1, 1, &[("a/t", b"x")], &[]);
        liar.said.chunks[0].bytes += 1;
        let said = [liar, statement(2, 1, &[("a/t", b"x")], &[]), statement(3, 1, &[("a/t", b"x")], &[])];
        assert_eq!(verdict("a/t", &said, 4), Verdict::Open);
    }
}
