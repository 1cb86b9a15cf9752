/** Wallets of the browser (EIP-6963) and signing in with one (EIP-4361). */
import { getAddress, stringToHex } from "viem";
import { createSiweMessage } from "viem/siwe";
import { get, post, remove } from "../api/client";
import { hasCookie, keepNodeToken, nodeTokenNow } from "../api/token";
import type { NonceResponse, SessionInfo, Status } from "../api/types";

export interface Provider {
  request(call: { method: string; params?: unknown[] }): Promise<unknown>;
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

/** What to tell somebody whose wallet or node refused. */
export function refusal(error: unknown): string {
  // EIP-1193: 4001 is the user's own "no".
  if (typeof error === "object" && error !== null && "code" in error && error.code === 4001)
    return "You declined in the wallet.";
  return error instanceof Error ? error.message : "The wallet refused.";
}
