/** Moves between machines (`crates/agent/src/moves/views.rs`). */

/** State of an application on the machine that it leaves. */
export type DepartingState = "tries" | "quiets" | "hands" | "gone" | "recalls" | "returns" | "over";

/** State of an application on the machine to which it comes. */
export type ArrivingState =
  "arrives" | "ready" | "told" | "serves" | "kept" | "refused" | "gives_back" | "given" | "dropped";

export interface Move {
  /** The same on both machines. */
  id: string;
  application: string;
  /** It leaves this machine; else it comes here. */
  leaves: boolean;
  /** Name of the other machine. */
  other: string;
  /** Address of the other machine's agent, where the application leaves. */
  to: string | null;
  by: string;
  begun: string;
  /** State here, where it leaves. */
  departing: DepartingState | null;
  /** State on the machine to which it comes, as it was said last. */
  arriving: ArrivingState | null;
  step: string;
  /** Of the step. */
  bytes: number;
  /** 0 where the step has none. */
  all_bytes: number;
  /** Cause of its return, or of what it waits for. */
  cause: string | null;
  /** Moment since which it does not get further. */
  waits_since: string | null;
  /** Clients are let in nowhere. */
  is_down: boolean;
  can_undo: boolean;
  /** Once it serves there. */
  undo_left_ms: number | null;
}

export interface EndedMove {
  id: string;
  application: string;
  leaves: boolean;
  other: string;
  begun: string;
  at: string;
  outcome: "moved" | "returned" | "forgotten";
  cause: string | null;
}

/** A move that a person wants. The key is in no answer. */
export interface MoveWish {
  /** Address of the other machine's agent. */
  to: string;
  /** API key or token of a session there. */
  key: string;
  /** Certificate as PEM, where the other machine has one of its own authority. */
  root: string | null;
}

export interface Moves {
  moves: Move[];
  /** The newest first. */
  ended: EndedMove[];
}
