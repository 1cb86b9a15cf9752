//! Acts of a machine that an application leaves. Each can be done again after any death.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmesh_backup::{NodeKey, Recipient};
use openmesh_blueprint::Document;
use openmesh_blueprint::document::{Name, Wish};
use openmesh_blueprint::moving::Act;
use tokio::runtime::Handle;

use super::change::{change, shut_out, unrest, wanted, wish};
use super::copy;
use super::error::MovesError;
use super::records::Leaving;
use super::returns;
use super::wire::{self, Other};
use crate::backups::head::Part;
use crate::backups::targets::Target;
use crate::backups::views::JobKind;
use crate::backups::{Done, Job, drill, restore, subject};
use crate::error::AgentError;
use crate::service::{Asked, Service, Terms};

/// Use of the key of an operator at the other machine, as it is sealed.
pub(super) const TOKEN: &str = "token";
/// Use of the key as a guest there, as it is sealed.
pub(super) const GUEST: &str = "guest";

/// Time for what goes on where an application has stopped, in which nobody is served.
const REST_MAX: Duration = Duration::from_secs(30);
/// Pause between two looks at it.
const LOOK: Duration = Duration::from_millis(100);

/// An act with everything that it is done with.
struct Doing<'a> {
    service: &'a Service,
    runtime: &'a Handle,
    job: &'a Job,
    leaving: &'a Leaving,
    name: &'a Name,
}

/// The agent of the other machine.
///
/// # Errors
/// The sealed key cannot be opened, or the address is none.
pub(super) fn other(service: &Service, leaving: &Leaving) -> Result<Other, AgentError> {
    let token = service.moves().unseal(&leaving.id, TOKEN, &leaving.token)?;
    Ok(Other::new(&leaving.to, leaving.root.as_deref(), token)?)
}

/// Begins an act.
///
/// # Errors
/// Something is being done with the application already, too much is, or the agent leaves.
pub(super) fn begin(service: &Arc<Service>, leaving: &Leaving, name: &Name, act: Act) -> Result<Arc<Job>, AgentError> {
    let (service, leaving, name) = (service.clone(), leaving.clone(), name.clone());
    let (jobs, by, runtime) = (service.clone(), leaving.by.clone(), Handle::current());
    let about = name.clone();
    jobs.backups().jobs.begin(JobKind::Move, Some(&about), &by, move |job| {
        let doing = Doing { service: &service, runtime: &runtime, job, leaving: &leaving, name: &name };
        match &act {
            Act::BackUp => doing.back_up(false),
            Act::BackUpLast => doing.back_up(true),
            Act::Quiet => doing.quiet(),
            Act::Serve => doing.serve(),
            Act::Restore(wanted) => doing.restore(wanted),
            Act::Rest => Ok(Done::default()),
        }
    })
}

impl Doing<'_> {
    /// The loan at the other machine.
    fn loan(&self) -> Result<Target, AgentError> {
        let (moves, leaving) = (self.service.moves(), self.leaving);
        let away = || MovesError::Failed(format!("{} lends nothing yet", leaving.node));
        let lender = leaving.lender.as_ref().ok_or_else(away)?;
        let to = wire::address(&leaving.to)?;
        let address = copy::address(lender, to.host_str().unwrap_or_default()).ok_or_else(away)?;
        let key = moves.unseal(&leaving.id, GUEST, &leaving.guest)?;
        let key: NodeKey = key.parse().map_err(|_| MovesError::Failed("the key of this move is damaged".into()))?;
        copy::place(&address, &lender.key, &key)
    }

    /// Stores a copy, and lets the application's own check prove it where nobody waits for it.
    fn back_up(&self, is_last: bool) -> Result<Done, AgentError> {
        let Doing { service, job, leaving, name, .. } = *self;
        self.check_quiet(is_last)?;
        job.say(format!("opens the loan at {}", leaving.node));
        let lacks = || MovesError::Failed(format!("{} has not said by which key it reads", leaving.node));
        let theirs: Recipient = leaving.recipient.as_deref().ok_or_else(lacks)?.parse()?;
        let recipients = [service.backups().keys.node().recipient(), theirs];
        let target = self.loan()?;
        let repository = copy::repository(service, &target, leaving.repository.as_deref(), &recipients)?;
        let repository = repository.metered(job.meter.clone());
        let id = repository.id().to_string();
        let noted = |leaving: &mut Leaving| leaving.repository = Some(id.clone());
        service.moves().change_leaving((name.as_str(), &leaving.id), noted)?;
        let copied = copy::make(service, job, &repository, name, &recipients)?;
        // A copy of data that somebody wrote to meanwhile is no last one.
        self.check_quiet(is_last)?;
        if !is_last && self.has_check()? {
            job.say("proves the copy by the application's own check");
            let opened = copy::read(service, &repository, name, &copied.id)?;
            drill::prove_copy(service, job, &repository, &subject::whole(service, name)?, &opened)?;
        }
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        let (all, new) = (mebibytes(copied.head.bytes()), mebibytes(copied.stored_bytes()));
        let word = if is_last { "last" } else { "first" };
        let left = copied.left_out().map(|path| format!("; pipes, sockets and devices are left out, as {path}"));
        let left = left.unwrap_or_default();
        let text = format!("the {word} copy of {name}, {all} MiB, is at {} ({new} MiB were new{left})", leaving.node);
        Ok(Done { text, backup: Some(copied.id), generation: None })
    }

    fn check_quiet(&self, is_last: bool) -> Result<(), AgentError> {
        match unrest(self.service, self.name)?.filter(|_| is_last) {
            Some(why) => Err(MovesError::Unrest(why).into()),
            None => Ok(()),
        }
    }

    /// Returns true where the application has data and a job that checks them.
    fn has_check(&self) -> Result<bool, AgentError> {
        let Some(present) = subject::present(self.service)? else { return Ok(false) };
        let found = present.portable.applications.get(self.name);
        Ok(found.is_some_and(|resolved| {
            let mut jobs = resolved.application.jobs.keys();
            !resolved.application.volumes.is_empty() && jobs.any(|job| job.as_str() == drill::CHECK)
        }))
    }

    fn asked(&self, reason: String) -> Asked {
        Asked { by: self.leaving.by.clone(), reason, expected: None }
    }

    /// Lets no client in, drains, and stops.
    fn quiet(&self) -> Result<Done, AgentError> {
        let (name, node) = (self.name, &self.leaving.node);
        self.job.say("lets no client in any more, and stops it");
        let terms = Terms { although_drained: true, ..Terms::default() };
        let asked = self.asked(returns::reason(name.as_str(), node));
        change(self.service, (self.runtime, self.job), (&terms, &asked), |document| {
            wish(document, name, Wish::Paused)
        })?;
        self.rest()?;
        Ok(Done { text: format!("{name} has stopped, to move to {node}"), ..Done::default() })
    }

    /// Waits until nothing of it runs: a job goes on where its application has stopped, and so does a file that is being written.
    fn rest(&self) -> Result<(), AgentError> {
        let begun = Instant::now();
        while let Some(why) = unrest(self.service, self.name)? {
            self.job.check()?;
            if begun.elapsed() > REST_MAX {
                let words = format!("{why}, {} s after it was to stop", REST_MAX.as_secs());
                return Err(MovesError::Failed(words).into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Lets it serve here.
    fn serve(&self) -> Result<Done, AgentError> {
        let name = self.name;
        self.job.say("starts it here");
        let asked = self.asked(format!("{name} does not move to {}", self.leaving.node));
        let starts = |document: &mut Document| match document.applications.get(name).map(|found| found.wish) {
            // A person was faster: no act of a move wishes that.
            Some(Wish::Stopped) => Ok(()),
            _ => wish(document, name, Wish::Running),
        };
        change(self.service, (self.runtime, self.job), (&Terms::default(), &asked), starts)?;
        let (_, document) = wanted(self.service)?;
        let runs = document.applications.get(name).is_some_and(|found| found.wish == Wish::Running);
        if runs && let Some(why) = shut_out(self.service, name)? {
            return Err(MovesError::Failed(why).into());
        }
        Ok(Done { text: format!("{name} serves here"), ..Done::default() })
    }

    /// Restores what the other machine gave back beside the data of before, and chooses it.
    fn restore(&self, wanted: &str) -> Result<Done, AgentError> {
        let Doing { service, runtime, job, leaving, name } = *self;
        job.say(format!("opens the loan at {}", leaving.node));
        let target = self.loan()?;
        let repository = copy::repository(service, &target, leaving.repository.as_deref(), &[])?;
        let repository = repository.metered(job.meter.clone());
        let opened = copy::read(service, &repository, name, wanted)?;
        let mut parts: Vec<(Name, &Part)> = Vec::new();
        for (volume, part) in &opened.head.volumes {
            parts.push((crate::api::name(volume)?, part));
        }
        let text = format!("{name} has the data of {}", leaving.node);
        if parts.is_empty() {
            return Ok(Done { text, ..Done::default() });
        }
        let restored = restore::fill_application(service, job, &repository, &opened, name, &parts)?;
        let terms = Terms { of_move: true, although_drained: true, ..Terms::default() };
        let asked = self.asked(format!("{name} comes back from {} with its data", leaving.node));
        let taken = restore::choose_on(service, runtime, &restored, &terms, &asked)?;
        runtime.block_on(restore::committed(service, job, &taken))?;
        Ok(Done { text, backup: Some(wanted.to_string()), generation: Some((taken.generation, taken.events)) })
    }
}
