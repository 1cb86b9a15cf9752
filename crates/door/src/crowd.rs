//! Shares of clients in what a door has: connections and open requests, all together and of each origin.
//!
//! Connections alone are no bound: HTTP/2 has [`STREAMS_MAX`](crate::limits::STREAMS_MAX) requests on each, and each may take a descriptor towards
//! an instance and a window of memory. An origin is an address of IPv4, or the /64 of one of IPv6, which is what a house has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::limits::{CONNECTIONS_MAX, CONNECTIONS_OF_ORIGIN_MAX, REQUESTS_MAX, REQUESTS_OF_ORIGIN_MAX};

/// Bits of an address of IPv6 that name a network.
const NETWORK_BITS: u32 = 64;

/// All clients.
#[derive(Debug)]
pub struct Crowd {
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    origins: Mutex<HashMap<IpAddr, Counts>>,
    left: Notify,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    connections: usize,
    requests: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connection,
    Request,
}

/// Reason why there is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// The door has no more.
    Door,
    /// This origin has all that one may have.
    Origin,
}

/// A connection or a request that is counted until this is dropped.
#[derive(Debug)]
pub struct Share {
    crowd: Arc<Crowd>,
    origin: IpAddr,
    kind: Kind,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut origins = self.crowd.lock();
        if let Some(counts) = origins.get_mut(&self.origin) {
            *counts.of(self.kind) -= 1;
            if *counts == Counts::default() {
                origins.remove(&self.origin);
            }
        }
        drop(origins);
        drop(self.permit.take());
        if self.kind == Kind::Connection {
            self.crowd.left.notify_waiters();
        }
    }
}

impl Counts {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Connection => &mut self.connections,
            Kind::Request => &mut self.requests,
        }
    }
}

impl Crowd {
    /// Nobody.
    pub fn new() -> Arc<Crowd> {
        Arc::new(Crowd {
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            origins: Mutex::default(),
            left: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Counts>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of open connections.
    pub fn connections(&self) -> usize {
        CONNECTIONS_MAX - self.connections.available_permits()
    }

    /// Waits for room for a connection. `None` where its origin has too many.
    pub async fn connection(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let permit = self.connections.clone().acquire_owned().await.ok()?;
        self.share(address, Kind::Connection, CONNECTIONS_OF_ORIGIN_MAX, permit)
    }

    /// Room for a request that is forwarded.
    ///
    /// # Errors
    /// [`Crowded`].
    pub fn request(self: &Arc<Self>, address: IpAddr) -> Result<Share, Crowded> {
        let permit = self.requests.clone().try_acquire_owned().map_err(|_| Crowded::Door)?;
        self.share(address, Kind::Request, REQUESTS_OF_ORIGIN_MAX, permit).ok_or(Crowded::Origin)
    }

    fn share(self: &Arc<Self>, address: IpAddr, kind: Kind, max: usize, permit: OwnedSemaphorePermit) -> Option<Share> {
        let origin = origin(address);
        let mut origins = self.lock();
        let count = origins.entry(origin).or_default().of(kind);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Share { crowd: self.clone(), origin, kind, permit: Some(permit) })
    }

    /// Waits until no connection is open.
    pub async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // From here on no notice is missed.
            left.as_mut().enable();
            if self.connections() == 0 {
                return;
            }
            left.await;
        }
    }
}

fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let rest = u128::BITS - NETWORK_BITS;
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> rest << rest))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_origin_has_its_share_and_gives_it_back() {
        let crowd = Crowd::new();
        let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
        let mut shares = Vec::new();
        for number in 0..CONNECTIONS_OF_ORIGIN_MAX {
            // A network of IPv6 is one client, whatever addresses it takes.
            shares.push(crowd.connection(address(&format!("2001:db8:1:2::{number:x}"))).await.expect("room"));
        }
        assert!(crowd.connection(address("2001:db8:1:2:ffff::1")).await.is_none());
        assert!(crowd.connection(address("2001:db8:1:3::1")).await.is_some(), "another network");
        assert!(crowd.request(address("2001:db8:1:2::1")).is_ok(), "requests are counted apart");
        assert_eq!(crowd.connections(), CONNECTIONS_OF_ORIGIN_MAX);
        shares.pop();
        let share = crowd.connection(address("2001:db8:1:2::1")).await.expect("room again");
        drop((shares, share));
        crowd.emptied().await;
        assert!(crowd.lock().is_empty(), "nothing is remembered of those who left");
    }

    #[test]
    fn requests_are_bounded_for_an_origin_and_for_all() {
        let crowd = Crowd::new();
        let of = |number: usize| IpAddr::from([10, 0, 0, u8::try_from(number).expect("few")]);
        let mut shares = Vec::new();
        for origin in 0..REQUESTS_MAX / REQUESTS_OF_ORIGIN_MAX {
            shares.extend((0..REQUESTS_OF_ORIGIN_MAX).map(|_| crowd.request(of(origin)).expect("room")));
            if shares.len() < REQUESTS_MAX {
                assert_eq!(crowd.request(of(origin)).err(), Some(Crowded::Origin));
            }
        }
        assert_eq!(crowd.request(of(200)).err(), Some(Crowded::Door));
        shares.pop();
        assert!(crowd.request(of(200)).is_ok());
    }
}
