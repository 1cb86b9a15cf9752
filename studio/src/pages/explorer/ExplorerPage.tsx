import { Link } from "react-router";
import { useBlocks, useStatus } from "../../api/queries";
import type { Status } from "../../api/types";
import { Card } from "../../design";
import { count } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { Answer } from "../parts";
import { BlockTable } from "../network/BlockTable";

interface Kind {
  to: string;
  name: string;
  words: string;
  /** How many there are, where the status says it. */
  number?: (status: Status) => number;
}

/** Every kind of record of the ledger. */
const KINDS: readonly Kind[] = [
  {
    to: "/blocks",
    name: "Blocks",
    words: "Each with its transactions, events and signatures.",
    number: (of) => of.height,
  },
  {
    to: "/transactions",
    name: "Transactions",
    words: "What accounts and validators wrote, done or refused.",
  },
  { to: "/events", name: "Events", words: "What each block did, live, by kind and by whom." },
  {
    to: "/validators",
    name: "Validators",
    words: "Power, signatures, attestations.",
    number: (of) => of.validators,
  },
  { to: "/data", name: "Sources", words: "Venues and chains with their instruments and windows." },
  {
    to: "/chunks",
    name: "Chunks",
    words: "Windows of data that were agreed on.",
    number: (of) => of.chunks_accepted,
  },
  { to: "/epochs", name: "Epochs", words: "Who collects what, and the roots that stay for ever." },
  { to: "/stamps", name: "Stamps", words: "Hashes with a topic: who knew what, and when." },
  {
    to: "/incidents",
    name: "Incidents",
    words: "What went wrong and was noticed.",
    number: (of) => of.incidents,
  },
  { to: "/evidence", name: "Evidence", words: "Two messages that one validator must not both sign." },
  { to: "/parameters", name: "Parameters", words: "The numbers in the network's rules." },
  {
    to: "/upgrades",
    name: "Upgrades",
    words: "Rule sets, plans that validators approve, and what came of them.",
  },
  { to: "/actions", name: "Actions", words: "What an account can sign, each with a form." },
  { to: "/supply", name: "Supply", words: "Where all OPEN stands: pools, accounts, deposits, burnt." },
  { to: "/deposits", name: "Deposits", words: "What is held for records, and goes back when they go." },
];

/** The way to every kind of record. The field above finds a single one. */
export function ExplorerPage() {
  useTitle("Explorer");
  const status = useStatus();
  const blocks = useBlocks();
  return (
    <div className="stack">
      <div className="heading">
        <h1>Explorer</h1>
        <p className="quiet flat">
          Everything that is written into the ledger. The field at the top finds one by height, hash, address,
          CID or name; <kbd>/</kbd> leads there.
        </p>
      </div>
      <ul className="kinds" aria-label="Kinds of records">
        {KINDS.map(({ to, name, words, number }) => (
          <li key={to}>
            <Link to={to}>{name}</Link>{" "}
            {status.data && number ? <span className="quiet">{count(number(status.data))}</span> : null}
            <p className="flat quiet">{words}</p>
          </li>
        ))}
      </ul>
      <Card title="Latest blocks" flush>
        <Answer of={blocks} what="blocks">
          {({ items }) => (
            <BlockTable items={items.slice(0, 10)} label="Latest blocks" empty="No block yet." />
          )}
        </Answer>
      </Card>
    </div>
  );
}
