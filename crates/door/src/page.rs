//! Answers of the door itself: HTML for browsers, `grpc-status` for gRPC, else JSON. They say what is wrong and what helps.

use bytes::Bytes;
use hyper::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
    SET_COOKIE, WWW_AUTHENTICATE,
};
use hyper::http::{Method, Response, StatusCode};

use crate::document::Page;

/// Language of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// For people.
    Html,
    /// For programs.
    Json,
    /// For clients of gRPC.
    Grpc,
}

impl Language {
    /// The language that a request wishes.
    pub fn of(fields: &HeaderMap) -> Language {
        let holds = |name, text: &str| {
            fields.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(text))
        };
        match () {
            () if is_grpc(fields) => Language::Grpc,
            () if holds(ACCEPT, "text/html") => Language::Html,
            () => Language::Json,
        }
    }
}

/// Returns true for messages of gRPC.
pub fn is_grpc(fields: &HeaderMap) -> bool {
    fields.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// An answer of the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Status of HTTP.
    pub status: u16,
    /// Stable word for programs.
    pub code: &'static str,
    /// Heading: what is wrong.
    pub title: String,
    /// Advice.
    pub text: String,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u32>,
    /// It is never a page: whoever asked reads data.
    pub plain: bool,
    /// Parts that few notices have, apart, so that an error of a function stays small.
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More {
    /// Address at which the answer is.
    location: Option<String>,
    /// Words and address of a link that helps.
    link: Option<(&'static str, String)>,
    /// Cookies that it sets.
    cookies: Vec<String>,
}

impl Notice {
    /// A notice without a time for another try.
    pub fn new(status: u16, code: &'static str, title: impl Into<String>, text: impl Into<String>) -> Notice {
        Notice { status, code, title: title.into(), text: text.into(), retry_after: None, plain: false, more: None }
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// A notice after which another try makes sense in some seconds.
    pub fn retry(self, seconds: u32) -> Notice {
        Notice { retry_after: Some(seconds), ..self }
    }

    /// A notice that leads to another address.
    pub fn at(mut self, location: String) -> Notice {
        self.more().location = Some(location);
        self
    }

    /// A notice with a link.
    pub fn link(mut self, words: &'static str, address: String) -> Notice {
        self.more().link = Some((words, address));
        self
    }

    /// A notice that sets one more cookie.
    pub fn cookie(mut self, cookie: String) -> Notice {
        self.more().cookies.push(cookie);
        self
    }

    /// A notice that is never a page.
    pub fn plain(self) -> Notice {
        Notice { plain: true, ..self }
    }

    /// The page that the document has for an application that is away.
    pub fn maintenance(page: Option<&Page>) -> Notice {
        let (title, text) = match page {
            Some(page) => (page.title.as_str(), page.text.as_str()),
            None => ("This application is being worked on", "It comes back by itself; please try again in a minute."),
        };
        Notice::new(503, "maintenance", title, text).retry(30)
    }

    /// The answer, for a method: one to HEAD has no body.
    pub fn answer(&self, language: Language, method: &Method) -> Response<Bytes> {
        let language = if self.plain && language == Language::Html { Language::Json } else { language };
        let (kind, body) = match language {
            Language::Html => ("text/html; charset=utf-8", self.html()),
            Language::Json => ("application/json", self.json()),
            Language::Grpc => ("application/grpc", String::new()),
        };
        let body = if *method == Method::HEAD { Bytes::new() } else { Bytes::from(body) };
        let mut answer = Response::new(body);
        let fields = answer.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            fields.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(more) = &self.more {
            if let Some(Ok(location)) = more.location.as_deref().map(HeaderValue::from_str) {
                fields.insert(LOCATION, location);
            }
            for cookie in more.cookies.iter().filter_map(|cookie| HeaderValue::from_str(cookie).ok()) {
                fields.append(SET_COOKIE, cookie);
            }
        }
        if self.status == 401 && language != Language::Grpc {
            // RFC 9110, 11.6.1: with a name that makes no browser ask for a password.
            fields.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Openmesh-Wallet"));
        }
        if language == Language::Grpc {
            fields.extend(grpc_end(grpc_status(self.status), &format!("{}. {}", self.title, self.text)));
            return answer;
        }
        fields
            .insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"));
        *answer.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        answer
    }

    fn json(&self) -> String {
        let error = serde_json::json!({ "code": self.code, "text": self.title, "hint": self.text });
        format!("{}\n", serde_json::json!({ "error": error }))
    }

    fn html(&self) -> String {
        let link = self.more.as_ref().and_then(|more| more.link.as_ref());
        let link = link.map(|(words, address)| format!("<p><a href=\"{}\">{words}</a></p>\n", escape(address)));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<style>:root{{color-scheme:light dark}}body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;\
             margin:15vh auto;padding:0 1rem;overflow-wrap:anywhere}}small{{opacity:.7}}</style>\n<h1>{title}</h1>\n<p>{text}</p>\n{link}\
             <p><small>{status} {code}</small></p>\n</html>\n",
            title = escape(&self.title),
            text = escape(&self.text),
            link = link.unwrap_or_default(),
            status = self.status,
            code = self.code,
        )
    }
}

/// Last fields of an exchange of gRPC that ends with an error.
pub fn grpc_end(status: u16, message: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert("grpc-status", HeaderValue::from(status));
    let plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'%';
    let text: String = message
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    if let Ok(value) = HeaderValue::try_from(text) {
        fields.insert("grpc-message", value);
    }
    fields
}

/// Status of gRPC for one of HTTP (the mapping of the gRPC project, with 503 and 502 as UNAVAILABLE).
fn grpc_status(status: u16) -> u16 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 => 8,
        504 => 4,
        502 | 503 => 14,
        _ => 2,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_speak_the_language_of_the_client() {
        let notice = Notice::new(503, "stopped", "Stopped <b>", "Start it.").retry(5);
        let html = notice.answer(Language::Html, &Method::GET);
        assert_eq!((html.status().as_u16(), html.headers()[RETRY_AFTER].as_bytes()), (503, &b"5"[..]));
        assert!(String::from_utf8_lossy(html.body()).contains("<h1>Stopped &lt;b&gt;</h1>"));
        let json = notice.answer(Language::Json, &Method::POST);
        let expected = "{\"error\":{\"code\":\"stopped\",\"hint\":\"Start it.\",\"text\":\"Stopped <b>\"}}\n";
        assert_eq!(json.body(), expected);
        let grpc = notice.answer(Language::Grpc, &Method::POST);
        assert_eq!((grpc.status().as_u16(), grpc.headers()["grpc-status"].as_bytes()), (200, &b"14"[..]));
        assert!(notice.answer(Language::Html, &Method::HEAD).body().is_empty());
    }
}
