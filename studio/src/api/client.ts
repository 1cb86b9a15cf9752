import { authorization } from "./token";
import type { ApiError } from "./types";

/** A refusal of the API, or no answer at all (`code` is then `no_answer`). */
export class RequestError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly status: number;
  /** The ledger's own word, where it refused a transaction. */
  readonly ledgerCode: string | undefined;

  /** `code` is the contract's, or one of this page's own where no node answered. */
  constructor(status: number, error: Omit<ApiError, "code" | "hint"> & { code: string; hint?: string }) {
    super(error.message);
    this.name = "RequestError";
    this.status = status;
    this.code = error.code;
    this.hint = error.hint;
    this.ledgerCode = error.ledger_code ?? undefined;
  }
}

/** What a request carries: a value as JSON, or bytes and text of a type as they are. */
type Sent = { json: unknown } | { body: string | Blob; type: string };

const carrying = (path: string, sent: Sent | undefined) =>
  sent === undefined
    ? { headers: authorization(path) }
    : {
        body: "json" in sent ? JSON.stringify(sent.json) : sent.body,
        headers: { ...authorization(path), "content-type": "json" in sent ? "application/json" : sent.type },
      };

async function ask(
  method: string,
  path: string,
  sent?: Sent,
  signal?: AbortSignal,
  also: Record<string, string> = {},
): Promise<Response> {
  const carried = carrying(path, sent);
  try {
    return await fetch(path, {
      method,
      credentials: "same-origin",
      ...carried,
      headers: { ...carried.headers, ...also },
      ...(signal ? { signal } : {}),
    });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new RequestError(0, {
      code: "no_answer",
      message: "The node does not answer.",
      hint: "It may be restarting; this page tries again by itself.",
    });
  }
}

const notJson = (answer: Response) =>
  new RequestError(answer.status, {
    code: "not_json",
    message: `The node answered ${answer.status} without JSON.`,
    hint: "Something between this page and the node may have answered in its place.",
  });

async function request<T>(method: string, path: string, sent?: Sent, signal?: AbortSignal): Promise<T> {
  const answer = await ask(method, path, sent, signal);
  if (answer.status === 204) return undefined as T;
  if (!answer.ok) throw await refusalOf(answer);
  const text = await answer.text();
  try {
    return JSON.parse(text) as T;
  } catch {
    throw notJson(answer);
  }
}

/** What an answer with a status above 399 refuses: the gateway's error below `error`, or an Xnode's own as it stands. */
export async function refusalOf(answer: Response): Promise<RequestError> {
  const text = await answer.text().catch(() => "");
  let json: { error?: ApiError; code?: unknown; message?: unknown } | null;
  try {
    json = JSON.parse(text) as typeof json;
  } catch {
    return notJson(answer);
  }
  if (json?.error) return new RequestError(answer.status, json.error);
  if (typeof json?.code === "string" && typeof json.message === "string")
    return new RequestError(answer.status, { code: json.code, message: json.message });
  return new RequestError(answer.status, {
    code: "unknown",
    message: `The node answered ${answer.status}.`,
    hint: "Load the page again; the node's log may say more.",
  });
}

/** Keeps only what is set, so that addresses stay short. */
export function query(parameters: Record<string, string | number | null | undefined>): string {
  const set = Object.entries(parameters).filter(
    ([, value]) => value !== undefined && value !== null && value !== "",
  );
  return set.length === 0
    ? ""
    : "?" + new URLSearchParams(set.map(([key, value]) => [key, String(value)])).toString();
}

export const get = <T>(path: string, signal?: AbortSignal) => request<T>("GET", path, undefined, signal);
export const post = <T>(path: string, body: unknown, signal?: AbortSignal) =>
  request<T>("POST", path, { json: body }, signal);
export const remove = <T>(path: string) => request<T>("DELETE", path);
/** Sends a text or bytes of a type as they are; without a body where nothing is to be said. */
export const send = <T>(method: string, path: string, body?: string | Blob, type = "text/plain") =>
  request<T>(method, path, body === undefined ? undefined : { body, type });
/** Sends a value as JSON by another method than POST. */
export const put = <T>(path: string, body: unknown) => request<T>("PUT", path, { json: body });
/** An answer as it comes, to a request with headers and perhaps bytes of its own. */
export async function answered(
  method: string,
  path: string,
  wish: {
    headers: Record<string, string>;
    body?: string | Blob | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<Response> {
  const sent = wish.body === undefined ? undefined : { body: wish.body, type: "application/octet-stream" };
  const answer = await ask(method, path, sent, wish.signal, wish.headers);
  if (!answer.ok) throw await refusalOf(answer);
  return answer;
}
/** An answer that is text and not JSON. */
export const text = async (path: string, signal?: AbortSignal): Promise<string> => {
  const answer = await ask("GET", path, undefined, signal);
  if (!answer.ok) throw await refusalOf(answer);
  return answer.text();
};
