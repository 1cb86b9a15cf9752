/** A move of an application between machines: how far it is, in bytes, and the way back. */
import type { Move as Moving } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { undoMove, useAct, useMoves } from "../../api/xnodeQueries";
import { Card, Notice, Share, type Tone } from "../../design";
import { duration } from "../../lib/format";
import { binary } from "../../lib/quantity";
import { When } from "../parts";
import { Act, By, Refused } from "./parts";

/** The move of an application; nothing where it does not move. */
export function Move({ name }: { name: string }) {
  const { data } = useMoves();
  const move = data?.moves.find(({ application }) => application === name);
  return move === undefined ? null : <Underway key={move.id} of={move} />;
}

function Underway({ of: move }: { of: Moving }) {
  const { application, other, leaves, departing, cause, by, begun, undo_left_ms: left } = move;
  const may = useMay("operator");
  const undoing = useAct(undoMove);
  const isGone = departing === "gone";
  return (
    <Card
      title={`Move ${leaves ? "to" : "from"} ${other}`}
      actions={
        move.can_undo ? (
          <Act
            words={isGone ? "Undo" : "Cancel"}
            label={isGone ? `Bring ${application} back from ${other}` : `Cancel the move to ${other}`}
            busy={undoing.isPending}
            why={may}
            onAct={() => undoing.mutate(application)}
          />
        ) : null
      }
    >
      <div className="stack">
        <Notice tone={toneOf(move)} title={wordsOf(move)}>
          {cause}
        </Notice>
        <Step of={move} />
        <p className="quiet flat">
          Begun <When at={begun} /> by <By who={by} />
          {left === null ? "." : `; it can be undone for ${duration(left)} more.`}
        </p>
        {undoing.error ? <Refused error={undoing.error} /> : null}
      </div>
    </Card>
  );
}

/** The present step with its bytes. */
function Step({ of: { step, bytes, all_bytes: all } }: { of: Moving }) {
  return (
    <p className="row flat">
      {step}{" "}
      {all > 0 ? (
        <>
          <Share value={Math.min(1, bytes / all)} label="Bytes that are done" />
          {binary(bytes)} of about {binary(all)}
        </>
      ) : null}
    </p>
  );
}

function toneOf({ departing, arriving, waits_since: since, is_down: isDown }: Moving): Tone {
  if (since !== null) return isDown ? "bad" : "warn";
  if (departing === "returns" || arriving === "refused") return "warn";
  if (isDown) return "plain";
  return departing === "gone" || departing === "over" || arriving === "kept" ? "good" : "plain";
}

/** Where it serves, in a sentence. */
function wordsOf({ departing, arriving, other, is_down: isDown }: Moving): string {
  switch (departing) {
    case "tries":
      return `It serves here, while ${other} tries a copy of it`;
    case "quiets":
      return `It has stopped here, and its last changes go to ${other}`;
    case "hands":
      return `${other} is about to serve it`;
    case "gone":
    case "over":
      return isDown
        ? `It has passed its gate at ${other}, which lets nobody in yet`
        : `It serves at ${other}`;
    case "recalls":
      return `It comes back from ${other}`;
    case "returns":
      return isDown
        ? `It comes back from ${other}, and does not serve here yet`
        : `It serves here, and does not move to ${other}`;
    case null:
      break;
  }
  switch (arriving) {
    case "serves":
    case "kept":
      return isDown ? `It has come from ${other}, and lets nobody in yet` : `It has come from ${other}`;
    case "refused":
    case "dropped":
      return `It does not come from ${other}`;
    case "gives_back":
    case "given":
      return `It goes back to ${other}`;
    default:
      return `It comes from ${other}, and does not serve here yet`;
  }
}
