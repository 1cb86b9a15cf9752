//! A lender's state: loans, their objects, the crowd, the days; and its care (B-74, B-77, B-79).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use openmesh_backup::peer::line::Lender;
use openmesh_backup::{NodePublicKey, Refusal};
use openmesh_primitives::Timestamp;

use crate::crowd::Crowd;
use crate::days::Days;
use crate::effects::Effects;
use crate::limits::SLICE;
use crate::loans::{Found, Loan, Loans, Rights, Standing, is_name};
use crate::report::LoanReport;
use crate::vault::{Vault, held_days};

/// Memory of a loan, until the lender ends.
#[derive(Clone, Debug, Default)]
struct Seen {
    at: Option<Timestamp>,
    brought_objects: u64,
    trouble: Option<String>,
}

/// The state of a lender.
pub struct House {
    folder: PathBuf,
    /// The lender's side of the greeting.
    pub tls: Lender,
    effects: Effects,
    loans: RwLock<Arc<Loans>>,
    vaults: Mutex<BTreeMap<String, Arc<Vault>>>,
    /// Bytes that guests have announced and that have not come to their end.
    coming: Arc<AtomicU64>,
    days: Mutex<Days>,
    /// Places for connections.
    pub crowd: Crowd,
    seen: Mutex<BTreeMap<String, Seen>>,
    leaves: AtomicBool,
    busy: AtomicU64,
}

/// A request that is under way, until it is dropped.
pub struct Busy<'h>(&'h House);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A guest with its rights.
pub struct Guest {
    /// Name of its loan.
    pub name: String,
    /// Terms of it.
    pub loan: Loan,
    /// It is the guest's owner, who reads alone (B-83).
    pub reads_only: bool,
    /// Its objects.
    pub vault: Arc<Vault>,
    /// Free disk that stays for the machine itself, bytes.
    pub reserve_bytes: u64,
}

impl Guest {
    /// Its rights at a moment.
    pub fn rights(&self, now: Timestamp) -> Rights {
        if self.reads_only { Rights { stores: false, removes: false } } else { self.loan.rights(now) }
    }

    /// The refusal of what it has no right to.
    pub fn refusal(&self) -> Refusal {
        if self.reads_only { Refusal::Reader } else { Refusal::Over }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl House {
    /// Opens a lender that lends nothing yet: with the folder of all guests, its side of the greeting, and the file with its days.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn open(folder: &Path, tls: Lender, days: &Path, effects: Effects) -> io::Result<House> {
        let mut least = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A disk of its own has a folder of root, which nobody else reads, for what a check of the file system finds.
            if entry.file_name().to_str().is_some_and(is_name) && entry.file_type()?.is_dir() {
                least = held_days(&entry.path())?.last().map_or(least, |day| least.max(*day));
            }
        }
        Ok(House {
            folder: folder.into(),
            tls,
            effects,
            loans: RwLock::default(),
            vaults: Mutex::default(),
            coming: Arc::default(),
            days: Mutex::new(Days::open(days.into(), least)),
            crowd: Crowd::default(),
            seen: Mutex::default(),
            leaves: AtomicBool::new(false),
            busy: AtomicU64::new(0),
        })
    }

    /// The loans as they are at present.
    pub fn loans(&self) -> Arc<Loans> {
        self.loans.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes other loans. Whatever is new in them is opened and counted before a guest asks for it.
    pub fn configure(&self, loans: Loans) {
        for (name, _) in loans.loans.iter().filter(|(_, loan)| loan.standing != Standing::Forgotten) {
            if lock(&self.vaults).contains_key(name) {
                continue;
            }
            let opened = self.open_vault(name);
            self.note(name, &opened);
            if let Ok(vault) = opened {
                lock(&self.vaults).insert(name.clone(), Arc::new(vault));
            }
        }
        lock(&self.vaults).retain(|name, vault| {
            let loan = loans.loans.get(name);
            // Before a guest can remove anything more.
            vault.expect(loan.and_then(|loan| loan.bring_back));
            loan.is_some()
        });
        lock(&self.seen).retain(|name, _| loans.loans.contains_key(name));
        *self.loans.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loans);
    }

    fn open_vault(&self, name: &str) -> Result<Vault, Refusal> {
        Vault::open(self.folder.join(name), self.coming.clone(), self.effects.clone())
    }

    /// Name of the loan of a key; none for a stranger.
    pub fn loan_of(&self, key: NodePublicKey) -> Option<String> {
        self.loans().of(key).map(|found| found.name.to_string())
    }

    /// Notes a trouble of a loan, or that there is none.
    fn note<T>(&self, name: &str, done: &Result<T, Refusal>) {
        let trouble = done.as_ref().err().map(ToString::to_string);
        lock(&self.seen).entry(name.to_string()).or_default().trouble = trouble;
    }

    /// The guest of a key.
    ///
    /// # Errors
    /// It is a stranger, or its objects cannot be opened.
    pub fn guest(&self, key: NodePublicKey) -> Result<Guest, Refusal> {
        let loans = self.loans();
        let Found { name, loan, reads_only } = loans.of(key).ok_or(Refusal::Stranger)?;
        let Some(vault) = lock(&self.vaults).get(name).cloned() else {
            let trouble = lock(&self.seen).get(name).and_then(|seen| seen.trouble.clone());
            return Err(trouble.map_or(Refusal::Crowded, |words| Refusal::Failed { words }));
        };
        lock(&self.seen).entry(name.to_string()).or_default().at = Some(Timestamp::now());
        let (name, loan) = (name.to_string(), loan.clone());
        Ok(Guest { name, loan, reads_only, vault, reserve_bytes: loans.reserve_bytes })
    }

    /// The present day.
    pub fn today(&self) -> u32 {
        lock(&self.days).today()
    }

    /// Looks after what nobody asks for: days that are over, orders of the lender's owner. What takes long is done in parts, one with each call.
    pub fn tend(&self) {
        lock(&self.days).note();
        let (today, until) = (self.today(), Instant::now() + SLICE);
        for (name, loan) in &self.loans().loans {
            let done = match loan.standing {
                Standing::Forgotten => self.forget(name),
                Standing::Lent | Standing::Ended => self.tend_one(name, loan, today, until),
            };
            self.note(name, &done);
        }
    }

    fn tend_one(&self, name: &str, loan: &Loan, today: u32, until: Instant) -> Result<(), Refusal> {
        let found = lock(&self.vaults).get(name).cloned();
        let vault = match found {
            Some(vault) => vault,
            // It could not be opened, and is tried again.
            None => Arc::new(self.open_vault(name)?),
        };
        lock(&self.vaults).entry(name.to_string()).or_insert_with(|| vault.clone());
        // First: what is brought back is not let go.
        if let Some(order) = loan.bring_back {
            let objects = vault.bring_back(order, today, until)?;
            lock(&self.seen).entry(name.to_string()).or_default().brought_objects += objects;
            if vault.brought() < order.number {
                return Ok(());
            }
        }
        vault.purge(loan.held_days, today)
    }

    /// Removes everything of a loan.
    fn forget(&self, name: &str) -> Result<(), Refusal> {
        lock(&self.vaults).remove(name);
        match fs::remove_dir_all(self.folder.join(name)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(Refusal::failed(&cause.to_string())),
            _ => Ok(()),
        }
    }

    /// State of the loans.
    pub fn reports(&self) -> BTreeMap<String, LoanReport> {
        let (loans, vaults, seen) = (self.loans(), lock(&self.vaults).clone(), lock(&self.seen).clone());
        let report = |(name, loan): (&String, &Loan)| {
            let account = vaults.get(name).map(|vault| vault.account()).unwrap_or_default();
            let (used_bytes, held_bytes) = account.taken();
            let seen = seen.get(name).cloned().unwrap_or_default();
            let is_gone = loan.standing == Standing::Forgotten && !self.folder.join(name).exists();
            let report = LoanReport {
                used_bytes,
                held_bytes,
                objects: account.objects(),
                connections: self.crowd.of(name),
                seen: seen.at,
                brought: vaults.get(name).map_or(0, |vault| vault.brought()),
                brought_objects: seen.brought_objects,
                forgotten: is_gone,
                trouble: seen.trouble,
            };
            (name.clone(), report)
        };
        loans.loans.iter().map(report).collect()
    }

    /// Begins a request; none where the lender leaves.
    pub fn begin(&self) -> Option<Busy<'_>> {
        self.busy.fetch_add(1, Ordering::SeqCst);
        let busy = Busy(self);
        (!self.leaves()).then_some(busy)
    }

    /// Begins nothing more.
    pub fn leave(&self) {
        self.leaves.store(true, Ordering::SeqCst);
    }

    /// Returns true once it leaves.
    pub fn leaves(&self) -> bool {
        self.leaves.load(Ordering::SeqCst)
    }

    /// Returns true where a request is under way.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::SeqCst) > 0
    }
}
