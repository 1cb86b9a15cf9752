//! The declarative document of a machine and its applications: read with all problems at once, printed in one way, described by
//! a published schema.
//!
//! Three passes: the text becomes a tree ([`crate::text`]), the tree becomes types, and [`check`] looks at what no type can say, as two
//! applications that claim one port. A text with problems gives no document, not a part of one.

mod application;
mod check;
mod check_machine;
mod checker;
mod machine;
pub(crate) mod names;
mod prices;
mod publisher;
mod root;
mod schedule;
mod schema;
mod units;

pub use application::{
    Application, Audience, Backup, Capability, Content, File, GpuVendor, Gpus, Health, HttpCheck, Job, Keep, Limits,
    Occasion, Origin, Port, Protocol, Publish, Recipe, Restart, Root, Route, StopSignal, Switch, SwitchKind, TcpCheck,
    TemplateUse, Volume, Wish,
};
pub use check::{
    APPLICATIONS_MAX, FILE_BYTES_MAX, GPUS_MAX, INSTANCES_MAX, RATE_BITS_MIN, VOLUME_BYTES_MIN, application_problems,
};
pub use machine::{
    Alerts, Certificates, DnsHook, LETS_ENCRYPT, Machine, PortRange, Registry, Reserve, Store, StoreKind, Webhook,
};
pub use names::{
    AppPath, Domain, HostAddress, ImageReference, Mode, Name, NameError, PackageName, PackageVersion, Subnet, User,
    VariableName,
};
pub use prices::{Currency, Price, PriceError, Prices};
pub use publisher::{CATALOGUES_MAX, CatalogueSource};
pub use root::Document;
pub use schedule::{Schedule, ScheduleError};
pub use schema::schema;
pub use units::{Period, Processors, QuantityError, Rate, Size};
