/** Words for the states of applications, and what may be done about each. */
import type { Application, ApplicationState, Restart, WorkState, XnodeInfo } from "../api/xnode";

type Tone = "plain" | "good" | "warn" | "bad" | "hole";

export const STATES: Record<ApplicationState, { tone: Tone; words: string; remedy: string | null }> = {
  running: { tone: "good", words: "running", remedy: null },
  starting: { tone: "plain", words: "starting", remedy: null },
  stopped: { tone: "plain", words: "stopped", remedy: null },
  crash_loop: {
    tone: "bad",
    words: "crash loop",
    remedy:
      "It is tried again each minute. Its log has its last words; go back to a generation that ran, or change its settings.",
  },
  frozen: {
    tone: "warn",
    words: "frozen",
    remedy:
      "Nothing continues it by itself, since a person may be debugging it: send SIGCONT to its first process, or stop it and start it again.",
  },
  ended: {
    tone: "warn",
    words: "ended",
    remedy:
      "Its restart policy starts it no more. Restart it by hand, or set another policy in its settings.",
  },
  failed: {
    tone: "bad",
    words: "failed",
    remedy:
      "The new version did not become healthy and got no traffic. Look at its log, then change its settings or go back.",
  },
  held: {
    tone: "bad",
    words: "held",
    remedy: "It is left as it is until the cause is gone; then it goes on by itself.",
  },
  leaving: { tone: "plain", words: "leaving", remedy: null },
};

/** Conditions of an application that runs: shown with figures, and nothing is restarted for one. */
const CONDITIONS: Record<string, string | undefined> = {
  throttled: "throttled",
  out_of_memory: "out of memory",
  disk_full: "disk full",
};
export const conditionWords = (kind: string): string => CONDITIONS[kind] ?? kind.replaceAll("_", " ");

/** A state of a later agent is shown by its own word. */
export const stateOf = (state: string) =>
  (STATES as Record<string, (typeof STATES)[ApplicationState] | undefined>)[state] ?? {
    tone: "plain" as const,
    words: state.replaceAll("_", " "),
    remedy: null,
  };

/** How far a restart is, behind its number. */
export function restartWords({ left, is_over: isOver }: Pick<Restart, "left" | "is_over">): string {
  if (isOver) return "is done";
  if (left.length === 0) return "goes on: what was started is not healthy yet";
  return `goes on: ${left.length} ${left.length === 1 ? "instance is" : "instances are"} still to be started`;
}

/** A state that nobody wished, or a condition that somebody should look at. */
export const isTroubled = ({ state, conditions }: Application): boolean =>
  ["warn", "bad"].includes(stateOf(state).tone) || (conditions ?? []).length > 0;

/** What the filters leave of the applications. */
export function applicationsOf(
  all: readonly Application[],
  filter: { text: string; state: string },
): Application[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  return all.filter((application) => {
    const fits =
      filter.state === "" ||
      (filter.state === "trouble" ? isTroubled(application) : application.state === filter.state);
    const haystack = [application.name, application.image ?? "", ...Object.keys(application.ports)]
      .join(" ")
      .toLowerCase();
    return fits && words.every((word) => haystack.includes(word));
  });
}

/** A place on the host as the agent says it: `127.0.0.1:8088/tcp`, `[::]:53/udp`. */
export interface HostPlace {
  address: string;
  port: number;
  protocol: string;
}

export function placeOf(text: string): HostPlace | null {
  const [, address, port, protocol] = /^(.+):(\d+)(?:\/([a-z]+))?$/.exec(text) ?? [];
  if (address === undefined || port === undefined) return null;
  return { address: address.replace(/^\[(.*)\]$/, "$1"), port: Number(port), protocol: protocol ?? "tcp" };
}

const isLoopback = (address: string): boolean =>
  address === "::1" || address === "localhost" || /^127\./.test(address);
const isAny = (address: string): boolean => address === "0.0.0.0" || address === "::";
/** Names of ports, or ends of names, that a browser can open; a port of another name may speak anything. */
const WEB = /(^|-)(http|https|web|ui|api|www)$/;

export interface Opening {
  port: string;
  url: string;
  /** Published on loopback alone, and this browser runs elsewhere. */
  isLocal: boolean;
  /** It is called like a port of the web. */
  isWeb: boolean;
}

/** Addresses at which a browser at `hostname` finds the application's published TCP ports; those of the web come first. */
export function openings({ ports }: Pick<Application, "ports">, hostname: string): Opening[] {
  const found = Object.entries(ports).flatMap(([port, text]): Opening[] => {
    const place = text === null ? null : placeOf(text);
    if (!place || place.protocol === "udp") return [];
    const here = isLoopback(hostname) || hostname === "[::1]";
    const local = isLoopback(place.address);
    const host = local || isAny(place.address) ? hostname : place.address;
    const named = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
    const scheme = /(^|-)https$/.test(port) ? "https" : "http";
    const isWeb = WEB.test(port) || place.protocol === "http";
    return [{ port, url: `${scheme}://${named}:${place.port}/`, isLocal: local && !here, isWeb }];
  });
  return [...found.filter(({ isWeb }) => isWeb), ...found.filter(({ isWeb }) => !isWeb)];
}

const WORK: Record<WorkState, { tone: "good" | "warn" | "plain"; words: string }> = {
  begins: { tone: "plain", words: "the agent begins: nothing was looked at yet" },
  idle: { tone: "plain", words: "nothing is wanted of it yet" },
  works: { tone: "plain", words: "at work" },
  rests: { tone: "good", words: "everything is as it is wanted" },
  held: { tone: "warn", words: "something is held or fails" },
};

/** The machine in a line. It does not rest as long as a generation is on its way, whatever its agent said last: that was of the one before. */
export function machineInWords({ work, current, wanted }: XnodeInfo): { tone: string; words: string } {
  if (wanted !== current && (work.state === "rests" || work.state === "idle"))
    return {
      tone: "plain",
      words: `generation ${wanted} is on its way${current === 0 ? "" : ` · generation ${current} serves`}`,
    };
  const known = (WORK as Record<string, (typeof WORK)[WorkState] | undefined>)[work.state];
  const { tone, words } = known ?? { tone: "plain", words: work.state };
  const generation =
    wanted === 0
      ? ""
      : current === wanted
        ? ` · generation ${current}`
        : current === 0
          ? ` · generation ${wanted} is on its way`
          : ` · generation ${current} serves, ${wanted} is on its way`;
  return {
    tone,
    words: `${words}${work.state === "works" && work.step ? `: ${work.step}` : ""}${generation}`,
  };
}

/** States in which an application may be between two versions; in every other one its own words say more. */
const CHANGING: readonly string[] = ["running", "starting", "stopped", "leaving"];

/** The generation whose version of an application is on its way; none where the application is as that wants it. */
export function onItsWay(
  { state, revision, instances }: Pick<Application, "state" | "revision" | "instances">,
  { current, wanted }: Pick<XnodeInfo, "current" | "wanted">,
): number | null {
  if (wanted === current || !CHANGING.includes(state)) return null;
  const isOwn = ({ id }: { id: string }) => revision !== null && id.startsWith(`${revision}.`);
  const isThere = state === "stopped" || instances.some((each) => isOwn(each) && each.admitted);
  return isThere && instances.every(isOwn) ? null : wanted;
}
