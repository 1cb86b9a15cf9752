//! Recording of incidents.

use openmesh_primitives::Address;

use super::keys;
use super::limits::INCIDENT_DETAIL_BYTES_MAX;
use super::records::{IncidentKind, LedgerIncident};
use crate::context::Context;
use crate::event::LedgerEvent;

/// The subject of an incident.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The source's id.
    pub source: &'a str,
    /// Number of the window.
    pub window: u64,
    /// `<symbol>/<feed>`, if it is about one stream.
    pub stream: Option<&'a str>,
    /// The validator that it names, if any.
    pub validator: Option<Address>,
}

impl<'a> Subject<'a> {
    /// A window.
    pub const fn window(source: &'a str, window: u64) -> Subject<'a> {
        Subject { source, window, stream: None, validator: None }
    }

    /// A stream of it.
    pub const fn stream(self, stream: &'a str) -> Subject<'a> {
        Subject { stream: Some(stream), ..self }
    }

    /// A validator in it.
    pub const fn validator(self, validator: Address) -> Subject<'a> {
        Subject { validator: Some(validator), ..self }
    }
}

/// Records an incident, in the state and among the events.
pub(crate) fn record(context: &mut Context<'_>, kind: IncidentKind, subject: Subject<'_>, detail: String) {
    let incident = LedgerIncident {
        kind,
        source: subject.source.to_string(),
        window: subject.window,
        stream: subject.stream.map(str::to_string),
        validator: subject.validator,
        detail: shortened(detail),
        height: context.height,
        number: context.incidents,
    };
    context.incidents += 1;
    context.state.put(keys::incident(incident.height, incident.number), &incident);
    context.fact(incident.clone());
    context.emit(LedgerEvent::Incident(incident));
}

/// Cuts at a boundary of characters.
fn shortened(mut detail: String) -> String {
    if detail.len() > INCIDENT_DETAIL_BYTES_MAX {
        let cut = (0..=INCIDENT_DETAIL_BYTES_MAX).rev().find(|at| detail.is_char_boundary(*at)).unwrap_or(0);
        detail.truncate(cut);
    }
    detail
}
