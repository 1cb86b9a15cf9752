/**
 * The session of an Xnode where no cookie carries it: cookies of loopback go to every port of the machine, those of
 * applications too, so there the agent gives a bearer token. It lasts as long as the tab, and goes to the agent alone.
 */

const KEY = "openmesh-xnode-session";
const PATHS = /^\/v1\/xnode(\/|\?|$)/;

const isLoopback = (): boolean =>
  typeof location !== "undefined" && /^(localhost|127\..*|\[::1\])$/.test(location.hostname);

/** Keeps the token of a session where the browser has no cookie of it; nothing takes it away. */
export function keepToken(token: string | null): void {
  if (token !== null && isLoopback()) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

/** The token of this tab; `null` where there is none. */
export const tokenNow = (): string | null =>
  typeof sessionStorage === "undefined" ? null : sessionStorage.getItem(KEY);

/** The header with which a path is asked. */
export function authorization(path: string): Record<string, string> {
  const token = PATHS.test(path) ? tokenNow() : null;
  return token === null ? {} : { authorization: `Bearer ${token}` };
}
