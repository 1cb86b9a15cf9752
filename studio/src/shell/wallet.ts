/** Wallets of the browser (EIP-6963) and signing in with one (EIP-4361). */
import { getAddress, stringToHex } from "viem";
import { createSiweMessage } from "viem/siwe";
import { get, post, remove } from "../api/client";
import { hasCookie, keepNodeToken, nodeTokenNow } from "../api/token";
import type { NonceResponse, SessionInfo, Status } from "../api/types";

/** EIP-1193. Not every wallet tells of changes. */
export interface Provider {
  request(call: { method: string; params?: unknown[] }): Promise<unknown>;
  on?(event: string, listener: (value: unknown) => void): unknown;
  removeListener?(event: string, listener: (value: unknown) => void): unknown;
}

/** EIP-6963: what a wallet announces about itself. */
export interface Wallet {
  info: { uuid: string; name: string; icon: string; rdns: string };
  provider: Provider;
}

/** Remembered so that a visitor who never signed in is not asked for a session that cannot be there. */
const KEY = "openmesh-signed-in";
/** How long a signature may be presented, in milliseconds. */
const MESSAGE_MS_MAX = 300_000;

let wallets: Wallet[] = [];
const listeners = new Set<() => void>();

function isWallet(value: unknown): value is Wallet {
  const wallet = value as Partial<Wallet> | null;
  return (
    typeof wallet?.info?.uuid === "string" &&
    typeof wallet.info.name === "string" &&
    typeof wallet.provider?.request === "function"
  );
}

function announced(event: Event): void {
  const detail = (event as CustomEvent<unknown>).detail;
  if (!isWallet(detail) || wallets.some((each) => each.info.uuid === detail.info.uuid)) return;
  wallets = [...wallets, detail];
  for (const listener of listeners) listener();
}

/** Calls back whenever another wallet has announced itself. */
export function subscribeWallets(listener: () => void): () => void {
  if (listeners.size === 0) window.addEventListener("eip6963:announceProvider", announced);
  listeners.add(listener);
  askWallets();
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) window.removeEventListener("eip6963:announceProvider", announced);
  };
}

export const currentWallets = (): Wallet[] => wallets;

/** Asks every wallet to announce itself, also one that was installed meanwhile. */
export function askWallets(): void {
  window.dispatchEvent(new Event("eip6963:requestProvider"));
}

/** Icons come from strangers: only pictures inside the announcement are shown, nothing is loaded from elsewhere. */
export const safeIcon = (icon: string): string | null => (/^data:image\//.test(icon) ? icon : null);

export async function signIn(wallet: Wallet): Promise<SessionInfo> {
  const accounts = (await wallet.provider.request({ method: "eth_requestAccounts" })) as string[];
  const first = accounts[0];
  if (!first) throw new Error("The wallet shared no account.");
  const address = getAddress(first);
  const [{ nonce }, { chain_id }] = await Promise.all([
    get<NonceResponse>("/v1/auth/nonce"),
    get<Status>("/v1/status"),
  ]);
  const now = Date.now();
  const message = createSiweMessage({
    domain: location.host,
    address,
    statement: "Sign in to Openmesh Studio. This costs nothing and sends no transaction.",
    uri: location.origin,
    version: "1",
    chainId: chain_id,
    nonce,
    issuedAt: new Date(now),
    expirationTime: new Date(now + MESSAGE_MS_MAX),
  });
  const signature = await wallet.provider.request({
    method: "personal_sign",
    params: [stringToHex(message), address],
  });
  const session = await post<SessionInfo>("/v1/auth/sign-in", { message, signature });
  keepNodeToken(session.token ?? null);
  localStorage.setItem(KEY, "1");
  return session;
}

/** Where a cookie carries the session this page sees nothing of it but that there was one. */
const maybeSignedIn = (): boolean =>
  hasCookie() ? localStorage.getItem(KEY) !== null : nodeTokenNow() !== null;

function forgetSession(): void {
  keepNodeToken(null);
  localStorage.removeItem(KEY);
}

export async function currentSession(): Promise<SessionInfo | null> {
  if (!maybeSignedIn()) return null;
  try {
    return await get<SessionInfo>("/v1/auth/session");
  } catch (error) {
    if (error instanceof Error && "status" in error && error.status === 401) {
      forgetSession();
      return null;
    }
    throw error;
  }
}

export async function signOut(): Promise<void> {
  await remove("/v1/auth/session");
  forgetSession();
}

/** What wallets say no to, by their numbers (EIP-1193, EIP-1474, EIP-3085). */
const REFUSALS: Record<number, string> = {
  4001: "You declined in the wallet.",
  4100: "The wallet has not shared this account with this page: connect it there, then try again.",
  4200: "This wallet cannot do that.",
  4900: "The wallet is not connected to any network.",
  4901: "The wallet is not connected to this network.",
  4902: "The wallet does not know this network: add it first.",
  [-32002]: "The wallet is asking already: open it and answer there.",
};

/** The number that a wallet refuses with; some wrap the one that they mean. */
export function codeOf(error: unknown): number | null {
  if (typeof error !== "object" || error === null) return null;
  const { code, data } = error as { code?: unknown; data?: { originalError?: { code?: unknown } } };
  const inner = data?.originalError?.code;
  return typeof inner === "number" ? inner : typeof code === "number" ? code : null;
}

/** What to tell somebody whose wallet or node refused. Wallets throw what is no `Error` too. */
export function refusal(error: unknown): string {
  const words = REFUSALS[codeOf(error) ?? 0];
  if (words) return words;
  const message = (error as { message?: unknown } | null)?.message;
  return typeof message === "string" && message !== "" ? message : "The wallet refused.";
}
