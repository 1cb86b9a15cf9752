/** The page's one stream, and hooks on it. */
import { useSyncExternalStore } from "react";
import { Stream, type StreamRefusal, type StreamState } from "./stream";

const url = () => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`;

export const stream = new Stream(url());

/** How the connection is. */
export function useStreamState(): StreamState {
  return useSyncExternalStore(
    (changed) => stream.watch(changed),
    () => stream.state,
  );
}

/** What the node refuses of the subscriptions. */
export function useStreamRefusals(): readonly StreamRefusal[] {
  return useSyncExternalStore(
    (changed) => stream.watchRefusals(changed),
    () => stream.refused,
  );
}
