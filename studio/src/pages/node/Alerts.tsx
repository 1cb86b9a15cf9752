import { Link } from "react-router";
import type { Alert, Alerts as AlertsInfo, WebhookState } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { acknowledge, testWebhook, useAct, useAlerts } from "../../api/xnodeQueries";
import { Badge, Card, Notice } from "../../design";
import { Table } from "../../design/Table";
import { alertWords, severityOf } from "../../lib/alerts";
import { count } from "../../lib/format";
import { Act, Live, Refused } from "../apps/parts";
import { At, When } from "../parts";

/** What somebody should look at, what was, and whom the machine tells of it. */
export function Alerts() {
  const alerts = useAlerts();
  return (
    <Live of={alerts} what="alerts">
      {(info) => (
        <>
          <Open info={info} />
          <Card title="Receivers" flush>
            <Webhooks all={info.webhooks} />
            <p className="quiet pad flat">
              They are named by <code>machine</code> in <Link to="/deploy?whole=1">the whole document</Link>:
              alerts, webhooks, a name, and an address.
            </p>
          </Card>
          <Dropped info={info} />
          <Card title="Over" flush>
            <Table
              label="Alerts that are over"
              items={info.closed}
              keyOf={({ id }) => id}
              empty="None is over yet."
              tall
              columns={[
                { head: "What", tone: () => "wrap", cell: (alert) => <About alert={alert} /> },
                { head: "Cause", tone: () => "wrap", cell: ({ cause }) => cause },
                { head: "Began", cell: ({ begin }) => <At at={begin} /> },
                { head: "Over", cell: ({ closed }) => <When at={closed} /> },
              ]}
            />
          </Card>
        </>
      )}
    </Live>
  );
}

function About({ alert: { kind, application, subject } }: { alert: Alert }) {
  return (
    <>
      {alertWords(kind)}:{" "}
      {application === null ? "the machine" : <Link to={`/apps/${application}`}>{application}</Link>}
      {subject === null ? null : <span className="quiet"> {subject}</span>}
    </>
  );
}

function Open({ info: { open, suppressed } }: { info: AlertsInfo }) {
  const may = useMay("operator");
  const knowing = useAct(acknowledge);
  return (
    <Card title="Alerts" flush>
      {knowing.error ? (
        <div className="told">
          <Refused error={knowing.error} />
        </div>
      ) : null}
      {suppressed > 0 ? (
        <div className="told">
          <Notice
            tone="warn"
            title={`${count(suppressed)} more findings opened no alert, since too many are open`}
          />
        </div>
      ) : null}
      <Table
        label="Open alerts"
        items={open}
        keyOf={({ id }) => id}
        empty="Nothing needs anybody."
        columns={[
          {
            head: "Look at it",
            cell: ({ severity }) => (
              <Badge tone={severityOf(severity).tone}>{severityOf(severity).words}</Badge>
            ),
          },
          { head: "What", tone: () => "wrap", cell: (alert) => <About alert={alert} /> },
          {
            head: "Cause, and what helps",
            tone: () => "wrap",
            cell: ({ cause, remedy }) => (
              <>
                {cause} <span className="below quiet">{remedy}</span>
              </>
            ),
          },
          { head: "Since", cell: ({ begin }) => <When at={begin} /> },
          {
            head: "Known",
            cell: ({ id, kind, application, acknowledged }) =>
              acknowledged === null ? (
                <Act
                  words="I know of it"
                  label={`I know of it: ${alertWords(kind)}, ${application ?? "the machine"}`}
                  busy={knowing.isPending}
                  why={may}
                  onAct={() => knowing.mutate(id)}
                />
              ) : (
                <>
                  <span className="long">{acknowledged.by}</span>, <When at={acknowledged.at} />
                </>
              ),
          },
        ]}
      />
    </Card>
  );
}

function Webhooks({ all }: { all: WebhookState[] }) {
  const may = useMay("admin");
  const testing = useAct(testWebhook);
  const result = testing.data;
  return (
    <>
      {testing.error ? (
        <div className="told">
          <Refused error={testing.error} />
        </div>
      ) : null}
      {result ? (
        <div className="told">
          <Notice
            tone={result.taken ? "good" : "bad"}
            title={
              result.taken
                ? `${result.webhook} has taken the test`
                : `${result.webhook} has not taken the test`
            }
          >
            {result.cause}
          </Notice>
        </div>
      ) : null}
      <Table
        label="Receivers of alerts"
        items={all}
        keyOf={({ name }) => name}
        empty="Nobody is told: alerts stand on this page alone."
        columns={[
          { head: "Name", cell: ({ name }) => name },
          {
            head: "At",
            tone: () => "wrap",
            cell: ({ host, cause }) => (
              <>
                {host === null ? null : <code className="long">{host}</code>}
                {cause === null ? null : <span className="below wrong">{cause}</span>}
              </>
            ),
          },
          { head: "Waiting", number: true, cell: ({ waiting }) => count(waiting) },
          {
            head: "Last failure",
            tone: () => "wrap",
            cell: ({ last_failure: failure }) => failure ?? <span className="quiet">none</span>,
          },
          {
            head: "",
            cell: ({ name }) => (
              <Act
                words={testing.isPending && testing.variables === name ? "Sending…" : "Test"}
                label={`Send a test to ${name}`}
                busy={testing.isPending}
                why={may}
                onAct={() => testing.mutate(name)}
              />
            ),
          },
        ]}
      />
    </>
  );
}

function Dropped({ info: { dropped, dropped_count: all } }: { info: AlertsInfo }) {
  if (all === 0) return null;
  return (
    <Card title={`${count(all)} messages were never taken`} flush>
      <Table
        label="Messages that were given up"
        items={dropped}
        keyOf={({ webhook, alert, event, at }) => `${webhook} ${alert} ${event} ${at}`}
        empty="The machine keeps the newest of them alone."
        columns={[
          { head: "Receiver", cell: ({ webhook }) => webhook },
          { head: "Alert", number: true, cell: ({ alert }) => count(alert) },
          { head: "Event", cell: ({ event }) => event },
          { head: "Given up", cell: ({ at }) => <When at={at} /> },
          { head: "Cause", tone: () => "wrap", cell: ({ cause }) => cause },
        ]}
      />
    </Card>
  );
}
