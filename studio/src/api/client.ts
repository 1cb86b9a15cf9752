import type { ApiError } from "./types";

/** A refusal of the API, or no answer at all (`code` is then `no_answer`). */
export class RequestError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly status: number;
  /** The ledger's own word, where it refused a transaction. */
  readonly ledgerCode: string | undefined;

  /** `code` is the contract's, or one of this page's own where no node answered. */
  constructor(status: number, error: Omit<ApiError, "code"> & { code: string }) {
    super(error.message);
    this.name = "RequestError";
    this.status = status;
    this.code = error.code;
    this.hint = error.hint;
    this.ledgerCode = error.ledger_code ?? undefined;
  }
}

async function request<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      credentials: "same-origin",
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
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
  if (answer.status === 204) return undefined as T;
  const text = await answer.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new RequestError(answer.status, {
      code: "not_json",
      message: `The node answered ${answer.status} without JSON.`,
      hint: "Something between this page and the node may have answered in its place.",
    });
  }
  if (answer.ok) return json as T;
  const error = (json as { error?: ApiError }).error;
  throw new RequestError(
    answer.status,
    error ?? {
      code: "unknown",
      message: `The node answered ${answer.status}.`,
      hint: "Load the page again; the node's log may say more.",
    },
  );
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
  request<T>("POST", path, body, signal);
export const remove = <T>(path: string) => request<T>("DELETE", path);
