//! Receivers as a document names them, with the values of their secrets.

use openmesh_alerts::Receiver;
use openmesh_blueprint::document::{Content, Webhook};

use crate::service::Service;

/// The receiver of a webhook. Words where it cannot be used, as without its secret.
pub fn receiver(service: &Service, webhook: &Webhook) -> Result<Receiver, String> {
    let url = String::from_utf8(value(service, &webhook.url)?).map_err(|_| "its address is no text".to_string())?;
    Receiver::new(&url, &value(service, &webhook.secret)?, webhook.private)
}

/// The bytes of a content; words where it is a secret that is not there.
fn value(service: &Service, content: &Content) -> Result<Vec<u8>, String> {
    let name = match content {
        Content::Text(text) => return Ok(text.clone().into_bytes()),
        Content::Secret(name) => name,
    };
    let missing = || format!("there is no secret `{name}`; `openmesh xnode secret set {name}` sets it");
    let present = service.secrets().map_err(|error| error.to_string())?;
    let version = present.into_iter().find(|secret| secret.name == name.as_str()).ok_or_else(missing)?.version;
    service.agent().machine().secrets.value(name, version).ok_or_else(missing)
}
