//! The movements of a block between the places where OPEN stands. Clause SU-3 of `docs/spec/supply.md`.

use openmesh_primitives::Amount;

use super::records::Supply;

/// Movements of a block between the places where OPEN stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Sum of the balances of the accounts that the block changed, before it.
    pub accounts_before: Amount,
    /// The same after it.
    pub accounts_after: Amount,
    /// Deposits taken.
    pub deposits_taken: Amount,
    /// Deposits given back.
    pub deposits_returned: Amount,
    /// Base fees.
    pub burnt: Amount,
}

impl Moved {
    /// The places after the block; `None` where a place would be below zero or beyond 128 bits.
    pub fn after(&self, before: &Supply) -> Option<Supply> {
        let accounts = before.accounts.checked_sub(self.accounts_before)?.checked_add(self.accounts_after)?;
        let deposits = before.deposits.checked_add(self.deposits_taken)?.checked_sub(self.deposits_returned)?;
        let burnt = before.burnt.checked_add(self.burnt)?;
        Some(Supply { accounts, deposits, burnt, ..*before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::supply::SUPPLY_CAP;

    fn supply() -> Supply {
        Supply { pools: Amount(SUPPLY_CAP.0 - 100), accounts: Amount(90), deposits: Amount(10), burnt: Amount(0) }
    }

    /// One unit too many or too few anywhere is seen.
    #[test]
    fn one_unit_that_is_made_or_lost_breaks_the_equation() {
        let right = Moved {
            accounts_before: Amount(50),
            accounts_after: Amount(40),
            deposits_taken: Amount(8),
            deposits_returned: Amount(3),
            burnt: Amount(5),
        };
        let after = right.after(&supply()).unwrap();
        assert!(after.is_whole());
        assert_eq!((after.accounts, after.deposits, after.burnt), (Amount(80), Amount(15), Amount(5)));
        let wrong: [fn(&mut Moved); 5] = [
            |m| m.accounts_before.0 += 1,
            |m| m.accounts_after.0 += 1,
            |m| m.deposits_taken.0 -= 1,
            |m| m.deposits_returned.0 += 1,
            |m| m.burnt.0 -= 1,
        ];
        for change in wrong {
            let mut moved = right;
            change(&mut moved);
            assert!(!moved.after(&supply()).unwrap().is_whole(), "{moved:?}");
        }
        assert_eq!(Moved { accounts_before: Amount(91), ..right }.after(&supply()), None, "more than accounts have");
        assert_eq!(Moved { burnt: Amount(u128::MAX), ..Moved::default() }.after(&after), None);
    }
}
