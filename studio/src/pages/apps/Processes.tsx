import type { Application, AppProcess, ProcessList } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { useProcesses } from "../../api/xnodeQueries";
import { Badge, Card, Empty, type Tone } from "../../design";
import { Table } from "../../design/Table";
import { count, duration } from "../../lib/format";
import {
  commandOf,
  ORDER_WORDS,
  ORDERS,
  ownersOf,
  processesOf,
  shareWords,
  type Order,
} from "../../lib/processes";
import { binary } from "../../lib/quantity";
import { oneOf, useFilters } from "../../lib/urlState";
import { Choice, When } from "../parts";
import { Live } from "./parts";

/** What runs inside of an application at this moment, asked for every few seconds. */
export function Processes({ application: { name } }: { application: Application }) {
  const may = useMay("operator");
  const processes = useProcesses(name, may === undefined);
  return (
    <Card title="Processes" flush>
      {may === undefined ? (
        <Live of={processes} what="processes">
          {(list) => <List list={list} />}
        </Live>
      ) : (
        <Empty>{may}.</Empty>
      )}
    </Card>
  );
}

function List({ list }: { list: ProcessList }) {
  const [read, write] = useFilters();
  const owners = ownersOf(list.processes);
  const wish = { text: read("text"), of: read("of"), order: oneOf(read("sort"), ORDERS, "cpu") };
  const shown = processesOf(list.processes, wish);
  return (
    <>
      <div className="filters">
        <label className="field grow">
          <span>Search</span>
          <input
            className="input"
            type="search"
            placeholder="Name or arguments…"
            value={wish.text}
            onChange={(event) => write({ text: event.target.value })}
          />
        </label>
        <Sort order={wish.order} onChange={(order) => write({ sort: order === "cpu" ? null : order })} />
        {owners.length > 1 || wish.of !== "" ? (
          <Choice name="Of" value={wish.of} options={owners} onChange={(of) => write({ of })} />
        ) : null}
      </div>
      <Rows shown={shown} isAny={list.processes.length > 0} tellsOwner={owners.length > 1} />
      {shown.length > 0 && (shown.length < list.processes.length || list.left_out > 0) ? (
        <p className="quiet pad flat">
          {count(shown.length)} of {count(list.processes.length + list.left_out)} processes
        </p>
      ) : null}
    </>
  );
}

function Sort({ order, onChange }: { order: Order; onChange: (order: Order) => void }) {
  return (
    <label className="field">
      <span>Order</span>
      <select
        className="input"
        value={order}
        onChange={(event) => onChange(oneOf(event.target.value, ORDERS, "cpu"))}
      >
        {ORDERS.map((each) => (
          <option key={each} value={each}>
            {ORDER_WORDS[each]}
          </option>
        ))}
      </select>
    </label>
  );
}

const TONES: Record<string, Tone | undefined> = {
  running: "good",
  waiting: "warn",
  stopped: "warn",
  traced: "warn",
  frozen: "warn",
  ended: "bad",
};

const number = (value: number | null) => (value === null ? <span className="quiet">–</span> : String(value));

function Rows({ shown, isAny, tellsOwner }: { shown: AppProcess[]; isAny: boolean; tellsOwner: boolean }) {
  return (
    <Table
      label="Processes"
      items={shown}
      keyOf={({ pid }) => pid}
      empty={isAny ? "No process matches this." : "No process of it runs at this moment."}
      columns={[
        { head: "Inside", number: true, cell: ({ pid_inside: pid }) => number(pid) },
        { head: "On the machine", number: true, cell: ({ pid }) => String(pid) },
        { head: "Parent", number: true, cell: ({ parent_inside: parent }) => number(parent) },
        tellsOwner ? { head: "Of", tone: () => "wrap slim", cell: ({ of }) => of } : null,
        { head: "User", number: true, cell: ({ user }) => number(user) },
        { head: "State", cell: ({ state }) => <Badge tone={TONES[state] ?? "plain"}>{state}</Badge> },
        { head: "Begun", cell: ({ started }) => <When at={started} /> },
        {
          head: "Processors",
          number: true,
          cell: ({ processors_milli: milli, over_ms: over, cpu_ms: cpu }) => (
            <span title={`Over ${duration(over)}; ${duration(cpu)} since its begin`}>
              {shareWords(milli)}
            </span>
          ),
        },
        {
          head: "Memory",
          number: true,
          cell: ({ memory_bytes: bytes, is_share: isShare }) => (
            <span title={isShare ? "Shared pages are divided" : "Shared pages count as a whole"}>
              {isShare ? "" : "≤ "}
              {binary(bytes)}
            </span>
          ),
        },
        { head: "Threads", number: true, cell: ({ threads }) => count(threads) },
        {
          head: "Command",
          tone: () => "wrap",
          cell: (process) => <code className="long">{commandOf(process)}</code>,
        },
      ]}
    />
  );
}
