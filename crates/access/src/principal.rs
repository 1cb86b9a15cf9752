//! The one who asks, as handlers of requests get it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use openmesh_primitives::Address;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::Refusal;
use crate::own::{Only, Right};
use crate::role::Role;

/// Name of whoever is root on the machine.
pub const ROOT: &str = "root";

/// The one who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Root on this machine, through the agent's socket.
    Root,
    /// A member with a wallet.
    Wallet(Address),
    /// An API key.
    Key {
        /// Its number in the list of keys.
        id: String,
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Root => f.write_str(ROOT),
            Who::Wallet(address) => fmt::Display::fmt(address, f),
            Who::Key { id, name } => write!(f, "key {name} ({id})"),
        }
    }
}

/// A request, with everything that it has opened, in the count of its session's.
pub(crate) struct Open {
    count: Arc<AtomicU64>,
    closed: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Open {
    /// One more in a count.
    pub fn counted(count: &Arc<AtomicU64>) -> Arc<Open> {
        count.fetch_add(1, Ordering::SeqCst);
        Arc::new(Open { count: count.clone(), closed: Mutex::new(None) })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
        if let Some(closed) = self.closed.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            closed();
        }
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("count", &self.count).finish_non_exhaustive()
    }
}

/// A session or key that is in use: its number, its end by revocation, and its end by time.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub id: String,
    pub ends: watch::Receiver<()>,
    pub until: Option<Instant>,
    pub open: Arc<Open>,
    pub only: Only,
}

/// Whoever asks, with the role that they have now. It lies among the extensions of a request; `who` prints as the name that a history keeps.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The one who asks.
    pub who: Who,
    /// Role.
    pub role: Role,
    /// Place from which they ask, for people.
    pub from: String,
    pub(crate) live: Option<Live>,
}

impl Principal {
    /// Root on this machine: nothing ends it.
    pub fn root() -> Principal {
        Principal { who: Who::Root, role: Role::Owner, from: "the agent's socket".into(), live: None }
    }

    /// True for root on this machine.
    pub fn is_root(&self) -> bool {
        self.who == Who::Root
    }

    /// Number of the session or key; none for root.
    pub fn credential(&self) -> Option<&str> {
        self.live.as_ref().map(|live| live.id.as_str())
    }

    /// True where no role of one's own keeps this request from whoever asks: the method of its rule by which rights fit it, and its path as it was asked.
    pub fn may(&self, method: Option<&str>, path: &str) -> bool {
        self.live.as_ref().is_none_or(|live| live.only.allows(method, path))
    }

    /// Refuses to give rights, none for all of a role, that roles of one's own keep from whoever gives them.
    ///
    /// # Errors
    /// [`Refusal::NotInRole`].
    pub(crate) fn check_given(&self, rights: Option<&[Right]>) -> Result<(), Refusal> {
        match &self.live {
            Some(live) if !live.only.covers(rights) => Err(Refusal::NotInRole { names: live.only.names().join(", ") }),
            _ => Ok(()),
        }
    }

    /// Names of the roles of one's own that narrow the role.
    pub fn narrowed_by(&self) -> Vec<String> {
        self.live.as_ref().map(|live| live.only.names()).unwrap_or_default()
    }

    /// Has a function called once everything that this request has opened is closed, which is when the last copy of this principal has gone. Never for root.
    pub fn when_closed(&self, does: impl FnOnce() + Send + 'static) {
        if let Some(live) = &self.live {
            *live.open.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(does));
        }
    }

    /// Ready once this principal has no right any more: the session or key is revoked or over, or its role is another one. Never for root. Terminals and
    /// whatever else outlives its answer select on it; bodies of answers end by themselves. As long as it is awaited the session counts as used.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let live = self.live.clone();
        async move {
            let Some(Live { mut ends, until, open: _open, .. }) = live else { return std::future::pending().await };
            let revoked = async {
                // Nothing is ever sent: the sender is dropped.
                while ends.changed().await.is_ok() {}
            };
            let over = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = revoked => {}
                () = over => {}
            }
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.who, f)
    }
}
