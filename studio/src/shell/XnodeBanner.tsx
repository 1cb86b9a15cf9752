/** The frame of an Xnode's pages: how the machine is, on every one of them, and who is signed in. */
import { useMutation } from "@tanstack/react-query";
import { Link } from "react-router";
import { signOutAt, useBecome, useMe } from "../api/xnodeAccess";
import { useAlerts, useReach, useXnode, XNODE_STALE_MS } from "../api/xnodeQueries";
import { unknownAlerts } from "../lib/alerts";
import { Badge } from "../design";
import { machineInWords } from "../lib/applications";
import { age, shortAddress } from "../lib/format";
import { useNow } from "../lib/now";
import { roleWords } from "../lib/ownRoles";
import { ageOf } from "../lib/staleness";
import { refusal } from "./wallet";

export function XnodeBanner() {
  const reach = useReach();
  const { data } = useXnode();
  const now = useNow();
  const alerts = useAlerts(data !== undefined);
  const unknown = unknownAlerts(alerts.data?.open ?? []);
  const said = data ? machineInWords(data) : null;
  const heard = ageOf(data ? reach.dataUpdatedAt : null, now, XNODE_STALE_MS);
  const isStale = heard?.stale === true;
  const state = isStale ? "stale" : data ? "connected" : "connecting";
  const words =
    reach.data?.at === "signed out"
      ? "Not signed in"
      : reach.data?.at === "absent"
        ? "No agent answers"
        : reach.data?.at === "narrowed"
          ? "Not for your role"
          : "Waiting for the agent";
  return (
    <div
      className={`origin ${isStale ? "warn" : (said?.tone ?? "plain")}`}
      role="region"
      aria-label="State of the machine"
    >
      <strong className="long">
        {said ? `${data?.node || data?.agent || "Xnode"}: ${said.words}` : words}
      </strong>
      {data && unknown ? (
        <Link to="/node/alerts">
          <Badge tone={unknown.tone}>{unknown.words}</Badge>
        </Link>
      ) : null}
      {data && heard ? (
        <span className={`connection ${state}`}>
          <i aria-hidden="true" />
          {isStale ? `Not up to date: last heard ${age(heard.ms)}` : "Connected"}
        </span>
      ) : null}
    </div>
  );
}

export function XnodeFoot() {
  const { data } = useXnode();
  return (
    <footer className="foot quiet">
      {data ? (
        <span>
          {data.node || "this machine"} · agent {data.agent} · version {data.version}
        </span>
      ) : (
        <span>Waiting for the agent</span>
      )}
      <span className="row">
        Times are in UTC
        <a href="/v1/xnode/schema">Schema of documents</a>
      </span>
    </footer>
  );
}

/** Who is signed in, and the way out. The way in is the page itself. */
export function XnodeSession() {
  const reach = useReach();
  const me = useMe(reach.data?.at === "there" || reach.data?.at === "narrowed");
  const become = useBecome();
  const leaving = useMutation({ mutationFn: signOutAt, onSuccess: become });
  if (!me.data) return null;
  const { who, id, only = [] } = me.data;
  const role = roleWords(me.data.role, only.join(", "));
  const isWallet = /^0x[0-9a-fA-F]{40}$/.test(who);
  return (
    <span className="row session">
      <Link to="/node/access" title={`${who}, ${role}`} aria-label={`Signed in as ${who}, ${role}`}>
        {isWallet ? <code>{shortAddress(who)}</code> : who}
      </Link>
      {id === null ? null : (
        <button
          type="button"
          className="button small"
          disabled={leaving.isPending}
          onClick={() => leaving.mutate()}
        >
          Sign out
        </button>
      )}
      {leaving.isError ? (
        <span className="quiet" role="alert">
          {refusal(leaving.error)}
        </span>
      ) : null}
    </span>
  );
}
