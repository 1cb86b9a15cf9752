//! Answers about moves, as JSON has them, and the flat forms of marks and orders that two machines tell each other.

use openmesh_blueprint::moving::{Arrival, Departure, Order};
use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// State of an application on the machine that it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DepartingState {
    /// It serves here, while the other machine tries a first copy.
    Tries,
    /// No client is let in here any more; the last copy is made and checked.
    Quiets,
    /// The other machine is told to serve.
    Hands,
    /// It serves there, and can be undone.
    Gone,
    /// Undone: the other machine gives back what it has.
    Recalls,
    /// It serves here, or is about to.
    Returns,
    /// It is the other machine's.
    Over,
}

/// State of an application on the machine to which it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArrivingState {
    /// Copies are taken and tried.
    Arrives,
    /// The last copy is there and was checked.
    Ready,
    /// It may serve once its gate has passed.
    Told,
    /// Clients may have been let in.
    Serves,
    /// It is that machine's.
    Kept,
    /// It has never served by this move, and never will.
    Refused,
    /// It serves no more, and what it has is about to be given back.
    GivesBack,
    /// Everything that clients wrote there is given back.
    Given,
    /// It has let go.
    Dropped,
}

/// Moves of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Moves {
    /// Those that go on, or can be undone.
    pub moves: Vec<Move>,
    /// The last ones that have ended, the newest first.
    pub ended: Vec<EndedMove>,
}

/// A move of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Move {
    /// Its id, the same on both machines.
    pub id: String,
    /// The application.
    pub application: String,
    /// It leaves this machine; else it comes here.
    pub leaves: bool,
    /// Name of the other machine.
    pub other: String,
    /// Address of the other machine's agent, where the application leaves.
    pub to: Option<String>,
    /// Whoever asked for it.
    pub by: String,
    /// Its begin.
    #[schema(value_type = String, format = "seconds")]
    pub begun: Timestamp,
    /// State here, where the application leaves.
    pub departing: Option<DepartingState>,
    /// State on the machine to which the application comes, as it was said last.
    pub arriving: Option<ArrivingState>,
    /// The present step, in words.
    pub step: String,
    /// Bytes of the step that are done.
    pub bytes: u64,
    /// Bytes of the step in all, roughly; 0 where it has none.
    pub all_bytes: u64,
    /// Cause of its return, or of what it waits for.
    pub cause: Option<String>,
    /// Moment since which it does not get further; none where it does.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub waits_since: Option<Timestamp>,
    /// Clients are let in nowhere at present.
    pub is_down: bool,
    /// A person can cancel or undo it here.
    pub can_undo: bool,
    /// Time for which it can still be undone, milliseconds, once it serves there.
    pub undo_left_ms: Option<u64>,
}

/// Outcome of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoveOutcome {
    /// The application is the other machine's, or this one's where it came here.
    Moved,
    /// It is where it was.
    Returned,
    /// A person has let this machine forget it.
    Forgotten,
}

/// A move that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndedMove {
    /// Its id.
    pub id: String,
    /// The application.
    pub application: String,
    /// It left this machine; else it came here.
    pub leaves: bool,
    /// Name of the other machine.
    pub other: String,
    /// Its begin.
    #[schema(value_type = String, format = "seconds")]
    pub begun: Timestamp,
    /// Its end.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Outcome.
    pub outcome: MoveOutcome,
    /// Cause of a return.
    pub cause: Option<String>,
}

/// A move that a person wants.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveWish {
    /// Address of the other machine's agent: `https://xnode.example.org`.
    pub to: String,
    /// API key or token of a session there, with the role of an operator. It is kept, sealed, until the move has ended.
    pub key: String,
    /// Certificate as PEM by which a private authority of the other machine is known.
    #[serde(default)]
    pub root: Option<String>,
}

impl std::fmt::Debug for MoveWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "move to {}", self.to)
    }
}

/// An application that another machine wants to bring here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArrivalWish {
    /// The application.
    pub application: String,
    /// Name of the machine that it leaves.
    pub node: String,
    /// Key of this move by which that machine stores copies in the loan.
    pub guest: String,
    /// Recipient of age by which that machine reads what is given back.
    pub recipient: String,
    /// Size of all of its volumes, bytes.
    pub size_bytes: u64,
    /// Digest of its image, where a registry has it.
    #[serde(default)]
    pub image: Option<String>,
}

/// Order of the machine that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoveOrder {
    /// Take a copy and check it.
    Take,
    /// Serve.
    Serve,
    /// Serve no more, and give back what clients wrote.
    GiveBack,
    /// Let go.
    Drop,
    /// It is yours.
    Keep,
}

/// An order as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArrivalOrder {
    /// The order.
    pub order: MoveOrder,
    /// The copy that is to be taken.
    #[serde(default)]
    pub backup: Option<String>,
    /// No client was let in since the copy was made.
    #[serde(default)]
    pub is_last: bool,
    /// Id of the repository with the copies.
    #[serde(default)]
    pub repository: Option<String>,
}

/// The lender of a machine to which an application comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveLender {
    /// Its key.
    pub key: String,
    /// Addresses at which it answers; none before it does.
    pub listens: Vec<String>,
}

/// Word of the machine to which an application comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveArrival {
    /// Id of the move.
    pub id: String,
    /// The application.
    pub application: String,
    /// Name of this machine.
    pub node: String,
    /// State.
    pub state: ArrivingState,
    /// Clients are let in there.
    #[serde(default)]
    pub is_open: bool,
    /// The copy that the state is about.
    pub backup: Option<String>,
    /// Cause of a refusal.
    pub cause: Option<String>,
    /// Recipient of age by which this machine reads copies.
    pub recipient: String,
    /// The lender that keeps the copies.
    pub lender: MoveLender,
    /// The last order that was heard since this agent began.
    pub heard: Option<ArrivalOrder>,
    /// The present step, in words.
    pub step: String,
    /// Bytes of the step that are done.
    pub bytes: u64,
    /// Bytes of the step in all, roughly; 0 where it has none.
    pub all_bytes: u64,
    /// Cause for which it does not get further now.
    pub trouble: Option<String>,
}

/// A mark of the machine that is left, in its flat form: state, cause, data that are not here yet.
pub(super) fn flat_departure(mark: &Departure) -> (DepartingState, Option<String>, Option<String>) {
    match mark {
        Departure::Tries => (DepartingState::Tries, None, None),
        Departure::Quiets => (DepartingState::Quiets, None, None),
        Departure::Hands => (DepartingState::Hands, None, None),
        Departure::Gone => (DepartingState::Gone, None, None),
        Departure::Recalls => (DepartingState::Recalls, None, None),
        Departure::Returns { cause, data } => (DepartingState::Returns, Some(cause.clone()), data.clone()),
        Departure::Over => (DepartingState::Over, None, None),
    }
}

/// The mark of a flat form.
pub(super) fn departure(state: DepartingState, cause: Option<String>, data: Option<String>) -> Departure {
    match state {
        DepartingState::Tries => Departure::Tries,
        DepartingState::Quiets => Departure::Quiets,
        DepartingState::Hands => Departure::Hands,
        DepartingState::Gone => Departure::Gone,
        DepartingState::Recalls => Departure::Recalls,
        DepartingState::Returns => Departure::Returns { cause: cause.unwrap_or_default(), data },
        DepartingState::Over => Departure::Over,
    }
}

/// A mark of the machine to which the application comes, in its flat form: state, copy, cause.
pub(super) fn flat_arrival(mark: &Arrival) -> (ArrivingState, Option<String>, Option<String>) {
    match mark {
        Arrival::Arrives { tried } => (ArrivingState::Arrives, tried.clone(), None),
        Arrival::Ready { backup } => (ArrivingState::Ready, Some(backup.clone()), None),
        Arrival::Told => (ArrivingState::Told, None, None),
        Arrival::Serves => (ArrivingState::Serves, None, None),
        Arrival::Kept => (ArrivingState::Kept, None, None),
        Arrival::Refused { cause } => (ArrivingState::Refused, None, Some(cause.clone())),
        Arrival::GivesBack => (ArrivingState::GivesBack, None, None),
        Arrival::Given { backup } => (ArrivingState::Given, Some(backup.clone()), None),
        Arrival::Dropped => (ArrivingState::Dropped, None, None),
    }
}

/// The mark of a flat form; none where it lacks its copy.
pub(super) fn arrival(state: ArrivingState, backup: Option<String>, cause: Option<String>) -> Option<Arrival> {
    Some(match state {
        ArrivingState::Arrives => Arrival::Arrives { tried: backup },
        ArrivingState::Ready => Arrival::Ready { backup: backup? },
        ArrivingState::Told => Arrival::Told,
        ArrivingState::Serves => Arrival::Serves,
        ArrivingState::Kept => Arrival::Kept,
        ArrivingState::Refused => Arrival::Refused { cause: cause.unwrap_or_default() },
        ArrivingState::GivesBack => Arrival::GivesBack,
        ArrivingState::Given => Arrival::Given { backup: backup? },
        ArrivingState::Dropped => Arrival::Dropped,
    })
}

/// An order in its flat form.
pub(super) fn flat_order(order: &Order, repository: Option<String>) -> ArrivalOrder {
    let (order, backup, is_last) = match order {
        Order::Take { backup, is_last } => (MoveOrder::Take, Some(backup.clone()), *is_last),
        Order::Serve => (MoveOrder::Serve, None, false),
        Order::GiveBack => (MoveOrder::GiveBack, None, false),
        Order::Drop => (MoveOrder::Drop, None, false),
        Order::Keep => (MoveOrder::Keep, None, false),
    };
    ArrivalOrder { order, backup, is_last, repository }
}

/// The order of a flat form; none where it lacks its copy.
pub(super) fn order(told: &ArrivalOrder) -> Option<Order> {
    Some(match told.order {
        MoveOrder::Take => Order::Take { backup: told.backup.clone()?, is_last: told.is_last },
        MoveOrder::Serve => Order::Serve,
        MoveOrder::GiveBack => Order::GiveBack,
        MoveOrder::Drop => Order::Drop,
        MoveOrder::Keep => Order::Keep,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_orders_come_back_from_their_flat_forms() {
        let backup = || "ab".to_string();
        let returns = Departure::Returns { cause: "no room".into(), data: Some(backup()) };
        let departures = [
            Departure::Tries,
            Departure::Quiets,
            Departure::Hands,
            Departure::Gone,
            Departure::Recalls,
            returns,
            Departure::Over,
        ];
        for mark in departures {
            let (state, cause, data) = flat_departure(&mark);
            assert_eq!(departure(state, cause, data), mark);
        }
        let arrivals = [
            Arrival::Arrives { tried: None },
            Arrival::Arrives { tried: Some(backup()) },
            Arrival::Ready { backup: backup() },
            Arrival::Told,
            Arrival::Serves,
            Arrival::Kept,
            Arrival::Refused { cause: "port taken".into() },
            Arrival::GivesBack,
            Arrival::Given { backup: backup() },
            Arrival::Dropped,
        ];
        for mark in arrivals {
            let (state, backup, cause) = flat_arrival(&mark);
            assert_eq!(arrival(state, backup, cause), Some(mark));
        }
        assert_eq!(arrival(ArrivingState::Ready, None, None), None);
        let take = Order::Take { backup: backup(), is_last: true };
        for one in [take, Order::Serve, Order::GiveBack, Order::Drop, Order::Keep] {
            let told = flat_order(&one, Some("id".into()));
            assert_eq!((order(&told), told.repository.as_deref()), (Some(one), Some("id")));
        }
        let lacks = ArrivalOrder { order: MoveOrder::Take, backup: None, is_last: false, repository: None };
        assert_eq!(order(&lacks), None);
    }

    #[test]
    fn a_wish_tells_no_key() {
        let wish = MoveWish { to: "https://b.lan".into(), key: "hidden".into(), root: None };
        assert!(!format!("{wish:?}").contains("hidden"));
    }
}
