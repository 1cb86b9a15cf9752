//! Talking to a node's API.

use openmesh_api::ErrorBody;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Longest wait for an answer of a node, in milliseconds. Longer than the node's own limit for queries, so that its
/// error arrives rather than ours.
const ANSWER_MS_MAX: u64 = 65_000;

/// A node's API.
pub struct Client {
    base: url::Url,
    http: reqwest::Client,
}

impl Client {
    /// A client of the API at this address.
    pub fn new(base: &url::Url) -> Result<Client, Failure> {
        let http = reqwest::Client::builder()
            .timeout(std::time::Duration::from_millis(ANSWER_MS_MAX))
            .build()
            .map_err(|e| Failure::from_display("the HTTP client does not start", &e))?;
        Ok(Client { base: base.clone(), http })
    }

    /// `GET`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.send(self.http.get(self.at(path)?)).await
    }

    /// `POST` with a JSON body.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.send(self.http.post(self.at(path)?).json(body)).await
    }

    /// `GET` of bytes; `None` where there is no such thing.
    pub async fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let answer = self
            .http
            .get(self.at(path)?)
            .send()
            .await
            .map_err(|e| Failure::new(format!("no answer from {}: {}", self.base, innermost(&e))))?;
        let status = answer.status();
        let body = answer
            .bytes()
            .await
            .map_err(|e| Failure::new(format!("the answer of {} broke off: {}", self.base, innermost(&e))))?;
        match (status.is_success(), serde_json::from_slice::<ErrorBody>(&body)) {
            (true, _) => Ok(Some(body.to_vec())),
            (false, _) if status == reqwest::StatusCode::NOT_FOUND => Ok(None),
            (false, Ok(ErrorBody { error })) => Err(Failure::new(format!("{} ({})", error.message, error.code))),
            (false, Err(_)) => Err(Failure::new(format!("{} answered {status}", self.base))),
        }
    }

    fn at(&self, path: &str) -> Result<url::Url, Failure> {
        self.base.join(path).map_err(|e| Failure::usage(format!("{} with {path}: {e}", self.base)))
    }

    async fn send<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, Failure> {
        let answer = request.send().await.map_err(|e| {
            Failure::new(format!("no answer from {}: {}", self.base, innermost(&e)))
                .hint("is the network running (openmesh up)? Name another node with --api http://HOST:PORT")
        })?;
        let status = answer.status();
        let body = answer
            .bytes()
            .await
            .map_err(|e| Failure::new(format!("the answer of {} broke off: {}", self.base, innermost(&e))))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|e| {
                Failure::from_display(format!("{} answered something else than expected", self.base), &e)
            });
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { error }) => {
                let failure = Failure::new(format!("{} ({})", error.message, error.code)).with_refusal(error.code);
                Err(match error.hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                })
            }
            Err(_) => Err(Failure::new(format!("{} answered {status}", self.base))),
        }
    }
}

/// The last cause of an error: "connection refused" says more than "error sending request".
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
