/** The history of an Xnode, followed while somebody looks: one stream for a page, whichever parts of it listen. */
import { useSyncExternalStore } from "react";
import type { RequestError } from "./client";
import { follow, type Ask, type LinesState } from "./lines";
import type { XnodeEvent } from "./xnode";

/** Events that are kept: as many as the agent itself keeps for whoever asks. */
const EVENTS_KEPT_MAX = 4_096;

export interface HistoryNow {
  /** In the order of their numbers, each once. */
  events: readonly XnodeEvent[];
  state: LinesState;
  error: RequestError | null;
}

const NOTHING: HistoryNow = { events: [], state: "connecting", error: null };

export class EventHistory {
  #ask: Ask | undefined;
  #now: HistoryNow = NOTHING;
  #watchers = new Set<() => void>();
  #stop: (() => void) | null = null;

  constructor(ask?: Ask) {
    this.#ask = ask;
  }

  get now(): HistoryNow {
    return this.#now;
  }

  /** Calls back with each news; the stream lasts as long as somebody watches. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    this.#stop ??= this.#follow();
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size > 0) return;
      this.#stop?.();
      this.#stop = null;
    };
  }

  /** Begins anew, as for somebody else who has signed in. */
  again(): void {
    this.#tell(NOTHING);
    if (!this.#stop) return;
    this.#stop();
    this.#stop = this.#follow();
  }

  #follow(): () => void {
    this.#now = { ...this.#now, state: "connecting", error: null };
    return follow<XnodeEvent>(
      {
        path: () => `/v1/xnode/events?follow=true&from=${(this.#now.events.at(-1)?.sequence ?? 0) + 1}`,
        onValues: (values) => this.#heard(values),
        onState: (state, error) => this.#tell({ ...this.#now, state, error }),
      },
      this.#ask,
    );
  }

  #heard(values: XnodeEvent[]): void {
    const last = this.#now.events.at(-1)?.sequence ?? 0;
    const fresh = values.filter(({ sequence }) => sequence > last);
    if (fresh.length === 0) return;
    this.#tell({ ...this.#now, events: [...this.#now.events, ...fresh].slice(-EVENTS_KEPT_MAX) });
  }

  #tell(now: HistoryNow): void {
    this.#now = now;
    for (const watcher of this.#watchers) watcher();
  }
}

export const eventHistory = new EventHistory();

// The same functions at each call: others would leave the stream and begin it anew at every drawing.
const watch = (changed: () => void) => eventHistory.watch(changed);
const nowOf = () => eventHistory.now;

/** The history, and how its stream is. */
export const useHistory = (): HistoryNow => useSyncExternalStore(watch, nowOf);
