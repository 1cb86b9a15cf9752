//! Incidents of the ledger, and of this site's collector and duties.

use openmesh_api as api;
use openmesh_duties::NodeIncident;
use openmesh_ledger::LedgerIncident;
use openmesh_primitives::Timestamp;

use super::words;
use crate::memory::SiteIncident;

/// An incident of the ledger, with the time of its block where it is known.
pub fn of_ledger(incident: &LedgerIncident, time: Option<Timestamp>) -> api::IncidentInfo {
    api::IncidentInfo {
        id: incident.id(),
        time: time.map(Timestamp::to_rfc3339).unwrap_or_default(),
        kind: words::ledger_incident(incident.kind),
        source: Some(incident.source.clone()),
        window: Some(incident.window),
        stream: incident.stream.clone(),
        validator: incident.validator.map(|v| v.to_string()),
        detail: incident.detail.clone(),
        height: Some(incident.height),
        site: api::IncidentSite::Ledger,
    }
}

/// An incident that this site's collector saw.
pub fn of_site(seen: &SiteIncident) -> api::IncidentInfo {
    let stream = match (&seen.symbol, seen.incident.feed) {
        (Some(symbol), Some(feed)) => Some(format!("{symbol}/{feed}")),
        (symbol, _) => symbol.clone(),
    };
    api::IncidentInfo {
        id: format!("site-{}", seen.number),
        time: seen.time.to_rfc3339(),
        kind: words::site_incident(seen.incident.kind),
        source: Some(seen.source.clone()),
        window: None,
        stream,
        validator: None,
        detail: seen.incident.detail.clone(),
        height: None,
        site: api::IncidentSite::Collector,
    }
}

/// An incident of this site's duties, with its number among the incidents of this site.
pub fn of_duty(number: u64, seen: &NodeIncident) -> api::IncidentInfo {
    api::IncidentInfo {
        id: format!("site-{number}"),
        time: seen.time.to_rfc3339(),
        kind: words::duty_incident(seen.kind),
        source: Some(seen.window.source.clone()),
        window: Some(seen.window.number),
        stream: seen.stream.clone(),
        validator: None,
        detail: seen.detail.clone(),
        height: None,
        site: api::IncidentSite::Duties,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_market::Feed;
    use openmesh_market::event::{Incident, IncidentKind};

    #[test]
    fn an_incident_of_the_site_names_its_stream_as_far_as_it_is_known() {
        let stream = |symbol: Option<&str>, feed| {
            let incident = Incident { kind: IncidentKind::Gap, feed, detail: "d".into() };
            let symbol = symbol.map(String::from);
            of_site(&SiteIncident { number: 7, time: Timestamp(0), source: "kraken".into(), symbol, incident })
        };
        let whole = stream(Some("BTC.USD"), Some(Feed::Book));
        assert_eq!((whole.stream.as_deref(), whole.id.as_str()), (Some("BTC.USD/book"), "site-7"));
        assert_eq!(stream(Some("BTC.USD"), None).stream.as_deref(), Some("BTC.USD"));
        assert_eq!(stream(None, Some(Feed::Book)).stream, None);
    }
}
