#!/usr/bin/env bash
# Other people's readers of Parquet and Avro, for the tests that hold our files against them. From PyPI, once.
set -euo pipefail
venv=$HOME/.cache/openmesh/readers-venv
packages=(pyarrow==26.0.1 duckdb==2.0.0 polars==2.1.0 fastavro==1.13.1 cramjam==2.14.0)

if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import pyarrow, duckdb, polars, fastavro, cramjam' 2>/dev/null; then exit 0; fi
rm -rf "$venv"
if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "${packages[@]}"; } >/dev/null 2>&1; then
  rm -rf "$venv"
  echo "SKIPPED: files are not read with pyarrow, duckdb, polars and fastavro (no python3 with venv, or PyPI is out of reach)"
fi
