//! Works of a machine to which an application comes. Each can be done again after any death.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openmesh_access::Role;
use openmesh_backup::{NodeKey, Owners, Recipient, Restoration};
use openmesh_blueprint::Document;
use openmesh_blueprint::document::{Application, ImageReference, Name, Wish};
use openmesh_blueprint::generation::{Disposal, IDS_OF_APPLICATION, ImageSource};
use openmesh_blueprint::inventory::ImageState;
use openmesh_blueprint::moving::Work;
use openmesh_image::pull::Progress;
use openmesh_xnode::open;
use tokio::runtime::Handle;

use super::change::{admitted, change, check_kept, has_kept, shut, unrest, wanted, wish};
use super::copy;
use super::error::MovesError;
use super::guard;
use super::loan::{self, OWN};
use super::records::Arriving;
use crate::backups::head::{Opened, Part};
use crate::backups::targets::Target;
use crate::backups::views::JobKind;
use crate::backups::{Done, Job, restore, scratch, subject};
use crate::error::AgentError;
use crate::reach;
use crate::service::{Asked, Service, Terms};

/// Name of a copy in a volume while it is tried.
const COPY: &str = "move";
/// Owner of the lease on the images of generations, of which that of the application's place here is one.
const LEASE: &str = "generations";

/// A work with everything that it is done with.
struct Doing<'a> {
    service: &'a Service,
    runtime: &'a Handle,
    job: &'a Job,
    arriving: &'a Arriving,
    name: &'a Name,
}

/// Begins a work.
///
/// # Errors
/// Something is being done with the application already, too much is, or the agent leaves.
pub(super) fn begin(
    service: &Arc<Service>,
    arriving: &Arriving,
    name: &Name,
    work: Work,
) -> Result<Arc<Job>, AgentError> {
    let (service, arriving, name) = (service.clone(), arriving.clone(), name.clone());
    let (jobs, by, runtime) = (service.clone(), arriving.by.clone(), Handle::current());
    let about = name.clone();
    jobs.backups().jobs.begin(JobKind::Move, Some(&about), &by, move |job| {
        let doing = Doing { service: &service, runtime: &runtime, job, arriving: &arriving, name: &name };
        match &work {
            Work::Take { backup, is_last } => doing.take(backup, *is_last),
            Work::Gate => doing.gate(),
            Work::Admit => doing.admit(),
            Work::GiveBack => doing.give_back(),
            Work::Drop => doing.let_go(),
            Work::Forget => doing.forget(),
            Work::Rest => Ok(Done::default()),
        }
    })
}

impl Doing<'_> {
    fn asked(&self, reason: String) -> Asked {
        Asked { by: self.arriving.by.clone(), reason, expected: None }
    }

    fn terms() -> Terms {
        Terms { of_move: true, ..Terms::default() }
    }

    /// Makes a change of this machine for the move.
    fn change(
        &self,
        terms: &Terms,
        reason: String,
        does: impl Fn(&mut Document) -> Result<(), AgentError>,
    ) -> Result<(), AgentError> {
        change(self.service, (self.runtime, self.job), (terms, &self.asked(reason)), does)
    }

    /// The loan in which the copies lie, at this machine's own lender.
    fn loan(&self) -> Result<Target, AgentError> {
        let (address, lender) = loan::own_lender(self.service)?;
        let key = self.service.moves().unseal(&self.arriving.id, OWN, &self.arriving.own)?;
        let key: NodeKey = key.parse().map_err(|_| MovesError::Failed("the key of this move is damaged".into()))?;
        copy::place(&address, &lender, &key)
    }

    /// Takes a copy: makes the application's place here with the first one, and tries it; the last one becomes its data.
    fn take(&self, backup: &str, is_last: bool) -> Result<Done, AgentError> {
        let Doing { service, job, arriving, name, .. } = *self;
        job.say("reads the description of the copy");
        let target = self.loan()?;
        let repository = copy::repository(service, &target, arriving.repository.as_deref(), &[])?;
        let repository = repository.metered(job.meter.clone());
        let opened = copy::read(service, &repository, name, backup)?;
        let missing = || MovesError::Failed(format!("the copy does not have {name}"));
        let application = opened.document.applications.get(name).ok_or_else(missing)?;
        guard::brings(arriving, &application.secrets(), &opened.secrets)?;
        self.plant(application, &opened)?;
        self.check_room()?;
        self.fetch()?;
        let mut parts: Vec<(Name, &Part)> = Vec::new();
        for (volume, part) in &opened.head.volumes {
            parts.push((crate::api::name(volume)?, part));
        }
        let mebibytes = opened.head.bytes().div_ceil(1 << 20);
        if is_last {
            let restored = restore::fill_application(service, job, &repository, &opened, name, &parts)?;
            if !restored.is_empty() {
                let asked = self.asked(format!("{name} comes from {} with its data", arriving.node));
                let taken = restore::choose_on(service, self.runtime, &restored, &Self::terms(), &asked)?;
                self.runtime.block_on(restore::committed(service, job, &taken))?;
            }
            let text = opened.document.to_yaml();
            service.moves().change_arriving(&arriving.id, |arriving| arriving.document = Some(text))?;
        } else {
            self.try_copy(&repository, &opened, &parts)?;
        }
        let word = if is_last { "last" } else { "first" };
        let text =
            format!("the {word} copy of {name} was restored and read back: {mebibytes} MiB from {}", arriving.node);
        Ok(Done { text, backup: Some(backup.to_string()), generation: None })
    }

    /// Plans the application as it is to serve, and makes its place here: stopped, and without its domains, which still lead elsewhere.
    fn plant(&self, application: &Application, opened: &Opened) -> Result<(), AgentError> {
        let Doing { service, job, arriving, name, .. } = *self;
        let missing: BTreeSet<Name> = self.secrets_to_set(opened)?;
        if !arriving.is_planted {
            job.say("plans it");
            let (_, before) = wanted(service)?;
            if before.applications.contains_key(name) {
                let words = format!(
                    "{name} is on this machine already; another name, or `openmesh app remove {name}` here, helps"
                );
                return Err(MovesError::Failed(words).into());
            }
            check_kept(service, name)?;
            let mut document = before.clone();
            document.applications.insert(name.clone(), application.clone());
            self.check_role(&before, &document)?;
            // A name of a catalogue means what this machine's document says: of another publisher's text the application would be another one.
            self.runtime.block_on(service.publishers().prepare(&document));
            if let Some(words) = service.publishers().differs(&opened.templates, &document) {
                return Err(MovesError::Failed(words).into());
            }
            // Whoever may name catalogues here says by whom software is chosen; of others a text is that of a catalogue here.
            if self.role()? >= Role::Admin {
                service.publishers().adopt(&opened.templates)?;
            }
            let makes = missing.iter().map(|secret| (secret.clone(), 0)).collect();
            let terms = Terms { makes, ..Self::terms() };
            let asked = self.asked(format!("{name} comes from {}", arriving.node));
            self.runtime.block_on(service.deploy_on(&document, &terms, &asked, false))?;
        }
        // From here on there is something to let go of.
        let set: Vec<String> = missing.iter().map(ToString::to_string).collect();
        service.moves().change_arriving(&arriving.id, |arriving| {
            arriving.is_planted = true;
            arriving.secrets.extend(set);
            arriving.secrets.sort();
            arriving.secrets.dedup();
        })?;
        for secret in &missing {
            if let Some(value) = opened.secrets.get(secret) {
                service.set_secret(secret, value)?;
            }
        }
        job.say("makes its place here");
        let planted = Application { wish: Wish::Stopped, domains: BTreeMap::new(), ..application.clone() };
        self.change(&Self::terms(), format!("{name} comes from {}", arriving.node), |document| {
            document.applications.insert(name.clone(), planted.clone());
            Ok(())
        })
    }

    /// Role of whoever brings the application.
    fn role(&self) -> Result<Role, AgentError> {
        Ok(self.arriving.role.parse::<Role>().map_err(|_| MovesError::Failed("its role is damaged".into()))?)
    }

    /// Refuses a change that whoever brings the application could not make here by themselves.
    fn check_role(&self, before: &Document, after: &Document) -> Result<(), AgentError> {
        let role = self.role()?;
        let least = reach::least(Some(before), after);
        if role < least { Err(openmesh_access::Refusal::Role { least, role }.into()) } else { Ok(()) }
    }

    /// Secrets of the application that are not here as it has them.
    fn secrets_to_set(&self, opened: &Opened) -> Result<BTreeSet<Name>, AgentError> {
        let present: BTreeMap<String, u32> =
            self.service.secrets()?.into_iter().map(|secret| (secret.name, secret.version)).collect();
        let mut missing = BTreeSet::new();
        for (name, value) in &opened.secrets {
            let version = present.get(name.as_str());
            let here = version.and_then(|version| self.service.agent().machine().secrets.value(name, *version));
            if here.as_ref() == Some(value) {
                continue;
            }
            if here.is_some() && !self.arriving.secrets.iter().any(|own| own == name.as_str()) {
                let words = format!(
                    "the secret `{name}` has another value here, which others may need; give it another name there"
                );
                return Err(MovesError::Failed(words).into());
            }
            missing.insert(name.clone());
        }
        Ok(missing)
    }

    /// Refuses an application for which more room was asked for than its volumes have, as this machine has resolved its document.
    fn check_room(&self) -> Result<(), AgentError> {
        let missing = || MovesError::Failed(format!("{} is not on this machine any more", self.name));
        let (generation, _) = self.service.agent().generations()?.ok_or_else(missing)?;
        let resolved = generation.portable.applications.get(self.name).ok_or_else(missing)?;
        let sizes = resolved.application.volumes.values().map(|volume| volume.size.0);
        Ok(guard::fits(self.arriving, sizes.fold(0, u64::saturating_add))?)
    }

    /// Gets the application's image, and unpacks it: nobody waits for it yet.
    fn fetch(&self) -> Result<(), AgentError> {
        let Doing { service, job, arriving, name, .. } = *self;
        let missing = || MovesError::Failed(format!("{name} is not on this machine any more"));
        let (generation, _) = service.agent().generations()?.ok_or_else(missing)?;
        let image = &generation.portable.applications.get(name).ok_or_else(missing)?.image;
        let found = format!("sha256:{}", image.digest);
        if let Some(other) = arriving.image.as_ref().filter(|other| **other != found) {
            let words = format!(
                "its image is {other} there, and {found} here: its tag leads to another one by now; name the digest in its document"
            );
            return Err(MovesError::Failed(words).into());
        }
        let machine = service.agent().machine();
        if machine.images.state(&image.digest).is_none() {
            let lost = || MovesError::Failed(format!("its image {} cannot be fetched", image.source));
            let ImageSource::Registry(reference) = &image.source else { return Err(lost().into()) };
            job.say("pulls its image");
            let reference = ImageReference { digest: Some(image.digest), ..reference.clone() };
            let follow = |progress: Progress| {
                if let Progress::Bytes { done, bytes } = progress {
                    job.say(format!("pulls its image: {} of {} MiB", done >> 20, bytes.div_ceil(1 << 20)));
                }
            };
            let pulled = self.runtime.block_on(machine.client.pull(&machine.images, &reference, LEASE, &open, &follow));
            pulled.map_err(|cause| AgentError::Image { application: name.clone(), cause: Box::new(cause) })?;
        }
        if machine.images.state(&image.digest) != Some(ImageState::Unpacked) {
            job.say("unpacks its image");
            let whole = machine.images.image(&image.digest)?;
            machine.images.unpack(&whole, &machine.unpacker, &open, &|_, _| ())?;
        }
        job.check()
    }

    /// Restores a copy beside the data of the application's place, reads it back, and removes it again.
    fn try_copy(
        &self,
        repository: &openmesh_backup::Repository<'_>,
        opened: &Opened,
        parts: &[(Name, &Part)],
    ) -> Result<(), AgentError> {
        let Doing { service, job, name, .. } = *self;
        let volumes = &service.agent().machine().volumes;
        let missing = || MovesError::Failed(format!("{name} is not on this machine any more"));
        let (generation, _) = service.agent().generations()?.ok_or_else(missing)?;
        let placed = generation.placement.applications.get(name).ok_or_else(missing)?;
        job.expect(parts.iter().map(|(_, part)| part.bytes).sum());
        for (volume, part) in parts {
            job.say(format!("restores the volume {volume} to try it"));
            let lacks = || MovesError::Failed(format!("its place here has no volume {volume}"));
            let id = subject::volume_id(placed.volumes.get(volume).ok_or_else(lacks)?)?;
            volumes.mount(id, &openmesh_volume::open)?;
            scratch::mark(service, id, COPY)?;
            let place = volumes.scratch_place(id, COPY, &openmesh_volume::open)?;
            let owners = Owners::Shifted { from: opened.head.first_id, to: placed.first_id, count: IDS_OF_APPLICATION };
            let order = Restoration { snapshot: part.snapshot()?, target: &place, owners, verify: true };
            let restored = repository.restore(&order, &openmesh_backup::open);
            // Its room is that of the last copy.
            scratch::clear(service, id, COPY)?;
            let restored = restored?;
            if (restored.entries, restored.bytes) != (part.entries, part.bytes) {
                let words =
                    format!("{} entries with {} bytes are in the copy of {volume}", restored.entries, restored.bytes);
                return Err(MovesError::Failed(words).into());
            }
        }
        Ok(())
    }

    /// The application as it was in the last copy.
    fn application(&self) -> Result<Application, AgentError> {
        let lacks = || MovesError::Failed("the last copy was not taken".into());
        let text = self.arriving.document.as_deref().ok_or_else(lacks)?;
        let document = Document::parse(text).map_err(|problems| AgentError::Document { problems })?;
        document.applications.get(self.name).cloned().ok_or_else(|| lacks().into())
    }

    /// Starts it behind its gate: nobody outside reaches it.
    fn gate(&self) -> Result<Done, AgentError> {
        let Doing { job, arriving, name, .. } = *self;
        job.say("starts it behind its gate");
        let closed = Application { wish: Wish::Running, ..shut(&self.application()?) };
        let gated = self.change(&Self::terms(), format!("{name} comes from {}", arriving.node), |document| {
            document.applications.insert(name.clone(), closed.clone());
            Ok(())
        });
        if let Err(error) = gated {
            // Where the agent leaves, the next one goes on.
            if !self.service.is_leaving() {
                self.stop()?;
            }
            return Err(error);
        }
        Ok(Done { text: format!("{name} from {} has passed its gate here", arriving.node), ..Done::default() })
    }

    /// Lets nothing of it run.
    fn stop(&self) -> Result<(), AgentError> {
        let (name, node) = (self.name, &self.arriving.node);
        let terms = Terms { although_drained: true, ..Self::terms() };
        self.change(&terms, format!("{name} goes back to {node}"), |document| {
            if document.applications.contains_key(name) { wish(document, name, Wish::Stopped) } else { Ok(()) }
        })
    }

    /// Lets clients in.
    fn admit(&self) -> Result<Done, AgentError> {
        let Doing { job, arriving, name, .. } = *self;
        job.say("lets clients in");
        let whole = self.application()?;
        self.change(&Self::terms(), format!("{name} has come from {}", arriving.node), |document| {
            if let Some(found) = document.applications.get_mut(name) {
                admitted(found, &whole);
            }
            Ok(())
        })?;
        Ok(Done { text: format!("{name} from {} serves here", arriving.node), ..Done::default() })
    }

    /// Lets no client in, drains, stops, and stores everything for the other machine.
    fn give_back(&self) -> Result<Done, AgentError> {
        let Doing { service, job, arriving, name, .. } = *self;
        job.say("lets no client in any more, and stops it");
        self.stop()?;
        if let Some(why) = unrest(service, name)? {
            return Err(MovesError::Unrest(why).into());
        }
        let theirs: Recipient = arriving.recipient.parse()?;
        let recipients = [service.backups().keys.node().recipient(), theirs];
        let target = self.loan()?;
        let repository = copy::repository(service, &target, arriving.repository.as_deref(), &[])?;
        let repository = repository.metered(job.meter.clone());
        let copied = copy::make(service, job, &repository, name, &recipients)?;
        if let Some(why) = unrest(service, name)? {
            return Err(MovesError::Unrest(why).into());
        }
        let text = format!("the data of {name} are given back to {}", arriving.node);
        Ok(Done { text, backup: Some(copied.id), generation: None })
    }

    /// Removes everything that came by the move: the application with its data, its secrets, the loan.
    fn let_go(&self) -> Result<Done, AgentError> {
        let Doing { service, job, arriving, name, .. } = *self;
        job.say("lets go of it");
        if arriving.is_planted {
            let terms = Terms {
                disposals: BTreeMap::from([(name.clone(), Disposal::Wipe)]),
                although_drained: true,
                ..Self::terms()
            };
            let reason = format!("{name} did not move here from {}", arriving.node);
            self.change(&terms, reason.clone(), |document| {
                document.applications.remove(name);
                Ok(())
            })?;
            // A generation that has failed takes its new applications away by itself, and keeps their data; none were here before.
            if has_kept(service, name)? {
                let (number, document) = wanted(service)?;
                let asked = Asked { expected: Some(number), ..self.asked(reason) };
                self.runtime.block_on(service.deploy_on(&document, &terms, &asked, true))?;
            }
        }
        for secret in &arriving.secrets {
            match service.remove_secret(&crate::api::name(secret)?) {
                // Somebody else uses it by now, or has removed it.
                Ok(()) | Err(AgentError::SecretUsed { .. } | AgentError::NoSecret(_)) => {}
                Err(error) => return Err(error),
            }
        }
        loan::end(service, arriving)?;
        Ok(Done { text: format!("nothing of the move of {name} is left here"), ..Done::default() })
    }

    /// Removes what the move needed, and leaves the application as it is.
    fn forget(&self) -> Result<Done, AgentError> {
        self.job.say("ends the loan of the move");
        loan::end(self.service, self.arriving)?;
        Ok(Done { text: format!("{} is this machine's", self.name), ..Done::default() })
    }
}
