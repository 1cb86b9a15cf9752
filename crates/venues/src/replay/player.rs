//! The clocks of the sets.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::load::{LoadError, Recording, recorded_sets};
use super::state::ReplayState;
use crate::catalogue::Catalogue;
use crate::config::{ReplayConfig, Speed};
use crate::hub::{Endpoints, Hub};
use crate::progress::SetState;
use crate::source::Source;

/// Frames that are played under one lock: a client that subscribes waits no longer than those take.
const BATCH_FRAMES: usize = 256;

/// Loads the sets and starts their clocks.
pub(crate) async fn start(
    config: ReplayConfig,
    tasks: &mut JoinSet<()>,
    stop: CancellationToken,
) -> Result<Arc<dyn Endpoints>, LoadError> {
    let (dir, wanted) = (config.dir.clone(), config.sets.clone());
    let loaded = tokio::task::spawn_blocking(move || load(&dir, &wanted)).await;
    let recordings = match loaded {
        Ok(recordings) => recordings?,
        Err(failed) => {
            let source = std::io::Error::other(failed);
            return Err(LoadError::Read { path: config.dir, source });
        }
    };
    let count = recordings.len();
    let hub = Hub::new(ReplayState::new(recordings));
    for set in 0..count {
        tasks.spawn(play(hub.clone(), set, config.clone(), stop.clone()));
    }
    Ok(hub)
}

/// Returns what a replay of these sets would serve, without serving it; every set of the folder where none is named.
pub fn catalogue(dir: &std::path::Path, sets: &[String]) -> Result<Catalogue, LoadError> {
    Ok(ReplayState::new(load(dir, sets)?).catalogue())
}

/// The sets of a folder of which something can be served, only the wanted ones where any are named.
fn load(dir: &std::path::Path, wanted: &[String]) -> Result<Vec<Recording>, LoadError> {
    let name_of = |p: &std::path::Path| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut recordings = Vec::new();
    for path in recorded_sets(dir)? {
        if !wanted.is_empty() && !wanted.contains(&name_of(&path)) {
            continue;
        }
        let recording = match Recording::load(&path) {
            Ok(recording) => recording,
            // In a folder of many a set that is not what its venue sends is left out; one that was asked for is not.
            Err(error) if wanted.is_empty() => {
                tracing::warn!(set = %path.display(), error = &error as &dyn std::error::Error, "a recording is left out");
                continue;
            }
            Err(error) => return Err(error),
        };
        if recording.frames.is_empty() {
            tracing::debug!(set = recording.name, "nothing of this recording is served");
        } else {
            recordings.push(recording);
        }
    }
    if recordings.is_empty() {
        let wanted = if wanted.is_empty() { String::from("any") } else { wanted.join(", ") };
        return Err(LoadError::Nothing { path: dir.to_owned(), wanted });
    }
    Ok(recordings)
}

/// The life of one set: wait, play, end.
async fn play(hub: Arc<Hub<ReplayState>>, set: usize, config: ReplayConfig, stop: CancellationToken) {
    let run = async {
        hold(&hub, set, &config).await;
        set_state(&hub, set, SetState::Running);
        let begin = Instant::now();
        while let Some(due) = next_due(&hub, set) {
            let until = match config.speed {
                Speed::Fastest => {
                    hub.wait_for_room(BATCH_FRAMES).await;
                    u64::MAX
                }
                Speed::Times(times) => {
                    let times = u64::from(times.max(1));
                    tokio::time::sleep_until(begin + Duration::from_nanos(due / times)).await;
                    let elapsed = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    elapsed.saturating_mul(times).max(due)
                }
            };
            batch(&hub, set, until);
            // A set that is behind its clock must not keep the others from theirs.
            tokio::task::yield_now().await;
        }
        set_state(&hub, set, SetState::Finished);
    };
    let _ = stop.run_until_cancelled(run).await;
}

/// Waits until enough listen to every book and stream of trades of the set, or for long enough since the first did.
async fn hold(hub: &Hub<ReplayState>, set: usize, config: &ReplayConfig) {
    let watch = hub.lock().source.watch(set);
    let (Some(mut watch), true) = (watch, config.hold_subscribers > 0) else { return };
    // The sender lives as long as the state; an error can only mean that everything ends.
    if watch.wait_for(|(_, all)| *all > 0).await.is_err() {
        return;
    }
    let enough = watch.wait_for(|(fewest, _)| *fewest >= config.hold_subscribers);
    if tokio::time::timeout(Duration::from_millis(config.hold_ms_max), enough).await.is_err() {
        tracing::warn!(
            set,
            wanted = config.hold_subscribers,
            "fewer subscribers than the recording waited for; it starts"
        );
    }
}

fn set_state(hub: &Hub<ReplayState>, set: usize, state: SetState) {
    if let Some(played) = hub.lock().source.sets.get_mut(set) {
        played.state = state;
        tracing::info!(set = played.recording.name, ?state, "recording");
    }
}

/// Returns the time at which the next frame is due, in nanoseconds since the set's beginning.
fn next_due(hub: &Hub<ReplayState>, set: usize) -> Option<u64> {
    let room = hub.lock();
    let played = room.source.sets.get(set)?;
    played.recording.frames.get(played.played).map(|f| f.at)
}

/// Plays what is due, up to a batch.
fn batch(hub: &Hub<ReplayState>, set: usize, until: u64) {
    let mut room = hub.lock();
    for _ in 0..BATCH_FRAMES {
        let Some((topics, frame)) = room.source.play(set, until) else { break };
        room.count(1);
        room.publish(&topics, &frame);
    }
}
