//! A table of the lake as DataFusion sees it: files that may hold what is asked, and rows in memory.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, TimestampNanosecondArray, UInt64Array};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use openmesh_lake::{DataFile, Snapshot, Table};

/// The address under which sessions know the lake's objects.
pub(crate) const STORE_URL: &str = "lake://lake/";

/// One table in one snapshot.
struct LakeTable {
    table: Table,
    /// Also keeps the files from being deleted while they are read.
    snapshot: Snapshot,
}

impl fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LakeTable({})", self.table)
    }
}

impl LakeTable {
    const fn new(table: Table, snapshot: Snapshot) -> LakeTable {
        LakeTable { table, snapshot }
    }

    /// The files that can hold rows for which the filters are true, judged by their span of time. Row groups and pages
    /// are judged later, by their own statistics.
    fn files(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<DataFile>> {
        let files = self.snapshot.table(self.table).files();
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(files.to_vec()) };
        let schema = self.table.schema();
        let physical = state.create_physical_expr(filter, &DFSchema::try_from(schema.clone())?)?;
        let keep = match PruningPredicateBuilder::new().with_file_schema(schema).try_build(physical) {
            Ok(predicate) => predicate.prune(&Spans { table: self.table, files })?,
            // A filter that says nothing about single columns prunes nothing.
            Err(_) => return Ok(files.to_vec()),
        };
        Ok(files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| file.clone()).collect())
    }

    fn scan_files(
        &self,
        state: &dyn Session,
        files: &[DataFile],
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.table.schema();
        let url = ObjectStoreUrl::parse(STORE_URL)?;
        let runtime = state.runtime_env();
        let reader = CachedParquetFileReaderFactory::new(
            runtime.object_store(&url)?,
            runtime.cache_manager.get_file_metadata_cache(),
        );
        let source = ParquetSource::new(schema.clone())
            .with_table_parquet_options(state.default_table_options().parquet)
            .with_parquet_file_reader_factory(Arc::new(reader));
        let mut statistics = Statistics::new_unknown(&schema);
        statistics.num_rows = Precision::Exact(files.iter().map(|f| f.rows() as usize).sum());
        let groups = state.config().target_partitions().min(files.len()).max(1);
        let mut grouped = vec![Vec::new(); groups];
        for (at, file) in files.iter().enumerate() {
            grouped[at % groups].push(self.partitioned(file, &schema)?);
        }
        let scan = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(grouped.into_iter().map(FileGroup::new).collect())
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }

    fn partitioned(&self, file: &DataFile, schema: &SchemaRef) -> Result<PartitionedFile> {
        let (from, to) = file.time_span();
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = Precision::Exact(file.rows() as usize);
        let time = &mut statistics.column_statistics[schema.index_of(self.table.spec().time_column)?];
        let value = |nanos| Precision::Exact(ScalarValue::TimestampNanosecond(Some(nanos), Some("UTC".into())));
        time.min_value = value(from.0);
        time.max_value = value(to.0);
        time.null_count = Precision::Exact(0);
        Ok(PartitionedFile::new(file.path(), file.bytes()).with_statistics(Arc::new(statistics)))
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.files(state, filters)?;
        // Filters are applied above the scan, so rows that come out of it are not yet those that a limit counts.
        let limit = limit.filter(|_| filters.is_empty());
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !files.is_empty() {
            parts.push(self.scan_files(state, &files, projection, limit)?);
        }
        let tail = self.snapshot.table(self.table).tail();
        if !tail.is_empty() {
            let memory = MemorySourceConfig::try_new(&[tail.to_vec()], self.table.schema(), projection.cloned())?;
            parts.push(DataSourceExec::from_data_source(memory.with_limit(limit).with_show_sizes(false)));
        }
        match parts.len() {
            0 => {
                let schema = self.table.schema();
                let schema = projection.map_or(Ok(schema.clone()), |p| schema.project(p).map(Arc::new))?;
                Ok(Arc::new(EmptyExec::new(schema)))
            }
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

/// Every table of one snapshot, in the order of the catalogue.
#[derive(Debug)]
pub(crate) struct LakeSchema {
    tables: Vec<(&'static str, Arc<LakeTable>)>,
}

impl LakeSchema {
    pub(crate) fn new(snapshot: &Snapshot) -> LakeSchema {
        let table = |table: Table| (table.name(), Arc::new(LakeTable::new(table, snapshot.clone())));
        LakeSchema { tables: Table::ALL.into_iter().map(table).collect() }
    }
}

#[async_trait]
impl SchemaProvider for LakeSchema {
    fn table_names(&self) -> Vec<String> {
        self.tables.iter().map(|(name, _)| (*name).to_string()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let found = self.tables.iter().find(|(known, _)| *known == name);
        Ok(found.map(|(_, table)| Arc::clone(table) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.iter().any(|(known, _)| *known == name)
    }
}

/// Statistics of each file, from the manifest.
struct Spans<'a> {
    table: Table,
    files: &'a [DataFile],
}

impl Spans<'_> {
    fn times(&self, column: &Column, pick: impl Fn(&DataFile) -> i64) -> Option<ArrayRef> {
        (column.name == self.table.spec().time_column).then(|| {
            let times = TimestampNanosecondArray::from_iter_values(self.files.iter().map(pick));
            Arc::new(times.with_timezone("UTC")) as ArrayRef
        })
    }
}

impl PruningStatistics for Spans<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.times(column, |file| file.time_span().0.0)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.times(column, |file| file.time_span().1.0)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        (column.name == self.table.spec().time_column)
            .then(|| Arc::new(UInt64Array::from_value(0, self.files.len())) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.files.iter().map(DataFile::rows))))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
