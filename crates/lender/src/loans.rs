//! Loans as the agent writes them down for the lender: who may store how much, until when (B-74). The file is the agent's, replaced as a whole.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_backup::NodePublicKey;
use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};

use crate::limits::{HELD_DAYS_MAX, KEYS_MAX, LOANS_MAX};

/// Everything that a lender is told while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loans {
    /// Name of the start for which this is. A lender of another start leaves: the next one takes its place.
    pub run: String,
    /// Free disk that stays for the machine itself, bytes.
    pub reserve_bytes: u64,
    /// Loans by name, which is also that of their folder.
    pub loans: BTreeMap<String, Loan>,
}

/// The part of the file that every version has.
#[derive(Deserialize)]
pub(crate) struct RunOnly {
    /// Name of the start.
    pub run: String,
}

/// Standing of a loan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The guest stores, reads and removes.
    #[default]
    Lent,
    /// A person has ended it: the guest reads, and nothing changes.
    Ended,
    /// A person wants its objects gone.
    Forgotten,
}

/// An order to bring back what the guest has removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BringBack {
    /// Its number: each order is done once.
    pub number: u64,
    /// Days, the present one among them.
    pub days: u32,
}

/// A loan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loan {
    /// Public keys of the guest's machines.
    pub keys: BTreeSet<String>,
    /// Public keys of the guest's owner, which read alone (B-83).
    #[serde(default)]
    pub readers: BTreeSet<String>,
    /// Room, bytes.
    pub room_bytes: u64,
    /// Moment after which nothing new is taken; none where it has no end.
    pub until: Option<Timestamp>,
    /// Days for which removed objects are withheld.
    pub held_days: u32,
    /// Its standing.
    pub standing: Standing,
    /// Order to bring back.
    pub bring_back: Option<BringBack>,
}

/// Rights of a guest at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// It may store.
    pub stores: bool,
    /// It may remove.
    pub removes: bool,
}

impl Loan {
    /// Rights of the guest by the wall clock. After its end by date the guest still tidies: what it removes is withheld.
    pub fn rights(&self, now: Timestamp) -> Rights {
        let removes = self.standing == Standing::Lent;
        Rights { stores: removes && self.until.is_none_or(|until| now < until), removes }
    }
}

/// A key with its loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'l> {
    /// Name of the loan.
    pub name: &'l str,
    /// The loan.
    pub loan: &'l Loan,
    /// The key is one of the owner's, which reads alone.
    pub reads_only: bool,
}

impl Loans {
    /// The first fault; none where all is as it has to be.
    pub fn fault(&self) -> Option<String> {
        if self.loans.len() > LOANS_MAX {
            return Some(format!("there are {} loans, and at most {LOANS_MAX} are taken", self.loans.len()));
        }
        let mut keys = BTreeSet::new();
        for (name, loan) in &self.loans {
            if !is_name(name) {
                return Some(format!("`{name}` is no name of a loan"));
            }
            if loan.keys.len().max(loan.readers.len()) > KEYS_MAX || loan.held_days > HELD_DAYS_MAX {
                return Some(format!("loan `{name}` has too many keys or days"));
            }
            for key in loan.keys.iter().chain(&loan.readers) {
                if key.parse::<NodePublicKey>().is_err() || !keys.insert(key) {
                    return Some(format!(
                        "loan `{name}` has the key `{key}`, which is none or stands somewhere else too"
                    ));
                }
            }
        }
        None
    }

    /// The loan of a key; none for a stranger, and for one whose objects are to go.
    pub fn of(&self, key: NodePublicKey) -> Option<Found<'_>> {
        let text = key.to_string();
        let there = self.loans.iter().filter(|(_, loan)| loan.standing != Standing::Forgotten);
        let mut found = there.map(|(name, loan)| Found { name, loan, reads_only: !loan.keys.contains(&text) });
        found.find(|found| !found.reads_only || found.loan.readers.contains(&text))
    }
}

/// Returns true for a name of a loan: one part of a path, and nothing that means another folder.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-')
}

#[cfg(test)]
mod tests {
    use openmesh_backup::NodeKey;

    use super::*;

    fn key(number: u8) -> NodePublicKey {
        NodeKey::from_seed([number; 32]).public()
    }

    fn loan(numbers: &[u8]) -> Loan {
        Loan { keys: numbers.iter().map(|number| key(*number).to_string()).collect(), ..Loan::default() }
    }

    fn loans(all: &[(&str, Loan)]) -> Loans {
        let loans = all.iter().map(|(name, loan)| (name.to_string(), loan.clone())).collect();
        Loans { loans, ..Loans::default() }
    }

    #[test]
    fn a_key_leads_to_its_loan_and_to_no_other() {
        let all = loans(&[("ann", loan(&[1, 2])), ("bob", loan(&[3]))]);
        assert_eq!(all.fault(), None);
        let of = |number| all.of(key(number)).map(|found| found.name);
        assert_eq!((of(1), of(2), of(3), of(4)), (Some("ann"), Some("ann"), Some("bob"), None));
        let gone = loans(&[("ann", Loan { standing: Standing::Forgotten, ..loan(&[1]) })]);
        assert_eq!(gone.of(key(1)), None);
    }

    #[test]
    fn a_key_of_the_owner_leads_to_the_loan_and_reads_alone() {
        let readers = [5, 6].map(|number| key(number).to_string()).into();
        let all = loans(&[("ann", loan(&[1])), ("bob", Loan { readers, ..loan(&[3]) })]);
        assert_eq!(all.fault(), None);
        let of = |number| all.of(key(number)).map(|found| (found.name, found.reads_only));
        assert_eq!((of(1), of(3)), (Some(("ann", false)), Some(("bob", false))));
        assert_eq!((of(5), of(6), of(7)), (Some(("bob", true)), Some(("bob", true)), None));
        // One key has one meaning: it is not a guest's here and an owner's there.
        let readers = [key(1).to_string()].into();
        let both = loans(&[("ann", loan(&[1])), ("bob", Loan { readers, ..loan(&[3]) })]);
        assert!(both.fault().is_some_and(|fault| fault.contains("bob")));
    }

    /// The file of an agent of before has no readers.
    #[test]
    fn a_loan_without_readers_is_read() {
        let mut value = serde_json::to_value(loan(&[1])).unwrap();
        value.as_object_mut().unwrap().remove("readers");
        assert_eq!(serde_json::from_value::<Loan>(value).unwrap(), loan(&[1]));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (name, one) in [("..", loan(&[1])), ("a/b", loan(&[1])), ("", loan(&[1])), ("-a", loan(&[1]))] {
            assert!(loans(&[(name, one)]).fault().is_some_and(|fault| fault.contains("no name")), "{name}");
        }
        let twice = loans(&[("ann", loan(&[1])), ("bob", loan(&[1]))]);
        assert!(twice.fault().is_some_and(|fault| fault.contains("bob")));
        let mut odd = loan(&[]);
        odd.keys.insert("ab".into());
        assert!(loans(&[("ann", odd)]).fault().is_some());
        let long = Loan { held_days: HELD_DAYS_MAX + 1, ..loan(&[1]) };
        assert!(loans(&[("ann", long)]).fault().is_some());
    }

    #[test]
    fn rights_end_by_date_and_by_a_person() {
        let now = Timestamp(10);
        let of = |standing, until| Loan { standing, until, ..Loan::default() }.rights(now);
        let both = |stores, removes| Rights { stores, removes };
        assert_eq!(of(Standing::Lent, None), both(true, true));
        assert_eq!(of(Standing::Lent, Some(Timestamp(11))), both(true, true));
        assert_eq!(of(Standing::Lent, Some(now)), both(false, true));
        assert_eq!(of(Standing::Ended, None), both(false, false));
    }
}
