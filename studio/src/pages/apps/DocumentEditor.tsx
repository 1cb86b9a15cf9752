import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { EditorState, RangeSet, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  EditorView,
  GutterMarker,
  gutterLineClass,
  keymap,
  lineNumbers,
  type DecorationSet,
} from "@codemirror/view";
import { useEffect, useRef } from "react";
import type { LineProblem } from "../../lib/problems";

const look = EditorView.theme({
  "&": { backgroundColor: "var(--surface)", color: "var(--text)", fontSize: "14px" },
  ".cm-content": {
    fontFamily: "var(--mono)",
    caretColor: "var(--text)",
    minHeight: "200px",
    padding: "10px 0",
  },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": {
    // As high as the text, also where that is shorter than its place.
    alignSelf: "stretch",
    height: "auto",
    backgroundColor: "var(--raised)",
    color: "var(--quiet)",
    border: "none",
  },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-2px" },
  ".cm-scroller": { maxHeight: "560px", overflow: "auto" },
  ".problem-line": { backgroundColor: "var(--bad-ground)" },
  ".problem-number": { color: "var(--bad)", fontWeight: "600" },
});

const setLines = StateEffect.define<readonly number[]>();

class ProblemNumber extends GutterMarker {
  override elementClass = "problem-number";
}
const number = new ProblemNumber();
const line = Decoration.line({ class: "problem-line" });

/** Places of lines that are in a text, each once and in order. */
const placesOf = (state: EditorState, lines: readonly number[]): number[] =>
  [...new Set(lines)]
    .filter((each) => each >= 1 && each <= state.doc.lines)
    .sort((a, b) => a - b)
    .map((each) => state.doc.line(each).from);

/** Lines with problems: their ground and their number say so; the words stand below the editor. */
const problemLines = StateField.define<{ lines: DecorationSet; numbers: RangeSet<GutterMarker> }>({
  create: () => ({ lines: Decoration.none, numbers: RangeSet.empty }),
  update(before, transaction) {
    const set = transaction.effects.find((effect) => effect.is(setLines));
    if (!set?.is(setLines))
      return transaction.docChanged
        ? { lines: before.lines.map(transaction.changes), numbers: before.numbers.map(transaction.changes) }
        : before;
    const places = placesOf(transaction.state, set.value);
    return {
      lines: Decoration.set(places.map((place) => line.range(place))),
      numbers: RangeSet.of(places.map((place) => number.range(place))),
    };
  },
  provide: (field) => [
    EditorView.decorations.from(field, ({ lines }) => lines),
    gutterLineClass.from(field, ({ numbers }) => numbers),
  ],
});

/** An editor of a document: lines with numbers, those with problems marked. Tab leaves it. */
export function DocumentEditor({
  label,
  value,
  problems,
  onChange,
}: {
  label: string;
  value: string;
  problems: readonly LineProblem[];
  onChange: (value: string) => void;
}) {
  const element = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const handler = useRef(onChange);
  const initial = useRef({ value, label });
  useEffect(() => {
    handler.current = onChange;
  }, [onChange]);
  useEffect(() => {
    if (!element.current) return;
    const editor = new EditorView({
      parent: element.current,
      state: EditorState.create({
        doc: initial.current.value,
        extensions: [
          lineNumbers(),
          history(),
          problemLines,
          look,
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": initial.current.label, "aria-multiline": "true" }),
          keymap.of([...defaultKeymap, ...historyKeymap]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) handler.current(update.state.doc.toString());
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
    const editor = view.current;
    if (!editor || editor.state.doc.toString() === value) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: value } });
  }, [value]);
  const lines = problems.flatMap((problem) => (problem.line === null ? [] : [problem.line])).join(",");
  useEffect(() => {
    const numbers = lines === "" ? [] : lines.split(",").map(Number);
    view.current?.dispatch({ effects: setLines.of(numbers) });
  }, [lines]);
  return <div ref={element} className="editor" />;
}
