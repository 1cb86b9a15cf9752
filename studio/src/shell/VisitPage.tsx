import { useMutation, useQuery } from "@tanstack/react-query";
import { useMemo, useSyncExternalStore } from "react";
import { useSearchParams } from "react-router";
import { RequestError } from "../api/client";
import type { Visited, Way } from "../api/xnode";
import { askVisited } from "../api/xnodeAccess";
import { Card, Loading, Notice } from "../design";
import { useTitle } from "../lib/title";
import { askWallets, currentWallets, subscribeWallets } from "./wallet";
import { WalletList } from "./WalletList";
import { visitWith } from "./xnodeWallet";

/** The way back in the address of this page. The agent judges it: nobody is led anywhere that it has not named. */
export function wayOf(search: URLSearchParams): Way {
  const of = (key: string) => search.get(key) ?? "";
  return { host: of("host"), tls: of("tls") === "1" ? 1 : 0, visit: of("visit"), to: of("to") };
}

/** The page where visitors of an application that is not for everybody sign in. It has nothing of Studio around it: most of them have no right there. */
export function VisitPage() {
  const [search] = useSearchParams();
  const way = useMemo(() => wayOf(search), [search]);
  const visited = useQuery({
    queryKey: ["xnode-visit", way],
    queryFn: ({ signal }) => askVisited(way, signal),
    retry: false,
    staleTime: Infinity,
  });
  useTitle(visited.data ? `Open ${visited.data.application}` : "Open an application");
  return (
    <main id="main" tabIndex={-1}>
      <div className="stack narrow">
        {visited.data ? (
          <Entrance way={way} visited={visited.data} />
        ) : visited.error ? (
          <Notice tone="bad" title="This address leads to no application">
            <span className="long">{visited.error.message}</span>
          </Notice>
        ) : (
          <Loading what="the application" />
        )}
      </div>
    </main>
  );
}

function Entrance({ way, visited }: { way: Way; visited: Visited }) {
  const wallets = useSyncExternalStore(subscribeWallets, currentWallets);
  const entering = useMutation({
    mutationFn: (wallet: (typeof wallets)[number]) => visitWith(wallet, way, visited),
    onSuccess: ({ location: there }) => location.assign(there),
  });
  const isStranger = entering.error instanceof RequestError && entering.error.code === "audience";
  return (
    <>
      <h1>Open {visited.application}</h1>
      <p className="flat">
        <code className="long">{visited.host}</code> is not for everybody. Sign in with a wallet that may open
        it.
      </p>
      {isStranger ? (
        <Notice tone="warn" title="This wallet may not open it">
          <span className="long">
            {entering.error?.message}. Choose another account in the wallet, or another wallet below.
          </span>
        </Notice>
      ) : null}
      <Card title="With a wallet">
        <div className="stack">
          <WalletList
            wallets={wallets}
            entering={{
              isPending: entering.isPending || entering.isSuccess,
              error: isStranger ? null : entering.error,
            }}
            without="Whoever owns the Xnode says which wallets may come in."
            onChoose={(wallet) => {
              askWallets();
              entering.mutate(wallet);
            }}
          />
        </div>
      </Card>
    </>
  );
}
