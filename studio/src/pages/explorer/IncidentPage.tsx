import { Link, useParams } from "react-router";
import { useIncident } from "../../api/explorer";
import { useSources } from "../../api/queries";
import { Card, Copy } from "../../design";
import { count } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { Incidents } from "../network/Incidents";
import { Answer, At, ValidatorLink, When } from "../parts";

/** All incidents, of the ledger and of this site. */
export function IncidentsPage() {
  useTitle("Incidents");
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <div className="heading">
        <h1>Incidents</h1>
        <p className="quiet flat">
          What went wrong and was noticed: by the ledger, which all validators agree on, or by this site
          alone.
        </p>
      </div>
      <Incidents />
    </div>
  );
}

/** Whether an incident is of a source, which may have left the register, and not of consensus. */
export const isOfSource = (source: string | null | undefined) => Boolean(source) && source !== "consensus";

export function IncidentPage() {
  const { id = "" } = useParams();
  useTitle(`Incident ${id}`);
  const incident = useIncident(id);
  const sources = useSources();
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/incidents">Incidents</Link>
      </p>
      <h1>Incident {id}</h1>
      <Answer of={incident} what="the incident">
        {(data) => {
          const isSource = isOfSource(data.source);
          const isRegistered = sources.data?.items.some((each) => each.id === data.source) ?? false;
          const source = encodeURIComponent(data.source ?? "");
          return (
            <Card title={data.kind.replaceAll("_", " ")}>
              <p className="flat">{data.detail}</p>
              <dl className="facts">
                <dt>Seen by</dt>
                <dd>{data.site === "ledger" ? "the ledger: agreed by all" : `this site's ${data.site}`}</dd>
                <dt>Time</dt>
                <dd>
                  <At at={data.time} /> (<When at={data.time} />)
                </dd>
                {typeof data.height === "number" ? (
                  <>
                    <dt>Block</dt>
                    <dd>
                      <Link to={`/blocks/${data.height}`}>{count(data.height)}</Link>
                    </dd>
                  </>
                ) : null}
                {data.source ? (
                  <>
                    <dt>Source</dt>
                    <dd>
                      {isRegistered ? <Link to={`/sources/${source}`}>{data.source}</Link> : data.source}
                    </dd>
                  </>
                ) : null}
                {typeof data.window === "number" ? (
                  <>
                    <dt>{isSource ? "Window" : "Height"}</dt>
                    <dd>
                      <Link
                        to={isSource ? `/sources/${source}/windows/${data.window}` : `/blocks/${data.window}`}
                      >
                        {count(data.window)}
                      </Link>
                    </dd>
                  </>
                ) : null}
                {data.stream ? (
                  <>
                    <dt>{isSource ? "Stream" : "Step"}</dt>
                    <dd>{data.stream}</dd>
                  </>
                ) : null}
                {data.validator ? (
                  <>
                    <dt>Validator</dt>
                    <dd>
                      <ValidatorLink address={data.validator} />
                    </dd>
                  </>
                ) : null}
                <dt>Id</dt>
                <dd>
                  <code>{data.id}</code> <Copy text={data.id} label="id" />
                </dd>
              </dl>
              {data.kind === "equivocation" ? (
                <p className="flat">
                  <Link to="/evidence">The evidence that was shown</Link>
                </p>
              ) : null}
            </Card>
          );
        }}
      </Answer>
    </div>
  );
}
