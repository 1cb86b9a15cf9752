//! A place in a bucket.

use std::fmt;

/// A place in a bucket, and the key to it.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// Address of the server: `https://s3.eu-central-1.amazonaws.com`, `http://10.0.0.7:9000`.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// Beginning of all keys, without a slash at the end; empty for the whole bucket.
    pub prefix: String,
    /// The region that signatures name; servers of one's own take `us-east-1` or what their configuration says.
    pub region: String,
    /// Id of the access key.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
    /// Token of a session, for keys that end by themselves.
    pub session_token: Option<String>,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{} with key {}", self.endpoint, self.bucket, self.prefix, self.access_key)
    }
}
