//! Names, paths and references.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Digest;

use crate::text::scalar;

/// Longest name, in bytes: it stands in names of links, cgroups and files, which have room for it with what we add.
const NAME_BYTES_MAX: usize = 32;
/// Longest path in an application, in bytes: `PATH_MAX` of Linux.
const PATH_BYTES_MAX: usize = 4096;
/// Longest name of a host, in bytes. Source: RFC 1035, section 2.3.4.
const DOMAIN_BYTES_MAX: usize = 253;
/// Longest reference of an image without its digest, in bytes. Source: OCI distribution specification, section "Pulling manifests".
const REFERENCE_BYTES_MAX: usize = 255;

/// Declares a text that was checked.
macro_rules! checked {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked! {
    /// Name of an application, volume, port, job or secret.
    Name
}
checked! {
    /// Absolute path in an application, without `.`, `..`, empty parts or NUL.
    AppPath
}
checked! {
    /// Name of an environment variable.
    VariableName
}
checked! {
    /// Name of a host, in lower case; a first part `*` stands for one label.
    Domain
}

/// Error of parsing a name or a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a name.
    #[error(
        "`{0}` is not a name: 1 to 32 characters of a to z, 0 to 9 and -, beginning with a letter, not ending with -"
    )]
    Name(String),
    /// Not the name of a variable.
    #[error("`{0}` is not a name of a variable: letters, digits, _, . and -, beginning with a letter or _")]
    Variable(String),
    /// A path that does not begin at the root.
    #[error("`{0}` is not absolute; begin it with /")]
    Relative(String),
    /// A path with a part that leads elsewhere.
    #[error("`{path}` has the part `{part}`, which is not allowed in a path")]
    Part {
        /// The path.
        path: String,
        /// Its part.
        part: String,
    },
    /// A path of more bytes than the system takes, or with a control character.
    #[error("the path has more than {PATH_BYTES_MAX} bytes or holds a control character")]
    Path,
    /// Not a domain.
    #[error("`{0}` is not a domain such as shop.example.org")]
    Domain(String),
    /// Not a reference of an image.
    #[error("`{0}` is not a reference of an image such as docker.io/library/redis:7 or redis@sha256:...")]
    Image(String),
    /// Not an address of a subnet.
    #[error("`{0}` is not a subnet such as 10.89.0.0/16")]
    Subnet(String),
    /// A mode that is not one.
    #[error("`{0}` is not a mode such as 0644")]
    Mode(String),
    /// Not a user.
    #[error("`{0}` is not a user such as 1000 or 1000:1000, numbers below 65536")]
    User(String),
    /// Not a package.
    #[error("`{0}` is not a name of a package, such as nginx-light or @scope/name")]
    Package(String),
    /// Not one version.
    #[error("`{0}` is not a version, such as 1.22.1-9; ranges are not versions")]
    Version(String),
    /// Not an address.
    #[error("`{0}` is not an IP address")]
    Address(String),
}

/// Returns true for a name of clause X-12.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    bytes.len() <= NAME_BYTES_MAX
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|b| *b != b'-')
        && bytes.iter().all(inner)
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        is_name(text).then(|| Name(text.to_string())).ok_or_else(|| NameError::Name(text.to_string()))
    }
}

impl FromStr for VariableName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<VariableName, NameError> {
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        let fits =
            begins && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) && text.len() <= 256;
        fits.then(|| VariableName(text.to_string())).ok_or_else(|| NameError::Variable(text.to_string()))
    }
}

impl FromStr for AppPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<AppPath, NameError> {
        let Some(rest) = text.strip_prefix('/') else { return Err(NameError::Relative(text.to_string())) };
        if text.len() > PATH_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(NameError::Path);
        }
        match rest.split('/').find(|part| matches!(*part, "" | "." | "..") || part.len() > 255) {
            Some(part) if !rest.is_empty() => Err(NameError::Part { path: text.to_string(), part: part.to_string() }),
            _ => Ok(AppPath(text.to_string())),
        }
    }
}

impl AppPath {
    /// Returns true when the other path is this one or below it.
    pub fn contains(&self, other: &AppPath) -> bool {
        let below = other.0.strip_prefix(self.0.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for Domain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Domain, NameError> {
        let labels = text.strip_prefix("*.").unwrap_or(text);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // A name of digits alone could be an address.
        let letters = labels.rsplit('.').next().is_some_and(|last| last.bytes().any(|b| b.is_ascii_lowercase()));
        let fits = text.len() <= DOMAIN_BYTES_MAX && labels.split('.').all(label) && letters;
        fits.then(|| Domain(text.to_string())).ok_or_else(|| NameError::Domain(text.to_string()))
    }
}

/// Reference of an image: `[registry/]repository[:tag][@sha256:digest]`. Printed in full, with `docker.io/library/` where it was left out.
/// Source: the reference grammar of the `distribution` project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct ImageReference {
    /// Host, with a port where it has one.
    pub registry: String,
    /// Path of the repository.
    pub repository: String,
    /// Tag; `latest` where neither tag nor digest was written.
    pub tag: Option<String>,
    /// Digest of the manifest, SHA-256.
    pub digest: Option<Digest>,
}

impl FromStr for ImageReference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<ImageReference, NameError> {
        let wrong = || NameError::Image(text.to_string());
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(parse_digest(digest).ok_or_else(wrong)?)),
            None => (text, None),
        };
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match rest[slash..].find(':') {
            Some(colon) => (&rest[..slash + colon], Some(&rest[slash + colon + 1..])),
            None => (rest, None),
        };
        let (registry, repository) = match path.split_once('/') {
            Some((host, repository)) if host.contains(['.', ':']) || host == "localhost" => {
                (host, repository.to_string())
            }
            Some(_) => ("docker.io", path.to_string()),
            None => ("docker.io", format!("library/{path}")),
        };
        let component = |part: &str| {
            let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            ends(part.bytes().next())
                && ends(part.bytes().last())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        };
        let host = registry.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b))
            && !registry.starts_with(['-', '.', ':']);
        let tag_fits = tag.is_none_or(|tag| {
            (1..=128).contains(&tag.len())
                && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
                && !tag.starts_with(['.', '-'])
        });
        if !(host && tag_fits && repository.split('/').all(component) && rest.len() <= REFERENCE_BYTES_MAX) {
            return Err(wrong());
        }
        let tag = tag.or(digest.is_none().then_some("latest")).map(str::to_string);
        Ok(ImageReference { registry: registry.to_string(), repository, tag, digest })
    }
}

/// The digest of `sha256:` and 64 digits of lower case.
pub(crate) fn parse_digest(text: &str) -> Option<Digest> {
    let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64)?;
    let lower = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    hex.parse().ok().filter(|_| lower)
}

/// `sha256:` and the digits.
pub(crate) fn print_digest(digest: &Digest) -> String {
    format!("sha256:{digest}")
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{}", print_digest(digest)),
            None => Ok(()),
        }
    }
}

checked! {
    /// Name of a package of Debian, npm or PyPI.
    PackageName
}
checked! {
    /// Version of a package.
    PackageVersion
}

impl FromStr for PackageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<PackageName, NameError> {
        let bare = text.strip_prefix('@').unwrap_or(text);
        let part = |part: &str| {
            part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
        };
        let parts = if bare.len() < text.len() { 2 } else { 1 };
        let fits = text.len() <= 214 && bare.split('/').count() == parts && bare.split('/').all(part);
        fits.then(|| PackageName(text.to_string())).ok_or_else(|| NameError::Package(text.to_string()))
    }
}

impl FromStr for PackageVersion {
    type Err = NameError;

    fn from_str(text: &str) -> Result<PackageVersion, NameError> {
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let fits =
            begins && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+~:-_!".contains(&b));
        fits.then(|| PackageVersion(text.to_string())).ok_or_else(|| NameError::Version(text.to_string()))
    }
}

/// A network of IPv4 with its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Subnet {
    /// First address.
    pub address: Ipv4Addr,
    /// Length of the prefix, 8 to 29: below there is no room for an application beside bridge and broadcast.
    pub prefix: u8,
}

impl Subnet {
    /// The address at a distance from the first one; `None` for the last address, which is the broadcast, and beyond.
    pub fn host(self, index: u32) -> Option<Ipv4Addr> {
        (index + 1 < self.addresses()).then(|| Ipv4Addr::from_bits(self.address.to_bits() + index))
    }

    /// Number of addresses.
    pub fn addresses(self) -> u32 {
        1 << (32 - u32::from(self.prefix))
    }

    /// Returns true when the address lies in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & !(self.addresses() - 1) == self.address.to_bits()
    }
}

impl FromStr for Subnet {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Subnet, NameError> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let subnet = Subnet { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
            ((8..=29).contains(&subnet.prefix) && subnet.contains(subnet.address)).then_some(subnet)
        });
        parsed.ok_or_else(|| NameError::Subnet(text.to_string()))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Permission bits of a file, without the set-user and set-group bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Mode(pub u16);

impl FromStr for Mode {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Mode, NameError> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let fits = (3..=4).contains(&digits.len()) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let bits = u16::from_str_radix(digits, 8).ok().filter(|bits| fits && *bits <= 0o777);
        bits.map(Mode).ok_or_else(|| NameError::Mode(text.to_string()))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// User and group in an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct User {
    /// User id.
    pub uid: u16,
    /// Group id; the same as the user's where it was left out.
    pub gid: u16,
}

impl FromStr for User {
    type Err = NameError;

    fn from_str(text: &str) -> Result<User, NameError> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
        let user = number(uid).zip(number(gid)).map(|(uid, gid)| User { uid, gid });
        user.ok_or_else(|| NameError::User(text.to_string()))
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// Address of the host on which a port is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct HostAddress(pub IpAddr);

impl HostAddress {
    /// All addresses of the host.
    pub const ANY: HostAddress = HostAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// Returns true when something that listens on the one leaves no room for the other.
    pub fn overlaps(self, other: HostAddress) -> bool {
        self == other || self.0.is_unspecified() || other.0.is_unspecified()
    }
}

impl FromStr for HostAddress {
    type Err = NameError;

    fn from_str(text: &str) -> Result<HostAddress, NameError> {
        text.parse().map(HostAddress).map_err(|_| NameError::Address(text.to_string()))
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

scalar! {
    Name: "a name of a to z, 0 to 9 and -", "^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$";
    AppPath: "an absolute path in the application", "^/";
    VariableName: "a name of a variable", "^[A-Za-z_][A-Za-z0-9_.-]*$";
    Domain: "a domain", "^(\\*\\.)?[a-z0-9-]+(\\.[a-z0-9-]+)*$";
    ImageReference: "a reference of an image", "^[^ ]+$";
    PackageName: "a name of a package", "^@?[A-Za-z0-9][A-Za-z0-9._+/-]*$";
    PackageVersion: "a version of a package", "^[A-Za-z0-9][A-Za-z0-9.+~:_!-]*$";
    Subnet: "a subnet, as 10.89.0.0/16", "^[0-9.]+/[0-9]+$";
    Mode: "a mode, as \"0644\"", "^(0o)?[0-7]{3,4}$", octal;
    User: "a user, as 1000 or 1000:1000", "^[0-9]+(:[0-9]+)?$";
    HostAddress: "an IP address", "^[0-9a-fA-F.:]+$";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_clause() {
        for name in ["a", "web", "web-1", "a1", &"a".repeat(32)] {
            assert!(name.parse::<Name>().is_ok(), "{name}");
        }
        for name in ["", "1a", "-a", "a-", "Web", "a_b", "a.b", "wéb", "a/b", &"a".repeat(33)] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
    }

    #[test]
    fn paths_lead_nowhere_else() {
        for path in ["/", "/data", "/a/b.c/..d"] {
            assert_eq!(path.parse::<AppPath>().unwrap().as_str(), path);
        }
        for path in ["", "data", "/a/../b", "/..", "/a//b", "/a/", "/./a", "/a\0", "/a\n"] {
            assert!(path.parse::<AppPath>().is_err(), "{path:?}");
        }
        let path = |text: &str| text.parse::<AppPath>().unwrap();
        assert!(path("/data").contains(&path("/data/x")));
        assert!(!path("/data").contains(&path("/database")));
        assert!(path("/").contains(&path("/x")));
    }

    #[test]
    fn references_are_printed_in_full() {
        let full = |text: &str| text.parse::<ImageReference>().map(|image| image.to_string());
        assert_eq!(full("redis").unwrap(), "docker.io/library/redis:latest");
        assert_eq!(full("bitnami/redis:7").unwrap(), "docker.io/bitnami/redis:7");
        assert_eq!(full("localhost:5000/a/b").unwrap(), "localhost:5000/a/b:latest");
        let digest = format!("ghcr.io/a/b@sha256:{}", "ab".repeat(32));
        assert_eq!(full(&digest).unwrap(), digest);
        for text in ["", "A/b", "a b", "a:", "a@sha256:12", "a@md5:aa", "a//b", "../a", "a:-x", "-a.b/c", "a/../b"] {
            assert!(full(text).is_err(), "{text}");
        }
    }

    #[test]
    fn subnets_users_and_modes() {
        let subnet: Subnet = "10.89.0.0/29".parse().unwrap();
        assert_eq!(subnet.host(6).unwrap().to_string(), "10.89.0.6");
        assert_eq!(subnet.host(7), None);
        assert!("10.89.0.1/16".parse::<Subnet>().is_err());
        assert!("10.89.0.0/30".parse::<Subnet>().is_err());
        assert_eq!("1000".parse::<User>().unwrap().to_string(), "1000:1000");
        assert!("root".parse::<User>().is_err());
        assert!("65536".parse::<User>().is_err());
        assert_eq!("644".parse::<Mode>().unwrap().to_string(), "0644");
        assert!("4755".parse::<Mode>().is_err());
        for domain in ["example.org", "*.example.org", "localhost"] {
            assert!(domain.parse::<Domain>().is_ok(), "{domain}");
        }
        for domain in ["", "Example.org", "a..b", "1.2.3.4", "*", "a.*", "-a.org", "a_b.org"] {
            assert!(domain.parse::<Domain>().is_err(), "{domain}");
        }
    }
}
