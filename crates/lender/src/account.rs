//! The account of a loan: room and objects that are taken (B-75). Pure.

use openmesh_backup::peer::wire::{Terms, objects_max};
use openmesh_backup::{Kind, Name, Refusal};
use openmesh_primitives::Timestamp;

use crate::limits::BLOCK_BYTES;

/// Room and objects that are taken. An object counts from the moment at which its guest announces it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    used_bytes: u64,
    held_bytes: u64,
    /// Objects by kind, withheld ones too, in the order of [`Kind::ALL`].
    objects: [u64; Kind::ALL.len()],
}

/// Room that an object of so many bytes takes.
pub fn charge(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_BYTES).max(1).saturating_mul(BLOCK_BYTES)
}

impl Account {
    fn objects_of(&mut self, name: Name) -> Option<&mut u64> {
        let Name::Object(kind, _) = name else { return None };
        let at = Kind::ALL.iter().position(|other| *other == kind)?;
        self.objects.get_mut(at)
    }

    /// Takes room for an object.
    ///
    /// # Errors
    /// There is none in the loan, or too many objects of its kind: nothing is taken then.
    pub fn take(&mut self, name: Name, bytes: u64, room_bytes: u64) -> Result<(), Refusal> {
        let wanted_bytes = charge(bytes);
        let taken = self.used_bytes.saturating_add(self.held_bytes);
        if taken.saturating_add(wanted_bytes) > room_bytes {
            let (used_bytes, held_bytes) = (self.used_bytes, self.held_bytes);
            return Err(Refusal::Room { room_bytes, used_bytes, held_bytes, wanted_bytes });
        }
        if let Name::Object(kind, _) = name
            && let Some(objects) = self.objects_of(name)
            && *objects >= objects_max(kind)
        {
            return Err(Refusal::Objects { most: objects_max(kind) });
        }
        self.add_used(name, bytes);
        Ok(())
    }

    /// Counts an object that is there.
    pub fn add_used(&mut self, name: Name, bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_add(charge(bytes));
        self.add_object(name, 1);
    }

    /// Counts an object that is withheld.
    pub fn add_held(&mut self, name: Name, bytes: u64) {
        self.held_bytes = self.held_bytes.saturating_add(charge(bytes));
        self.add_object(name, 1);
    }

    fn add_object(&mut self, name: Name, number: u64) {
        if let Some(objects) = self.objects_of(name) {
            *objects = objects.saturating_add(number);
        }
    }

    fn remove_object(&mut self, name: Name) {
        if let Some(objects) = self.objects_of(name) {
            *objects = objects.saturating_sub(1);
        }
    }

    /// Gives back the room of an object that did not come, or has gone.
    pub fn give_back(&mut self, name: Name, bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_sub(charge(bytes));
        self.remove_object(name);
    }

    /// Gives back the room of an object that was withheld, and has gone.
    pub fn let_go(&mut self, name: Name, bytes: u64) {
        self.held_bytes = self.held_bytes.saturating_sub(charge(bytes));
        self.remove_object(name);
    }

    /// Counts an object that was withheld among those that are there again.
    pub fn come_back(&mut self, bytes: u64) {
        self.held_bytes = self.held_bytes.saturating_sub(charge(bytes));
        self.used_bytes = self.used_bytes.saturating_add(charge(bytes));
    }

    /// Withholds an object: its room stays taken.
    pub fn hold(&mut self, bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_sub(charge(bytes));
        self.held_bytes = self.held_bytes.saturating_add(charge(bytes));
    }

    /// Objects, withheld ones too.
    pub fn objects(&self) -> u64 {
        self.objects.iter().sum()
    }

    /// Room that objects take, bytes, and room that withheld ones take.
    pub fn taken(&self) -> (u64, u64) {
        (self.used_bytes, self.held_bytes)
    }

    /// The terms of the loan as its guest hears them.
    pub fn terms(&self, room_bytes: u64, until: Option<Timestamp>, held_days: u32) -> Terms {
        Terms { room_bytes, used_bytes: self.used_bytes, held_bytes: self.held_bytes, until, held_days }
    }
}

#[cfg(test)]
mod tests {
    use openmesh_backup::Id;
    use proptest::prelude::*;

    use super::*;

    fn pack(number: u8) -> Name {
        Name::Object(Kind::Pack, Id([number; 32]))
    }

    #[test]
    fn room_is_taken_in_blocks_and_never_beyond_the_loan() {
        let mut account = Account::default();
        assert_eq!((charge(0), charge(1), charge(4096), charge(4097)), (4096, 4096, 4096, 8192));
        account.take(pack(1), 4097, 12_288).unwrap();
        account.take(Name::Format, 83, 12_288).unwrap();
        let refused = account.take(pack(2), 0, 12_288).unwrap_err();
        let room = Refusal::Room { room_bytes: 12_288, used_bytes: 12_288, held_bytes: 0, wanted_bytes: 4096 };
        assert_eq!((refused, account.objects()), (room, 1));
        // Withheld, it still takes its room.
        account.hold(4097);
        assert!(matches!(account.take(pack(2), 1, 12_288), Err(Refusal::Room { held_bytes: 8192, .. })));
        assert_eq!(account.taken(), (4096, 8192));
    }

    #[test]
    fn objects_of_a_kind_are_bounded() {
        let mut account = Account::default();
        let session = Name::Object(Kind::Session, Id([1; 32]));
        let most = objects_max(Kind::Session);
        for _ in 0..most {
            account.take(session, 1, u64::MAX).unwrap();
        }
        assert_eq!(account.take(session, 1, u64::MAX), Err(Refusal::Objects { most }));
        account.take(pack(1), 1, u64::MAX).unwrap();
        account.give_back(session, 1);
        account.take(session, 1, u64::MAX).unwrap();
    }

    proptest! {
        /// Whatever is done, no more is taken than is lent, and what is given back is free again.
        #[test]
        fn the_sum_is_that_of_what_is_there(acts in proptest::collection::vec((0_u8..5, 0_u64..20_000), 0..60)) {
            let room_bytes = 200_000;
            let (mut account, mut used, mut held) = (Account::default(), Vec::new(), Vec::new());
            for (act, bytes) in acts {
                match act {
                    0 if account.take(pack(1), bytes, room_bytes).is_ok() => used.push(bytes),
                    1 if !used.is_empty() => account.give_back(pack(1), used.swap_remove(bytes as usize % used.len())),
                    2 if !used.is_empty() => {
                        let bytes = used.swap_remove(bytes as usize % used.len());
                        account.hold(bytes);
                        held.push(bytes);
                    }
                    3 if !held.is_empty() => account.let_go(pack(1), held.swap_remove(bytes as usize % held.len())),
                    4 if !held.is_empty() => {
                        let bytes = held.swap_remove(bytes as usize % held.len());
                        account.come_back(bytes);
                        used.push(bytes);
                    }
                    _ => {}
                }
                let sum = |all: &[u64]| all.iter().map(|bytes| charge(*bytes)).sum::<u64>();
                prop_assert_eq!(account.taken(), (sum(&used), sum(&held)));
                prop_assert!(sum(&used) + sum(&held) <= room_bytes);
                prop_assert_eq!(account.objects(), (used.len() + held.len()) as u64);
            }
        }
    }
}
