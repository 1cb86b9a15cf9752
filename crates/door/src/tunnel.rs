//! Connections that are carried byte by byte: WebSocket, any other upgrade, raw TCP.
//!
//! A WebSocket has no end of its own, so one whose instance is leaving is closed with 1001 between two frames. The closes of an instance are
//! spread over the first half of its drain: a thousand clients do not come back in the same moment.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio_util::sync::CancellationToken;

use crate::limits::{CARRY_BYTES, WEBSOCKET_CLOSE_MS};
use crate::route::Ticket;
use crate::websocket::{Frames, going_away_to_client, going_away_to_server};

/// Carries bytes until both sides are done, one of them fails, or the instance is cut.
pub async fn carry<A, B>(client: &mut A, instance: &mut B, ticket: &mut Ticket)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let cut = ticket.ends.cut.clone();
    tokio::select! {
        // An error of either side is its end.
        _ = copy_bidirectional_with_sizes(client, instance, CARRY_BYTES, CARRY_BYTES) => {}
        () = cut.cancelled() => ticket.was_cut(),
    }
}

/// Carries a WebSocket until it ends, is closed because its instance is leaving, or is cut.
pub async fn carry_websocket<A, B>(client: A, instance: B, mut ticket: Ticket)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_instance, mut to_instance) = tokio::io::split(instance);
    let leave = CancellationToken::new();
    let (ask, cut) = (ticket.ends.ask.clone(), ticket.ends.cut.clone());
    let (to_client_close, to_instance_close) = (going_away_to_client(), going_away_to_server());
    let work = async {
        let down = pump(&mut from_instance, &mut to_client, &leave, &to_client_close);
        let up = pump(&mut from_client, &mut to_instance, &leave, &to_instance_close);
        both(down, up).await
    };
    let upstream = ticket.upstream.clone();
    let id = ticket.id;
    let asked = async {
        ask.cancelled().await;
        tokio::time::sleep(moment(id, upstream.ask_within())).await;
        leave.cancel();
        // Frames of both directions end, or the deadline does it.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        closed = work => {
            // The instance is rid of it.
            drop(ticket);
            if closed {
                farewell(&mut from_client, &mut to_client).await;
            }
        }
        () = asked => {}
        () = cut.cancelled() => ticket.was_cut(),
    }
}

/// Moment of a close: the same for one number, spread evenly over many.
fn moment(id: u64, within: Duration) -> Duration {
    const PARTS: u64 = 1 << 16;
    let part = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    let half_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX) / 2;
    Duration::from_millis(half_ms.min(u64::MAX >> 17) * part / PARTS)
}

/// Waits for the ends of both directions, and returns true where the client was told a close. A WebSocket has no use for one direction alone: a
/// client whose instance died would never learn of it.
async fn both(down: impl Future<Output = io::Result<End>>, up: impl Future<Output = io::Result<End>>) -> bool {
    tokio::pin!(down, up);
    tokio::select! {
        end = &mut down => {
            let closed = matches!(end, Ok(End::Closed));
            other(&end, up).await;
            closed
        }
        end = &mut up => matches!(other(&end, down).await, Some(Ok(End::Closed))),
    }
}

async fn other(first: &io::Result<End>, other: impl Future<Output = io::Result<End>>) -> Option<io::Result<End>> {
    match first {
        // The deadline of the drain bounds it.
        Ok(End::Closed) => Some(other.await),
        _ => tokio::time::timeout(Duration::from_millis(WEBSOCKET_CLOSE_MS), other).await.ok(),
    }
}

#[derive(Debug)]
enum End {
    /// The reader's side ended.
    Ended,
    /// A close was said.
    Closed,
}

/// Carries one direction to its end, of which the reader hears in any case.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    leave: &CancellationToken,
    close: &[u8],
) -> io::Result<End> {
    let end = carry_frames(from, to, leave, close).await;
    if !matches!(end, Ok(End::Closed)) {
        to.shutdown().await?;
    }
    end
}

async fn carry_frames(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    leave: &CancellationToken,
    close: &[u8],
) -> io::Result<End> {
    let mut frames = Frames::default();
    let mut buffer = vec![0; CARRY_BYTES];
    loop {
        let leaving = leave.is_cancelled();
        if leaving && frames.at_end() {
            to.write_all(close).await?;
            to.flush().await?;
            return Ok(End::Closed);
        }
        let count = tokio::select! {
            count = from.read(&mut buffer) => count?,
            () = leave.cancelled(), if !leaving => continue,
        };
        if count == 0 {
            return Ok(End::Ended);
        }
        let mut part = &buffer[..count];
        if leave.is_cancelled() {
            part = &part[..frames.advance_to_end(part).unwrap_or(count)];
        } else {
            frames.advance(part);
        }
        to.write_all(part).await?;
        to.flush().await?;
    }
}

/// Lets a client read the close before its connection ends: it answers, or time passes. A connection that ends with unread bytes is reset, and a
/// reset may overtake the close.
async fn farewell(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    let rest = async {
        let mut buffer = [0; 1_024];
        while matches!(from.read(&mut buffer).await, Ok(count) if count > 0) {}
    };
    let _ = tokio::time::timeout(Duration::from_millis(WEBSOCKET_CLOSE_MS), rest).await;
    let _ = to.shutdown().await;
}
