//! Maintenance page of an application that moves: it names the other machine.

use openmesh_blueprint::document::Name;
use openmesh_blueprint::moving::Departure;
use openmesh_xnode::marks::{self, PageMark};

use super::records::Leaving;
use crate::error::AgentError;
use crate::service::Service;

/// The page of an application that leaves; none where the usual one stands, or none is seen.
fn page(leaving: &Leaving) -> Option<PageMark> {
    let node = &leaving.node;
    let (title, text) = match &leaving.mark {
        Departure::Quiets | Departure::Hands => {
            ("This application is moving", format!("It moves to {node}; please try again in a minute."))
        }
        Departure::Recalls | Departure::Returns { data: Some(_), .. } => {
            ("This application is coming back", format!("It comes back from {node}; please try again in a minute."))
        }
        // It has passed its gate there, and serves nobody yet.
        Departure::Gone | Departure::Over if !leaving.is_open_there && !leaving.is_settled => {
            ("This application is moving", format!("It is about to serve at {node}; please try again in a minute."))
        }
        Departure::Gone | Departure::Over => ("This application has moved", format!("It is on {node} now.")),
        Departure::Tries | Departure::Returns { data: None, .. } => return None,
    };
    Some(PageMark { title: title.into(), text })
}

/// Brings the page of an application that leaves to its mark. It is so already: nothing changes.
///
/// # Errors
/// The file cannot be read or written.
pub(super) fn keep(service: &Service, leaving: &Leaving, name: &Name) -> Result<(), AgentError> {
    let path = service.agent().machine().paths.page(name);
    let (found, wanted) = (marks::find::<PageMark>(&path).unwrap_or(None), page(leaving));
    if found == wanted {
        return Ok(());
    }
    let Some(wanted) = wanted else { return clear(service, name) };
    let bytes = serde_json::to_vec(&wanted).unwrap_or_default();
    marks::replace(&path, &bytes).map_err(AgentError::file("writing", &path))?;
    service.wake().notify_one();
    Ok(())
}

/// Lets the usual page stand.
///
/// # Errors
/// The file cannot be removed.
pub(super) fn clear(service: &Service, name: &Name) -> Result<(), AgentError> {
    marks::remove(&service.agent().machine().paths.page(name), "move.page", &openmesh_xnode::open)?;
    service.wake().notify_one();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::records::tests::leaving;
    use super::*;

    #[test]
    fn the_page_names_the_other_machine_while_nobody_serves_here() {
        let returns = |data: Option<&str>| Departure::Returns { cause: "x".into(), data: data.map(Into::into) };
        for mark in [Departure::Tries, Departure::Quiets, Departure::Hands, Departure::Gone, Departure::Recalls] {
            let shown = page(&leaving(mark.clone()));
            assert_eq!(shown.is_none(), mark.may_serve(), "{mark:?}");
            assert!(shown.is_none_or(|page| page.text.contains(" b")), "{mark:?}");
        }
        let said = |leaving: &Leaving| page(leaving).unwrap().text;
        let shut = Leaving { is_open_there: false, ..leaving(Departure::Gone) };
        assert!(said(&leaving(Departure::Gone)).contains("is on b now") && said(&shut).contains("about to serve at b"));
        let over = Leaving { is_open_there: false, ..leaving(Departure::Over) };
        assert!(said(&over).contains("about to serve"));
        assert!(said(&Leaving { is_settled: true, ..over }).contains("is on b now"));
        assert_eq!(page(&leaving(returns(None))), None);
        assert!(page(&leaving(returns(Some("ab")))).is_some() && page(&leaving(Departure::Over)).is_some());
    }
}
