//! Headers that are newer than this program: what a peer sends may well be right, so nobody is blamed for it. Clause U8 of
//! `docs/spec/upgrades.md`.

use borsh::BorshDeserialize as _;
use openmesh_ledger::light::ValidatorChange;
use openmesh_ledger::{Block, Certificate, HEADER_VERSIONS};

use crate::error::is_newer;
use crate::wire::Question;

/// The version of the first header of a chain in an answer that is newer than all that this program reads. Version and chain id stand
/// first in a header of whatever form, so it is found where the rest cannot be read.
pub(crate) fn newer_header(question: Question, answer: &[u8], chain_id: u64) -> Option<u16> {
    let mut rest = answer;
    match question {
        Question::Step { .. } => begins_newer(rest, chain_id),
        Question::Anchor { .. } => begins_newer(rest, chain_id).or_else(|| {
            Block::deserialize(&mut rest).ok()?;
            Certificate::deserialize(&mut rest).ok()?;
            begins_newer(rest, chain_id)
        }),
        Question::Changes { .. } => {
            let count = u32::deserialize(&mut rest).ok()?;
            for _ in 0..count {
                if let Some(version) = begins_newer(rest, chain_id) {
                    return Some(version);
                }
                ValidatorChange::deserialize(&mut rest).ok()?;
            }
            None
        }
        Question::Offer
        | Question::ChangeHeights { .. }
        | Question::Validators { .. }
        | Question::Chunk { .. }
        | Question::Clock => None,
    }
}

/// The version with which a header begins, where it is a newer one of this chain.
fn begins_newer(header: &[u8], chain_id: u64) -> Option<u16> {
    let mut rest = header;
    let (version, chain) = <(u16, u64)>::deserialize(&mut rest).ok()?;
    (chain == chain_id && is_newer(version)).then_some(version)
}

/// The reason for a person, and what to do.
pub(crate) fn too_old(version: u16) -> String {
    format!(
        "a peer shows a header of version {version}, and this program reads {HEADER_VERSIONS:?}: it is too old for it; install a newer \
         release and start it with the same home"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_header_is_found_whatever_its_form_is() {
        let newest = *HEADER_VERSIONS.last().unwrap();
        let begin = |version: u16| [&version.to_le_bytes()[..], &7u64.to_le_bytes(), b"a form of later"].concat();
        let (step, anchor) = (Question::Step { height: 1 }, Question::Anchor { height: 1 });
        for question in [step, anchor] {
            assert_eq!(newer_header(question, &begin(newest + 1), 7), Some(newest + 1));
            assert_eq!(newer_header(question, &begin(newest + 1), 8), None, "of another chain");
            assert_eq!(newer_header(question, &begin(newest), 7), None);
            assert_eq!(newer_header(question, &[], 7), None);
        }
        let changes = Question::Changes { after: 0 };
        let list = |count: u32| [&count.to_le_bytes()[..], &begin(newest + 1)].concat();
        assert_eq!(newer_header(changes, &list(2), 7), Some(newest + 1));
        assert_eq!(newer_header(changes, &list(0), 7), None);
        assert_eq!(newer_header(Question::Clock, &begin(newest + 1), 7), None);
        assert!(too_old(9).contains("is too old") && is_newer(newest + 1) && !is_newer(newest) && !is_newer(0));
    }
}
