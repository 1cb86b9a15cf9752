import { autocompletion, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { PostgreSQL, sql } from "@codemirror/lang-sql";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, Prec } from "@codemirror/state";
import { EditorView, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";
import type { TableInfo } from "../../api/types";

const colors = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--accent)", fontWeight: "600" },
  { tag: tags.string, color: "var(--warn)" },
  { tag: tags.number, color: "var(--focus)" },
  { tag: tags.comment, color: "var(--quiet)", fontStyle: "italic" },
]);

const look = EditorView.theme({
  "&": { backgroundColor: "var(--surface)", color: "var(--text)", fontSize: "14px" },
  ".cm-content": {
    fontFamily: "var(--mono)",
    caretColor: "var(--text)",
    minHeight: "112px",
    padding: "10px 0",
  },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": {
    backgroundColor: "var(--raised)",
    color: "var(--quiet)",
    border: "none",
    minHeight: "112px",
  },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-2px" },
  ".cm-scroller": { maxHeight: "320px", overflow: "auto" },
  ".cm-tooltip": {
    backgroundColor: "var(--surface)",
    color: "var(--text)",
    border: "1px solid var(--line)",
    borderRadius: "6px",
  },
  ".cm-tooltip-autocomplete ul li[aria-selected]": {
    backgroundColor: "var(--accent)",
    color: "var(--accent-text)",
  },
});

function language(tables: TableInfo[]) {
  const schema = Object.fromEntries(
    tables.map((table) => [
      table.name,
      table.columns.map((column) => ({ label: column.name, detail: column.type.toLowerCase() })),
    ]),
  );
  return sql({ dialect: PostgreSQL, schema });
}

/** Text comes in through `value` only where it differs from what is typed, so the cursor stays where it is. */
export function Editor({
  value,
  tables,
  onChange,
  onRun,
}: {
  value: string;
  tables: TableInfo[];
  onChange: (value: string) => void;
  onRun: () => void;
}) {
  const element = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const dialect = useRef(new Compartment());
  const handlers = useRef({ onChange, onRun });
  const initial = useRef({ value, tables });
  useEffect(() => {
    handlers.current = { onChange, onRun };
  }, [onChange, onRun]);
  useEffect(() => {
    if (!element.current) return;
    const run = () => {
      handlers.current.onRun();
      return true;
    };
    const editor = new EditorView({
      parent: element.current,
      state: EditorState.create({
        doc: initial.current.value,
        extensions: [
          Prec.highest(keymap.of([{ key: "Mod-Enter", run }])),
          lineNumbers(),
          history(),
          closeBrackets(),
          autocompletion(),
          dialect.current.of(language(initial.current.tables)),
          syntaxHighlighting(colors),
          look,
          EditorView.lineWrapping,
          placeholder("select * from trades limit 10"),
          EditorView.contentAttributes.of({ "aria-label": "SQL query", "aria-multiline": "true" }),
          // Tab leaves the editor: a keyboard must not be caught in it.
          keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) handlers.current.onChange(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = editor;
    return () => {
      view.current = null;
      editor.destroy();
    };
  }, []);
  useEffect(() => {
    view.current?.dispatch({ effects: dialect.current.reconfigure(language(tables)) });
  }, [tables]);
  useEffect(() => {
    const editor = view.current;
    if (!editor || editor.state.doc.toString() === value) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: value } });
  }, [value]);
  return <div ref={element} className="editor" />;
}
