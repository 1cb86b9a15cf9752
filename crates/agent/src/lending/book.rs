//! Keys and loans as they are kept, and what people change of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openmesh_backup::{NodeKey, NodePublicKey};
use openmesh_blueprint::document::Name;
use openmesh_lender::limits::{HELD_DAYS_MAX, KEYS_MAX, LOANS_MAX};
use openmesh_lender::loans::{BringBack, Loan, Standing};
use openmesh_lender::report::Report;
use openmesh_primitives::Timestamp;
use openmesh_xnode::marks;
use serde::{Deserialize, Serialize};

use super::error::LendingError;
use super::report;
use super::views::{self, LoanStanding};
use crate::error::AgentError;
use crate::programs;
use crate::settings::Settings;

/// Days for which removed objects are withheld where a person names none: a stolen machine is noticed within some days.
const HELD_DAYS: u32 = 14;
/// File with the lender's secret key.
pub(super) const LENDER_KEY: &str = "lender.key";
/// Mode of the folder: others pass through it, and see nothing of it.
const PASSABLE: u32 = 0o711;
/// Smallest room of a loan, bytes: less holds no backup.
const ROOM_BYTES_MIN: u64 = 1 << 20;

/// A loan as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// The loan.
    pub loan: Loan,
    /// Whoever gave it last.
    pub by: String,
    /// Moment at which it was given last.
    pub at: Timestamp,
}

/// All loans by name.
pub(super) type Book = BTreeMap<String, Kept>;

/// A wish of a person about a loan.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// It is given, or changed.
    Give(views::LoanWish),
    /// It ends: the guest reads, and nothing changes.
    End,
    /// Objects that the guest removed in the last days come back.
    BringBack(u32),
    /// Its objects go.
    Forget,
}

/// Room for the backups of other machines.
pub(crate) struct Lending {
    pub(super) folder: PathBuf,
    pub(super) run_folder: PathBuf,
    /// Folder of guests' objects.
    pub(super) guests: PathBuf,
    pub(super) listen: Option<SocketAddr>,
    /// None where there is no program.
    pub(super) program: Option<PathBuf>,
    /// Folder with the notes of users.
    pub(super) state: PathBuf,
    pub(super) first_id: u32,
    settings_file: String,
    guest: NodeKey,
    lender: NodeKey,
    /// Cause for which the lender does not run.
    failure: Mutex<Option<String>>,
    changes: Mutex<()>,
    woken: Mutex<bool>,
    wake: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lending {
    /// Opens the folder of an agent's loans, and makes its keys where there are none. `programs` is the folder into which programs are copied, `first_id` the
    /// first id of the agent's instances.
    ///
    /// # Errors
    /// A key cannot be read or made, or the program cannot be copied.
    pub fn open(settings: &Settings, programs: &Path, first_id: u32) -> Result<Lending, AgentError> {
        let folder = settings.state.join("lending");
        fs::create_dir_all(&folder).map_err(AgentError::file("making", &folder))?;
        // The lender's user finds its own folders through it, also where root's mask gives others nothing.
        let passable = fs::set_permissions(&folder, Permissions::from_mode(PASSABLE));
        passable.map_err(AgentError::file("setting the mode of", &folder))?;
        Ok(Lending {
            guest: key(&folder.join("guest.key"))?,
            lender: key(&folder.join(LENDER_KEY))?,
            run_folder: settings.run.join("lending"),
            guests: settings.lend.folder.clone().unwrap_or_else(|| folder.join("guests")),
            listen: settings.lend.listen,
            program: programs::install_lender(&settings.programs, programs)?,
            state: settings.state.clone(),
            first_id,
            settings_file: settings.file().display().to_string(),
            folder,
            failure: Mutex::default(),
            changes: Mutex::default(),
            woken: Mutex::default(),
            wake: Condvar::new(),
        })
    }

    /// The key by which this machine is known where it stores.
    pub fn guest_key(&self) -> &NodeKey {
        &self.guest
    }

    /// The key by which this machine is known where it lends.
    pub fn lender_key(&self) -> NodePublicKey {
        self.lender.public()
    }

    /// File of the lender's report.
    pub(super) fn report_file(&self) -> PathBuf {
        self.run_folder.join("report.json")
    }

    fn book_file(&self) -> PathBuf {
        self.folder.join("book.json")
    }

    /// The loans.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn book(&self) -> Result<Book, AgentError> {
        Ok(marks::read(&self.book_file())?)
    }

    /// Changes a loan as a person wishes, and says what was done.
    ///
    /// # Errors
    /// The wish cannot be, or the loans cannot be written: then nothing has changed.
    pub fn change(&self, name: &Name, wish: &Wish, by: &str) -> Result<String, AgentError> {
        let _changes = lock(&self.changes);
        let mut book = self.book()?;
        let text = match wish {
            Wish::Give(wish) => self.give(&mut book, name, wish, by)?,
            other => {
                let known = known(&book);
                let kept = book.get_mut(name.as_str());
                let kept = kept.ok_or(LendingError::NoLoan { name: name.to_string(), known })?;
                self.change_one(name, kept, other, by)?
            }
        };
        self.write(&book)?;
        self.look_now();
        Ok(text)
    }

    fn write(&self, book: &Book) -> Result<(), AgentError> {
        let path = self.book_file();
        let bytes = serde_json::to_vec(book).unwrap_or_default();
        marks::replace(&path, &bytes).map_err(AgentError::file("writing", &path))
    }

    /// The lack for which nothing can be lent; none where all is there.
    pub(super) fn lack(&self) -> Option<LendingError> {
        match (self.listen, &self.program) {
            (None, _) => Some(LendingError::NoAddress { file: self.settings_file.clone() }),
            (_, None) => Some(LendingError::NoProgram { program: programs::LENDER }),
            _ => None,
        }
    }

    /// Notes the cause for which the lender does not run, or that there is none.
    pub(super) fn note_failure(&self, cause: Option<String>) {
        *lock(&self.failure) = cause;
    }

    fn give(&self, book: &mut Book, name: &Name, wish: &views::LoanWish, by: &str) -> Result<String, LendingError> {
        if let Some(lack) = self.lack() {
            return Err(lack);
        }
        let held_days = wish.held_days.unwrap_or(HELD_DAYS);
        check(wish, held_days)?;
        let keys = self.keys(book, name, &wish.keys)?;
        let readers = self.keys(book, name, &wish.readers)?;
        if let Some(both) = keys.intersection(&readers).next() {
            return Err(LendingError::Value(format!("{both} stands among the guest's keys and among the owner's")));
        }
        let before = book.get(name.as_str());
        if before.is_some_and(|kept| kept.loan.standing == Standing::Forgotten) {
            return Err(LendingError::Going { name: name.to_string() });
        }
        if before.is_none() && book.len() >= LOANS_MAX {
            return Err(LendingError::Value(format!("there are {LOANS_MAX} loans, and no more are kept")));
        }
        let bring_back = before.and_then(|kept| kept.loan.bring_back);
        let (room_bytes, until, standing) = (wish.room_bytes, wish.until, Standing::Lent);
        let (count, mebibytes) = (keys.len(), room_bytes >> 20);
        let loan = Loan { keys, readers, room_bytes, until, held_days, standing, bring_back };
        book.insert(name.to_string(), Kept { loan, by: by.into(), at: Timestamp::now() });
        let end = until.map(|until| format!(" until {}", until.to_rfc3339())).unwrap_or_default();
        Ok(format!(
            "{by} lends {mebibytes} MiB to `{name}` ({count} keys){end}; what it removes is withheld for {held_days} days"
        ))
    }

    /// Keys of a wish, each of which no other loan has.
    fn keys(&self, book: &Book, name: &Name, texts: &[String]) -> Result<BTreeSet<String>, LendingError> {
        let mut keys = BTreeSet::new();
        for text in texts {
            let key = text.trim().parse::<NodePublicKey>();
            let key = key.map_err(|cause| LendingError::Value(format!("`{text}` is {cause}")))?;
            if key == self.guest.public() {
                let words = format!("{key} is this machine's own key; a backup beside what it is of is lost with it");
                return Err(LendingError::Value(words));
            }
            let text = key.to_string();
            let has = |loan: &Loan| loan.keys.contains(&text) || loan.readers.contains(&text);
            let other = book.iter().find(|(other, kept)| *other != name.as_str() && has(&kept.loan));
            if let Some((other, _)) = other {
                return Err(LendingError::KeyTaken { key: text, name: other.clone() });
            }
            keys.insert(text);
        }
        Ok(keys)
    }

    fn change_one(&self, name: &Name, kept: &mut Kept, wish: &Wish, by: &str) -> Result<String, LendingError> {
        let standing = kept.loan.standing;
        match wish {
            Wish::BringBack(days) if standing != Standing::Forgotten => {
                if !(1..=HELD_DAYS_MAX + 1).contains(days) {
                    return Err(LendingError::Value(format!("1 to {} days can be meant", HELD_DAYS_MAX + 1)));
                }
                // Above every order that was done, also where this book was lost in between.
                let done = self.report().and_then(|report| report.loans.get(name.as_str()).map(|loan| loan.brought));
                let last = kept.loan.bring_back.map_or(0, |order| order.number).max(done.unwrap_or(0));
                kept.loan.bring_back = Some(BringBack { number: last.saturating_add(1), days: *days });
                Ok(format!("{by} brings back what the guest of `{name}` removed in the last {days} days"))
            }
            Wish::End if standing == Standing::Lent => {
                kept.loan.standing = Standing::Ended;
                Ok(format!("{by} ended the loan `{name}`: its guest reads, and stores and removes nothing"))
            }
            Wish::End => Ok(format!("the loan `{name}` had ended")),
            Wish::Forget if standing == Standing::Lent => Err(LendingError::Lent { name: name.to_string() }),
            Wish::Forget => {
                kept.loan.standing = Standing::Forgotten;
                Ok(format!("{by} removes the loan `{name}` with all backups of its guest"))
            }
            Wish::BringBack(_) | Wish::Give(_) => Err(LendingError::Going { name: name.to_string() }),
        }
    }

    /// Takes loans out of the book whose objects are gone, and returns their names.
    ///
    /// # Errors
    /// The loans cannot be read or written.
    pub(super) fn drop_gone(&self, report: &Report) -> Result<Vec<String>, AgentError> {
        let _changes = lock(&self.changes);
        let mut book = self.book()?;
        let is_gone = |name: &String, kept: &Kept| {
            kept.loan.standing == Standing::Forgotten && report.loans.get(name).is_some_and(|loan| loan.forgotten)
        };
        let gone: Vec<String> =
            book.iter().filter(|(name, kept)| is_gone(name, kept)).map(|(name, _)| name.clone()).collect();
        if !gone.is_empty() {
            book.retain(|name, _| !gone.contains(name));
            self.write(&book)?;
        }
        Ok(gone)
    }

    /// State of the lender; none where it does not run, or has said nothing yet.
    pub fn report(&self) -> Option<Report> {
        report::read(&self.report_file())
    }

    /// Everything about loans.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn view(&self) -> Result<views::Lending, AgentError> {
        let (book, now) = (self.book()?, Timestamp::now());
        let report = self.report().unwrap_or_default();
        let lives = report::lives(&self.folder);
        // What is lent to nobody needs no lender.
        let failure = lock(&self.failure).clone().filter(|_| !book.is_empty());
        let disk = rustix::fs::statvfs(&self.guests).or_else(|_| rustix::fs::statvfs(&self.folder));
        Ok(views::Lending {
            key: self.lender.public().to_string(),
            listens: if lives { report.listens.clone() } else { Vec::new() },
            troubles: if lives { report.troubles.clone() } else { failure.into_iter().collect() },
            shut: lives.then_some(report.landlock),
            disk_free_bytes: disk.ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            loans: book.iter().map(|(name, kept)| loan_view(name, kept, &report, now)).collect(),
        })
    }

    /// Lets the lender be looked after without delay.
    pub fn look_now(&self) {
        *lock(&self.woken) = true;
        self.wake.notify_all();
    }

    /// Waits until somebody wakes it, or the time is over.
    pub(super) fn sleep(&self, limit: Duration) {
        let mut woken = lock(&self.woken);
        if !*woken {
            woken = self.wake.wait_timeout(woken, limit).unwrap_or_else(PoisonError::into_inner).0;
        }
        *woken = false;
    }
}

/// Names of the loans, for people.
fn known(book: &Book) -> String {
    let names: Vec<&str> = book.keys().map(String::as_str).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Holds a wish against the bounds of loans.
fn check(wish: &views::LoanWish, held_days: u32) -> Result<(), LendingError> {
    if !(1..=KEYS_MAX).contains(&wish.keys.len()) || wish.readers.len() > KEYS_MAX {
        let (keys, readers) = (wish.keys.len(), wish.readers.len());
        let words = format!(
            "a loan has 1 to {KEYS_MAX} keys of a guest and at most {KEYS_MAX} of its owner, and this one {keys} and {readers}"
        );
        return Err(LendingError::Value(words));
    }
    if wish.room_bytes < ROOM_BYTES_MIN {
        return Err(LendingError::Value(format!("a loan has at least {ROOM_BYTES_MIN} bytes, less hold no backup")));
    }
    if held_days > HELD_DAYS_MAX {
        return Err(LendingError::Value(format!("removed objects are withheld for at most {HELD_DAYS_MAX} days")));
    }
    Ok(())
}

fn loan_view(name: &str, kept: &Kept, report: &Report, now: Timestamp) -> views::Loan {
    let loan = &kept.loan;
    let told = report.loans.get(name).cloned().unwrap_or_default();
    let standing = match loan.standing {
        Standing::Lent if loan.rights(now).stores => LoanStanding::Lent,
        Standing::Lent => LoanStanding::Over,
        Standing::Ended => LoanStanding::Ended,
        Standing::Forgotten => LoanStanding::Going,
    };
    views::Loan {
        name: name.into(),
        keys: loan.keys.iter().cloned().collect(),
        readers: loan.readers.iter().cloned().collect(),
        room_bytes: loan.room_bytes,
        used_bytes: told.used_bytes,
        held_bytes: told.held_bytes,
        objects: told.objects,
        until: loan.until,
        held_days: loan.held_days,
        standing,
        connections: told.connections,
        seen: told.seen,
        trouble: told.trouble,
        brings_back: loan.bring_back.is_some_and(|order| order.number > told.brought),
        by: kept.by.clone(),
        at: kept.at,
    }
}

/// A key in a file of root; made where there is none.
fn key(path: &Path) -> Result<NodeKey, AgentError> {
    match fs::read_to_string(path) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| AgentError::Damaged { path: path.into(), words: "it holds no key of a machine".into() }),
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            let key = NodeKey::generate()?;
            let text = format!("{}\n", key.secret_text());
            marks::replace(path, text.as_bytes()).map_err(AgentError::file("writing", path))?;
            Ok(key)
        }
        Err(cause) => Err(AgentError::file("reading", path)(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lending(folder: &Path) -> Lending {
        let usual = Settings::usual("test".parse().unwrap()).unwrap();
        let mut settings = Settings { state: folder.join("state"), run: folder.join("run"), ..usual };
        settings.lend.listen = Some("127.0.0.1:0".parse().unwrap());
        let opened = Lending::open(&settings, &folder.join("programs"), 0).unwrap();
        Lending { program: Some("/nowhere".into()), ..opened }
    }

    fn wish(keys: &[&str]) -> Wish {
        let keys = keys.iter().map(ToString::to_string).collect();
        Wish::Give(views::LoanWish { keys, readers: Vec::new(), room_bytes: 1 << 30, until: None, held_days: None })
    }

    #[test]
    fn loans_are_given_ended_and_forgotten_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let lending = lending(folder.path());
        let (ann, bob): (Name, Name) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        let key = NodeKey::from_seed([1; 32]).public().to_string();
        let code = |done: Result<String, AgentError>| done.unwrap_err().code().0;
        assert_eq!(code(lending.change(&ann, &Wish::End, "root")), "no_loan");
        lending.change(&ann, &wish(&[key.as_str()]), "root").unwrap();
        assert_eq!(code(lending.change(&bob, &wish(&[key.as_str()]), "root")), "key_taken");
        assert_eq!(code(lending.change(&bob, &wish(&["ab"]), "root")), "value");
        assert_eq!(code(lending.change(&bob, &wish(&[]), "root")), "value");
        let own = lending.guest_key().public().to_string();
        assert_eq!(code(lending.change(&bob, &wish(&[own.as_str()]), "root")), "value");
        assert_eq!(code(lending.change(&ann, &Wish::Forget, "root")), "loan_lent");
        lending.change(&ann, &Wish::BringBack(3), "root").unwrap();
        lending.change(&ann, &wish(&[key.as_str()]), "mia").unwrap();
        let view = lending.view().unwrap();
        let one = &view.loans[0];
        assert_eq!((one.name.as_str(), one.standing, one.by.as_str()), ("ann", LoanStanding::Lent, "mia"));
        assert!(one.brings_back && one.held_days == HELD_DAYS, "an order outlives a change");
        lending.change(&ann, &Wish::End, "root").unwrap();
        lending.change(&ann, &Wish::Forget, "root").unwrap();
        assert_eq!(code(lending.change(&ann, &wish(&[key.as_str()]), "root")), "loan_goes");
        let mut report = Report::default();
        assert_eq!(lending.drop_gone(&report).unwrap(), Vec::<String>::new());
        report.loans.entry("ann".into()).or_default().forgotten = true;
        assert_eq!(lending.drop_gone(&report).unwrap(), ["ann"]);
        assert!(lending.view().unwrap().loans.is_empty());
    }

    #[test]
    fn an_owner_reads_one_loan_and_is_no_guest() {
        let folder = tempfile::tempdir().unwrap();
        let lending = lending(folder.path());
        let (ann, bob): (Name, Name) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        let key = |number: u8| NodeKey::from_seed([number; 32]).public().to_string();
        let give = |name: &Name, guest: u8, owner: &str| {
            let (keys, readers) = (vec![key(guest)], vec![owner.to_string()]);
            let wish = views::LoanWish { keys, readers, room_bytes: 1 << 30, until: None, held_days: None };
            lending.change(name, &Wish::Give(wish), "root").map_err(|error| error.code().0)
        };
        assert_eq!(give(&ann, 1, &key(1)), Err("value"));
        assert_eq!(give(&ann, 1, "ab"), Err("value"));
        give(&ann, 1, &key(9)).unwrap();
        assert_eq!(lending.view().unwrap().loans[0].readers, [key(9)]);
        // The same key would lead to two loans, and nobody could tell to which one.
        assert_eq!(give(&bob, 2, &key(9)), Err("key_taken"));
        assert_eq!(give(&bob, 9, &key(8)), Err("key_taken"));
        give(&bob, 2, &key(8)).unwrap();
        give(&ann, 1, &key(9)).unwrap();
    }

    #[test]
    fn a_lender_that_does_not_run_is_a_trouble_where_something_is_lent() {
        let folder = tempfile::tempdir().unwrap();
        let lending = lending(folder.path());
        lending.note_failure(Some("its disk is not mounted".into()));
        assert_eq!(lending.view().unwrap().troubles, Vec::<String>::new());
        let key = NodeKey::from_seed([1; 32]).public().to_string();
        lending.change(&"ann".parse().unwrap(), &wish(&[key.as_str()]), "root").unwrap();
        assert_eq!(lending.view().unwrap().troubles, ["its disk is not mounted"]);
        lending.note_failure(None);
        assert_eq!(lending.view().unwrap().troubles, Vec::<String>::new());
    }

    #[test]
    fn keys_stay_and_are_two() {
        let folder = tempfile::tempdir().unwrap();
        let (one, again) = (lending(folder.path()), lending(folder.path()));
        assert_eq!((one.lender_key(), one.guest_key().public()), (again.lender_key(), again.guest_key().public()));
        assert_ne!(one.lender_key(), one.guest_key().public());
        std::fs::write(folder.path().join("state/lending/guest.key"), "x").unwrap();
        assert!(matches!(key(&folder.path().join("state/lending/guest.key")), Err(AgentError::Damaged { .. })));
    }

    #[test]
    fn nothing_is_lent_without_an_address_or_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let key = NodeKey::from_seed([1; 32]).public().to_string();
        let name: Name = "ann".parse().unwrap();
        let without = [
            Lending { listen: None, ..lending(&folder.path().join("a")) },
            Lending { program: None, ..lending(&folder.path().join("b")) },
        ];
        for lending in without {
            assert_eq!(lending.change(&name, &wish(&[key.as_str()]), "root").unwrap_err().code(), ("no_lender", 409));
        }
    }
}
