import { useMutation, useQuery } from "@tanstack/react-query";
import { useState, useSyncExternalStore } from "react";
import { askNonce, useBecome } from "../api/xnodeAccess";
import { Card, Copy } from "../design";
import { useTitle } from "../lib/title";
import { askWallets, currentWallets, subscribeWallets } from "./wallet";
import { WalletList } from "./WalletList";
import { signInWith } from "./xnodeWallet";

/** The way in: a wallet that is a member, or the first owner with the code that root has. */
export function SignIn() {
  useTitle("Sign in");
  const become = useBecome();
  const [code, setCode] = useState("");
  const wallets = useSyncExternalStore(subscribeWallets, currentWallets);
  const nonce = useQuery({ queryKey: ["xnode-nonce"], queryFn: askNonce, staleTime: Infinity });
  const entering = useMutation({
    mutationFn: (wallet: (typeof wallets)[number]) => signInWith(wallet, code),
    onSuccess: become,
    // Somebody else may have become the owner meanwhile.
    onError: () => void nonce.refetch(),
  });
  const isNew = nonce.data?.owned === false;
  // Until the node has said whether it has an owner, it is not known whether a code is asked for.
  const why = nonce.isPending
    ? "Asking this Xnode whether it has an owner"
    : isNew && code.trim() === ""
      ? "The first owner needs the code"
      : undefined;
  return (
    <div className="stack narrow">
      <h1>Sign in to this Xnode</h1>
      {isNew ? (
        <Card title="Nobody owns it yet">
          <div className="stack">
            <p className="flat">
              Whoever is root on the machine gets a code, and with it the first sign-in becomes its owner:
            </p>
            <p className="command">
              <code>openmesh xnode access code</code>
              <Copy text="openmesh xnode access code" label="the command" />
            </p>
            <label className="field">
              <span>Code</span>
              <input
                className="input mono"
                value={code}
                autoComplete="off"
                spellCheck={false}
                placeholder="omc_…"
                onChange={(event) => setCode(event.target.value)}
              />
            </label>
          </div>
        </Card>
      ) : null}
      <Card title="With a wallet">
        <div className="stack">
          <WalletList
            wallets={wallets}
            entering={entering}
            why={why}
            without={
              <>
                On the machine itself root needs none: <code>openmesh app list</code>.
              </>
            }
            onChoose={(wallet) => {
              askWallets();
              entering.mutate(wallet);
            }}
          />
        </div>
      </Card>
    </div>
  );
}
