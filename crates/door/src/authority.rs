//! A certificate authority of one's own, for names of the LAN and without the internet.
//!
//! A person installs its root once on each device. So that this costs no trust beyond the house, the root is bound to names of local networks
//! (`.lan`, `.local`, `.home.arpa`, `.internal`) and to no address: whoever steals its key cannot pose as a bank. The key stays with whoever
//! makes certificates; the door gets files of single hosts.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
};

use crate::effects::Effects;
use crate::host;

/// Endings of the names for which the root may speak: those of RFC 6762, RFC 8375, ICANN's reservation of `internal`, and the usual `lan`.
pub const ENDINGS: [&str; 4] = ["lan", "local", "home.arpa", "internal"];
/// Life of the root, days: people install it once.
pub const ROOT_DAYS: u64 = 3_650;
/// Life of a host's certificate, days: the longest that Apple's systems take, less a margin for wrong clocks.
pub const HOST_DAYS: u64 = 390;
const DAY: Duration = Duration::from_secs(86_400);
const ROOT_FILE: &str = "root.pem";
const KEY_FILE: &str = "root.key";

/// Error of the authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Its path.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Certificate without key, or key without certificate.
    #[error("{0} is missing; put it back from a backup, or remove both files to begin anew")]
    Half(PathBuf),
    /// A name for which the root may not speak.
    #[error("'{0}' is not a name of a local network (.lan, .local, .home.arpa, .internal); use ACME for public names")]
    Name(String),
    /// The library refuses.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// The authority.
pub struct Authority {
    root: Certificate,
    key: KeyPair,
    pem: String,
}

/// Certificate and key of a host, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The host's certificate; devices have the root.
    pub chain: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("pem", &self.pem).finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority in a folder; made where the folder has none.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn open(folder: &Path, node: &str, now: SystemTime, effects: &Effects) -> Result<Authority, AuthorityError> {
        let (root, key) = (folder.join(ROOT_FILE), folder.join(KEY_FILE));
        match (read(&root)?, read(&key)?) {
            (Some(pem), Some(key)) => Authority::load(node, now, pem, &key),
            (None, None) => {
                let key_pair = KeyPair::generate()?;
                let certificate = root_params(node, now)?.self_signed(&key_pair)?;
                let pem = certificate.pem();
                // The certificate is last: with it the authority is there.
                write(effects, "write root key", &key, &key_pair.serialize_pem(), 0o600)?;
                write(effects, "write root", &root, &pem, 0o644)?;
                Ok(Authority { root: certificate, key: key_pair, pem })
            }
            // A death between the two files; nobody has the root yet.
            (None, Some(_)) => {
                fs::remove_file(&key).map_err(|source| AuthorityError::File { path: key.clone(), source })?;
                Authority::open(folder, node, now, effects)
            }
            (Some(_), None) => Err(AuthorityError::Half(key)),
        }
    }

    /// The library signs with a certificate that it made itself: one with the same name and key, whose own bytes nobody sees.
    fn load(node: &str, now: SystemTime, pem: String, key: &str) -> Result<Authority, AuthorityError> {
        let key = KeyPair::from_pem(key)?;
        let root = root_params(node, now)?.self_signed(&key)?;
        Ok(Authority { root, key, pem })
    }

    /// The root for devices, as PEM.
    pub fn root(&self) -> &str {
        &self.pem
    }

    /// Makes a certificate for names of a local network, valid from a day before `now`.
    ///
    /// # Errors
    /// [`AuthorityError::Name`] and [`AuthorityError::Make`].
    pub fn issue(&self, names: &[String], now: SystemTime) -> Result<Issued, AuthorityError> {
        for name in names {
            let local = host::normal_pattern(name).as_ref() == Some(name)
                && ENDINGS.iter().any(|ending| name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.')));
            if !local {
                return Err(AuthorityError::Name(name.clone()));
            }
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        // X.520 allows 64 characters; nobody reads it beside the names.
        if let Some(name) = names.iter().find(|name| name.len() <= 64) {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (now - DAY).into();
        params.not_after = (now + DAY * HOST_DAYS as u32).into();
        let certificate = params.signed_by(&key, &self.root, &self.key)?;
        Ok(Issued { chain: certificate.pem(), key: key.serialize_pem() })
    }
}

fn root_params(node: &str, now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, format!("Openmesh {node}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let everywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: ENDINGS.iter().map(|ending| GeneralSubtree::DnsName(ending.to_string())).collect(),
        excluded_subtrees: everywhere
            .map(|address| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, 0)))
            .to_vec(),
    });
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * ROOT_DAYS as u32).into();
    Ok(params)
}

fn read(path: &Path) -> Result<Option<String>, AuthorityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AuthorityError::File { path: path.to_path_buf(), source }),
    }
}

fn write(effects: &Effects, name: &str, path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let act = || {
        effects(name)?;
        let fresh = path.with_extension(if mode == 0o600 { "key.new" } else { "new" });
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        if let Some(folder) = path.parent() {
            fs::File::open(folder)?.sync_all()?;
        }
        effects(&format!("{name} done"))
    };
    act().map_err(|source| AuthorityError::File { path: path.to_path_buf(), source })
}
