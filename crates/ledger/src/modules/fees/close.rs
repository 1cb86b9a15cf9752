//! The end of a block: base fees are burnt, tips go to the proposer, and the base fee follows the load.

use openmesh_primitives::Address;

use super::base_fee::next_base_fee;
use super::events::FeesEvent;
use super::keys;
use crate::block::BlockLimits;
use crate::context::Context;
use crate::modules::accounts;
use crate::state::StateError;

/// Pays the tips to the proposer's account, notes what is burnt, and sets the base fee of the next block. Fails if the store does.
pub(crate) fn close(context: &mut Context<'_>, earner: Address) -> Result<(), StateError> {
    let collected = context.fees;
    if collected.tips.0 > 0 {
        accounts::pay(context, earner, collected.tips)?;
    }
    context.moved.burnt = collected.burnt;
    let (base_fee, height) = (context.rules.base_fee, context.height);
    let load = collected.load.share(&BlockLimits::of(&context.rules.params));
    let next = next_base_fee(base_fee, load, &context.rules.params);
    if next != base_fee {
        context.state.put(keys::BASE_FEE.to_vec(), &next);
    }
    // Nothing is said of a block that had the least base fee, and after which it is that again.
    let lowest = context.rules.params.accounts.fee_min;
    if next != lowest || base_fee != lowest || collected.load.weight > 0 {
        let (burnt, tips) = (collected.burnt, collected.tips);
        context.emit(FeesEvent::Collected { base_fee, next_base_fee: next, burnt, tips, load, height });
    }
    Ok(())
}
