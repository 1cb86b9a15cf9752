//! Answers word for word, and requests that are wrong.

use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use openmesh_venues::{Config, Faults, Handle, Mode, SimulationConfig, start};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

use crate::site::{PATIENCE, get, request};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn serve() -> (Handle, CancellationToken) {
    let stop = CancellationToken::new();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        mode: Mode::Simulation(SimulationConfig { seed: 2, events_per_second: 1_000 }),
        faults: Faults::default(),
        ethereum: Some(Arc::new(|body: &[u8]| [b"answer to ", body].concat())),
    };
    let (handle, _) = start(config, stop.clone()).await.unwrap();
    (handle, stop)
}

async fn open(handle: &Handle, url: &str) -> Socket {
    tokio_tungstenite::connect_async(handle.local(url).unwrap()).await.unwrap().0
}

async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
}

/// The next text that has a word in it.
async fn hear(socket: &mut Socket, word: &str) -> String {
    let heard = async {
        while let Some(message) = socket.next().await {
            if let Ok(Message::Text(text)) = message
                && text.contains(word)
            {
                return text.to_string();
            }
        }
        panic!("the connection ended before {word:?}");
    };
    tokio::time::timeout(PATIENCE, heard).await.unwrap_or_else(|_| panic!("never heard {word:?}"))
}

#[tokio::test]
async fn binance_acknowledges_then_streams_bare_or_wrapped() {
    let (handle, _stop) = serve().await;
    let mut wrapped = open(&handle, "wss://stream.binance.com:9443/stream").await;
    say(&mut wrapped, r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker","nonsense@trade"],"id":7}"#).await;
    assert_eq!(hear(&mut wrapped, "result").await, r#"{"result":null,"id":7}"#);
    let text = hear(&mut wrapped, "BTCUSDT").await;
    assert!(text.starts_with(r#"{"stream":"btcusdt@bookTicker","data":{"u":"#), "{text}");
    say(&mut wrapped, r#"{"method":"LIST_SUBSCRIPTIONS","id":8}"#).await;
    assert_eq!(hear(&mut wrapped, "\"id\":8").await, r#"{"result":["btcusdt@bookTicker"],"id":8}"#);
    say(&mut wrapped, r#"{"method":"UNSUBSCRIBE","params":["btcusdt@bookTicker"],"id":9}"#).await;
    hear(&mut wrapped, r#"{"result":null,"id":9}"#).await;
    say(&mut wrapped, "garbage").await;
    assert!(hear(&mut wrapped, "error").await.contains("Invalid JSON"));
    say(&mut wrapped, r#"{"method":"PLEASE","id":10}"#).await;
    assert!(hear(&mut wrapped, "error").await.contains("unknown variant"));
    let mut bare = open(&handle, "wss://stream.binance.com:9443/ws/ethusdt@depth@100ms").await;
    let text = hear(&mut bare, "depthUpdate").await;
    assert!(text.starts_with(r#"{"e":"depthUpdate","E":"#), "{text}");
}

#[tokio::test]
async fn kraken_v1_and_v2_acknowledge_and_refuse() {
    let (handle, _stop) = serve().await;
    let mut v1 = open(&handle, "wss://ws.kraken.com").await;
    hear(&mut v1, "systemStatus").await;
    say(&mut v1, r#"{"event":"ping","reqid":42}"#).await;
    assert_eq!(hear(&mut v1, "pong").await, r#"{"event":"pong","reqid":42}"#);
    say(&mut v1, r#"{"event":"subscribe","pair":["XBT/USD","FOO/BAR"],"subscription":{"name":"book","depth":25}}"#)
        .await;
    let ack = hear(&mut v1, "subscriptionStatus").await;
    assert!(ack.contains(r#""channelName":"book-25""#) && ack.contains(r#""status":"subscribed""#), "{ack}");
    assert!(hear(&mut v1, "\"as\"").await.ends_with(r#","book-25","XBT/USD"]"#));
    assert!(hear(&mut v1, "errorMessage").await.contains("Currency pair not supported FOO/BAR"));
    let update = hear(&mut v1, "\"c\":").await;
    assert!(update.ends_with(r#","book-25","XBT/USD"]"#), "{update}");
    say(&mut v1, r#"{"event":"subscribe","pair":["XBT/USD"],"subscription":{"name":"book","depth":7}}"#).await;
    assert!(hear(&mut v1, "errorMessage").await.contains("Subscription depth not supported"));
    let mut v2 = open(&handle, "wss://ws.kraken.com/v2").await;
    hear(&mut v2, r#""api_version":"v2""#).await;
    say(&mut v2, r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10},"req_id":5}"#)
        .await;
    let ack = hear(&mut v2, "\"success\":true").await;
    assert!(ack.contains(r#""req_id":5"#) && ack.contains(r#""depth":10"#), "{ack}");
    let text = hear(&mut v2, r#""type":"snapshot""#).await;
    let book: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(book["data"][0]["bids"].as_array().unwrap().len(), 10);
    say(&mut v2, r#"{"method":"subscribe","params":{"channel":"instrument"}}"#).await;
    assert!(hear(&mut v2, "price_precision").await.contains(r#""symbol":"SOL/USD""#));
    say(&mut v2, r#"{"method":"subscribe","params":{"channel":"trade","symbol":["FOO/BAR"]}}"#).await;
    assert!(hear(&mut v2, "\"success\":false").await.contains("Currency pair not supported FOO/BAR"));
}

#[tokio::test]
async fn coinbase_numbers_everything_on_a_connection() {
    let (handle, _stop) = serve().await;
    let mut socket = open(&handle, "wss://advanced-trade-ws.coinbase.com").await;
    for channel in ["heartbeats", "level2", "market_trades", "ticker", "candles"] {
        let text = format!(r#"{{"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channel":"{channel}"}}"#);
        say(&mut socket, &text).await;
    }
    let (mut next, mut snapshots, mut beats) = (0u64, 0, 0);
    while beats == 0 || next < 300 {
        let text = hear(&mut socket, "sequence_num").await;
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["sequence_num"].as_u64(), Some(next), "{text}");
        next += 1;
        snapshots += u64::from(message["channel"] == "l2_data" && message["events"][0]["type"] == "snapshot");
        beats += u64::from(message["channel"] == "heartbeats");
        if message["channel"] == "subscriptions" && next > 12 {
            let all = &message["events"][0]["subscriptions"];
            assert_eq!(all["level2"], serde_json::json!(["BTC-USD", "ETH-USD"]));
        }
    }
    assert_eq!(snapshots, 2);
    say(&mut socket, r#"{"type":"subscribe","product_ids":["BTC-USD"],"channel":"weather"}"#).await;
    assert!(hear(&mut socket, "error").await.contains("weather"));
}

#[tokio::test]
async fn bybit_and_okx_acknowledge_and_refuse() {
    let (handle, _stop) = serve().await;
    let mut linear = open(&handle, "wss://stream.bybit.com/v5/public/linear").await;
    say(&mut linear, r#"{"op":"ping"}"#).await;
    assert!(hear(&mut linear, "pong").await.contains(r#""op":"ping""#));
    say(&mut linear, r#"{"op":"subscribe","args":["orderbook.50.BTCUSDT","tickers.BTCUSDT"],"req_id":"a"}"#).await;
    assert!(hear(&mut linear, "success").await.contains(r#""success":true,"ret_msg":"","conn_id":"#));
    let text = hear(&mut linear, "orderbook.50.BTCUSDT").await;
    let book: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((book["type"].as_str(), book["data"]["b"].as_array().map(Vec::len)), (Some("snapshot"), Some(50)));
    say(&mut linear, r#"{"op":"subscribe","args":["orderbook.50.NOPE"]}"#).await;
    assert!(hear(&mut linear, "\"success\":false").await.contains("handler not found"));
    let mut spot = open(&handle, "wss://stream.bybit.com/v5/public/spot").await;
    let many = [r#""publicTrade.BTCUSDT""#; 11].join(",");
    say(&mut spot, &format!(r#"{{"op":"subscribe","args":[{many}]}}"#)).await;
    assert!(hear(&mut spot, "\"success\":false").await.contains("args size >10"));

    let mut okx = open(&handle, "wss://ws.okx.com/ws/v5/public").await;
    say(&mut okx, "ping").await;
    assert_eq!(hear(&mut okx, "pong").await, "pong");
    let args = r#"[{"channel":"books","instId":"BTC-USDT"},{"channel":"candle1m","instId":"BTC-USDT"}]"#;
    say(&mut okx, &format!(r#"{{"op":"subscribe","args":{args}}}"#)).await;
    let ack = hear(&mut okx, "\"event\":\"subscribe\"").await;
    assert!(ack.starts_with(r#"{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"}"#), "{ack}");
    assert!(hear(&mut okx, "snapshot").await.contains(r#""prevSeqId":-1"#));
    assert!(hear(&mut okx, "\"event\":\"error\"").await.contains("60018"));
    let mut business = open(&handle, "wss://ws.okx.com:8443/ws/v5/business").await;
    say(&mut business, r#"{"op":"subscribe","args":[{"channel":"candle1m","instId":"BTC-USDT"}]}"#).await;
    hear(&mut business, "\"data\":[[").await;
}

#[tokio::test]
async fn over_http() {
    let (handle, _stop) = serve().await;
    let local = |url: &str| handle.local(url).unwrap();
    let json = async |url: &str| -> (u16, Value) {
        let (status, body) = get(&local(url)).await;
        (status, serde_json::from_slice(&body).unwrap())
    };
    let (status, info) = json("https://api.binance.com/api/v3/exchangeInfo").await;
    assert_eq!((status, info["symbols"].as_array().map(Vec::len)), (200, Some(3)));
    let (_, depth) = json("https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=20").await;
    assert_eq!(depth["bids"].as_array().map(Vec::len), Some(20));
    assert!(depth["lastUpdateId"].as_u64() > Some(0) && depth["T"].is_u64());
    let (status, error) = json("https://api.binance.com/api/v3/depth?symbol=NOPE").await;
    assert_eq!((status, error["code"].as_i64()), (400, Some(-1121)));
    let (status, _) = json("https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=x").await;
    assert_eq!(status, 400);
    // By these a person's `up` finds out whom it can reach.
    for url in [
        "https://api.binance.com/api/v3/ping",
        "https://fapi.binance.com/fapi/v1/ping",
        "https://api.coinbase.com/api/v3/brokerage/time",
        "https://api.kraken.com/0/public/Time",
        "https://api.bybit.com/v5/market/time",
        "https://www.okx.com/api/v5/public/time",
    ] {
        let (status, answer) = json(url).await;
        assert!(status == 200 && answer.is_object(), "{url}: {status} {answer}");
    }
    let (_, products) = json("https://api.coinbase.com/api/v3/brokerage/market/products").await;
    assert_eq!(products["num_products"].as_u64(), Some(3));
    let (_, pairs) = json("https://api.kraken.com/0/public/AssetPairs?pair=XBTUSD").await;
    assert_eq!(pairs["result"]["XBTUSD"]["wsname"].as_str(), Some("XBT/USD"));
    let (_, linear) = json("https://api.bybit.com/v5/market/instruments-info?category=linear&limit=1000").await;
    assert_eq!(linear["result"]["list"][0]["contractType"].as_str(), Some("LinearPerpetual"));
    let (_, swaps) = json("https://www.okx.com/api/v5/public/instruments?instType=SWAP").await;
    assert_eq!(swaps["data"].as_array().map(Vec::len), Some(3));
    for url in ["https://example.com/x", "https://api.binance.com/api/v3/secrets", "https://api.kraken.com/"] {
        let (status, body) = get(&local(url)).await;
        assert_eq!(status, 404, "{url}");
        assert!(String::from_utf8(body).unwrap().contains("/HOST/PATH"));
    }
    let refused = tokio_tungstenite::connect_async(local("wss://example.com/stream")).await;
    assert!(refused.is_err());
    let address = format!("http://{}/ethereum", handle.addr);
    assert_eq!(request(&address, "POST", b"question").await, (200, b"answer to question".to_vec()));
    let (status, _) = request(&address, "POST", &vec![b' '; 2 * 1024 * 1024]).await;
    assert_eq!(status, 413);
}
