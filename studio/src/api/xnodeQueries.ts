/** The server cache of an Xnode: one place that knows its agent's paths and keys. All keys begin with `xnode`. */
import {
  keepPreviousData,
  useMutation,
  useQuery,
  useQueryClient,
  type QueryClient,
} from "@tanstack/react-query";
import { get, post, put, query, remove, RequestError, send, text } from "./client";
import type {
  Alert,
  Alerts,
  AppJob,
  Application,
  Backup,
  BackupJob,
  BackupKeys,
  BackupOverview,
  Catalogue,
  Costs,
  DataLine,
  Deployment,
  Doors,
  DrainView,
  Generation,
  Imported,
  Invitation,
  InvitationWish,
  JobRun,
  JoinInfo,
  Lending,
  LoanWish,
  MachineList,
  MadeInvitation,
  Move,
  Moves,
  MoveWish,
  ProcessList,
  Restarting,
  SecretInfo,
  TemplateOrder,
  TemplatePreflight,
  TemplateSheet,
  TemplateSummary,
  Upgrades,
  Usage,
  WebhookTest,
  XnodeInfo,
} from "./xnode";

export const ROOT = "/v1/xnode";
const part = encodeURIComponent;

/** Between two looks at an agent that works, and at one that rests: its events tell of changes in between. */
const WORKS_MS = 1_000;
const RESTS_MS = 3_000;
/** What counts as old: three looks that brought nothing. */
export const XNODE_STALE_MS = 10_000;

/** No agent answers at this address: the node's gateway knows none, or cannot reach it. */
export const isAbsent = (error: unknown): boolean =>
  error instanceof RequestError &&
  ((error.status === 404 &&
    ![
      "no_application",
      "no_generation",
      "no_loan",
      "no_secret",
      "no_template",
      "not_joined",
      "missing",
    ].includes(error.code)) ||
    error.status === 502 ||
    error.status === 503);

/** Somebody has to sign in first. */
export const wantsSignIn = (error: unknown): boolean => error instanceof RequestError && error.status === 401;

/** What stands at the agent's address. */
export type Reach =
  | { at: "there"; info: XnodeInfo }
  | { at: "absent" }
  | { at: "signed out" }
  /** Whoever is signed in may not look at the machine, by a role of one's own. */
  | { at: "narrowed"; words: string };

const REACH_KEY = ["xnode", "reach"];

/**
 * Whether there is an agent, and what it says of its machine. One that was there and does not answer is an error beside what
 * it said last; so what is shown then is known to be old.
 */
const reachQuery = {
  queryKey: REACH_KEY,
  queryFn: async ({ signal, client }: { signal: AbortSignal; client: QueryClient }): Promise<Reach> => {
    try {
      return { at: "there", info: await get<XnodeInfo>(ROOT, signal) };
    } catch (error) {
      if (wantsSignIn(error)) return { at: "signed out" };
      if (error instanceof RequestError && error.code === "not_in_role")
        return { at: "narrowed", words: error.message };
      if (isAbsent(error) && client.getQueryData<Reach>(REACH_KEY)?.at !== "there") return { at: "absent" };
      throw error;
    }
  },
};

const pauseOf = (reach: Reach | undefined): number =>
  reach?.at === "there" && reach.info.work.state === "works" ? WORKS_MS : RESTS_MS;

export const useReach = (isOn = true) =>
  useQuery({ ...reachQuery, refetchInterval: ({ state }) => pauseOf(state.data), enabled: isOn });

/** What the agent says of its machine. */
export const useXnode = (isOn = true) =>
  useQuery({
    ...reachQuery,
    refetchInterval: ({ state }) => pauseOf(state.data),
    enabled: isOn,
    select: (reach) => (reach.at === "there" ? reach.info : undefined),
  });

/** The number of the generation that was last seen as the wanted one; `null` before any was seen. */
export function wantedNow(client: QueryClient): number | null {
  const reach = client.getQueryData<Reach>(REACH_KEY);
  return reach?.at === "there" ? reach.info.wanted : null;
}

export const useApplications = () =>
  useQuery({
    queryKey: ["xnode", "applications"],
    queryFn: ({ signal }) => get<Application[]>(`${ROOT}/applications`, signal),
    refetchInterval: RESTS_MS,
  });

/** Costs of applications by the operator's prices, which change with the document alone. */
export const useCosts = () =>
  useQuery({
    queryKey: ["xnode", "costs"],
    queryFn: ({ signal }) => get<Costs>(`${ROOT}/costs`, signal),
    refetchInterval: 10_000,
  });

export const useApplication = (name: string) =>
  useQuery({
    queryKey: ["xnode", "application", name],
    queryFn: ({ signal }) => get<Application>(`${ROOT}/applications/${part(name)}`, signal),
    refetchInterval: RESTS_MS,
  });

export const useGenerations = () =>
  useQuery({
    queryKey: ["xnode", "generations"],
    queryFn: ({ signal }) => get<Generation[]>(`${ROOT}/generations`, signal),
    refetchInterval: 10_000,
  });

/** A generation's document with its number: what is made of the one is asked for with the other. */
export interface NumberedDocument {
  number: number;
  text: string;
}

/**
 * The document of a generation; it never changes. The empty text where there is no generation yet. While the next one is on
 * its way the one before stays, with its own number, so that nobody loses what they write.
 */
export const useDocument = (number: number | undefined) =>
  useQuery({
    queryKey: ["xnode-document", number ?? 0],
    queryFn: async ({ signal }): Promise<NumberedDocument> =>
      number === undefined || number === 0
        ? { number: 0, text: "" }
        : { number, text: await text(`${ROOT}/generations/${number}`, signal) },
    staleTime: Infinity,
    enabled: number !== undefined,
    placeholderData: keepPreviousData,
  });

/** Differences of two generations, a line each; they never change. */
export const useDifference = (before: number, after: number) =>
  useQuery({
    queryKey: ["xnode-difference", before, after],
    queryFn: ({ signal }) => get<string[]>(`${ROOT}/generations/${before}/diff/${after}`, signal),
    enabled: before > 0 && after > 0,
    staleTime: Infinity,
  });

export const useSecrets = (isOn: boolean) =>
  useQuery({
    queryKey: ["xnode", "secrets"],
    queryFn: ({ signal }) => get<SecretInfo[]>(`${ROOT}/secrets`, signal),
    refetchInterval: 10_000,
    enabled: isOn,
  });

export const useDoors = () =>
  useQuery({
    queryKey: ["xnode", "doors"],
    queryFn: ({ signal }) => get<Doors>(`${ROOT}/doors`, signal),
    refetchInterval: RESTS_MS,
  });

export const giveCertificate = ({ name, chain, key }: { name: string; chain: string; key: string }) =>
  put<undefined>(`${ROOT}/doors/certificates/${part(name)}`, { chain, key });
export const forgetCertificate = (name: string) =>
  remove<undefined>(`${ROOT}/doors/certificates/${part(name)}`);
/** The certificate of the machine's own authority, as PEM, for browsers and phones of the house. */
export const askAuthority = () => text(`${ROOT}/doors/authority`);

export const useTemplates = () =>
  useQuery({
    queryKey: ["xnode-templates"],
    queryFn: ({ signal }) => get<TemplateSummary[]>(`${ROOT}/templates`, signal),
    staleTime: 60_000,
  });

export const useTemplate = (name: string, version: string, catalogue: string) =>
  useQuery({
    queryKey: ["xnode-template", name, version, catalogue],
    queryFn: ({ signal }) =>
      get<TemplateSheet>(
        `${ROOT}/templates/${part(name)}${query({ version, catalogue: catalogue || null })}`,
        signal,
      ),
    staleTime: 60_000,
  });

/** Catalogues of other publishers, with the ages of their copies. */
export const useCatalogues = () =>
  useQuery({
    queryKey: ["xnode", "catalogues"],
    queryFn: ({ signal }) => get<Catalogue[]>(`${ROOT}/catalogues`, signal),
    refetchInterval: 60_000,
  });

/** Looks at the place of a catalogue; what is shown of the store is fetched anew behind it. */
export function useRefreshCatalogue() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) => send<Catalogue>("POST", `${ROOT}/catalogues/${part(name)}/refresh`),
    onSettled: async () => {
      await client.invalidateQueries({ queryKey: ["xnode-templates"] });
      await client.invalidateQueries({ queryKey: ["xnode-template"] });
      await fresh(client);
    },
  });
}

export const useAlerts = (isOn = true) =>
  useQuery({
    queryKey: ["xnode", "alerts"],
    queryFn: ({ signal }) => get<Alerts>(`${ROOT}/alerts`, signal),
    refetchInterval: 10_000,
    enabled: isOn,
  });

/** Says that somebody knows of an alert; it stays open until its cause is gone. */
export const acknowledge = (id: number) => send<Alert>("POST", `${ROOT}/alerts/${id}/acknowledge`);
export const testWebhook = (name: string) =>
  send<WebhookTest>("POST", `${ROOT}/alerts/webhooks/${part(name)}/test`);

/** Empties the machine: its applications stop, and it takes no deployment until that is undone. */
export const drain = (reason: string) =>
  send<DrainView>("PUT", `${ROOT}/drain${query({ reason: reason.trim() || null })}`);
export const endDrain = () => remove<DrainView>(`${ROOT}/drain`);

/** An order held against the machine, as it is now; nothing is fetched and nothing is made. */
export const usePreflight = (template: string, order: TemplateOrder, isOn: boolean) =>
  useQuery({
    queryKey: ["xnode", "preflight", template, order],
    queryFn: ({ signal }) =>
      post<TemplatePreflight>(`${ROOT}/templates/${part(template)}/preflight`, order, signal),
    enabled: isOn,
    placeholderData: keepPreviousData,
  });

const ofApplication = (name: string) => `${ROOT}/applications/${part(name)}`;

/** Backups of the whole machine; asked often while one is being made, for its bytes. */
export const useBackups = () =>
  useQuery({
    queryKey: ["xnode", "backups"],
    queryFn: ({ signal }) => get<BackupOverview>(`${ROOT}/backups`, signal),
    refetchInterval: ({ state }) =>
      state.data?.jobs.some(({ ended }) => ended === null) ? WORKS_MS : 10_000,
  });

/**
 * Sets the public half of the owner's key, by which every backup can be read by its owner alone, and that of the key by which the
 * owner reads at Xnodes that lend room, where it is told.
 */
export const setOwnerKey = ({ key, reading, replace }: { key: string; reading: string; replace: boolean }) =>
  send<BackupKeys>(
    "PUT",
    `${ROOT}/backups/key${query({ replace: replace ? "true" : null, reading: reading.trim() })}`,
    key.trim(),
  );

/** Room that this machine lends to the backups of others, and how its lender stands. */
export const useLoans = () =>
  useQuery({
    queryKey: ["xnode", "loans"],
    queryFn: ({ signal }) => get<Lending>(`${ROOT}/loans`, signal),
    refetchInterval: RESTS_MS,
  });

const ofLoan = (name: string) => `${ROOT}/loans/${part(name)}`;
export const giveLoan = ({ name, wish }: { name: string; wish: LoanWish }) =>
  put<Lending>(ofLoan(name), wish);
export const endLoan = (name: string) => send<Lending>("POST", `${ofLoan(name)}/end`);
/** Brings back what a guest has removed in the last days. */
export const bringBack = ({ name, days }: { name: string; days: number }) =>
  post<Lending>(`${ofLoan(name)}/bring-back`, { days });
/** Removes an ended loan with all backups of its guest. */
export const forgetLoan = (name: string) => remove<Lending>(ofLoan(name));

/** This machine and those that have joined it, with their last reports. */
export const useMachines = () =>
  useQuery({
    queryKey: ["xnode", "machines"],
    queryFn: ({ signal }) => get<MachineList>(`${ROOT}/machines`, signal),
    refetchInterval: RESTS_MS,
  });
/** Invitations; an owner alone sees them. */
export const useInvitations = (isOn: boolean) =>
  useQuery({
    queryKey: ["xnode", "invitations"],
    queryFn: ({ signal }) => get<Invitation[]>(`${ROOT}/invitations`, signal),
    refetchInterval: RESTS_MS,
    enabled: isOn,
  });
export const invite = (wish: InvitationWish) => post<MadeInvitation>(`${ROOT}/invitations`, wish);
export const revokeInvitation = (id: string) => remove<undefined>(`${ROOT}/invitations/${part(id)}`);
export const removeMachine = (id: string) => remove<undefined>(`${ROOT}/machines/${part(id)}`);
/** The Xnode that this machine has joined. */
export const useJoin = () =>
  useQuery({
    queryKey: ["xnode", "join"],
    queryFn: ({ signal }) => get<JoinInfo>(`${ROOT}/join`, signal),
    refetchInterval: 10_000,
  });
export const leaveHost = () => remove<JoinInfo>(`${ROOT}/join`);

export const useBackupsOf = (name: string) =>
  useQuery({
    queryKey: ["xnode", "backups", name],
    queryFn: ({ signal }) => get<Backup[]>(`${ofApplication(name)}/backups`, signal),
    refetchInterval: 15_000,
  });

/** Moves between machines; asked often while one goes on, for its bytes. */
export const useMoves = () =>
  useQuery({
    queryKey: ["xnode", "moves"],
    queryFn: ({ signal }) => get<Moves>(`${ROOT}/moves`, signal),
    refetchInterval: ({ state }) => (state.data?.moves.some(goesOn) ? WORKS_MS : 10_000),
  });

/** It is neither where it shall be nor back yet. */
const goesOn = ({ departing, arriving }: Move): boolean =>
  departing === null
    ? arriving !== "serves" && arriving !== "kept"
    : departing !== "gone" && departing !== "over";

/** Begins to move an application. It is no mutation of the cache, which would keep the key. */
export const beginMove = ({ name, wish }: { name: string; wish: MoveWish }) =>
  post<Move>(`${ofApplication(name)}/move`, wish);
/** Cancels a move, or undoes one within its hour. */
export const undoMove = (name: string) => send<Move>("POST", `${ofApplication(name)}/move/undo`);

export const useDataLines = (name: string) =>
  useQuery({
    queryKey: ["xnode", "lines", name],
    queryFn: ({ signal }) => get<DataLine[]>(`${ofApplication(name)}/lines`, signal),
    refetchInterval: 10_000,
  });

export const backUp = (name: string) => send<BackupJob>("POST", `${ofApplication(name)}/backups`);
export const tryBackup = ({ name, backup }: { name: string; backup: string | null }) =>
  send<BackupJob>("POST", `${ofApplication(name)}/backups/drill${query({ backup })}`);
export const restoreBackup = (wish: {
  name: string;
  backup: string;
  volumes: string[];
  as_name: string | null;
}) =>
  post<BackupJob>(`${ofApplication(wish.name)}/backups/restore`, {
    backup: wish.backup,
    volumes: wish.volumes,
    as_name: wish.as_name,
  });
export const cancelBackupJob = (number: number) => remove<BackupJob>(`${ROOT}/backups/jobs/${number}`);
export const dropLine = ({ name, volume, number }: { name: string; volume: string; number: number }) =>
  remove<undefined>(`${ofApplication(name)}/lines/${part(volume)}/${number}`);

/** Newer versions of its template; an agent of before does not know of them. */
export const useUpgrades = (name: string, isOn: boolean) =>
  useQuery({
    queryKey: ["xnode", "upgrades", name],
    queryFn: ({ signal }) => get<Upgrades>(`${ofApplication(name)}/upgrade`, signal),
    refetchInterval: 60_000,
    retry: false,
    enabled: isOn,
  });

export const useJobs = (name: string) =>
  useQuery({
    queryKey: ["xnode", "jobs", name],
    queryFn: ({ signal }) => get<AppJob[]>(`${ofApplication(name)}/jobs`, signal),
    refetchInterval: ({ state }) =>
      state.data?.some(({ runs }) => runs.some(({ is_running: isRunning }) => isRunning)) ? WORKS_MS : 10_000,
  });

export const beginJob = ({ name, job }: { name: string; job: string }) =>
  send<JobRun>("POST", `${ofApplication(name)}/jobs/${part(job)}`);
export const endJob = ({ name, job }: { name: string; job: string }) =>
  remove<undefined>(`${ofApplication(name)}/jobs/${part(job)}`);

/** Processes at this moment; the shares of processors are those since the look before. */
export const useProcesses = (name: string, isOn: boolean) =>
  useQuery({
    queryKey: ["xnode", "processes", name],
    queryFn: ({ signal }) => get<ProcessList>(`${ofApplication(name)}/processes`, signal),
    refetchInterval: RESTS_MS,
    enabled: isOn,
  });

/** Use of the last so many seconds, in steps that the agent chooses. */
export const useUsage = (name: string, seconds: number) =>
  useQuery({
    queryKey: ["xnode", "usage", name, seconds],
    queryFn: ({ signal }) => {
      const from = new Date(Date.now() - seconds * 1_000).toISOString();
      return get<Usage>(`${ofApplication(name)}/usage${query({ from })}`, signal);
    },
    refetchInterval: seconds <= 3_600 ? 10_000 : 60_000,
    placeholderData: keepPreviousData,
  });

/** Fate of the data of an application that is removed. */
export type DataFate = "keep" | "backup" | "wipe";

/** A change of the machine that can be planned and done. */
export type Change =
  /** `makes`: secrets that its templates make, and that are not there, are made with it. */
  | { kind: "document"; text: string; makes?: boolean }
  | { kind: "restore"; generation: number; lines?: string }
  | { kind: "order"; template: string; order: TemplateOrder }
  | { kind: "upgrade"; name: string; version: string }
  | { kind: "remove"; name: string; data: DataFate };

/** Asks for the plan of a change, or does it. `expected`: the generation that the person has seen as the wanted one. */
export function ask(
  change: Change,
  { plan, expected, reason }: { plan: boolean; expected: number | null; reason: string },
): Promise<Deployment> {
  const asked = { plan: plan ? "true" : null, expected, reason: reason.trim() || null };
  switch (change.kind) {
    case "document":
      return send<Deployment>(
        "POST",
        `${ROOT}/applications${query({ ...asked, make_secrets: change.makes ? "true" : null })}`,
        change.text,
        "application/yaml",
      );
    case "restore":
      return send<Deployment>(
        "POST",
        `${ROOT}/generations/${change.generation}/restore${query({ ...asked, lines: change.lines })}`,
      );
    case "order":
      return post<Deployment>(
        `${ROOT}/templates/${part(change.template)}/deploy${query(asked)}`,
        change.order,
      );
    case "upgrade":
      return send<Deployment>(
        "POST",
        `${ofApplication(change.name)}/upgrade${query({ ...asked, version: change.version })}`,
      );
    case "remove":
      return send<Deployment>(
        "DELETE",
        `${ROOT}/applications/${part(change.name)}${query({ ...asked, data: change.data })}`,
      );
  }
}

/** Starts the instances of an application anew, without a new version. */
export const restart = (name: string) =>
  send<Restarting>("POST", `${ROOT}/applications/${part(name)}/restart`);

/**
 * Reads a compose file; nothing happens on the machine. `without`: paths of unsupported parts that the person can do without;
 * `images`: those of services that would be built from a folder.
 */
export const readCompose = (wish: {
  text: string;
  variables: Record<string, string>;
  images: Record<string, string>;
  without: string[];
}) => post<Imported>(`${ROOT}/import`, wish);

export const setSecret = (name: string, value: string | Blob) =>
  send<number>("PUT", `${ROOT}/secrets/${part(name)}`, value, "application/octet-stream");
export const removeSecret = (name: string) => send<undefined>("DELETE", `${ROOT}/secrets/${part(name)}`);

/** Something that is done at the agent; what is shown of it is fetched anew behind it. */
export function useAct<T, A = void>(does: (argument: A) => Promise<T>) {
  const client = useQueryClient();
  return useMutation({ mutationFn: does, onSettled: () => fresh(client) });
}

/** Fetches anew what is shown of the agent; what is on its way already is waited for. */
export const fresh = (client: QueryClient): Promise<void> =>
  client.invalidateQueries({ queryKey: ["xnode"], refetchType: "active" }, { cancelRefetch: false });
