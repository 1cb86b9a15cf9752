//! Certificates of the names that the door serves: those that a person gave, those that an authority has issued by ACME, and those of an own authority for
//! names of a local network.
//!
//! Keys lie in folders of root that the door's group can read, under names with the hash of their content: the door reads files again with another
//! document alone, and a new certificate is another document. Those by ACME lie in the run folder, and sealed in the state folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openmesh_door::authority::{Authority, ENDINGS, HOST_DAYS};
use openmesh_door::document::{Certificate, Challenge, Document};
use openmesh_door::effects::free;
use openmesh_door::host::{normal_pattern, pattern_of};
use openmesh_door::tls;
use openmesh_primitives::sha256;
use openmesh_xnode::door::Certificates;
use openmesh_xnode::marks;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::x509;
use crate::acme::Issuer;
use crate::error::AgentError;

/// A day, seconds.
const DAY_SECONDS: u64 = 86_400;
/// Days before its end at which a certificate of the own authority is replaced: a machine that sleeps for weeks wakes in time.
const RENEW_DAYS: u64 = 30;
/// Time after which files are looked at again.
const LOOK: Duration = Duration::from_secs(60);
/// Largest chain or key that a person gives, bytes: some certificates of 4 KiB.
const PEM_BYTES_MAX: usize = 64 << 10;

/// A certificate in its files, with the end of its life where that is the own authority's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    chain: PathBuf,
    key: PathBuf,
    /// Seconds since 1970; none for one that a person gave.
    until: Option<u64>,
}

impl Kept {
    /// The certificate for a name, as a document has it.
    fn of(&self, name: &str) -> Certificate {
        Certificate { names: vec![name.to_string()], chain: self.chain.clone(), key: self.key.clone() }
    }
}

/// Maker of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Maker {
    /// A person gave it.
    Given,
    /// An authority, by ACME.
    Acme,
    /// The own authority, for a name of the house.
    House,
}

/// A certificate for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Name or pattern.
    pub name: String,
    /// Its maker.
    pub maker: Maker,
    /// Begin and end of its life, seconds since 1970; none where the file cannot be read.
    pub life: Option<(u64, u64)>,
}

/// Certificates of an agent's door.
#[derive(Debug)]
pub struct Cabinet {
    /// Own authority: root alone reads its key.
    authority: PathBuf,
    /// Files for the door.
    folder: PathBuf,
    /// The same for certificates by ACME: in memory.
    issued: PathBuf,
    /// Certificates by ACME.
    issuer: Arc<Issuer>,
    /// Index of the files.
    index: PathBuf,
    /// Group of the door.
    gid: u32,
    /// Name of the machine, in the root's name.
    node: String,
    /// Held while the authority is opened: whoever finds none makes one, and two at a time would leave the key of one with the root of the other.
    opening: Mutex<()>,
    known: Mutex<Known>,
}

/// Certificates as they were looked at last.
#[derive(Debug, Default)]
struct Known {
    /// Number of changes of the index by this process: what was found before one is not kept.
    changes: u64,
    /// Certificates by name, and the moment of the look.
    names: BTreeMap<String, (Option<Kept>, Instant)>,
}

impl Cabinet {
    /// Opens the certificates below the folders of an agent, and removes files that neither the index nor the door's kept document names. Files of those by
    /// ACME are made again: the door's kept document may name them after a start of the machine.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn open(
        (state, run): (&Path, &Path),
        gid: u32,
        node: String,
        kept: Option<&Document>,
        issuer: Arc<Issuer>,
    ) -> Result<Cabinet, AgentError> {
        let cabinet = Cabinet {
            authority: state.join("authority"),
            folder: state.join("certificates"),
            issued: run.join("certificates"),
            issuer,
            index: state.join("certificates.json"),
            gid,
            node,
            opening: Mutex::default(),
            known: Mutex::default(),
        };
        let folders = [(&cabinet.authority, 0, 0o700), (&cabinet.folder, gid, 0o750), (&cabinet.issued, gid, 0o750)];
        for (folder, group, mode) in folders {
            let made = fs::create_dir_all(folder)
                .and_then(|()| chown(folder, Some(0), Some(group)))
                .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(mode)));
            made.map_err(AgentError::file("making", folder))?;
        }
        let index = cabinet.read_index()?;
        let served = kept.into_iter().flat_map(|kept| &kept.certificates);
        let served = served.flat_map(|one| [one.chain.clone(), one.key.clone()]);
        let used: BTreeSet<PathBuf> =
            index.into_values().flat_map(|kept| [kept.chain, kept.key]).chain(served).collect();
        for folder in [&cabinet.folder, &cabinet.issued] {
            for entry in fs::read_dir(folder).map_err(AgentError::file("reading", folder))?.flatten() {
                if !used.contains(&entry.path()) {
                    // One that stays is tried again by the next start.
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        for name in cabinet.issuer.names() {
            cabinet.bring(&name)?;
        }
        Ok(cabinet)
    }

    /// Root of the own authority, as PEM: a person installs it once on each device. It is made where there is none.
    ///
    /// # Errors
    /// It cannot be read or made.
    pub fn root(&self) -> Result<String, AgentError> {
        Ok(self.authority()?.root().to_string())
    }

    fn authority(&self) -> Result<Authority, AgentError> {
        let _alone = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = Authority::open(&self.authority, &self.node, SystemTime::now(), &free());
        opened.map_err(|error| AgentError::Name(error.to_string()))
    }

    /// Certificates by ACME.
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// Every certificate, by its name: of two for one name the one that is served.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn list(&self) -> Result<Vec<Held>, AgentError> {
        let mut held: BTreeMap<String, Held> = BTreeMap::new();
        let life = |chain: &str| x509::about(chain).ok().map(|about| (about.from_s, about.until_s));
        for name in self.issuer.names() {
            let chain = self.issuer.entry(&name).and_then(|entry| entry.issued).map(|issued| issued.chain);
            let one = Held { name: name.clone(), maker: Maker::Acme, life: chain.as_deref().and_then(life) };
            held.insert(name, one);
        }
        for (name, kept) in self.read_index()? {
            let maker = if kept.until.is_none() { Maker::Given } else { Maker::House };
            if maker == Maker::Given || !held.contains_key(&name) {
                let life = fs::read_to_string(&kept.chain).ok().as_deref().and_then(life);
                held.insert(name.clone(), Held { name, maker, life });
            }
        }
        Ok(held.into_values().collect())
    }

    /// Those of these names for which a certificate by ACME is the way: public ones for which nobody gave one, and patterns where they can be proved.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn public(&self, names: &BTreeSet<String>, patterns: bool) -> Result<BTreeSet<String>, AgentError> {
        let index = self.read_index()?;
        let is_given = |name: &String| index.get(name).is_some_and(|kept| kept.until.is_none());
        let covered = |name: &String| is_given(name) || pattern_of(name).is_some_and(|pattern| is_given(&pattern));
        let is_way = |name: &&String| is_public(name) && (patterns || !name.starts_with('*')) && !covered(name);
        Ok(names.iter().filter(is_way).cloned().collect())
    }

    /// Lets everything be looked at again: a certificate has come or gone.
    pub fn look_again(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.names.clear();
        known.changes += 1;
    }

    /// Writes the files of a certificate by ACME for the door; none where there is none.
    fn bring(&self, name: &str) -> Result<Option<Kept>, AgentError> {
        let Some(opened) = self.issuer.find(name) else { return Ok(None) };
        let kept = self.write(&self.issued, name, &opened.chain, &opened.key, Some(opened.until_s))?;
        Ok(Some(kept))
    }

    /// Takes a certificate that a person gives for a name, in place of any other one.
    ///
    /// # Errors
    /// The name is none, chain and key do not fit each other, or a file cannot be written.
    pub fn give(&self, name: &str, chain: &str, key: &str) -> Result<(), AgentError> {
        if normal_pattern(name).as_deref() != Some(name) {
            return Err(AgentError::Name(format!(
                "`{name}` is no name of a host in lower case, such as shop.example.org"
            )));
        }
        if chain.len().max(key.len()) > PEM_BYTES_MAX {
            return Err(AgentError::Name(format!("a chain or key has at most {PEM_BYTES_MAX} bytes")));
        }
        let kept = self.write(&self.folder, name, chain, key, None)?;
        if let Err(error) = tls::load(&[kept.of(name)]) {
            let _ = fs::remove_file(&kept.chain);
            let _ = fs::remove_file(&kept.key);
            return Err(AgentError::Name(format!("the certificate is not taken: {error}")));
        }
        self.enter(name, Some(kept))
    }

    /// Forgets the certificate of a name: one of a local network gets another one of the own authority.
    ///
    /// # Errors
    /// There is none, or the index cannot be written.
    pub fn forget(&self, name: &str) -> Result<(), AgentError> {
        match self.read_index()?.contains_key(name) {
            true => self.enter(name, None),
            false => Err(AgentError::Name(format!("there is no certificate for `{name}`"))),
        }
    }

    fn read_index(&self) -> Result<BTreeMap<String, Kept>, AgentError> {
        let damaged =
            |words: serde_json::Error| AgentError::Damaged { path: self.index.clone(), words: words.to_string() };
        match fs::read(&self.index) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(damaged),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(cause) => Err(AgentError::file("reading", &self.index)(cause)),
        }
    }

    /// Notes the certificate of a name. The files of the one before stay for the door until the agent starts again.
    fn enter(&self, name: &str, kept: Option<Kept>) -> Result<(), AgentError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = self.read_index()?;
        match kept {
            Some(kept) => index.insert(name.to_string(), kept),
            None => index.remove(name),
        };
        let bytes = serde_json::to_vec(&index).unwrap_or_default();
        marks::replace(&self.index, &bytes).map_err(AgentError::file("writing", &self.index))?;
        // One for a pattern is one for many names.
        known.names.clear();
        known.changes += 1;
        Ok(())
    }

    fn write(&self, folder: &Path, name: &str, chain: &str, key: &str, until: Option<u64>) -> Result<Kept, AgentError> {
        let hash = sha256(&[chain.as_bytes(), key.as_bytes()]).to_string();
        let stem = format!("{}-{}", name.replace('*', "_"), hash.get(..16).unwrap_or(&hash));
        let kept = Kept { chain: folder.join(format!("{stem}.pem")), key: folder.join(format!("{stem}.key")), until };
        let is_there = |path: &Path, text: &str| fs::read_to_string(path).is_ok_and(|found| found == text);
        for (path, text) in
            [(&kept.key, key), (&kept.chain, chain)].into_iter().filter(|(path, text)| !is_there(path, text))
        {
            write_for(path, text, self.gid).map_err(AgentError::file("writing", path))?;
        }
        Ok(kept)
    }

    /// The certificate of a name: the one that a person gave, for it or for its pattern, else the one of an authority by ACME, for it or for its pattern, else
    /// one of the own authority; none for a public name without one. For such a name the own authority may not speak: a certificate that has ended stays, so
    /// that visitors are warned and not turned away.
    fn find(&self, name: &str) -> Result<Option<Kept>, AgentError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let index = self.read_index()?;
        let is_given = |kept: &&Kept| kept.until.is_none();
        let own = index.get(name);
        let pattern = pattern_of(name).and_then(|pattern| index.get(&pattern));
        let given = own.filter(is_given).into_iter().chain(pattern.filter(is_given));
        let issued = self.bring(name)?;
        let spare = pattern_of(name).filter(|pattern| pattern != name).map(|pattern| self.bring(&pattern));
        let spare = spare.transpose()?.flatten();
        let is_public = is_public(name);
        let lives = |kept: &&Kept| kept.until.is_some_and(|until| until > now);
        let ended = issued.iter().filter(|kept| is_public && !lives(kept));
        let issued = issued.iter().chain(&spare).filter(lives).chain(ended);
        let house = own.filter(|kept| kept.until.is_some_and(|until| until > now + RENEW_DAYS * DAY_SECONDS));
        // The door takes no document with a certificate that it cannot use, so that one would hold up all applications.
        let mut known = given.chain(issued).chain(house);
        if let Some(kept) = known.find(|kept| tls::load(&[kept.of(name)]).is_ok()) {
            return Ok(Some(kept.clone()));
        }
        if !is_of_house(name) {
            return Ok(None);
        }
        let issued = self.authority()?.issue(&[name.to_string()], SystemTime::now());
        let issued = issued.map_err(|error| AgentError::Name(error.to_string()))?;
        let kept = self.write(&self.folder, name, &issued.chain, &issued.key, Some(now + HOST_DAYS * DAY_SECONDS))?;
        self.enter(name, Some(kept.clone()))?;
        Ok(Some(kept))
    }

    fn look(&self, name: &str) -> Option<Kept> {
        let (known, changes) = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            (known.names.get(name).cloned(), known.changes)
        };
        if let Some((kept, at)) = known
            && at.elapsed() < LOOK
        {
            return kept;
        }
        let found = self.find(name).unwrap_or_else(|error| {
            tracing::warn!(name, %error, "no certificate");
            None
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.changes == changes {
            known.names.insert(name.to_string(), (found.clone(), Instant::now()));
        }
        found
    }
}

impl Certificates for Cabinet {
    fn of(&self, names: &BTreeSet<String>) -> Vec<Certificate> {
        self.issuer.note_served(names);
        names.iter().filter_map(|name| Some(self.look(name)?.of(name))).collect()
    }

    fn challenges(&self, names: &BTreeSet<String>) -> BTreeMap<String, Challenge> {
        self.issuer.challenges(names)
    }
}

/// Moment at which a certificate of the own authority is replaced, by its end.
pub(crate) fn house_renews_at(until_s: u64) -> u64 {
    until_s.saturating_sub(RENEW_DAYS * DAY_SECONDS)
}

/// Returns true for a name of a local network, for which the own authority may speak.
fn is_of_house(name: &str) -> bool {
    ENDINGS.iter().any(|ending| name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.')))
}

/// Returns true for a name or a pattern that an authority may be asked about: of the Internet.
pub(crate) fn is_public(name: &str) -> bool {
    let domain = name.strip_prefix("*.").unwrap_or(name);
    let last = domain.rsplit('.').next().unwrap_or_default();
    let is_address = last.is_empty() || last.bytes().all(|byte| byte.is_ascii_digit()) || domain.starts_with('[');
    domain.contains('.') && !is_address && !is_of_house(domain)
}

/// Writes a file that root and one group can read, whole or not at all.
fn write_for(path: &Path, text: &str, gid: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_os_string();
    beside.push(".new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    std::os::unix::fs::fchown(&file, Some(0), Some(gid))?;
    file.set_permissions(fs::Permissions::from_mode(0o640))?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::machine_clock;
    use crate::secrets::Vault;

    fn opened(folder: &Path, kept: Option<&Document>) -> Cabinet {
        let vault = Arc::new(Vault::open(folder).unwrap());
        let issuer = Arc::new(Issuer::open(folder, vault, machine_clock()).unwrap());
        Cabinet::open((folder, &folder.join("run")), 60_706, "kitchen".into(), kept, issuer).unwrap()
    }

    fn names(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_of_the_house_get_certificates_that_stay() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: files of another group need root");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let open = |kept: Option<&Document>| opened(folder.path(), kept);
        let cabinet = open(None);
        let first = cabinet.of(&names(&["shop.lan", "shop.example.org"]));
        assert_eq!(
            first.iter().map(|one| one.names.join(",")).collect::<Vec<_>>(),
            ["shop.lan"],
            "nobody vouches for a public name"
        );
        assert!(tls::load(&first).is_ok());
        let mode = fs::metadata(&first[0].key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        // The next agent serves the same files, under the same root.
        let root = cabinet.root().unwrap();
        let cabinet = open(None);
        assert_eq!((cabinet.of(&names(&["shop.lan"])), cabinet.root().unwrap()), (first.clone(), root));
        // A person's own is taken in its place; one that does not fit is not.
        let other =
            openmesh_door::authority::Authority::open(folder.path(), "other", SystemTime::now(), &free()).unwrap();
        let given = other.issue(&["shop.lan".to_string()], SystemTime::now()).unwrap();
        let wrong = other.issue(&["shop.lan".to_string()], SystemTime::now()).unwrap();
        assert!(cabinet.give("shop.lan", &given.chain, &wrong.key).is_err());
        assert!(cabinet.give("Shop.lan", &given.chain, &given.key).is_err());
        assert_eq!(cabinet.of(&names(&["shop.lan"])), first);
        cabinet.give("shop.lan", &given.chain, &given.key).unwrap();
        let second = cabinet.of(&names(&["shop.lan"]));
        assert_ne!(second, first, "another content has another path");
        assert_eq!(fs::read_to_string(&second[0].chain).unwrap(), given.chain);
        // A door that keeps a document with the old files finds them as long as it keeps it.
        let kept = Document { certificates: first.clone(), ..Document::empty() };
        drop(open(Some(&kept)));
        assert!(first[0].key.exists());
        let cabinet = open(None);
        assert!(!first[0].key.exists() && second[0].key.exists());
        cabinet.forget("shop.lan").unwrap();
        assert!(cabinet.forget("shop.lan").is_err());
        assert_ne!(cabinet.of(&names(&["shop.lan"])), second);
    }

    #[test]
    fn a_certificate_for_a_pattern_serves_its_names_and_a_damaged_one_nobody() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: files of another group need root");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let cabinet = opened(folder.path(), None);
        let other = folder.path().join("other");
        fs::create_dir_all(&other).unwrap();
        let other = openmesh_door::authority::Authority::open(&other, "other", SystemTime::now(), &free()).unwrap();
        let given = other.issue(&["*.home.lan".to_string()], SystemTime::now()).unwrap();
        let all = names(&["a.home.lan", "b.home.lan", "home.lan"]);
        let chains =
            || -> Vec<String> { cabinet.of(&all).iter().map(|one| fs::read_to_string(&one.chain).unwrap()).collect() };
        let before = chains();
        assert_eq!(before.len(), 3);
        // It is stronger than those that the own authority has made.
        cabinet.give("*.home.lan", &given.chain, &given.key).unwrap();
        assert_eq!(chains(), [given.chain.clone(), given.chain.clone(), before[2].clone()]);
        assert_eq!(cabinet.of(&all)[1].names, ["b.home.lan"]);
        // A file that somebody has damaged is none: the door would refuse the whole document for it.
        let damaged = cabinet.of(&all)[0].key.clone();
        fs::write(&damaged, "no key").unwrap();
        let cabinet = opened(folder.path(), None);
        assert!(cabinet.of(&all).iter().all(|one| one.key != damaged && tls::load(std::slice::from_ref(one)).is_ok()));
        assert_eq!(cabinet.of(&all).len(), 3);
    }
}
