"""Reads variants of a window file with DuckDB, pyarrow and polars, with filters on every column.

    python readers.py FOLDER ...

Each FOLDER holds `original.parquet` and variants of it. Prints one line for each variant and reader that answers otherwise than
of the original: NAME READER WHAT. An error of a reader is no answer: it misleads nobody. The last line is READ and the number of variants.
"""
import glob
import os
import sys

import duckdb
import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq

OPERATORS = ["=", ">=", "<"]


def values(table, column):
    """A few values of a column, the smallest and the largest among them."""
    present = table[column].drop_null().unique()
    if not len(present):
        return []
    order = present.take(pc.sort_indices(present))
    return [order[i] for i in sorted({0, len(order) // 2, len(order) - 1})]


def plain(value):
    """A pyarrow value for Python; times as whole nanoseconds."""
    return value.value if str(value.type).startswith("timestamp") else value.as_py()


def with_pyarrow(path, table):
    compare = {"=": pc.equal, ">=": pc.greater_equal, "<": pc.less}
    yield "rows", pq.read_table(path)
    for column in table.column_names:
        yield f"{column} is null", pq.read_table(path, filters=pc.field(column).is_null()).num_rows
        for value in values(table, column):
            for operator in OPERATORS:
                found = pq.read_table(path, filters=compare[operator](pc.field(column), pc.scalar(value)))
                yield f"{column} {operator} {plain(value)}", found.num_rows


def with_duckdb(path, table):
    file = f"read_parquet('{path}')"
    yield "rows", duckdb.sql(f"select columns(*)::varchar from {file}").fetchall()
    yield "count", duckdb.sql(f"select count(*) from {file}").fetchall()
    kinds = KINDS or {row[0]: row[1] for row in duckdb.sql(f"describe select * from {file}").fetchall()}
    KINDS.update(kinds)
    for column in table.column_names:
        name = f'"{column}"'
        yield f"{column} is null", duckdb.sql(f"select count(*) from {file} where {name} is null").fetchall()
        yield f"{column} extremes", duckdb.sql(
            f"select min({name})::varchar, max({name})::varchar from {file}"
        ).fetchall()
        if (column, "texts") not in TEXTS:
            texts = duckdb.sql(
                f"select t::varchar from (select distinct {name} as t from {file} where {name} is not null order by t)"
            ).fetchall()
            TEXTS[(column, "texts")] = [texts[i][0] for i in sorted({0, len(texts) // 2, len(texts) - 1})] if texts else []
        for text in TEXTS[(column, "texts")]:
            literal = "'" + text.replace("'", "''") + f"'::{kinds[column]}"
            for operator in OPERATORS:
                yield f"{column} {operator} {text}", duckdb.sql(
                    f"select count(*) from {file} where {name} {operator} {literal}"
                ).fetchall()


KINDS, TEXTS = {}, {}


def with_polars(path, table):
    scan = lambda: pl.scan_parquet(path)
    yield "rows", scan().collect().rows()
    count = lambda condition: scan().filter(condition).select(pl.len()).collect().item()
    for column, kind in SCHEMA.items():
        yield f"{column} is null", count(pl.col(column).is_null())
        for value in values(table, column):
            value = plain(value)
            literal = pl.lit(value, dtype=kind)
            yield f"{column} = {value}", count(pl.col(column) == literal)
            yield f"{column} >= {value}", count(pl.col(column) >= literal)
            yield f"{column} < {value}", count(pl.col(column) < literal)


SCHEMA = {}


def answers(reader, path, table):
    """Every answer up to the first error."""
    found = {}
    try:
        for what, answer in reader(path, table):
            found[what] = answer
    except Exception as error:  # a reader's own refusal
        found["error"] = f"{type(error).__name__}: {error}"
    return found


def look(folder):
    """Reads a folder; returns the number of variants."""
    original = os.path.join(folder, "original.parquet")
    for memory in (KINDS, TEXTS, SCHEMA):
        memory.clear()
    table = pq.read_table(original)
    SCHEMA.update(pl.scan_parquet(original).collect_schema())
    readers = {"pyarrow": with_pyarrow, "duckdb": with_duckdb, "polars": with_polars}
    expected = {name: answers(reader, original, table) for name, reader in readers.items()}
    for name, found in expected.items():
        assert "error" not in found, f"{name} cannot read the original: {found['error']}"
        assert len(found) > len(table.column_names), name
    variants = [path for path in sorted(glob.glob(os.path.join(folder, "*.parquet"))) if path != original]
    for path in variants:
        for name, reader in readers.items():
            found = answers(reader, path, table)
            found.pop("error", None)
            for what, answer in found.items():
                if answer != expected[name].get(what):
                    print(path, name, what)
                    break
    return len(variants)


print("READ", sum(look(folder) for folder in sys.argv[1:]))
