//! A door for the fuzzer (`fuzz/targets`) to what people ask; no part of this crate's interface.

use std::sync::OnceLock;

use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;

use crate::config::Config;
use crate::statement;

/// Outcome of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Refused, by the error's stable word.
    Refused(&'static str),
    /// Allowed, but a session without tables has no plan for it.
    NoPlan,
    /// Allowed, and planned; whether DataFusion's own check finds that the plan only reads.
    Planned {
        /// No table is made, dropped or written, and no setting changed.
        reads_only: bool,
    },
}

/// Judges a text, and plans what is allowed in a session that could also write.
pub fn judge(sql: &str) -> Outcome {
    static STATE: OnceLock<SessionState> = OnceLock::new();
    let state = STATE.get_or_init(|| {
        let config = SessionConfig::new().with_information_schema(true);
        SessionStateBuilder::new().with_config(config).with_default_features().build()
    });
    let statement = match statement::parse(sql, &Config::default()) {
        Ok(statement) => statement,
        Err(error) => return Outcome::Refused(error.code()),
    };
    match futures::executor::block_on(state.statement_to_plan(statement)) {
        Err(_) => Outcome::NoPlan,
        Ok(plan) => {
            let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
            Outcome::Planned { reads_only: reading.verify_plan(&plan).is_ok() }
        }
    }
}
