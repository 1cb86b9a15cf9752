import { Link } from "react-router";
import { useParameters } from "../../api/explorer";
import type { ParameterInfo } from "../../api/types";
import { Card } from "../../design";
import { Table } from "../../design/Table";
import { bytes, count, duration, open } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer } from "../parts";

/** A value in its own unit, for people. */
export function valueOf({ value, unit }: Pick<ParameterInfo, "value" | "unit">): string {
  if (unit === "10^-18 OPEN") return open(value);
  if (!/^\d{1,15}$/.test(value)) return unit ? `${value} ${unit}` : value;
  const number = Number(value);
  if (unit === "ms") return duration(number);
  if (unit === "bytes") return bytes(number);
  return unit ? `${count(number)} ${unit}` : count(number);
}

/** The rules' numbers, as the ledger has them now. */
export function ParametersPage() {
  useTitle("Parameters");
  const [read, write] = useFilters();
  const parameters = useParameters();
  const wanted = read("find").toLowerCase();
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <div className="heading">
        <h1>Parameters</h1>
        <p className="quiet flat">The numbers in the network's rules, as the ledger has them now.</p>
      </div>
      <Card title="All parameters" flush>
        <div className="filters">
          <label className="field grow">
            <span>Filter</span>
            <input
              className="input"
              type="search"
              value={read("find")}
              placeholder="fee, window…"
              onChange={(event) => write({ find: event.target.value })}
            />
          </label>
        </div>
        <Answer of={parameters} what="parameters">
          {(all) => (
            <Table
              label="Parameters"
              items={all.filter(({ name, meaning }) => `${name} ${meaning}`.toLowerCase().includes(wanted))}
              keyOf={({ name }) => name}
              empty="No parameter matches this filter."
              columns={[
                { head: "Parameter", cell: ({ name }) => <code>{name}</code> },
                {
                  head: "Value",
                  number: true,
                  cell: (each) => <span title={each.value}>{valueOf(each)}</span>,
                },
                { head: "Rules", cell: ({ meaning }) => <span className="prose">{meaning}</span> },
              ]}
            />
          )}
        </Answer>
      </Card>
    </div>
  );
}
