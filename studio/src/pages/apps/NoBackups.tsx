import { Link } from "react-router";
import type { BackupOverview } from "../../api/xnode";
import { Card } from "../../design";
import { Command } from "./parts";

/** Refusals of a list of backups that say no fault: there can be none yet, and a person changes that. */
export const LACKS: readonly string[] = ["no_backup_target", "no_owner", "no_volumes"];

/** What stands where an application can have no backups yet: why, and each thing that is left to do for it. */
export function NoBackups({
  name,
  hasVolumes,
  place,
  overview: { keys, targets },
}: {
  name: string;
  hasVolumes: boolean;
  /** The place that its document names. */
  place: string | null;
  overview: Pick<BackupOverview, "keys" | "targets">;
}) {
  if (!hasVolumes)
    return (
      <Card title="It has no backups">
        <p className="flat">
          It has no volume, so that there is nothing of it to keep: the document of the machine brings it back
          as it is. Data that are to stay belong into a volume, by <code>volumes</code> in{" "}
          <Link to={`/apps/${name}/settings`}>its settings</Link>.
        </p>
      </Card>
    );
  const to = place ?? targets[0]?.name ?? "disk";
  return (
    <Card title="It has no backups">
      <div className="stack">
        <p className="flat">
          Its data are on this machine alone, and lost with it. What is left to do for backups of it:
        </p>
        <ol className="flat">
          {keys.owner === null ? (
            <li>
              The owner&apos;s key, once for the machine: set it among the{" "}
              <Link to="/node/backups">backups of the node</Link>, or there, as root:
              <Command text="openmesh xnode backup-key make owner.key" />
            </li>
          ) : null}
          {targets.length === 0 ? (
            <li>
              A place for backups, below <code>machine</code> in{" "}
              <Link to="/deploy?whole=1">the document of the machine</Link>:{" "}
              <code className="long">
                backups: {`{ ${to}: { kind: folder, address: /mnt/backup/xnode } }`}
              </code>
            </li>
          ) : null}
          {place === null ? (
            <li>
              That place and a schedule, in UTC, in <Link to={`/apps/${name}/settings`}>its settings</Link>:{" "}
              <code className="long">backup: {`{ to: ${to}, schedule: "30 3 * * *" }`}</code>
            </li>
          ) : null}
        </ol>
        <p className="quiet flat">Then each moment of the schedule makes one; this makes one at once:</p>
        <Command text={`openmesh app backup ${name}`} />
      </div>
    </Card>
  );
}
