import { Navigate, useParams } from "react-router";

/** The page of a block, transaction or account that a wallet links to, under the address that it has here. Hashes have no `0x` here. */
export function Explored({ of }: { of: "blocks" | "transactions" | "accounts" }) {
  const { name = "" } = useParams();
  const own = of === "transactions" ? name.replace(/^0x/, "") : name;
  return <Navigate to={`/${of}/${encodeURIComponent(own)}`} replace />;
}
