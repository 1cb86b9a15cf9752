//! The address from which a request came, as far as shares are concerned.

use std::net::{IpAddr, Ipv6Addr};

tokio::task_local! {
    static PEER: Peer;
}

/// Whoever is behind an address. Of IPv6 the first 64 bits: one customer has all of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(IpAddr);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Peer {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Peer(IpAddr::V6(Ipv6Addr::from(network)))
            }
            v4 => Peer(v4),
        }
    }
}

/// Answers a request as one of this peer.
pub async fn asked_by<T>(address: IpAddr, answer: impl Future<Output = T>) -> T {
    PEER.scope(address.into(), answer).await
}

/// Works for a peer beyond the answer to its request.
pub async fn answering<T>(peer: Peer, work: impl Future<Output = T>) -> T {
    PEER.scope(peer, work).await
}

/// The peer whose request the current task answers; outside of any, nobody's.
pub fn current() -> Peer {
    PEER.try_with(|peer| *peer).unwrap_or(Peer(IpAddr::V6(Ipv6Addr::UNSPECIFIED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_of_one_customer_are_one_peer() {
        let peer = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff::9"));
        assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        let asked = asked_by("10.0.0.1".parse().unwrap(), async { current() }).await;
        assert_eq!(asked, peer("10.0.0.1"));
        assert_ne!(current(), asked);
    }
}
