//! Progress of the server, as it answers to whoever asks.

use serde::Serialize;

/// Progress of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Events that the market made, or frames that were played; each counted once, however many listen.
    pub events_total: u64,
    /// The same within the last second.
    pub events_per_second: u64,
    /// Open connections.
    pub connections: usize,
    /// Sets and how far they are.
    pub sets: Vec<SetProgress>,
}

/// Progress of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetProgress {
    /// Name.
    pub name: String,
    /// State.
    pub state: SetState,
    /// Time since its beginning as recorded, in milliseconds.
    pub position_ms: u64,
    /// Its length, in milliseconds; 0 for no end.
    pub length_ms: u64,
    /// Frames played.
    pub frames_played: u64,
    /// Frames in it; 0 for no end.
    pub frames: u64,
}

/// State of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SetState {
    /// Its clock stands until enough listen.
    Waiting,
    /// It plays.
    Running,
    /// It has ended; connections stay open.
    Finished,
}
