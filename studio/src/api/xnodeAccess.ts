/** Who is signed in at an Xnode, and what they may. The agent decides; this only says beforehand what it would refuse. */
import { keepPreviousData, useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { get, post, put, query, remove, RequestError } from "./client";
import { draftsBelongTo, forgetDrafts } from "../lib/draft";
import { keepToken } from "./token";
import { ROOT } from "./xnodeQueries";
import { eventHistory } from "./xnodeEvents";
import type { Page } from "./types";
import type {
  AccessNonce,
  AccessSession,
  ApiKey,
  AuditRecord,
  AuditReport,
  Leave,
  MadeKey,
  Me,
  Member,
  OwnRole,
  Role,
  SignedIn,
  Untaken,
  Visited,
  Way,
} from "./xnode";

const ACCESS = `${ROOT}/access`;
const part = encodeURIComponent;
const ROLES: readonly Role[] = ["viewer", "operator", "admin", "owner"];

/** Who asks; `null` where nobody is signed in. */
export const useMe = (isOn = true) =>
  useQuery({
    queryKey: ["xnode", "me"],
    queryFn: async ({ signal }) => {
      try {
        const me = await get<Me>(`${ACCESS}/me`, signal);
        draftsBelongTo(me.who);
        return me;
      } catch (error) {
        if (error instanceof RequestError && [401, 404, 502, 503].includes(error.status)) return null;
        throw error;
      }
    },
    refetchInterval: 30_000,
    enabled: isOn,
  });

/** The reason for which somebody may not do what needs a role; nothing where they may, or where that is not known. */
export function useMay(least: Role): string | undefined {
  const { data: me } = useMe();
  return reasonAgainst(me?.role, least);
}

export function reasonAgainst(role: Role | undefined, least: Role): string | undefined {
  if (role === undefined || ROLES.indexOf(role) >= ROLES.indexOf(least)) return undefined;
  return `This needs the role ${least}, and ${role} is yours`;
}

/** Roles that a role may give, change and take: an owner every role, an admin those below its own. */
export const governed = (role: Role | undefined): readonly Role[] =>
  role === "owner" || role === undefined ? ROLES : role === "admin" ? ROLES.slice(0, 2) : [];

export const askNonce = () => get<AccessNonce>(`${ACCESS}/nonce`);

export async function signInAt(message: string, signature: string, code: string): Promise<SignedIn> {
  const session = await post<SignedIn>(`${ACCESS}/sign-in`, {
    message,
    signature,
    ...(code.trim() === "" ? {} : { code: code.trim() }),
  });
  keepToken(session.token);
  draftsBelongTo(session.wallet);
  return session;
}

/** The application that a visitor wants to open; refused for an address to which nobody is led back. */
export const askVisited = (way: Way, signal?: AbortSignal) =>
  get<Visited>(`${ACCESS}/visit${query({ ...way, tls: String(way.tls) })}`, signal);
export const visitAt = (way: Way, message: string, signature: string) =>
  post<Leave>(`${ACCESS}/visit`, { way, message, signature });

export async function signOutAt(): Promise<void> {
  try {
    await remove<unknown>(`${ACCESS}/session`);
  } catch (error) {
    // A session that has ended already is no reason to keep it.
    if (!(error instanceof RequestError) || error.status !== 401) throw error;
  }
  keepToken(null);
  forgetDrafts();
}

/** What was shown to somebody is not for whoever comes after them. */
export async function becomeSomebody(client: QueryClient): Promise<void> {
  client.removeQueries({ queryKey: ["xnode-document"] });
  client.removeQueries({ queryKey: ["xnode-difference"] });
  client.removeQueries({ queryKey: ["xnode-files"] });
  // Whoever signs in first owns the Xnode: the next one is asked for no code.
  client.removeQueries({ queryKey: ["xnode-nonce"] });
  eventHistory.again();
  await client.resetQueries({ queryKey: ["xnode"] });
}

export const useSessions = () =>
  useQuery({
    queryKey: ["xnode", "sessions"],
    queryFn: ({ signal }) => get<AccessSession[]>(`${ACCESS}/sessions`, signal),
    refetchInterval: 10_000,
  });
export const useMembers = () =>
  useQuery({
    queryKey: ["xnode", "members"],
    queryFn: ({ signal }) => get<Member[]>(`${ACCESS}/members`, signal),
    refetchInterval: 10_000,
  });
export const useKeys = (isOn: boolean) =>
  useQuery({
    queryKey: ["xnode", "keys"],
    queryFn: ({ signal }) => get<ApiKey[]>(`${ACCESS}/keys`, signal),
    refetchInterval: 10_000,
    enabled: isOn,
  });

/** Roles of one's own, which admins see. */
export const useOwnRoles = (isOn: boolean) =>
  useQuery({
    queryKey: ["xnode", "roles"],
    queryFn: ({ signal }) => get<OwnRole[]>(`${ACCESS}/roles`, signal),
    refetchInterval: 10_000,
    enabled: isOn,
  });

export const endSession = (id: string) => remove<unknown>(`${ACCESS}/sessions/${part(id)}`);
export const endSessionsOf = (wallet: string) =>
  remove<unknown>(`${ACCESS}/members/${part(wallet)}/sessions`);
/** Changes of members are made at once; where the door has not taken one yet, its reason is the answer. */
export const letIn = ({
  wallet,
  role,
  only,
  name,
}: {
  wallet: string;
  role: Role;
  only: string | null;
  name: string | null;
}) =>
  put<Untaken | undefined>(`${ACCESS}/members/${part(wallet)}`, {
    role,
    ...(only === null ? {} : { only }),
    ...(name === null ? {} : { name }),
  });
export const putOut = (wallet: string) => remove<Untaken | undefined>(`${ACCESS}/members/${part(wallet)}`);
export const setRole = ({ name, of, rights }: { name: string; of: Role; rights: string[] }) =>
  put<unknown>(`${ACCESS}/roles/${part(name)}`, { of, rights });
export const removeRole = (name: string) => remove<unknown>(`${ACCESS}/roles/${part(name)}`);
export const makeKey = (wish: { name: string; role: Role; only?: string; lasts_ms: number | null }) =>
  post<MadeKey>(`${ACCESS}/keys`, wish);
export const endKey = (id: string) => remove<unknown>(`${ACCESS}/keys/${part(id)}`);

export interface AuditFilter {
  who: string;
  path: string;
  kind: string;
}

/** Records of a page of the audit log. */
const AUDIT_ITEMS = 50;

/** The audit log, the newest first; `before` is the number of the last record of the page before. */
export const useAudit = (filter: AuditFilter, before: string, isOn: boolean) =>
  useQuery({
    queryKey: ["xnode", "audit", filter, before],
    queryFn: async ({ signal }): Promise<Page<AuditRecord>> => {
      const asked = query({ ...filter, before, limit: AUDIT_ITEMS });
      const items = await get<AuditRecord[]>(`${ACCESS}/audit${asked}`, signal);
      const last = items.length === AUDIT_ITEMS ? items.at(-1) : undefined;
      return { items, next: last ? String(last.sequence) : null };
    },
    refetchInterval: before ? false : 10_000,
    placeholderData: keepPreviousData,
    enabled: isOn,
  });

export const checkAudit = () => get<AuditReport>(`${ACCESS}/audit/verify`);

/** The client of the cache, for what follows a sign-in. */
export const useBecome = () => {
  const client = useQueryClient();
  return () => becomeSomebody(client);
};
