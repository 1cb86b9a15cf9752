import { useState } from "react";
import { Link } from "react-router";
import type { Declared, Drained, NodeGpu, XnodeInfo } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { drain, endDrain, useAct, useApplications, useCosts, useXnode } from "../../api/xnodeQueries";
import { Card, Empty, Figure, Figures, Marked, Notice } from "../../design";
import { Table } from "../../design/Table";
import { isTroubled, machineInWords } from "../../lib/applications";
import { money } from "../../lib/costs";
import { count, duration } from "../../lib/format";
import { binary } from "../../lib/quantity";
import { Act, Command, Live, Refused, Sure } from "../apps/parts";
import { When } from "../parts";

/** Free disk below which a machine soon holds its applications: 1 GiB is kept from them anyway. */
const DISK_LOW_BYTES = 2 * 2 ** 30;

export function Machine() {
  const xnode = useXnode();
  return (
    <Live of={xnode} what="the machine">
      {(info) => (
        <>
          <Standing info={info} />
          {info.drained ? <Emptied drained={info.drained} /> : null}
          {info.declared ? <Given declared={info.declared} /> : null}
          <Resources info={info} />
          <Gpus gpus={info.gpus} />
          <Lacks lacks={info.lacks} />
          <Troubles info={info} />
          {info.drained || info.wanted === 0 ? null : <Emptying />}
        </>
      )}
    </Live>
  );
}

function Standing({ info }: { info: XnodeInfo }) {
  const { tone, words } = machineInWords(info);
  const { bytes } = info.work;
  return (
    <Notice
      tone={tone === "good" ? "good" : tone === "warn" ? "warn" : "plain"}
      title={`${words[0]?.toUpperCase() ?? ""}${words.slice(1)}`}
      ticking={
        info.work.looked_at === null ? null : (
          <>
            Looked at <When at={info.work.looked_at} />
          </>
        )
      }
    >
      {bytes ? `${binary(bytes[0])} of ${binary(bytes[1])}. ` : null}
      {info.work.state === "works" && info.wanted > 0 ? (
        <Link to={`/deployments/${info.wanted}`}>To its progress</Link>
      ) : null}
      {info.wanted === 0 ? <Link to="/store">Begin with a template of the store</Link> : null}
    </Notice>
  );
}

/** The load of the last minute, with the hundredths that the kernel gives. */
export const loadInWords = (milli: number): string => (milli / 1_000).toFixed(2);
export const processorsInWords = (all: number): string =>
  `on ${count(all)} ${all === 1 ? "processor" : "processors"}`;

export function Resources({ info }: { info: XnodeInfo }) {
  const { data: applications } = useApplications();
  const { data: costs } = useCosts();
  const troubled = applications?.filter(isTroubled).length ?? 0;
  const isLow = info.disk_free_bytes < DISK_LOW_BYTES;
  const used = info.in_use;
  const freeOf = used ? `free of ${binary(used.disk_all_bytes)}, ${binary(used.disk_bytes)} used` : "free";
  return (
    <Figures label="Figures of the machine">
      <Figure
        name="Applications"
        value={applications ? count(applications.length) : "–"}
        note={troubled > 0 ? <Link to="/apps?state=trouble">{count(troubled)} in trouble</Link> : null}
      />
      {used ? (
        <>
          <Figure
            name="Memory"
            value={binary(used.memory_bytes)}
            note={`used of ${binary(info.memory_bytes)}`}
          />
          <Figure
            name="Load"
            value={loadInWords(used.load_milli)}
            note={processorsInWords(used.processors)}
          />
        </>
      ) : (
        <Figure name="Memory" value={binary(info.memory_bytes)} note="in all" />
      )}
      <Figure
        name="Disk"
        value={binary(info.disk_free_bytes)}
        note={isLow ? <span className="wrong">{freeOf}, and that is little</span> : freeOf}
      />
      <Figure
        name="Generation"
        value={info.current === 0 ? "none" : count(info.current)}
        note={info.wanted > info.current ? `${count(info.wanted)} is wanted` : null}
      />
      {costs?.prices ? (
        <Figure
          name="Cost of applications"
          value={money(costs.month)}
          note={`${costs.prices.currency} a month, ${money(costs.hour)} an hour`}
        />
      ) : null}
      <Figure name="Agent" value={info.agent} note={`version ${info.version}`} />
    </Figures>
  );
}

/** GPUs of the machine with whoever has them; nothing on a machine without one. */
export function Gpus({ gpus = [] }: { gpus?: NodeGpu[] | undefined }) {
  if (gpus.length === 0) return null;
  return (
    <Card title="GPUs" flush>
      <Table
        label="GPUs of the machine"
        items={gpus}
        keyOf={({ address }) => address}
        empty=""
        columns={[
          { head: "GPU", cell: ({ model }) => <strong>{model}</strong> },
          { head: "Vendor", cell: ({ vendor }) => vendor },
          { head: "Address", cell: ({ address }) => address },
          {
            head: "Held by",
            cell: ({ held_by: holder }) =>
              holder === undefined ? (
                <span className="quiet">nobody</span>
              ) : holder.includes(" ") ? (
                holder
              ) : (
                <Link to={`/apps/${holder}`}>{holder}</Link>
              ),
          },
        ]}
      />
    </Card>
  );
}

/** A machine that is emptied says so until somebody undoes it. */
function Emptied({ drained: { by, reason, at, applications } }: { drained: Drained }) {
  const may = useMay("admin");
  const ending = useAct(endDrain);
  return (
    <Notice
      tone="warn"
      title={`It is emptied, and takes no deployment: ${reason}`}
      ticking={<When at={at} />}
    >
      By {by}.{" "}
      {applications.length === 0 ? "Nothing ran on it." : `Starts again: ${applications.join(", ")}.`}{" "}
      <Act words="Take deployments again" busy={ending.isPending} why={may} onAct={() => ending.mutate()} />
      {ending.error ? <span className="below wrong">{ending.error.message}</span> : null}
    </Notice>
  );
}

/** A machine whose document a file gives says how the two stand: what is done here stays, and belongs into the file too. */
export function Given({ declared: { file, by, state, cause, remedy } }: { declared: Declared }) {
  if (state === "taken" || state === "begins")
    return (
      <Notice title={`Its document is given by ${file} (${by})`}>
        What is changed here stays. Bring it into the file too: what the file says next is not taken as long
        as it is without it.
      </Notice>
    );
  const title =
    state === "refused" ? `The document of ${file} is not taken` : `It differs from ${file} (${by})`;
  return (
    <Notice tone="warn" title={title}>
      {cause ? `${cause}. ` : null}
      {remedy ? <Marked text={remedy} /> : null}
    </Notice>
  );
}

/** Before a machine is taken away or repaired: its applications stop in their order, with their data as they are. */
function Emptying() {
  const may = useMay("admin");
  const [reason, setReason] = useState("");
  const draining = useAct(drain);
  return (
    <Card title="Empty this machine">
      <div className="stack narrow">
        <p className="flat">
          Every application stops, and its data stay. Nothing is deployed until that is undone, and then those
          that ran start again.
        </p>
        <label className="field">
          <span>Reason, which everybody reads who wants to deploy</span>
          <input
            className="input"
            value={reason}
            autoComplete="off"
            maxLength={200}
            onChange={(event) => setReason(event.target.value)}
          />
        </label>
        {draining.error ? <Refused error={draining.error} /> : null}
        <Sure
          words="Empty it"
          label="Empty this machine"
          asked="Every application stops."
          busy={draining.isPending}
          why={may ?? (reason.trim() === "" ? "It needs a reason" : undefined)}
          onAct={() => draining.mutate(reason)}
        />
      </div>
    </Card>
  );
}

/** A lack as the agent says it: the feature, and what would bring it. */
export function splitLack(text: string): { feature: string; remedy: string } {
  const at = text.indexOf(": ");
  return at < 0 ? { feature: text, remedy: "" } : { feature: text.slice(0, at), remedy: text.slice(at + 2) };
}

function Lacks({ lacks }: { lacks: string[] }) {
  if (lacks.length === 0)
    return (
      <Card title="What the kernel lacks" flush>
        <Empty>Nothing: everything that applications need is there.</Empty>
      </Card>
    );
  return (
    <Card title="What the kernel lacks" flush>
      <Table
        label="Features that are missing"
        items={lacks.map(splitLack)}
        keyOf={({ feature }) => feature}
        empty=""
        columns={[
          { head: "Feature", cell: ({ feature }) => <strong>{feature}</strong> },
          { head: "What would bring it", tone: () => "wrap", cell: ({ remedy }) => remedy },
        ]}
      />
      <div className="pad">
        <span className="quiet">All that is looked at, with remedies:</span>
        <Command text="openmesh xnode check" />
      </div>
    </Card>
  );
}

function Troubles({ info: { work } }: { info: XnodeInfo }) {
  return (
    <Card title="What cannot go on" flush>
      <Table
        label="Troubles"
        items={work.troubles}
        keyOf={({ application, cause }) => `${application ?? ""} ${cause}`}
        empty="Nothing fails and nothing is held."
        columns={[
          {
            head: "About",
            cell: ({ application }) =>
              application === null ? "the machine" : <Link to={`/apps/${application}`}>{application}</Link>,
          },
          { head: "Cause", tone: () => "wrap", cell: ({ cause }) => cause },
          {
            head: "Attempts",
            number: true,
            cell: ({ attempts }) => (attempts === 0 ? <span className="quiet">–</span> : count(attempts)),
          },
          {
            head: "Again in",
            cell: ({ again_in_ms: ms }) =>
              ms === null ? <span className="quiet">when the cause is gone</span> : duration(ms),
          },
        ]}
      />
    </Card>
  );
}
