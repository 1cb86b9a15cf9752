//! Holding deposits and giving them back.

use openmesh_primitives::{Address, Amount};

use super::events::DepositsEvent;
use super::keys;
use super::records::{Deposit, deposit};
use crate::context::Context;
use crate::modules::accounts;
use crate::state::StateError;

/// Holds an amount for a record that the sender of a transaction stores. The sender was charged with it before: it is the deposit
/// that the action declares ([`crate::ActionDescriptor::deposit`]), or a part of what it spends. A record has one deposit and one
/// owner: what the owner gave for it before is added to. Fails if the store does.
pub(crate) fn hold(context: &mut Context<'_>, owner: Address, record: &[u8], amount: Amount) -> Result<(), StateError> {
    if amount == Amount::ZERO {
        return Ok(());
    }
    let held = deposit(&context.state, record)?.map_or(Amount::ZERO, |deposit| deposit.amount);
    // No sum of amounts that accounts had reaches 128 bits: the cap is far below.
    let whole = Deposit { owner, amount: Amount(held.0.saturating_add(amount.0)) };
    context.state.put(keys::deposit(record), &whole);
    context.moved.deposits_taken = Amount(context.moved.deposits_taken.0.saturating_add(amount.0));
    let height = context.height;
    context.emit(DepositsEvent::Held { owner, amount, height });
    Ok(())
}

/// Gives back what is held for a record that goes. Nothing happens where nothing is held. Fails if the store does.
pub(crate) fn give_back(context: &mut Context<'_>, record: &[u8]) -> Result<(), StateError> {
    let Some(Deposit { owner, amount }) = deposit(&context.state, record)? else { return Ok(()) };
    context.state.delete(keys::deposit(record));
    context.moved.deposits_returned = Amount(context.moved.deposits_returned.0.saturating_add(amount.0));
    accounts::pay(context, owner, amount)?;
    let height = context.height;
    context.emit(DepositsEvent::Returned { owner, amount, height });
    Ok(())
}
