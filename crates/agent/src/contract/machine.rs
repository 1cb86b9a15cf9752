//! Operations on the machine: its state, history, door, alerts and secrets.

use serde_json::json;

use super::list::{CHANGE, List, bytes, flag, lines, number, of, plain, value, values};
use crate::uninstall::Holdings;
use crate::views::alerts::{Alert, Alerts, WebhookTest};
use crate::views::{Costs, DoorCertificate, Doors, DrainView, Event, NixosExport, Node, Secret};

const TAG: &str = "machine";

pub(super) fn list(list: &mut List) {
    list.add(TAG, ("get", ""), "The machine and the present work of its agent").answers(value::<Node>(), "The machine");
    for path in ["/openapi.json", "/v1/xnode/openapi.json"] {
        list.at(TAG, ("get", path), "This description").answers(plain(json!({ "type": "object" })), "OpenAPI 3.1");
    }
    list.add(TAG, ("get", "/schema"), "The JSON schema of documents")
        .answers(of("application/schema+json"), "The schema");
    list.add(TAG, ("get", "/events"), "What was done and why")
        .about("Without follow it ends with the last event; with it, it goes on until whoever asks leaves, the session ends, or the agent leaves.")
        .query(&[number("from", "First number that is wanted"), flag("follow", "New events are wanted too")])
        .answers(lines::<Event>(), "Events, the oldest first");
    list.add(TAG, ("get", "/export/nixos"), "A document as a flake of NixOS, which runs this agent with it")
        .query(&[number("generation", "Number of the generation; the wanted one without it")])
        .answers(value::<NixosExport>(), "The files, with hashes and the names of secrets");
    list.add(TAG, ("get", "/holdings"), "Everything that the agent has on this machine")
        .answers(value::<Holdings>(), "Its things");
    list.add(TAG, ("get", "/costs"), "Costs of applications by the prices of the machine's operator")
        .about("By what an application is given, used or not: processors, memory, volumes, GPUs. Nothing is paid. Without `prices` in the document nothing is said.")
        .answers(value::<Costs>(), "Costs of an hour and of a month");
    list.add(TAG, ("get", "/drain"), "Whether the machine is emptied").answers(value::<DrainView>(), "The mark");
    list.add(TAG, ("put", "/drain"), "Empty the machine: every application stops, and nothing new is deployed")
        .query(CHANGE)
        .answers(value::<DrainView>(), "The mark, and the change by which applications stop");
    list.add(TAG, ("delete", "/drain"), "Take deployments again: those run again that ran before")
        .query(CHANGE)
        .answers(value::<DrainView>(), "The change by which applications start");
    doors(list);
    list.add(TAG, ("get", "/alerts"), "Alerts, those that are open and those that are over")
        .answers(value::<Alerts>(), "Alerts");
    list.add(TAG, ("post", "/alerts/{id}/acknowledge"), "Say that somebody knows of an alert")
        .query(CHANGE)
        .answers(value::<Alert>(), "The alert");
    list.add(TAG, ("post", "/alerts/webhooks/{webhook}/test"), "Send a message to a webhook")
        .answers(value::<WebhookTest>(), "Whether it was taken");
    list.add(TAG, ("get", "/secrets"), "Secrets with their versions and users; values leave the agent by no endpoint")
        .answers(values::<Secret>(), "Secrets");
    list.add(TAG, ("put", "/secrets/{name}"), "Set a secret: the body is its value, byte by byte")
        .body(bytes(), true)
        .answers(plain(json!({ "type": "integer", "format": "int32", "minimum": 1 })), "Its version");
    list.add(TAG, ("delete", "/secrets/{name}"), "Remove a secret that nobody has").empty("204", "It is gone");
}

fn doors(list: &mut List) {
    list.add(TAG, ("get", "/doors"), "The door: where it listens and leads, and what it counts")
        .answers(value::<Doors>(), "The door");
    list.add(TAG, ("get", "/doors/authority"), "The root of the own authority, for every device that should trust it")
        .answers(of("application/x-pem-file"), "A certificate as PEM");
    list.add(TAG, ("put", "/doors/certificates/{name}"), "Give a certificate for a name that the door serves")
        .body(value::<DoorCertificate>(), true)
        .empty("204", "It is taken");
    list.add(TAG, ("delete", "/doors/certificates/{name}"), "Forget the certificate of a name")
        .empty("204", "It is gone");
}
