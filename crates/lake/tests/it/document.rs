//! `docs/spec/tables.md` says what the code does. `OPENMESH_UPDATE=1` rewrites its part about tables.

use std::fmt::Write;

use openmesh_lake::Table;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec/tables.md");
const BEGIN: &str = "<!-- generated from crates/lake/src/table: OPENMESH_UPDATE=1 cargo test -p openmesh-lake -->\n";

fn tables() -> String {
    let mut out = String::new();
    for table in Table::ALL {
        let spec = table.spec();
        writeln!(out, "\n### `{}`\n\n{}\n", spec.name, spec.about).unwrap();
        writeln!(out, "Time column `{}`; ordered by `{}`.\n", spec.time_column, spec.sort_columns.join("`, `"))
            .unwrap();
        writeln!(out, "| column | type | null | |\n| --- | --- | --- | --- |").unwrap();
        for column in &spec.columns {
            let null = if column.nullable { "yes" } else { "" };
            writeln!(out, "| `{}` | {} | {null} | {} |", column.name, column.kind.name(), column.about).unwrap();
        }
        writeln!(out, "\n```sql\n{}\n```", spec.example).unwrap();
    }
    out
}

#[test]
fn the_document_is_in_step() {
    let document = std::fs::read_to_string(FILE).unwrap();
    let (head, found) = document.split_once(BEGIN).expect("the marker of the generated part");
    if std::env::var_os("OPENMESH_UPDATE").is_some() {
        std::fs::write(FILE, format!("{head}{BEGIN}{}", tables())).unwrap();
        return;
    }
    assert_eq!(found, tables(), "OPENMESH_UPDATE=1 rewrites docs/spec/tables.md");
}
