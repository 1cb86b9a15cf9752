import { originWords, type Box } from "../../../compose/boxes";
import { Empty } from "../../../design";
import { Act } from "../parts";
import { Signs } from "./BoxView";

/** The same as the canvas, as a list: for small screens, and for whoever likes lists better. */
export function Outline({
  boxes,
  selected,
  onOpen,
  onLink,
  onCopy,
  onRemove,
}: {
  boxes: readonly Box[];
  selected: string | null;
  onOpen: (name: string) => void;
  onLink: (name: string) => void;
  onCopy: (name: string) => void;
  onRemove: (name: string) => void;
}) {
  if (boxes.length === 0) return <Empty>Nothing is here yet. Choose a template to begin with.</Empty>;
  return (
    <ul className="outline" aria-label="Applications">
      {boxes.map((box) => {
        const { name, node, draft } = box;
        return (
          <li key={name} className={name === selected ? "chosen-box" : undefined}>
            <span className="row spread">
              <strong className="long">{name}</strong>
              <Signs box={box} />
            </span>
            <span className="quiet long">{originWords(box)}</span>
            {node && node.links.length > 0 ? <span>reaches {node.links.join(", ")}</span> : null}
            {node && node.after.length > 0 ? <span>starts after {node.after.join(", ")}</span> : null}
            <span className="row">
              <Act
                words={name === selected ? "Chosen" : "Settings"}
                label={`Settings of ${name}`}
                busy={false}
                why={undefined}
                onAct={() => onOpen(name)}
              />
              <Act
                words="Link to…"
                label={`Link ${name} to…`}
                busy={false}
                why={draft ? "It is in no document yet: give its options first" : undefined}
                onAct={() => onLink(name)}
              />
              <Act
                words="Copy"
                label={`Copy ${name}`}
                busy={false}
                why={draft ? "It is in no document yet: give its options first" : undefined}
                onAct={() => onCopy(name)}
              />
              <Act
                words="Take out"
                label={`Take out ${name}`}
                busy={false}
                why={undefined}
                onAct={() => onRemove(name)}
              />
            </span>
          </li>
        );
      })}
    </ul>
  );
}
