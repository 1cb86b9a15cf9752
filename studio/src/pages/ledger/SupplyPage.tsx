import { Link } from "react-router";
import { useSupply } from "../../api/queries";
import type { PoolGroup, PoolInfo, SupplyInfo } from "../../api/types";
import { Card } from "../../design";
import { count, open } from "../../lib/format";
import { percent, placesOf, shareOf, sumOf } from "../../lib/supply";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer } from "../parts";

/** Where the whole of OPEN stands: a bar for all of it, and each group's pools as wide as what the genesis put into them. */
export function SupplyPage() {
  useTitle("Supply");
  const supply = useSupply();
  const [read] = useFilters();
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/transactions">Transactions</Link>
      </p>
      <div className="heading">
        <h1>Supply</h1>
        <p className="quiet flat">
          All OPEN stood in named pools at the genesis. None is ever made; base fees are burnt.
        </p>
      </div>
      <Answer of={supply} what="the supply">
        {(data) => (
          <>
            <Whole of={data} />
            {data.groups.map((group) => (
              <Group key={group.name} group={group} cap={data.cap} found={read("pool")} />
            ))}
          </>
        )}
      </Answer>
    </div>
  );
}

function Whole({ of }: { of: SupplyInfo }) {
  const places = placesOf(of);
  return (
    <Card title={`${open(of.cap)}, after block ${count(of.height)}`}>
      <div
        className="supply-bar"
        role="img"
        aria-label={places.map(({ name, amount }) => `${name}: ${percent(amount, of.cap)}`).join(", ")}
      >
        {places.map(({ name, amount, tone }) => (
          <i key={name} className={tone} style={{ width: `${shareOf(amount, of.cap) * 100}%` }} />
        ))}
      </div>
      <ul className="supply-legend" aria-label="Places of the supply">
        {places.map(({ name, amount, tone }) => (
          <li key={name}>
            <i className={tone} aria-hidden />
            <span>{name}</span>
            <strong>{percent(amount, of.cap)}</strong>
            <span className="quiet">{open(amount)}</span>
          </li>
        ))}
      </ul>
      <p className="flat quiet">
        What is held for records goes back when they go: <Link to="/deposits">all deposits</Link>.
      </p>
    </Card>
  );
}

/** `found`: the pool that somebody looked for. */
function Group({ group, cap, found }: { group: PoolGroup; cap: string; found: string }) {
  const allocated = sumOf(group.pools.map((pool) => pool.allocated));
  return (
    <Card title={group.title} actions={<span className="quiet">{percent(allocated, cap)}</span>}>
      <ul className="supply-pools" aria-label={`Pools of ${group.title}`}>
        {group.pools.map((pool) => (
          <Pool key={pool.name} pool={pool} cap={cap} whole={allocated} found={pool.name === found} />
        ))}
      </ul>
    </Card>
  );
}

/** A pool: as wide as its share of the group, and filled as far as something is left in it. */
function Pool({ pool, cap, whole, found }: { pool: PoolInfo; cap: string; whole: string; found: boolean }) {
  const left = shareOf(pool.balance, pool.allocated);
  return (
    <li
      aria-current={found ? "true" : undefined}
      style={{ flexGrow: Math.max(shareOf(pool.allocated, whole) * 100, 1) }}
      title={`${pool.title}: ${open(pool.balance)} of ${open(pool.allocated)} are left`}
    >
      <span className="fill" style={{ width: `${left * 100}%` }} aria-hidden />
      <span className="name">{pool.title}</span>
      <span className="quiet">
        {percent(pool.allocated, cap)}
        {pool.balance === pool.allocated ? "" : `, ${percent(pool.balance, pool.allocated)} of it left`}
      </span>
    </li>
  );
}
