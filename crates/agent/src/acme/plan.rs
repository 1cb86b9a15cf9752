//! From what is wanted, what is kept and the clock to the next act: pure.
//!
//! A clock may be set at any moment. So a moment that lies ahead of the clock although it was noted as past begins nothing and ends nothing: a pause that
//! began in the future is over, and orders of the future count as those of the day that are near.

use std::collections::BTreeSet;

use openmesh_primitives::sha256;

use super::kept::{Book, Entry, Failure, Issued, ORDERS_KEPT, Pause};

/// A day, seconds.
pub const DAY_S: u64 = 86_400;
/// Orders of a name in a day. Source: Let's Encrypt takes 5 certificates a week for one set of names, and 5 failed proofs an hour for a name.
pub const ORDERS_A_DAY: usize = ORDERS_KEPT;
/// First pause after a failure, seconds; the next ones double.
pub const PAUSE_S: u64 = 300;
/// Longest pause, whatever an authority asks for: after a day one more question is no burden.
pub const PAUSE_S_MAX: u64 = DAY_S;
/// Time for which the certificate of a name is kept that the door does not serve: who goes back to an older document finds it.
pub const GRACE_S: u64 = 7 * DAY_S;
/// Longest life of an open order, seconds. Source: Let's Encrypt lets one expire after a week; nobody waits that long for a proof.
pub const ORDER_S_MAX: u64 = DAY_S;
/// Pause before a record that could not be taken out of the DNS is tried again, seconds: it harms nobody meanwhile.
pub const TIDY_AGAIN_S: u64 = 3_600;
/// Orders beside one another: one that waits long, as for a slow zone of the DNS, holds up no other.
pub const ORDERS_AT_ONCE: usize = 8;
/// Shortest and longest time between two questions for the window of a renewal, seconds. Source: RFC 9773, section 4.3.2.
pub const ASK_S: (u64, u64) = (60, DAY_S);

/// The wishes of a document and of the door.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Directory of the authority that a person has named and agreed to.
    pub directory: Option<String>,
    /// Names that the door serves; none where it has not said so yet.
    pub served: Option<BTreeSet<String>>,
    /// Those of them for which a certificate is ordered.
    pub ordered: BTreeSet<String>,
    /// Names whose orders are under way, which are left alone.
    pub busy: BTreeSet<String>,
    /// Name of this machine: machines renew at different moments.
    pub machine: String,
}

/// The next act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Note that the door does not serve a name any more, or that it does again.
    Serve {
        /// The name.
        name: String,
        /// It serves it.
        serves: bool,
    },
    /// Forget a name with its certificate.
    Forget(String),
    /// Let go of an open order that is too old, of another authority, or of a name for which nothing is ordered any more.
    Drop(String),
    /// Take the records of a name out of the DNS that an order has left there.
    Tidy(String),
    /// Go on with an open order.
    GoOn(String),
    /// Order a certificate.
    Order(String),
    /// Ask for the window in which a certificate is to be renewed.
    Ask(String),
    /// Nothing to do until a moment; none where only a change of what is wanted gives something to do.
    Rest(Option<u64>),
}

/// The next act.
pub fn next(book: &Book, wanted: &Wanted, now: u64) -> Act {
    if let Some(act) = clean(book, wanted, now) {
        return act;
    }
    let Some(directory) = &wanted.directory else { return Act::Rest(None) };
    let mut wakes: Vec<u64> = Vec::new();
    let paused = book.pauses.get(directory).map_or(now, |pause| end(pause.at_s, pause.until_s, now));
    let mut due: Vec<(u64, &String, bool)> = Vec::new();
    for name in wanted.ordered.difference(&wanted.busy) {
        let entry = book.names.get(name);
        let open = entry.is_some_and(|entry| entry.open.is_some());
        let at = due_at(entry, directory, name, &wanted.machine, now).max(paused);
        match at <= now {
            // Whoever has no certificate, or the one that ends first, goes first.
            true => due.push((entry.and_then(|entry| Some(entry.issued.as_ref()?.until_s)).unwrap_or(0), name, open)),
            false => wakes.push(at),
        }
    }
    // One that is open goes first: its challenge is answered only for a while.
    due.sort_by_key(|(until, name, open)| (!open, *until, *name));
    if let Some((_, name, open)) = due.first().filter(|_| wanted.busy.len() < ORDERS_AT_ONCE) {
        return if *open { Act::GoOn(name.to_string()) } else { Act::Order(name.to_string()) };
    }
    for name in wanted.ordered.difference(&wanted.busy) {
        let issued = book.names.get(name).and_then(|entry| entry.issued.as_ref());
        let Some(issued) = issued.filter(|issued| issued.directory == *directory) else { continue };
        let at = issued.asked.map_or(now, |(at, again)| end(at, again, now)).max(paused);
        if at <= now {
            return Act::Ask(name.clone());
        }
        wakes.push(at);
    }
    wakes.extend(book.names.values().flat_map(|entry| [forget_at(entry, now), tidy_at(entry, now)]).flatten());
    // What is due and not done waits for something else: the door's word, or the end of an order.
    Act::Rest(wakes.into_iter().filter(|at| *at > now).min())
}

/// Moment from which a record of a name is taken out of the DNS; none without one, and as long as an order may need it.
fn tidy_at(entry: &Entry, now: u64) -> Option<u64> {
    let first = entry.records.values().min().filter(|_| entry.open.is_none())?;
    // One that lies further ahead was noted by another clock.
    Some(if *first > now.saturating_add(TIDY_AGAIN_S) { now } else { *first })
}

/// Moment at which a name that is not served is forgotten.
fn forget_at(entry: &Entry, now: u64) -> Option<u64> {
    Some(entry.unserved_since_s?.min(now) + GRACE_S)
}

/// Something to tidy up.
fn clean(book: &Book, wanted: &Wanted, now: u64) -> Option<Act> {
    let served = wanted.served.as_ref()?;
    for (name, entry) in book.names.iter().filter(|(name, _)| !wanted.busy.contains(*name)) {
        let serves = served.contains(name);
        let changed = serves == entry.unserved_since_s.is_some();
        // One that was noted in the future begins anew: the grace is at least as long as it says.
        if changed || entry.unserved_since_s.is_some_and(|since| since > now) {
            return Some(Act::Serve { name: name.clone(), serves });
        }
        if entry.unserved_since_s.is_some_and(|since| now - since >= GRACE_S) {
            return Some(Act::Forget(name.clone()));
        }
        let stale = entry.open.as_ref().is_some_and(|open| {
            let old = open.at_s.abs_diff(now) >= ORDER_S_MAX;
            old || !wanted.ordered.contains(name) || wanted.directory.as_ref() != Some(&open.directory)
        });
        if stale {
            return Some(Act::Drop(name.clone()));
        }
        if tidy_at(entry, now).is_some_and(|at| at <= now) {
            return Some(Act::Tidy(name.clone()));
        }
    }
    None
}

/// End of a pause: a pause that began in the future is over, and none is longer than the longest one.
fn end(at: u64, until: u64, now: u64) -> u64 {
    if at > now { now } else { until.min(at.saturating_add(PAUSE_S_MAX)) }
}

/// Moment from which a certificate is ordered for a name, or its open order goes on.
fn due_at(entry: Option<&Entry>, directory: &str, name: &str, machine: &str, now: u64) -> u64 {
    let Some(entry) = entry else { return now };
    let again = entry.failure.as_ref().map_or(0, |failure| end(failure.at_s, failure.again_s, now));
    if entry.open.is_some() {
        return again;
    }
    let renewed = match &entry.issued {
        Some(issued) if issued.directory == directory => renew_at(issued, name, machine).max(rest_until(issued, now)),
        // None yet, or one of another authority.
        _ => 0,
    };
    again.max(renewed).max(room_at(&entry.orders, now))
}

/// Moment at which a certificate is renewed: within the authority's window, else at two thirds of its life. Machines and names have moments of their own.
pub fn renew_at(issued: &Issued, name: &str, machine: &str) -> u64 {
    let hash = sha256(&[b"openmesh renewal 1", machine.as_bytes(), b"\0", name.as_bytes()]).to_string();
    let share = u64::from(u16::from_str_radix(hash.get(..4).unwrap_or("0"), 16).unwrap_or(0));
    let part = |length: u64| u64::try_from(u128::from(length) * u128::from(share) / 65_536).unwrap_or(0);
    match issued.window {
        Some((from, to)) if from < to && from < issued.until_s => from.saturating_add(part(to - from)),
        _ => {
            let life = issued.until_s.saturating_sub(issued.from_s);
            issued.from_s.saturating_add(life / 3 * 2).saturating_sub(part(life / 30))
        }
    }
}

/// Moment until which a certificate that has just come is not ordered again: a clock that is ahead of the authority's takes each one for ended, and each
/// window for past.
fn rest_until(issued: &Issued, now: u64) -> u64 {
    let life = issued.until_s.saturating_sub(issued.from_s);
    if issued.at_s > now { 0 } else { issued.at_s.saturating_add((life / 3).min(DAY_S)) }
}

/// Moment at which a day has room for another order.
fn room_at(orders: &[u64], now: u64) -> u64 {
    let mut near: Vec<u64> = orders.iter().copied().filter(|at| at.abs_diff(now) < DAY_S).collect();
    if near.len() < ORDERS_A_DAY {
        return 0;
    }
    near.sort_unstable();
    near.get(near.len() - ORDERS_A_DAY).map_or(0, |oldest| oldest.saturating_add(DAY_S))
}

/// Notes a failure of a name: pauses double, and are no shorter than the authority asks for.
pub fn failed(entry: &mut Entry, cause: String, remedy: String, asked_s: Option<u64>, now: u64) {
    let count = entry.failure.as_ref().map_or(0, |failure| failure.count).saturating_add(1);
    let again_s = now.saturating_add(pause(count, asked_s));
    entry.failure = Some(Failure { count, at_s: now, again_s, cause, remedy });
}

/// Notes that an authority is away, or wants no more orders for now. `begun` is the moment at which the order began that has found that: orders beside one another
/// find it together, and it is one failure.
pub fn paused(book: &mut Book, directory: &str, asked_s: Option<u64>, begun: u64, now: u64) {
    let last = book.pauses.get(directory);
    let together = last.filter(|pause| (begun..=now).contains(&pause.at_s));
    let count = match together {
        Some(pause) => pause.count,
        None => last.map_or(0, |pause| pause.count).saturating_add(1),
    };
    let until_s = now.saturating_add(pause(count, asked_s)).max(together.map_or(0, |pause| pause.until_s));
    book.pauses.insert(directory.to_string(), Pause { at_s: now, until_s, count });
}

fn pause(count: u32, asked_s: Option<u64>) -> u64 {
    let own = PAUSE_S.saturating_mul(1 << count.saturating_sub(1).min(16));
    own.max(asked_s.unwrap_or(0)).min(PAUSE_S_MAX)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
