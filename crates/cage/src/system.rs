//! Programs of the machine, by their names: not every distribution has them in the same folders.

use std::path::PathBuf;

/// Folders of programs. NixOS has none of the usual ones: those of its system are in the last one, under names that stay when they are replaced.
pub const FOLDERS: [&str; 7] =
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin", "/run/current-system/sw/bin"];

/// Path of a program: in a folder of the system, else on the search path of this process; none where it is nowhere.
pub fn program(name: &str) -> Option<PathBuf> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&search).filter(|folder| folder.is_absolute());
    let mut paths = FOLDERS.iter().map(PathBuf::from).chain(own).map(|folder| folder.join(name));
    paths.find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_or_not() {
        let shell = program("sh").expect("every machine has a shell");
        assert!(shell.is_absolute() && shell.ends_with("sh"), "{}", shell.display());
        assert_eq!(program("openmesh-no-such-program"), None);
        // A folder is no program.
        assert_eq!(program(".."), None);
    }
}
