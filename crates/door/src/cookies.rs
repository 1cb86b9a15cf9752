//! Cookies of the door itself, in requests and answers that pass through it.
//!
//! Their names hold one word that no application gets to see, and none can set: a cookie with it is taken out of every request and every answer, whatever
//! the application and its audience. Cookies are told apart as browsers write them (RFC 6265bis, 5.7 and 5.8), by `;`.

use hyper::http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};

/// Word in the names of the door's cookies, in any case.
const RESERVED: &[u8] = b"openmesh-door-";
/// Values of one name that are looked at: a browser sends one, and whoever can set cookies for a parent domain may add another.
const VALUES_MAX: usize = 4;

/// Name of a cookie of the door's. It has the prefix by which browsers refuse it to everybody but this very host, with TLS (RFC 6265bis, 4.1.3.2).
pub fn name(word: &str) -> String {
    format!("__Host-openmesh-door-{word}")
}

/// A field that sets a cookie of the door's for this host; with an empty value it takes it away.
pub fn set(word: &str, value: &str, seconds: u64) -> String {
    let seconds = if value.is_empty() { 0 } else { seconds };
    format!("{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}; Secure", name(word))
}

/// Values of a cookie in a request.
pub fn values<'a>(fields: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = fields.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    let found = pairs.filter_map(move |pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    found.filter_map(|value| std::str::from_utf8(value).ok()).take(VALUES_MAX)
}

/// Takes the door's cookies out of a request.
pub fn strip(fields: &mut HeaderMap) {
    let has = |field: &HeaderValue| field.as_bytes().split(|byte| *byte == b';').any(is_reserved);
    if !fields.get_all(COOKIE).iter().any(has) {
        return;
    }
    let kept: Vec<HeaderValue> = fields.get_all(COOKIE).iter().filter_map(without_reserved).collect();
    fields.remove(COOKIE);
    for field in kept {
        fields.append(COOKIE, field);
    }
}

fn without_reserved(field: &HeaderValue) -> Option<HeaderValue> {
    let pairs = field.as_bytes().split(|byte| *byte == b';').filter(|pair| !is_reserved(pair));
    let pairs: Vec<&[u8]> = pairs.map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()).collect();
    HeaderValue::from_bytes(&pairs.join(&b"; "[..])).ok().filter(|value| !value.is_empty())
}

/// Takes fields out of an answer that would set a cookie of the door's.
pub fn strip_set(fields: &mut HeaderMap) {
    if !fields.get_all(SET_COOKIE).iter().any(|field| is_reserved(field.as_bytes())) {
        return;
    }
    let kept: Vec<HeaderValue> =
        fields.get_all(SET_COOKIE).iter().filter(|field| !is_reserved(field.as_bytes())).cloned().collect();
    fields.remove(SET_COOKIE);
    for field in kept {
        fields.append(SET_COOKIE, field);
    }
}

/// Returns true for a cookie, with or without its value, whose name holds the reserved word. One without `=` has its name for a value in some browsers.
fn is_reserved(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    let name = if name.trim_ascii().is_empty() { pair } else { name };
    name.windows(RESERVED.len()).any(|part| part.eq_ignore_ascii_case(RESERVED))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        fields
    }

    fn texts(fields: &HeaderMap, name: &str) -> Vec<String> {
        fields.get_all(name).iter().map(|value| value.to_str().expect("text").to_string()).collect()
    }

    #[test]
    fn no_spelling_of_the_doors_cookies_reaches_an_application() {
        let pass = name("pass");
        let mut fields = map(
            "cookie",
            &[
                &format!("a=1; {pass}=secret; b=2"),
                "openmesh-door-pass=secret",
                " __host-OPENMESH-Door-visit = secret ;c=3;;",
                "=openmesh-door-pass=secret; __Secure-openmesh-door-pass",
                "d=openmesh-door-pass",
            ],
        );
        strip(&mut fields);
        assert_eq!(texts(&fields, "cookie"), ["a=1; b=2", "c=3", "d=openmesh-door-pass"]);
        let untouched = map("cookie", &["a=1;b=2"]);
        let mut same = untouched.clone();
        strip(&mut same);
        assert_eq!(same, untouched);
    }

    #[test]
    fn no_application_sets_a_cookie_of_the_doors() {
        let mut fields = map("set-cookie", &["a=1; Path=/", "openmesh-door-pass=x; Domain=example.org", "b=2"]);
        strip_set(&mut fields);
        assert_eq!(texts(&fields, "set-cookie"), ["a=1; Path=/", "b=2"]);
    }

    #[test]
    fn a_cookie_is_set_for_this_host_alone() {
        let set_for = "__Host-openmesh-door-pass=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure";
        assert_eq!(set("pass", "x", 60), set_for);
        let taken_away = "__Host-openmesh-door-pass=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0; Secure";
        assert_eq!(set("pass", "", 60), taken_away);
    }

    proptest! {
        #[test]
        fn what_is_not_the_doors_stays(pairs in prop::collection::vec(("[a-z]{1,8}", "[a-z0-9=]{0,8}", any::<bool>()), 1..8)) {
            let text = |(name, value, own): &(String, String, bool)| {
                let word = if *own { "openmesh-door-" } else { "" };
                format!("{word}{name}={value}")
            };
            let all: Vec<String> = pairs.iter().map(text).collect();
            let mut fields = map("cookie", &[&all.join("; ")]);
            strip(&mut fields);
            let others: Vec<String> = pairs.iter().filter(|(_, _, own)| !own).map(text).collect();
            prop_assert_eq!(texts(&fields, "cookie").join("; "), others.join("; "));
        }
    }
}
