//! Every bound of the door, with the reason for its number.

/// Requests that wait for one route: a page with a hundred parts for ten people; more would only time out.
pub const HELD_REQUESTS_MAX: usize = 1_000;
/// Longest wait of a held request: below the minute after which browsers and balancers give up.
pub const HOLD_MS_MAX: u64 = 30_000;
/// Time for the connections of an instance to end, where the document names none.
pub const DRAIN_MS_DEFAULT: u64 = 30_000;
/// Longest drain that a document may ask for: a day, so that a long download is possible and a mistyped number is not.
pub const DRAIN_MS_MAX: u64 = 86_400_000;
/// Size of a configuration: ten thousand hosts at 400 bytes.
pub const DOCUMENT_BYTES_MAX: usize = 4 << 20;
/// Listeners of a door, HTTP and TCP together: a port for each of a few hundred applications.
pub const LISTENERS_MAX: usize = 512;
/// Hosts of a door, so that a document stays below its size.
pub const HOSTS_MAX: usize = 10_000;
/// Routes of a door.
pub const ROUTES_MAX: usize = 2_000;
/// Instances of a route: new and old ones of a large application.
pub const INSTANCES_MAX: usize = 256;
/// Certificates of a door: one for each host.
pub const CERTIFICATES_MAX: usize = HOSTS_MAX;
/// Length of names of routes and instances: an application, a port, a revision and a number.
pub const NAME_BYTES_MAX: usize = 96;
/// Length of the text on a maintenance page.
pub const PAGE_TEXT_BYTES_MAX: usize = 4_096;
/// Wallets in one access rule.
pub const WALLETS_MAX: usize = 1_000;
