//! Applications and their history for people.

use openmesh_agent::views::{Application, Generation, LogLine};

use super::super::agent::{columns, moment};

/// State of an application, as programs read it.
pub(super) fn word(application: &Application) -> String {
    let value = serde_json::to_value(application.state).ok();
    value.and_then(|value| Some(value.as_str()?.to_string())).unwrap_or_default()
}

/// Applications as a table.
pub(super) fn list(all: &[Application]) -> String {
    if all.is_empty() {
        return "there are no applications; `openmesh app new TEMPLATE` or `openmesh app deploy FILE` makes one\n"
            .into();
    }
    let row = |application: &Application| {
        let ports = application.ports.iter().filter_map(|(name, at)| Some(format!("{name} {}", at.as_ref()?)));
        let up = application.instances.iter().filter(|instance| instance.state == "running").count();
        vec![
            application.name.clone(),
            word(application).replace('_', " "),
            format!("{up}/{}", application.instances.len()),
            ports.collect::<Vec<_>>().join(", "),
            application.image.clone().unwrap_or_default(),
            application.cause.clone().unwrap_or_default().replace('\n', "; "),
        ]
    };
    columns(&["NAME", "STATE", "UP", "PORTS", "IMAGE", "CAUSE"], &all.iter().map(row).collect::<Vec<_>>())
}

/// An application with the cause of its state.
pub(super) fn why(application: &Application) -> String {
    let mut text = format!("{} is {}\n", application.name, word(application).replace('_', " "));
    if let Some(cause) = &application.cause {
        text += &format!("cause      {cause}\n");
    }
    if let Some(failed) = &application.returned {
        let (number, by, serves) = (failed.generation, failed.returned_by, failed.serves);
        text += &format!("failed     generation {number} {}\n", failed.cause.replace('\n', "\n           "));
        text += &format!("serves     generation {serves}; {by} brought back what {number} changed\n");
    }
    if let (Some(image), Some(digest)) = (&application.image, &application.digest) {
        text += &format!("image      {image} {digest}\n");
    }
    for (name, at) in &application.ports {
        text += &format!("port       {name} {}\n", at.as_deref().unwrap_or("(not published)"));
    }
    for (name, volume) in &application.volumes {
        text += &format!("volume     {name} {volume}\n");
    }
    for (domain, who) in &application.domains {
        text += &format!("domain     {domain}, which {who} may open\n");
    }
    for condition in &application.conditions {
        text += &format!("condition  instance {}: {}\n", condition.index, condition.text);
    }
    if let Some(restart) = &application.restart {
        let left = match (restart.is_over, restart.left.as_slice()) {
            (true, _) => "done".to_string(),
            (false, []) => "its instances are not healthy yet".to_string(),
            (false, left) => format!("to be started: {}", left.join(", ")),
        };
        let (number, by, reason, at) = (restart.number, &restart.by, &restart.reason, moment(restart.at));
        text += &format!("restart    {number}, asked for by {by} at {at} ({reason}): {left}\n");
    }
    for instance in &application.instances {
        let pid = instance.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
        let traffic = if instance.admitted { ", has traffic" } else { "" };
        let starts =
            if instance.restarts > 0 { format!(", started again {} times", instance.restarts) } else { String::new() };
        text +=
            &format!("instance   {} {} at {}{pid}{traffic}{starts}\n", instance.id, instance.state, instance.address);
        if let Some(end) = &instance.last_end {
            text += &format!("           last time it {end}\n");
        }
    }
    text
}

/// A line of a log.
pub(super) fn log_line(line: &LogLine) -> String {
    let at = line.at.to_rfc3339();
    let mark = if line.stream == "shim" { "[shim] " } else { "" };
    format!("{} {mark}{}\n", at.get(..23).unwrap_or(&at), line.text)
}

/// Longest reason in the table of generations: a failure's has the last words of a program in it. JSON has all of it.
const REASON_CHARS_MAX: usize = 80;

/// A reason that fits into a line of a table.
fn short(reason: &str) -> String {
    let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Generations as a table.
pub(super) fn history(all: &[Generation]) -> String {
    if all.is_empty() {
        return "there is no generation yet\n".into();
    }
    let row = |generation: &Generation| {
        let mark = match (generation.serves, generation.is_wanted, &generation.failed) {
            (true, _, _) => "serves",
            (false, _, Some(_)) => "failed",
            (false, true, None) => "wanted",
            _ => "",
        };
        vec![
            generation.number.to_string(),
            mark.into(),
            moment(generation.at),
            generation.by.clone(),
            short(&generation.reason),
            generation.applications.join(", "),
        ]
    };
    columns(&["GENERATION", "", "WHEN", "BY", "REASON", "APPLICATIONS"], &all.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_a_table() {
        assert_eq!(short("a new disk"), "a new disk");
        assert_eq!(short("it failed:\n\t-f  words"), "it failed: -f words");
        let long = short(&"é".repeat(500));
        assert_eq!(long.chars().count(), REASON_CHARS_MAX + 3);
        assert!(long.ends_with("é..."), "{long}");
    }
}
