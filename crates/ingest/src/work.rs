//! Blocking work of this crate.

/// Runs work that reads a disk or decodes much, away from the async threads. A panic in it is a panic of the caller, so
/// that it is as loud as anywhere else.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is being shut down: nothing of this task is wanted any more.
            Err(_) => std::future::pending().await,
        },
    }
}
