import { Link } from "react-router";
import type { ActionValue, AttestationInfo, EvidenceInfo, TransactionDetail } from "../../api/types";
import { Badge, Hash } from "../../design";
import { Table } from "../../design/Table";
import { bytes, count, open } from "../../lib/format";
import { Note } from "../explorer/StampTable";
import { AccountLink, ValidatorLink } from "../parts";

/** What a transaction carries: the fields of its action, a validator's word about a window, or two messages that were shown. */
export function Carried({ of }: { of: TransactionDetail }) {
  if (of.attestation) return <Attestation of={of.attestation} />;
  if (of.evidence) return <Evidence of={of.evidence} />;
  // Receiver and amount of a transfer stand above.
  if (of.fields.length === 0 || of.kind === "transfer") return null;
  return (
    <section aria-label="Fields of the action">
      <h3>What was signed</h3>
      <dl className="facts">
        {of.fields.map((field) => (
          <div className="fact" key={field.name}>
            <dt>{field.label}</dt>
            <dd>
              <Value of={field} kind={of.kind ?? ""} />
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** A value by the type that its declaration gives, so that an action of a new module needs nothing here. */
function Value({ of, kind }: { of: ActionValue; kind: string }) {
  const [value = ""] = of.values;
  if (of.type === "texts")
    return of.values.length === 0 ? (
      <span className="quiet">empty list</span>
    ) : (
      <span className="names">
        {of.values.map((each) => (
          <Badge key={each}>{each}</Badge>
        ))}
      </span>
    );
  if (value === "") return <span className="quiet">empty</span>;
  switch (of.type) {
    case "address":
      return <AccountLink address={value} whole />;
    case "amount":
      return open(value);
    case "hash":
      return (
        <Link to={`/stamps/${value}`}>
          <code className="long">{value}</code>
        </Link>
      );
    case "optional_text":
      return <Note text={value} />;
    default:
      if (of.name === "topic") return <Link to={`/stamps?topic=${encodeURIComponent(value)}`}>{value}</Link>;
      if (of.name === "id" && kind.endsWith("_source"))
        return <Link to={`/sources/${encodeURIComponent(value)}`}>{value}</Link>;
      return of.unit ? `${value} ${of.unit}` : value;
  }
}

function Attestation({ of }: { of: AttestationInfo }) {
  const source = encodeURIComponent(of.source);
  return (
    <section aria-label="Attestation">
      <h3>What it says</h3>
      <dl className="facts">
        <dt>Window</dt>
        <dd>
          <Link to={`/sources/${source}/windows/${of.window}`}>{count(of.window)}</Link> of{" "}
          <Link to={`/sources/${source}`}>{of.source}</Link>, under{" "}
          <Link to={`/epochs/${of.epoch}`}>epoch {count(of.epoch)}</Link>
        </dd>
        <dt>Not covered</dt>
        <dd>
          {of.abstained.length === 0 ? <span className="quiet">nothing</span> : of.abstained.join(", ")}
        </dd>
      </dl>
      <Table
        label="Claims"
        items={of.claims}
        keyOf={({ stream }) => stream}
        empty="It claims that there is no chunk."
        columns={[
          { head: "Stream", cell: ({ stream }) => stream },
          {
            head: "CID",
            cell: ({ cid }) => (
              <Link to={`/chunks/${cid}`}>
                <Hash text={cid} />
              </Link>
            ),
          },
          { head: "Events", number: true, cell: ({ events }) => count(events) },
          { head: "Size", number: true, cell: (claim) => bytes(claim.bytes) },
        ]}
      />
    </section>
  );
}

function Evidence({ of }: { of: EvidenceInfo }) {
  const message = (hash: string | null | undefined) =>
    hash ? (
      <>
        for block <code className="long">{hash}</code>
      </>
    ) : (
      "for no block"
    );
  return (
    <section aria-label="Evidence">
      <h3>What it shows</h3>
      <dl className="facts">
        <dt>Validator</dt>
        <dd>
          <ValidatorLink address={of.validator} /> signed two {of.step}s in round {of.round} of height{" "}
          <Link to={`/blocks/${of.height}`}>{count(of.height)}</Link>
        </dd>
        <dt>The one</dt>
        <dd>{message(of.first)}</dd>
        <dt>The other</dt>
        <dd>{message(of.second)}</dd>
      </dl>
    </section>
  );
}
