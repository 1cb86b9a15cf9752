//! Secrets that are made with a deployment.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::document::Name;

use super::Service;
use super::told::with_lines;
use crate::error::AgentError;

/// Letters and digits of secrets that are made: no program reads more into one of them.
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Bytes below this one name letters evenly: the largest multiple of 62 that a byte reaches.
const EVEN: u8 = 248;

impl Service {
    /// Those of some secrets that are not there: a deployment that makes them makes these.
    pub(super) fn unmade(&self, wanted: &BTreeMap<Name, u32>) -> BTreeMap<Name, u32> {
        let there = self.vault.list();
        let unmade = wanted.iter().filter(|(name, _)| !there.contains_key(*name));
        unmade.map(|(name, length)| (name.clone(), *length)).collect()
    }

    /// Makes those of some secrets that are not there, each with so many letters and digits, and returns them with their versions. Whoever asks holds up every
    /// other change: one that somebody else has made meanwhile is there, and keeps its value.
    ///
    /// # Errors
    /// One cannot be made; then none was.
    pub(super) fn make_secrets(&self, wanted: &BTreeMap<Name, u32>) -> Result<BTreeMap<Name, u32>, AgentError> {
        let mut made = BTreeMap::new();
        for (name, length) in &self.unmade(wanted) {
            // What is not there has no version that somebody needs.
            let set = secret(*length).and_then(|value| self.vault.set(name, value.as_bytes(), &BTreeSet::new()));
            match set {
                Ok(version) => {
                    made.insert(name.clone(), version);
                }
                Err(error) => {
                    self.withdraw_secrets(&made);
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    /// Takes secrets back that were made for a deployment which was not taken: nobody has them, and nobody ever saw them. One stays where a generation names it.
    pub(super) fn withdraw_secrets(&self, made: &BTreeMap<Name, u32>) {
        for (name, version) in made {
            let withdrawn = self.needed(name).and_then(|needed| match needed.contains(version) {
                true => Ok(()),
                false => self.vault.withdraw(name, *version),
            });
            if let Err(error) = withdrawn {
                tracing::warn!(%error, "a secret of an application that was not made stays");
            }
        }
    }
}

/// A plan that names the secrets which are made with it, behind its first line. One that a move brings with its value is not made. Pure.
pub(super) fn naming(plan: &str, made: &BTreeMap<Name, u32>) -> String {
    let made = made.iter().filter(|(_, length)| **length > 0);
    let lines = made.map(|(name, length)| format!("the secret `{name}` is made: {length} letters and digits"));
    with_lines(plan, &lines.collect::<Vec<_>>())
}

/// Letters and digits, each as likely as the others.
fn secret(length: u32) -> Result<String, AgentError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut text = String::with_capacity(length);
    let mut bytes = [0_u8; 64];
    while text.len() < length {
        getrandom::fill(&mut bytes).map_err(|cause| AgentError::Randomness(cause.to_string()))?;
        let even = bytes.iter().filter(|byte| **byte < EVEN);
        let letters = even.map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
        text.extend(letters.take(length - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_the_secrets_that_are_made_with_it() {
        let plan = "generation 2 after 1: 1 step\nstart till\n";
        let names = |made: &[(&str, u32)]| {
            let made = made.iter().map(|(name, length)| (name.parse::<Name>().unwrap(), *length));
            naming(plan, &made.collect())
        };
        assert_eq!(names(&[]), plan);
        assert_eq!(names(&[("brought", 0)]), plan);
        assert_eq!(
            names(&[("brought", 0), ("till-token", 32)]),
            "generation 2 after 1: 1 step\nthe secret `till-token` is made: 32 letters and digits\nstart till\n"
        );
        assert_eq!(naming("one", &BTreeMap::new()), "one");
    }

    #[test]
    fn secrets_have_their_length_and_are_never_the_same() {
        for length in [1, 16, 32, 63, 64, 65, 128] {
            let one = secret(length).unwrap();
            assert_eq!(one.len(), usize::try_from(length).unwrap());
            assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert_ne!(secret(32).unwrap(), secret(32).unwrap());
        let many = secret(62_000).unwrap();
        for letter in LETTERS {
            let count = many.bytes().filter(|byte| byte == letter).count();
            // A thousand on average, with a deviation of 31: ten of them never happen.
            assert!((690..1_310).contains(&count), "{count} of {}", char::from(*letter));
        }
    }
}
