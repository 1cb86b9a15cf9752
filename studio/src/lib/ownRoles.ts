/** Roles of one's own: each narrows one of the four to some endpoints, by method and path (A-70 to A-74 of `docs/spec/access.md`). */
import type { OwnRole, Role } from "../api/xnode";

/** A role to choose: one of the four, or one of one's own with the one that it narrows. */
export interface RoleChoice {
  value: string;
  role: Role;
  only: string | null;
}

const choice = (role: Role, only: string | null): RoleChoice => ({
  value: only === null ? role : `${role} ${only}`,
  role,
  only,
});

/** The choices of whoever may give these roles; `now` is among them, whatever it is. */
export function roleChoices(
  roles: readonly Role[],
  own: readonly OwnRole[],
  now?: { role: Role; only?: string | null },
): RoleChoice[] {
  const all = roles.flatMap((role) => [
    choice(role, null),
    ...own.filter(({ of }) => of === role).map(({ name }) => choice(role, name)),
  ]);
  if (!now) return all;
  const present = choice(now.role, now.only ?? null);
  return all.some(({ value }) => value === present.value) ? all : [present, ...all];
}

export const roleWords = (role: Role, only: string | null | undefined): string =>
  only ? `${role}, only ${only}` : role;

/** What is sent for a choice: where a role of one's own narrows them now, an empty word says that none does any more. */
export const onlyFor = (
  { only }: Pick<RoleChoice, "only">,
  now: { only?: string | null } | undefined,
): string | null => only ?? (now?.only ? "" : null);

/** Rights as somebody writes them, one a line. */
export const readRights = (text: string): string[] =>
  text
    .split("\n")
    .map((line) => line.trim().replace(/\s+/g, " "))
    .filter((line) => line !== "");

/** The reason for which a right is none; nothing where the agent has the last word. */
export function rightFault(right: string): string | undefined {
  const [method = "", path = "", ...more] = right.split(" ");
  if (path === "" || more.length > 0) return `“${right}” is no method and path`;
  if (!["*", "GET", "POST", "PUT", "DELETE"].includes(method))
    return `“${method}” is none of GET, POST, PUT, DELETE and *`;
  if (!/^\/v1\/xnode(\/|$)/.test(path)) return `“${path}” begins with something else than /v1/xnode`;
  return undefined;
}
