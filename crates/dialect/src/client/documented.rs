//! Messages as the venues' documents show them, of every feed that is spoken here and of those that are passed over on
//! purpose: each leads to the right events, and nothing else to none. Recordings hold few kinds of message; this is
//! for the others.

use openmesh_market::ConnectionId;
use openmesh_market::event::{Event, EventKind, Exchange};
use openmesh_primitives::Timestamp;

use super::session;
use crate::session::{Input, Output};

/// The events of messages on a connection: `symbol time event`, one a line.
fn read(exchange: Exchange, url: &str, messages: &[&str]) -> Vec<String> {
    let (mut session, mut output) = (session(exchange), Output::default());
    let connection = ConnectionId(0);
    session.handle(Input::Opened { connection, url }, Timestamp(0), &mut output);
    for message in messages {
        session.handle(Input::Frame { connection, data: message.as_bytes() }, Timestamp(0), &mut output);
    }
    output.events.iter().map(line).collect()
}

fn line(event: &Event) -> String {
    let symbol = event.symbol.as_ref().map_or("-".to_owned(), ToString::to_string);
    let time = event.ts_exchange.map_or("-".to_owned(), |t| t.to_string());
    let kind = match &event.kind {
        // What it says is for people.
        EventKind::Incident(incident) => format!("{:?}", incident.kind),
        kind => serde_json::to_string(kind).unwrap().replace("\"", "'"),
    };
    format!("{symbol} {time} {kind}")
}

/// Each message alone, on a connection of its own.
fn each(exchange: Exchange, url: &str, cases: &[(&str, &[&str])]) {
    for (message, expected) in cases {
        assert_eq!(read(exchange, url, &[message]), *expected, "{message}");
    }
}

const SPOT: &str = "wss://stream.binance.com:9443/stream?streams=x";
const FUTURES: &str = "wss://fstream.binance.com/market/stream?streams=x";

#[test]
fn binance_spot_bare() {
    let day = r#""p":"0.0015","P":"250.00","w":"0.0018","x":"0.0009","c":"0.0025","Q":"10","b":"0.0024","B":"10","a":"0.0026","A":"100","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18","O":0,"C":86400000,"F":0,"L":18150,"n":18151}"#;
    let ticker = format!(r#"{{"e":"24hrTicker","E":1672515782136,"s":"BNBBTC",{day}"#);
    let told = "BNB.BTC 1672515782.136 {'type':'ticker','bid':'0.0024','bid_size':'10','ask':'0.0026','ask_size':'100','last':'0.0025'}";
    let last = |symbol: &str| {
        format!(
            "{symbol} 1672515782.136 {{'type':'ticker','bid':null,'bid_size':null,'ask':null,'ask_size':null,'last':'0.0025'}}"
        )
    };
    let mini = r#"{"e":"24hrMiniTicker","E":1672515782136,"s":"BNBBTC","c":"0.0025","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18"}"#;
    let hour = r#"{"e":"1hTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00","o":"0.0010","h":"0.0025","l":"0.0010","c":"0.0025","w":"0.0018","v":"10000","q":"18","O":0,"C":1675216573749,"F":0,"L":18150,"n":18151}"#;
    let all = format!("[{ticker},{}]", mini.replace("BNBBTC", "ETHBTC"));
    let wrapped = format!(r#"{{"stream":"!ticker@arr","data":[{ticker}]}}"#);
    each(
        Exchange::Binance,
        SPOT,
        &[
            (&ticker, &[told]),
            (mini, &[&last("BNB.BTC")]),
            (hour, &[&last("BNB.BTC")]),
            (&all, &[told, &last("ETH.BTC")]),
            (&wrapped, &[told]),
            (
                r#"{"e":"avgPrice","E":1693907033000,"s":"BTCUSDT","i":"5m","w":"25776.86000000","T":1693907032213}"#,
                &[],
            ),
            (r#"{"e":"referencePrice","s":"BAZUSD","r":"1.00","t":1770313263917}"#, &[]),
            (
                r#"{"stream":"axvnbtc@blockTrade","data":{"e":"blockTrade","E":1772506983582,"s":"AXVNBTC","t":582,"p":"0.052","q":"5838","T":1772506983321,"m":true}}"#,
                &[],
            ),
            (r#"{"code":2,"msg":"Invalid request: request ID must be an unsigned integer"}"#, &["- - Refused"]),
            (r#"{"result":["btcusdt@aggTrade"],"id":3}"#, &[]),
            (r#"{"result":true,"id":2}"#, &[]),
            (r#"{"e":"serverShutdown","E":1770123456789}"#, &["- - Disconnected"]),
            (
                r#"[{"e":"24hrMiniTicker","E":1,"s":"../x","c":"1"},{"e":"24hrMiniTicker","E":1672515782136,"s":"BNBBTC","c":"0.0025"}]"#,
                &[&last("BNB.BTC"), "- - Garbage"],
            ),
        ],
    );
}

#[test]
fn binance_partial_books() {
    let spot = r#"{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}"#;
    let book =
        "{'type':'book_snapshot','bids':[['0.0024','10']],'asks':[['0.0026','100']],'sequence':160,'checksum':null}";
    let of = |symbol: &str, time: &str, sequence: &str| format!("{symbol} {time} {}", book.replace("160", sequence));
    let combined = format!(r#"{{"stream":"bnbbtc@depth20@100ms","data":{spot}}}"#);
    assert_eq!(read(Exchange::Binance, SPOT, &[&combined]), [of("BNB.BTC", "-", "160")]);
    let raw = "wss://stream.binance.com:9443/ws/bnbbtc@depth20";
    assert_eq!(read(Exchange::Binance, raw, &[spot]), [of("BNB.BTC", "-", "160")]);
    assert_eq!(read(Exchange::Binance, SPOT, &[spot]), ["- - Garbage"], "nothing says whose it is");
    let futures = r#"{"e":"depthUpdate","E":1571889248277,"T":1571889248276,"s":"BTCUSDT","U":390497796,"u":390497878,"pu":390497794,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}"#;
    let expected = of("BTC.USDT-PERP", "1571889248.277", "390497878");
    let combined = format!(r#"{{"stream":"btcusdt@depth5@100ms","data":{futures}}}"#);
    assert_eq!(read(Exchange::BinanceFutures, FUTURES, &[&combined]), std::slice::from_ref(&expected));
    let raw = "wss://fstream.binance.com/ws/btcusdt@depth10";
    assert_eq!(read(Exchange::BinanceFutures, raw, &[futures]), [expected]);
    // Where changes come too they make the book, and wait for the snapshot.
    let changes = combined.replace("depth5@100ms", "depth@100ms");
    assert_eq!(read(Exchange::BinanceFutures, FUTURES, &[&changes, &combined]), Vec::<String>::new());
}

#[test]
fn binance_futures_and_coin_futures() {
    let mark = r#"{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15000000","ap":"11794.15","i":"11784.62659091","P":"11784.25641265","r":"0.00038167","T":1562306400000}"#;
    let said: [&str; 3] = [
        "BTC.USDT-PERP 1562305380 {'type':'mark_price','price':'11794.15000000'}",
        "BTC.USDT-PERP 1562305380 {'type':'index_price','price':'11784.62659091'}",
        "BTC.USDT-PERP 1562305380 {'type':'funding','rate':'0.00038167','next_funding':'1562306400','mark_price':'11794.15000000','predicted_rate':null}",
    ];
    let all = format!(r#"{{"stream":"!markPrice@arr@1s","data":[{mark}]}}"#);
    let bar = r#""k":{"t":1607443020000,"T":1607443079999,"i":"1m","f":116467658886,"L":116468012423,"o":"18787.00","c":"18804.04","h":"18804.04","l":"18786.54","v":"197.664","n":543,"x":false,"q":"1","V":"1","Q":"1","B":"0"}}"#;
    let kline =
        |kind: &str| format!(r#"{{"e":"continuous_kline","E":1607443058651,"ps":"BTCUSDT","ct":"{kind}",{bar}"#);
    let candle = "BTC.USDT-PERP 1607443058.651 {'type':'candle','start':'1607443020','stop':'1607443079.999','interval':'1m','open':'18787.00','high':'18804.04','low':'18786.54','close':'18804.04','volume':'197.664','trades':543,'closed':false}";
    let forced = r#"{"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910","ap":"9910","X":"FILLED","l":"0.014","z":"0.014","T":1568014460893}}"#;
    each(
        Exchange::BinanceFutures,
        FUTURES,
        &[
            (mark, &said),
            (&all, &said),
            (&kline("PERPETUAL"), &[candle]),
            (&kline("CURRENT_QUARTER"), &[]),
            (
                &format!(r#"{{"stream":"!forceOrder@arr","data":{forced}}}"#),
                &[
                    "BTC.USDT-PERP 1568014460.893 {'type':'liquidation','side':'sell','price':'9910','size':'0.014','id':null}",
                ],
            ),
            (
                r#"{"stream":"!bookTicker","data":{"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,"s":"BNBUSDT","b":"25.35190000","B":"31.21","a":"25.36520000","A":"40.66"}}"#,
                &[
                    "BNB.USDT-PERP 1568014460.893 {'type':'ticker','bid':'25.35190000','bid_size':'31.21','ask':'25.36520000','ask_size':'40.66','last':null}",
                ],
            ),
            (
                r#"{"e":"contractInfo","E":1669647330375,"s":"IOTAUSDT","ps":"IOTAUSDT","ct":"PERPETUAL","dt":4133404800000,"ot":1569398400000,"cs":"TRADING"}"#,
                &[],
            ),
            (
                r#"{"stream":"!assetIndex@arr","data":[{"e":"assetIndexUpdate","E":1686749230000,"s":"ADAUSD","i":"0.27462452","b":"0.10000000","a":"0.10000000","B":"0.24716207","A":"0.30208698","q":"0.05000000","g":"0.05000000","Q":"0.26089330","G":"0.28835575"}]}"#,
                &[],
            ),
            (
                r#"{"e":"compositeIndex","E":1602310596000,"s":"DEFIUSDT","p":"554.41604065","C":"baseAsset","c":[]}"#,
                &[],
            ),
            // COIN-M.
            (
                r#"{"e":"aggTrade","E":1591261134288,"a":424951,"s":"BTCUSD_200626","p":"9643.5","q":"2","f":606073,"l":606073,"T":1591261134199,"m":false}"#,
                &[
                    "BTC.USD-200626 1591261134.199 {'type':'trade','side':'buy','price':'9643.5','size':'2','id':'424951'}",
                ],
            ),
            (
                r#"{"e":"markPriceUpdate","E":1596095725000,"s":"BTCUSD_201225","p":"10934.62615417","P":"10962.17178236","i":"10933.62615417","r":"","T":0}"#,
                &[
                    "BTC.USD-201225 1596095725 {'type':'mark_price','price':'10934.62615417'}",
                    "BTC.USD-201225 1596095725 {'type':'index_price','price':'10933.62615417'}",
                ],
            ),
            (
                r#"{"e":"indexPriceUpdate","E":1591261236000,"i":"BTCUSD","p":"9636.57860000"}"#,
                &["BTC.USD-PERP 1591261236 {'type':'index_price','price':'9636.57860000'}"],
            ),
            (
                r#"{"e":"indexPrice_kline","E":1591267070033,"ps":"BTCUSD","k":{"t":1591267020000,"T":1591267079999,"s":"0","i":"1m"}}"#,
                &[],
            ),
            (
                r#"{"stream":"btcusd_200626@depth20","data":{"e":"depthUpdate","E":1591269996801,"T":1591269996646,"s":"BTCUSD_200626","ps":"BTCUSD","U":17276694,"u":17276701,"pu":17276678,"b":[["9523.0","5"]],"a":[["9524.6","2"]]}}"#,
                &[
                    "BTC.USD-200626 1591269996.801 {'type':'book_snapshot','bids':[['9523.0','5']],'asks':[['9524.6','2']],'sequence':17276701,'checksum':null}",
                ],
            ),
        ],
    );
}

#[test]
fn okx_channels() {
    let level = r#""asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]]"#;
    let of = |channel: &str, more: &str| {
        format!(r#"{{"arg":{{"channel":"{channel}","instId":"BCH-USDT-SWAP"}},"data":[{{{level}{more}}}]}}"#)
    };
    let five = of("books5", r#","instId":"BCH-USDT-SWAP","ts":"1597026383085","seqId":123456"#);
    let best = of("bbo-tbt", r#","ts":"1670324386802","seqId":363996337,"checksum":0"#);
    let full = |action: &str, more: &str| {
        of("books", &format!(r#","ts":"1597026383085","checksum":0{more}"#))
            .replace(r#""data""#, &format!(r#""action":"{action}","data""#))
    };
    let book = "'bids':[['8476.97','256']],'asks':[['8476.98','415']],'sequence':123456,'checksum':null}";
    let snapshot = format!("BCH.USDT-PERP 1597026383.085 {{'type':'book_snapshot',{book}");
    each(
        Exchange::Okx,
        "wss://ws.okx.com:8443/ws/v5/public",
        &[
            (&five, &[&snapshot]),
            (
                &best,
                &[
                    "BCH.USDT-PERP 1670324386.802 {'type':'ticker','bid':'8476.97','bid_size':'256','ask':'8476.98','ask_size':'415','last':null}",
                ],
            ),
            (
                r#"{"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy","source":"0","ts":"1630048897897"}]}"#,
                &[
                    "BTC.USDT 1630048897.897 {'type':'trade','side':'buy','price':'42219.9','size':'0.12060306','id':'130639474'}",
                ],
            ),
            (
                r#"{"arg":{"channel":"funding-rate","instId":"BTC-USD-SWAP"},"data":[{"formulaType":"noRate","fundingRate":"0.0001875391284828","fundingTime":"1700726400000","impactValue":"","instId":"BTC-USD-SWAP","instType":"SWAP","interestRate":"","method":"current_period","maxFundingRate":"0.00375","minFundingRate":"-0.00375","nextFundingRate":"","nextFundingTime":"1700755200000","premium":"0.0001233824646391","settFundingRate":"0.0001699799259033","settState":"settled","ts":"1700724675402"}]}"#,
                &[
                    "BTC.USD-PERP 1700724675.402 {'type':'funding','rate':'0.0001875391284828','next_funding':'1700726400','mark_price':null,'predicted_rate':null}",
                ],
            ),
            (
                r#"{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","bkPx":"0.007831","ccy":"","posSide":"short","side":"buy","sz":"13","ts":"1692266434010"}],"instFamily":"IOST-USDT","instId":"IOST-USDT-SWAP","instType":"SWAP","uly":"IOST-USDT"}]}"#,
                &[
                    "IOST.USDT-PERP 1692266434.01 {'type':'liquidation','side':'buy','price':'0.007831','size':'13','id':null}",
                ],
            ),
            (
                r#"{"arg":{"channel":"open-interest","instId":"LTC-USD-SWAP"},"data":[{"instId":"LTC-USD-SWAP","instType":"SWAP","oi":"5000","oiCcy":"555.55","oiUsd":"50000","ts":"1597026383085"}]}"#,
                &["LTC.USD-PERP 1597026383.085 {'type':'open_interest','open_interest':'5000'}"],
            ),
            (
                r#"{"arg":{"channel":"mark-price-candle1D","instId":"BTC-USD-190628"},"data":[["1597026383085","3.721","3.743","3.677","3.708","0"]]}"#,
                &[],
            ),
            (
                r#"{"arg":{"channel":"index-candle30m","instId":"BTC-USD"},"data":[["1597026383085","3811.31","3811.31","3811.31","3811.31","0"]]}"#,
                &[],
            ),
            (
                r#"{"arg":{"channel":"price-limit","instId":"LTC-USD-190628"},"data":[{"instId":"LTC-USD-190628","buyLmt":"200","sellLmt":"300","ts":"1597026383085","enabled":true}]}"#,
                &[],
            ),
            (
                r#"{"arg":{"channel":"adl-warning","instType":"FUTURES","instFamily":"BTC-USDT"},"data":[{"maxBal":"","adlRecBal":"8000.0","bal":"280784384.97","instType":"FUTURES","ccy":"USDT","instFamily":"BTC-USDT","state":"normal","ts":"1700210763001"}]}"#,
                &[],
            ),
            (
                r#"{"arg":{"channel":"status"},"data":[{"begin":"1672823400000","end":"1672825980000","href":"","preOpenBegin":"","scheDesc":"","serviceType":"0","state":"completed","system":"unified","maintType":"1","env":"1","title":"Trading account system upgrade","ts":"1672826038470"}]}"#,
                &[],
            ),
            (
                r#"{"arg":{"channel":"instruments","instType":"SPOT"},"data":[{"alias":"","baseCcy":"BTC","instId":"BTC-USDT","instType":"SPOT","quoteCcy":"USDT","state":"live"}]}"#,
                &[],
            ),
            (r#"{"arg":{"channel":"no-such-channel","instId":"BTC-USDT"},"data":[]}"#, &["- - Garbage"]),
            (r#"{"event":"channel-conn-count","channel":"orders","connCount":"2","connId":"abcd1234"}"#, &[]),
            (r#"{"event":"error","code":"60012","msg":"Invalid request","connId":"a4d3ae55"}"#, &["- - Refused"]),
        ],
    );
    // The deepest book that is subscribed to is the book: from its snapshot on, the five best levels say nothing new.
    let url = "wss://ws.okx.com:8443/ws/v5/public";
    let messages = [
        &five,
        &full("snapshot", r#","seqId":123456,"prevSeqId":-1"#),
        &five,
        &full("update", r#","seqId":123457,"prevSeqId":123456"#),
    ];
    let delta = snapshot.replace("book_snapshot", "book_delta").replace("123456", "123457");
    assert_eq!(read(Exchange::Okx, url, &messages.map(String::as_str)), [snapshot.clone(), snapshot, delta]);
}

#[test]
fn bybit_topics() {
    let best = |kind: &str, data: &str| {
        format!(
            r#"{{"topic":"orderbook.1.BTCUSDT","type":"{kind}","ts":1682092584425,"data":{{"s":"BTCUSDT",{data},"u":1188472,"seq":11155892580}},"cts":1}}"#
        )
    };
    let told = |bid: &str, ask: &str| {
        format!(
            "BTC.USDT-PERP 1682092584.425 {{'type':'ticker','bid':'{bid}','bid_size':'0.777','ask':'{ask}','ask_size':'0.058','last':null}}"
        )
    };
    let linear = "wss://stream.bybit.com/v5/public/linear";
    let whole = best("snapshot", r#""b":[["27994.60","0.777"]],"a":[["27994.80","0.058"]]"#);
    let moved =
        best("delta", r#""b":[["27994.60","0"],["27991.70","0.777"]],"a":[["27994.40","0.058"],["27994.80","0"]]"#);
    assert_eq!(
        read(Exchange::Bybit, linear, &[&moved, &whole, &moved]),
        [told("27994.60", "27994.80"), told("27991.70", "27994.40")]
    );
    let candle = "{'type':'candle','start':'1672324800','stop':'1672325099.999','interval':'5m','open':'16649.5','high':'16677','low':'16608','close':'16677','volume':'2.081','trades':null,'closed':false}";
    each(
        Exchange::Bybit,
        linear,
        &[
            (
                r#"{"topic":"kline.5.BTCUSDT","data":[{"start":1672324800000,"end":1672325099999,"interval":"5","open":"16649.5","close":"16677","high":"16677","low":"16608","volume":"2.081","turnover":"34666.4005","confirm":false,"timestamp":1672324988882}],"ts":1672324988882,"type":"snapshot"}"#,
                &[&format!("BTC.USDT-PERP 1672324988.882 {candle}")],
            ),
            (
                r#"{"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,"s":"ROSEUSDT","S":"Sell","v":"20000","p":"0.04499"}]}"#,
                &[
                    "ROSE.USDT-PERP 1739502302.929 {'type':'liquidation','side':'buy','price':'0.04499','size':'20000','id':null}",
                ],
            ),
            (
                r#"{"topic":"publicTrade.BTCUSD","type":"snapshot","ts":1680673823566,"data":[{"T":1680673823564,"s":"BTCUSD","S":"Buy","v":"5823","p":"28560.50","L":"PlusTick","i":"0cbf2330","BT":false,"RPI":false,"seq":1783284617}]}"#,
                &[
                    "BTC.USD-PERP 1680673823.564 {'type':'trade','side':'buy','price':'28560.50','size':'5823','id':'0cbf2330'}",
                ],
            ),
            (
                r#"{"topic":"publicTrade.BTCUSDU23","type":"snapshot","ts":1,"data":[{"T":1,"s":"BTCUSDU23","S":"Sell","v":"1","p":"2","i":"x","BT":false}]}"#,
                &["BTC.USD-230929 0.001 {'type':'trade','side':'sell','price':'2','size':'1','id':'x'}"],
            ),
            (
                r#"{"topic":"orderbook.rpi.BTCUSDT","ts":1752473483755,"type":"snapshot","data":{"s":"BTCUSDT","b":[["121857.50","0.0","0.004"]],"a":[],"u":3,"seq":1},"cts":1}"#,
                &[],
            ),
            (
                r#"{"topic":"priceLimit.BTCUSDT","data":{"symbol":"BTCUSDT","buyLmt":"114450.00","sellLmt":"103550.00"},"ts":1750059683782}"#,
                &[],
            ),
            (
                r#"{"topic":"insurance.USDT","type":"delta","ts":1747722930000,"data":[{"coin":"USDT","symbols":"GRIFFAINUSDT","balance":"1"}]}"#,
                &[],
            ),
            (
                r#"{"topic":"adlAlert.USDT","type":"snapshot","ts":1757736794000,"data":[{"c":"USDT","s":"FWOGUSDT","b":1,"mb":1,"i_pr":"-0.3"}]}"#,
                &[],
            ),
            (r#"{"topic":"no_such_topic.BTCUSDT","type":"snapshot","ts":1,"data":{}}"#, &["- - Garbage"]),
            (r#"{"success":true,"ret_msg":"pong","conn_id":"0970e817","op":"ping"}"#, &[]),
            (r#"{"args":["1678239474"],"op":"pong"}"#, &[]),
            (
                r#"{"success":false,"ret_msg":"error:handler not found,topic:x","conn_id":"1","op":"subscribe"}"#,
                &["- - Refused"],
            ),
        ],
    );
    let spot = r#"{"topic":"tickers.BTCUSDT","ts":1673853746003,"type":"snapshot","cs":2588407389,"data":{"symbol":"BTCUSDT","lastPrice":"21109.77","highPrice24h":"21426.99","lowPrice24h":"20575","prevPrice24h":"20704.93","volume24h":"6780.866843","turnover24h":"141946527.22907118","price24hPcnt":"0.0196","usdIndexPrice":"21120.2400136"}}"#;
    each(
        Exchange::Bybit,
        "wss://stream.bybit.com/v5/public/spot",
        &[(
            spot,
            &[
                "BTC.USDT 1673853746.003 {'type':'ticker','bid':null,'bid_size':null,'ask':null,'ask_size':null,'last':'21109.77'}",
            ],
        )],
    );
}

#[test]
fn kraken_channels() {
    let v2 = "wss://ws.kraken.com/v2";
    each(
        Exchange::Kraken,
        v2,
        &[
            (
                r#"{"channel":"instrument","type":"snapshot","data":{"assets":[{"id":"USD","status":"enabled","precision":4,"precision_display":2,"borrowable":true}],"pairs":[{"symbol":"EUR/USD","base":"EUR","quote":"USD","status":"online","qty_precision":8,"qty_increment":0.00000001,"price_precision":5,"price_increment":0.00001}]}}"#,
                &[],
            ),
            (
                r#"{"channel":"level3","type":"snapshot","data":[{"symbol":"MATIC/USD","checksum":281817320,"bids":[],"asks":[]}]}"#,
                &[],
            ),
            (
                r#"{"channel":"status","data":[{"api_version":"v2","connection_id":13834774380200032777,"system":"online","version":"2.0.0"}],"type":"update"}"#,
                &[],
            ),
            (
                r#"{"channel":"status","data":[{"api_version":"v2","connection_id":1,"system":"cancel_only","version":"2.0.0"}],"type":"update"}"#,
                &["- - Refused"],
            ),
            (r#"{"channel":"heartbeat"}"#, &[]),
            (
                r#"{"method":"pong","req_id":101,"time_in":"2023-09-24T14:10:23.799685Z","time_out":"2023-09-24T14:10:23.799703Z"}"#,
                &[],
            ),
            (r#"{"error":"Malformed request","success":false}"#, &["- - Refused"]),
            (
                r#"{"error":"Currency pair not supported X/Y","method":"subscribe","success":false,"symbol":"X/Y"}"#,
                &["X.Y - Refused"],
            ),
            (r#"{"channel":"no-such-channel","type":"update","data":[]}"#, &["- - Garbage"]),
            (
                r#"{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}"#,
                &[
                    "MATIC.USD 1695628177.708706 {'type':'trade','side':'sell','price':'0.5117','size':'40.0','id':'4665906'}",
                ],
            ),
            (
                r#"{"channel":"ohlc","type":"update","timestamp":"2023-10-04T16:26:30.524394914Z","data":[{"symbol":"MATIC/USD","open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"trades":12,"volume":30927.68066226,"vwap":0.5626,"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":5,"timestamp":"2023-10-04T16:30:00.000000Z"}]}"#,
                &[
                    "MATIC.USD 1696436790.524394914 {'type':'candle','start':'1696436700','stop':'1696437000','interval':'5m','open':'0.5624','high':'0.5628','low':'0.5622','close':'0.5627','volume':'30927.68066226','trades':12,'closed':null}",
                ],
            ),
        ],
    );
    each(
        Exchange::Kraken,
        "wss://ws.kraken.com",
        &[
            (
                r#"{"connectionID":8628615390848610000,"event":"systemStatus","status":"maintenance","version":"1.0.0"}"#,
                &["- - Refused"],
            ),
            (
                r#"[42,["1542057314.748456","1542057360.435743","3586.70000","3586.70000","3586.60000","3586.60000","3586.68894","0.03373000",2],"ohlc-5","XBT/USD"]"#,
                &[
                    "BTC.USD 1542057314.748456 {'type':'candle','start':'1542057060.435743','stop':'1542057360.435743','interval':'5m','open':'3586.70000','high':'3586.70000','low':'3586.60000','close':'3586.60000','volume':'0.03373000','trades':2,'closed':null}",
                ],
            ),
        ],
    );
}

#[test]
fn coinbase_channels() {
    let of = |channel: &str, events: &str| {
        format!(
            r#"{{"channel":"{channel}","client_id":"","timestamp":"2023-02-09T20:30:37.167359596Z","sequence_num":0,"events":{events}}}"#
        )
    };
    let ticker = r#"[{"type":"snapshot","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"21932.98","volume_24_h":"16038.28770938","low_24_h":"21835.29","high_24_h":"23011.18","low_52_w":"15460","high_52_w":"48240","price_percent_chg_24_h":"-4.15775596190603","best_bid":"21931.98","best_bid_quantity":"8000.21","best_ask":"21933.98","best_ask_quantity":"8038.07770938"}]}]"#;
    let told = "BTC.USD 1675974637.167359596 {'type':'ticker','bid':'21931.98','bid_size':'8000.21','ask':'21933.98','ask_size':'8038.07770938','last':'21932.98'}";
    // Without the best levels, as the documents showed it before they were added, and as `ticker_batch` still comes.
    let short = r#"[{"type":"snapshot","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"21932.98"}]}]"#;
    let status = r#"[{"type":"snapshot","products":[{"product_type":"SPOT","id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","base_increment":"0.00000001","quote_increment":"0.01","display_name":"BTC/USD","status":"online","status_message":"","min_market_funds":"1"}]}]"#;
    each(
        Exchange::Coinbase,
        "wss://advanced-trade-ws.coinbase.com",
        &[
            (&of("ticker", ticker), &[told]),
            (
                &of("ticker_batch", short),
                &[
                    "BTC.USD 1675974637.167359596 {'type':'ticker','bid':null,'bid_size':null,'ask':null,'ask_size':null,'last':'21932.98'}",
                ],
            ),
            (&of("status", status), &[]),
            (&of("subscriptions", r#"[{"subscriptions":{"level2":["BTC-USD"]}}]"#), &[]),
            (
                &of(
                    "heartbeats",
                    r#"[{"current_time":"2023-06-23 20:31:56.121961769 +0000 UTC m=+91717.525857105","heartbeat_counter":"3049"}]"#,
                ),
                &[],
            ),
            (
                &of(
                    "candles",
                    r#"[{"type":"snapshot","candles":[{"start":"1688998200","high":"1867.72","low":"1865.63","open":"1867.38","close":"1866.81","volume":"0.20269406","product_id":"ETH-USD"}]}]"#,
                ),
                &[
                    "ETH.USD 1675974637.167359596 {'type':'candle','start':'1688998200','stop':null,'interval':'5m','open':'1867.38','high':'1867.72','low':'1865.63','close':'1866.81','volume':'0.20269406','trades':null,'closed':null}",
                ],
            ),
            (
                &of(
                    "market_trades",
                    r#"[{"type":"snapshot","trades":[{"trade_id":"000000000","product_id":"ETH-USD","price":"1260.01","size":"0.3","side":"BUY","time":"2019-08-14T20:42:27.265Z"}]}]"#,
                ),
                &[
                    "ETH.USD 1565815347.265 {'type':'trade','side':'buy','price':'1260.01','size':'0.3','id':'000000000','snapshot':true}",
                ],
            ),
            (r#"{"type":"error","message":"authentication failure"}"#, &["- - Refused"]),
        ],
    );
}
