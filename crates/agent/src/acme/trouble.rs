//! Failures of an order: cause and remedy for people, and what follows from them.

use instant_acme::{Error, Problem};
use openmesh_primitives::root_cause;

use super::dns::record_of;

/// Beginning of the words for kinds of problems. Source: RFC 8555, section 6.7.
pub(super) const PREFIX: &str = "urn:ietf:params:acme:error:";

/// Way of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// http-01, at port 80.
    Http,
    /// tls-alpn-01, at port 443.
    Tls,
    /// dns-01, in the DNS: the only one for a pattern.
    Dns,
}

impl Way {
    /// Its name in ACME.
    pub fn word(self) -> &'static str {
        match self {
            Way::Http => "http-01",
            Way::Tls => "tls-alpn-01",
            Way::Dns => "dns-01",
        }
    }

    /// The port of this machine at which an authority asks; none where it asks elsewhere.
    fn port(self) -> Option<u16> {
        match self {
            Way::Http => Some(80),
            Way::Tls => Some(443),
            Way::Dns => None,
        }
    }
}

/// Loss by a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A moment: the authority wants the same again, with another nonce.
    Moment,
    /// Nothing: an open order goes on later.
    Nothing,
    /// The open order.
    Order,
    /// The open order, and the account: the authority does not know it, or has shut it.
    Account,
}

/// A failure of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Cause.
    pub cause: String,
    /// Words that help.
    pub remedy: String,
    /// Its loss.
    pub loss: Loss,
    /// It is about the authority as a whole, which is left alone for a while.
    pub is_of_authority: bool,
}

impl Trouble {
    /// A failure of this machine's own.
    pub fn own(cause: impl Into<String>) -> Trouble {
        let remedy = "`openmesh xnode doors` and `openmesh xnode events` tell more; it is tried again by itself".into();
        Trouble { cause: cause.into(), remedy, loss: Loss::Nothing, is_of_authority: false }
    }

    /// Words of a proof that the authority did not take.
    pub fn of_proof(name: &str, way: Way, problem: &Problem) -> Trouble {
        let remedy = match (kind(problem), way.port()) {
            ("caa", _) => format!("the CAA record of {name} allows other authorities alone: add this one to it"),
            ("connection", Some(port)) => format!(
                "port {port} of this machine is not reached from the authority: let it through the firewall, and let a router lead it here; {name} has to lead to this machine's public address"
            ),
            ("dns", Some(_)) => {
                format!("add an A or AAAA record for {name} that leads to this machine's public address")
            }
            ("tls" | "unauthorized" | "incorrectResponse", Some(port)) => format!(
                "something else answers at port {port} of {name}: let its A and AAAA records lead to this machine alone, without a proxy in front"
            ),
            ("connection" | "dns" | "unauthorized" | "incorrectResponse", None) => format!(
                "the authority finds another record {} of type TXT than this machine: let every server of its zone show what the hook of `machine.certificates.dns` sets",
                record_of(name)
            ),
            _ => return Trouble::of_problem(problem, Loss::Order),
        };
        let cause = match way {
            Way::Http | Way::Tls => format!("the authority does not see that {name} leads here: {}", detail(problem)),
            Way::Dns => format!("the authority does not see the proof for {name} in the DNS: {}", detail(problem)),
        };
        Trouble { cause, remedy, loss: Loss::Order, is_of_authority: false }
    }

    /// A hook for the DNS that does not take what it is told, in words.
    pub fn of_hook(words: &str) -> Trouble {
        Trouble {
            cause: format!("the hook of `machine.certificates.dns` fails for the record: {words}"),
            remedy: "look at what answers at its `url`, and at its secret; it is tried again by itself".into(),
            loss: Loss::Nothing,
            is_of_authority: false,
        }
    }

    /// A record that is not seen in time, in words.
    pub fn unseen(name: &str, words: &str) -> Trouble {
        let record = record_of(name);
        Trouble {
            cause: format!("the record {record} of type TXT is {words}"),
            remedy: "look at what the hook of `machine.certificates.dns` has set; where it takes longer, `wait` is for that, and `resolvers` names servers that show it; it is tried again by itself".into(),
            loss: Loss::Nothing,
            is_of_authority: false,
        }
    }

    /// Words of an error of an exchange; `loss` is what a refusal costs.
    pub fn of(error: &Error, loss: Loss) -> Trouble {
        match error {
            Error::Api(problem) => Trouble::of_problem(problem, loss),
            Error::Json(_) => Trouble {
                cause: format!("the authority gives no answer of ACME: {error}"),
                remedy: "look at the address of `machine.certificates.directory`; it is tried again by itself".into(),
                loss: Loss::Nothing,
                is_of_authority: true,
            },
            Error::Timeout(_) => Trouble {
                cause: "the authority takes long for the order".into(),
                remedy: "it is looked at again by itself".into(),
                loss: Loss::Nothing,
                is_of_authority: false,
            },
            error => Trouble {
                cause: format!("the authority is not reached: {}", root_cause(error)),
                remedy: "this machine needs a way to the authority by https; with a private one, its root in `machine.certificates.root`".into(),
                loss: Loss::Nothing,
                is_of_authority: true,
            },
        }
    }

    fn of_problem(problem: &Problem, loss: Loss) -> Trouble {
        let (remedy, loss, is_of_authority) = match kind(problem) {
            "rateLimited" => {
                ("the authority takes no more orders for now; it is tried again when it allows", loss, true)
            }
            "badNonce" => {
                ("the authority takes none of its own nonces; it is tried again by itself", Loss::Moment, true)
            }
            "serverInternal" => {
                ("the authority has a fault of its own; it is tried again by itself", Loss::Nothing, true)
            }
            "accountDoesNotExist" => ("the account is made anew by itself", Loss::Account, false),
            // A proof that is not taken has words of its own: this is about the account.
            "unauthorized" => {
                ("the authority has shut this machine's account; another one is made by itself", Loss::Account, false)
            }
            "rejectedIdentifier" | "unsupportedIdentifier" => (
                "this authority gives no certificate for such a name: give one with `openmesh xnode doors certificate`, or name it in `machine.certificates.except`",
                Loss::Order,
                false,
            ),
            "userActionRequired" => ("the authority has new terms: read them, and agree on its pages", loss, true),
            "externalAccountRequired" => (
                "this authority needs an account of its pages, which Openmesh cannot name yet; use another one",
                loss,
                true,
            ),
            "invalidContact" | "unsupportedContact" => {
                ("write another address in `machine.certificates.contact`", loss, true)
            }
            _ => ("it is tried again by itself; `machine.certificates` names the authority", loss, false),
        };
        let cause = format!("the authority refuses: {}", detail(problem));
        Trouble { cause, remedy: remedy.into(), loss, is_of_authority }
    }
}

/// Returns true where an authority refuses an order for what stands in it, and neither for its limits nor for the account.
pub fn is_about_order(error: &Error) -> bool {
    let others = ["rateLimited", "badNonce", "accountDoesNotExist", "unauthorized", "userActionRequired"];
    matches!(error, Error::Api(problem) if !others.contains(&kind(problem)))
}

fn kind(problem: &Problem) -> &str {
    problem.r#type.as_deref().and_then(|kind| kind.strip_prefix(PREFIX)).unwrap_or_default()
}

/// Words of the authority, in one line of bounded length: they stand in answers and alerts.
fn detail(problem: &Problem) -> String {
    /// Characters of an authority that are shown: a sentence or two.
    const CHARACTERS_MAX: usize = 300;
    let text = problem.detail.clone().or_else(|| problem.r#type.clone()).unwrap_or_else(|| "it gives no reason".into());
    let plain = text.chars().map(|one| if one.is_control() { ' ' } else { one });
    plain.take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str) -> Problem {
        let text = format!("{{\"type\":\"{PREFIX}{kind}\",\"detail\":\"first\\nsecond\",\"status\":400}}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_cause_comes_with_what_helps() {
        let one = Trouble::of_proof("a.example.org", Way::Http, &problem("connection"));
        assert!(one.remedy.contains("port 80") && one.cause.contains("first second"), "{one:?}");
        assert!(Trouble::of_proof("a.example.org", Way::Tls, &problem("connection")).remedy.contains("port 443"));
        assert!(Trouble::of_proof("a.example.org", Way::Http, &problem("dns")).remedy.contains("A or AAAA"));
        for kind in ["dns", "unauthorized", "connection"] {
            let one = Trouble::of_proof("*.example.org", Way::Dns, &problem(kind));
            assert!(one.remedy.contains("_acme-challenge.example.org"), "{one:?}");
            assert_eq!((one.loss, one.is_of_authority), (Loss::Order, false));
        }
        assert!(Trouble::of_proof("*.example.org", Way::Dns, &problem("caa")).remedy.contains("CAA"));
        let limited = Trouble::of(&Error::Api(problem("rateLimited")), Loss::Nothing);
        assert!(limited.is_of_authority && limited.loss == Loss::Nothing);
        assert_eq!(Trouble::of(&Error::Api(problem("unauthorized")), Loss::Order).loss, Loss::Account);
        assert_eq!(Trouble::of(&Error::Api(problem("malformed")), Loss::Order).loss, Loss::Order);
        assert!(Trouble::of(&Error::Str("x"), Loss::Order).is_of_authority);
    }

    #[test]
    fn an_order_is_refused_for_itself_or_for_something_else() {
        for kind in ["malformed", "alreadyReplaced", "serverInternal", "conflict"] {
            assert!(is_about_order(&Error::Api(problem(kind))), "{kind}");
        }
        for kind in ["rateLimited", "badNonce", "accountDoesNotExist", "unauthorized"] {
            assert!(!is_about_order(&Error::Api(problem(kind))), "{kind}");
        }
        assert!(!is_about_order(&Error::Str("not reached")));
    }
}
