//! The card of a validator: what its operator gives to those who make a genesis together. `docs/spec/operators.md`, clause O-11.

use std::path::Path;

use borsh::BorshSerialize;
use openmesh_ledger::{GenesisValidator, NAME_BYTES_MAX};
use openmesh_primitives::{Address, ValidatorKey, ValidatorPublicKey, ValidatorSignature, canonical};
use serde::{Deserialize, Serialize};

use super::peer::Peer;
use crate::failure::Failure;

/// Longest file that is read as a card, bytes.
const FILE_BYTES_MAX: u64 = 8 << 10;
/// First part of what is signed, so that no other message of the key is a card.
const DOMAIN: &str = "openmesh card 1";

/// Name, key and place of a validator, signed by the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Name for people.
    pub name: String,
    /// The key.
    pub public_key: ValidatorPublicKey,
    /// Place at which others reach it: `HOST:PORT`.
    pub peer: String,
    /// Account that earns its fees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payout: Option<Address>,
    /// Signature of the key over everything else.
    pub signature: ValidatorSignature,
}

/// The signed part.
#[derive(BorshSerialize)]
struct Signed<'a> {
    domain: &'static str,
    name: &'a str,
    public_key: ValidatorPublicKey,
    peer: &'a str,
    payout: Option<Address>,
}

/// Refuses a name that is none for a node: what people and terminals would read otherwise than it stands there.
///
/// # Errors
/// What is expected.
pub fn check_name(text: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    match (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(is_plain) {
        true => Ok(()),
        false => Err(format!("{text:?}: 1 to {NAME_BYTES_MAX} letters, digits, dashes and dots are expected")),
    }
}

impl Card {
    /// A card, signed.
    pub fn sign(key: &ValidatorKey, name: &str, peer: &str, payout: Option<Address>) -> Card {
        let public_key = key.public();
        let signed = Signed { domain: DOMAIN, name, public_key, peer, payout };
        let signature = key.sign(&canonical::encode(&signed));
        Card { name: name.to_owned(), public_key, peer: peer.to_owned(), payout, signature }
    }

    /// Reads a card and checks its signature.
    ///
    /// # Errors
    /// Where the file cannot be read, is no card, was changed after it was signed, or names what is no name or place; the file is named.
    pub fn read(path: &Path) -> Result<Card, Failure> {
        let failed = |what: String| Failure::usage(format!("{}: {what}", path.display()));
        let bytes = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(failed(format!("a card has at most {FILE_BYTES_MAX} bytes, not {bytes}")));
        }
        let text = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
        let card: Card = serde_json::from_slice(&text).map_err(|e| {
            failed(format!("no card: {e}")).hint("openmesh init writes a node's card.json into its home")
        })?;
        if !card.is_signed() {
            return Err(failed("it was changed after it was signed, or another key has signed it".into())
                .hint("ask its operator for the card.json as openmesh init wrote it"));
        }
        // Whoever signs it may write what he likes; it is printed and becomes part of a genesis.
        check_name(&card.name).map_err(|wrong| failed(format!("its name: {wrong}")))?;
        card.peer.parse::<Peer>().map_err(|wrong| failed(format!("its place: {wrong}")))?;
        Ok(card)
    }

    /// True where the key has signed all of it.
    pub fn is_signed(&self) -> bool {
        let Card { name, public_key, peer, payout, signature } = self;
        let signed = Signed { domain: DOMAIN, name, public_key: *public_key, peer, payout: *payout };
        public_key.verify(&canonical::encode(&signed), signature).is_ok()
    }

    /// The validator that it stands for.
    pub fn validator(&self, power: u64) -> GenesisValidator {
        GenesisValidator { public_key: self.public_key, power, name: self.name.clone(), payout: self.payout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_was_changed_is_refused() {
        let key = ValidatorKey::from_seed([7; 32]);
        let card = Card::sign(&key, "one", "10.0.0.1:8421", None);
        assert!(card.is_signed());
        let other = ValidatorKey::from_seed([8; 32]).public();
        for changed in [
            Card { name: "two".into(), ..card.clone() },
            Card { peer: "10.0.0.2:8421".into(), ..card.clone() },
            Card { payout: Some(Address([1; 20])), ..card.clone() },
            Card { public_key: other, ..card.clone() },
            // Text that moves from one field into the next.
            Card { name: "on".into(), peer: "e10.0.0.1:8421".into(), ..card.clone() },
        ] {
            assert!(!changed.is_signed(), "{changed:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("card.json");
        std::fs::write(&path, serde_json::to_vec(&card).unwrap()).unwrap();
        assert_eq!(Card::read(&path).unwrap(), card);
        std::fs::write(&path, serde_json::to_vec(&Card { name: "two".into(), ..card }).unwrap()).unwrap();
        assert!(Card::read(&path).unwrap_err().message().contains("changed after it was signed"));
        for (name, peer, fault) in [("a\u{1b}[2J", "10.0.0.1", "its name"), ("a", "10.0.0.1\n", "its place")] {
            std::fs::write(&path, serde_json::to_vec(&Card::sign(&key, name, peer, None)).unwrap()).unwrap();
            let failure = Card::read(&path).unwrap_err();
            assert!(failure.message().contains(fault) && !failure.message().contains('\u{1b}'), "{failure:?}");
        }
        std::fs::write(&path, "{}").unwrap();
        assert!(Card::read(&path).unwrap_err().message().contains("no card"));
        std::fs::write(&path, vec![b' '; 10_000]).unwrap();
        assert!(Card::read(&path).unwrap_err().message().contains("at most"));
    }
}
