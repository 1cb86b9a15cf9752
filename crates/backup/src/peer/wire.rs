//! Words between a guest and its lender (B-72, B-73): each is its length as u32 and borsh, and nothing in them is a path.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Timestamp;

use crate::name::{Id, Kind, Name};
use crate::object::SEALED_BYTES_MAX;
use crate::pack::PACK_BYTES_MAX;
use crate::peer::refusal::Refusal;

/// Name of the protocol with its version, as the greeting of TLS names it (ALPN).
pub const PROTOCOL: &[u8] = b"openmesh-lend/1";
/// Longest request, bytes: an id, a kind and two numbers have less than a hundred.
pub const REQUEST_BYTES_MAX: usize = 256;
/// Longest answer before the bytes of an object, bytes: a page of a list has 48 for each of its objects.
pub const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Objects of one page of a list.
pub const PAGE_OBJECTS: usize = 4096;
/// Most bytes of an object that one answer carries: whole objects of every kind.
pub const READ_BYTES_MAX: usize = SEALED_BYTES_MAX + 1;
/// Longest marker of a repository, bytes: it has 83, and those of later versions not much more.
const FORMAT_BYTES_MAX: usize = 256;
/// Packs of one repository at a lender: 64 TiB of full ones.
const PACKS_MAX: u64 = 1 << 22;
/// Objects of each other kind in one repository at a lender: years of nightly backups of a hundred applications.
const OTHERS_MAX: u64 = 100_000;

/// Most objects of a kind: what a lender takes, and what a guest believes of a list, which else could fill its memory.
pub fn objects_max(kind: Kind) -> u64 {
    if kind == Kind::Pack { PACKS_MAX } else { OTHERS_MAX }
}

/// Largest object of a name, bytes: what its readers take.
pub fn object_bytes_max(name: Name) -> u64 {
    let most = match name {
        Name::Format => FORMAT_BYTES_MAX,
        Name::Object(Kind::Key, _) => crate::age::FILE_BYTES_MAX,
        Name::Object(Kind::Pack, _) => PACK_BYTES_MAX,
        Name::Object(Kind::Index | Kind::Snapshot | Kind::Session | Kind::Mark, _) => SEALED_BYTES_MAX,
    };
    most as u64
}

/// A request of a guest.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Request {
    /// Tells the terms of the loan, and the room that is left.
    Terms,
    /// Keeps an object if none of its name is there. The bytes follow once the lender has answered `Send`.
    Put {
        /// Its name.
        name: Name,
        /// Its bytes.
        bytes: u64,
    },
    /// Reads a part of an object.
    Read {
        /// Its name.
        name: Name,
        /// First byte.
        from: u64,
        /// Most bytes.
        bytes: u32,
    },
    /// Lists objects of a kind in the order of their ids, a page at a time.
    List {
        /// The kind.
        kind: Kind,
        /// Last id of the page before; none for the first page.
        after: Option<Id>,
    },
    /// Tells whether an object is there.
    Stat {
        /// Its name.
        name: Name,
    },
    /// Removes an object.
    Delete {
        /// Its name.
        name: Name,
    },
}

/// An answer of a lender.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Answer {
    /// The terms.
    Terms(Terms),
    /// Room is kept for the object: its bytes are awaited.
    Send,
    /// The object is there, whole and durable.
    Kept {
        /// It was not there before.
        new: bool,
    },
    /// So many bytes of the object follow; fewer than were asked for where it ends.
    Part {
        /// Their number.
        bytes: u32,
    },
    /// A page of a list.
    Page {
        /// Its objects, by ascending id.
        listed: Vec<Entry>,
        /// There are more after the last.
        more: bool,
    },
    /// An object; none where it is not there.
    Stat {
        /// It.
        found: Option<About>,
    },
    /// The object is not in the guest's store any more.
    Deleted {
        /// It was there.
        was: bool,
    },
    /// Nothing was done.
    Refused(Refusal),
}

/// An object in a page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Entry {
    /// Its id.
    pub id: Id,
    /// It.
    pub about: About,
}

/// Facts of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct About {
    /// Its bytes.
    pub bytes: u64,
    /// The moment it was stored, by the lender's clock.
    pub stored: Timestamp,
}

/// Terms of a loan, with what is used of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Terms {
    /// Room that is lent, bytes.
    pub room_bytes: u64,
    /// Room that objects take, bytes.
    pub used_bytes: u64,
    /// Room that removed objects take which are withheld, bytes.
    pub held_bytes: u64,
    /// Moment after which nothing new is taken; none where it has no end.
    pub until: Option<Timestamp>,
    /// Days for which the lender withholds what the guest removes.
    pub held_days: u32,
}

impl Terms {
    /// Room that is left, bytes.
    pub fn left_bytes(&self) -> u64 {
        self.room_bytes.saturating_sub(self.used_bytes.saturating_add(self.held_bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex_of(value: &impl BorshSerialize) -> String {
        hex::encode(borsh::to_vec(value).unwrap())
    }

    /// The bytes of each word, which never change in version 1.
    #[test]
    fn words_have_these_bytes() {
        let id = Id([0xab; 32]);
        let text = "ab".repeat(32);
        let pack = Name::Object(Kind::Pack, id);
        for (request, bytes) in [
            (Request::Terms, "00".to_string()),
            (Request::Put { name: Name::Format, bytes: 83 }, "01005300000000000000".to_string()),
            (Request::Put { name: pack, bytes: 1 }, format!("010101{text}0100000000000000")),
            (Request::Read { name: pack, from: 2, bytes: 3 }, format!("020101{text}020000000000000003000000")),
            (Request::List { kind: Kind::Mark, after: None }, "030500".to_string()),
            (Request::List { kind: Kind::Key, after: Some(id) }, format!("030001{text}")),
            (Request::Stat { name: Name::Object(Kind::Session, id) }, format!("040104{text}")),
            (Request::Delete { name: Name::Object(Kind::Snapshot, id) }, format!("050103{text}")),
        ] {
            assert_eq!(hex_of(&request), bytes, "{request:?}");
            assert!(bytes.len() / 2 <= REQUEST_BYTES_MAX);
        }
        let about = About { bytes: 7, stored: Timestamp(9) };
        for (answer, bytes) in [
            (Answer::Send, "01".to_string()),
            (Answer::Kept { new: true }, "0201".to_string()),
            (Answer::Part { bytes: 5 }, "0305000000".to_string()),
            (
                Answer::Page { listed: vec![Entry { id, about }], more: false },
                format!("0401000000{text}0700000000000000090000000000000000"),
            ),
            (Answer::Stat { found: None }, "0500".to_string()),
            (Answer::Deleted { was: false }, "0600".to_string()),
            (Answer::Refused(Refusal::Stranger), "0700".to_string()),
            (Answer::Refused(Refusal::Disk), "0705".to_string()),
            (Answer::Refused(Refusal::Reader), "070c".to_string()),
        ] {
            assert_eq!(hex_of(&answer), bytes, "{answer:?}");
        }
    }

    #[test]
    fn a_full_page_fits_into_an_answer() {
        let about = About { bytes: u64::MAX, stored: Timestamp(i64::MAX) };
        let listed = vec![Entry { id: Id([1; 32]), about }; PAGE_OBJECTS];
        let page = borsh::to_vec(&Answer::Page { listed, more: true }).unwrap();
        assert!(page.len() <= ANSWER_BYTES_MAX, "{}", page.len());
    }

    proptest! {
        /// Any bytes are a word or are refused, and a word is read as it was written.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..REQUEST_BYTES_MAX)) {
            if let Ok(request) = borsh::from_slice::<Request>(&bytes) {
                prop_assert_eq!(borsh::to_vec(&request).unwrap(), bytes.clone());
            }
            if let Ok(answer) = borsh::from_slice::<Answer>(&bytes) {
                prop_assert_eq!(borsh::to_vec(&answer).unwrap(), bytes);
            }
        }
    }
}
