import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, useSyncExternalStore } from "react";
import { Link } from "react-router";
import { shortAddress } from "../lib/format";
import {
  askWallets,
  currentSession,
  currentWallets,
  refusal,
  signIn,
  signOut,
  subscribeWallets,
} from "./wallet";
import { WalletList } from "./WalletList";

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
          <WalletList
            wallets={wallets}
            entering={entering}
            without="Reading data needs no wallet."
            onChoose={(wallet) => entering.mutate(wallet)}
          />
        </div>
      </dialog>
    </>
  );
}
