//! Collection of texts to which nobody can come back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use openmesh_blueprint::Document;

use super::{Inner, Publishers, kept_name, of_all, uses};
use crate::error::AgentError;

/// Time for which nobody has named a text before it goes: longer than any restore or move that brings one before its document names it.
const REST: Duration = Duration::from_secs(86_400);

/// Names under which the texts of a document's templates are kept.
pub(crate) fn kept_names(document: &Document) -> impl Iterator<Item = String> {
    uses(document).map(|(_, catalogue, using, version)| kept_name(catalogue, using.name.as_str(), version))
}

/// Texts that have been named by nobody for long enough. The moments since when are brought to this look. Pure.
fn rested(idle: &mut BTreeMap<String, Instant>, unnamed: BTreeSet<String>, now: Instant) -> BTreeSet<String> {
    idle.retain(|name, _| unnamed.contains(name));
    for name in unnamed {
        idle.entry(name).or_insert(now);
    }
    let old = idle.iter().filter(|(_, since)| now.saturating_duration_since(**since) >= REST);
    old.map(|(name, _)| name.clone()).collect()
}

/// Returns true where the index of a copy names a text.
fn is_shelved(inner: &Inner, kept: &str) -> bool {
    inner.shelves.iter().any(|(catalogue, shelf)| {
        let mut entries = shelf.opened.iter().flat_map(|opened| &opened.index.templates);
        entries.any(|entry| kept_name(catalogue, &entry.name, &entry.version.to_string()) == kept)
    })
}

impl Publishers {
    /// Removes texts that were kept for applications, once neither the names that are given nor the index of a copy have named them for [`REST`]. Returns
    /// their names.
    ///
    /// # Errors
    /// The list cannot be written; then nothing goes.
    pub(crate) fn collect(&self, named: &BTreeSet<String>, now: Instant) -> Result<BTreeSet<String>, AgentError> {
        // Texts of a catalogue that is being fetched lie there before its index names them, and a damaged list has named nobody knows what.
        let Ok(_one) = self.one.try_lock() else { return Ok(BTreeSet::new()) };
        if self.folder.is_list_aside() {
            return Ok(BTreeSet::new());
        }
        let mut inner = self.lock();
        let unnamed = inner.kept.keys().filter(|name| !named.contains(*name) && !is_shelved(&inner, name));
        let unnamed: BTreeSet<String> = unnamed.cloned().collect();
        let gone = rested(&mut inner.idle, unnamed, now);
        if !gone.is_empty() {
            let mut kept = inner.kept.clone();
            kept.retain(|name, _| !gone.contains(name));
            self.folder.write_kept(&kept).map_err(of_all)?;
            inner.kept = kept;
            inner.idle.retain(|name, _| !gone.contains(name));
            self.sweep(&inner);
        }
        Ok(gone)
    }

    /// Generations of which a place for backups keeps backups of this machine; none where that was never noted.
    pub(crate) fn heads(&self, place: &str) -> Option<BTreeSet<u64>> {
        self.lock().heads.get(place).cloned()
    }

    /// Notes of which generations a place for backups keeps backups.
    ///
    /// # Errors
    /// The note cannot be written.
    pub(crate) fn note_heads(&self, place: &str, generations: BTreeSet<u64>) -> Result<(), AgentError> {
        let mut inner = self.lock();
        if inner.heads.get(place) != Some(&generations) {
            inner.heads.insert(place.to_string(), generations);
            self.folder.write_heads(&inner.heads).map_err(of_all)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_once_nobody_has_named_it_for_a_whole_day() {
        let (begun, hour) = (Instant::now(), Duration::from_secs(3_600));
        let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
        let mut idle = BTreeMap::new();
        let mut look = |hours: u32, unnamed: &[&str]| rested(&mut idle, set(unnamed), begun + hour * hours);
        assert!(look(0, &["a/x@1"]).is_empty());
        assert!(look(20, &["a/x@1", "a/y@1"]).is_empty());
        // Somebody names the first one again, and its day begins anew.
        assert!(look(23, &["a/y@1"]).is_empty());
        assert!(look(24, &["a/x@1", "a/y@1"]).is_empty());
        assert_eq!(look(44, &["a/x@1", "a/y@1"]), set(&["a/y@1"]));
        assert_eq!(look(48, &["a/x@1"]), set(&["a/x@1"]));
        assert!(look(1_000, &[]).is_empty());
    }
}
