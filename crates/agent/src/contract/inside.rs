//! Operations inside of applications: logs, processes, jobs, files, use.

use serde_json::json;

use super::list::{List, bytes, flag, lines, moment, number, plain, text, value, values};
use crate::views::{
    Exec, ExecEvent, FileEntry, FileFolder, FilePlaces, FileRename, JobRun, JobView, LogLine, ProcessList, Usage,
};

const TAG: &str = "inside";

pub(super) fn list(list: &mut List) {
    list.add(TAG, ("get", "/applications/{name}/logs"), "The log of an application's instances")
        .about("Without follow it ends with the last line; with it, it goes on until whoever asks leaves, the session ends, or the agent leaves.")
        .query(&[
            number("lines", "Lines before the new ones"),
            flag("follow", "New lines are wanted too"),
            text("contains", "Text that a line has"),
            text("stream", "Only `stdout`, `stderr` or `shim`"),
            moment("since", "Earliest moment"),
        ])
        .answers(lines::<LogLine>(), "Lines, the oldest first");
    list.add(
        TAG,
        ("post", "/applications/{name}/exec"),
        "Run a program in an instance, with what its first process has",
    )
    .about("The process lives for its asker: a connection that is cut ends it. The last line is `ended` or `refused`.")
    .body(value::<Exec>(), true)
    .answers(lines::<ExecEvent>(), "What it does");
    list.add(TAG, ("get", "/applications/{name}/terminal"), "A terminal in an instance: a WebSocket")
        .about(
            "Sub-protocol openmesh.v1. The first message is an Exec as text; then binary messages of the client are input, and its texts are {\"window\": [COLUMNS, ROWS]}, {\"signal\": NUMBER} or \
             \"end_of_input\". Binary messages of the agent are output, behind one byte that is 1 for output and 2 for error output; its texts are ExecEvents, of which `ended` or `refused` is the last. \
             Closed with 1000 at the end, 1001 when the agent leaves, 1008 when the session is over.",
        )
        .empty("101", "The connection is a WebSocket from here on");
    list.add(TAG, ("get", "/applications/{name}/usage"), "What an application uses")
        .query(&[
            moment("from", "First moment; an hour before the last without it"),
            moment("to", "Last moment; now without it"),
            number("step", "Time of one point, seconds"),
        ])
        .answers(value::<Usage>(), "Use in steps");
    list.add(TAG, ("get", "/applications/{name}/processes"), "Processes of an application at this moment")
        .about(
            "Those of its instances and of the runs of its jobs. Where a value of a secret would be among arguments, `[secret]` stands; a text is looked for in what is shown. A share of processors \
             is that since the last look at least a second and at most a minute before, whoever took it, else that since the begin of the process.",
        )
        .query(&[
            text("sort", "`cpu` (without a word), `memory`, `threads`, `started`, `pid` or `name`"),
            text("contains", "Text in the name or the arguments, of whatever case"),
            text("instance", "The one instance that is meant, by name or number, or `job NAME run NUMBER`"),
            number("limit", "Most of them, at most 1,000"),
        ])
        .answers(value::<ProcessList>(), "Processes");
    jobs(list);
    files(list);
}

fn jobs(list: &mut List) {
    list.add(TAG, ("get", "/applications/{name}/jobs"), "Jobs with their last runs")
        .answers(values::<JobView>(), "Jobs");
    list.add(TAG, ("post", "/applications/{name}/jobs/{job}"), "Begin a run of a job")
        .answers(value::<JobRun>(), "The run");
    list.add(TAG, ("delete", "/applications/{name}/jobs/{job}"), "End the run of a job that goes on")
        .empty("204", "It is asked to end, or none went on");
    list.add(TAG, ("get", "/applications/{name}/jobs/{job}/logs"), "The log of a run")
        .query(&[
            number("run", "Number of the run; the newest without it"),
            flag("follow", "New lines are wanted too, until it has ended"),
            number("lines", "Last lines to begin with"),
        ])
        .answers(lines::<LogLine>(), "Lines, the oldest first");
}

/// Words for a path in a query.
const AT: &str = "Path below the volume or the root, with `\\xNN` for what is no plain text in it";

fn files(list: &mut List) {
    let part = [
        ("Range", "One part: `bytes=0-99`"),
        ("If-Range", "Tag of the file that the part is of"),
        ("If-None-Match", "Tags of what is there already"),
    ];
    list.add(TAG, ("get", "/applications/{name}/files"), "Places with an application's files")
        .answers(value::<FilePlaces>(), "Places");
    list.add(TAG, ("get", "/applications/{name}/files/root"), "A folder of an instance's root")
        .query(&[text("path", AT)])
        .answers(value::<FileFolder>(), "The folder");
    list.add(TAG, ("get", "/applications/{name}/files/volumes/{volume}"), "A folder of a volume")
        .query(&[text("path", AT)])
        .answers(value::<FileFolder>(), "The folder");
    for path in ["/applications/{name}/files/root/content", "/applications/{name}/files/volumes/{volume}/content"] {
        let read = list.add(TAG, ("get", path), "The bytes of a file, as an attachment").query(&[text("path", AT)]);
        part.iter()
            .fold(read, |read, (name, words)| read.header(name, words))
            .answers(bytes(), "All of it")
            .empty("206", "The part that was asked for, as application/octet-stream")
            .empty("304", "It is the one that is there already");
    }
    list.add(TAG, ("put", "/applications/{name}/files/volumes/{volume}"), "Make a folder")
        .query(&[text("path", AT)])
        .answers(value::<FileEntry>(), "The folder");
    list.add(
        TAG,
        ("post", "/applications/{name}/files/volumes/{volume}"),
        "Rename a file or folder to a name that is free",
    )
    .body(value::<FileRename>(), true)
    .answers(value::<FileEntry>(), "It under its new name");
    list.add(TAG, ("delete", "/applications/{name}/files/volumes/{volume}"), "Remove a file or folder")
        .query(&[text("path", AT), flag("all", "A folder goes with everything in it")])
        .header("If-Match", "Tag of the file that was read; another one is not removed")
        .answers(
            plain(json!({ "type": "integer", "format": "int64", "minimum": 0 })),
            "Number of the entries that went",
        );
    list.add(TAG, ("put", "/applications/{name}/files/volumes/{volume}/content"), "Write a file, as a whole")
        .about("Whoever writes names what is there: one of both headers is needed (428 without), and where something else is there nothing changes (412).")
        .query(&[text("path", AT)])
        .header("If-Match", "Tag of the file that was read, or * for whatever is there")
        .header("If-None-Match", "* for a new file")
        .body(bytes(), true)
        .answers(value::<FileEntry>(), "The file");
}
