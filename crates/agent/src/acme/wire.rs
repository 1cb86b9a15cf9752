//! The way to an authority: requests by TLS, each with a time and a size.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{Request, Response, StatusCode, header};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::redirect::Policy;

use super::trouble::PREFIX;

/// Time for an answer. Source: Let's Encrypt's own servers give up after a minute; half of that is a busy one.
const ANSWER: Duration = Duration::from_secs(30);
/// Largest answer, bytes: a chain of some certificates, many times over.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A client of an authority.
#[derive(Clone)]
pub struct Wire {
    client: reqwest::Client,
    /// Seconds for which the last answer with an error wants to be left alone.
    asked_s: Arc<Mutex<Option<u64>>>,
}

impl Wire {
    /// A client that trusts what the machine trusts, and beside it a root as PEM. Words where the root is none.
    pub fn new(root: Option<&str>) -> Result<Wire, String> {
        // The first provider of TLS counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().timeout(ANSWER).redirect(Policy::none()).https_only(true);
        let builder = match root {
            Some(root) => {
                let roots = reqwest::Certificate::from_pem_bundle(root.as_bytes());
                let roots = roots.map_err(|cause| format!("`machine.certificates.root` is no certificate: {cause}"))?;
                builder.tls_certs_merge(roots)
            }
            None => builder,
        };
        let client = builder.build().map_err(|cause| format!("no client can be made: {cause}"))?;
        Ok(Wire { client, asked_s: Arc::default() })
    }

    /// Seconds for which the authority wanted to be left alone when it refused last.
    pub fn asked_s(&self) -> Option<u64> {
        *self.asked_s.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|cause| Error::Other(cause.into()))?.to_bytes();
        let url = reqwest::Url::parse(&parts.uri.to_string()).map_err(|cause| Error::Other(cause.into()))?;
        let asked = self.client.request(parts.method, url).headers(parts.headers).body(body);
        let answer = asked.send().await.map_err(|cause| Error::Other(cause.into()))?;
        if !answer.status().is_success() {
            let asked =
                answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(seconds);
            *self.asked_s.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        }
        let mut built = Response::builder().status(answer.status()).version(answer.version());
        if let Some(fields) = built.headers_mut() {
            fields.clone_from(answer.headers());
        }
        let (mut stream, mut bytes) = (answer.bytes_stream(), Vec::new());
        while let Some(part) = stream.next().await {
            bytes.extend_from_slice(&part.map_err(|cause| Error::Other(cause.into()))?);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(Error::Other(format!("it answered with more than {ANSWER_BYTES_MAX} bytes").into()));
            }
        }
        let (parts, ()) = built.body(())?.into_parts();
        let bytes = with_reason(parts.status, bytes);
        Ok(BytesResponse { parts, body: Box::new(Bytes::from(bytes)) })
    }
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

/// An answer, as a problem where it is a refusal without a reason: some authorities answer 404 with nothing to an order that they have forgotten. Source: RFC
/// 9457, section 4.2.1.
fn with_reason(status: StatusCode, bytes: Vec<u8>) -> Vec<u8> {
    let has_reason = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok_and(|answer| answer.is_object());
    let kind = match (status.is_client_error(), status.is_server_error()) {
        (true, _) if !has_reason => "about:blank".to_string(),
        (_, true) if !has_reason => format!("{PREFIX}serverInternal"),
        _ => return bytes,
    };
    let detail = format!("it answers {status}, without a reason");
    serde_json::json!({ "type": kind, "status": status.as_u16(), "detail": detail }).to_string().into_bytes()
}

/// Seconds of a field `Retry-After`: a number, or a date.
fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(seconds);
    }
    let moment = date(text.trim())?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(moment.saturating_sub(now))
}

/// Seconds since 1970 of a date as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
fn date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = u64::try_from(MONTHS.iter().position(|month| Some(*month) == words.clone().next())?).ok()? + 1;
    let year: u64 = words.nth(1)?.parse().ok().filter(|year| (1970..=9_999).contains(year))?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    // 60 is a leap second.
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    // Days since 1970 of a civil date: years begin in March, so that a leap day is the last one.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some(days.checked_sub(719_468)? * 86_400 + hours * 3_600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_without_a_reason_is_a_problem() {
        let found = |status: u16, body: &str| {
            let bytes = with_reason(StatusCode::from_u16(status).unwrap(), body.into());
            String::from_utf8(bytes).unwrap()
        };
        for body in ["", "<html>", "7"] {
            let problem: instant_acme::Problem = serde_json::from_str(&found(404, body)).unwrap();
            assert_eq!((problem.r#type.as_deref(), problem.status), (Some("about:blank"), Some(404)));
        }
        assert!(found(502, "<html>").contains("error:serverInternal"));
        let told = "{\"type\":\"x\"}";
        assert_eq!((found(400, told).as_str(), found(200, "").as_str()), (told, ""));
    }

    #[test]
    fn an_authority_says_when_to_come_again() {
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(date("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0), "a moment that has passed");
        for wrong in [
            "",
            "soon",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1 08:49:37 GMT",
            "Sun, x Nov 1994",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 18446744073709551615:49:37 GMT",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_root_is_a_certificate() {
        assert!(Wire::new(None).is_ok());
        assert!(Wire::new(Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")).is_err());
    }
}
