import { Link } from "react-router";
import { useStatus, useUpgrades } from "../../api/queries";
import type { UpgradeInfo, UpgradePlanInfo } from "../../api/types";
import { Badge, Card, Copy, Figure, Figures, Hash, Notice } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { countdown, lapse, standing, voters, wouldHalt } from "../../lib/upgrades";
import { Answer } from "../parts";

export function UpgradesPage() {
  useTitle("Upgrades");
  const upgrades = useUpgrades();
  const status = useStatus();
  const newest = status.data?.height ?? 0;
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/">Network</Link>
      </p>
      <div className="heading">
        <h1>Upgrades</h1>
        <p className="quiet flat">
          The rules of the network change at a height, when validators with more than two thirds of the power
          approve it.
        </p>
      </div>
      <Answer of={upgrades} what="the rules">
        {(info) => (
          <>
            <InForce info={info} />
            {info.plans.length === 0 ? (
              <Notice tone="plain" title="No upgrade is planned">
                A validator plans one with <code>openmesh upgrade plan</code>.
              </Notice>
            ) : (
              info.plans.map((plan) => <Plan key={plan.id} info={info} plan={plan} newest={newest} />)
            )}
            <Past info={info} />
          </>
        )}
      </Answer>
    </div>
  );
}

function InForce({ info }: { info: UpgradeInfo }) {
  const name = info.known.find(({ version }) => version === info.version)?.name;
  const newest = info.known.at(-1)?.version ?? 0;
  return (
    <Figures label="Rules in force">
      <Figure name="Rule set" value={String(info.version)} note={name} />
      <Figure name="Since height" value={count(info.since)} />
      <Figure name="This node knows up to" value={String(newest)} />
    </Figures>
  );
}

function Plan({ info, plan, newest }: { info: UpgradeInfo; plan: UpgradePlanInfo; newest: number }) {
  const changes = info.known.find(({ version }) => version === plan.version)?.changes ?? [];
  return (
    <Card title={`Rule set ${plan.version} at height ${count(plan.height)}`} flush>
      <div className="told">
        <p className="row flat">
          <Badge tone={plan.stands ? "good" : "warn"}>{standing(plan)}</Badge>
          <span role="timer">{countdown(info, newest, plan.height)}</span>
        </p>
        <p className="flat">
          Release <strong>{plan.release}</strong>, SHA-256 <Hash text={plan.digest} />{" "}
          <Copy text={plan.digest} label="digest" />; plan <Hash text={plan.id} />{" "}
          <Copy text={plan.id} label="id" />
        </p>
        {changes.length > 0 ? (
          <ul>
            {changes.map((change) => (
              <li key={change}>{change}</li>
            ))}
          </ul>
        ) : null}
        {plan.known_here ? null : (
          <Notice tone="bad" title="This node stops before that height">
            Its program does not know rule set {plan.version}: install {plan.release}. Nothing is lost
            meanwhile.
          </Notice>
        )}
        {wouldHalt(plan) ? (
          <Notice tone="warn" title="Too few are ready">
            Validators with {count(plan.ready_power)} of {count(plan.total_power)} of the power know the
            rules: the network would stand still at the height until more do.
          </Notice>
        ) : null}
      </div>
      <Table
        label={`Validators and the plan for height ${plan.height}`}
        items={voters(info, plan)}
        keyOf={({ validator }) => validator.address}
        empty="No validator is in force."
        columns={[
          {
            head: "Validator",
            cell: ({ validator }) => (
              <Link to={`/validators/${validator.address}`} title={validator.address}>
                {validator.name || <Hash text={validator.address} keep={4} />}
              </Link>
            ),
          },
          { head: "Power", number: true, cell: ({ validator }) => count(validator.power) },
          {
            head: "Approval",
            cell: ({ approved }) =>
              approved === null ? (
                <span className="quiet">none</span>
              ) : (
                <Link to={`/blocks/${approved}`}>in block {count(approved)}</Link>
              ),
          },
          {
            head: "Program",
            cell: ({ ready }) =>
              ready ? <Badge tone="good">ready</Badge> : <Badge tone="warn">not ready</Badge>,
          },
        ]}
      />
    </Card>
  );
}

function Past({ info }: { info: UpgradeInfo }) {
  const { lapsed } = info;
  return (
    <>
      {lapsed ? (
        <Notice
          tone="warn"
          title={`The plan for rule set ${lapsed.version} at height ${count(lapsed.height)} lapsed`}
        >
          {lapse(lapsed.reason)}: {count(lapsed.power)} of {count(lapsed.total_power)} of the power.
        </Notice>
      ) : null}
      <Card title="Upgrades so far" flush>
        <Table
          label="Upgrades so far"
          items={info.history}
          keyOf={({ version }) => version}
          empty="The network has the rules of its genesis."
          columns={[
            { head: "Rule set", number: true, cell: ({ version }) => version },
            { head: "From", number: true, cell: ({ from }) => from },
            { head: "Height", cell: ({ height }) => <Link to={`/blocks/${height}`}>{count(height)}</Link> },
            { head: "Release", cell: ({ release }) => release },
            {
              head: "Approved by",
              cell: ({ power, total_power }) => `${count(power)} of ${count(total_power)}`,
            },
            {
              head: "Root after the migration",
              cell: ({ migrated_root }) =>
                migrated_root ? <Hash text={migrated_root} /> : <span className="quiet">not here</span>,
            },
          ]}
        />
      </Card>
    </>
  );
}
