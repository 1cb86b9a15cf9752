//! `openmesh xnode doors`.

use std::path::Path;

use openmesh_agent::views::{CertificateMaker, DoorCertificate, DoorRoute, DoorState, Doors, HostCertificate};
use reqwest::Method;

use super::agent::{client, columns, failure, get, json, moment, print};
use crate::cli::{DoorsArgs, DoorsCommand};
use crate::failure::Failure;

/// Largest file of a certificate or key that is read, bytes: the agent takes no larger one.
const PEM_BYTES_MAX: u64 = 64 << 10;

/// Runs one of the doors commands.
pub async fn run(arguments: DoorsArgs) -> Result<(), Failure> {
    let Some(command) = arguments.command else {
        let doors: Doors = get(&client(&arguments.agent)?, "/doors").await?;
        return if arguments.output.json { json(&doors) } else { print(&text(&doors)) };
    };
    match command {
        DoorsCommand::Authority { agent } => {
            let client = client(&agent)?;
            let root = client.text(client.request(Method::GET, "/doors/authority")).await.map_err(failure)?;
            print(&root)
        }
        DoorsCommand::Certificate { name, chain, key, agent } => {
            let given = DoorCertificate { chain: pem(&chain)?, key: pem(&key)? };
            let client = client(&agent)?;
            let request = client.request(Method::PUT, &format!("/doors/certificates/{name}")).json(&given);
            client.text(request).await.map_err(failure)?;
            print(&format!("{name} is served with this certificate from now on\n"))
        }
        DoorsCommand::Forget { name, agent } => {
            let client = client(&agent)?;
            let request = client.request(Method::DELETE, &format!("/doors/certificates/{name}"));
            client.text(request).await.map_err(failure)?;
            print(&format!("the certificate for {name} is forgotten\n"))
        }
    }
}

fn pem(path: &Path) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::from_display(path.display(), &error);
    let about = std::fs::metadata(path).map_err(|error| failed(&error))?;
    if about.len() > PEM_BYTES_MAX {
        return Err(Failure::new(format!("{} has more than {PEM_BYTES_MAX} bytes", path.display())));
    }
    std::fs::read_to_string(path).map_err(|error| failed(&error))
}

/// The door as a person reads it.
fn text(doors: &Doors) -> String {
    let state = match doors.state {
        DoorState::Serves => format!("serves document {}", doors.serial),
        DoorState::Waits => "is waited for".into(),
        DoorState::Fails => "does not serve what is wanted".into(),
        DoorState::Missing => "is not there".into(),
    };
    let cause = doors.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    let mut text = format!("the door {state}{cause}\n");
    if let (Some(user), Some(program)) = (doors.user, &doors.program) {
        text += &format!("user {user}, {} connections, {program}\n", doors.connections);
    }
    if !doors.listeners.is_empty() {
        let rows: Vec<Vec<String>> = doors
            .listeners
            .iter()
            .map(|one| {
                let leads = one.route.clone().unwrap_or_else(|| "hosts".into());
                vec![one.address.clone(), if one.tls { "https" } else { "http" }.into(), leads]
            })
            .collect();
        text += &format!("\n{}", columns(&["LISTENS AT", "BY", "LEADS TO"], &rows));
    }
    if !doors.hosts.is_empty() {
        let rows: Vec<Vec<String>> = doors
            .hosts
            .iter()
            .map(|one| {
                let certificate = if one.is_secure { "there" } else { "none" };
                vec![one.name.clone(), one.route.clone(), one.access.clone(), certificate.into()]
            })
            .collect();
        text += &format!("\n{}", columns(&["HOST", "LEADS TO", "FOR", "CERTIFICATE"], &rows));
    }
    if !doors.certificates.is_empty() {
        let rows: Vec<Vec<String>> = doors.certificates.iter().map(certificate).collect();
        text += &format!("\n{}", columns(&["CERTIFICATE FOR", "BY", "UNTIL", "RENEWED FROM"], &rows));
        text += &doors.certificates.iter().map(trouble).collect::<String>();
    }
    if !doors.routes.is_empty() {
        let rows: Vec<Vec<String>> = doors.routes.iter().map(route).collect();
        let head = ["ROUTE", "NEW REQUESTS", "WAIT", "OPEN", "READING", "WRITING", "REFUSED", "LONGEST HOLD"];
        text += &format!("\n{}", columns(&head, &rows));
    }
    for remark in &doors.remarks {
        text += &format!("remark     {remark}\n");
    }
    text
}

fn certificate(one: &HostCertificate) -> Vec<String> {
    let maker = match one.maker {
        None => "nobody",
        Some(CertificateMaker::Given) => "a person",
        Some(CertificateMaker::Acme) => "ACME",
        Some(CertificateMaker::House) => "own authority",
    };
    let at = |moment: Option<u64>| moment.map_or_else(|| "-".into(), day);
    vec![one.name.clone(), maker.into(), at(one.until), at(one.renews_at)]
}

/// Lines on what went wrong with the certificate of a name, and what helps.
fn trouble(one: &HostCertificate) -> String {
    let name = &one.name;
    let failure = one.failure.as_ref().map(|failure| {
        let again = moment(nanos(failure.again));
        format!(
            "{name}: {} (attempt {}, the next one at {again})\n  {}\n",
            failure.cause, failure.count, failure.remedy
        )
    });
    let note = one.note.as_ref().map(|note| format!("{name}: nothing is ordered: {note}\n"));
    failure.into_iter().chain(note).collect()
}

fn nanos(seconds: u64) -> openmesh_primitives::Timestamp {
    openmesh_primitives::Timestamp(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000_000))
}

/// The day of a moment in seconds since 1970.
fn day(seconds: u64) -> String {
    let text = moment(nanos(seconds));
    text.get(..10).unwrap_or(&text).to_string()
}

fn route(route: &DoorRoute) -> Vec<String> {
    let sum = |of: fn(&openmesh_agent::views::DoorInstance) -> u64| route.instances.iter().map(of).sum::<u64>();
    let draining = route.instances.iter().filter(|one| one.drains).map(|one| one.open).sum::<u64>();
    let open = match draining {
        0 => sum(|one| one.open).to_string(),
        draining => format!("{} ({draining} of them end)", sum(|one| one.open)),
    };
    vec![
        route.name.clone(),
        route.admission.clone(),
        route.waiting.to_string(),
        open,
        sum(|one| one.reading_requests).to_string(),
        sum(|one| one.writing_requests).to_string(),
        route.refused.to_string(),
        format!("{} ms", route.longest_hold_ms),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_agent::views::{CertificateFailure, DoorHost, DoorInstance, DoorListener};

    fn certificates() -> Vec<HostCertificate> {
        vec![
            HostCertificate {
                name: "web.lan".into(),
                maker: Some(CertificateMaker::House),
                until: Some(1_795_953_600),
                renews_at: Some(1_793_361_600),
                failure: None,
                note: None,
            },
            HostCertificate {
                name: "web.example.org".into(),
                maker: None,
                until: None,
                renews_at: None,
                failure: Some(CertificateFailure {
                    count: 2,
                    at: 1_795_953_600,
                    again: 1_795_954_200,
                    cause: "it does not see that web.example.org leads here".into(),
                    remedy: "port 80 of this machine is not reached".into(),
                }),
                note: None,
            },
        ]
    }

    #[test]
    fn a_person_sees_holds_and_drains() {
        let instance = |name: &str, drains, open| DoorInstance {
            name: name.into(),
            drains,
            open,
            reading_requests: 20,
            writing_requests: 1,
            cut: 0,
        };
        let doors = Doors {
            state: DoorState::Serves,
            cause: None,
            program: Some("/p/openmesh-door".into()),
            user: Some(60_706),
            serial: 12,
            connections: 3,
            malformed: 0,
            listeners: vec![DoorListener {
                address: "127.0.0.1:8088".into(),
                tls: false,
                route: Some("web/http".into()),
            }],
            hosts: vec![DoorHost {
                name: "web.lan".into(),
                route: "web/http".into(),
                access: "everybody".into(),
                is_secure: true,
            }],
            routes: vec![DoorRoute {
                name: "web/http".into(),
                admission: "hold".into(),
                waiting: 4,
                held: 9,
                refused: 0,
                longest_hold_ms: 812,
                instances: vec![instance("a.0", true, 2), instance("b.0", false, 1)],
            }],
            certificates: certificates(),
            remarks: vec!["cannot listen at 0.0.0.0:80".into()],
        };
        let expected = "the door serves document 12\nuser 60706, 3 connections, /p/openmesh-door\n\n\
            LISTENS AT      BY    LEADS TO\n127.0.0.1:8088  http  web/http\n\n\
            HOST     LEADS TO  FOR        CERTIFICATE\nweb.lan  web/http  everybody  there\n\n\
            CERTIFICATE FOR  BY  UNTIL  RENEWED FROM\nweb.lan  own authority  2026-11-29  2026-10-30\n\
            web.example.org  nobody  -  -\n\
            web.example.org: it does not see that web.example.org leads here (attempt 2, the next one at 2026-11-29 12:10:00)\n\
            port 80 of this machine is not reached\n\n\
            ROUTE     NEW REQUESTS  WAIT  OPEN                 READING  WRITING  REFUSED  LONGEST HOLD\n\
            web/http  hold          4     3 (2 of them end)  40       2        0        812 ms\n\
            remark     cannot listen at 0.0.0.0:80\n";
        let squeezed = |text: &str| {
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(squeezed(&text(&doors)), squeezed(expected));
    }
}
