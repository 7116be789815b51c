//! The window to the outside: metrics, probes, and one account's report from committed state.
//!
//! Read only, and no lock that the pipeline could wait for longer than one account's copy takes.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::telemetry::metrics::Metrics;
use crate::view::{Condition, View};

/// What the pages are made from.
#[derive(Clone)]
pub struct Sources {
    /// Committed accounts, and how the workers are doing.
    pub view: Arc<View>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// Takes the address, so that a wrong one is known before anything else starts.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(listen).await.map_err(|error| {
        format!("cannot listen on `{listen}` (`http.listen`, `--listen`): {error}")
    })
}

/// Serves until `stopped` is over.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    sources: Sources,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(sources)).with_graceful_shutdown(stopped).await
}

/// All pages.
pub fn router(sources: Sources) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/accounts/{id}", get(account))
        .with_state(sources)
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], sources.metrics.text()).into_response()
}

/// Alive as long as a worker is: a supervisor restarts a process whose workers have all ended.
async fn livez(State(sources): State<Sources>) -> (StatusCode, &'static str) {
    let conditions = sources.view.conditions();
    if !conditions.is_empty() && conditions.iter().all(|c| *c == Condition::Stopped) {
        (StatusCode::SERVICE_UNAVAILABLE, "stopped\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

/// Ready when every worker has joined its group and none waits for something outside.
async fn readyz(State(sources): State<Sources>) -> (StatusCode, String) {
    let waiting = not_ready(&sources.view);
    if waiting.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, waiting.join("\n") + "\n")
    }
}

/// What each worker that is not ready is doing.
fn not_ready(view: &View) -> Vec<String> {
    let conditions = view.conditions().into_iter().enumerate();
    let doing = |(worker, condition): (usize, Condition)| match condition {
        Condition::Ready => None,
        Condition::Joining => Some(format!("worker {worker}: joining its group")),
        Condition::Waiting(reason) => Some(format!("worker {worker}: {reason}")),
        Condition::Stopped => Some(format!("worker {worker}: stopped")),
    };
    conditions.filter_map(doing).collect()
}

async fn account(State(sources): State<Sources>, Path(id): Path<String>) -> Response {
    match sources.view.report_json(&id) {
        Some(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        None => {
            let waiting = not_ready(&sources.view);
            let unknown = format!("account `{id}` is not known to this process");
            let (status, error) = match waiting.is_empty() {
                true => (StatusCode::NOT_FOUND, unknown),
                // It may be read back any moment.
                false => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("{unknown} yet: {}", waiting.join("; ")),
                ),
            };
            let body = serde_json::json!({ "error": error }).to_string();
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}
