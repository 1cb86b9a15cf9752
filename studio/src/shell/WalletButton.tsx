import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, useSyncExternalStore } from "react";
import { Link } from "react-router";
import { Notice } from "../design";
import { shortAddress } from "../lib/format";
import {
  askWallets,
  currentSession,
  currentWallets,
  refusal,
  safeIcon,
  signIn,
  signOut,
  subscribeWallets,
} from "./wallet";

export function WalletButton() {
  const client = useQueryClient();
  const dialog = useRef<HTMLDialogElement>(null);
  const wallets = useSyncExternalStore(subscribeWallets, currentWallets);
  const session = useQuery({ queryKey: ["session"], queryFn: currentSession, staleTime: 60_000 });
  const entering = useMutation({
    mutationFn: signIn,
    onSuccess: (info) => {
      client.setQueryData(["session"], info);
      dialog.current?.close();
    },
  });
  const leaving = useMutation({
    mutationFn: signOut,
    onSuccess: () => client.setQueryData(["session"], null),
  });

  if (session.data) {
    const { address } = session.data;
    return (
      <span className="row session">
        <Link to={`/accounts/${address}`} title={address} aria-label={`Signed in as ${address}`}>
          <code>{shortAddress(address)}</code>
        </Link>
        <button
          type="button"
          className="button small"
          disabled={leaving.isPending}
          onClick={() => leaving.mutate()}
        >
          Sign out
        </button>
        {leaving.isError ? (
          <span className="quiet" role="alert">
            {refusal(leaving.error)}
          </span>
        ) : null}
      </span>
    );
  }
  return (
    <>
      <button
        type="button"
        className="button small"
        onClick={() => {
          askWallets();
          entering.reset();
          dialog.current?.showModal();
        }}
      >
        Connect wallet
      </button>
      <dialog ref={dialog} className="dialog" aria-labelledby="wallet-title">
        <div className="stack">
          <div className="row spread">
            <h2 id="wallet-title">Sign in with a wallet</h2>
            <button type="button" className="button small plain" onClick={() => dialog.current?.close()}>
              Close
            </button>
          </div>
          {wallets.length === 0 ? (
            <Notice title="No wallet found in this browser">
              Install a wallet that announces itself by EIP-6963 (most do: MetaMask, Rabby, Frame), allow it
              on this page, then reload. Reading data needs no wallet.
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
                      disabled={entering.isPending}
                      onClick={() => entering.mutate(wallet)}
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
          {entering.isError ? <Notice tone="bad" title={refusal(entering.error)} /> : null}
        </div>
      </dialog>
    </>
  );
}
