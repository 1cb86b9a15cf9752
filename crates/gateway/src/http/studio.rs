//! Studio's files, embedded in the binary.

use axum::http::header::{ALLOW, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use openmesh_api::ErrorCode;
use rust_embed::RustEmbed;

use super::download::{ASK_AGAIN, FOREVER, tagged};
use super::headers::PAGE_POLICY;
use crate::error::Refusal;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../studio/dist"]
struct Files;

/// Media type and content of a file of Studio, by its path below the root; for whoever serves Studio beside a node.
pub fn studio_file(path: &str) -> Option<(String, Vec<u8>)> {
    Files::get(path).map(|file| (file.metadata.mimetype().to_string(), file.data.into_owned()))
}

/// A file, or else the application's page, which finds its own way from the address.
pub async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path == "v1" || path.starts_with("v1/") {
        return Refusal::new(
            ErrorCode::UnknownPath,
            format!("/{path:.100} is not part of the API"),
            "the API is described at /openapi.json",
        )
        .into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET,HEAD")]).into_response();
    }
    // Built files carry a hash in their names, so they may be kept for ever; the page itself is asked for each time.
    let (name, caching) = match Files::get(path) {
        Some(_) if path.starts_with("assets/") => (path, FOREVER),
        Some(_) if !path.is_empty() => (path, ASK_AGAIN),
        // A page's address may hold a dot too (`/data/kraken/BTC.USD`); files lie at the root or among the assets.
        _ if path.starts_with("assets/") || (path.contains('.') && !path.contains('/')) => {
            return Refusal::new(
                ErrorCode::UnknownFile,
                format!("/{path:.100} is no file of Studio"),
                "Studio begins at /; a page that was open during an update loads again",
            )
            .into_response();
        }
        _ => ("index.html", ASK_AGAIN),
    };
    match Files::get(name) {
        Some(file) => {
            let mut response = tagged(&headers, file.metadata.mimetype(), caching, file.data.into_owned());
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
            response
        }
        None => Refusal::new(
            ErrorCode::NoStudio,
            "this binary was built without Studio",
            "build it with make up, or make studio before cargo build",
        )
        .into_response(),
    }
}
