import { useId, useState } from "react";
import type { SecretInfo } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { removeSecret, setSecret, useAct, useSecrets } from "../../api/xnodeQueries";
import { Card, Copy, Empty, Notice } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import { NAME, NAME_WORDS } from "../../lib/options";
import { generated } from "../../lib/secret";
import { Live, Refused, Sure } from "../apps/parts";
import { When } from "../parts";

/** Letters and digits of a secret that is made here: 190 bits. */
const SECRET_CHARS = 32;

/** Names and versions; a value goes in and never comes out. */
export function Secrets() {
  const may = useMay("operator");
  const secrets = useSecrets(may === undefined);
  return (
    <>
      <Card title="Secrets" flush>
        {may === undefined ? (
          <Live of={secrets} what="secrets">
            {(all) => <List all={all} />}
          </Live>
        ) : (
          <Empty>{may}.</Empty>
        )}
      </Card>
      <NewSecret taken={secrets.data?.map(({ name }) => name) ?? []} />
    </>
  );
}

function List({ all }: { all: SecretInfo[] }) {
  const may = useMay("admin");
  const removing = useAct(removeSecret);
  return (
    <>
      {removing.error ? (
        <div className="told">
          <Refused error={removing.error} />
        </div>
      ) : null}
      <Table
        label="Secrets"
        items={all}
        keyOf={({ name }) => name}
        empty="No secret is kept. A document names one as { secret: NAME }."
        columns={[
          { head: "Name", cell: ({ name }) => <code>{name}</code> },
          { head: "Version", number: true, cell: ({ version }) => count(version) },
          { head: "Set", cell: ({ at }) => <When at={at} /> },
          {
            head: "Used by",
            tone: () => "wrap",
            cell: ({ used_by: users, version }) => <Users users={users} version={version} />,
          },
          {
            head: "",
            cell: ({ name, used_by: users }) => (
              <Sure
                words="Remove"
                label={`Remove the secret ${name}`}
                asked="Its value is lost for good."
                busy={removing.isPending}
                why={
                  may ??
                  (Object.keys(users).length > 0
                    ? "It is in use: deploy a document without it first"
                    : undefined)
                }
                onAct={() => removing.mutate(name)}
              />
            ),
          },
        ]}
      />
    </>
  );
}

function Users({ users, version }: { users: Record<string, number>; version: number }) {
  const all = Object.entries(users);
  if (all.length === 0) return <span className="quiet">nobody</span>;
  return all.map(([name, has]) => (
    <span key={name} className="below">
      {name}
      {has === version ? null : (
        <span className="wrong"> has version {count(has)}: the next deployment gives it the new one</span>
      )}
    </span>
  ));
}

function NewSecret({ taken }: { taken: string[] }) {
  const id = useId();
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const [made, setMade] = useState<string | null>(null);
  const may = useMay("admin");
  const setting = useAct(({ name, value }: { name: string; value: string }) => setSecret(name, value));
  const wrong = name !== "" && !NAME.test(name) ? `A name has ${NAME_WORDS}.` : null;
  const why = may ?? (!NAME.test(name) ? "It needs a name" : value === "" ? "It needs a value" : undefined);
  return (
    <Card title="Set a secret">
      <form
        className="stack narrow"
        aria-label="Set a secret"
        onSubmit={(event) => {
          event.preventDefault();
          if (why !== undefined) return;
          setting.mutate({ name, value }, { onSuccess: () => setValue("") });
        }}
      >
        <div className="field">
          <label htmlFor={`${id}-name`}>Name</label>
          <input
            id={`${id}-name`}
            className="input mono"
            value={name}
            aria-describedby={`${id}-name-words`}
            autoComplete="off"
            spellCheck={false}
            aria-invalid={wrong !== null}
            onChange={(event) => {
              setting.reset();
              setMade(null);
              setName(event.target.value);
            }}
          />
          <span
            id={`${id}-name-words`}
            className={wrong ? "problem" : "help"}
            role={wrong ? "alert" : undefined}
          >
            {wrong ??
              (taken.includes(name)
                ? "It is there: this sets its next version, which the next deployment gives out."
                : null)}
          </span>
        </div>
        <div className="field">
          <label htmlFor={`${id}-value`}>Value</label>
          <input
            id={`${id}-value`}
            className="input mono"
            type="password"
            aria-describedby={`${id}-value-words`}
            value={value}
            autoComplete="new-password"
            onChange={(event) => {
              setMade(null);
              setValue(event.target.value);
            }}
          />
          <span id={`${id}-value-words`} className="help">
            It is sealed on the machine, and no page shows it again.
          </span>
        </div>
        {made === null ? null : (
          <p className="command">
            <code>{made}</code>
            <Copy text={made} label="the generated value" />
          </p>
        )}
        {setting.error ? <Refused error={setting.error} /> : null}
        {setting.data === undefined ? null : (
          <Notice tone="good" title={`Version ${count(setting.data)} of ${name} is kept`}>
            Applications get it by their next deployment.
          </Notice>
        )}
        <p className="row flat">
          <button
            type="submit"
            className="button primary"
            disabled={setting.isPending || why !== undefined}
            title={why}
          >
            Set
          </button>
          <button
            type="button"
            className="button"
            onClick={() => {
              const fresh = generated(SECRET_CHARS);
              setMade(fresh);
              setValue(fresh);
            }}
          >
            Generate a value
          </button>
        </p>
      </form>
    </Card>
  );
}
