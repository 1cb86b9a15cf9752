import { useMutation } from "@tanstack/react-query";
import type { AuditRecord } from "../../api/xnode";
import { checkAudit, useAudit, useMay } from "../../api/xnodeAccess";
import { Badge, Card, Copy, Empty, Hash, Notice, type Tone } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import { usePager } from "../../lib/paging";
import { useFilters } from "../../lib/urlState";
import { Act, Live, Refused } from "../apps/parts";
import { At, Choice, Pages } from "../parts";

const KINDS: Record<AuditRecord["kind"], { tone: Tone; words: string }> = {
  begun: { tone: "plain", words: "begun" },
  ended: { tone: "good", words: "ended" },
  refused: { tone: "warn", words: "refused" },
  file: { tone: "plain", words: "a file begins" },
  torn: { tone: "warn", words: "a line was cut" },
};

/** Who changed what, when, from where, and with what result: each record names the hash of the one before. */
export function Audit() {
  const may = useMay("admin");
  const [read, write] = useFilters();
  const pager = usePager("older");
  const filter = { who: read("who"), path: read("path"), kind: read("kind") };
  const audit = useAudit(filter, pager.cursor, may === undefined);
  const checking = useMutation({ mutationFn: checkAudit });
  const change = (values: Record<string, string | null>) => write({ ...values, older: null });
  return (
    <>
      {checking.data ? <Checked of={checking.data} /> : null}
      {checking.error ? <Refused error={checking.error} /> : null}
      <Card
        title="Audit log"
        flush
        actions={
          <Act
            words={checking.isPending ? "Checking…" : "Check all of it"}
            busy={checking.isPending}
            why={may}
            onAct={() => checking.mutate()}
          />
        }
      >
        {may === undefined ? (
          <>
            <div className="filters">
              <label className="field grow">
                <span>Who</span>
                <input
                  className="input"
                  type="search"
                  placeholder="0x…, root, a key"
                  value={filter.who}
                  onChange={(event) => change({ who: event.target.value })}
                />
              </label>
              <label className="field grow">
                <span>Path begins with</span>
                <input
                  className="input mono"
                  type="search"
                  placeholder="/v1/xnode/secrets"
                  value={filter.path}
                  onChange={(event) => change({ path: event.target.value })}
                />
              </label>
              <Choice
                name="Kind"
                value={filter.kind}
                options={Object.entries(KINDS).map(([value, { words }]) => ({ value, words }))}
                onChange={(kind) => change({ kind })}
              />
            </div>
            <Live of={audit} what="the audit log">
              {(page) => (
                <>
                  <Records items={page.items} />
                  <Pages of={pager} page={page} what="the audit log" />
                </>
              )}
            </Live>
          </>
        ) : (
          <Empty>{may}.</Empty>
        )}
      </Card>
    </>
  );
}

function Records({ items }: { items: AuditRecord[] }) {
  return (
    <Table
      label="Audit log"
      items={items}
      keyOf={({ sequence }) => sequence}
      empty="No record fits these filters."
      columns={[
        { head: "#", number: true, cell: ({ sequence }) => count(sequence) },
        { head: "When", cell: ({ at }) => <At at={at} /> },
        {
          head: "Who",
          tone: () => "wrap",
          cell: ({ who, role }) =>
            who === undefined ? (
              <span className="quiet">nobody</span>
            ) : (
              <>
                <span className="long">{who}</span> {role ? <span className="quiet">{role}</span> : null}
              </>
            ),
        },
        { head: "From", tone: () => "wrap", cell: ({ from }) => from ?? <span className="quiet">–</span> },
        {
          head: "What",
          tone: () => "wrap",
          cell: ({ method, path }) =>
            path === undefined ? (
              <span className="quiet">–</span>
            ) : (
              <code className="long">{`${method ?? ""} ${path}`}</code>
            ),
        },
        {
          head: "Result",
          cell: ({ kind, status, code, unrecorded }) => (
            <>
              <Badge tone={status !== undefined && status >= 400 ? "bad" : (KINDS[kind]?.tone ?? "plain")}>
                {KINDS[kind]?.words ?? kind}
                {status === undefined ? "" : ` ${status}`}
              </Badge>{" "}
              {code ? <code>{code}</code> : null}
              {unrecorded ? (
                <span className="below quiet">and {count(unrecorded)} before it, not recorded</span>
              ) : null}
            </>
          ),
        },
        {
          head: "Of",
          number: true,
          cell: ({ of }) => (of === undefined ? <span className="quiet">–</span> : count(of)),
        },
        { head: "Hash before", cell: ({ previous }) => <Hash text={previous} /> },
      ]}
    />
  );
}

function Checked({ of }: { of: Awaited<ReturnType<typeof checkAudit>> }) {
  if (of.broken)
    return (
      <Notice tone="bad" title="The audit log was changed">
        File {of.broken.file}, line {of.broken.line}: {of.broken.reason}. {count(of.records)} records before
        it hold.
      </Notice>
    );
  return (
    <Notice tone="good" title={`All ${count(of.records)} records hold`}>
      Note the last one elsewhere, and it shows later that nothing before it was changed: record{" "}
      {count(of.head.sequence)}, <Hash text={of.head.hash} keep={8} />{" "}
      <Copy text={`${of.head.sequence} ${of.head.hash}`} label="number and hash" />
      {of.cuts > 0 || of.torn_bytes !== null
        ? " Lines that a power cut has torn are named by the records after them."
        : ""}
    </Notice>
  );
}
