/** Signing in at an Xnode with a wallet: a message of EIP-4361 by the agent's own words for domain, purpose, chain and time. */
import { getAddress, stringToHex } from "viem";
import { createSiweMessage } from "viem/siwe";
import { askNonce, signInAt, visitAt } from "../api/xnodeAccess";
import type { AccessNonce, Leave, SignedIn, Visited, Way } from "../api/xnode";
import type { Wallet } from "./wallet";

/**
 * The message for an account. The agent's clock is what it is held against, whatever this browser's says, and its words are taken for what was
 * asked for alone.
 */
export function messageFor(
  address: string,
  asked: AccessNonce,
  origin: string,
  statement: string = asked.statement,
): string {
  const at = Date.parse(asked.at);
  return createSiweMessage({
    domain: asked.domain,
    address: getAddress(address),
    statement,
    uri: origin,
    version: "1",
    chainId: asked.chain_id,
    nonce: asked.nonce,
    issuedAt: new Date(at),
    expirationTime: new Date(at + asked.lasts_ms),
  });
}

export async function signInWith(wallet: Wallet, code: string): Promise<SignedIn> {
  const { message, signature } = await signedBy(wallet);
  return signInAt(message, signature, code);
}

/** Leave for a visitor of an application to come in; its address is good once. */
export async function visitWith(wallet: Wallet, way: Way, visited: Visited): Promise<Leave> {
  const signed = await signedBy(wallet, visited.statement);
  return visitAt(way, signed.message, signed.signature);
}

/** A message that an account of a wallet has signed: of sign-in, or with another statement. */
async function signedBy(wallet: Wallet, statement?: string): Promise<{ message: string; signature: string }> {
  const accounts = (await wallet.provider.request({ method: "eth_requestAccounts" })) as string[];
  const first = accounts[0];
  if (!first) throw new Error("The wallet shared no account.");
  const address = getAddress(first);
  const asked = await askNonce();
  // A message for another site than this one would be signed for somebody else's use.
  if (asked.domain !== location.host)
    throw new Error(
      `The agent asks for a message for ${asked.domain}, and this page is at ${location.host}.`,
    );
  const message = messageFor(address, asked, location.origin, statement);
  const signature = (await wallet.provider.request({
    method: "personal_sign",
    params: [stringToHex(message), address],
  })) as string;
  return { message, signature };
}
