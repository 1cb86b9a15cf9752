//! Operations on machines that join: invitations, the list, reports; and on this machine with regard to another Xnode.

use super::list::{List, value, values};
use crate::views::access::Invitation;
use crate::views::machines::{
    Heard, InvitationWish, JoinLine, JoinView, JoinWish, LetIn, MachineList, MachineReport, MadeInvitation,
};

const TAG: &str = "machines";
/// Words for whatever a machine asks.
const BY_TOKEN: &str =
    "The machine's own token comes as a bearer token: it is no session and no API key, and opens nothing else.";

pub(super) fn list(list: &mut List) {
    list.add(TAG, ("get", "/invitations"), "Invitations for other machines, without their secrets")
        .answers(values::<Invitation>(), "Invitations, the newest first");
    list.add(TAG, ("post", "/invitations"), "Invite a machine: whoever asks owns it once it has joined")
        .body(value::<InvitationWish>(), true)
        .answers(value::<MadeInvitation>(), "The line, told this once");
    list.add(TAG, ("delete", "/invitations/{id}"), "Take an invitation back").empty("204", "Nobody joins by it");
    list.add(TAG, ("get", "/machines"), "This machine, and those that have joined it, with their last reports")
        .answers(value::<MachineList>(), "Machines");
    list.add(TAG, ("post", "/machines"), "Join this Xnode by an invitation")
        .about("The same machine, with the same token, gets the same answer again.")
        .body(value::<JoinWish>(), true)
        .answers(value::<LetIn>(), "The machine is in the list");
    list.add(TAG, ("delete", "/machines/{id}"), "Take a machine out of the list; it stays its owner's")
        .empty("204", "It is gone, and its reports are refused");
    list.add(TAG, ("post", "/machines/{id}/report"), "A machine's word on itself")
        .about(BY_TOKEN)
        .body(value::<MachineReport>(), true)
        .answers(value::<Heard>(), "It was heard");
    list.add(TAG, ("post", "/machines/{id}/leave"), "A machine leaves the list by itself")
        .about(BY_TOKEN)
        .answers(value::<Heard>(), "It is gone");
    list.add(TAG, ("get", "/join"), "This machine with regard to another Xnode")
        .answers(value::<JoinView>(), "Whether it has joined one, and whether its reports are heard");
    list.add(TAG, ("post", "/join"), "Let this machine join the Xnode of an invitation, whose owner then owns it")
        .body(value::<JoinLine>(), true)
        .answers(value::<JoinView>(), "It has joined");
    list.add(TAG, ("delete", "/join"), "Let this machine leave the Xnode that it has joined")
        .answers(value::<JoinView>(), "It has left; `trouble` says where that one could not be told");
}
