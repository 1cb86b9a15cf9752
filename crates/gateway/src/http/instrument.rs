//! Instruments in paths and subscriptions.

use openmesh_api::ErrorCode;
use openmesh_market::Exchange;
use openmesh_primitives::Symbol;

use crate::error::Refusal;
use crate::memory::Register;

/// Reads an instrument of a source that is registered. Fails where a name is none, or is of nothing in the register.
pub fn instrument(register: &Register, exchange: &str, symbol: &str) -> Result<(Exchange, Symbol), Refusal> {
    let exchange: Exchange = exchange
        .parse()
        .map_err(|e| Refusal::new(ErrorCode::UnknownExchange, format!("{e}"), "/v1/sources lists what is collected"))?;
    let symbol: Symbol = symbol
        .parse()
        .map_err(|e| Refusal::new(ErrorCode::BadSymbol, format!("{e}"), "a symbol is BASE.QUOTE, such as BTC.USDT"))?;
    if register.of_instrument(exchange.name(), &symbol.to_string()).next().is_none() {
        let message = format!("{symbol} of {exchange} is not collected here");
        return Err(Refusal::new(ErrorCode::UnknownSymbol, message, "/v1/sources lists what is"));
    }
    Ok((exchange, symbol))
}
