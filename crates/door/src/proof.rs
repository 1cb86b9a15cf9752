//! Certificates of greetings that prove to an authority that a name leads here (tls-alpn-01, RFC 8737).

use std::collections::BTreeMap;
use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::challenge::bytes;
use crate::document::Challenge;
use crate::tls::{CertificateError, Keys};

/// Keys of the greetings that prove something, by host name. They are made anew with each document, and signed by themselves.
///
/// # Errors
/// [`CertificateError::Proof`].
pub fn proofs(challenges: &BTreeMap<String, Challenge>) -> Result<Keys, CertificateError> {
    let all = challenges.iter().filter_map(|(name, challenge)| Some((name, challenge.digest.as_ref()?)));
    all.map(|(name, digest)| Ok((name.clone(), Arc::new(proof(name, digest)?)))).collect()
}

fn proof(name: &str, digest: &str) -> Result<CertifiedKey, CertificateError> {
    let failed = |words: String| CertificateError::Proof { name: name.to_string(), words };
    let digest = bytes(digest).ok_or_else(|| failed("its digest is none".into()))?;
    let made = || -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_string()])?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
        Ok((params.self_signed(&key)?.der().to_vec(), key.serialize_der()))
    };
    let (certificate, key) = made().map_err(|error| failed(error.to_string()))?;
    let key = any_supported_type(&PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key)));
    let key = key.map_err(|error| failed(error.to_string()))?;
    // The library would refuse to compare the two: it does not know the extension, which is critical.
    Ok(CertifiedKey::new(vec![certificate.into()], key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::challenge::is_good;

    #[test]
    fn a_digest_becomes_a_certificate_and_a_wrong_one_is_refused() {
        let digest = Some("0f".repeat(32));
        let all = [("shop.example".to_string(), Challenge { digest, ..Challenge::default() })].into();
        assert_eq!(proofs(&all).unwrap().keys().collect::<Vec<_>>(), ["shop.example"]);
        for wrong in ["", "0f", &"0g".repeat(32), &"é".repeat(32)] {
            let all =
                [("a.example".to_string(), Challenge { digest: Some(wrong.to_string()), ..Challenge::default() })];
            assert!(!is_good(&all[0].1), "{wrong}");
            assert!(matches!(proofs(&all.into()), Err(CertificateError::Proof { .. })), "{wrong}");
        }
    }
}
