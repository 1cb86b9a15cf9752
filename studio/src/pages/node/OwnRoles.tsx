import { useState } from "react";
import type { OwnRole, Role } from "../../api/xnode";
import { removeRole, setRole, useMay, useOwnRoles } from "../../api/xnodeAccess";
import { useAct } from "../../api/xnodeQueries";
import { Card } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import { readRights, rightFault } from "../../lib/ownRoles";
import { By, Live, Refused, Sure } from "../apps/parts";
import { When } from "../parts";

/** Roles of one's own: each narrows viewer, operator or admin to some endpoints. Admins see them, owners change them. */
export function OwnRoles() {
  const isSeen = useMay("admin") === undefined;
  const own = useOwnRoles(isSeen);
  if (!isSeen) return null;
  return (
    <>
      <Card title="Roles of one's own" flush>
        <Live of={own} what="roles">
          {(all) => <List all={all} />}
        </Live>
      </Card>
      <Make />
    </>
  );
}

function List({ all }: { all: OwnRole[] }) {
  const why = useMay("owner");
  const removing = useAct(removeRole);
  return (
    <>
      {removing.error ? (
        <div className="told">
          <Refused error={removing.error} />
        </div>
      ) : null}
      <Table
        label="Roles of one's own"
        items={all}
        keyOf={({ name }) => name}
        empty="There is none. One narrows a role to some endpoints, as to those of one application."
        columns={[
          { head: "Name", cell: ({ name }) => name },
          { head: "Narrows", cell: ({ of }) => of },
          {
            head: "Rights",
            tone: () => "wrap",
            cell: ({ rights }) =>
              rights.map((right) => (
                <span key={right} className="below">
                  <code className="long">{right}</code>
                </span>
              )),
          },
          { head: "Given to", number: true, cell: ({ used }) => count(used) },
          { head: "Changed", cell: ({ since }) => <When at={since} /> },
          { head: "By", tone: () => "wrap slim", cell: ({ by }) => <By who={by} /> },
          {
            head: "",
            cell: ({ name, used }) => (
              <Sure
                words="Remove"
                label={`Remove the role ${name}`}
                asked="Nobody can be given it any more."
                busy={removing.isPending}
                why={why ?? (used > 0 ? "Somebody has it: give them another role first" : undefined)}
                onAct={() => removing.mutate(name)}
              />
            ),
          },
        ]}
      />
    </>
  );
}

const NARROWED: readonly Role[] = ["viewer", "operator", "admin"];

function Make() {
  const notOwner = useMay("owner");
  const [name, setName] = useState("");
  const [of, setOf] = useState<Role>("operator");
  const [text, setText] = useState("");
  const making = useAct(setRole);
  const rights = readRights(text);
  const fault = rights.map(rightFault).find((each) => each !== undefined);
  const why =
    notOwner ??
    (name.trim() === ""
      ? "It needs a name"
      : rights.length === 0
        ? "It needs a right: a method and a path"
        : fault);
  return (
    <Card title="Make or change a role of one's own">
      <form
        className="stack narrow"
        aria-label="Make or change a role of one's own"
        onSubmit={(event) => {
          event.preventDefault();
          if (why !== undefined) return;
          making.mutate(
            { name: name.trim(), of, rights },
            {
              onSuccess: () => {
                setName("");
                setText("");
              },
            },
          );
        }}
      >
        <label className="field">
          <span>Name</span>
          <input
            className="input"
            value={name}
            placeholder="web-team"
            autoComplete="off"
            spellCheck={false}
            maxLength={32}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <label className="field">
          <span>Role that it narrows</span>
          <select
            className="input"
            value={of}
            onChange={(event) => setOf(NARROWED.find((each) => each === event.target.value) ?? "operator")}
          >
            {NARROWED.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label className="field">
          <span>Rights, one a line</span>
          <textarea
            className="input mono"
            rows={4}
            value={text}
            placeholder={"GET /v1/xnode\n* /v1/xnode/applications/web/**"}
            spellCheck={false}
            aria-invalid={fault !== undefined}
            onChange={(event) => setText(event.target.value)}
          />
        </label>
        <p className="quiet flat">
          A method or *, and a path: * stands for one part, ** at the end for everything below. Of what the
          role may, whoever has it may what one of the rights fits, and nothing else. GET only looks: a
          terminal needs *. Studio opens where GET /v1/xnode is among them.
        </p>
        {fault !== undefined ? <p className="quiet flat">{fault}.</p> : null}
        {making.error ? <Refused error={making.error} /> : null}
        <p className="row flat">
          <button
            type="submit"
            className="button primary"
            disabled={making.isPending || why !== undefined}
            title={why}
          >
            Keep the role
          </button>
        </p>
      </form>
    </Card>
  );
}
