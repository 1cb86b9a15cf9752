//! Questions in SQL over the lake.
//!
//! DataFusion plans and runs; this crate decides what may be asked, over what, and how much it may cost:
//!
//! - **Only reading.** One statement a request, and only queries, `SHOW`, `DESCRIBE` and `EXPLAIN` get past the parser
//!   ([`QueryError::RefusedStatement`]). Behind that, a session has nothing to write with: no table factory, no file
//!   format, no table by path or URL, and an object store registry that knows the lake alone.
//! - **One moment.** A query sees one [`openmesh_lake::Snapshot`] of all tables, files and rows in memory.
//! - **Exact.** Products, quotients, sums and averages of decimals are calculated in 256 bits, where DataFusion's
//!   `Decimal128` would overflow on `price * size`.
//! - **Bounded.** Time, memory, rows, bytes, number of queries and length of the queue have limits with names
//!   ([`Config`], [`Limits`]). Queries run on threads of their own, so that a bad one slows neither the ledger nor the
//!   gateway; dropping a query's future or cancelling its token stops the work, and so does the end of its time, in the
//!   middle of a join or of a slow function too ([`governor`]).

mod among;
mod arithmetic;
mod catalogue;
mod cell;
mod config;
mod decimals;
mod error;
mod export;
#[doc(hidden)]
pub mod fuzz;
mod governor;
mod handle;
mod membership;
mod plan;
mod result;
mod session;
mod shift;
mod standstill;
mod statement;
mod stream;
mod suggest;
mod table;
mod threads;

pub use catalogue::{CatalogueColumn, CatalogueTable};
pub use config::{Config, Limits, Query};
pub use error::{Position, QueryError};
pub use export::{Export, Format};
pub use governor::memory::Memory;
pub use handle::{Handle, Pythia};
pub use result::{ColumnInfo, QueryResult};
pub use stream::{QueryStream, Summary};
