//! Addresses of venues, and the ones that are dialled in their place.

/// Returns the address to dial for one of a venue's: itself, or with a gateway `http://G` in place of the venue `ws://G/HOST/PATH?Q` for
/// `wss://HOST/PATH?Q` and `http://G/HOST/PATH?Q` for `https://HOST/PATH?Q` (HOST with its port where it has one that is
/// not the scheme's). `None` where either is no address.
pub fn rewrite(url: &str, gateway: Option<&str>) -> Option<String> {
    let parsed = url::Url::parse(url).ok()?;
    let Some(gateway) = gateway else { return Some(url.to_owned()) };
    let base = url::Url::parse(gateway).ok()?;
    let scheme = match (parsed.scheme(), base.scheme()) {
        ("wss" | "ws", "http") => "ws",
        ("wss" | "ws", "https") => "wss",
        ("https" | "http", "http") => "http",
        ("https" | "http", "https") => "https",
        _ => return None,
    };
    let authority = |u: &url::Url| {
        let host = u.host_str()?;
        Some(u.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    };
    let (to, host) = (authority(&base)?, authority(&parsed)?);
    // The rest is taken as text: venues' stream names hold characters that a parser would escape.
    let rest = url.split_once("://")?.1;
    let path = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
    let slash = if path.starts_with('?') { "/" } else { "" };
    Some(format!("{scheme}://{to}{}{host}{slash}{path}", if base.path().ends_with('/') { base.path() } else { "/" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_through_the_gateway() {
        let gateway = Some("http://127.0.0.1:80801");
        assert_eq!(rewrite("https://a.b/", gateway), None);
        let gateway = Some("http://127.0.0.1:8080");
        let to = |url| rewrite(url, gateway).unwrap();
        assert_eq!(
            to("wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms/ethusdt@aggTrade"),
            "ws://127.0.0.1:8080/stream.binance.com:9443/stream?streams=btcusdt@depth@100ms/ethusdt@aggTrade"
        );
        assert_eq!(to("wss://advanced-trade-ws.coinbase.com"), "ws://127.0.0.1:8080/advanced-trade-ws.coinbase.com");
        assert_eq!(to("wss://ws.kraken.com:443/v2"), "ws://127.0.0.1:8080/ws.kraken.com/v2");
        assert_eq!(
            to("https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"),
            "http://127.0.0.1:8080/api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"
        );
        assert_eq!(rewrite("wss://ws.kraken.com", None).unwrap(), "wss://ws.kraken.com");
        assert_eq!(rewrite("ftp://a/b", gateway), None);
    }
}
