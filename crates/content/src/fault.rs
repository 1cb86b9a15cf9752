//! Failures of operations on rows and files, told apart by what can be done about them.

use std::io;

use crate::limits::ContentError;

/// Failure of an operation on the stock.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The file system refused.
    Io(io::Error),
    /// The database's file is not what it must be.
    Damaged(String),
    /// The operation itself was refused; the database is as it was.
    Refused(ContentError),
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Fault {
                match redb::Error::from(error) {
                    redb::Error::Io(error) => match error.kind() {
                        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Fault::Damaged(error.to_string()),
                        _ => Fault::Io(error),
                    },
                    error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed | redb::Error::LockPoisoned(_)) => {
                        Fault::Io(io::Error::other(error.to_string()))
                    }
                    error => Fault::Damaged(error.to_string()),
                }
            }
        }
    )*};
}

from_redb!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::SetDurabilityError
);

impl From<ContentError> for Fault {
    fn from(error: ContentError) -> Fault {
        Fault::Refused(error)
    }
}
