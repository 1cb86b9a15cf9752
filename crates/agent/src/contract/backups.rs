//! Operations on backups, drills, restores, and lines of data.

use serde_json::json;

use super::list::{CHANGE, List, flag, lines, of, plain, text, value, values};
use crate::views::backups::{Backup, Job, Keys, Line, MachinePlan, MachineRequest, Overview, RestoreRequest};
use crate::views::lending::{BringBackWish, Lending, LoanWish};

const TAG: &str = "backups";

pub(super) fn list(list: &mut List) {
    list.add(TAG, ("get", "/backups"), "Everything about backups of this machine")
        .answers(value::<Overview>(), "Backups");
    list.add(TAG, ("get", "/backups/key"), "Public halves of the keys of backups").answers(value::<Keys>(), "Keys");
    list.add(TAG, ("put", "/backups/key"), "Set the public half of the owner's key")
        .query(&[
            flag("replace", "Another key that is set is replaced"),
            text("reading", "Key by which the owner reads at lenders, derived from the owner's identity"),
            text("by", "Whoever asks, where root asks for somebody"),
        ])
        .body(of("text/plain"), true)
        .answers(value::<Keys>(), "Keys");
    list.add(
        TAG,
        ("post", "/backups/targets/{name}/join"),
        "Let this machine into the repository of a place, with the owner's identity, which is not kept",
    )
    .query(CHANGE)
    .body(of("text/plain"), true)
    .answers(plain(json!({ "type": "string" })), "Id of the repository");
    list.add(TAG, ("get", "/backups/jobs/{number}"), "A backup, drill or restore that is under way or has ended")
        .query(&[flag("follow", "It is told again and again, until it has ended")])
        .answers(lines::<Job>(), "The act: one line, or with follow one for each look");
    list.add(TAG, ("delete", "/backups/jobs/{number}"), "Stop a backup, drill or restore")
        .answers(value::<Job>(), "The act");
    list.add(TAG, ("post", "/backups/machine"), "Restore a whole machine onto this one, which has nothing yet")
        .query(CHANGE)
        .body(value::<MachineRequest>(), true)
        .answers(value::<Job>(), "The act that was begun");
    list.add(TAG, ("post", "/backups/machine/plan"), "What a restore of a whole machine would take; changes nothing")
        .body(value::<MachineRequest>(), true)
        .answers(value::<MachinePlan>(), "Its parts");
    list.add(TAG, ("get", "/applications/{name}/backups"), "Backups of an application")
        .answers(values::<Backup>(), "Backups");
    list.add(TAG, ("post", "/applications/{name}/backups"), "Back up an application now")
        .query(CHANGE)
        .answers(value::<Job>(), "The act that was begun");
    list.add(
        TAG,
        ("post", "/applications/{name}/backups/drill"),
        "Prove a backup: restore it to a scratch place and read it back",
    )
    .query(&[
        text("backup", "Id of the backup, or its first digits; the newest one without it"),
        text("by", "Whoever asks, where root asks for somebody"),
    ])
    .answers(value::<Job>(), "The act that was begun");
    list.add(
        TAG,
        ("post", "/applications/{name}/backups/restore"),
        "Restore a backup to new lines of data, or as a new application",
    )
    .query(CHANGE)
    .body(value::<RestoreRequest>(), false)
    .answers(value::<Job>(), "The act that was begun");
    list.add(TAG, ("get", "/applications/{name}/lines"), "Lines of data of an application")
        .answers(values::<Line>(), "Lines");
    list.add(TAG, ("delete", "/applications/{name}/lines/{volume}/{line}"), "Remove a line of data that nobody has")
        .query(CHANGE)
        .empty("204", "It is gone, with its data");
    loans(list);
}

/// Operations on room for the backups of other machines.
fn loans(list: &mut List) {
    list.add(TAG, ("get", "/loans"), "Room that this machine lends to the backups of others, and what is used of it")
        .answers(value::<Lending>(), "Loans");
    list.add(TAG, ("put", "/loans/{name}"), "Lend room to the keys of a guest's machines, or change a loan")
        .query(CHANGE)
        .body(value::<LoanWish>(), true)
        .answers(value::<Lending>(), "Loans");
    list.add(TAG, ("post", "/loans/{name}/end"), "End a loan: its guest reads, and stores and removes nothing")
        .query(CHANGE)
        .answers(value::<Lending>(), "Loans");
    list.add(
        TAG,
        ("post", "/loans/{name}/bring-back"),
        "Bring back what a guest has removed in the last days, as after its machine was stolen",
    )
    .query(CHANGE)
    .body(value::<BringBackWish>(), true)
    .answers(value::<Lending>(), "Loans");
    list.add(TAG, ("delete", "/loans/{name}"), "Remove an ended loan with all backups of its guest")
        .query(CHANGE)
        .answers(value::<Lending>(), "Loans");
}
