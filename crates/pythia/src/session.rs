//! Sessions: what a query can reach.
//!
//! Everything that does not change from query to query (functions, rules, settings) is made once; a query gets a copy
//! with its own memory limit and with the tables of one snapshot.

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::object_store::ObjectStore;
use datafusion::prelude::SessionConfig;
use openmesh_lake::{Lake, Snapshot};
use url::Url;

use crate::arithmetic::CheckedArithmetic;
use crate::config::Config;
use crate::decimals::{WideArithmetic, WideSums};
use crate::governor::functions::{self, BoundedSyntax};
use crate::governor::guard::Guard;
use crate::governor::memory::{Memory, QueryPool, Total};
use crate::governor::planning;
use crate::shift;
use crate::statement::NESTING_MAX;
use crate::table::{LakeSchema, STORE_URL};

/// Catalogue and schema in which tables stand.
const CATALOG: &str = "openmesh";
const SCHEMA: &str = "public";

/// Makes sessions.
pub(crate) struct Sessions {
    base: SessionState,
    runtime: RuntimeEnv,
    memory_bytes_max: usize,
    total: Arc<Total>,
}

impl Sessions {
    pub(crate) fn new(lake: &Lake, config: &Config) -> Result<Sessions> {
        let registry = LakeOnly { store: lake.object_store() };
        let runtime = RuntimeEnvBuilder::new()
            .with_object_store_registry(Arc::new(registry))
            // Nothing is spilled: what does not fit the memory limit is refused.
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
            .build()?;
        let plain =
            SessionStateBuilder::new().with_scalar_functions(SessionStateDefaults::default_scalar_functions()).build();
        let functions = functions::bounded(&plain);
        let mut planners: Vec<Arc<dyn ExprPlanner>> =
            vec![Arc::new(BoundedSyntax::new(&functions)), Arc::new(WideArithmetic)];
        planners.extend(SessionStateDefaults::default_expr_planners());
        let mut base = planning::interruptible(SessionStateBuilder::new())
            .with_config(settings(config)?)
            .with_runtime_env(Arc::new(runtime.clone()))
            .with_scalar_functions(functions)
            .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
            .with_window_functions(shift::functions(SessionStateDefaults::default_window_functions()))
            .with_table_function_list(SessionStateDefaults::default_table_functions())
            .with_expr_planners(planners)
            .build();
        base.register_function_rewrite(Arc::new(WideSums))?;
        base.register_function_rewrite(Arc::new(CheckedArithmetic))?;
        Ok(Sessions { base, runtime, memory_bytes_max: config.memory_bytes_max, total: Arc::default() })
    }

    /// Returns the memory that all sessions hold.
    pub(crate) fn memory(&self) -> Memory {
        self.total.now()
    }

    /// A session over one snapshot, with a memory limit of its own.
    pub(crate) fn over(&self, snapshot: &Snapshot, guard: &Arc<Guard>) -> Result<SessionState> {
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, Arc::new(LakeSchema::new(snapshot)))?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_string(), Arc::new(catalog));
        let pool = Arc::new(QueryPool::new(self.memory_bytes_max, Arc::clone(guard), Arc::clone(&self.total)));
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.runtime).with_memory_pool(pool).build_arc()?;
        let mut state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_runtime_env(runtime)
            .with_catalog_list(Arc::new(catalogs))
            .build();
        // What `now()` is for the whole query.
        state.mark_start_execution();
        Ok(state)
    }
}

fn settings(config: &Config) -> Result<SessionConfig> {
    let mut settings = SessionConfig::new()
        .with_target_partitions(config.threads)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let options = settings.options_mut();
    options.set("datafusion.sql_parser.dialect", "PostgreSQL")?;
    // `1.1` is exact, as prices are.
    options.sql_parser.parse_float_as_decimal = true;
    options.set("datafusion.sql_parser.recursion_limit", &NESTING_MAX.to_string())?;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    Ok(settings)
}

/// Knows the lake's objects and no others: no query reaches a file by path or a server by URL.
#[derive(Debug)]
struct LakeOnly {
    store: Arc<dyn ObjectStore>,
}

impl ObjectStoreRegistry for LakeOnly {
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.as_str() == STORE_URL {
            Ok(Arc::clone(&self.store))
        } else {
            Err(DataFusionError::Plan(format!("{} can not be reached by a query", url.scheme())))
        }
    }
}
