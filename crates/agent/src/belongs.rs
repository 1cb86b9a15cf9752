//! The note in an agent's run folder of the state folder that it belongs to.
//!
//! Run folders are named by agents, state folders by whoever starts them: the same name with another state folder is another agent, to which nothing in the
//! run folder belongs. Without the note an end that was asked for with the wrong state folder would find no application in it, and take the sockets and mounts
//! of running ones away.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use openmesh_blueprint::document::Name;
use openmesh_xnode::marks;

use crate::error::AgentError;
use crate::settings::Settings;

/// Name of the note in a run folder.
const NOTE: &str = "state";
/// Agents that an error names beside the one that is not there: more fill a terminal and help nobody.
const OTHERS_MAX: usize = 8;

/// Notes that the run folder of these settings belongs to their state folder. One that says so already is left as it is.
pub(crate) fn note(settings: &Settings) -> Result<(), AgentError> {
    let (path, state) = (settings.run.join(NOTE), whole(&settings.state));
    if read(&settings.run)?.as_ref() == Some(&state) {
        return Ok(());
    }
    let text = [state.as_os_str().as_bytes(), b"\n"].concat();
    marks::replace(&path, &text).map_err(AgentError::file("writing", path))
}

/// State folder to which a run folder belongs; none where there is no note, as with agents of before.
pub(crate) fn read(run: &Path) -> Result<Option<PathBuf>, AgentError> {
    let path = run.join(NOTE);
    let mut bytes = match fs::read(&path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(AgentError::file("reading", &path))?,
    };
    bytes.pop_if(|last| *last == b'\n');
    match bytes.is_empty() {
        true => Err(AgentError::Damaged { path, words: "it names no folder".into() }),
        false => Ok(Some(OsString::from_vec(bytes).into())),
    }
}

/// Refuses to begin an agent in a run folder of another state folder that is still there: what runs by it would be lost to sight.
pub(crate) fn check_begin(settings: &Settings) -> Result<(), AgentError> {
    match read(&settings.run)? {
        Some(noted) if noted != whole(&settings.state) && is_state(&noted) => Err(another(settings, noted)),
        _ => Ok(()),
    }
}

/// Refuses to remove an agent that is another one than the run folder's, or none. `noted` is the state folder to which the run folder belongs, where that is known.
pub(crate) fn check_end(settings: &Settings, noted: Option<PathBuf>) -> Result<(), AgentError> {
    match noted {
        Some(noted) if noted == whole(&settings.state) => Ok(()),
        Some(noted) => Err(another(settings, noted)),
        None if is_state(&settings.state) => Ok(()),
        None => Err(AgentError::NoAgent {
            name: settings.name.clone(),
            state: settings.state.clone(),
            others: others(&settings.run),
        }),
    }
}

/// Returns true for the state folder of an agent, also of one that has only been prepared (`openmesh xnode init`).
fn is_state(folder: &Path) -> bool {
    [Settings::lock_in(folder), Settings::file_in(folder)].iter().any(|path| path.exists())
}

/// A folder's path from the root, by which it is compared: that of a folder which is gone as it was named.
pub(crate) fn whole(folder: &Path) -> PathBuf {
    let named = || std::path::absolute(folder).unwrap_or_else(|_| folder.into());
    folder.canonicalize().unwrap_or_else(|_| named())
}

fn another(settings: &Settings, state: PathBuf) -> AgentError {
    let removes = removal(&settings.name, &state, &settings.run);
    AgentError::AnotherState { run: settings.run.clone(), state, removes }
}

/// Commands that remove the agents whose run folders lie beside this one.
fn others(run: &Path) -> Vec<String> {
    let Some(folders) = run.parent().and_then(|all| fs::read_dir(all).ok()) else { return Vec::new() };
    let of = |run: PathBuf| {
        let name: Name = run.file_name()?.to_str()?.parse().ok()?;
        // One that cannot be read is no help.
        let state = read(&run).ok()??;
        Some(removal(&name, &state, &run))
    };
    let mut found: Vec<String> = folders.flatten().filter_map(|entry| of(entry.path())).collect();
    found.sort();
    found.truncate(OTHERS_MAX);
    found
}

/// Command that removes the agent of these folders, as a shell reads it.
fn removal(name: &Name, state: &Path, run: &Path) -> String {
    let state = word(state);
    let run = match run == Settings::usual_run(name) {
        true => String::new(),
        false => format!(" --agent-run {}", word(&whole(run))),
    };
    format!("openmesh xnode uninstall --agent {name} --agent-state {state}{run}")
}

/// A path as one word of a shell.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@=,".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path, state: &str) -> Settings {
        let usual = Settings::usual("test".parse().unwrap()).unwrap();
        Settings { state: folder.join(state), run: folder.join("run/test"), ..usual }
    }

    /// A state folder as an agent leaves it.
    fn begun(settings: &Settings) {
        fs::create_dir_all(&settings.state).unwrap();
        fs::write(Settings::lock_in(&settings.state), "").unwrap();
    }

    #[test]
    fn a_run_folder_says_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let one = settings(folder.path(), "one");
        begun(&one);
        assert_eq!(read(&one.run).unwrap(), None);
        note(&one).unwrap();
        let written = || fs::metadata(one.run.join(NOTE)).unwrap().modified().unwrap();
        let before = written();
        note(&one).unwrap();
        assert_eq!(before, written(), "the same again writes nothing");
        assert_eq!(read(&one.run).unwrap(), Some(one.state.canonicalize().unwrap()));
        assert_eq!(fs::read_dir(&one.run).unwrap().count(), 1, "no draft is left");
        // By whatever way the folder is named.
        std::os::unix::fs::symlink(&one.state, folder.path().join("link")).unwrap();
        for named in ["one", "one/", "./one", "link"] {
            let same = settings(folder.path(), named);
            check_end(&same, read(&same.run).unwrap()).unwrap();
            check_begin(&same).unwrap();
        }
        fs::write(one.run.join(NOTE), "\n").unwrap();
        assert!(matches!(read(&one.run), Err(AgentError::Damaged { .. })));
    }

    #[test]
    fn another_state_folder_is_refused_with_the_command_for_the_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (settings(folder.path(), "my home's"), settings(folder.path(), "two"));
        begun(&one);
        begun(&two);
        note(&one).unwrap();
        let ended = check_end(&two, read(&two.run).unwrap()).unwrap_err();
        let begun = check_begin(&two).unwrap_err();
        for error in [&ended, &begun] {
            let AgentError::AnotherState { state, removes, .. } = error else { panic!("{error:?}") };
            assert_eq!(*state, one.state.canonicalize().unwrap());
            assert!(removes.starts_with("openmesh xnode uninstall --agent test --agent-state '/"), "{removes}");
            assert!(removes.contains(r"/my home'\''s' --agent-run /"), "{removes}");
            assert!(error.to_string().contains(removes.as_str()), "{error}");
        }
        // A state folder that somebody has taken away stands in no agent's way; its applications still have an end.
        fs::remove_dir_all(&one.state).unwrap();
        check_begin(&two).unwrap();
        check_end(&one, read(&one.run).unwrap()).unwrap();
        assert!(matches!(check_end(&two, read(&two.run).unwrap()), Err(AgentError::AnotherState { .. })));
    }

    #[test]
    fn where_no_agent_is_that_is_said_and_those_that_are_there_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let none = settings(folder.path(), "none");
        fs::create_dir_all(&none.state).unwrap();
        let error = check_end(&none, None).unwrap_err();
        assert!(matches!(&error, AgentError::NoAgent { others, .. } if others.is_empty()), "{error}");
        let other = Settings { run: folder.path().join("run/other"), ..settings(folder.path(), "elsewhere") };
        note(&other).unwrap();
        let error = check_end(&none, None).unwrap_err().to_string();
        assert!(error.contains("`openmesh xnode uninstall --agent other --agent-state /"), "{error}");
        // One of an older version, and one that was only prepared.
        begun(&none);
        check_end(&none, None).unwrap();
        fs::remove_file(Settings::lock_in(&none.state)).unwrap();
        fs::write(Settings::file_in(&none.state), "").unwrap();
        check_end(&none, None).unwrap();
    }
}
