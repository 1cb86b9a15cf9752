//! Refusals of restarts, each with what helps.

use openmesh_blueprint::document::{Name, Wish};

/// A refusal of a restart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRestart {
    /// It is in no wanted generation.
    #[error("the wanted generation has no application `{name}`; there are {known}")]
    NoApplication {
        /// The name that was asked for.
        name: Name,
        /// The names that are there.
        known: String,
    },
    /// A person wished it stopped, or paused.
    #[error("{name} is {} by its document, so that nothing of it runs; deploy it with `wish: running`, and it starts", word(*wish))]
    NotRunning {
        /// The application.
        name: Name,
        /// The wish.
        wish: Wish,
    },
    /// Another version of it is on its way.
    #[error(
        "another version of {name} is on its way in generation {wanted}, and starts anew with it; wait until it is committed, or go back with `openmesh app rollback {serves}`"
    )]
    OnItsWay {
        /// The application.
        name: Name,
        /// The wanted generation.
        wanted: u64,
        /// The one that serves.
        serves: u64,
    },
    /// Its first version is on its way.
    #[error(
        "the first version of {name} is on its way in generation {wanted}; wait until it is committed: `openmesh app why {name}` tells how far it is"
    )]
    First {
        /// The application.
        name: Name,
        /// The wanted generation.
        wanted: u64,
    },
    /// It is left as it is.
    #[error(
        "{name} is held, and nothing of it is started or ended until that is over: {cause}; `openmesh app why {name}` tells more"
    )]
    Held {
        /// The application.
        name: Name,
        /// The cause, with what would help.
        cause: String,
    },
    /// An instance that is not there.
    #[error("{name} has no instance `{instance}`; there are {known}")]
    NoInstance {
        /// The application.
        name: Name,
        /// The instance that was asked for.
        instance: String,
        /// Those that are there.
        known: String,
    },
}

fn word(wish: Wish) -> &'static str {
    if wish == Wish::Paused { "paused" } else { "stopped" }
}
