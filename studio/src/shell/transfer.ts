/** Sending OPEN: the node words the typed data (EIP-712), the wallet signs it, the node takes it. */
import { getAddress } from "viem";
import { post } from "../api/client";
import type { ActionRequest, Status, TransactionAccepted, TypedDataResponse } from "../api/types";
import type { Wallet } from "./wallet";

/** What is about to be signed. */
export interface Offer {
  from: string;
  to: string;
  /** In units of 10^-18 OPEN. */
  amount: string;
  nonce: number;
  fee: string;
  typed: unknown;
}

const actionOf = (to: string, amount: string): ActionRequest => ({ kind: "transfer", to, amount });

/** The account that the wallet shares, asking for it where it has not been shared. */
export async function accountOf(wallet: Wallet): Promise<string> {
  const accounts = (await wallet.provider.request({ method: "eth_requestAccounts" })) as string[];
  const first = accounts[0];
  if (!first) throw new Error("The wallet shared no account.");
  return getAddress(first);
}

/** Asks the node for the typed data of a transfer, and checks that it says what was asked for. */
export async function prepare(status: Status, from: string, to: string, amount: string): Promise<Offer> {
  const answer = await post<TypedDataResponse>("/v1/transactions/typed-data", {
    from,
    action: actionOf(to, amount),
  });
  const offer = { from, to, amount, nonce: answer.nonce, fee: answer.fee, typed: answer.typed_data };
  const wrong = disagreement(offer, status.chain_id);
  if (wrong)
    throw new Error(`The node's typed data is not what was asked for (${wrong}). Nothing was signed.`);
  return offer;
}

/**
 * Where typed data differs from what a person was shown; `null` where it does not. A node must not be able to have
 * another transfer signed than the one on the screen.
 */
export function disagreement(offer: Offer, chainId: number): string | null {
  const typed = offer.typed as {
    domain?: { name?: unknown; version?: unknown; chainId?: unknown; verifyingContract?: unknown };
    primaryType?: unknown;
    types?: { Transfer?: { name: string; type: string }[] };
    message?: Record<string, unknown>;
  } | null;
  const fields = typed?.types?.Transfer?.map(({ name, type }) => `${type} ${name}`).join(", ");
  const expected: [string, unknown, unknown][] = [
    ["domain", typed?.domain?.name, "Openmesh"],
    ["version", typed?.domain?.version, "1"],
    ["chain", Number(typed?.domain?.chainId), chainId],
    ["type", typed?.primaryType, "Transfer"],
    ["fields", fields, "address to, uint256 amount, uint256 nonce, uint256 fee"],
    ["receiver", String(typed?.message?.["to"]).toLowerCase(), offer.to.toLowerCase()],
    ["amount", String(typed?.message?.["amount"]), offer.amount],
    ["nonce", String(typed?.message?.["nonce"]), String(offer.nonce)],
    ["fee", String(typed?.message?.["fee"]), offer.fee],
  ];
  return expected.find(([, found, wanted]) => found !== wanted)?.[0] ?? null;
}

/** Has the wallet sign, and hands the transaction to the node. Returns its hash. */
export async function send(wallet: Wallet, offer: Offer): Promise<string> {
  const signature = await wallet.provider.request({
    method: "eth_signTypedData_v4",
    params: [offer.from, JSON.stringify(offer.typed)],
  });
  const { hash } = await post<TransactionAccepted>("/v1/transactions", {
    action: actionOf(offer.to, offer.amount),
    nonce: offer.nonce,
    fee: offer.fee,
    signature,
  });
  return hash;
}
