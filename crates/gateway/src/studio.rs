//! Studio's files, embedded in the binary.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::error::Refusal;

/// What a page of ours may do: load only from here, and be framed by nobody.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../studio/dist"]
struct Files;

/// A file, or else the application's page, which finds its own way from the address.
pub async fn serve(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("v1/") {
        return Refusal::not_found("unknown_path", format!("/{path} is not part of the API"))
            .hint("the API is described at /openapi.json")
            .into_response();
    }
    // Built files carry a hash in their names, so they may be kept for ever; the page itself is asked for each time.
    let (name, caching) = match Files::get(path) {
        Some(_) if path.starts_with("assets/") => (path, "public, max-age=31536000, immutable"),
        Some(_) if !path.is_empty() => (path, "no-cache"),
        // A page's address may hold a dot too (`/data/kraken/BTC.USD`); files lie at the root or among the assets.
        _ if path.starts_with("assets/") || (path.contains('.') && !path.contains('/')) => {
            return Refusal::not_found("unknown_file", format!("/{path} is no file of Studio")).into_response();
        }
        _ => ("index.html", "no-cache"),
    };
    match Files::get(name) {
        Some(file) => {
            let kind = file.metadata.mimetype().to_string();
            let headers = [(CONTENT_TYPE, kind.as_str()), (CACHE_CONTROL, caching), (CONTENT_SECURITY_POLICY, POLICY)];
            (headers, Body::from(file.data.into_owned())).into_response()
        }
        None => Refusal::new(StatusCode::NOT_FOUND, "no_studio", "this binary was built without Studio")
            .hint("build it with make up, or make studio before cargo build")
            .into_response(),
    }
}
