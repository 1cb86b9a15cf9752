import type { ReactNode } from "react";
import { Notice } from "../design";
import { refusal, safeIcon, type Wallet } from "./wallet";

/** The wallets of this browser as buttons, with what comes of a choice. `without` says more to whoever has no wallet. */
export function WalletList({
  wallets,
  entering,
  why,
  without,
  onChoose,
}: {
  wallets: readonly Wallet[];
  entering: { isPending: boolean; error: Error | null };
  /** The reason for which none can be chosen yet. */
  why?: string | undefined;
  without: ReactNode;
  onChoose: (wallet: Wallet) => void;
}) {
  return (
    <>
      {wallets.length === 0 ? (
        <Notice title="No wallet found in this browser">
          Install a wallet that announces itself by EIP-6963 (most do: MetaMask, Rabby, Frame), allow it on
          this page, then reload. {without}
        </Notice>
      ) : (
        <>
          <p className="quiet flat">
            The wallet asks you to sign a message. It costs nothing and sends no transaction.
          </p>
          <ul className="wallets">
            {wallets.map((wallet) => (
              <li key={wallet.info.uuid}>
                <button
                  type="button"
                  className="button"
                  disabled={entering.isPending || why !== undefined}
                  title={why}
                  onClick={() => onChoose(wallet)}
                >
                  {safeIcon(wallet.info.icon) ? (
                    <img src={wallet.info.icon} alt="" width={24} height={24} />
                  ) : null}
                  {wallet.info.name}
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
      {entering.isPending ? (
        <p role="status" className="quiet flat">
          Waiting for the wallet…
        </p>
      ) : null}
      {entering.error ? <Notice tone="bad" title={refusal(entering.error)} /> : null}
    </>
  );
}
