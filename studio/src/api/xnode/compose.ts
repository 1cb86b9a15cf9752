/** Compose files (`crates/agent/src/api/import.rs`). */

/** A part of a compose file that is not done as Docker does it. */
export interface ImportFinding {
  line: number;
  column: number;
  /** `services.web.build` */
  path: string;
  key: string;
  /** `ignored` (nothing changes), `changed` (something near is done), `unsupported` (it would behave otherwise). */
  kind: string;
  why: string;
  /** It is unsupported, and nobody said that it can be done without. */
  is_left: boolean;
}

/** A document that was made of a compose file. */
export interface Imported {
  document: string;
  /** Nothing unsupported is left: the document does what the compose file says. */
  is_complete: boolean;
  /** Names of the secrets that it needs. */
  secrets: string[];
  /** In the order of the file. */
  findings: ImportFinding[];
}
