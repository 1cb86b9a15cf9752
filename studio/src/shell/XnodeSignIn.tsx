import { useMutation, useQuery } from "@tanstack/react-query";
import { useState, useSyncExternalStore } from "react";
import { askNonce, useBecome } from "../api/xnodeAccess";
import { Card, Copy, Notice } from "../design";
import { useTitle } from "../lib/title";
import { askWallets, currentWallets, refusal, safeIcon, subscribeWallets } from "./wallet";
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
          {wallets.length === 0 ? (
            <Notice title="No wallet found in this browser">
              Install a wallet that announces itself by EIP-6963 (most do: MetaMask, Rabby, Frame), allow it
              on this page, then reload. On the machine itself root needs none: <code>openmesh app list</code>
              .
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
                      disabled={entering.isPending || (isNew && code.trim() === "")}
                      title={isNew && code.trim() === "" ? "The first owner needs the code" : undefined}
                      onClick={() => {
                        askWallets();
                        entering.mutate(wallet);
                      }}
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
      </Card>
    </div>
  );
}
