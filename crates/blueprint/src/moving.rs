//! A move of an application to another machine (X-110 to X-116): what each of the two machines may do, whoever dies and whatever word is lost.
//!
//! Each machine keeps one mark, durable before what it allows: [`Departure`] where the application leaves, [`Arrival`] where it comes to. The one sends orders and
//! hears the other's mark; orders and words may be lost, doubled, late and out of order. Nothing is replayed: from the mark and what is found follows the next
//! act, again and again.
//!
//! ```text
//! Departure   Tries ─ tried ─► Quiets ─ ready ─► Hands ─ serves ─► Gone ─ an hour, or kept there ─► Over
//!               │ cancel, refused │                │ refused        │
//!               └──────────► Returns ◄─────────────┴── Recalls ◄────┘ undo
//! Arrival     Arrives ─► Ready ─ told ─► Told ─ gate ─► Serves ─ recalled ─► GivesBack ─► Given
//!               └──── a failure, or recalled ───► Refused    └─ over ─► Kept      the others in the end: Dropped
//! ```
//!
//! The application serves at one place at most, since `Told` follows `Hands`, `Hands` is no state in which the one machine serves, and it leaves that state for
//! serving again only by the other's word that it never did (`Refused`, or `Dropped` without another word before it) or will no more (`Given`), all of which last.

use borsh::{BorshDeserialize, BorshSerialize};

/// Id of a backup of the application.
pub type BackupId = String;

/// Mark of a move on the machine that the application leaves.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Departure {
    /// The other machine tries a first copy. The application serves here.
    Tries,
    /// No client is let in here any more. Once nothing runs the last copy is made, which the other machine checks.
    Quiets,
    /// The other machine is told to serve. Whether it does is not known here.
    Hands,
    /// The application serves there. Its data stay here.
    Gone,
    /// Undone: the other machine is told to give back what it has.
    Recalls,
    /// The application serves here, once its data are those of this backup where one is named. The other machine is told to let go of what it has.
    Returns {
        /// Cause.
        cause: String,
        /// Data that the other machine gave back and that are not here yet.
        data: Option<BackupId>,
    },
    /// The application is the other machine's, and this one has no say in it any more.
    Over,
}

/// Mark of a move on the machine to which the application comes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Arrival {
    /// Copies are taken and tried. Nothing serves.
    Arrives {
        /// The first copy that was tried and found good.
        tried: Option<BackupId>,
    },
    /// The last copy is here and was checked. Nothing serves.
    Ready {
        /// The copy.
        backup: BackupId,
    },
    /// It may serve once its gate has passed. No client was let in yet.
    Told,
    /// Clients may have been let in.
    Serves,
    /// The application is this machine's, and the other one has no say in it any more.
    Kept,
    /// It has never served by this move, and never will.
    Refused {
        /// Cause.
        cause: String,
    },
    /// It does not serve any more by this move. What it has is about to be given back.
    GivesBack,
    /// Everything that clients wrote here is in this backup.
    Given {
        /// The backup.
        backup: BackupId,
    },
    /// It has let go.
    Dropped,
}

/// An order of the machine that is left. The other one acts by the last that it has heard.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Order {
    /// Take a copy and check it.
    Take {
        /// The copy.
        backup: BackupId,
        /// No client was let in since it was made.
        is_last: bool,
    },
    /// Serve.
    Serve,
    /// Serve no more, and give back what clients wrote.
    GiveBack,
    /// Let go.
    Drop,
    /// It is yours: nothing undoes the move any more.
    Keep,
}

/// Facts of the machine that is left, as they are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// No client is let in, and nothing of the application runs.
    pub is_quiet: bool,
    /// A first copy that was made in this attempt.
    pub first: Option<BackupId>,
    /// A copy that was made while it was quiet.
    pub last: Option<BackupId>,
}

/// The next act of the machine that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Back up, while it serves.
    BackUp,
    /// Let no client in, drain, stop.
    Quiet,
    /// Back up what nobody changes any more.
    BackUpLast,
    /// Restore a backup beside the data, and choose it.
    Restore(BackupId),
    /// Serve.
    Serve,
    /// Nothing but the order.
    Rest,
}

/// The next act of the machine to which the application comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Restore a copy and check it, without a client.
    Take {
        /// The copy.
        backup: BackupId,
        /// It is the last one.
        is_last: bool,
    },
    /// Start it behind its gate.
    Gate,
    /// Let clients in.
    Admit,
    /// Let no client in, drain, stop, and back up.
    GiveBack,
    /// Remove what came by this move.
    Drop,
    /// Remove what the move needed, and leave the application as it is.
    Forget,
    /// Nothing.
    Rest,
}

/// Something that the machine to which the application comes has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// A copy was restored and checked.
    Taken {
        /// The copy.
        backup: BackupId,
        /// It is the last one.
        is_last: bool,
    },
    /// The gate has passed. To be kept before a client is let in.
    Gated,
    /// A copy, a check or the gate has failed: no client was let in.
    Failed {
        /// Cause.
        cause: String,
    },
    /// Nothing runs any more, and this backup has all of it.
    Stored {
        /// The backup.
        backup: BackupId,
    },
}

impl Departure {
    /// Returns true where clients may be let in here.
    pub fn may_serve(&self) -> bool {
        matches!(self, Departure::Tries | Departure::Returns { data: None, .. })
    }

    /// The next act here.
    pub fn act(&self, here: &Here) -> Act {
        match self {
            Departure::Tries if here.first.is_none() => Act::BackUp,
            Departure::Quiets | Departure::Hands | Departure::Gone | Departure::Recalls if !here.is_quiet => Act::Quiet,
            Departure::Quiets if here.last.is_none() => Act::BackUpLast,
            Departure::Returns { data: Some(backup), .. } => Act::Restore(backup.clone()),
            Departure::Returns { data: None, .. } | Departure::Tries if here.is_quiet => Act::Serve,
            _ => Act::Rest,
        }
    }

    /// The order for the other machine; none where there is none at present.
    pub fn order(&self, here: &Here) -> Option<Order> {
        let take = |backup: &Option<BackupId>, is_last| {
            backup.as_ref().map(|backup| Order::Take { backup: backup.clone(), is_last })
        };
        match self {
            Departure::Tries => take(&here.first, false),
            // A copy of before it was quiet is none of this attempt, whatever its caller says.
            Departure::Quiets => take(&here.last, true).filter(|_| here.is_quiet),
            Departure::Hands => Some(Order::Serve),
            Departure::Recalls => Some(Order::GiveBack),
            Departure::Returns { data: None, .. } => Some(Order::Drop),
            Departure::Over => Some(Order::Keep),
            // What was given back is let go of once it is here.
            Departure::Gone | Departure::Returns { data: Some(_), .. } => None,
        }
    }

    /// The mark after a word of the other machine about this move.
    #[must_use]
    pub fn hear(self, word: &Arrival) -> Departure {
        match (self, word) {
            (Departure::Tries, Arrival::Arrives { tried: Some(_) }) => Departure::Quiets,
            // It becomes ready by a last copy alone, and that is made when this machine is quiet.
            (Departure::Quiets, Arrival::Ready { .. }) => Departure::Hands,
            (Departure::Hands, Arrival::Serves) => Departure::Gone,
            // Its people have kept it, or it has heard nothing for days: nothing is given back any more.
            (Departure::Hands | Departure::Gone | Departure::Recalls, Arrival::Kept) => Departure::Over,
            (Departure::Recalls, Arrival::Given { backup }) => {
                Departure::Returns { cause: "it was undone".into(), data: Some(backup.clone()) }
            }
            (
                Departure::Tries | Departure::Quiets | Departure::Hands | Departure::Recalls,
                Arrival::Refused { cause },
            ) => Departure::Returns { cause: cause.clone(), data: None },
            // Before this machine has said so it lets go by itself alone, and then it never served: it was not told to, or has refused.
            (Departure::Tries | Departure::Quiets | Departure::Hands | Departure::Recalls, Arrival::Dropped) => {
                Departure::Returns {
                    cause: "the other machine never served it, heard nothing for a day, and let go of it".into(),
                    data: None,
                }
            }
            (own, _) => own,
        }
    }

    /// The mark after the other machine has said that it knows nothing of this move: it never served before it was told to. Whether it does after that, nobody
    /// knows who has forgotten it.
    #[must_use]
    pub fn forgotten(self) -> Departure {
        self.cancel("the other machine knows nothing of this move any more")
    }

    /// The mark after a person, or a failure here, has ended the attempt. Once the other machine was told to serve, it can only be undone.
    #[must_use]
    pub fn cancel(self, cause: &str) -> Departure {
        match self {
            Departure::Tries | Departure::Quiets => Departure::Returns { cause: cause.into(), data: None },
            other => other,
        }
    }

    /// The mark after a person has undone the move.
    #[must_use]
    pub fn recall(self) -> Departure {
        match self {
            Departure::Hands | Departure::Gone => Departure::Recalls,
            other => other.cancel("it was undone"),
        }
    }

    /// The mark after the data that were given back are here.
    #[must_use]
    pub fn restored(self) -> Departure {
        match self {
            Departure::Returns { cause, .. } => Departure::Returns { cause, data: None },
            other => other,
        }
    }

    /// The mark after the time in which it can be undone.
    #[must_use]
    pub fn settle(self) -> Departure {
        if self == Departure::Gone { Departure::Over } else { self }
    }
}

impl Arrival {
    /// Returns true where clients may be let in here: after the gate, for which [`Arrival::Told`] is enough.
    pub fn may_serve(&self) -> bool {
        matches!(self, Arrival::Serves | Arrival::Kept)
    }

    /// Returns true where nothing becomes of it any more.
    pub fn is_over(&self) -> bool {
        matches!(self, Arrival::Kept | Arrival::Dropped)
    }

    /// The mark after an order. What no order of this state is, changes nothing.
    #[must_use]
    pub fn hear(self, order: &Order) -> Arrival {
        match (self, order) {
            (Arrival::Ready { .. }, Order::Serve) => Arrival::Told,
            (Arrival::Told | Arrival::Serves, Order::GiveBack) => Arrival::GivesBack,
            (Arrival::Serves, Order::Keep) => Arrival::Kept,
            (Arrival::Arrives { .. } | Arrival::Ready { .. }, Order::GiveBack) => {
                Arrival::Refused { cause: "it was undone".into() }
            }
            (
                Arrival::Arrives { .. } | Arrival::Ready { .. } | Arrival::Refused { .. } | Arrival::Given { .. },
                Order::Drop,
            ) => Arrival::Dropped,
            (own, _) => own,
        }
    }

    /// The next act, by the last order that was heard in this run of the agent.
    pub fn work(&self, order: Option<&Order>, serves: bool) -> Work {
        match (self, order) {
            (Arrival::Arrives { tried }, Some(Order::Take { backup, is_last })) if *is_last || tried.is_none() => {
                Work::Take { backup: backup.clone(), is_last: *is_last }
            }
            // Made anew, as after a death of the other machine.
            (Arrival::Ready { backup: have }, Some(Order::Take { backup, is_last: true })) if have != backup => {
                Work::Take { backup: backup.clone(), is_last: true }
            }
            (Arrival::Told, _) => Work::Gate,
            (Arrival::Serves | Arrival::Kept, _) if !serves => Work::Admit,
            (Arrival::Kept, _) => Work::Forget,
            (Arrival::GivesBack, _) => Work::GiveBack,
            (Arrival::Dropped, _) => Work::Drop,
            _ => Work::Rest,
        }
    }

    /// The mark after a day in which nothing was heard (X-116). One that was told to serve waits, as long as it may come to that.
    #[must_use]
    pub fn expire(self) -> Arrival {
        match self {
            Arrival::Arrives { .. } | Arrival::Ready { .. } | Arrival::Refused { .. } => Arrival::Dropped,
            own => own,
        }
    }

    /// The mark after days in which nothing was heard (X-116): what serves stays. Whatever the other machine wished meanwhile, it takes [`Arrival::Kept`] for the
    /// end, so that nothing serves at two places by it.
    #[must_use]
    pub fn settle(self) -> Arrival {
        if self == Arrival::Serves { Arrival::Kept } else { self }
    }

    /// The mark after something was done here. What comes too late, because of an order meanwhile, changes nothing.
    #[must_use]
    pub fn done(self, done: &Done) -> Arrival {
        match (self, done) {
            (Arrival::Arrives { .. }, Done::Taken { backup, is_last: false }) => {
                Arrival::Arrives { tried: Some(backup.clone()) }
            }
            (Arrival::Arrives { .. } | Arrival::Ready { .. }, Done::Taken { backup, is_last: true }) => {
                Arrival::Ready { backup: backup.clone() }
            }
            (Arrival::Told, Done::Gated) => Arrival::Serves,
            (Arrival::Arrives { .. } | Arrival::Ready { .. } | Arrival::Told, Done::Failed { cause }) => {
                Arrival::Refused { cause: cause.clone() }
            }
            (Arrival::GivesBack, Done::Stored { backup }) => Arrival::Given { backup: backup.clone() },
            (own, _) => own,
        }
    }
}
