//! One client's WebSocket: its messages in, the market out, heartbeats and faults between.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use openmesh_dialect::emulate::Endpoint;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::faults::{Fate, Faults, Weather};
use crate::hub::{Admission, Endpoints, Outgoing};

/// Messages held back by a delay before more are taken from the queue.
const HELD_FRAMES_MAX: usize = 16_384;

/// Binance asks for a sign of life this often (its documentation: 20 s on spot).
const BINANCE_PING_SECONDS: u64 = 20;

/// Longest that a client is given to take the message that says why its connection ends.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

struct Held {
    text: String,
    at: Instant,
    copies: u8,
    last: bool,
}

/// Serves a client until it goes, is cut, or the server stops.
pub(crate) async fn serve(
    mut socket: WebSocket,
    endpoints: Arc<dyn Endpoints>,
    endpoint: Endpoint,
    path: String,
    query: String,
    faults: Faults,
    stop: CancellationToken,
) {
    let Admission { id, mut conversation, mut queue, cut } = endpoints.admit(endpoint, &path, &query);
    let mut weather = Weather::new(faults, id);
    let mut held: VecDeque<Held> = VecDeque::new();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    second.reset();
    let (mut seconds, mut quiet) = (0u64, true);
    let reason = loop {
        let due = held.front().map_or_else(|| Instant::now() + Duration::from_secs(3_600), |h| h.at);
        tokio::select! {
            biased;
            () = stop.cancelled() => break Some("the server stops"),
            () = cut.cancelled() => break Some("too slow"),
            () = tokio::time::sleep_until(due), if !held.is_empty() => {
                let Some(message) = held.pop_front() else { continue };
                quiet = false;
                // A client that does not read holds the sending up, not the end of it.
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break Some("the server stops"),
                    () = cut.cancelled() => break Some("too slow"),
                    sent = deliver(&mut socket, message) => match sent {
                        Ok(false) => {}
                        // Cut off without a word, as a network does it.
                        Ok(true) | Err(_) => break None,
                    },
                }
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => endpoints.receive(id, &mut conversation, text.as_str()),
                Some(Ok(Message::Binary(bytes))) => {
                    endpoints.receive(id, &mut conversation, &String::from_utf8_lossy(&bytes));
                }
                // Pings of the protocol are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => break None,
            },
            message = queue.recv(), if held.len() < HELD_FRAMES_MAX => {
                let (frame, fate) = match message {
                    Some(Outgoing::Answer(frame)) => (frame, weather.answer()),
                    Some(Outgoing::Data(frame)) => (frame, weather.data()),
                    None => break None,
                };
                hold(&mut held, conversation.render(&frame), fate);
            }
            _ = second.tick() => {
                seconds += 1;
                for frame in conversation.second(endpoints.now(endpoint), quiet) {
                    hold(&mut held, conversation.render(&frame), weather.answer());
                }
                quiet = true;
                if is_ping_due(endpoint, seconds)
                    && socket.send(Message::Ping(seconds.to_string().into_bytes().into())).await.is_err() {
                    break None;
                }
            }
        }
    };
    endpoints.leave(id, &conversation);
    if let Some(reason) = reason {
        say_farewell(&mut socket, reason).await;
    }
    tracing::debug!(connection = id, ?endpoint, reason, "connection ended");
}

/// Tells a client why its connection ends.
async fn say_farewell(socket: &mut WebSocket, reason: &'static str) {
    let frame = CloseFrame { code: close_code::AWAY, reason: reason.into() };
    // The client may be gone already; there is nobody left to tell.
    let _ = tokio::time::timeout(FAREWELL_MAX, socket.send(Message::Close(Some(frame)))).await;
}

/// Returns true where the venue asks for a sign of life in this second.
fn is_ping_due(endpoint: Endpoint, seconds: u64) -> bool {
    matches!(endpoint, Endpoint::BinanceSpot | Endpoint::BinanceUsdm) && seconds.is_multiple_of(BINANCE_PING_SECONDS)
}

/// A message never overtakes the one before it. One that is dropped leaves its place, because it may end the connection.
fn hold(held: &mut VecDeque<Held>, text: String, fate: Fate) {
    let earliest = held.back().map_or_else(Instant::now, |h| h.at);
    let at = (Instant::now() + fate.delay).max(earliest);
    held.push_back(Held { text, at, copies: fate.copies, last: fate.last });
}

/// Sends; true where the connection ends with this message.
async fn deliver(socket: &mut WebSocket, message: Held) -> Result<bool, axum::Error> {
    for _ in 1..message.copies {
        socket.send(Message::text(message.text.clone())).await?;
    }
    if message.copies > 0 {
        socket.send(Message::text(message.text)).await?;
    }
    Ok(message.last)
}
