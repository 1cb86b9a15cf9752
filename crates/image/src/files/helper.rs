//! The process's own main function.

use std::io::{self, Write};
use std::process::ExitCode;

use rustix::fd::AsFd as _;
use rustix::fs::{Mode, OFlags};

use super::tree::{Tree, failed, pour};
use super::{Act, Answer, Fault, Task, cage};

/// Does one task in the working folder, and writes the answer to standard output.
pub(crate) fn main(task: &Task) -> ExitCode {
    let mut output = io::stdout().lock();
    match act(task, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever asked has gone, or sees that content is missing.
        Err(_) => ExitCode::FAILURE,
    }
}

fn act(task: &Task, output: &mut impl Write) -> io::Result<()> {
    let tree = match hold(task) {
        Ok(tree) => tree,
        Err(fault) => return say(&Err(fault), output),
    };
    let answer = match &task.act {
        Act::List { path } => tree.list(path),
        Act::Read { path, range, of } => {
            return match tree.read(path, *range, of.as_deref()) {
                Err(fault) => say(&Err(fault), output),
                Ok((answer, mut file)) => {
                    let part = match &answer {
                        Answer::Content { first, bytes, .. } => (*first, *bytes),
                        _ => (0, 0),
                    };
                    say(&Ok(answer), output)?;
                    pour(&mut file, part.0, part.1, output)
                }
            };
        }
        Act::Write { path, expect } => tree.write(path, expect, &mut io::stdin().lock()),
        Act::MakeFolder { path } => tree.make_folder(path),
        Act::Rename { from, to } => tree.rename(from, to),
        Act::Remove { path, all, expect } => tree.remove(path, *all, expect.as_deref()),
    };
    say(&answer, output)
}

/// Opens the working folder and closes the cage around it.
fn hold(task: &Task) -> Result<Tree, Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(".", flags, Mode::empty()).map_err(|errno| failed(".", "opening", errno))?;
    cage::close(folder.as_fd(), task.act.only_reads())?;
    Ok(Tree::new(folder, task.ids))
}

fn say(answer: &Result<Answer, Fault>, output: &mut impl Write) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}
