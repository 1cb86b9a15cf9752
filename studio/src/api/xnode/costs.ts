/** Costs (`crates/agent/src/costs.rs`). Amounts are decimal numbers as text. */

export interface DeploymentCost {
  currency: string;
  hour: string;
  month: string;
  before: string | null;
  changed: { name: string; before: string | null; after: string | null }[];
}

/** Cost of an application; its parts are those of a month. */
export interface ApplicationCost {
  name: string;
  runs: boolean;
  hour: string;
  month: string;
  processors: string;
  memory: string;
  disk: string;
  gpus: string;
}

export interface Costs {
  /** None where the document names no prices. */
  prices: { currency: string; processor: string; memory: string; disk: string; gpu: string } | null;
  applications: ApplicationCost[];
  hour: string;
  month: string;
}
