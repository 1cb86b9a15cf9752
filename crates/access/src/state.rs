//! Members, API keys and sessions as they are kept, and the rules by which they change (clauses of `docs/spec/access.md`). Pure: time and randomness
//! are handed in, and a refused change has changed nothing that matters, since the caller throws the copy away.

use std::collections::{BTreeMap, VecDeque};

use openmesh_primitives::{Address, Digest, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Refusal;
use crate::invitations::Invitations;
use crate::moment::{Moment, Ran};
use crate::own::{Only, OwnRole};
use crate::principal::{Principal, Who};
use crate::role::Role;

/// Longest session, milliseconds: a working day and the next morning.
pub const SESSION_MS: u64 = 24 * 3_600_000;
/// Time without use after which a session ends, milliseconds: a long lunch, and no night.
pub const IDLE_MS: u64 = 2 * 3_600_000;
/// Members: people of a large organization.
pub const MEMBERS_MAX: usize = 500;
/// API keys: some for each machine and pipeline that talks to this one.
pub const KEYS_MAX: usize = 500;
/// Sessions of one member: all their browsers, and those that were closed without signing out. The one unused for longest makes room.
pub const SESSIONS_PER_MEMBER_MAX: usize = 32;
/// Sessions in all: the file with them is written at each sign-in. The one unused for longest makes room.
pub const SESSIONS_MAX: usize = 2_000;
/// Longest life of an API key, milliseconds: ten years; without an end it has no end.
pub const KEY_MS_MAX: u64 = 10 * 365 * 86_400_000;
/// Ended sessions and keys of which the end is remembered, so that it can be told from a forgery.
const ENDED_MAX: usize = 1_000;
/// Longest name of a member or key, characters: what a list shows.
const NAME_CHARS_MAX: usize = 64;
/// Longest place of a session, characters: an address behind a door.
const FROM_CHARS_MAX: usize = 120;

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Role.
    pub role: Role,
    /// Name for people.
    pub name: Option<String>,
    /// Role of one's own by which theirs is narrowed. Absent where none does, as a version of before writes and reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// Moment at which they were let in, or their role was changed.
    pub since: Timestamp,
    /// Whoever did that.
    pub by: String,
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Name for people.
    pub name: String,
    /// Role; never more than its maker has.
    pub role: Role,
    /// Role of one's own by which it is narrowed, beside that of its maker. Absent where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// Hash of the key.
    pub hash: Digest,
    /// Its maker, where that is a member: it goes with them.
    pub maker: Option<Address>,
    /// Moment at which it was made.
    pub made: Moment,
    /// Length of its life, milliseconds; none where it has no end.
    pub lasts_ms: Option<u64>,
    /// Last use, to the minute.
    pub used: Option<Moment>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Wallet that signed in.
    pub wallet: Address,
    /// Hash of the token.
    pub hash: Digest,
    /// Moment of the sign-in.
    pub made: Moment,
    /// Last use, to the minute.
    pub used: Moment,
    /// Place from which they signed in.
    pub from: String,
}

/// Reason for which a session or key is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum End {
    Revoked,
    Expired,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Count of the time in which the machine ran.
    pub ran: Ran,
    /// Members by their wallets.
    pub members: BTreeMap<Address, Member>,
    /// API keys by their numbers.
    pub keys: BTreeMap<String, Key>,
    /// Sessions by their numbers.
    pub sessions: BTreeMap<String, Session>,
    /// Roles of one's own by their names. Absent where there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<String, OwnRole>,
    /// Invitations for other machines, and the machines that joined. Absent where there are none, as a version of before writes and reads it.
    #[serde(default, skip_serializing_if = "Invitations::is_empty")]
    pub invitations: Invitations,
    ended: VecDeque<(Digest, End)>,
}

/// A session or key that a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub id: String,
    /// The one who asks.
    pub who: Who,
    /// The role that they have now.
    pub role: Role,
    /// Roles of one's own that narrow it.
    pub only: Only,
    /// Time that is left of its life, milliseconds; none where it has no end.
    pub left_ms: Option<u64>,
}

impl State {
    /// The session or key of a token's hash; `in_use` says of a session's number that something of it is still open.
    ///
    /// # Errors
    /// [`Refusal::Forged`], [`Refusal::Expired`], [`Refusal::Idle`] or [`Refusal::Revoked`].
    pub fn find(&self, hash: &Digest, now: &Moment, in_use: impl Fn(&str) -> bool) -> Result<Found, Refusal> {
        if let Some((id, session)) = self.sessions.iter().find(|(_, session)| session.hash == *hash) {
            let age_ms = now.since_ms(&session.made);
            let member = self.members.get(&session.wallet).ok_or(Refusal::Revoked)?;
            if age_ms >= SESSION_MS {
                return Err(Refusal::Expired);
            }
            if now.since_ms(&session.used) >= IDLE_MS && !in_use(id) {
                return Err(Refusal::Idle { idle_ms: IDLE_MS });
            }
            let (who, left_ms) = (Who::Wallet(session.wallet), Some(SESSION_MS - age_ms));
            let only = self.only_of_member(member);
            return Ok(Found { id: id.clone(), who, role: member.role, only, left_ms });
        }
        if let Some((id, key)) = self.keys.iter().find(|(_, key)| key.hash == *hash) {
            let age_ms = now.since_ms(&key.made);
            let role = self.key_role(key).ok_or(Refusal::Revoked)?;
            let left_ms = key.lasts_ms.map(|lasts_ms| lasts_ms.saturating_sub(age_ms));
            if left_ms == Some(0) {
                return Err(Refusal::Expired);
            }
            let who = Who::Key { id: id.clone(), name: key.name.clone() };
            return Ok(Found { id: id.clone(), who, role, only: self.only_of_key(key), left_ms });
        }
        match self.ended.iter().find(|(ended, _)| ended == hash) {
            Some((_, End::Revoked)) => Err(Refusal::Revoked),
            Some((_, End::Expired)) => Err(Refusal::Expired),
            None => Err(Refusal::Forged),
        }
    }

    /// The role that a key has now: its own, and never more than its maker's. None where its maker is no member any more.
    fn key_role(&self, key: &Key) -> Option<Role> {
        match key.maker {
            None => Some(key.role),
            Some(maker) => Some(self.members.get(&maker)?.role.min(key.role)),
        }
    }

    /// The role of a session or key by its number; none where it is gone.
    pub fn role_of(&self, id: &str) -> Option<Role> {
        match self.sessions.get(id) {
            Some(session) => Some(self.members.get(&session.wallet)?.role),
            None => self.key_role(self.keys.get(id)?),
        }
    }

    /// True where the life of a session or key is over by either clock.
    pub fn is_expired(&self, id: &str, now: &Moment) -> bool {
        match (self.sessions.get(id), self.keys.get(id)) {
            (Some(session), _) => now.since_ms(&session.made) >= SESSION_MS,
            (None, Some(key)) => key.lasts_ms.is_some_and(|lasts_ms| now.since_ms(&key.made) >= lasts_ms),
            (None, None) => true,
        }
    }

    /// True where the time in which the machine runs ends somebody's right.
    pub fn has_ends(&self, now: &Moment) -> bool {
        let lives = |session: &Session| now.surely_since_ms(&session.made) < SESSION_MS;
        self.sessions.values().any(lives) || self.keys.values().any(|key| key.lasts_ms.is_some())
    }

    /// True where somebody is an owner.
    pub fn has_owner(&self) -> bool {
        self.members.values().any(|member| member.role == Role::Owner)
    }

    /// True where this wallet is an owner.
    pub fn is_owner(&self, wallet: &Address) -> bool {
        self.members.get(wallet).is_some_and(|member| member.role == Role::Owner)
    }

    /// Names the first owner.
    ///
    /// # Errors
    /// There is one already.
    pub fn name_owner(&mut self, wallet: Address, by: &str, now: &Moment) -> Result<(), Refusal> {
        if self.has_owner() {
            return Err(Refusal::Owned);
        }
        self.members
            .insert(wallet, Member { role: Role::Owner, name: None, only: None, since: now.wall, by: by.into() });
        Ok(())
    }

    /// Lets a wallet in, or changes its role and name. What narrows the role stays as long as it is the same one.
    ///
    /// # Errors
    /// Whoever asks does not govern the role or the member, it is the last owner, or there are too many.
    pub fn set_member(
        &mut self,
        actor: &Principal,
        wallet: Address,
        role: Role,
        name: Option<String>,
        now: &Moment,
    ) -> Result<(), Refusal> {
        no_key(actor)?;
        governs(actor, role)?;
        let before = self.members.get(&wallet);
        if let Some(before) = before {
            governs(actor, before.role)?;
        } else if self.members.len() >= MEMBERS_MAX {
            return Err(Refusal::Full { what: "members", max: MEMBERS_MAX });
        }
        if role != Role::Owner {
            self.not_last(&wallet)?;
        }
        let name = match name {
            Some(name) => Some(checked(&name)?).filter(|name| !name.is_empty()),
            None => before.and_then(|before| before.name.clone()),
        };
        let only = before.filter(|before| before.role == role).and_then(|before| before.only.clone());
        self.members.insert(wallet, Member { role, name, only, since: now.wall, by: actor.to_string() });
        Ok(())
    }

    /// Takes a member out, with their sessions and the keys that they made.
    ///
    /// # Errors
    /// They are none, whoever asks does not govern them, or they are the last owner.
    pub fn remove_member(&mut self, actor: &Principal, wallet: &Address) -> Result<(), Refusal> {
        no_key(actor)?;
        let member = self.members.get(wallet).ok_or_else(|| missing("member", wallet))?;
        governs(actor, member.role)?;
        self.not_last(wallet)?;
        self.members.remove(wallet);
        self.drop_sessions(|session| session.wallet == *wallet, End::Revoked);
        let gone: Vec<String> =
            self.keys.iter().filter(|(_, key)| key.maker == Some(*wallet)).map(|(id, _)| id.clone()).collect();
        for key in gone.iter().filter_map(|id| self.keys.remove(id)).collect::<Vec<_>>() {
            self.note_end(key.hash, End::Revoked);
        }
        Ok(())
    }

    fn not_last(&self, wallet: &Address) -> Result<(), Refusal> {
        let is_owner = |member: &Member| member.role == Role::Owner;
        let others = self.members.iter().filter(|(other, member)| *other != wallet && is_owner(member)).count();
        if others == 0 && self.members.get(wallet).is_some_and(is_owner) {
            return Err(Refusal::LastOwner(*wallet));
        }
        Ok(())
    }

    /// Begins a session of a member.
    ///
    /// # Errors
    /// The wallet is no member.
    pub fn begin(
        &mut self,
        id: String,
        wallet: Address,
        hash: Digest,
        from: &str,
        now: &Moment,
    ) -> Result<Role, Refusal> {
        let role = self.members.get(&wallet).ok_or(Refusal::NoMember(wallet))?.role;
        // Both clocks: one set forward forgets no session.
        self.drop_sessions(|session| now.surely_since_ms(&session.made) >= SESSION_MS, End::Expired);
        self.make_room(|session| session.wallet == wallet, SESSIONS_PER_MEMBER_MAX);
        self.make_room(|_| true, SESSIONS_MAX);
        let from = from.chars().filter(|char| !char.is_control()).take(FROM_CHARS_MAX).collect();
        self.sessions.insert(id, Session { wallet, hash, made: *now, used: *now, from });
        Ok(role)
    }

    /// Ends the sessions of a kind that are unused for longest, until there is room for one more.
    fn make_room(&mut self, is_of_kind: impl Fn(&Session) -> bool, max: usize) {
        let mut kind: Vec<(u64, String)> = self
            .sessions
            .iter()
            .filter(|(_, session)| is_of_kind(session))
            .map(|(id, session)| (session.used.ran_ms, id.clone()))
            .collect();
        kind.sort_unstable();
        let more = (kind.len() + 1).saturating_sub(max);
        for (_, id) in kind.into_iter().take(more) {
            self.drop_session(&id, End::Revoked);
        }
    }

    fn drop_sessions(&mut self, is_meant: impl Fn(&Session) -> bool, end: End) {
        let gone = self.sessions.iter().filter(|(_, session)| is_meant(session)).map(|(id, _)| id.clone());
        for id in gone.collect::<Vec<String>>() {
            self.drop_session(&id, end);
        }
    }

    fn drop_session(&mut self, id: &str, end: End) {
        if let Some(session) = self.sessions.remove(id) {
            self.note_end(session.hash, end);
        }
    }

    fn note_end(&mut self, hash: Digest, end: End) {
        self.ended.push_back((hash, end));
        while self.ended.len() > ENDED_MAX {
            self.ended.pop_front();
        }
    }

    /// True where whoever asks may see a session: their own, and for admins everybody's.
    pub fn sees(&self, actor: &Principal, session: &Session) -> bool {
        actor.who == Who::Wallet(session.wallet) || actor.role >= Role::Admin
    }

    /// Ends a session: one's own, or that of somebody whom one governs.
    ///
    /// # Errors
    /// It is not there, or whoever asks does not govern its member.
    pub fn end_session(&mut self, actor: &Principal, id: &str) -> Result<(), Refusal> {
        no_key(actor)?;
        let session = self.sessions.get(id).filter(|session| self.sees(actor, session));
        let wallet = session.ok_or_else(|| missing("session", id))?.wallet;
        self.governs_member(actor, &wallet)?;
        self.drop_session(id, End::Revoked);
        Ok(())
    }

    /// Ends every session of a member, one's own or of somebody whom one governs.
    ///
    /// # Errors
    /// The wallet is no member, or whoever asks does not govern it.
    pub fn end_sessions_of(&mut self, actor: &Principal, wallet: &Address) -> Result<u64, Refusal> {
        no_key(actor)?;
        if !self.members.contains_key(wallet) {
            return Err(missing("member", wallet));
        }
        self.governs_member(actor, wallet)?;
        let before = self.sessions.len();
        self.drop_sessions(|session| session.wallet == *wallet, End::Revoked);
        Ok((before - self.sessions.len()) as u64)
    }

    fn governs_member(&self, actor: &Principal, wallet: &Address) -> Result<(), Refusal> {
        let is_own = actor.who == Who::Wallet(*wallet);
        match self.members.get(wallet) {
            Some(member) if !is_own => governs(actor, member.role),
            _ => Ok(()),
        }
    }

    /// Keeps a new API key.
    ///
    /// # Errors
    /// Its role is more than that of whoever asks, its name or length cannot be taken, or there are too many.
    pub fn keep_key(
        &mut self,
        actor: &Principal,
        id: String,
        wish: &KeyWish,
        hash: Digest,
        now: &Moment,
    ) -> Result<(), Refusal> {
        no_key(actor)?;
        if wish.role > actor.role {
            return Err(Refusal::Role { least: wish.role, role: actor.role });
        }
        if let Some(only) = &wish.only {
            self.check_own(only, wish.role)?;
        }
        if self.keys.len() >= KEYS_MAX {
            return Err(Refusal::Full { what: "API keys", max: KEYS_MAX });
        }
        if wish.lasts_ms.is_some_and(|lasts_ms| lasts_ms == 0 || lasts_ms > KEY_MS_MAX) {
            let years = KEY_MS_MAX / (365 * 86_400_000);
            return Err(Refusal::Value(format!(
                "an API key lasts at least a millisecond and at most {years} years, or has no end"
            )));
        }
        let name = checked(&wish.name)?;
        if name.is_empty() {
            return Err(Refusal::Value("an API key needs a name, by which people know what uses it".into()));
        }
        let maker = match actor.who {
            Who::Wallet(address) => Some(address),
            Who::Root | Who::Key { .. } => None,
        };
        let (role, only, lasts_ms) = (wish.role, wish.only.clone(), wish.lasts_ms);
        let key = Key { name, role, only, hash, maker, made: *now, lasts_ms, used: None };
        self.keys.insert(id, key);
        Ok(())
    }

    /// Revokes an API key: one's own, or one whose role one governs.
    ///
    /// # Errors
    /// It is not there, or whoever asks does not govern it.
    pub fn end_key(&mut self, actor: &Principal, id: &str) -> Result<(), Refusal> {
        no_key(actor)?;
        let key = self.keys.get(id).ok_or_else(|| missing("API key", id))?;
        let is_own = key.maker.is_some_and(|maker| actor.who == Who::Wallet(maker));
        if !is_own {
            governs(actor, key.role)?;
        }
        let hash = key.hash;
        self.keys.remove(id);
        self.note_end(hash, End::Revoked);
        Ok(())
    }

    /// Keeps the uses that were noted in another copy of this state meanwhile.
    pub fn keep_uses(&mut self, other: &State) {
        for (id, session) in &mut self.sessions {
            let used = other.sessions.get(id).map(|other| other.used);
            session.used = used.filter(|used| used.ran_ms > session.used.ran_ms).unwrap_or(session.used);
        }
        for (id, key) in &mut self.keys {
            let used = other.keys.get(id).and_then(|other| other.used);
            let is_later = |used: &Moment| key.used.is_none_or(|kept| used.ran_ms > kept.ran_ms);
            key.used = used.filter(is_later).or(key.used);
        }
    }

    /// Notes a use of a session or key.
    pub fn touch(&mut self, id: &str, now: &Moment) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.used = *now;
        } else if let Some(key) = self.keys.get_mut(id) {
            key.used = Some(*now);
        }
    }
}

/// A wish for an API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ApiKeyWish)]
#[serde(deny_unknown_fields)]
pub struct KeyWish {
    /// Name for people.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Length of its life, milliseconds; none where it has no end.
    #[serde(default)]
    pub lasts_ms: Option<u64>,
    /// Role of one's own that narrows it.
    #[serde(default)]
    pub only: Option<String>,
}

/// An API key that leaked must not make itself at home.
fn no_key(actor: &Principal) -> Result<(), Refusal> {
    match actor.who {
        Who::Key { .. } => Err(Refusal::KeyOnAccess),
        Who::Root | Who::Wallet(_) => Ok(()),
    }
}

fn governs(actor: &Principal, role: Role) -> Result<(), Refusal> {
    if actor.role.governs(role) { Ok(()) } else { Err(Refusal::Govern { role: actor.role, other: role }) }
}

fn missing(what: &'static str, name: impl ToString) -> Refusal {
    Refusal::Missing { what, name: name.to_string().chars().take(NAME_CHARS_MAX).collect() }
}

fn checked(name: &str) -> Result<String, Refusal> {
    let name = name.trim();
    if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(Refusal::Value(format!(
            "a name has at most {NAME_CHARS_MAX} characters, and none that control a terminal"
        )));
    }
    Ok(name.into())
}

mod own;
#[cfg(test)]
mod tests;
