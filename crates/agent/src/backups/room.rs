//! Room of the volumes of an application while something of backups lies in them: the application comes first.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use openmesh_blueprint::document::Name;
use openmesh_volume::{Id as VolumeId, Usage};

use crate::backups::error::BackupsError;
use crate::backups::jobs::Job;
use crate::error::AgentError;
use crate::service::Service;

/// Time between two looks: at a gigabyte a second, some per cent of a volume that is worth a backup.
const LOOK: Duration = Duration::from_secs(2);

/// Room of a volume; none where it is not mounted.
fn usage(service: &Service, id: VolumeId) -> Option<Usage> {
    service.agent().machine().volumes.observe_one(id).usage
}

/// Returns true where a volume has got full since a moment at which it had more than twice as much room. One that was nearly full then, and stays so, may be
/// read all the same.
fn has_got_full(before: Option<Usage>, now: Option<Usage>) -> bool {
    let halved =
        |before: Usage, now: Usage| now.bytes_free < before.bytes_free / 2 || now.inodes_free < before.inodes_free / 2;
    before.zip(now).is_some_and(|(before, now)| now.is_full() && halved(before, now))
}

/// Does something while clones lie in volumes, and stops it where one of them gets full: what the application overwrites takes room twice as long as its clone
/// is there.
///
/// # Errors
/// That of the act; or a volume has got full.
pub(crate) fn while_there_is<T>(
    service: &Service,
    job: &Job,
    (application, volumes): (&Name, &[(Name, VolumeId)]),
    act: impl FnOnce() -> Result<T, AgentError>,
) -> Result<T, AgentError> {
    let (over, ends) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let before: Vec<Option<Usage>> = volumes.iter().map(|(_, id)| usage(service, *id)).collect();
            while matches!(ends.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
                let mut all = volumes.iter().zip(&before);
                let full = all.find(|((_, id), before)| has_got_full(**before, usage(service, *id)));
                if let Some(((name, _), _)) = full {
                    job.meter.stop();
                    return Some(name.to_string());
                }
            }
            None
        });
        let done = act();
        drop(over);
        let full = watch.join().unwrap_or(None);
        match (done, full) {
            (Err(AgentError::Backups(BackupsError::Cancelled)), Some(volume)) => {
                let why = "it got full while its clone was read, and the application needs it";
                Err(BackupsError::Full { application: application.to_string(), volume, why }.into())
            }
            (done, _) => done,
        }
    })
}

/// Refuses to restore so many bytes beside the data of an application that runs where it soon could not write any more.
///
/// # Errors
/// There is no such room.
pub(crate) fn check_beside(
    service: &Service,
    application: &Name,
    (volume, id): (&Name, VolumeId),
    bytes: u64,
) -> Result<(), AgentError> {
    let left = usage(service, id).map(|usage| after(usage, bytes));
    if left.is_some_and(|usage| usage.is_full()) {
        let why = "the application runs and could soon write nothing beside the restored data";
        let (application, volume) = (application.to_string(), volume.to_string());
        return Err(BackupsError::Full { application, volume, why }.into());
    }
    Ok(())
}

/// Room that is left after so many bytes.
fn after(usage: Usage, bytes: u64) -> Usage {
    Usage { bytes_free: usage.bytes_free.saturating_sub(bytes), ..usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_gets_full_where_it_had_room_before() {
        let with = |bytes_free| Some(Usage { bytes: 1_000, bytes_free, inodes: 100, inodes_free: 90 });
        assert!(has_got_full(with(500), with(3)) && has_got_full(with(9), with(3)));
        assert!(!has_got_full(with(500), with(400)), "it has room");
        assert!(!has_got_full(with(6), with(5)), "it was as full before");
        assert!(!has_got_full(None, with(0)) && !has_got_full(with(500), None));
        assert!(after(with(500).unwrap(), 499).is_full() && !after(with(500).unwrap(), 100).is_full());
        assert!(after(with(500).unwrap(), 900).is_full());
    }
}
