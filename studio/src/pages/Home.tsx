import { Navigate } from "react-router";
import { hasNoNetwork, useStatus } from "../api/queries";
import { Network } from "./network/Network";

/** The network; where an Xnode alone answers, its applications. */
export function Home() {
  const { error } = useStatus();
  return hasNoNetwork(error) ? <Navigate to="/apps" replace /> : <Network />;
}
