//! Routes and the layers around them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use openmesh_api::ErrorCode;
use openmesh_api::limits::BODY_BYTES_MAX;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::Refusal;
use crate::http::{body, contract, download, headers, studio, xnode};
use crate::node::Node;
use crate::routes::{accounts, chain, content, market, rpc, sql, stream};

fn api_routes() -> OpenApiRouter<Node> {
    OpenApiRouter::with_openapi(contract::Contract::openapi())
        .routes(routes!(chain::status::status))
        .routes(routes!(chain::status::operator_state))
        .routes(routes!(chain::blocks::blocks))
        .routes(routes!(chain::blocks::block))
        .routes(routes!(chain::validators::validators))
        .routes(routes!(chain::upgrade::upgrade))
        .routes(routes!(chain::upgrade::state))
        .routes(routes!(chain::upgrade::state_chunk))
        .routes(routes!(chain::incidents::incidents))
        .routes(routes!(chain::incidents::incident))
        .routes(routes!(chain::epochs::epochs))
        .routes(routes!(chain::epochs::epoch))
        .routes(routes!(chain::parameters::parameters))
        .routes(routes!(chain::search::search))
        .routes(routes!(chain::events::events))
        .routes(routes!(chain::stamps::stamps))
        .routes(routes!(chain::stamps::stamp_proof))
        .routes(routes!(chain::supply::supply))
        .routes(routes!(chain::deposits::deposits))
        .routes(routes!(chain::transactions::transactions, accounts::send::send))
        .routes(routes!(accounts::send::send_batch))
        .routes(routes!(chain::transactions::transaction))
        .routes(routes!(accounts::balance::account))
        .routes(routes!(accounts::send::typed_data))
        .routes(routes!(accounts::send::estimate))
        .routes(routes!(accounts::send::actions))
        .routes(routes!(content::sources::sources))
        .routes(routes!(content::sources::source))
        .routes(routes!(content::windows::window))
        .routes(routes!(content::agreement::agreement))
        .routes(routes!(content::chunks::chunks))
        .routes(routes!(content::chunks::chunk))
        .routes(routes!(content::files::raw))
        .routes(routes!(content::files::parquet))
        .routes(routes!(content::files::proof))
        .routes(routes!(market::book::book))
        .routes(routes!(market::candles::candles))
        .routes(routes!(market::trades::trades))
        .routes(routes!(sql::query))
        .routes(routes!(sql::cancel))
        .routes(routes!(sql::catalogue))
        .routes(routes!(accounts::sign_in::nonce))
        .routes(routes!(accounts::sign_in::sign_in))
        .routes(routes!(accounts::sign_in::session, accounts::sign_in::sign_out))
        .routes(routes!(stream::connect))
        .routes(routes!(rpc::http::rpc, rpc::socket::rpc_stream))
}

/// The OpenAPI description as JSON, the text of `openapi/openmesh.json`.
pub fn openapi() -> String {
    let (_, description) = api_routes().split_for_parts();
    format!("{:#}\n", contract::complete(description))
}

/// All routes with the layers around them.
pub fn router(node: Node) -> Router {
    let face = node.deps().xnode;
    let (api, description) = api_routes().split_for_parts();
    let known = Arc::new(contract::Known::of(&contract::complete(description)));
    // Streams must not sit in a compressor's buffer; content is compressed already.
    let compress = CompressionLayer::new().compress_when(
        SizeAbove::new(1_024)
            .and(NotForContentType::const_new("application/vnd.apache.parquet"))
            .and(NotForContentType::const_new("application/octet-stream")),
    );
    let text = openapi().into_bytes();
    let described = move |headers: HeaderMap| async move {
        download::tagged(&headers, "application/json", download::ASK_AGAIN, text.clone())
    };
    let inner = api
        .route("/openapi.json", get(described))
        .route("/metrics", get(chain::status::metrics))
        .route("/healthz", get(chain::status::health))
        .fallback(studio::serve)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(body::bounded))
        .layer(middleware::from_fn_with_state(known, contract::known_parameters))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            let hint = "ask another node; the operator finds the reason in this node's log";
            Refusal::new(ErrorCode::Internal, "this node failed on the request", hint).into_response()
        }))
        .layer(middleware::map_response(headers::one_shape))
        .layer(middleware::from_fn_with_state(node.clone(), label))
        .layer(compress)
        .layer(middleware::map_response(headers::vary))
        .with_state(node);
    let own = Router::new().fallback_service(inner).layer(middleware::from_fn(headers::across_origins));
    // Beside the layers: the agent has words of its own for pages of other sites, sizes and streams.
    xnode::in_front(face, own)
}

async fn label(State(node): State<Node>, request: Request, next: Next) -> Response {
    headers::label(node.origin(), next.run(request).await)
}
