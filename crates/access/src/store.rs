//! Access of an agent: what it keeps, who is in, and how they come in.
//!
//! # What it owns
//! `state.json` (members, keys and sessions, each secret as its hash), the nonces and the code of this run, and the audit log beside it.
//!
//! # Why so
//! A change is made on a copy, written down, and only then true: nobody has a right that a power cut takes back. Reads never wait for a disk. Every session and key that is
//! in use has a channel; whatever takes a right away drops its sender, and everything that is open hears it at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openmesh_primitives::eip712::personal_message_hash;
use openmesh_primitives::{AccountSignature, Address, Digest};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::audit::Log;
use crate::error::{AccessError, Refusal};
use crate::file;
use crate::message::{Message, NONCE_MS_MAX, Purpose};
use crate::moment::{Moment, Tick};
use crate::nonce::Nonces;
use crate::own::Grant;
use crate::principal::{Live, Open, Principal};
use crate::questions::Questions;
use crate::role::Role;
use crate::state::{Found, IDLE_MS, KEY_MS_MAX, KeyWish, SESSION_MS, State};
use crate::token::{self, CODE, KEY, SESSION};
use crate::views;

/// Ethereum's main network. Wallets that are connected to it, as most are, refuse to sign a message for a chain that they do not know; nothing is done on a chain by
/// signing in, so its number is always good.
const MAIN_CHAIN_ID: u64 = 1;
/// Longest signature, bytes: those of contract wallets with many keys.
const SIGNATURE_BYTES_MAX: usize = 8_192;
/// Life of the code by which the first owner is named, milliseconds: an afternoon of setting up.
const CODE_MS: u64 = 6 * 3_600_000;
/// Time between two notes of last uses, milliseconds: to the minute.
const USES_MS: u64 = 60_000;
/// Largest file of the state, bytes: every list full, twice over.
const STATE_BYTES_MAX: u64 = 6 << 20;

/// Answer of a chain about a contract wallet: true where the signature is its.
pub type Verifies<'a> = Pin<Box<dyn Future<Output = Result<bool, String>> + Send + 'a>>;

/// A chain that knows contract wallets. Source: ERC-1271.
pub trait ContractWallets: Send + Sync {
    /// Number of the chain.
    fn chain_id(&self) -> u64;

    /// Asks whether a signature over a hash is a contract wallet's; words where the chain cannot be asked.
    fn verifies<'a>(&'a self, wallet: Address, hash: Digest, signature: &'a [u8]) -> Verifies<'a>;
}

/// An attempt to sign in.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Message, signature and code.
    pub wish: &'a views::SignIn,
    /// Name under which the agent was asked; it is one of the agent's.
    pub host: &'a str,
    /// Place from which it was asked.
    pub from: &'a str,
    /// Network from which it was asked, as bounds for strangers count it.
    pub source: &'a str,
}

/// A session or key that is in use.
struct Use {
    grant: Grant,
    /// Dropped at its end.
    ends: watch::Sender<()>,
    /// Requests and streams that are open.
    open: Arc<AtomicU64>,
}

struct Inner {
    state: State,
    uses: BTreeMap<String, Use>,
    /// Last note of uses.
    noted: Moment,
}

/// Access of an agent.
pub struct Access {
    file: PathBuf,
    inner: Mutex<Inner>,
    /// Held while a change is written: one at a time, and nobody who only looks waits for it.
    changes: Mutex<()>,
    nonces: Mutex<Nonces>,
    code: Mutex<Option<(Digest, Moment)>>,
    wallets: Option<Arc<dyn ContractWallets>>,
    questions: Mutex<Questions>,
    log: Log,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under a lock is complete by itself, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Access {
    /// Opens what is kept in a folder. `owner` is the first owner where there is none yet.
    ///
    /// # Errors
    /// A file cannot be read or written, or is not of its form.
    pub fn open(
        folder: &Path,
        owner: Option<Address>,
        wallets: Option<Arc<dyn ContractWallets>>,
        tick: &Tick,
    ) -> Result<Access, AccessError> {
        fs::create_dir_all(folder).map_err(AccessError::file("making", folder))?;
        let path = folder.join("state.json");
        let state = read_state(&path)?;
        let noted = state.ran.moment(tick);
        let access = Access {
            log: Log::open(&folder.join("audit"), tick.wall)?,
            inner: Mutex::new(Inner { state, uses: BTreeMap::new(), noted }),
            changes: Mutex::default(),
            nonces: Mutex::new(Nonces::new()?),
            code: Mutex::default(),
            wallets,
            questions: Mutex::default(),
            file: path,
        };
        access.change(tick, |state, now| match owner {
            Some(owner) if !state.has_owner() => state.name_owner(owner, "the settings", now),
            _ => Ok(()),
        })?;
        Ok(access)
    }

    /// The audit log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The moment of a tick.
    pub fn moment(&self, tick: &Tick) -> Moment {
        lock(&self.inner).state.ran.moment(tick)
    }

    /// True where somebody is an owner.
    pub fn has_owner(&self) -> bool {
        lock(&self.inner).state.has_owner()
    }

    /// Makes a change on a copy, writes it down, and lets it be true.
    fn change<T>(
        &self,
        tick: &Tick,
        does: impl FnOnce(&mut State, &Moment) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let _one = lock(&self.changes);
        let mut next = lock(&self.inner).state.clone();
        let now = next.ran.moment(tick);
        let done = does(&mut next, &now)?;
        next.ran = next.ran.advanced(tick);
        let bytes = serde_json::to_vec(&next).map_err(|cause| Refusal::Store(cause.to_string()))?;
        let failed = |cause| Refusal::Store(format!("{}: {cause}", self.file.display()));
        file::replace(&self.file, &bytes).map_err(failed)?;
        let mut inner = lock(&self.inner);
        let Inner { state, uses, noted } = &mut *inner;
        // Whoever asked while the file was written was active too.
        next.keep_uses(state);
        (*state, *noted) = (next, now);
        // Whatever has lost its right, or has another one, hears it here.
        uses.retain(|id, used| state.grant_of(id).as_ref() == Some(&used.grant));
        Ok(done)
    }

    /// Makes a change in the name of somebody, by the role that they have at this moment and not when they asked.
    fn change_by<T>(
        &self,
        actor: &Principal,
        tick: &Tick,
        does: impl FnOnce(&mut State, &Principal, &Moment) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.change(tick, |state, now| {
            let role = match &actor.live {
                Some(live) => {
                    let grant = state.grant_of(&live.id).ok_or(Refusal::Revoked)?;
                    // Whoever may do less or other things by now asks anew.
                    if grant.only != live.only {
                        return Err(Refusal::Revoked);
                    }
                    grant.role
                }
                None => actor.role,
            };
            does(state, &Principal { role, ..actor.clone() }, now)
        })
    }

    /// Everything that a page needs to write a message of sign-in under this name of the agent.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn nonce(&self, host: &str, tick: &Tick) -> Result<views::Nonce, Refusal> {
        let now = self.moment(tick);
        let nonce = lock(&self.nonces).make(&now)?;
        Ok(views::Nonce {
            nonce,
            lasts_ms: NONCE_MS_MAX,
            at: now.wall.to_rfc3339(),
            domain: host.into(),
            statement: Purpose::SignIn.statement(host),
            chain_id: self.chain_id(),
            owned: self.has_owner(),
        })
    }

    fn chain_id(&self) -> u64 {
        self.wallets.as_ref().map_or(MAIN_CHAIN_ID, |wallets| wallets.chain_id())
    }

    /// A new code by which the first owner is named; the one before it is worth nothing from here on.
    ///
    /// # Errors
    /// Somebody else than root asks, there is an owner, or the system gives no randomness.
    pub fn code(&self, actor: &Principal, tick: &Tick) -> Result<views::Code, Refusal> {
        if !actor.is_root() {
            return Err(Refusal::Root);
        }
        if self.has_owner() {
            return Err(Refusal::Owned);
        }
        let code = token::token(CODE)?;
        *lock(&self.code) = token::hash(&code).map(|hash| (hash, self.moment(tick)));
        Ok(views::Code { code, lasts_ms: CODE_MS })
    }

    fn check_code(&self, code: &str, now: &Moment) -> Result<(), Refusal> {
        let kept = lock(&self.code);
        let fresh = kept.as_ref().filter(|(_, made)| now.since_ms(made) < CODE_MS);
        match (fresh, token::hash(code)) {
            (Some((kept, _)), Some(hash)) if *kept == hash => Ok(()),
            _ => Err(Refusal::Code),
        }
    }

    /// Checks a signed message and begins a session.
    ///
    /// # Errors
    /// Each fault of message, nonce, purpose, times, signature and membership has its own refusal.
    pub async fn sign_in(&self, attempt: Attempt<'_>, tick: &Tick) -> Result<views::SignedIn, Refusal> {
        let now = self.moment(tick);
        let message = self.read(attempt, Purpose::SignIn, &now)?;
        if let Some(code) = &attempt.wish.code {
            self.check_code(code, &now)?;
        }
        // The chain is asked about members, and about whoever has root's code: no stranger's wallet causes a question.
        let is_known = attempt.wish.code.is_some() || lock(&self.inner).state.members.contains_key(&message.address);
        self.check_signature(&message, attempt, is_known, &now).await?;
        self.begin(&message, attempt, tick)
    }

    /// Checks the message that a visitor of an application has signed for it and its host, who need not be a member and gets no session, and gives their
    /// wallet. `may` says of a wallet whether it may open the application: the chain is asked about such a one alone, and only its sign-in uses a
    /// nonce up.
    ///
    /// # Errors
    /// Each fault of message, nonce, purpose, times and signature has its own refusal; [`Refusal::Audience`] is that of a wallet that may not.
    pub async fn prove(
        &self,
        attempt: Attempt<'_>,
        (application, host): (&str, &str),
        may: impl Fn(&Address) -> bool + Send,
        tick: &Tick,
    ) -> Result<Address, Refusal> {
        let now = self.moment(tick);
        let message = self.read(attempt, Purpose::Visit { application, host }, &now)?;
        let (wallet, may) = (message.address, may(&message.address));
        self.check_signature(&message, attempt, may, &now).await?;
        if !may {
            return Err(Refusal::Audience { wallet, application: application.into() });
        }
        lock(&self.nonces).consume(&message.nonce, &now)?;
        Ok(wallet)
    }

    /// The message of an attempt, which is for this agent and a purpose, now.
    fn read(&self, attempt: Attempt<'_>, purpose: Purpose<'_>, now: &Moment) -> Result<Message, Refusal> {
        let message = Message::parse(&attempt.wish.message)?;
        lock(&self.nonces).check(&message.nonce, now)?;
        message.check_site(attempt.host)?;
        message.check_purpose(purpose, attempt.host)?;
        let expected = self.chain_id();
        if ![expected, MAIN_CHAIN_ID].contains(&message.chain_id) {
            return Err(Refusal::Chain { expected, found: message.chain_id });
        }
        message.check_times(now)?;
        Ok(message)
    }

    /// Checks that a message is its address's; `is_known` is true where the chain may be asked about it.
    async fn check_signature(
        &self,
        message: &Message,
        attempt: Attempt<'_>,
        is_known: bool,
        now: &Moment,
    ) -> Result<(), Refusal> {
        let Attempt { wish, source, .. } = attempt;
        let digits = wish.signature.strip_prefix("0x").unwrap_or(&wish.signature);
        let bytes = Some(digits)
            .filter(|digits| digits.len() <= 2 * SIGNATURE_BYTES_MAX)
            .and_then(|digits| hex::decode(digits).ok());
        let bytes = bytes.ok_or_else(|| {
            Refusal::Value(format!("a signature is at most {SIGNATURE_BYTES_MAX} bytes in hexadecimal"))
        })?;
        let address = message.address;
        // Over the text as it came, not as it would be printed again.
        let hash = personal_message_hash(wish.message.as_bytes());
        let signer = bytes.as_slice().try_into().ok().and_then(|bytes| AccountSignature(bytes).recover(&hash).ok());
        if signer == Some(address) {
            return Ok(());
        }
        let Some(wallets) = self.wallets.as_ref().filter(|_| is_known) else { return Err(Refusal::Signature(address)) };
        // Addresses of wallets are known to everybody, so whoever asks is a stranger, but for the one who has root's code.
        let is_counted = wish.code.is_none();
        if is_counted {
            lock(&self.questions).take(source, now)?;
        }
        let verified = wallets.verifies(address, hash, &bytes).await;
        if is_counted && verified == Ok(true) {
            lock(&self.questions).take_back(source, now);
        }
        match verified {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::Signature(address)),
            Err(cause) => Err(Refusal::Chainless { address, cause }),
        }
    }

    /// Begins the session of a message that holds. Nobody's nonce is used up before.
    fn begin(&self, message: &Message, attempt: Attempt<'_>, tick: &Tick) -> Result<views::SignedIn, Refusal> {
        let (token, id) = (token::token(SESSION)?, token::number()?);
        let hash = token::hash(&token).ok_or(Refusal::Forged)?;
        let wallet = message.address;
        let role = self.change(tick, |state, now| {
            if let Some(code) = &attempt.wish.code {
                // Again, since somebody else may have used it meanwhile.
                self.check_code(code, now)?;
                state.name_owner(wallet, "the code that root had", now)?;
            }
            let role = state.begin(id.clone(), wallet, hash, attempt.from, now)?;
            lock(&self.nonces).consume(&message.nonce, now)?;
            Ok(role)
        })?;
        if attempt.wish.code.is_some() {
            *lock(&self.code) = None;
        }
        Ok(views::SignedIn { token, id, wallet, role, lasts_ms: SESSION_MS, idle_ms: IDLE_MS })
    }

    /// Whoever a token belongs to, and that it was used.
    ///
    /// # Errors
    /// [`Refusal::Forged`], [`Refusal::Expired`], [`Refusal::Idle`] or [`Refusal::Revoked`].
    pub fn enter(&self, token: &str, from: &str, tick: &Tick) -> Result<Principal, Refusal> {
        let hash = token::hash(token).ok_or(Refusal::Forged)?;
        let mut inner = lock(&self.inner);
        let Inner { state, uses, .. } = &mut *inner;
        let now = state.ran.moment(tick);
        let is_open = |id: &str| uses.get(id).is_some_and(|used| used.open.load(Ordering::SeqCst) > 0);
        let Found { id, who, role, only, left_ms } = state.find(&hash, &now, is_open)?;
        state.touch(&id, &now);
        let used = uses.entry(id.clone()).or_insert_with(|| {
            let grant = Grant { role, only: only.clone() };
            Use { grant, ends: watch::Sender::new(()), open: Arc::default() }
        });
        let until = left_ms.map(|left_ms| Instant::now() + Duration::from_millis(left_ms.min(KEY_MS_MAX)));
        let live = Live { id, ends: used.ends.subscribe(), until, open: Open::counted(&used.open), only };
        Ok(Principal { who, role, from: from.into(), live: Some(live) })
    }

    /// Notes that a session or key was used until now: something of it has closed.
    pub fn touch(&self, id: &str, tick: &Tick) {
        let mut inner = lock(&self.inner);
        let now = inner.state.ran.moment(tick);
        inner.state.touch(id, &now);
    }

    /// Ends what is open by sessions and keys whose life is over: by a clock that was set, or since the machine slept.
    pub fn end_expired(&self, tick: &Tick) {
        let mut inner = lock(&self.inner);
        let Inner { state, uses, .. } = &mut *inner;
        let now = state.ran.moment(tick);
        uses.retain(|id, _| !state.is_expired(id, &now));
    }

    /// True where the last uses and the time in which the machine ran should be written down, for the sake of the next run of the agent. One of all who ask within a minute
    /// hears it, also where the writing then fails.
    pub fn is_due(&self, tick: &Tick) -> bool {
        let mut inner = lock(&self.inner);
        let now = inner.state.ran.moment(tick);
        let is_due = now.since_ms(&inner.noted) >= USES_MS && inner.state.has_ends(&now);
        if is_due {
            inner.noted = now;
        }
        is_due
    }

    /// Writes the last uses down.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_uses(&self, tick: &Tick) -> Result<(), Refusal> {
        self.change(tick, |_, _| Ok(()))
    }

    /// Members, the greatest role first.
    pub fn members(&self) -> Vec<views::Member> {
        let inner = lock(&self.inner);
        let sessions =
            |wallet: &Address| inner.state.sessions.values().filter(|session| session.wallet == *wallet).count();
        let view = |(wallet, member): (&Address, &crate::state::Member)| views::Member {
            wallet: *wallet,
            role: member.role,
            name: member.name.clone(),
            only: member.only.clone(),
            since: member.since,
            by: member.by.clone(),
            sessions: sessions(wallet) as u64,
        };
        let mut all: Vec<views::Member> = inner.state.members.iter().map(view).collect();
        all.sort_by_key(|member| (std::cmp::Reverse(member.role), member.since, member.wallet));
        all
    }

    /// Lets a wallet in, or changes its role and name. What it has open ends where its rights are others.
    ///
    /// # Errors
    /// As [`State::set_member`], [`State::narrow_member`] and [`State::check_given`].
    pub fn set_member(
        &self,
        actor: &Principal,
        wallet: Address,
        wish: &views::MemberWish,
        tick: &Tick,
    ) -> Result<(), Refusal> {
        self.change_by(actor, tick, |state, actor, now| {
            let before = state.members.get(&wallet).cloned();
            state.set_member(actor, wallet, wish.role, wish.name.clone(), now)?;
            if let Some(only) = &wish.only {
                state.narrow_member(&wallet, only)?;
            }
            state.check_given(actor, &wallet, before.as_ref())
        })
    }

    /// Takes a member out, with their sessions and keys.
    ///
    /// # Errors
    /// As [`State::remove_member`].
    pub fn remove_member(&self, actor: &Principal, wallet: &Address, tick: &Tick) -> Result<(), Refusal> {
        self.change_by(actor, tick, |state, actor, _| state.remove_member(actor, wallet))
    }

    /// Sessions that whoever asks may see, the last used one first.
    pub fn sessions(&self, actor: &Principal, tick: &Tick) -> Vec<views::Session> {
        let inner = lock(&self.inner);
        let (state, now) = (&inner.state, inner.state.ran.moment(tick));
        let view = |(id, session): (&String, &crate::state::Session)| {
            let open = inner.uses.get(id).map_or(0, |used| used.open.load(Ordering::SeqCst));
            Some(views::Session {
                id: id.clone(),
                wallet: session.wallet,
                role: state.role_of(id)?,
                from: session.from.clone(),
                made: session.made.wall,
                used: session.used.wall,
                left_ms: SESSION_MS.saturating_sub(now.since_ms(&session.made)),
                open,
                current: actor.credential() == Some(id.as_str()),
            })
        };
        let seen = state.sessions.iter().filter(|(_, session)| state.sees(actor, session));
        let mut all: Vec<views::Session> = seen.filter_map(view).collect();
        all.sort_by_key(|session| std::cmp::Reverse(session.used));
        all
    }

    /// Ends a session.
    ///
    /// # Errors
    /// As [`State::end_session`].
    pub fn end_session(&self, actor: &Principal, id: &str, tick: &Tick) -> Result<(), Refusal> {
        self.change_by(actor, tick, |state, actor, _| state.end_session(actor, id))
    }

    /// Ends every session of a member.
    ///
    /// # Errors
    /// As [`State::end_sessions_of`].
    pub fn end_sessions_of(&self, actor: &Principal, wallet: &Address, tick: &Tick) -> Result<views::Ended, Refusal> {
        let sessions = self.change_by(actor, tick, |state, actor, _| state.end_sessions_of(actor, wallet))?;
        Ok(views::Ended { sessions })
    }

    /// API keys, the newest first.
    pub fn keys(&self, tick: &Tick) -> Vec<views::Key> {
        let inner = lock(&self.inner);
        let now = inner.state.ran.moment(tick);
        let mut all: Vec<views::Key> =
            inner.state.keys.keys().filter_map(|id| key_view(&inner.state, id, &now)).collect();
        all.sort_by_key(|key| std::cmp::Reverse(key.made));
        all
    }

    /// Makes an API key.
    ///
    /// # Errors
    /// As [`State::keep_key`], or the system gives no randomness.
    pub fn make_key(&self, actor: &Principal, wish: &KeyWish, tick: &Tick) -> Result<views::MadeKey, Refusal> {
        let (key, id) = (token::token(KEY)?, token::number()?);
        let hash = token::hash(&key).ok_or(Refusal::Forged)?;
        let entry = self.change_by(actor, tick, |state, actor, now| {
            state.keep_key(actor, id.clone(), wish, hash, now)?;
            key_view(state, &id, now).ok_or(Refusal::Forged)
        })?;
        Ok(views::MadeKey { key, entry })
    }

    /// Revokes an API key.
    ///
    /// # Errors
    /// As [`State::end_key`].
    pub fn end_key(&self, actor: &Principal, id: &str, tick: &Tick) -> Result<(), Refusal> {
        self.change_by(actor, tick, |state, actor, _| state.end_key(actor, id))
    }
}

/// Owners that are kept in a folder, also where no agent runs.
///
/// # Errors
/// The file cannot be read, or is not of its form.
pub fn owners(folder: &Path) -> Result<Vec<Address>, AccessError> {
    let owners = read_state(&folder.join("state.json"))?.members;
    Ok(owners.into_iter().filter(|(_, member)| member.role == Role::Owner).map(|(wallet, _)| wallet).collect())
}

fn read_state(path: &Path) -> Result<State, AccessError> {
    let damaged = |words: String| AccessError::Damaged { path: path.into(), words };
    if fs::metadata(path).is_ok_and(|about| about.len() > STATE_BYTES_MAX) {
        return Err(damaged(format!("it has more than {STATE_BYTES_MAX} bytes")));
    }
    match file::read(path).map_err(AccessError::file("reading", path))? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|cause| damaged(cause.to_string())),
        None => Ok(State::default()),
    }
}

fn key_view(state: &State, id: &str, now: &Moment) -> Option<views::Key> {
    let key = state.keys.get(id)?;
    Some(views::Key {
        id: id.into(),
        name: key.name.clone(),
        role: state.role_of(id)?,
        only: key.only.clone(),
        maker: key.maker,
        made: key.made.wall,
        left_ms: key.lasts_ms.map(|lasts_ms| lasts_ms.saturating_sub(now.since_ms(&key.made))),
        used: key.used.map(|used| used.wall),
    })
}

mod joining;
mod own;
#[cfg(test)]
mod tests;
