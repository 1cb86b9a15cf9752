// @vitest-environment node
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { expect, it } from "vitest";
import { MAINNET, TestWallet, type Rpc } from "../../e2e/provider";
import {
  activeChain,
  addChain,
  beOn,
  CHAIN_ID_MAX,
  chainNumber,
  chainOf,
  isTaken,
  OtherChain,
  switchChain,
} from "./chain";
import { codeOf, refusal, type Wallet } from "./wallet";

const CHAIN = chainOf({ chain_id: 84_202, network: "simulated" }, "http://127.0.0.1:8420");
const account = privateKeyToAccount(generatePrivateKey());
const zeros = (bytes: number) => `0x${"00".repeat(bytes)}`;

const block = {
  number: "0x7",
  hash: zeros(32),
  parentHash: zeros(32),
  stateRoot: zeros(32),
  transactionsRoot: zeros(32),
  receiptsRoot: zeros(32),
  sha3Uncles: zeros(32),
  mixHash: zeros(32),
  miner: zeros(20),
  logsBloom: zeros(256),
  nonce: zeros(8),
  extraData: "0x",
  gasLimit: "0x1",
  gasUsed: "0x0",
  timestamp: "0x1",
  baseFeePerGas: "0x0",
  size: "0x0",
  difficulty: "0x0",
  transactions: [],
  uncles: [],
};

/** Answers of a network by method; those that are not there are refused. */
const ANSWERS: Record<string, unknown> = {
  eth_chainId: "0x148ea",
  net_version: "84202",
  web3_clientVersion: "openmesh/1.0.0",
  eth_blockNumber: "0x7",
  eth_getBlockByNumber: block,
  eth_getBlockByHash: block,
  eth_getBalance: "0x0",
  eth_getTransactionCount: "0x0",
  eth_getCode: "0x",
  eth_gasPrice: "0x1",
  eth_maxPriorityFeePerGas: "0x1",
  eth_estimateGas: "0x5208",
  eth_feeHistory: {
    oldestBlock: "0x7",
    baseFeePerGas: ["0x0", "0x0"],
    gasUsedRatio: [0],
    reward: [["0x0", "0x0", "0x0"]],
  },
  eth_getTransactionByHash: null,
  eth_getTransactionReceipt: null,
  eth_accounts: [],
  eth_syncing: false,
};

const answering =
  (answers: Record<string, unknown>): Rpc =>
  (url, body) => {
    expect(url).toBe("http://127.0.0.1:8420/v1/rpc");
    const one = ({ id, method }: { id: number; method: string }) =>
      method in answers
        ? { jsonrpc: "2.0", id, result: answers[method] }
        : { jsonrpc: "2.0", id, error: { code: -32004, message: `${method} is refused` } };
    return Promise.resolve(Array.isArray(body) ? body.map(one) : one(body as { id: number; method: string }));
  };

function wallet(answers: Record<string, unknown> = ANSWERS, staysAfterAdding = false) {
  const inside = new TestWallet(account, answering(answers), staysAfterAdding);
  const outside: Wallet = {
    info: { uuid: "1", name: "Test Wallet", icon: "", rdns: "org.example" },
    provider: { request: ({ method, params }) => inside.request(method, params) },
  };
  return { inside, outside };
}

const thrown = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error("nothing was refused");
};

it("names the network as EIP-3085 has it", () => {
  expect(CHAIN).toEqual({
    chainId: "0x148ea",
    chainName: "Openmesh simulated",
    nativeCurrency: { name: "OPEN", symbol: "OPEN", decimals: 18 },
    rpcUrls: ["http://127.0.0.1:8420/v1/rpc"],
    blockExplorerUrls: ["http://127.0.0.1:8420"],
  });
  expect(chainOf({ chain_id: 1, network: "openmesh-main" }, "https://x").chainName).toBe("openmesh-main");
});

it("knows which addresses wallets take", () => {
  for (const taken of ["https://mesh.example", "http://localhost:8420", "http://127.0.0.1:1"])
    expect(isTaken(taken), taken).toBe(true);
  for (const not of ["http://mesh.example", "http://192.168.1.2:8420", "http://[::1]:8420"])
    expect(isTaken(not), not).toBe(false);
});

it("reads the number of a chain in each way that wallets say it", () => {
  for (const said of ["0x148ea", "84202", 84_202]) expect(chainNumber(said)).toBe(84_202);
  for (const none of ["", "0x", "mainnet", 0, -1, 1.5, null, undefined, {}, "0xffffffffffffffffff"])
    expect(chainNumber(none)).toBeNull();
});

it("adds the network, which the wallet asks everything that it will want of it", async () => {
  const { inside, outside } = wallet();
  await addChain(outside, CHAIN);
  expect(inside.chainId).toBe("0x148ea");
  const methods = Object.keys(ANSWERS).filter((method) => !inside.asked.includes(method));
  expect(methods).toEqual([]);
  expect(await activeChain(outside)).toBe(84_202);
});

it("is refused by the wallet where the network is not as it says, or answers in another form", async () => {
  for (const wrong of [
    { eth_chainId: "0x1" },
    { eth_chainId: "0x0148ea" },
    { net_version: "0x148ea" },
    { eth_getBalance: 0 },
    { eth_gasPrice: "0x01" },
    { eth_getBlockByNumber: { ...block, baseFeePerGas: undefined } },
    { eth_accounts: ["0x1"] },
  ]) {
    const { inside, outside } = wallet({ ...ANSWERS, ...wrong });
    expect(refusal(await thrown(addChain(outside, CHAIN))), JSON.stringify(wrong)).not.toBe("");
    expect(inside.chainId).toBe(MAINNET);
  }
});

it("does not ask a wallet for what it would refuse by its address", async () => {
  const { outside } = wallet();
  const far = chainOf({ chain_id: 84_202, network: "n" }, "http://mesh.example");
  expect(refusal(await thrown(addChain(outside, far)))).toMatch(/over HTTPS or from this machine/);
});

it("does not ask a wallet for a chain id that it would refuse", async () => {
  const { inside, outside } = wallet();
  for (const chain_id of [0, CHAIN_ID_MAX + 1, 2 ** 64]) {
    const chain = chainOf({ chain_id, network: "n" }, "http://127.0.0.1:8420");
    expect(refusal(await thrown(addChain(outside, chain))), String(chain_id)).toMatch(/chain ids from 1 to/);
    const error = await thrown(inside.request("wallet_addEthereumChain", [chain]));
    expect(codeOf(error), String(chain_id)).toBe(-32602);
  }
});

it("switches, and adds the network first where the wallet does not know it", async () => {
  for (const stays of [false, true]) {
    const { inside, outside } = wallet(ANSWERS, stays);
    await switchChain(outside, CHAIN);
    expect(inside.chainId).toBe("0x148ea");
    inside.goTo(MAINNET);
    await beOn(outside, CHAIN);
    expect(inside.chainId).toBe("0x148ea");
  }
});

it("says in words what a person or a wallet says no to", async () => {
  const { inside, outside } = wallet();
  inside.decline("wallet_switchEthereumChain");
  expect(refusal(await thrown(beOn(outside, CHAIN)))).toBe("You declined in the wallet.");
  inside.decline("wallet_addEthereumChain");
  expect(refusal(await thrown(beOn(outside, CHAIN)))).toBe("You declined in the wallet.");
  expect(inside.chainId).toBe(MAINNET);
  inside.lack("wallet_switchEthereumChain");
  expect(refusal(await thrown(beOn(outside, CHAIN)))).toBe("This wallet cannot do that.");
  inside.lack("eth_chainId");
  expect(await activeChain(outside)).toBeNull();
  // It cannot tell: what it signs names the chain.
  await beOn(outside, CHAIN);
  for (const [error, words] of [
    [{ code: 4100, message: "m" }, /connect it there/],
    [{ code: 4902, message: "m" }, /add it first/],
    [{ code: -32002, message: "m" }, /asking already/],
    [{ code: -32603, message: "inside", data: { originalError: { code: 4001 } } }, /You declined/],
    [{ code: -32603, message: "its own words" }, /^its own words$/],
    [{}, /^The wallet refused\.$/],
    ["text", /^The wallet refused\.$/],
    [null, /^The wallet refused\.$/],
  ] as const)
    expect(refusal(error)).toMatch(words);
  expect([codeOf(null), codeOf("x"), codeOf({ code: "4001" })]).toEqual([null, null, null]);
});

it("signs nothing while a wallet that does as if it had switched is elsewhere", async () => {
  const { inside, outside } = wallet();
  const lying: Wallet = {
    ...outside,
    provider: {
      request: ({ method, params }) =>
        method === "wallet_switchEthereumChain" ? Promise.resolve(null) : inside.request(method, params),
    },
  };
  const error = await thrown(beOn(lying, CHAIN));
  expect(error).toBeInstanceOf(OtherChain);
  expect(refusal(error)).toMatch(/on the chain 1, and this network is Openmesh simulated \(chain 84202\)/);
});

it("enforces the active chain as MetaMask does, and shows each field", async () => {
  const { inside } = wallet();
  const typed = {
    domain: { name: "Openmesh", version: "1", chainId: 84_202 },
    primaryType: "Transfer",
    types: {
      EIP712Domain: [
        { name: "name", type: "string" },
        { name: "version", type: "string" },
        { name: "chainId", type: "uint256" },
      ],
      Transfer: [
        { name: "to", type: "address" },
        { name: "amount", type: "uint256" },
      ],
    },
    message: { to: zeros(20), amount: "5" },
  };
  const sign = (change: object = {}) =>
    inside.request("eth_signTypedData_v4", [account.address, JSON.stringify({ ...typed, ...change })]);
  expect(refusal(await thrown(sign()))).toMatch(/"84202" must match the active chainId "1"/);
  await inside.request("wallet_addEthereumChain", [CHAIN]);
  inside.asked.length = 0;
  expect(await sign()).toMatch(/^0x[0-9a-f]{130}$/);
  expect(inside.asked).toEqual(["eth_blockNumber", "eth_getBalance", "eth_getTransactionCount"]);
  expect(inside.shown).toEqual([
    {
      network: "Openmesh simulated",
      primaryType: "Transfer",
      fields: [
        { name: "to", type: "address", value: zeros(20) },
        { name: "amount", type: "uint256", value: "5" },
      ],
    },
  ]);
  expect(refusal(await thrown(sign({ domain: { ...typed.domain, chainId: 1 } })))).toMatch(/must match/);
  const more = { message: { to: zeros(20), amount: "5", more: 1 } };
  expect(refusal(await thrown(sign(more)))).toMatch(/other members/);
});
