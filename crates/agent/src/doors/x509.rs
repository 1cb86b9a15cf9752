//! Facts of certificates: life, identifier, names.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

/// Facts of a host's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Begin of its life, seconds since 1970.
    pub from_s: u64,
    /// End of its life.
    pub until_s: u64,
    /// Identifier of its authority's key and its serial number, as they are encoded; none where it names no authority.
    pub identifier: Option<(Vec<u8>, Vec<u8>)>,
}

fn certificates(chain: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let all = all.map_err(|cause| format!("it is no PEM: {cause}"))?;
    if all.is_empty() { Err("there is no certificate in it".into()) } else { Ok(all) }
}

/// Facts of the first certificate of a chain as PEM. Words where there is none that can be read.
pub fn about(chain: &str) -> Result<About, String> {
    let all = certificates(chain)?;
    let first = all.first().ok_or("there is no certificate in it")?;
    let (_, parsed) = X509Certificate::from_der(first).map_err(|cause| format!("it cannot be read: {cause}"))?;
    let seconds = |moment: i64| u64::try_from(moment).unwrap_or(0);
    let authority = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(authority) => Some(authority.key_identifier.as_ref()?.0.to_vec()),
        _ => None,
    });
    Ok(About {
        from_s: seconds(parsed.validity().not_before.timestamp()),
        until_s: seconds(parsed.validity().not_after.timestamp()),
        identifier: authority.map(|authority| (authority, parsed.raw_serial().to_vec())),
    })
}

/// A label that stands for all of a pattern: nobody orders a certificate for it alone.
const ANY_LABEL: &str = "any-name-of-a-pattern";

/// Words where a chain does not fit its key, or a name or pattern.
pub fn fits(chain: &str, key: &str, name: &str) -> Result<(), String> {
    let all = certificates(chain)?;
    let first = all.first().ok_or("there is no certificate in it")?;
    let parsed = ParsedCertificate::try_from(first).map_err(|cause| cause.to_string())?;
    let host = name.strip_prefix("*.").map_or_else(|| name.to_string(), |rest| format!("{ANY_LABEL}.{rest}"));
    let server = ServerName::try_from(host).map_err(|cause| cause.to_string())?;
    rustls::client::verify_server_name(&parsed, &server).map_err(|_| format!("it is not for {name}"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|cause| format!("its key is no PEM: {cause}"))?;
    let made = CertifiedKey::from_der(all, key, &ring::default_provider());
    made.map(drop).map_err(|cause| format!("its key does not fit: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use openmesh_door::authority::Authority;
    use openmesh_door::effects::free;

    use super::*;

    #[test]
    fn a_certificate_tells_its_life_and_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_000_000);
        let authority = Authority::open(folder.path(), "kitchen", begin, &free()).unwrap();
        let issued = authority.issue(&["shop.lan".to_string()], begin).unwrap();
        let found = about(&issued.chain).unwrap();
        assert_eq!((found.from_s, found.until_s), (1_796_000_000 - 86_400, 1_796_000_000 + 390 * 86_400));
        assert!(found.identifier.is_some_and(|(authority, serial)| !authority.is_empty() && !serial.is_empty()));
        assert_eq!(fits(&issued.chain, &issued.key, "shop.lan"), Ok(()));
        let other = authority.issue(&["shop.lan".to_string()], begin).unwrap();
        assert!(fits(&issued.chain, &other.key, "shop.lan").unwrap_err().contains("key"));
        assert!(fits(&issued.chain, &issued.key, "other.lan").unwrap_err().contains("other.lan"));
        assert!(fits(&issued.chain, &issued.key, "*.shop.lan").unwrap_err().contains("*.shop.lan"));
        let pattern = authority.issue(&["*.shop.lan".to_string()], begin).unwrap();
        assert_eq!(fits(&pattern.chain, &pattern.key, "*.shop.lan"), Ok(()));
        assert!(fits(&pattern.chain, &pattern.key, "shop.lan").is_err());
        for wrong in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(about(wrong).is_err(), "{wrong}");
        }
    }
}
