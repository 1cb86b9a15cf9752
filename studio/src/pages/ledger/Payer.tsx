import { useMutation } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { useAccount, useStatus } from "../../api/queries";
import { Notice } from "../../design";
import { open } from "../../lib/format";
import { accountOf } from "../../shell/action";
import { chainOf } from "../../shell/chain";
import { WrongChain } from "../../shell/NetworkInWallet";
import { currentWallets, refusal, subscribeWallets, type Wallet } from "../../shell/wallet";
import { AccountLink } from "../parts";

/** A wallet with the account that it shared. */
export interface Payer {
  wallet: Wallet;
  address: string;
}

/** The choice of the wallet that signs. `command`: how the same is done in a terminal. */
export function From({
  payer,
  command,
  onPayer,
}: {
  payer: Payer | null;
  command: string;
  onPayer: (payer: Payer | null) => void;
}) {
  const wallets = useSyncExternalStore(subscribeWallets, currentWallets);
  const account = useAccount(payer?.address ?? "");
  const status = useStatus();
  const choosing = useMutation({
    mutationFn: async (wallet: Wallet) => ({ wallet, address: await accountOf(wallet) }),
    onSuccess: onPayer,
  });
  if (payer)
    return (
      <div className="stack">
        <div className="row spread">
          <span>
            {payer.wallet.info.name}: <AccountLink address={payer.address} />
            {account.data ? <span className="quiet"> has {open(account.data.balance)}</span> : null}
          </span>
          <button type="button" className="button small" onClick={() => onPayer(null)}>
            Choose another
          </button>
        </div>
        {status.data ? (
          <WrongChain wallet={payer.wallet} chain={chainOf(status.data, location.origin)} />
        ) : null}
      </div>
    );
  if (wallets.length === 0)
    return (
      <Notice title="No wallet found in this browser">
        Install a wallet that announces itself by EIP-6963 and reload, or use a terminal:{" "}
        <code className="long">{command}</code>
      </Notice>
    );
  return (
    <div className="stack">
      <p className="row flat">
        {wallets.map((wallet) => (
          <button
            key={wallet.info.uuid}
            type="button"
            className="button"
            disabled={choosing.isPending}
            onClick={() => choosing.mutate(wallet)}
          >
            Use {wallet.info.name}
          </button>
        ))}
      </p>
      {choosing.isError ? <Notice tone="bad" title={refusal(choosing.error)} /> : null}
    </div>
  );
}
