//! `openmesh xnode init` and `openmesh xnode access`.

use openmesh_agent::views::access::{Code, Ended, Key, MadeKey, Member, MemberWish, OwnRole, OwnRoleWish, Session};
use openmesh_agent::views::{AuditFilter, AuditHead, AuditKind, AuditRecord, AuditReport, KeyWish, Untaken};
use openmesh_agent::{Chain, Settings, SettingsFile};
use reqwest::Method;
use url::form_urlencoded::Serializer;

use super::agent::{ask, client, columns, failure, get, json, moment, part, print, settings};
use crate::cli::access::{
    AccessCommand, AuditArgs, AuditCommand, InitArgs, KeysCommand, MembersCommand, Noted, RolesCommand, SessionsCommand,
};
use crate::cli::{AgentName, Output};
use crate::failure::Failure;

/// Writes the settings of an agent, once.
pub fn init(arguments: InitArgs) -> Result<(), Failure> {
    let settings = settings(&arguments.agent)?;
    let wish = SettingsFile {
        owner: Some(arguments.owner),
        face: arguments.face,
        hosts: arguments.hosts,
        chain: arguments.chain_id.zip(arguments.chain_rpc).map(|(id, rpc)| Chain { id, rpc }),
        lend: None,
    };
    let written = settings.init(&wish).map_err(|error| {
        Failure::new(error.to_string()).hint("this command needs root; settings that are there are edited by hand")
    })?;
    if arguments.output.json {
        return json(&serde_json::json!({ "file": settings.file(), "written": written, "settings": wish }));
    }
    let (file, owner) = (settings.file().display().to_string(), arguments.owner);
    if !written {
        return print(&format!("{file} is there already, with these settings\n"));
    }
    print(&format!(
        "{file} is written; {owner} is the owner once the agent runs\nhint: openmesh xnode agent starts it; then sign in with this wallet\n"
    ))
}

/// Words about the way in for people, as the start of an agent prints them; none where its settings cannot be read, which the agent then says itself.
pub fn greeting(settings: &Settings) -> String {
    let told = settings.clone().with_file().ok().and_then(|told| Some((told.face?, told.owners().ok()?)));
    let Some((face, owners)) = told else { return String::new() };
    if !owners.is_empty() {
        return format!("people ask at http://{face}\n");
    }
    format!(
        "people ask at http://{face}\nnobody owns this Xnode yet: `openmesh xnode access code`, as root, prints the code of the first owner\n"
    )
}

/// Runs one of the access commands.
pub async fn run(command: AccessCommand) -> Result<(), Failure> {
    match command {
        AccessCommand::Members(arguments) => match arguments.command {
            None => {
                let all: Vec<Member> = get(&client(&arguments.agent)?, "/access/members").await?;
                if arguments.output.json { json(&all) } else { print(&members(&all)) }
            }
            Some(command) => change_members(command).await,
        },
        AccessCommand::Keys(arguments) => match arguments.command {
            None => {
                let all: Vec<Key> = get(&client(&arguments.agent)?, "/access/keys").await?;
                if arguments.output.json { json(&all) } else { print(&keys(&all)) }
            }
            Some(command) => change_keys(command).await,
        },
        AccessCommand::Roles(arguments) => match arguments.command {
            None => {
                let all: Vec<OwnRole> = get(&client(&arguments.agent)?, "/access/roles").await?;
                if arguments.output.json { json(&all) } else { print(&roles(&all)) }
            }
            Some(command) => change_roles(command).await,
        },
        AccessCommand::Sessions(arguments) => match arguments.command {
            None => {
                let all: Vec<Session> = get(&client(&arguments.agent)?, "/access/sessions").await?;
                if arguments.output.json { json(&all) } else { print(&sessions(&all)) }
            }
            Some(command) => change_sessions(command).await,
        },
        AccessCommand::Audit(arguments) => audit(*arguments).await,
        AccessCommand::Code { agent, output } => {
            let client = client(&agent)?;
            let code: Code = ask(&client, client.request(Method::POST, "/access/code")).await?;
            if output.json {
                return json(&code);
            }
            let hours = code.lasts_ms / 3_600_000;
            print(&format!(
                "{}\nWhoever signs in with it becomes the owner. It is good once, and for {hours} hours.\n",
                code.code
            ))
        }
    }
}

async fn change_members(command: MembersCommand) -> Result<(), Failure> {
    match command {
        MembersCommand::Set { wallet, role, name, only, agent } => {
            let client = client(&agent)?;
            let request = client.request(Method::PUT, &format!("/access/members/{wallet}"));
            let answer = client.text(request.json(&MemberWish { role, name, only })).await.map_err(failure)?;
            // What narrowed the same role before may narrow it still.
            let all: Vec<Member> = get(&client, "/access/members").await?;
            let now = all.iter().find(|member| member.wallet == wallet);
            let said = now.map_or_else(|| role.to_string(), |now| narrowed(now.role.as_str(), now.only.as_deref()));
            print(&format!("{wallet} is {said} from now on\n"))?;
            at_the_door(&answer)
        }
        MembersCommand::Remove { wallet, agent } => {
            let client = client(&agent)?;
            let request = client.request(Method::DELETE, &format!("/access/members/{wallet}"));
            let answer = client.text(request).await.map_err(failure)?;
            print(&format!("{wallet} is no member any more; their sessions and keys have ended\n"))?;
            at_the_door(&answer)
        }
    }
}

/// Fails where a change of members is made and the door has not taken it: then it does not count for applications yet.
fn at_the_door(answer: &str) -> Result<(), Failure> {
    let Ok(Untaken { cause }) = serde_json::from_str(answer) else { return Ok(()) };
    Err(Failure::new(format!("the door has not taken this yet, and lets people in to applications as before: {cause}"))
        .hint("the agent tells it again each second; openmesh xnode doors says so until it has"))
}

async fn change_roles(command: RolesCommand) -> Result<(), Failure> {
    match command {
        RolesCommand::Set { name, of, rights, agent } => {
            let client = client(&agent)?;
            let request = client.request(Method::PUT, &format!("/access/roles/{}", part(&name)));
            client.text(request.json(&OwnRoleWish { of, rights })).await.map_err(failure)?;
            print(&format!(
                "{name} narrows {of} from now on; give it: openmesh xnode access members set WALLET {of} --only {name}\n"
            ))
        }
        RolesCommand::Remove { name, agent } => {
            let client = client(&agent)?;
            let request = client.request(Method::DELETE, &format!("/access/roles/{}", part(&name)));
            client.text(request).await.map_err(failure)?;
            print(&format!("there is no role {name} any more\n"))
        }
    }
}

/// A role, with the one of one's own that narrows it.
fn narrowed(role: &str, only: Option<&str>) -> String {
    only.map_or_else(|| role.to_string(), |only| format!("{role}, only {only}"))
}

async fn change_keys(command: KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Make { name, role, only, lasts, agent, output } => {
            let lasts_ms = lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
            let client = client(&agent)?;
            let wish = KeyWish { name, role, lasts_ms, only };
            let request = client.request(Method::POST, "/access/keys").json(&wish);
            let made: MadeKey = ask(&client, request).await?;
            if output.json {
                return json(&made);
            }
            print(&format!("{}\nThis is shown once. It is sent as `Authorization: Bearer KEY`.\n", made.key))
        }
        KeysCommand::Revoke { id, agent } => {
            let client = client(&agent)?;
            let request = client.request(Method::DELETE, &format!("/access/keys/{}", part(&id)));
            client.text(request).await.map_err(failure)?;
            print(&format!("the API key {id} is revoked\n"))
        }
    }
}

async fn change_sessions(command: SessionsCommand) -> Result<(), Failure> {
    match command {
        SessionsCommand::Revoke { id, agent } => {
            let client = client(&agent)?;
            let request = client.request(Method::DELETE, &format!("/access/sessions/{}", part(&id)));
            client.text(request).await.map_err(failure)?;
            print(&format!("the session {id} is revoked, and what it had open has ended\n"))
        }
        SessionsCommand::RevokeAll { wallet, agent } => {
            let client = client(&agent)?;
            let request = client.request(Method::DELETE, &format!("/access/members/{wallet}/sessions"));
            let ended: Ended = ask(&client, request).await?;
            print(&format!("{} sessions of {wallet} are revoked\n", ended.sessions))
        }
    }
}

async fn audit(arguments: AuditArgs) -> Result<(), Failure> {
    if let Some(AuditCommand::Verify { noted, offline, agent, output }) = arguments.command {
        return verify(noted, offline, &agent, output).await;
    }
    let filter = AuditFilter {
        who: arguments.who,
        method: arguments.method,
        path: arguments.path,
        kind: arguments.refused.then_some(AuditKind::Refused),
        since: arguments.since,
        until: arguments.until,
        before: arguments.before,
        limit: Some(arguments.limit),
    };
    let found: Vec<AuditRecord> = get(&client(&arguments.agent)?, &format!("/access/audit{}", query(&filter))).await?;
    if arguments.output.json { json(&found) } else { print(&records(&found)) }
}

/// The query of a filter.
fn query(filter: &AuditFilter) -> String {
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let fields = [
        ("who", filter.who.clone()),
        ("method", filter.method.clone()),
        ("path", filter.path.clone()),
        ("kind", filter.kind.and_then(word)),
        ("since", filter.since.map(|at| at.to_string())),
        ("until", filter.until.map(|at| at.to_string())),
        ("before", number(filter.before)),
        ("limit", filter.limit.map(|limit| limit.to_string())),
    ];
    let given = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    format!("?{}", Serializer::new(String::new()).extend_pairs(given).finish())
}

fn word(kind: AuditKind) -> Option<String> {
    serde_json::to_value(kind).ok()?.as_str().map(String::from)
}

async fn verify(noted: Option<Noted>, offline: bool, agent: &AgentName, output: Output) -> Result<(), Failure> {
    let head = noted.map(|noted| noted.0);
    let report: AuditReport = if offline {
        let folder = settings(agent)?.access_folder().join("audit");
        openmesh_agent::verify_audit(&folder, head).map_err(|error| Failure::new(error.to_string()))?
    } else {
        let query = match head {
            Some(AuditHead { sequence, hash }) => format!("?sequence={sequence}&hash={hash}"),
            None => String::new(),
        };
        get(&client(agent)?, &format!("/access/audit/verify{query}")).await?
    };
    if output.json {
        json(&report)?;
    } else {
        print(&verdict(&report))?;
    }
    match report.broken {
        None => Ok(()),
        Some(broken) => Err(Failure::new(format!(
            "the audit log is broken in file {:08}.jsonl, line {}: {}",
            broken.file, broken.line, broken.reason
        ))
        .hint("records after this one prove nothing; compare with a copy of the log, or with a head that was noted")),
    }
}

fn verdict(report: &AuditReport) -> String {
    let AuditHead { sequence, hash } = report.head;
    let mut text =
        format!("{} records in {} files hold, from number {} on\n", report.records, report.files, report.first);
    if report.cuts > 0 {
        text += &format!(
            "{} lines were cut by a power cut or a death, and are named by the records after them\n",
            report.cuts
        );
    }
    if let Some(bytes) = report.torn_bytes {
        text += &format!("the last line was cut after {bytes} bytes, before a change followed it\n");
    }
    text + &format!("head {sequence}:{hash}\n")
}

/// Words for a time that is left.
fn left(ms: Option<u64>) -> String {
    match ms {
        None => "never".into(),
        Some(0) => "over".into(),
        Some(ms) if ms >= 2 * 86_400_000 => format!("{} d", ms / 86_400_000),
        Some(ms) if ms >= 2 * 3_600_000 => format!("{} h", ms / 3_600_000),
        Some(ms) => format!("{} min", ms.div_ceil(60_000)),
    }
}

fn members(all: &[Member]) -> String {
    if all.is_empty() {
        return "nobody is a member; `openmesh xnode access code` prints the code of the first owner\n".into();
    }
    let row = |member: &Member| {
        vec![
            member.wallet.to_string(),
            narrowed(member.role.as_str(), member.only.as_deref()),
            member.name.clone().unwrap_or_default(),
            member.sessions.to_string(),
            moment(member.since),
            member.by.clone(),
        ]
    };
    columns(&["WALLET", "ROLE", "NAME", "SESSIONS", "SINCE", "BY"], &all.iter().map(row).collect::<Vec<_>>())
}

fn keys(all: &[Key]) -> String {
    if all.is_empty() {
        return "there are no API keys; `openmesh xnode access keys make NAME --role ROLE` makes one\n".into();
    }
    let row = |key: &Key| {
        vec![
            key.id.clone(),
            key.name.clone(),
            narrowed(key.role.as_str(), key.only.as_deref()),
            key.maker.map_or("root".into(), |maker| maker.to_string()),
            moment(key.made),
            left(key.left_ms),
            key.used.map_or("never".into(), moment),
        ]
    };
    columns(
        &["ID", "NAME", "ROLE", "MADE BY", "MADE", "ENDS IN", "LAST USED"],
        &all.iter().map(row).collect::<Vec<_>>(),
    )
}

fn roles(all: &[OwnRole]) -> String {
    if all.is_empty() {
        return "there are no roles of one's own; `openmesh xnode access roles set NAME --of ROLE RIGHT` makes one\n"
            .into();
    }
    let of = |role: &OwnRole| {
        let rights: String = role.rights.iter().map(|right| format!("  {right}\n")).collect();
        let (name, of, used) = (&role.name, role.of, role.used);
        format!("{name} narrows {of}, given to {used}; changed {} by {}\n{rights}", moment(role.since), role.by)
    };
    all.iter().map(of).collect()
}

fn sessions(all: &[Session]) -> String {
    if all.is_empty() {
        return "nobody is signed in\n".into();
    }
    let row = |session: &Session| {
        vec![
            session.id.clone(),
            session.wallet.to_string(),
            session.role.to_string(),
            session.from.clone(),
            moment(session.made),
            moment(session.used),
            session.open.to_string(),
            left(Some(session.left_ms)),
        ]
    };
    columns(
        &["ID", "WALLET", "ROLE", "FROM", "BEGAN", "LAST USED", "OPEN", "ENDS IN"],
        &all.iter().map(row).collect::<Vec<_>>(),
    )
}

fn records(all: &[AuditRecord]) -> String {
    if all.is_empty() {
        return "there are no such records\n".into();
    }
    let row = |record: &AuditRecord| {
        let what = match (&record.method, &record.path) {
            (Some(method), Some(path)) => format!("{method} {path}"),
            _ => String::new(),
        };
        vec![
            record.sequence.to_string(),
            moment(record.at),
            record.who.clone().unwrap_or_default(),
            record.role.map(|role| role.to_string()).unwrap_or_default(),
            what,
            result(record),
            record.from.clone().unwrap_or_default(),
        ]
    };
    columns(&["NUMBER", "WHEN", "WHO", "ROLE", "WHAT", "RESULT", "FROM"], &all.iter().map(row).collect::<Vec<_>>())
}

fn result(record: &AuditRecord) -> String {
    let status = record.status.map(|status| status.to_string()).unwrap_or_default();
    let more = record.unrecorded.map(|more| format!(" (and {more} more were refused before)")).unwrap_or_default();
    let text = match record.kind {
        AuditKind::File => format!("file {} begins", record.file.unwrap_or_default()),
        AuditKind::Torn => format!("the line before was cut after {} bytes", record.bytes.unwrap_or_default()),
        AuditKind::Begun => "begun".into(),
        AuditKind::Ended => format!("{status}, begun by {}", record.of.unwrap_or_default()),
        AuditKind::Refused => format!("refused: {} ({status})", record.code.as_deref().unwrap_or_default()),
    };
    format!("{text}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_becomes_a_query() {
        let filter = AuditFilter {
            who: Some("key a b".into()),
            path: Some("/v1/xnode/secrets".into()),
            kind: Some(AuditKind::Refused),
            limit: Some(5),
            ..AuditFilter::default()
        };
        assert_eq!(query(&filter), "?who=key+a+b&path=%2Fv1%2Fxnode%2Fsecrets&kind=refused&limit=5");
        assert_eq!(query(&AuditFilter::default()), "?");
        assert_eq!(part("a/b c?"), "a%2Fb%20c%3F");
    }

    #[test]
    fn roles_of_ones_own_are_told_with_their_rights() {
        let role = OwnRole {
            name: "web".into(),
            of: "operator".parse().unwrap(),
            rights: vec!["* /v1/xnode/applications/web/**".into()],
            since: openmesh_primitives::Timestamp(0),
            by: "root".into(),
            used: 2,
        };
        let text = roles(&[role]);
        assert!(text.starts_with("web narrows operator, given to 2; changed 1970-01-01 00:00:00"), "{text}");
        assert!(text.ends_with("by root\n  * /v1/xnode/applications/web/**\n"), "{text}");
        assert!(roles(&[]).contains("roles set"));
        assert_eq!(
            (narrowed("viewer", None), narrowed("viewer", Some("a"))),
            ("viewer".into(), "viewer, only a".into())
        );
    }

    #[test]
    fn whoever_changes_members_hears_where_the_door_has_not_taken_it() {
        assert!(at_the_door("").is_ok());
        let failure = at_the_door("{\"cause\":\"the document cannot be kept\"}").unwrap_err();
        assert!(failure.message().ends_with("as before: the document cannot be kept"), "{}", failure.message());
        assert!(failure.what_to_do().is_some_and(|hint| hint.contains("xnode doors")));
    }

    #[test]
    fn times_that_are_left_in_words() {
        let texts = [None, Some(0), Some(30_000), Some(3 * 3_600_000), Some(90 * 86_400_000)].map(left);
        assert_eq!(texts, ["never", "over", "1 min", "3 h", "90 d"]);
    }
}
