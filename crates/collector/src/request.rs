//! HTTP requests of a session: asked until answered, at the pace that the venue wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::backoff::{Backoff, retry_after};
use crate::clock::after;
use crate::input::SourceInput;

/// Attempts before an answer is given up and the session hears of it.
const ATTEMPTS_MAX: u32 = 6;

/// Largest answer, in bytes: Binance's list of all instruments is 15 MB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Status that stands for "no answer at all" towards a session.
pub(crate) const STATUS_UNREACHABLE: u16 = 599;

/// Wait after a 429 that does not say how long.
const TOO_MANY_WAIT: Duration = Duration::from_secs(5);

/// An answer, or a status in its place.
#[derive(Debug)]
pub(crate) struct Answer {
    /// As the session asked for it.
    pub(crate) url: Arc<str>,
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// A client that all sources share, with the hosts that want to be left alone.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    client: reqwest::Client,
    quiet: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl Requests {
    pub(crate) fn new(answer: Duration) -> Result<Requests, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("openmesh-collector/", env!("CARGO_PKG_VERSION")))
            .timeout(answer)
            .build()?;
        Ok(Requests { client, quiet: Arc::default() })
    }

    /// Asks `dial`, which stands for `url`, until there is an answer that more asking would not better. The source hears of
    /// each wait that the venue imposes when it begins: it may last for days.
    pub(crate) async fn get(
        &self,
        url: Arc<str>,
        dial: &str,
        mut backoff: Backoff,
        to: mpsc::Sender<SourceInput>,
    ) -> Answer {
        let host = url::Url::parse(&url).ok().and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default();
        let mut last = (STATUS_UNREACHABLE, Bytes::new());
        for _ in 0..ATTEMPTS_MAX {
            self.wait_for(&host, &url, &to).await;
            match self.ask(dial).await {
                Ok((status, asked, body)) => {
                    last = (status, body);
                    match status {
                        // Binance says 418 to those who went on after a 429.
                        429 | 418 => {
                            let wait = retry_after(asked.as_deref(), TOO_MANY_WAIT);
                            self.leave_alone(&host, wait);
                        }
                        500..=599 => tokio::time::sleep(retry_after(asked.as_deref(), backoff.pause())).await,
                        _ => break,
                    }
                }
                Err(error) => {
                    last = (STATUS_UNREACHABLE, Bytes::from(error.to_string()));
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
        if matches!(last.0, 429 | 418) {
            self.say_ban(&host, &url, &to).await;
        }
        Answer { url, status: last.0, body: last.1 }
    }

    async fn ask(&self, dial: &str) -> Result<(u16, Option<String>, Bytes), reqwest::Error> {
        let mut response = self.client.get(dial).send().await?;
        let status = response.status().as_u16();
        let asked = response.headers().get("retry-after").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                let text = format!("the answer is larger than {ANSWER_BYTES_MAX} bytes");
                return Ok((STATUS_UNREACHABLE, None, Bytes::from(text)));
            }
            body.extend_from_slice(&part);
        }
        Ok((status, asked, Bytes::from(body)))
    }

    fn leave_alone(&self, host: &str, wait: Duration) {
        let until = Instant::now() + wait;
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = quiet.entry(host.to_owned()).or_insert(until);
        *entry = (*entry).max(until);
    }

    /// Waits until a host may be asked again.
    async fn wait_for(&self, host: &str, url: &Arc<str>, to: &mpsc::Sender<SourceInput>) {
        while let Some(until) = self.say_ban(host, url, to).await {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Tells a source of a wait that lasts, whoever has brought it about; returns its end.
    async fn say_ban(&self, host: &str, url: &Arc<str>, to: &mpsc::Sender<SourceInput>) -> Option<Instant> {
        let until = self.quiet.lock().unwrap_or_else(PoisonError::into_inner).get(host).copied();
        let until = until.filter(|until| *until > Instant::now())?;
        let wait = until.duration_since(Instant::now());
        // A source that has ended needs no answer either.
        let _ = to.send(SourceInput::Limited { url: url.clone(), until: after(wait) }).await;
        Some(until)
    }
}
