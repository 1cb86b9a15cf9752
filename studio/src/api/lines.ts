/** Answers that go on: one JSON value a line, read while it comes, and asked for again when it breaks off. */
import { RequestError, refusalOf } from "./client";
import { authorization } from "./token";

export type LinesState = "connecting" | "open" | "lost" | "refused" | "ended";

/** First and longest wait before asking again, in milliseconds; a random part keeps clients from coming all at once. */
const WAIT_MS_MIN = 500;
const WAIT_MS_MAX = 10_000;
/** Longest line, in characters: the agent's own lines are far below; a stranger's must not fill the memory. */
const LINE_CHARS_MAX = 4 << 20;

/** Cuts a text that comes in parts into lines. */
export class LineCutter {
  #rest = "";

  /** The lines that are whole with this part. Fails where a line has no end. */
  cut(part: string): string[] {
    const lines = (this.#rest + part).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > LINE_CHARS_MAX) throw new Error("A line of the answer has no end.");
    return lines.filter((line) => line.trim() !== "");
  }
}

export interface Following<T> {
  /** Address of what is still wanted: asked for before each connection. */
  path: () => string;
  /** What has come, in its order; many values that come together are one call. */
  onValues: (values: T[]) => void;
  onState: (state: LinesState, error: RequestError | null) => void;
  /** Asked for again when it ends, as by an agent that is started anew; on unless said otherwise. */
  again?: boolean;
}

/** Reads the values of one answer to its end, or until it is told to stop. */
export async function readLines<T>(
  body: ReadableStream<Uint8Array>,
  onValues: (values: T[]) => void,
  signal?: AbortSignal,
): Promise<void> {
  const reader = body.getReader();
  signal?.addEventListener("abort", () => void reader.cancel().catch(() => undefined), { once: true });
  const decoder = new TextDecoder();
  const cutter = new LineCutter();
  for (;;) {
    const { done, value } = await reader.read();
    // The last line of an answer that was cut off has no end: it is not told.
    const lines = cutter.cut(done ? decoder.decode() : decoder.decode(value, { stream: true }));
    if (lines.length > 0) onValues(lines.map((line) => JSON.parse(line) as T));
    if (done) return;
  }
}

/** How an address is asked. */
export type Ask = (path: string, init: RequestInit) => Promise<Response>;

const asked: Ask = (path, init) => fetch(path, init);

/** The present attempt of each stream that is followed. */
const attemptsNow = new Set<{ ends: AbortController }>();

/**
 * Has every stream asked for anew at once, from where it is. A connection that died while the machine slept, or behind a
 * door in between, looks open for as long as nothing is sent; so this is for whoever knows that nothing was heard for a while.
 */
export function renewStreams(): void {
  for (const { ends } of attemptsNow) ends.abort();
}

/** Follows an answer until the returned function is called. */
export function follow<T>(following: Following<T>, ask: Ask = asked): () => void {
  const leaving = new AbortController();
  const attempt = { ends: new AbortController() };
  attemptsNow.add(attempt);
  void going(following, ask, leaving.signal, attempt).finally(() => attemptsNow.delete(attempt));
  return () => leaving.abort();
}

async function going<T>(
  following: Following<T>,
  ask: Ask,
  signal: AbortSignal,
  attempt: { ends: AbortController },
): Promise<void> {
  const { onState, onValues, again = true } = following;
  let attempts = 0;
  while (!signal.aborted) {
    attempt.ends = new AbortController();
    const ends = AbortSignal.any([signal, attempt.ends.signal]);
    const refused = await once(following, ask, ends, {
      open: () => {
        if (!signal.aborted) onState("open", null);
      },
      values: (values) => {
        attempts = 0;
        if (!signal.aborted) onValues(values);
      },
    });
    if (signal.aborted) return;
    if (ends.aborted) {
      attempts = 0;
      continue;
    }
    if (refused === "ended" && !again) return onState("ended", null);
    if (refused instanceof RequestError && isForGood(refused)) return onState("refused", refused);
    onState("lost", refused instanceof RequestError ? refused : null);
    const wait = Math.min(WAIT_MS_MAX, WAIT_MS_MIN * 2 ** attempts);
    attempts += 1;
    await pause(wait / 2 + Math.random() * (wait / 2), ends);
    if (ends.aborted) attempts = 0;
  }
}

/** Words of whatever stands in front of an agent that is not there at the moment. */
const PASSING = ["unknown_path", "no_agent", "not_json"];

/** What is refused for its own sake will be refused again; a door in front that finds no agent will find one. */
const isForGood = ({ status, code }: RequestError): boolean =>
  status >= 400 && status < 500 && status !== 429 && !PASSING.includes(code);

/** One answer: `ended` where it came to its end, else what broke it off. */
async function once<T>(
  { path }: Following<T>,
  ask: Ask,
  signal: AbortSignal,
  heard: { open: () => void; values: (values: T[]) => void },
): Promise<"ended" | RequestError | null> {
  try {
    const wanted = path();
    const headers = authorization(wanted);
    const answer = await ask(wanted, { credentials: "same-origin", headers, signal });
    if (!answer.ok || !answer.body) return await refusalOf(answer);
    heard.open();
    await readLines<T>(answer.body, heard.values, signal);
    return "ended";
  } catch {
    return null;
  }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
