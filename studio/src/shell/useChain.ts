/** The chain that is active in a wallet, as long as a page looks at it. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { activeChain, chainNumber } from "./chain";
import type { Wallet } from "./wallet";

const keyOf = (uuid: string) => ["wallet-chain", uuid];

export function useChain(wallet: Wallet) {
  const client = useQueryClient();
  const { provider } = wallet;
  const { uuid } = wallet.info;
  useEffect(() => {
    const changed = (said: unknown) => client.setQueryData(keyOf(uuid), chainNumber(said));
    provider.on?.("chainChanged", changed);
    return () => void provider.removeListener?.("chainChanged", changed);
  }, [client, provider, uuid]);
  return useQuery({ queryKey: keyOf(uuid), queryFn: () => activeChain(wallet), retry: false });
}

/** Asks a wallet for its chain again: not every wallet tells of a change. */
export function useChainAgain() {
  const client = useQueryClient();
  return (wallet: Wallet) => client.invalidateQueries({ queryKey: keyOf(wallet.info.uuid) });
}
