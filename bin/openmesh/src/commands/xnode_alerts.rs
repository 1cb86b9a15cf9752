//! `openmesh xnode alerts`.

use openmesh_agent::views::alerts::{Alert, Alerts, Severity, WebhookTest};
use reqwest::Method;

use super::agent::{ask, client, columns, get, json, moment, print};
use crate::cli::files::AlertsArgs;
use crate::failure::Failure;

/// Closed alerts that are printed: what happened lately.
const CLOSED_SHOWN: usize = 10;

/// Lists alerts, notes that somebody knows of one, or tests a webhook.
pub async fn run(asked: AlertsArgs) -> Result<(), Failure> {
    let client = client(&asked.agent)?;
    if let Some(id) = asked.acknowledge {
        let by = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "root".into());
        let request = client.request(Method::POST, &format!("/alerts/{id}/acknowledge"));
        let request = super::app::change::with_query(request, &[("by", by)])?;
        let alert: Alert = ask(&client, request).await?;
        return if asked.output.json { json(&alert) } else { print(&alert_text(&alert)) };
    }
    if let Some(webhook) = asked.test {
        let request = client.request(Method::POST, &format!("/alerts/webhooks/{webhook}/test"));
        let test: WebhookTest = ask(&client, request).await?;
        if asked.output.json {
            json(&test)?;
        }
        return match test.cause {
            None if asked.output.json => Ok(()),
            None => print(&format!("{webhook} has taken the test\n")),
            Some(cause) => Err(Failure::new(format!("{webhook} has not taken the test: {cause}"))),
        };
    }
    let alerts: Alerts = get(&client, "/alerts").await?;
    if asked.output.json { json(&alerts) } else { print(&text(&alerts)) }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

fn alert_text(alert: &Alert) -> String {
    let mut text = format!("{}  {}  since {}\n", alert.id, word(alert.severity), moment(alert.begin));
    text += &format!("    {}\n    {}\n", alert.cause.replace('\n', "; "), alert.remedy);
    if let Some(known) = &alert.acknowledged {
        text += &format!("    {} knows of it since {}\n", known.by, moment(known.at));
    }
    text
}

fn text(alerts: &Alerts) -> String {
    let mut text = String::new();
    if alerts.open.is_empty() {
        text += "no alert is open\n";
    }
    for alert in &alerts.open {
        text += &alert_text(alert);
    }
    if alerts.suppressed > 0 {
        text += &format!("and {} more, for which no alert was opened since too many are open\n", alerts.suppressed);
    }
    let over: Vec<Vec<String>> = alerts
        .closed
        .iter()
        .take(CLOSED_SHOWN)
        .map(|alert| {
            let closed = alert.closed.map(moment).unwrap_or_default();
            vec![moment(alert.begin), closed, alert.cause.replace('\n', "; ")]
        })
        .collect();
    if !over.is_empty() {
        text += &format!("\n{}", columns(&["FROM", "TO", "WHAT IS OVER"], &over));
    }
    let receivers: Vec<Vec<String>> = alerts
        .webhooks
        .iter()
        .map(|one| {
            let trouble = one.cause.clone().or(one.last_failure.clone()).unwrap_or_default();
            vec![one.name.clone(), one.host.clone().unwrap_or_default(), one.waiting.to_string(), trouble]
        })
        .collect();
    if !receivers.is_empty() {
        text += &format!("\n{}", columns(&["WEBHOOK", "HOST", "WAITING", "TROUBLE"], &receivers));
    }
    for one in &alerts.dropped {
        text += &format!("given up    alert {} for {}: {}\n", one.alert, one.webhook, one.cause);
    }
    text
}

#[cfg(test)]
mod tests {
    use openmesh_agent::views::alerts::{Acknowledged, AlertKind, WebhookState};
    use openmesh_primitives::Timestamp;

    use super::*;

    #[test]
    fn a_person_sees_what_is_open_what_helps_and_whether_it_is_told() {
        let alert = Alert {
            id: 7,
            kind: AlertKind::Down,
            application: Some("web".into()),
            subject: None,
            severity: Severity::Critical,
            cause: "web has ended".into(),
            remedy: "`openmesh app logs web` tells more".into(),
            begin: Timestamp(0),
            opened: Timestamp(30_000_000_000),
            closed: None,
            acknowledged: Some(Acknowledged { by: "alice".into(), at: Timestamp(60_000_000_000) }),
        };
        let hook = WebhookState {
            name: "ops".into(),
            host: Some("https://hooks.example.org".into()),
            cause: None,
            waiting: 2,
            last_failure: Some("it answered with status 500".into()),
        };
        let all = Alerts {
            open: vec![alert],
            closed: Vec::new(),
            webhooks: vec![hook],
            dropped: Vec::new(),
            dropped_count: 0,
            suppressed: 0,
        };
        let text = text(&all);
        assert!(text.starts_with("7  critical  since 1970-01-01 00:00:00\n    web has ended\n"), "{text}");
        assert!(text.contains("alice knows of it since 1970-01-01 00:01:00"), "{text}");
        assert!(text.contains("https://hooks.example.org  2        it answered with status 500"), "{text}");
    }
}
