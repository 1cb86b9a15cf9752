//! The thread that keeps the lender: it starts one where something is lent, tells it of the loans, and hears what became of them.

use std::process::Child;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::report;
use super::start::{self, Prepared};
use crate::error::AgentError;
use crate::service::Service;
use crate::views::EventKind;

/// Longest time between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// First pause after a lender that ended; the next ones double.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after a lender that ended.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Time after which a lender that lives has not failed.
const LASTS: Duration = Duration::from_secs(30);
/// Free disk that stays for the machine where its document cannot be read, bytes: what a document has without a word.
const RESERVE_BYTES: u64 = 1 << 30;

/// Starts the thread that keeps the lender.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn watch(service: &Arc<Service>) -> Result<JoinHandle<()>, AgentError> {
    let watched = service.clone();
    let keep = move || {
        let mut watch = Watch::new(&watched);
        while !watched.is_leaving() {
            if let Err(error) = watch.look() {
                let text = format!("the lender cannot be kept: {error}");
                watched.lending().note_failure(Some(text.clone()));
                watch.say(EventKind::Failed, &text);
            }
            watched.lending().sleep(LOOK);
        }
    };
    Builder::new().name("lender".into()).spawn(keep).map_err(AgentError::file("starting", "the thread of the lender"))
}

struct Watch<'a> {
    service: &'a Service,
    /// The lender that this agent has started, and when.
    child: Option<(Child, Instant)>,
    failures: u32,
    again: Instant,
    /// Free disk that stays for the machine, by the number of the generation whose document says so.
    reserve: (u64, u64),
    said: String,
}

impl<'a> Watch<'a> {
    fn new(service: &'a Service) -> Watch<'a> {
        let reserve = (0, RESERVE_BYTES);
        Watch { service, child: None, failures: 0, again: Instant::now(), reserve, said: String::new() }
    }

    fn look(&mut self) -> Result<(), AgentError> {
        let lending = self.service.lending();
        self.reap();
        let book = lending.book()?;
        if book.is_empty() {
            lending.note_failure(None);
            return start::tell_nobody(lending);
        }
        let Some(prepared) = start::prepare(lending)? else {
            lending.note_failure(lending.lack().map(|lack| lack.to_string()));
            return start::tell_nobody(lending);
        };
        start::tell(lending, &prepared.start, &book, self.reserve_bytes())?;
        let lives = report::lives(&lending.folder);
        if self.child.is_none() && self.again <= Instant::now() && !lives {
            self.begin(&prepared);
        }
        let Some(report) = lending.report().filter(|report| report.run == prepared.start.run) else { return Ok(()) };
        if lives && !report.listens.is_empty() {
            lending.note_failure(None);
            start::note_known(lending)?;
        }
        for name in lending.drop_gone(&report)? {
            self.note(EventKind::Done, format!("the loan `{name}` is gone with the backups of its guest"));
        }
        match report.troubles.first() {
            Some(trouble) => self.say(EventKind::Failed, &format!("the lender: {trouble}")),
            None if self.child.as_ref().is_none_or(|(_, since)| since.elapsed() > LASTS) => self.said.clear(),
            None => {}
        }
        Ok(())
    }

    /// Free disk that the document keeps for the machine.
    fn reserve_bytes(&mut self) -> u64 {
        let wanted = self.service.wanted().unwrap_or(0);
        if wanted != self.reserve.0 {
            let document = self.service.document(wanted).ok();
            self.reserve = (wanted, document.map_or(RESERVE_BYTES, |document| document.machine.reserve.disk.0));
        }
        self.reserve.1
    }

    fn begin(&mut self, prepared: &Prepared) {
        if self.failures == 0 {
            let user = prepared.start.user.map_or(0, |user| user.uid);
            self.note(EventKind::Agent, format!("the lender is started as user {user}"));
        }
        match start::begin(self.service.lending(), prepared) {
            Ok(child) => self.child = Some((child, Instant::now())),
            Err(cause) => self.fail(format!("the lender cannot be started: {cause}")),
        }
    }

    /// Takes notice of a lender that has ended. One of before has no entry here, and is seen by its lock.
    fn reap(&mut self) {
        let Some((child, since)) = &mut self.child else { return };
        if since.elapsed() > LASTS {
            self.failures = 0;
        }
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) if status.success() => self.child = None,
            Ok(Some(status)) => {
                self.child = None;
                let words = start::last_words(self.service.lending());
                self.fail(format!("the lender has ended with {status}: {words}"));
            }
            Err(_) => self.child = None,
        }
    }

    fn fail(&mut self, text: String) {
        let pause = PAUSE.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.again = Instant::now() + pause;
        self.failures = self.failures.saturating_add(1);
        self.service.lending().note_failure(Some(text.clone()));
        self.say(EventKind::Failed, &text);
    }

    /// Notes what lasts, once.
    fn say(&mut self, kind: EventKind, text: &str) {
        if self.said != text {
            self.note(kind, text.to_string());
            self.said = text.to_string();
        }
    }

    fn note(&self, kind: EventKind, text: String) {
        self.service.history().note(kind, self.service.wanted().unwrap_or(0), None, text);
    }
}
