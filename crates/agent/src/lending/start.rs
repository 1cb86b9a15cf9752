//! Files with which the lender is started and told, and its end.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openmesh_lender::loans::Loans;
use openmesh_lender::privileges::User;
use openmesh_lender::start::Start;
use openmesh_primitives::sha256;
use openmesh_xnode::marks;

use super::book::{Book, LENDER_KEY, Lending};
use super::report;
use crate::doors::user;
use crate::error::AgentError;

/// Size at which the log begins anew, bytes: the lender says a line for each start that fails.
const LOG_BYTES_MAX: u64 = 1 << 20;
/// Last bytes of the log that tell why a lender has ended.
const LAST_WORDS_BYTES: u64 = 500;
/// Longest wait for a lender that was told to leave: requests under way, and the look at what it is told.
const LEAVE: Duration = Duration::from_secs(45);
/// Pause between two looks whether it has left.
const AGAIN: Duration = Duration::from_millis(50);
/// Bytes of a start's name.
const RUN_DIGITS: usize = 32;

/// The files of a start.
pub(super) struct Prepared {
    /// The start.
    pub start: Start,
    /// Its file.
    pub file: PathBuf,
}

/// Makes folders and files of the lender ready. None where there is no program or no address.
///
/// # Errors
/// They cannot be made or written.
pub(super) fn prepare(lending: &Lending) -> Result<Option<Prepared>, AgentError> {
    let Some((program, listen)) = lending.program.as_ref().zip(lending.listen) else { return Ok(None) };
    let note = lending.state.join(user::LENDER_NOTE);
    let chosen = user::choose(&note, lending.first_id, &lending.state.join(user::DOOR_NOTE))?;
    let own = lending.folder.join("own");
    let is_known = known(lending)?.as_deref() == Some(lending.guests.as_path());
    // A folder that was used before and is not there is a disk that is not mounted: the lender says so.
    let guests = Some(&lending.guests).filter(|_| !is_known);
    for folder in [&own, &lending.run_folder].into_iter().chain(guests) {
        give(folder, chosen.uid).map_err(AgentError::file("making", folder))?;
    }
    let report = lending.report_file();
    let mut start = Start {
        run: String::new(),
        guests: lending.guests.clone(),
        known: is_known,
        own,
        report,
        loans: told_file(lending),
        key: lending.folder.join(LENDER_KEY),
        listen: vec![listen],
        user: Some(User { uid: chosen.uid, gid: chosen.gid }),
        session: true,
    };
    // Another program, place, address or key is another start.
    let named = serde_json::to_vec(&Start { known: true, ..start.clone() }).unwrap_or_default();
    let key = lending.lender_key().to_string();
    let hash = sha256(&[program.as_os_str().as_encoded_bytes(), key.as_bytes(), &named]).to_string();
    start.run = hash.get(..RUN_DIGITS).unwrap_or(&hash).to_string();
    let file = lending.folder.join("start.json");
    let bytes = serde_json::to_vec(&start).unwrap_or_default();
    if fs::read(&file).ok().as_ref() != Some(&bytes) {
        marks::replace(&file, &bytes).map_err(AgentError::file("writing", &file))?;
    }
    Ok(Some(Prepared { start, file }))
}

/// Makes a folder of the lender's user, in one of root.
fn give(folder: &Path, id: u32) -> io::Result<()> {
    let is_given = |about: fs::Metadata| about.is_dir() && about.uid() == id && about.mode() & 0o777 == 0o700;
    if fs::metadata(folder).is_ok_and(is_given) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    chown(folder, Some(id), Some(id))?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

fn known_file(lending: &Lending) -> PathBuf {
    lending.folder.join("known.json")
}

/// The folder of guests that was used before; none before the first use.
fn known(lending: &Lending) -> Result<Option<PathBuf>, AgentError> {
    Ok(marks::find(&known_file(lending))?)
}

/// Notes that the folder of guests is used.
///
/// # Errors
/// The note cannot be written.
pub(super) fn note_known(lending: &Lending) -> Result<(), AgentError> {
    if known(lending)?.as_deref() == Some(lending.guests.as_path()) {
        return Ok(());
    }
    let path = known_file(lending);
    let bytes = serde_json::to_vec(&lending.guests).unwrap_or_default();
    marks::replace(&path, &bytes).map_err(AgentError::file("writing", &path))
}

fn told_file(lending: &Lending) -> PathBuf {
    lending.folder.join("told").join("loans.json")
}

/// Tells the lender of the loans. Told already: nothing is written.
///
/// # Errors
/// The file cannot be written.
pub(super) fn tell(lending: &Lending, start: &Start, book: &Book, reserve_bytes: u64) -> Result<(), AgentError> {
    let loans = book.iter().map(|(name, kept)| (name.clone(), kept.loan.clone())).collect();
    let loans = Loans { run: start.run.clone(), reserve_bytes, loans };
    let group = start.user.map_or(0, |user| user.gid);
    let path = told_file(lending);
    write_for(&path, group, &serde_json::to_vec(&loans).unwrap_or_default()).map_err(AgentError::file("writing", &path))
}

/// Tells the lender to leave, where one was ever told anything.
///
/// # Errors
/// The file cannot be written.
pub(super) fn tell_nobody(lending: &Lending) -> Result<(), AgentError> {
    let path = told_file(lending);
    let Ok(before) = fs::read(&path) else { return Ok(()) };
    let bytes = serde_json::to_vec(&Loans::default()).unwrap_or_default();
    if before == bytes {
        return Ok(());
    }
    let group = fs::metadata(&path).map_err(AgentError::file("reading", &path))?.gid();
    write_for(&path, group, &bytes).map_err(AgentError::file("writing", &path))
}

/// Replaces a file that a group can read, and its folder too. One that is as it should be stays.
fn write_for(path: &Path, group: u32, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
    fs::create_dir_all(folder)?;
    chown(folder, Some(0), Some(group))?;
    fs::set_permissions(folder, Permissions::from_mode(0o750))?;
    if fs::read(path).is_ok_and(|before| before == bytes) {
        return Ok(());
    }
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o640).open(&beside)?;
    chown(&beside, Some(0), Some(group))?;
    // A mask of root's that gives groups nothing holds for what is made, not for this.
    file.set_permissions(Permissions::from_mode(0o640))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

/// Starts the program.
///
/// # Errors
/// The system refuses.
pub(super) fn begin(lending: &Lending, prepared: &Prepared) -> io::Result<Child> {
    let program = lending.program.as_ref().ok_or_else(|| io::Error::other("there is no program"))?;
    let path = lending.folder.join("log");
    let is_long = fs::metadata(&path).is_ok_and(|about| about.len() > LOG_BYTES_MAX);
    let log = OpenOptions::new().create(true).append(!is_long).write(true).truncate(is_long).mode(0o600).open(path)?;
    let mut command = Command::new(program);
    command.arg(&prepared.file).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()
}

/// End of the lender's log.
pub(super) fn last_words(lending: &Lending) -> String {
    let mut end = Vec::new();
    // Its end alone: whoever has taken the lender over may have written any length.
    let read = File::open(lending.folder.join("log")).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))?;
        file.take(LAST_WORDS_BYTES).read_to_end(&mut end)
    });
    if let Err(cause) = read {
        return format!("its log cannot be read: {cause}");
    }
    let line = String::from_utf8_lossy(&end).lines().next_back().unwrap_or("it said nothing").to_string();
    report::plain(line.trim_start_matches("openmesh-lender: "))
}

/// Ends the lender of an agent that is removed. Guests' objects that lie beside the agent's own folder go with `wipe`, as those in it do.
///
/// # Errors
/// It does not leave, or a folder cannot be removed.
pub(crate) fn end(lending: &Lending, wipe: bool) -> Result<(), AgentError> {
    tell_nobody(lending)?;
    let begun = Instant::now();
    while report::lives(&lending.folder) {
        if begun.elapsed() > LEAVE {
            let words = "the lender does not leave; end its process (`openmesh-lender`), and ask again";
            return Err(AgentError::Name(words.into()));
        }
        std::thread::sleep(AGAIN);
    }
    // The settings that people wrote count as they were when it was used last.
    let Some(guests) = known(lending)?.filter(|guests| wipe && !guests.starts_with(&lending.folder)) else {
        return Ok(());
    };
    match fs::remove_dir_all(&guests) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(AgentError::file("removing", &guests)),
    }
}
