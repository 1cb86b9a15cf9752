/**
 * A wallet for tests that behaves as MetaMask does where it matters: it knows networks by their chain ids and asks them by JSON-RPC before it
 * believes in one, one of them is active, and typed data of another are not signed. It is strict where wallets are: what a network answers is held
 * to the forms of EIP-1474, what a page asks for to those of EIP-3085. Clauses 21 to 23 of `docs/spec/rpc.md`.
 */
import { hexToString, type Hex, type TypedDataDefinition } from "viem";
import type { PrivateKeyAccount } from "viem/accounts";

/** An error with its number (EIP-1193, EIP-1474). */
export class ProviderError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.name = "ProviderError";
    this.code = code;
  }
}

/** Asks an address by JSON-RPC: the body as it is answered. */
export type Rpc = (url: string, body: unknown) => Promise<unknown>;

/** Asks a network by a method and its parameters. */
type Ask = (method: string, ...params: unknown[]) => Promise<unknown>;

/** A network that the wallet knows. */
interface Known {
  name: string;
  url: string | null;
}

/** A field of typed data as the wallet shows it to a person. */
export interface ShownField {
  name: string;
  type: string;
  value: unknown;
}

/** Typed data as the wallet shows it before it signs. */
export interface Shown {
  network: string;
  primaryType: string;
  fields: ShownField[];
}

/** Typed data (EIP-712) as they come in JSON. */
interface Typed {
  domain: Record<string, unknown>;
  types: Record<string, { name: string; type: string }[]>;
  primaryType: string;
  message: Record<string, unknown>;
}

/** The largest chain id that wallets take. */
const CHAIN_ID_MAX = 4_503_599_627_370_476;
/** The network that a new wallet is on. */
export const MAINNET = "0x1";
const QUANTITY = /^0x(0|[1-9a-f][0-9a-f]*)$/;
const DATA = /^0x([0-9a-f]{2})*$/;
const HASH = /^0x[0-9a-f]{64}$/;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const NO_HASH = `0x${"00".repeat(32)}`;
/** Members of the argument of `wallet_addEthereumChain`; others are refused. */
const MEMBERS = ["chainId", "chainName", "nativeCurrency", "rpcUrls", "blockExplorerUrls", "iconUrls"];
/** Methods that go to the active network as they are. */
const PASSED =
  /^(net_version|web3_clientVersion|eth_(blockNumber|getBalance|getBlockBy(Number|Hash)|getTransaction(Count|ByHash|Receipt)|getCode|estimateGas|gasPrice|feeHistory|call|syncing))$/;

/** The body that an address answers to a body. */
export const postRpc: Rpc = async (url, body) => {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.json();
};

const invalid = (why: string) => new ProviderError(-32602, why);

export class TestWallet {
  /** Methods that networks were asked, in their order. */
  readonly asked: string[] = [];
  /** All that was shown to a person before it was signed. */
  readonly shown: Shown[] = [];
  private readonly known = new Map<string, Known>([[MAINNET, { name: "Ethereum", url: null }]]);
  private readonly declined = new Set<string>();
  private readonly lacking = new Set<string>();
  private active = MAINNET;
  private nextId = 1;

  constructor(
    private readonly account: PrivateKeyAccount,
    private readonly rpc: Rpc = postRpc,
    /** True where it stays on its network when it has added one. */
    private readonly staysAfterAdding = false,
  ) {}

  get chainId(): string {
    return this.active;
  }

  /** The person's next answer to a method is no. */
  decline(method: string): void {
    this.declined.add(method);
  }

  /** The wallet has no such method. */
  lack(method: string): void {
    this.lacking.add(method);
  }

  /** The person goes to another network that the wallet knows, by its own menu. */
  goTo(chainId: string): void {
    if (!this.known.has(chainId)) throw new Error(`${chainId} is not known`);
    this.active = chainId;
  }

  async request(method: string, params: unknown[] = []): Promise<unknown> {
    if (this.lacking.has(method)) throw new ProviderError(4200, `${method} is not supported`);
    if (this.declined.delete(method)) throw new ProviderError(4001, "User rejected the request.");
    switch (method) {
      case "eth_chainId":
        return this.active;
      case "eth_accounts":
      case "eth_requestAccounts":
        return [this.account.address.toLowerCase()];
      case "wallet_addEthereumChain":
        return this.add(params);
      case "wallet_switchEthereumChain":
        return this.switchTo(params);
      case "personal_sign":
        return this.account.signMessage({ message: hexToString(String(params[0] ?? "0x") as Hex) });
      case "eth_signTypedData_v4":
        return this.signTypedData(params);
      default:
        if (PASSED.test(method)) return this.ask(method, params);
        throw new ProviderError(4200, `${method} is not supported`);
    }
  }

  private async add([argument, ...more]: unknown[]): Promise<null> {
    const chain = argument as Record<string, unknown> | null;
    if (typeof chain !== "object" || chain === null || more.length > 0) throw invalid("Expected one object.");
    const strange = Object.keys(chain).find((member) => !MEMBERS.includes(member));
    if (strange) throw invalid(`Received unexpected keys on object parameter: ${strange}.`);
    const { chainId, chainName, nativeCurrency } = chain;
    if (typeof chainId !== "string" || !QUANTITY.test(chainId) || !(Number(chainId) > 0))
      throw invalid(`Expected 0x-prefixed, unpadded, non-zero 'chainId'. Received: ${String(chainId)}`);
    if (Number(chainId) > CHAIN_ID_MAX)
      throw invalid(`Invalid chain ID "${chainId}": numerical value greater than max safe value.`);
    if (typeof chainName !== "string" || chainName === "")
      throw invalid("Expected non-empty string 'chainName'.");
    const currency = nativeCurrency as { name?: unknown; symbol?: unknown; decimals?: unknown } | undefined;
    if (!currency || currency.decimals !== 18)
      throw invalid("Expected the number 18 for 'nativeCurrency.decimals'.");
    if (typeof currency.symbol !== "string" || !/^.{2,6}$/.test(currency.symbol))
      throw invalid("Expected 2-6 character string 'nativeCurrency.symbol'.");
    const url = firstTaken(chain["rpcUrls"]);
    if (!url) throw invalid("Expected an array with at least one valid string HTTPS url 'rpcUrls'.");
    if (chain["blockExplorerUrls"] !== undefined && !firstTaken(chain["blockExplorerUrls"]))
      throw invalid("Expected null or array with at least one valid string HTTPS URL 'blockExplorerUrl'.");
    await this.check(url, chainId);
    this.known.set(chainId, { name: chainName, url });
    if (!this.staysAfterAdding) this.active = chainId;
    return null;
  }

  private switchTo([argument]: unknown[]): null {
    const chainId = (argument as { chainId?: unknown } | undefined)?.chainId;
    if (typeof chainId !== "string" || !QUANTITY.test(chainId)) throw invalid("Expected a 'chainId'.");
    if (!this.known.has(chainId))
      throw new ProviderError(
        4902,
        `Unrecognized chain ID "${chainId}". Try adding the chain using wallet_addEthereumChain first.`,
      );
    this.active = chainId;
    return null;
  }

  private async signTypedData([from, text]: unknown[]): Promise<Hex> {
    if (String(from).toLowerCase() !== this.account.address.toLowerCase())
      throw new ProviderError(4100, "The account has not been authorized by the user.");
    const typed = JSON.parse(String(text)) as Typed;
    if (!typed.types["EIP712Domain"]) throw invalid("Expected a type 'EIP712Domain'.");
    const fields = typed.types[typed.primaryType];
    if (!fields) throw invalid(`There is no type ${typed.primaryType}.`);
    const wanted = String(typed.domain["chainId"] ?? "");
    if (wanted === "" || BigInt(wanted) !== BigInt(this.active))
      throw new ProviderError(
        -32603,
        `Provided chainId "${wanted}" must match the active chainId "${BigInt(this.active)}"`,
      );
    const given = Object.keys(typed.message);
    if (fields.length !== given.length || fields.some(({ name }) => !given.includes(name)))
      throw invalid("The message has other members than its type.");
    // The page of the wallet on which it is signed shows the account and the network.
    await this.ask("eth_blockNumber", []);
    await this.ask("eth_getBalance", [this.account.address.toLowerCase(), "latest"]);
    await this.ask("eth_getTransactionCount", [this.account.address.toLowerCase(), "pending"]);
    this.shown.push({
      network: this.known.get(this.active)?.name ?? "",
      primaryType: typed.primaryType,
      fields: fields.map(({ name, type }) => ({ name, type, value: typed.message[name] })),
    });
    return this.account.signTypedData(typed as unknown as TypedDataDefinition);
  }

  /** Asks the active network. */
  private ask(method: string, params: unknown[]): Promise<unknown> {
    const url = this.known.get(this.active)?.url;
    if (!url) throw new ProviderError(4901, "The provider is disconnected from the specified chain.");
    return this.askAt(url, method, params);
  }

  private async askAt(url: string, method: string, params: unknown[]): Promise<unknown> {
    this.asked.push(method);
    const id = this.nextId++;
    return resultOf(await this.rpc(url, { jsonrpc: "2.0", id, method, params }), id, method);
  }

  /** Asks a network everything that this wallet will ever want of it, and holds the answers to their forms. */
  private async check(url: string, chainId: string): Promise<void> {
    const ask: Ask = (method, ...params) => this.askAt(url, method, params);
    const is = (what: string, value: unknown, form: RegExp) => {
      if (typeof value !== "string" || !form.test(value))
        throw new ProviderError(-32603, `${what} is not of its form: ${JSON.stringify(value)}`);
      return value;
    };
    const theirs = is("eth_chainId", await ask("eth_chainId"), QUANTITY);
    if (theirs !== chainId)
      throw invalid(`Chain ID returned by RPC URL ${url} does not match ${chainId}: it is ${theirs}.`);
    is("net_version", await ask("net_version"), new RegExp(`^${BigInt(chainId)}$`));
    is("web3_clientVersion", await ask("web3_clientVersion"), /./);
    const height = is("eth_blockNumber", await ask("eth_blockNumber"), QUANTITY);
    const block = checkedBlock(is, await ask("eth_getBlockByNumber", "latest", false));
    checkedBlock(is, await ask("eth_getBlockByNumber", height, true));
    checkedBlock(is, await ask("eth_getBlockByHash", block["hash"], false));
    const account = this.account.address.toLowerCase();
    for (const at of [height, "latest", "pending"]) {
      is("eth_getBalance", await ask("eth_getBalance", account, at), QUANTITY);
      is("eth_getTransactionCount", await ask("eth_getTransactionCount", account, at), QUANTITY);
      is("eth_getCode", await ask("eth_getCode", account, at), DATA);
    }
    is("eth_gasPrice", await ask("eth_gasPrice"), QUANTITY);
    is("eth_maxPriorityFeePerGas", await ask("eth_maxPriorityFeePerGas"), QUANTITY);
    const transfer = { from: account, to: account, value: "0x0" };
    is("eth_estimateGas", await ask("eth_estimateGas", transfer), QUANTITY);
    const fees = (await ask("eth_feeHistory", "0x5", "latest", [10, 20, 30])) as Record<string, unknown>;
    is("oldestBlock", fees["oldestBlock"], QUANTITY);
    const lists = [fees["baseFeePerGas"], fees["gasUsedRatio"], fees["reward"]];
    const [bases, used, rewards] = lists as unknown[][];
    if (!bases || !used || !rewards || bases.length !== used.length + 1 || rewards.length !== used.length)
      throw new ProviderError(-32603, "eth_feeHistory has lists that do not fit");
    for (const price of [...bases, ...rewards.flat()]) is("a price of eth_feeHistory", price, QUANTITY);
    await this.checkRest(url, ask);
  }

  private async checkRest(url: string, ask: Ask): Promise<void> {
    for (const method of ["eth_getTransactionByHash", "eth_getTransactionReceipt"])
      if ((await ask(method, NO_HASH)) !== null)
        throw new ProviderError(-32603, `${method} has a transaction that there is not`);
    const accounts = (await ask("eth_accounts")) as unknown[];
    if (accounts.length > 0) throw new ProviderError(-32603, "a node with keys");
    if ((await ask("eth_syncing")) !== false) throw new ProviderError(-32603, "the network is not ready");
    for (const method of ["eth_call", "eth_sendRawTransaction"]) {
      const refused = await ask(method).catch((error: unknown) => error);
      if (!(refused instanceof ProviderError) || refused.message === "")
        throw new ProviderError(-32603, `${method} is neither answered nor refused with words`);
    }
    const methods = ["eth_chainId", "eth_blockNumber"];
    const batch = methods.map((method, id) => ({ jsonrpc: "2.0", id, method, params: [] }));
    const answers = await this.rpc(url, batch);
    if (!Array.isArray(answers) || answers.length !== batch.length)
      throw new ProviderError(-32603, "a batch is not answered");
    batch.forEach(({ id, method }, at) => resultOf(answers[at], id, method));
  }
}

/** The first address of a list that wallets take: with TLS, or of this machine. */
function firstTaken(urls: unknown): string | null {
  if (!Array.isArray(urls)) return null;
  const taken = urls.find((url): url is string => {
    if (typeof url !== "string" || !URL.canParse(url)) return false;
    const { protocol, hostname } = new URL(url);
    return protocol === "https:" || hostname === "localhost" || hostname === "127.0.0.1";
  });
  return taken ?? null;
}

/** The result in an answer of JSON-RPC. Fails with the error in it, and where it is no answer. */
function resultOf(answer: unknown, id: number, method: string): unknown {
  const { jsonrpc, id: theirs, result, error } = (answer ?? {}) as Record<string, unknown>;
  if (jsonrpc !== "2.0" || theirs !== id || (result === undefined) === (error === undefined))
    throw new ProviderError(-32603, `${method}: no answer of JSON-RPC: ${JSON.stringify(answer)}`);
  if (error === undefined) return result;
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (!Number.isInteger(code) || typeof message !== "string")
    throw new ProviderError(-32603, `${method}: no error of JSON-RPC: ${JSON.stringify(error)}`);
  throw new ProviderError(code as number, message);
}

function checkedBlock(
  is: (what: string, value: unknown, form: RegExp) => string,
  answer: unknown,
): Record<string, unknown> {
  if (typeof answer !== "object" || answer === null)
    throw new ProviderError(-32603, "there is no such block");
  const block = answer as Record<string, unknown>;
  for (const name of ["number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "size", "difficulty"])
    is(name, block[name], QUANTITY);
  for (const name of ["hash", "parentHash", "sha3Uncles", "mixHash"]) is(name, block[name], HASH);
  for (const name of ["stateRoot", "transactionsRoot", "receiptsRoot"]) is(name, block[name], HASH);
  is("miner", block["miner"], ADDRESS);
  is("logsBloom", block["logsBloom"], /^0x[0-9a-f]{512}$/);
  is("nonce", block["nonce"], /^0x[0-9a-f]{16}$/);
  is("extraData", block["extraData"], DATA);
  if (!Array.isArray(block["transactions"]) || !Array.isArray(block["uncles"]))
    throw new ProviderError(-32603, "a block has lists of transactions and uncles");
  return block;
}
