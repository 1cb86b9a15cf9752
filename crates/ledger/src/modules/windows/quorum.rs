//! The decision about a stream of a window. Clause Q of `docs/spec/transactions.md`.
//!
//! A validator that attests says something about every stream: a claim, or that there is no chunk. Both are counted
//! alike, so that a liar that invents a stream is outvoted and named in the same way as one that alters or omits one.
//! Every validator speaks once and two quorums of more than two thirds share more than a third, so at most one outcome
//! can ever have a quorum, and the order in which attestations come does not matter.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_primitives::Address;

use super::attestation::ChunkClaim;
use crate::modules::validators::more_than_two_thirds;

/// What one validator said about one window.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub validator: Address,
    pub power: u64,
    /// In ascending order of stream.
    pub claims: Vec<ChunkClaim>,
}

/// Where a stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No quorum yet.
    Open,
    /// More than two thirds claim this.
    Accepted(ChunkClaim),
    /// More than two thirds say that there is no chunk.
    Absent,
}

impl Statement {
    /// The claim about a stream.
    pub fn about(&self, stream: &str) -> Option<&ChunkClaim> {
        let at = self.claims.binary_search_by(|claim| claim.stream.as_str().cmp(stream)).ok()?;
        Some(&self.claims[at])
    }
}

/// All streams that anybody claims.
pub(crate) fn streams(statements: &[Statement]) -> BTreeSet<String> {
    statements.iter().flat_map(|s| s.claims.iter().map(|claim| claim.stream.clone())).collect()
}

/// Power behind each different claim (`None`: no chunk) about a stream. Claims differ if any of their fields does.
pub(crate) fn tally<'a>(stream: &str, statements: &'a [Statement]) -> BTreeMap<Option<&'a ChunkClaim>, u64> {
    let mut tally = BTreeMap::new();
    for statement in statements {
        *tally.entry(statement.about(stream)).or_insert(0u64) += statement.power;
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

    fn statement(n: u8, power: u64, claims: &[(&str, &[u8])]) -> Statement {
        let claim = |(stream, data): &(&str, &[u8])| ChunkClaim {
            stream: (*stream).to_string(),
            cid: ContentId::of(data),
            bytes: data.len() as u64,
            events: 1,
        };
        Statement { validator: Address([n; 20]), power, claims: claims.iter().map(claim).collect() }
    }

    #[test]
    fn strictly_more_than_two_thirds_of_assigned_not_of_attested() {
        let said = [statement(1, 1, &[("a/t", b"x")]), statement(2, 1, &[("a/t", b"x")])];
        assert_eq!(verdict("a/t", &said, 3), Verdict::Open);
        let said = [said[0].clone(), said[1].clone(), statement(3, 1, &[("a/t", b"x")])];
        assert_eq!(verdict("a/t", &said, 4), Verdict::Accepted(said[0].claims[0].clone()));
        assert_eq!(verdict("a/t", &said, 5), Verdict::Open);
    }

    #[test]
    fn saying_nothing_is_a_statement() {
        let mut said = vec![statement(1, 1, &[("a/t", b"x"), ("b/t", b"y")])];
        said.extend((2..5).map(|n| statement(n, 1, &[("a/t", b"x")])));
        assert!(matches!(verdict("a/t", &said, 4), Verdict::Accepted(_)));
        assert_eq!(verdict("b/t", &said, 4), Verdict::Absent);
        assert_eq!(verdict("b/t", &said[..3], 4), Verdict::Open);
    }

    #[test]
    fn the_same_cid_with_another_length_is_another_claim() {
        let mut liar = statement(1, 1, &[("a/t", b"x")]);
        liar.claims[0].bytes += 1;
        let said = [liar, statement(2, 1, &[("a/t", b"x")]), statement(3, 1, &[("a/t", b"x")])];
        assert_eq!(verdict("a/t", &said, 4), Verdict::Open);
    }
}
