//! The client by which a move asks the other machine again and again: made once, so that its looks share a connection and nobody reads certificates for each.

use std::sync::Arc;

use super::records::Leaving;
use super::wire::Other;

/// The client of a move, with what it was made of.
#[derive(Default)]
pub(super) struct Asks(Option<(Way, Arc<Other>)>);

/// Parts of a mark of which a client is made.
struct Way {
    to: String,
    root: Option<String>,
    token: String,
}

impl Asks {
    /// The client; none before the first, and where a person has given another key or root since.
    pub fn kept(&self, leaving: &Leaving) -> Option<Arc<Other>> {
        let (way, other) = self.0.as_ref()?;
        let is_same = (&way.to, &way.root, &way.token) == (&leaving.to, &leaving.root, &leaving.token);
        is_same.then(|| other.clone())
    }

    /// Keeps a client that was made of a mark.
    pub fn keep(&mut self, leaving: &Leaving, other: Other) -> Arc<Other> {
        let other = Arc::new(other);
        let way = Way { to: leaving.to.clone(), root: leaving.root.clone(), token: leaving.token.clone() };
        self.0 = Some((way, other.clone()));
        other
    }
}

#[cfg(test)]
mod tests {
    use openmesh_blueprint::moving::Departure;

    use super::super::records::tests::leaving;
    use super::*;

    #[test]
    fn a_client_is_kept_until_another_key_is_given() {
        let mut asks = Asks::default();
        let one = leaving(Departure::Tries);
        assert!(asks.kept(&one).is_none());
        let made = asks.keep(&one, Other::new(&one.to, None, "key".into()).unwrap());
        let later = leaving(Departure::Hands);
        assert!(asks.kept(&later).is_some_and(|kept| Arc::ptr_eq(&kept, &made)), "its mark is no part of it");
        let keyed = Leaving { token: "another, sealed".into(), ..one.clone() };
        assert!(asks.kept(&keyed).is_none());
        assert!(asks.kept(&Leaving { root: Some("a root".into()), ..one.clone() }).is_none());
        let again = asks.keep(&keyed, Other::new(&keyed.to, None, "another".into()).unwrap());
        assert!(asks.kept(&keyed).is_some_and(|kept| Arc::ptr_eq(&kept, &again)) && asks.kept(&one).is_none());
    }
}
