/**
 * The network as wallets know it: adding it (EIP-3085), switching to it (EIP-3326), and the chain that is active in a wallet (EIP-695).
 * Clauses 21 to 23 of `docs/spec/rpc.md`.
 */
import type { Status } from "../api/types";
import { codeOf, type Wallet } from "./wallet";

/** Path of the JSON-RPC that wallets ask. */
const RPC = "/v1/rpc";
const CURRENCY = { name: "OPEN", symbol: "OPEN", decimals: 18 };
/** The largest number of a chain that wallets take: twice it and 36 (EIP-155) has to be an exact number in a page. */
export const CHAIN_ID_MAX = 4_503_599_627_370_476;
/** A wallet's word for a network that it does not know. */
const UNKNOWN_CHAIN = 4902;
/** Words of wallets without that number. */
const UNKNOWN_WORDS = /unrecognized chain|unknown chain|has not been added/i;
/** Words of a wallet without a method: it cannot tell its chain. */
const NO_METHOD = [4200, -32601, -32004];

/** The argument of `wallet_addEthereumChain`. */
export interface Chain {
  chainId: string;
  chainName: string;
  nativeCurrency: typeof CURRENCY;
  rpcUrls: string[];
  blockExplorerUrls: string[];
}

/** The number of a network. */
export const numberOf = (chain: Chain): number => Number(chain.chainId);

/** A wallet that is on another network than the one of this page. */
export class OtherChain extends Error {
  constructor(active: number, chain: Chain) {
    super(
      `The wallet is on the chain ${active}, and this network is ${chain.chainName} (chain ${numberOf(chain)}). ` +
        "Switch to it in the wallet, then try again. Nothing was signed.",
    );
    this.name = "OtherChain";
  }
}

/** True for an address that wallets take networks at: with TLS, or of this machine. */
export function isTaken(origin: string): boolean {
  const { protocol, hostname } = new URL(origin);
  return protocol === "https:" || hostname === "localhost" || hostname === "127.0.0.1";
}

/** The network of a node, whose page is at an origin. */
export const chainOf = (status: Pick<Status, "chain_id" | "network">, origin: string): Chain => ({
  chainId: `0x${status.chain_id.toString(16)}`,
  chainName: /openmesh/i.test(status.network) ? status.network : `Openmesh ${status.network}`,
  nativeCurrency: CURRENCY,
  rpcUrls: [origin + RPC],
  blockExplorerUrls: [origin],
});

/** The number of a chain as a wallet says it; `null` where it says nothing that is one. */
export function chainNumber(said: unknown): number | null {
  if (typeof said !== "string" && typeof said !== "number") return null;
  const number = Number(said);
  return said !== "" && Number.isSafeInteger(number) && number > 0 ? number : null;
}

/** The chain that is active in a wallet; `null` where it cannot tell. */
export async function activeChain({ provider }: Wallet): Promise<number | null> {
  try {
    return chainNumber(await provider.request({ method: "eth_chainId" }));
  } catch (error) {
    if (NO_METHOD.includes(codeOf(error) ?? 0)) return null;
    throw error;
  }
}

/** Has a wallet add the network. Most ask then whether to switch to it too. */
export async function addChain({ provider }: Wallet, chain: Chain): Promise<void> {
  const origin = chain.rpcUrls[0] ?? "";
  if (!isTaken(origin))
    throw new Error(
      `Wallets take networks over HTTPS or from this machine, and this page is at ${new URL(origin).origin}. ` +
        "Open it under a name with TLS, or on the machine of the node.",
    );
  const number = numberOf(chain);
  if (!(number > 0 && number <= CHAIN_ID_MAX))
    throw new Error(`Wallets take chain ids from 1 to ${CHAIN_ID_MAX}, and this network has ${number}.`);
  await provider.request({ method: "wallet_addEthereumChain", params: [chain] });
}

async function switchTo({ provider }: Wallet, chain: Chain): Promise<void> {
  await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId: chain.chainId }] });
}

const isUnknown = (error: unknown): boolean => {
  const message = (error as { message?: unknown } | null)?.message;
  return codeOf(error) === UNKNOWN_CHAIN || UNKNOWN_WORDS.test(String(message ?? ""));
};

/** Has a wallet switch to the network, and add it first where it does not know it. */
export async function switchChain(wallet: Wallet, chain: Chain): Promise<void> {
  try {
    await switchTo(wallet, chain);
  } catch (error) {
    if (!isUnknown(error)) throw error;
    await addChain(wallet, chain);
    // Of those that have added it some have switched as well, and some are still where they were.
    if ((await activeChain(wallet)) !== numberOf(chain)) await switchTo(wallet, chain);
  }
}

/**
 * Sees to it that the network is active in a wallet before anything is signed. A wallet that cannot tell its chain is taken at its word: what it
 * signs names the chain, and the node refuses that of another.
 */
export async function beOn(wallet: Wallet, chain: Chain): Promise<void> {
  const before = await activeChain(wallet);
  if (before === null || before === numberOf(chain)) return;
  await switchChain(wallet, chain);
  const after = await activeChain(wallet);
  if (after !== null && after !== numberOf(chain)) throw new OtherChain(after, chain);
}
