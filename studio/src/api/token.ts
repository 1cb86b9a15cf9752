/**
 * Sessions where no cookie carries them. Cookies of loopback go to every port of the machine, those of applications too,
 * and without TLS no cookie is kept; there a session is a bearer token, which lasts as long as the tab and goes to the
 * paths of whoever gave it alone.
 */

/** A place of a token, and the paths that it goes to. */
interface Holder {
  key: string;
  paths: RegExp;
}

const XNODE: Holder = { key: "openmesh-xnode-session", paths: /^\/v1\/xnode(\/|\?|$)/ };
const NODE: Holder = { key: "openmesh-node-session", paths: /^\/v1\/auth\// };

/** True where a session lies in a cookie, which this page does not see. */
export const hasCookie = (
  at: Pick<Location, "protocol" | "hostname"> | undefined = globalThis.location,
): boolean =>
  at !== undefined &&
  at.protocol === "https:" &&
  !/^(localhost|.*\.localhost|127\..*|\[::1\])$/.test(at.hostname);

function keep(holder: Holder, token: string | null): void {
  if (token !== null && !hasCookie()) sessionStorage.setItem(holder.key, token);
  else sessionStorage.removeItem(holder.key);
}

const kept = (holder: Holder): string | null =>
  typeof sessionStorage === "undefined" ? null : sessionStorage.getItem(holder.key);

/** Keeps the token of an Xnode's session where the browser has no cookie of it; nothing takes it away. */
export const keepToken = (token: string | null): void => keep(XNODE, token);

/** The token of this tab for the Xnode; `null` where there is none. */
export const tokenNow = (): string | null => kept(XNODE);

/** The same for the session of a node. */
export const keepNodeToken = (token: string | null): void => keep(NODE, token);

/** The token of this tab for the node; `null` where there is none. */
export const nodeTokenNow = (): string | null => kept(NODE);

/** The header with which a path is asked. */
export function authorization(path: string): Record<string, string> {
  const holder = [XNODE, NODE].find((each) => each.paths.test(path));
  const token = holder === undefined ? null : kept(holder);
  return token === null ? {} : { authorization: `Bearer ${token}` };
}
