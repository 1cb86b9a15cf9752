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
/// Names for which certificates are ordered at one time, and tokens of each: an agent orders one after another.
pub const CHALLENGES_MAX: usize = 100;
/// Length of a token and of its answer: those of authorities have 43 and 87 characters.
pub const CHALLENGE_BYTES_MAX: usize = 512;
/// Length of names of routes and instances: an application, a port, a revision and a number.
pub const NAME_BYTES_MAX: usize = 96;
/// Length of the text on a maintenance page.
pub const PAGE_TEXT_BYTES_MAX: usize = 4_096;
/// Wallets in one access rule.
pub const WALLETS_MAX: usize = 1_000;
/// Life of a pass: a working day; the wallet is looked up in the document at each request anyway.
pub const PASS_MS: u64 = 12 * 3_600_000;
/// Life of a code: a redirect of a browser takes less, on a slow line too.
pub const CODE_MS: u64 = 60_000;
/// Time ahead at which a pass is taken: one clock makes and reads them, which is slewed at most.
pub const PASS_AHEAD_MS_MAX: u64 = 5_000;
/// Life of the number of a visit, seconds: a person finds the wallet and signs.
pub const VISIT_SECONDS: u64 = 900;
/// Codes that are remembered as used: within the minute in which they could be used again. Beyond that nobody new comes in, and none is forgotten.
pub const CODES_USED_MAX: usize = 10_000;
/// Longest target of a request to which a visitor is led back; from a longer one they begin at the application's root.
pub const RETURN_BYTES_MAX: usize = 2_048;
/// Time between two looks for passes of open requests that are over by a clock.
pub const PASSES_LOOK_MS: u64 = 1_000;

/// Time between two looks of a door that leaves at the document of its successor: a right that was taken away is gone within a second there too.
pub const LEAVING_LOOK_MS: u64 = 200;
/// Such looks in a row that find nothing to read, after which nobody may come in any more: within that second.
pub const UNREAD_LOOKS_MAX: u32 = 3;

/// Open connections from outside; with [`REQUESTS_MAX`] below [`FILES_MIN`].
pub const CONNECTIONS_MAX: usize = 8_000;
/// Connections of one address of IPv4 or /64 of IPv6, so that one client cannot take all of them; a large office behind one address fits.
pub const CONNECTIONS_OF_ORIGIN_MAX: usize = 2_000;
/// Requests that are open at instances, tunnels among them: each has up to a descriptor and a window of memory, as many as there are connections.
pub const REQUESTS_MAX: usize = CONNECTIONS_MAX;
/// Open requests of one address of IPv4 or /64 of IPv6: one for each of its connections.
pub const REQUESTS_OF_ORIGIN_MAX: usize = CONNECTIONS_OF_ORIGIN_MAX;
/// Open files that a door has to have: one for each connection and each request, and 4,000 for listeners and connections that rest.
pub const FILES_MIN: u64 = 20_000;
/// Size of a request's head, as of most servers' sum of all fields; larger ones are cookies out of control.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Length of a request's target: the longest that browsers send is far below it.
pub const TARGET_BYTES_MAX: usize = 16 << 10;
/// Fields of a head; hyper keeps them in one table of this size.
pub const FIELDS_MAX: usize = 128;
/// Length of a chunk's size with its extensions; nobody uses extensions.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Size of the trailers of a request.
pub const TRAILER_BYTES_MAX: usize = 16 << 10;
/// Time for a whole head, and longest idle time between two requests on one connection.
pub const HEAD_MS_MAX: u64 = 30_000;
/// Time for a TLS greeting and for the first byte of HTTP.
pub const GREETING_MS_MAX: u64 = 10_000;
/// Longest silence in the middle of a request's body.
pub const UPLOAD_SILENCE_MS_MAX: u64 = 60_000;
/// Longest time from the end of a request to the head of its answer: above the minute after which applications end slow work themselves.
pub const ANSWER_MS_MAX: u64 = 120_000;
/// Time for a connection to an instance on this machine.
pub const CONNECT_MS_MAX: u64 = 2_000;
/// Tries to reach an instance before a request is answered with 502: a process that is just being started anew by its shim answers by the third.
pub const CONNECT_TRIES_MAX: u32 = 4;
/// Pause between two tries.
pub const CONNECT_PAUSE_MS: u64 = 100;
/// Longest rest of a connection to an instance: below 5 s, after which Node.js closes it.
pub const POOL_REST_MS_MAX: u64 = 4_000;
/// Longest rest where the request may not be sent twice: an instance that closes sooner is rare.
pub const POOL_REST_WRITING_MS_MAX: u64 = 1_000;
/// Resting connections of an instance.
pub const POOL_RESTING_MAX: usize = 64;
/// Streams on one HTTP/2 connection of a client; the advice of RFC 9113, section 6.5.2, is at least 100.
pub const STREAMS_MAX: u32 = 128;
/// Streams on one HTTP/2 connection to an instance: as many as each is advised to take. Where it takes fewer than the door believes, requests
/// wait for streams that may last for hours.
pub const STREAMS_OF_INSTANCE_MAX: u32 = 100;
/// Window of a stream: what a slow reader makes the door hold.
pub const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// Window of a connection: all its streams, so that a slow one holds no other.
pub const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * STREAMS_MAX;
/// Streams that a client has reset and the door has not yet seen (rapid reset, CVE-2023-44487); more end the connection.
pub const RESETS_PENDING_MAX: usize = 20;
/// Streams that the door had to reset for faults of a client, before it ends the connection.
pub const RESETS_OF_FAULTS_MAX: usize = 256;
/// Silence after which an HTTP/2 connection is asked for a sign of life, and time for that sign.
pub const PING_MS: u64 = 30_000;
/// Time after which an HTTP/2 connection without a stream is ended.
pub const IDLE_MS_MAX: u64 = 120_000;
/// Time in which a client may answer the close of a WebSocket, and for the second side to end after the first.
pub const WEBSOCKET_CLOSE_MS: u64 = 2_000;
/// Bytes that are carried at once in a tunnel.
pub const CARRY_BYTES: usize = 16 << 10;
/// Pause after a failed `accept`, which fails for want of descriptors or memory.
pub const ACCEPT_PAUSE_MS: u64 = 50;
/// Connections that the kernel keeps before they are accepted.
pub const BACKLOG: i32 = 4_096;
/// Time for the last words of connections that were cut.
pub const LEAVE_MS: u64 = 1_000;
/// Longest time until a follower hears of changed counts.
pub const FOLLOW_MS: u64 = 1_000;
/// Shortest time between two reports to a follower, so that a switch under load costs it little.
pub const FOLLOW_PAUSE_MS: u64 = 20;
/// Time for a successor to serve after it was handed the listeners; as for an agent.
pub const TAKE_OVER_MS_MAX: u64 = 30_000;
/// Silence after which a door that leaves closes a connection of HTTP/1: a request that was on its way has come by then.
pub const LEAVE_SILENCE_MS: u64 = 3_000;
/// Time in which the rest of a refused request is read and thrown away, so that the refusal is not overtaken by a reset.
pub const LINGER_MS: u64 = 1_000;
