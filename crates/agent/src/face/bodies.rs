//! Bodies that end with the right by which they were opened.

use std::io;

use axum::body::{Body, Bytes};
use futures::{StreamExt as _, stream};
use openmesh_access::Principal;
use tokio::sync::mpsc;

/// Part of a body on its way; none is its whole end.
type Part = Option<io::Result<Bytes>>;

/// A body that breaks off when its principal has no right any more: an end would look as if it were whole. A task of its own reads it, so that whatever gives it ends
/// at that moment also where nobody takes what it gave before.
pub(super) fn until_ended(body: Body, principal: &Principal) -> Body {
    let (parts, taken) = mpsc::channel::<Part>(1);
    tokio::spawn(carry(body, principal.clone(), parts));
    Body::from_stream(stream::unfold((taken, false), |(mut taken, is_over)| async move {
        if is_over {
            return None;
        }
        match taken.recv().await {
            Some(part) => {
                let part = part?;
                let is_over = part.is_err();
                Some((part, (taken, is_over)))
            }
            None => {
                let over = io::Error::new(io::ErrorKind::ConnectionAborted, "the session is over");
                Some((Err(over), (taken, true)))
            }
        }
    }))
}

/// Carries the parts of a body until its end, until nobody waits for them any more, or until whoever asked has no right any more.
async fn carry(body: Body, principal: Principal, parts: mpsc::Sender<Part>) {
    let mut data = body.into_data_stream();
    let mut ended = std::pin::pin!(principal.ended());
    loop {
        let part: Part = tokio::select! {
            biased;
            () = &mut ended => break,
            () = parts.closed() => break,
            part = data.next() => part.map(|part| part.map_err(io::Error::other)),
        };
        let goes_on = matches!(part, Some(Ok(_)));
        let given = tokio::select! {
            biased;
            () = &mut ended => break,
            given = parts.send(part) => given,
        };
        if !goes_on || given.is_err() {
            break;
        }
    }
}
