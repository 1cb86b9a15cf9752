/** A move of an application to another machine, begun: an address, and a key of an operator there. */
import { useQueryClient } from "@tanstack/react-query";
import { useId, useRef, useState } from "react";
import { RequestError } from "../../api/client";
import { useMay } from "../../api/xnodeAccess";
import { beginMove, fresh, useMoves } from "../../api/xnodeQueries";
import { Card, FieldNotes } from "../../design";
import { faultOfAddress, fieldOf, type MoveField } from "../../lib/moves";
import { Refused } from "./parts";

const HELP: Record<MoveField, string> = {
  to: "Such as `https://xnode.example.org`: the address at which that machine's own pages are.",
  key: "There: `openmesh xnode access keys make move --role operator --lasts 1d`. It goes to this machine, which seals it until the move has ended; this page keeps it nowhere.",
  root: "Only where that machine has a certificate of its own authority: `openmesh xnode doors authority` prints it there.",
};

/** The form for it; nothing where the application moves already, or has moved. */
export function MoveAway({ name }: { name: string }) {
  const { data } = useMoves();
  const isMoving = data?.moves.some(({ application }) => application === name) ?? true;
  return isMoving ? null : <Begin key={name} name={name} />;
}

/** What was written beside the key, which stands in its input alone: in no state, and in no cache of requests. */
function Begin({ name }: { name: string }) {
  const id = useId();
  const client = useQueryClient();
  const keyInput = useRef<HTMLInputElement>(null);
  const [to, setTo] = useState("");
  const [root, setRoot] = useState("");
  const [hasKey, setHasKey] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const may = useMay("operator");
  const at = error instanceof RequestError ? fieldOf(error) : null;
  const fault = to === "" ? null : faultOfAddress(to);
  const why =
    may ??
    (to === ""
      ? "It needs the address of the other machine"
      : fault !== null
        ? fault.replaceAll("`", "")
        : hasKey
          ? undefined
          : "It needs a key of the other machine");
  const wrong = (field: MoveField) => (at === field ? error?.message : field === "to" ? fault : null);
  const notes = (field: MoveField) => ({
    id: `${id}-${field}`,
    autoComplete: "off",
    spellCheck: false,
    "aria-invalid": Boolean(wrong(field)),
    "aria-describedby": `${id}-${field}-help ${id}-${field}-wrong`,
  });
  const forgetKey = () => {
    if (keyInput.current) keyInput.current.value = "";
    setHasKey(false);
  };
  const begin = async () => {
    const key = keyInput.current?.value.trim() ?? "";
    setBusy(true);
    setError(null);
    try {
      await beginMove({ name, wish: { to: to.trim(), key, root: root.trim() || null } });
      forgetKey();
    } catch (refused) {
      const failed = refused instanceof Error ? refused : new Error(String(refused));
      setError(failed);
      // One that opens nothing is of no use; where something else is wrong it is sent once more.
      if (failed instanceof RequestError && fieldOf(failed) === "key") forgetKey();
    }
    setBusy(false);
    await fresh(client);
  };
  return (
    <Card title="Move to another machine">
      <form
        className="stack narrow"
        aria-label={`Move ${name} to another machine`}
        onSubmit={(event) => {
          event.preventDefault();
          if (why === undefined && !isBusy) void begin();
        }}
      >
        <p className="quiet flat">
          It goes with its data while clients write, and stops here once the other machine has tried a copy.
          For an hour one click brings it back. Its domains and its address do not move.
        </p>
        <div className="field">
          <label htmlFor={`${id}-to`}>Address of the other machine</label>
          <input
            {...notes("to")}
            className="input mono"
            inputMode="url"
            value={to}
            onChange={(event) => {
              setError(null);
              setTo(event.target.value);
            }}
          />
          <FieldNotes id={`${id}-to`} help={HELP.to} wrong={wrong("to")} />
        </div>
        <div className="field">
          <label htmlFor={`${id}-key`}>Key of an operator there</label>
          <input
            {...notes("key")}
            ref={keyInput}
            className="input mono masked"
            onChange={(event) => {
              setError(null);
              setHasKey(event.target.value.trim() !== "");
            }}
          />
          <FieldNotes id={`${id}-key`} help={HELP.key} wrong={wrong("key")} />
        </div>
        <div className="field">
          <label htmlFor={`${id}-root`}>Root certificate of the other machine</label>
          <textarea
            {...notes("root")}
            className="input mono"
            rows={2}
            value={root}
            onChange={(event) => {
              setError(null);
              setRoot(event.target.value);
            }}
          />
          <FieldNotes id={`${id}-root`} help={HELP.root} wrong={wrong("root")} />
        </div>
        {error !== null && at === null ? <Refused error={error} /> : null}
        <p className="row flat">
          <button type="submit" className="button primary" disabled={isBusy || why !== undefined} title={why}>
            {isBusy ? "Asking the other machine…" : "Move it"}
          </button>
        </p>
      </form>
    </Card>
  );
}
