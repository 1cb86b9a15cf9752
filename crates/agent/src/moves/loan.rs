//! The loan of a move at the machine to which an application comes (X-115, B-74).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use openmesh_backup::NodeKey;
use openmesh_blueprint::document::Name;
use openmesh_primitives::sha256;

use super::copy;
use super::error::MovesError;
use super::records::Arriving;
use super::views::MoveLender;
use crate::error::AgentError;
use crate::lending::views::LoanWish;
use crate::lending::{LendingError, Wish};
use crate::service::Service;

/// Use of this machine's own key as a guest of its own lender, as it is sealed.
pub(super) const OWN: &str = "own";
/// Digits that the name of a loan has: with `move-` before them it is as long as a name can be.
const DIGITS: usize = 27;
/// Copies of all volumes that a loan has room for: the first one, what the last one changes, and what is given back.
const COPIES: u64 = 3;
/// Room beside that, bytes: descriptions, indices, and packs that are rounded up.
const ROOM_BYTES: u64 = 256 << 20;

/// Name of the loan of a move. The other machine chooses the id: of a part of it, it could choose that of another move, whose loan it would have.
fn name(id: &str) -> Result<Name, AgentError> {
    let digits: String = sha256(&[id.as_bytes()]).to_string().chars().take(DIGITS).collect();
    crate::api::name(&format!("move-{digits}"))
}

/// Gives the loan of a move: to the other machine, and to this one, which reads and stores as a guest does. Given already: nothing changes.
///
/// # Errors
/// This machine lends nothing, or a key is none.
pub(super) fn give(service: &Service, arriving: &Arriving) -> Result<(), AgentError> {
    let own = service.moves().unseal(&arriving.id, OWN, &arriving.own)?;
    let own: NodeKey = own.parse().map_err(|_| MovesError::Failed("the key of this move is damaged".into()))?;
    let wish = LoanWish {
        keys: vec![arriving.guest.clone(), own.public().to_string()],
        readers: Vec::new(),
        room_bytes: arriving.size_bytes.saturating_mul(COPIES).saturating_add(ROOM_BYTES),
        until: None,
        held_days: Some(0),
    };
    service.lending().change(&name(&arriving.id)?, &Wish::Give(wish), &arriving.by).map(drop)
}

/// Ends the loan of a move, with everything in it. Ended already: nothing changes.
///
/// # Errors
/// The loans cannot be read or written.
pub(super) fn end(service: &Service, arriving: &Arriving) -> Result<(), AgentError> {
    let name = name(&arriving.id)?;
    for wish in [Wish::End, Wish::Forget] {
        match service.lending().change(&name, &wish, &arriving.by) {
            Ok(_) => {}
            Err(AgentError::Lending(LendingError::NoLoan { .. })) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The lender as another machine asks it.
///
/// # Errors
/// The loans cannot be read.
pub(super) fn lender(service: &Service) -> Result<MoveLender, AgentError> {
    let view = service.lending().view()?;
    Ok(MoveLender { key: view.key, listens: view.listens })
}

/// Address and key of this machine's own lender, for itself.
///
/// # Errors
/// It does not listen.
pub(super) fn own_lender(service: &Service) -> Result<(String, String), AgentError> {
    let lender = lender(service)?;
    let listens = lender.listens.first().and_then(|text| text.parse::<SocketAddr>().ok());
    let loopback = match listens.map(|at| at.ip()) {
        Some(IpAddr::V6(_)) => format!("[{}]", Ipv6Addr::LOCALHOST),
        _ => Ipv4Addr::LOCALHOST.to_string(),
    };
    let away = || {
        MovesError::Failed("the lender of this machine does not listen; `openmesh xnode lend list` tells why".into())
    };
    let address = copy::address(&lender, &loopback).ok_or_else(away)?;
    Ok((address, lender.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_with_ids_that_begin_alike_have_loans_of_their_own() {
        let (one, other) = (format!("{}0", "a".repeat(31)), format!("{}1", "a".repeat(31)));
        let (first, second) = (name(&one).unwrap(), name(&other).unwrap());
        assert!(first != second && first == name(&one).unwrap(), "{first} {second}");
        assert_eq!(first.as_str().len(), 32, "{first}");
    }
}
