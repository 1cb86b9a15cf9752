//! Applications of a document out of a person's answers.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::catalogue::Catalogue;
use openmesh_blueprint::document::{
    Application, Audience, Backup, Content, Domain, Name, PackageVersion, Port, Route, TemplateUse,
};
use openmesh_blueprint::template::{BackupPolicy, Companion, OptionKind, Publication, Template};
use openmesh_blueprint::text::{Problem, Shape as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::library::Library;

/// Companions of companions: a site, its database, and nothing behind that was ever needed.
const DEPTH_MAX: u32 = 3;
/// Most applications of one order: the longest of a built-in template has two, and forty companions of forty companions would be thousands.
const APPLICATIONS_MAX: u32 = 16;
/// Beginning of an answer that names a secret.
const SECRET: &str = "secret:";

/// An application that is ordered from a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Catalogue of another publisher; a built-in template without it.
    pub catalogue: Option<Name>,
    /// Template.
    pub template: Name,
    /// Version; the newest without it.
    pub version: Option<PackageVersion>,
    /// Name of the application.
    pub name: Name,
    /// Answers as a person writes them; a secret that is there already is `secret:NAME`.
    pub answers: BTreeMap<Name, String>,
    /// Place of the machine that keeps the backups which its template proposes; none are made without it.
    pub backup: Option<Name>,
}

impl Order {
    /// Words for the template: `redis 1`, `acme/shop`.
    pub fn words(&self) -> String {
        let (name, catalogue) = (self.template.clone(), self.catalogue.clone());
        TemplateUse { name, catalogue, version: self.version.clone(), answers: BTreeMap::new() }.words()
    }
}

/// A fault of an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateFault)]
pub struct Fault {
    /// Option that it is about: `name` for the application's own name; none for the order as a whole.
    pub option: Option<String>,
    /// Words for a person, as a half sentence behind the option.
    pub message: String,
}

impl Fault {
    pub(crate) fn of(option: impl ToString, message: impl Into<String>) -> Fault {
        Fault { option: Some(option.to_string()), message: message.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.option {
            Some(option) => write!(f, "{option}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Applications that an order comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Composition {
    /// Applications as they stand in a document, each with its template.
    pub applications: BTreeMap<Name, Application>,
    /// The same, filled in.
    pub rendered: BTreeMap<Name, Application>,
    /// Templates of the applications.
    pub templates: BTreeMap<Name, Template>,
    /// Secrets that have to be there, with the letters and digits of those that are made.
    pub secrets: BTreeMap<Name, u32>,
}

/// Makes the applications of an order: the one that is asked for, and the companions that it brings.
///
/// # Errors
/// Every fault, with its option.
pub fn compose(library: &Library, order: &Order) -> Result<Composition, Vec<Fault>> {
    let found = library.find_in(order.catalogue.as_ref(), &order.template, order.version.as_ref());
    let Some(template) = found else {
        let message = format!("there is no template `{}`; `openmesh app templates` lists them", order.words());
        return Err(vec![Fault { option: None, message }]);
    };
    // Of one order everything that keeps something has the same moments: a site and its database belong together.
    let policy = template.backup.clone();
    let backup = order.backup.clone().map(|to| (to, policy));
    let mut composer = Composer::new(library, template, backup, named(template, &order.answers));
    let answers = composer.typed(template, &order.answers);
    composer.add(&order.name, template, answers, 0);
    composer.end()
}

/// Applications that a person names in answers to a template.
fn named(template: &Template, answers: &BTreeMap<Name, String>) -> BTreeSet<Name> {
    let is_asked =
        |name: &Name| template.options.get(name).is_some_and(|option| option.kind == OptionKind::Application);
    answers.iter().filter(|(name, _)| is_asked(name)).filter_map(|(_, answer)| answer.parse().ok()).collect()
}

/// Secrets that the templates of applications make, with their letters and digits: those that the answers of such options name. What several make has the
/// longest of their lengths.
pub fn makeable(catalogue: &Catalogue, applications: &BTreeMap<Name, Application>) -> BTreeMap<Name, u32> {
    let mut secrets: BTreeMap<Name, u32> = BTreeMap::new();
    for using in applications.values().filter_map(|application| application.template.as_ref()) {
        let Some(template) = catalogue.template(using) else { continue };
        for (option, answer) in &using.answers {
            let generate = template.options.get(option).and_then(|option| option.generate.as_ref());
            if let (Content::Secret(secret), Some(generate)) = (answer, generate) {
                let length = secrets.entry(secret.clone()).or_default();
                *length = (*length).max(generate.length);
            }
        }
    }
    secrets
}

/// A composition that is being made.
pub(crate) struct Composer<'a> {
    library: &'a Library,
    /// The template that was ordered is another publisher's.
    is_others: bool,
    /// Place of backups, and those that the template of the order proposes; none where none are to be made.
    backup: Option<(Name, Option<BackupPolicy>)>,
    /// Applications that were begun with.
    begun: u32,
    /// Applications that the order names.
    named: BTreeSet<Name>,
    /// Faults so far.
    pub faults: Vec<Fault>,
    /// Applications so far.
    pub done: Composition,
}

impl<'a> Composer<'a> {
    /// Nothing yet, for a template with the place of its backups and the applications that a person names.
    pub fn new(
        library: &'a Library,
        template: &Template,
        backup: Option<(Name, Option<BackupPolicy>)>,
        named: BTreeSet<Name>,
    ) -> Composer<'a> {
        let is_others = template.catalogue.is_some();
        Composer { library, is_others, backup, begun: 0, named, faults: Vec::new(), done: Composition::default() }
    }

    /// The composition.
    ///
    /// # Errors
    /// Every fault, each once.
    pub fn end(self) -> Result<Composition, Vec<Fault>> {
        let Composer { mut faults, done, .. } = self;
        faults.sort();
        faults.dedup();
        if faults.is_empty() { Ok(done) } else { Err(faults) }
    }
}

impl Composer<'_> {
    /// Answers with secrets by name.
    fn typed(&mut self, template: &Template, given: &BTreeMap<Name, String>) -> BTreeMap<Name, Content> {
        let mut typed = BTreeMap::new();
        for (name, text) in given {
            let is_secret = template.options.get(name).is_some_and(|option| option.kind == OptionKind::Secret);
            let content = match text.strip_prefix(SECRET).filter(|_| is_secret).map(str::parse::<Name>) {
                Some(Ok(secret)) => Content::Secret(secret),
                Some(Err(error)) => {
                    self.faults.push(Fault::of(name, error.to_string()));
                    continue;
                }
                // Its value must not get into a document, nor into the words of a fault.
                None if is_secret => {
                    let words = "must be `secret:NAME`, the name of a secret that is there; left out, one is made";
                    self.faults.push(Fault::of(name, words));
                    continue;
                }
                None => Content::Text(text.clone()),
            };
            typed.insert(name.clone(), content);
        }
        typed
    }

    /// A name made of an application's and an option's.
    fn joined(&mut self, name: &Name, option: &Name) -> Option<Name> {
        let joined = format!("{name}-{option}").parse::<Name>();
        if joined.is_err() {
            let words = format!("is too long: `{name}-{option}` is made of it, and a name has at most 32 characters");
            self.faults.push(Fault::of("name", words));
        }
        joined.ok()
    }

    /// Backups of an application of a template: by the proposal of the template that was ordered, else by its own.
    fn backup_of(&self, template: &Template) -> Option<Backup> {
        let (to, policy) = self.backup.as_ref()?;
        let own = template.backup.as_ref()?;
        Some(policy.as_ref().unwrap_or(own).at(to))
    }

    /// Adds an application and its companions.
    fn add(&mut self, name: &Name, template: &Template, mut answers: BTreeMap<Name, Content>, depth: u32) {
        self.begun += 1;
        if self.begun > APPLICATIONS_MAX {
            let message = format!("the order comes to more than {APPLICATIONS_MAX} applications");
            self.faults.push(Fault { option: None, message });
            return;
        }
        if self.done.applications.contains_key(name) {
            self.faults.push(Fault::of("name", format!("`{name}` would be two applications")));
            return;
        }
        self.make_secrets(name, template, &mut answers);
        self.make_companions(name, template, &mut answers, depth);
        let Some(mut own) = Application::absent() else { return };
        own.template = Some(TemplateUse {
            name: template.name.clone(),
            catalogue: template.catalogue.clone(),
            version: Some(template.version.clone()),
            answers: answers.clone(),
        });
        own.backup = self.backup_of(template);
        let rendered = match template.render(&own) {
            Ok(rendered) => rendered,
            Err(problems) => return self.refuse(depth, name, &problems),
        };
        self.place(template, &answers, &rendered, &mut own);
        if self.is_others && depth > 0 {
            self.check_reach(name, &own);
        }
        // How a port is published stands beside the template, where a person changes it.
        answers.retain(|option, _| template.options.get(option).is_none_or(|option| option.kind != OptionKind::Port));
        own.template = own.template.map(|using| TemplateUse { answers, ..using });
        match template.render(&own) {
            Ok(rendered) => {
                self.done.applications.insert(name.clone(), own);
                self.done.rendered.insert(name.clone(), rendered);
                self.done.templates.insert(name.clone(), template.clone());
            }
            Err(problems) => self.refuse(depth, name, &problems),
        }
    }

    /// Answers options for which secrets are made.
    pub fn make_secrets(&mut self, name: &Name, template: &Template, answers: &mut BTreeMap<Name, Content>) {
        for (option_name, option) in &template.options {
            let Some(generate) = &option.generate else { continue };
            if answers.contains_key(option_name) {
                continue;
            }
            let Some(secret) = self.joined(name, option_name) else { continue };
            self.done.secrets.insert(secret.clone(), generate.length);
            answers.insert(option_name.clone(), Content::Secret(secret));
        }
    }

    /// Answers options for which applications are made, and adds these.
    pub fn make_companions(
        &mut self,
        name: &Name,
        template: &Template,
        answers: &mut BTreeMap<Name, Content>,
        depth: u32,
    ) {
        for (option_name, option) in &template.options {
            let Some(companion) = option.makes.as_ref().filter(|_| !answers.contains_key(option_name)) else {
                continue;
            };
            let Some(companion_name) = self.joined(name, option_name) else { continue };
            let found = self.library.companion(template, &companion.template).filter(|_| depth < DEPTH_MAX);
            let Some(found) = found else {
                let words = format!("needs the template `{}`, which is not there", companion.template);
                self.faults.push(Fault::of(option_name, words));
                continue;
            };
            let given = shared(companion, answers);
            self.add(&companion_name, found, given, depth + 1);
            answers.insert(option_name.clone(), Content::Text(companion_name.to_string()));
        }
    }

    /// Puts what has its place beside the template there: published ports, domains, links.
    fn place(
        &mut self,
        template: &Template,
        answers: &BTreeMap<Name, Content>,
        rendered: &Application,
        own: &mut Application,
    ) {
        for (name, option) in &template.options {
            let default = option.default.clone().map(Content::Text);
            let Some(Content::Text(text)) = answers.get(name).cloned().or(default) else { continue };
            let port = option.port.as_ref().and_then(|port| Some((port, rendered.ports.get(port)?)));
            match (option.kind, port) {
                (OptionKind::Port, Some((port_name, port))) => {
                    let Ok(publication) = text.parse::<Publication>() else { continue };
                    if let Some(publish) = publication.publish() {
                        let mut port = port.clone();
                        port.publish = Some(publish);
                        own.ports.insert(port_name.clone(), port);
                    }
                }
                (OptionKind::Domain, Some((port, _))) if !text.is_empty() => {
                    let Ok(domain) = text.parse::<Domain>() else { continue };
                    let (audience, wallets) = (Audience::Everybody, Default::default());
                    own.domains.insert(domain, Route { port: port.clone(), audience, wallets });
                }
                (OptionKind::Port | OptionKind::Domain, None) => {
                    let words = "is about a port that the template does not have";
                    self.faults.push(Fault::of(name, words));
                }
                (OptionKind::Application, _) => own.links.extend(text.parse::<Name>()),
                _ => {}
            }
        }
    }

    /// Looks what a companion of another publisher's template reaches, and who reaches it: a person has answered none of its options.
    fn check_reach(&mut self, name: &Name, own: &Application) {
        let is_open = |port: &Port| port.publish.as_ref().is_some_and(|publish| !publish.address.0.is_loopback());
        if own.ports.values().any(is_open) || !own.domains.is_empty() {
            let message = format!("{name}: would be open to others, which nobody has asked for");
            self.faults.push(Fault { option: None, message });
        }
        let is_known = |link: &Name| self.done.applications.contains_key(link) || self.named.contains(link);
        let unknown: Vec<&Name> = own.links.iter().filter(|link| !is_known(link)).collect();
        for link in unknown {
            let message = format!("{name}: would reach the application {link}, which nobody has named");
            self.faults.push(Fault { option: None, message });
        }
    }

    /// Notes problems, each with its option. Those of a companion are about the application as a whole: a person did not answer its options.
    pub fn refuse(&mut self, depth: u32, name: &Name, problems: &[Problem]) {
        for problem in problems {
            let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            let message = format!("{}{hint}", problem.what);
            let fault = match problem.path.strip_prefix("template.answers.") {
                Some(option) if depth == 0 => Fault::of(option, message),
                _ => Fault { option: None, message: format!("{name}: {}: {message}", problem.path) },
            };
            self.faults.push(fault);
        }
    }
}

/// Answers of a companion: its own, and those that it has from the application.
fn shared(companion: &Companion, answers: &BTreeMap<Name, Content>) -> BTreeMap<Name, Content> {
    let mut given = companion.answers.clone();
    let theirs = companion.share.iter().filter_map(|(theirs, ours)| Some((theirs.clone(), answers.get(ours)?.clone())));
    given.extend(theirs);
    given
}
