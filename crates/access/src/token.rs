//! Secrets that are handed out once, and of which only the hash is kept.

use openmesh_primitives::{Digest, sha256};

use crate::error::Refusal;

/// Beginning of a session's token, by which people and scanners of leaked secrets tell it.
pub const SESSION: &str = "oms_";
/// Beginning of an API key.
pub const KEY: &str = "omk_";
/// Beginning of the code by which the first owner is named.
pub const CODE: &str = "omc_";
/// Beginning of an invitation for another machine.
pub const INVITATION: &str = "omi_";
/// Beginning of the token of a machine that has joined.
pub const MACHINE: &str = "omm_";
/// Random bytes of a token: nobody guesses 256 bits, and a fast hash of them is safe to keep.
const TOKEN_BYTES: usize = 32;
/// Random bytes of a number of a session or key: they name it, and give no right.
const NUMBER_BYTES: usize = 6;

/// A new token with this beginning.
///
/// # Errors
/// The system gives no randomness.
pub fn token(beginning: &str) -> Result<String, Refusal> {
    Ok(format!("{beginning}{}", hex::encode(random::<TOKEN_BYTES>()?)))
}

/// A new number of a session or key.
///
/// # Errors
/// The system gives no randomness.
pub fn number() -> Result<String, Refusal> {
    Ok(hex::encode(random::<NUMBER_BYTES>()?))
}

/// Random bytes of the operating system.
///
/// # Errors
/// It gives none.
pub fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|cause| Refusal::Randomness(cause.to_string()))?;
    Ok(bytes)
}

/// A new token of a machine, by which it is known to the Xnode that it joins.
///
/// # Errors
/// The system gives no randomness.
pub fn of_machine() -> Result<String, Refusal> {
    token(MACHINE)
}

/// Returns true for a text that can be an invitation's token.
pub fn is_invitation(text: &str) -> bool {
    is_of(INVITATION, text)
}

fn is_of(beginning: &str, token: &str) -> bool {
    token.strip_prefix(beginning).is_some_and(|rest| {
        rest.len() == 2 * TOKEN_BYTES && rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// The hash of a token, as it is kept. None for a text that no token can be: nothing of it is looked up.
pub fn hash(token: &str) -> Option<Digest> {
    let is_token = [SESSION, KEY, CODE, INVITATION, MACHINE].iter().any(|beginning| is_of(beginning, token));
    is_token.then(|| sha256(&[b"openmesh token 1 ", token.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_only_tokens_are_hashed() {
        let (one, two) = (token(SESSION).unwrap(), token(SESSION).unwrap());
        assert_ne!(one, two);
        assert_ne!(hash(&one), hash(&two));
        assert!(hash(&one).is_some());
        for text in ["", "oms_", &one[1..], &one[..one.len() - 1], &one.to_uppercase(), &one.replace("oms_", "xyz_")] {
            assert_eq!(hash(text), None, "{text}");
        }
        assert_eq!(number().unwrap().len(), 2 * NUMBER_BYTES);
        assert!(is_invitation(&token(INVITATION).unwrap()) && !is_invitation(&of_machine().unwrap()));
    }
}
