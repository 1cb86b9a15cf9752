//! Formats of the store: which ones are read, and the steps from an older one to this program's. Clause U8 of
//! `docs/spec/upgrades.md`.

use openmesh_primitives::canonical;
use redb::WriteTransaction;

use crate::StoreError;
use crate::tables::{META, get_meta};

/// A step: the format that it begins with, and what it does to come to the next one.
pub type Step = (u32, fn(&WriteTransaction) -> Result<(), StoreError>);

/// The steps of this program, each from a format to the next one, ascending and without a gap up to the newest. Networks that were made
/// with a format before the first of them are gone. A step is never taken away.
pub const STEPS: &[Step] = &[];

/// Takes a store to the newest format, or writes that into a new one. All steps are in the transaction: it is committed by whoever
/// made it.
///
/// # Errors
/// [`StoreError::FormatNewer`] and [`StoreError::FormatOlder`] where no step leads from the store's format; else as a step fails.
pub fn bring_up(write: &WriteTransaction, newest: u32, steps: &[Step]) -> Result<(), StoreError> {
    let got = get_meta::<u32>(&write.open_table(META)?, "format")?;
    let oldest = steps.first().map_or(newest, |(from, _)| *from);
    match got {
        Some(got) if got == newest => return Ok(()),
        Some(got) if got > newest => return Err(StoreError::FormatNewer { newest, got }),
        Some(got) if got < oldest => return Err(StoreError::FormatOlder { oldest, got }),
        Some(got) => steps.iter().filter(|(from, _)| *from >= got).try_for_each(|(_, step)| step(write))?,
        None => {}
    }
    write.open_table(META)?.insert("format", canonical::encode(&newest).as_slice())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::{Database, ReadableDatabase};

    fn note(write: &WriteTransaction, what: &str) -> Result<(), StoreError> {
        let mut meta = write.open_table(META)?;
        let before: String = get_meta(&meta, "notes")?.unwrap_or_default();
        meta.insert("notes", canonical::encode(&(before + what)).as_slice())?;
        Ok(())
    }

    const TWO_STEPS: &[Step] = &[(4, |write| note(write, "5")), (5, |write| note(write, "6"))];

    fn database() -> Database {
        Database::builder().create_with_backend(crate::VirtualDisk::default()).unwrap()
    }

    fn bring(database: &Database, newest: u32, steps: &[Step]) -> Result<(u32, String), StoreError> {
        let write = database.begin_write()?;
        bring_up(&write, newest, steps)?;
        write.commit()?;
        let meta = database.begin_read()?.open_table(META)?;
        Ok((get_meta(&meta, "format")?.unwrap_or_default(), get_meta(&meta, "notes")?.unwrap_or_default()))
    }

    #[test]
    fn an_older_store_is_taken_to_the_newest_format_step_by_step() {
        let old = database();
        assert_eq!(bring(&old, 4, &[]).unwrap(), (4, String::new()), "a new one has the newest at once");
        assert_eq!(bring(&old, 6, TWO_STEPS).unwrap(), (6, "56".to_owned()));
        assert_eq!(bring(&old, 6, TWO_STEPS).unwrap(), (6, "56".to_owned()), "and no step is done twice");
        let between = database();
        bring(&between, 5, &TWO_STEPS[..1]).unwrap();
        assert_eq!(bring(&between, 6, TWO_STEPS).unwrap(), (6, "6".to_owned()));
    }

    #[test]
    fn a_store_of_a_newer_program_and_one_that_is_too_old_are_told_apart() {
        let store = database();
        bring(&store, 4, &[]).unwrap();
        assert!(matches!(bring(&store, 3, &[]), Err(StoreError::FormatNewer { newest: 3, got: 4 })));
        assert!(matches!(bring(&store, 6, &TWO_STEPS[1..]), Err(StoreError::FormatOlder { oldest: 5, got: 4 })));
    }

    /// Its tables may be others than those of this program, under the same names.
    #[test]
    fn a_newer_store_is_told_by_its_format_whatever_its_tables_are() {
        let newest = crate::tables::FORMAT;
        let newer = database();
        bring(&newer, newest + 1, &[]).unwrap();
        let write = newer.begin_write().unwrap();
        write.open_table(redb::TableDefinition::<u64, u64>::new("transactions")).unwrap();
        write.commit().unwrap();
        let refused = crate::store::make_tables(&newer);
        assert!(matches!(refused, Err(StoreError::FormatNewer { got, .. }) if got == newest + 1), "{refused:?}");
    }

    #[test]
    fn the_steps_lead_to_the_newest_format() {
        let ends: Vec<u32> = STEPS.iter().map(|(from, _)| from + 1).collect();
        let from_the_first = STEPS.first().map_or(Vec::new(), |(from, _)| (from + 1..=crate::tables::FORMAT).collect());
        assert_eq!(ends, from_the_first);
    }
}
