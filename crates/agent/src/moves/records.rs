//! Marks of moves as they are kept: one file for each application that leaves, and for each that comes.

use openmesh_blueprint::moving::{Arrival, Departure};
use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};

use super::views::MoveLender;

/// An application that leaves this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaving {
    /// Id of the move, drawn here.
    pub id: String,
    /// The application.
    pub application: String,
    /// Address of the other machine's agent.
    pub to: String,
    /// Certificate as PEM by which a private authority of the other machine is known.
    pub root: Option<String>,
    /// Name of the other machine.
    pub node: String,
    /// Whoever asked for the move.
    pub by: String,
    /// Its begin.
    pub begun: Timestamp,
    /// Key of an operator there, sealed.
    pub token: String,
    /// Secret key of this move as a guest there, sealed.
    pub guest: String,
    /// Recipient of age by which the other machine reads copies; none before it said so.
    pub recipient: Option<String>,
    /// Its lender; none before it said so.
    pub lender: Option<MoveLender>,
    /// Id of the repository with the copies; none before the first.
    pub repository: Option<String>,
    /// Moment from which it serves there.
    pub gone: Option<Timestamp>,
    /// Time in which this machine ran since, milliseconds.
    pub ran_ms: u64,
    /// The other machine lets clients in, as it said last.
    #[serde(default)]
    pub is_open_there: bool,
    /// It is over, and what was sealed is gone. The mark stays as long as the application is here.
    pub is_settled: bool,
    /// The mark.
    #[serde(with = "departure")]
    pub mark: Departure,
}

/// An application that comes to this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arriving {
    /// Id of the move, drawn by the other machine.
    pub id: String,
    /// The application.
    pub application: String,
    /// Name of the machine that it leaves.
    pub node: String,
    /// Whoever brings it.
    pub by: String,
    /// Role that they had.
    pub role: String,
    /// Its begin.
    pub begun: Timestamp,
    /// Key by which the other machine stores copies here.
    pub guest: String,
    /// Secret key by which this machine reads them, sealed.
    pub own: String,
    /// Recipient of age of the other machine.
    pub recipient: String,
    /// Size of its volumes, bytes.
    pub size_bytes: u64,
    /// Digest that its image must have; none where no registry has it.
    pub image: Option<String>,
    /// Id of the repository with the copies; none before one was named.
    pub repository: Option<String>,
    /// The document with this application alone, as it was in the last copy that was taken.
    pub document: Option<String>,
    /// Secrets that were set for it.
    pub secrets: Vec<String>,
    /// Its place here was made.
    pub is_planted: bool,
    /// Its ports and domains lead to it.
    pub is_admitted: bool,
    /// Everything that was to be removed is gone.
    pub is_cleared: bool,
    /// Moment at which the mark became what it is.
    pub since: Timestamp,
    /// Time for which nothing was heard of the other machine while this one ran, milliseconds, as far as it was written down.
    #[serde(default)]
    pub silent_ms: u64,
    /// The mark.
    #[serde(with = "arrival")]
    pub mark: Arrival,
}

/// The mark of a machine that is left, in a file.
mod departure {
    use serde::de::Error as _;
    use serde::{Deserializer, Serializer};

    use super::super::views::{DepartingState, departure, flat_departure};
    use super::{Departure, Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Flat {
        state: DepartingState,
        cause: Option<String>,
        data: Option<String>,
    }

    pub fn serialize<S: Serializer>(mark: &Departure, to: S) -> Result<S::Ok, S::Error> {
        let (state, cause, data) = flat_departure(mark);
        Flat { state, cause, data }.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Departure, D::Error> {
        let Flat { state, cause, data } = Flat::deserialize(from)?;
        match departure(state, cause, data) {
            Departure::Returns { cause, .. } if cause.is_empty() => Err(D::Error::custom("a return without its cause")),
            mark => Ok(mark),
        }
    }
}

/// The mark of a machine to which an application comes, in a file.
mod arrival {
    use serde::de::Error as _;
    use serde::{Deserializer, Serializer};

    use super::super::views::{ArrivingState, arrival, flat_arrival};
    use super::{Arrival, Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Flat {
        state: ArrivingState,
        backup: Option<String>,
        cause: Option<String>,
    }

    pub fn serialize<S: Serializer>(mark: &Arrival, to: S) -> Result<S::Ok, S::Error> {
        let (state, backup, cause) = flat_arrival(mark);
        Flat { state, backup, cause }.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arrival, D::Error> {
        let Flat { state, backup, cause } = Flat::deserialize(from)?;
        arrival(state, backup, cause).ok_or_else(|| D::Error::custom("a mark without its copy"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::views::{ArrivingState, MoveArrival};
    use super::*;

    /// An application `web` that leaves, with a mark.
    pub fn leaving(mark: Departure) -> Leaving {
        Leaving {
            id: "0".repeat(32),
            application: "web".into(),
            to: "https://b.lan".into(),
            root: None,
            node: "b".into(),
            by: "ann".into(),
            begun: Timestamp(1),
            token: "sealed".into(),
            guest: "sealed".into(),
            recipient: None,
            lender: None,
            repository: None,
            gone: None,
            ran_ms: 0,
            is_open_there: matches!(mark, Departure::Gone | Departure::Over),
            is_settled: false,
            mark,
        }
    }

    /// A word of the other machine, which does a step of nine bytes.
    pub fn word(step: &str) -> MoveArrival {
        MoveArrival {
            id: "0".repeat(32),
            application: "web".into(),
            node: "b".into(),
            state: ArrivingState::Arrives,
            is_open: false,
            backup: None,
            cause: None,
            recipient: "age1".into(),
            lender: MoveLender { key: "ab".repeat(32), listens: Vec::new() },
            heard: None,
            step: step.into(),
            bytes: 5,
            all_bytes: 9,
            trouble: None,
        }
    }

    /// An application `web` that comes, with a mark.
    pub fn arriving(mark: Arrival) -> Arriving {
        Arriving {
            id: "0".repeat(32),
            application: "web".into(),
            node: "a".into(),
            by: "key move (1)".into(),
            role: "operator".into(),
            begun: Timestamp(1),
            guest: "ab".repeat(32),
            own: "sealed".into(),
            recipient: "age1".into(),
            size_bytes: 7,
            image: None,
            repository: None,
            document: None,
            secrets: Vec::new(),
            is_planted: false,
            is_admitted: false,
            is_cleared: false,
            since: Timestamp(1),
            silent_ms: 0,
            mark,
        }
    }

    #[test]
    fn records_are_read_as_written() {
        let returns = Departure::Returns { cause: "it was undone".into(), data: Some("ab".into()) };
        for mark in [Departure::Tries, Departure::Gone, returns] {
            let record = leaving(mark);
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Leaving>(&text).unwrap(), record);
        }
        for mark in [Arrival::Arrives { tried: None }, Arrival::Ready { backup: "ab".into() }, Arrival::Serves] {
            let record = arriving(mark);
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Arriving>(&text).unwrap(), record);
        }
        let ready = serde_json::to_string(&arriving(Arrival::Ready { backup: "cd".into() })).unwrap();
        let lacks = ready.replace("\"backup\":\"cd\"", "\"backup\":null");
        assert!(lacks != ready && serde_json::from_str::<Arriving>(&lacks).is_err());
    }
}
