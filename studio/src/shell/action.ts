/** Signing an action: the node words the typed data (EIP-712), this page compares it, the wallet signs it, the node takes it. */
import { getAddress } from "viem";
import { post } from "../api/client";
import type {
  ActionInfo,
  ActionRequest,
  FieldValue,
  Status,
  TransactionAccepted,
  TypedDataResponse,
} from "../api/types";
import type { Fees } from "../lib/fees";
import { membersOf } from "../lib/fields";
import type { Wallet } from "./wallet";

/** What is about to be signed. */
export interface Offer {
  from: string;
  action: ActionInfo;
  values: Record<string, FieldValue>;
  nonce: number;
  fees: Fees;
  typed: TypedData;
}

/** The argument of `eth_signTypedData_v4`, as far as this page looks at it. */
export interface TypedData {
  domain?: Record<string, unknown>;
  primaryType?: unknown;
  types?: Record<string, { name: string; type: string }[]>;
  message?: Record<string, unknown>;
}

/** A member of the message that is signed. */
export interface Signed {
  name: string;
  type: string;
  /** The field that it carries; nonce and fees have none. */
  label: string | null;
  value: unknown;
}

const requestOf = ({ action, values }: Offer): ActionRequest => ({ ...values, kind: action.kind });

/** The account that the wallet shares, asking for it where it has not been shared. */
export async function accountOf(wallet: Wallet): Promise<string> {
  const accounts = (await wallet.provider.request({ method: "eth_requestAccounts" })) as string[];
  const first = accounts[0];
  if (!first) throw new Error("The wallet shared no account.");
  return getAddress(first);
}

/** Asks the node for the typed data of an action, and checks that it says what was asked for. */
export async function prepare(
  status: Status,
  from: string,
  action: ActionInfo,
  values: Record<string, FieldValue>,
  fees: Fees,
): Promise<Offer> {
  const answer = await post<TypedDataResponse>("/v1/transactions/typed-data", {
    from,
    action: { ...values, kind: action.kind },
    max_fee: fees.maxFee,
    tip: fees.tip,
  });
  const offer = { from, action, values, nonce: answer.nonce, fees, typed: answer.typed_data as TypedData };
  const same = answer.max_fee === fees.maxFee && answer.tip === fees.tip;
  const wrong = same ? disagreement(offer, status.chain_id) : "fees";
  if (wrong)
    throw new Error(`The node's typed data is not what was asked for (${wrong}). Nothing was signed.`);
  return offer;
}

/** The members of the message, in the order in which the wallet shows them. */
export function membersSigned({ action, typed }: Offer): Signed[] {
  const { members } = membersOf(action.typed_data);
  return members.map(({ name, type }, at) => ({
    name,
    type,
    label: action.fields[at]?.label ?? null,
    value: typed.message?.[name],
  }));
}

/**
 * Where typed data differs from what a person was shown; `null` where it does not. A node must not be able to have
 * another action signed than the one on the screen, so every member is compared, and nothing may stand beside them.
 */
export function disagreement(offer: Offer, chainId: number): string | null {
  const { action, values, typed } = offer;
  const { primary, members } = membersOf(action.typed_data);
  const domain = typed?.domain;
  const written = (of: { name: string; type: string }[] | undefined) =>
    of?.map(({ name, type }) => `${type} ${name}`).join(", ");
  const expected: [string, unknown, unknown][] = [
    ["domain", domain?.["name"], "Openmesh"],
    ["version", domain?.["version"], "1"],
    ["chain", Number(domain?.["chainId"]), chainId],
    ["domain", Object.keys(domain ?? {}).length, 3],
    ["type", typed?.primaryType, primary],
    ["fields", written(typed?.types?.[primary]), written(members)],
    ["fields", members.length, action.fields.length + 3],
    ["fields", Object.keys(typed?.message ?? {}).length, members.length],
    ...action.fields.map((field, at): [string, unknown, unknown] => [
      field.name,
      plain(typed?.message?.[members[at]?.name ?? ""]),
      plain(values[field.name]),
    ]),
    ["nonce", plain(typed?.message?.["nonce"]), String(offer.nonce)],
    ["maxFee", plain(typed?.message?.["maxFee"]), offer.fees.maxFee],
    ["tip", plain(typed?.message?.["tip"]), offer.fees.tip],
  ];
  return expected.find(([, found, wanted]) => found !== wanted)?.[0] ?? null;
}

/** A value as one text, so that a number and its digits are the same, and an address in either case. */
function plain(value: unknown): string {
  if (Array.isArray(value)) return JSON.stringify(value);
  const text = String(value);
  return /^0x[0-9a-fA-F]{40}$/.test(text) ? text.toLowerCase() : text;
}

/** Has the wallet sign, and hands the transaction to the node. Returns its hash. */
export async function send(wallet: Wallet, offer: Offer): Promise<string> {
  const signature = await wallet.provider.request({
    method: "eth_signTypedData_v4",
    params: [offer.from, JSON.stringify(offer.typed)],
  });
  const { hash } = await post<TransactionAccepted>("/v1/transactions", {
    action: requestOf(offer),
    nonce: offer.nonce,
    max_fee: offer.fees.maxFee,
    tip: offer.fees.tip,
    signature,
  });
  return hash;
}
