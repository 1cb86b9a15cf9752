import { useMutation } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { Badge, Copy, Notice } from "../design";
import { addChain, isTaken, numberOf, switchChain, type Chain } from "./chain";
import { useChain, useChainAgain } from "./useChain";
import { currentWallets, refusal, safeIcon, subscribeWallets, type Wallet } from "./wallet";

/** The network in each wallet of this browser: added, switched to, or by hand. */
export function NetworkInWallet({ chain }: { chain: Chain }) {
  const wallets = useSyncExternalStore(subscribeWallets, currentWallets);
  const origin = new URL(chain.rpcUrls[0] ?? location.origin).origin;
  return (
    <div className="stack">
      {!isTaken(origin) ? (
        <Notice tone="warn" title="Wallets cannot add the network from this address">
          They take networks over HTTPS or from this machine, and this page is at {origin}. Open it under a
          name with TLS, or on the machine of the node.
        </Notice>
      ) : wallets.length === 0 ? (
        <Notice title="This browser has no wallet to add the network to">
          Install one that announces itself by EIP-6963 (most do: MetaMask, Rabby, Frame), allow it on this
          page, then reload; or enter the network by hand.
        </Notice>
      ) : (
        <ul className="chains" aria-label="Wallets">
          {wallets.map((wallet) => (
            <li key={wallet.info.uuid}>
              <InWallet wallet={wallet} chain={chain} />
            </li>
          ))}
        </ul>
      )}
      <ByHand chain={chain} />
    </div>
  );
}

function InWallet({ wallet, chain }: { wallet: Wallet; chain: Chain }) {
  const active = useChain(wallet);
  const again = useChainAgain();
  const onSettled = () => again(wallet);
  const adding = useMutation({ mutationFn: () => addChain(wallet, chain), onSettled });
  const switching = useMutation({ mutationFn: () => switchChain(wallet, chain), onSettled });
  const busy = adding.isPending || switching.isPending;
  const error = adding.error ?? switching.error;
  const { name, icon } = wallet.info;
  const isActive = active.data === numberOf(chain);
  return (
    <div className="stack" role="group" aria-label={name}>
      <p className="row flat">
        {safeIcon(icon) ? <img src={icon} alt="" width={24} height={24} /> : null}
        <strong>{name}</strong>
        {isActive ? <Badge tone="good">✓ on this network</Badge> : null}
        {!isActive && typeof active.data === "number" ? (
          <Badge tone="warn">on the chain {active.data}</Badge>
        ) : null}
        <button
          type="button"
          className="button small"
          disabled={busy}
          onClick={() => {
            switching.reset();
            adding.mutate();
          }}
        >
          Add network to wallet
        </button>
        {isActive ? null : (
          <button
            type="button"
            className="button small"
            disabled={busy}
            onClick={() => {
              adding.reset();
              switching.mutate();
            }}
          >
            Switch network
          </button>
        )}
      </p>
      {busy ? (
        <p role="status" className="quiet flat">
          Waiting for the wallet…
        </p>
      ) : null}
      {error ? <Notice tone="bad" title={refusal(error)} /> : null}
      {adding.isSuccess && !error ? <Notice tone="good" title={`${name} knows the network`} /> : null}
    </div>
  );
}

/** What a person enters in a wallet that adds nothing by itself. */
function ByHand({ chain }: { chain: Chain }) {
  const facts: [string, string][] = [
    ["Network name", chain.chainName],
    ["RPC address", chain.rpcUrls[0] ?? ""],
    ["Chain id", String(numberOf(chain))],
    ["Currency", chain.nativeCurrency.symbol],
    ["Block explorer", chain.blockExplorerUrls[0] ?? ""],
  ];
  return (
    <details>
      <summary>By hand</summary>
      <dl className="facts" aria-label="The network for a wallet">
        {facts.map(([name, value]) => (
          <div className="fact" key={name}>
            <dt>{name}</dt>
            <dd>
              <code className="long">{value}</code> <Copy text={value} label={name.toLowerCase()} />
            </dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

/** A wallet that is about to sign, where another network is active in it. */
export function WrongChain({ wallet, chain }: { wallet: Wallet; chain: Chain }) {
  const active = useChain(wallet);
  const again = useChainAgain();
  const switching = useMutation({
    mutationFn: () => switchChain(wallet, chain),
    onSettled: () => again(wallet),
  });
  if (typeof active.data !== "number" || active.data === numberOf(chain)) return null;
  return (
    <div className="stack">
      <Notice tone="warn" title={`${wallet.info.name} is on another network (chain ${active.data})`}>
        Actions of this ledger are signed on {chain.chainName} (chain {numberOf(chain)}).
      </Notice>
      <p className="row flat">
        <button
          type="button"
          className="button small"
          disabled={switching.isPending}
          onClick={() => switching.mutate()}
        >
          {switching.isPending ? "Waiting for the wallet…" : "Switch network"}
        </button>
      </p>
      {switching.error ? <Notice tone="bad" title={refusal(switching.error)} /> : null}
    </div>
  );
}
