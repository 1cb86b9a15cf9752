//! Certificates that an authority has issued to this machine, its accounts and open orders: on disk in one file, every secret in it sealed.
//!
//! `acme.json` is replaced as a whole. What cannot be opened with the machine's key (it came from another machine) is forgotten and ordered anew. The door
//! gets keys in the open by files of the run folder, which lies in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use openmesh_door::document::Challenge;
use openmesh_xnode::marks;

use super::kept::{Book, Entry, Issued, ORDERS_KEPT, Open};
use crate::error::AgentError;
use crate::secrets::Vault;

/// The file.
const FILE: &str = "acme.json";

/// A certificate with its key in the open.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// Chain as PEM.
    pub chain: String,
    /// Key as PEM.
    pub key: String,
    /// End of its life, seconds since 1970.
    pub until_s: u64,
}

/// The moment, seconds since 1970.
pub type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// The clock of the machine.
pub fn machine_clock() -> Clock {
    Box::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// Certificates by ACME of an agent.
pub struct Issuer {
    file: PathBuf,
    vault: Arc<Vault>,
    clock: Clock,
    book: Mutex<Book>,
    /// Proofs that the door shows, by host name: as long as this process waits for an authority.
    challenges: Mutex<BTreeMap<String, Challenge>>,
    /// Names that the door serves; none before it was told its first document by this process.
    served: Mutex<Option<BTreeSet<String>>>,
    changed: tokio::sync::Notify,
    /// Held as long as an account is made.
    making: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Opens the file of a state folder.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(state: &Path, vault: Arc<Vault>, clock: Clock) -> Result<Issuer, AgentError> {
        let file = state.join(FILE);
        let mut book: Book = match fs::read(&file) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => Book::default(),
            bytes => {
                let bytes = bytes.map_err(AgentError::file("reading", &file))?;
                let damaged =
                    |cause: serde_json::Error| AgentError::Damaged { path: file.clone(), words: cause.to_string() };
                serde_json::from_slice(&bytes).map_err(damaged)?
            }
        };
        forget_foreign(&mut book, &vault, &file);
        Ok(Issuer {
            file,
            vault,
            clock,
            book: Mutex::new(book),
            challenges: Mutex::default(),
            served: Mutex::default(),
            changed: tokio::sync::Notify::new(),
            making: tokio::sync::Mutex::default(),
        })
    }

    /// The moment, seconds since 1970.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Everything that is kept.
    pub fn book(&self) -> Book {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is kept, and writes it.
    ///
    /// # Errors
    /// It cannot be written; then nothing has changed.
    pub fn change(&self, change: impl FnOnce(&mut Book)) -> Result<(), AgentError> {
        let mut book = self.lock();
        let mut next = book.clone();
        change(&mut next);
        let bytes = serde_json::to_vec(&next).unwrap_or_default();
        marks::replace(&self.file, &bytes).map_err(AgentError::file("writing", &self.file))?;
        *book = next;
        Ok(())
    }

    /// Notes an order before it is asked for: a death in between counts it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_order(&self, name: &str) -> Result<(), AgentError> {
        let now = self.now();
        self.change(|book| {
            let entry = book.names.entry(name.to_string()).or_default();
            entry.orders.push(now);
            let surplus = entry.orders.len().saturating_sub(ORDERS_KEPT);
            entry.orders.drain(..surplus);
        })
    }

    /// Notes an open order.
    ///
    /// # Errors
    /// It cannot be sealed or written.
    pub fn note_open(&self, name: &str, directory: &str, url: &str, key: &str) -> Result<(), AgentError> {
        let key = self.vault.seal(&of_key(name), key.as_bytes())?;
        let open = Open { directory: directory.into(), url: url.into(), key, at_s: self.now() };
        self.change(|book| book.names.entry(name.to_string()).or_default().open = Some(open))
    }

    /// Notes a value of a name's record in the DNS, before it is set, with the moment from which it is taken out; none where it is gone.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn note_record(&self, name: &str, value: &str, out_s: Option<u64>) -> Result<(), AgentError> {
        self.change(|book| {
            let records = &mut book.names.entry(name.to_string()).or_default().records;
            match out_s {
                Some(out_s) => records.insert(value.to_string(), out_s),
                None => records.remove(value),
            };
        })
    }

    /// Address and key of an open order.
    pub fn open_order(&self, name: &str) -> Option<(String, String)> {
        let open = self.lock().names.get(name)?.open.clone()?;
        let key = self.vault.unseal(&of_key(name), &open.key)?;
        Some((open.url, String::from_utf8(key).ok()?))
    }

    /// Credentials of the account at an authority.
    pub fn account(&self, directory: &str) -> Option<Vec<u8>> {
        let sealed = self.lock().accounts.get(directory)?.clone();
        self.vault.unseal(&of_account(directory), &sealed)
    }

    /// Keeps the credentials of an account.
    ///
    /// # Errors
    /// They cannot be sealed or written.
    pub fn keep_account(&self, directory: &str, credentials: &[u8]) -> Result<(), AgentError> {
        let sealed = self.vault.seal(&of_account(directory), credentials)?;
        self.change(|book| drop(book.accounts.insert(directory.to_string(), sealed)))
    }

    /// Keeps a certificate whose key is given in the open, and closes its order.
    ///
    /// # Errors
    /// It cannot be sealed or written.
    pub fn keep_issued(&self, name: &str, key: &str, issued: Issued) -> Result<(), AgentError> {
        let key = self.vault.seal(&of_key(name), key.as_bytes())?;
        self.change(|book| {
            book.pauses.remove(&issued.directory);
            let entry = book.names.entry(name.to_string()).or_default();
            entry.issued = Some(Issued { key, ..issued });
            (entry.open, entry.failure) = (None, None);
        })?;
        self.changed.notify_one();
        Ok(())
    }

    /// The certificate of a name; none where no authority has issued one.
    pub fn find(&self, name: &str) -> Option<Opened> {
        let issued = self.lock().names.get(name)?.issued.clone()?;
        let key = self.vault.unseal(&of_key(name), &issued.key)?;
        Some(Opened { chain: issued.chain, key: String::from_utf8(key).ok()?, until_s: issued.until_s })
    }

    /// Everything that is kept of a name.
    pub fn entry(&self, name: &str) -> Option<Entry> {
        self.lock().names.get(name).cloned()
    }

    /// Names with certificates.
    pub fn names(&self) -> Vec<String> {
        self.lock().names.iter().filter(|(_, entry)| entry.issued.is_some()).map(|(name, _)| name.clone()).collect()
    }

    /// Lets the door show a proof for a name from its next document on; none takes it away.
    pub fn prove(&self, name: &str, challenge: Option<Challenge>) {
        let mut challenges = self.challenges.lock().unwrap_or_else(PoisonError::into_inner);
        match challenge {
            Some(challenge) => drop(challenges.insert(name.to_string(), challenge)),
            None => drop(challenges.remove(name)),
        }
    }

    /// Proofs that the door is to show.
    pub fn challenges(&self, names: &BTreeSet<String>) -> BTreeMap<String, Challenge> {
        let challenges = self.challenges.lock().unwrap_or_else(PoisonError::into_inner);
        challenges
            .iter()
            .filter(|(name, _)| names.contains(*name))
            .map(|(name, one)| (name.clone(), one.clone()))
            .collect()
    }

    /// Notes the names that the door serves.
    pub fn note_served(&self, names: &BTreeSet<String>) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if served.as_ref() != Some(names) {
            *served = Some(names.clone());
            self.changed.notify_one();
        }
    }

    /// Names that the door serves.
    pub fn served(&self) -> Option<BTreeSet<String>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets one order make an account, and those beside it wait for that.
    pub async fn make_account(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.making.lock().await
    }

    /// Notified where there may be something to do.
    pub fn changed(&self) -> &tokio::sync::Notify {
        &self.changed
    }
}

fn of_key(name: &str) -> String {
    format!("key of {name}")
}

fn of_account(directory: &str) -> String {
    format!("account at {directory}")
}

/// Forgets what was sealed with another key.
fn forget_foreign(book: &mut Book, vault: &Vault, file: &Path) {
    let before = book.clone();
    book.accounts.retain(|directory, sealed| vault.unseal(&of_account(directory), sealed).is_some());
    for (name, entry) in &mut book.names {
        let opens = |sealed: &str| vault.unseal(&of_key(name), sealed).is_some();
        entry.issued = entry.issued.take().filter(|issued| opens(&issued.key));
        entry.open = entry.open.take().filter(|open| opens(&open.key));
    }
    if *book != before {
        tracing::warn!(file = %file.display(), "certificates or accounts were sealed with another key; they are ordered anew");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(folder: &Path) -> Issuer {
        Issuer::open(folder, Arc::new(Vault::open(folder).unwrap()), Box::new(|| 1_000)).unwrap()
    }

    #[test]
    fn secrets_are_sealed_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let one = issuer(folder.path());
        one.keep_account("https://ca.example/dir", b"an account").unwrap();
        (0..9).for_each(|_| one.note_order("a.example.org").unwrap());
        one.note_open("a.example.org", "https://ca.example/dir", "https://ca.example/o/1", "a key").unwrap();
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(!text.contains("an account") && !text.contains("a key"), "{text}");
        let again = issuer(folder.path());
        assert_eq!(again.account("https://ca.example/dir").unwrap(), b"an account");
        assert_eq!(again.open_order("a.example.org").unwrap().1, "a key");
        assert_eq!(again.book().names["a.example.org"].orders.len(), ORDERS_KEPT);
        let issued = Issued {
            directory: "https://ca.example/dir".into(),
            chain: "a chain".into(),
            key: String::new(),
            from_s: 1,
            until_s: 2,
            at_s: 1,
            window: None,
            asked: None,
        };
        again.keep_issued("a.example.org", "a key", issued).unwrap();
        assert_eq!(again.open_order("a.example.org"), None);
        assert!(again.find("a.example.org").is_some_and(|found| found.key == "a key" && found.chain == "a chain"));
        // A key under another name is none, and one of another machine neither.
        again
            .change(|book| {
                let entry = book.names["a.example.org"].clone();
                book.names.insert("b.example.org".into(), entry);
            })
            .unwrap();
        assert!(again.find("b.example.org").is_none());
        fs::remove_file(folder.path().join("secrets.key")).unwrap();
        let other = issuer(folder.path());
        assert!(other.account("https://ca.example/dir").is_none() && other.names().is_empty());
    }
}
