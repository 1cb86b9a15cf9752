// @vitest-environment node
import { expect, it, vi } from "vitest";
import type { XnodeEvent } from "./xnode";
import { EventHistory } from "./xnodeEvents";

const line = (sequence: number) =>
  `${JSON.stringify({ sequence, at: "", kind: "done", generation: 1, application: null, text: "" } satisfies XnodeEvent)}\n`;

/** A stream to which lines are added by hand. */
function stream() {
  let controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  const body = new ReadableStream<Uint8Array>({
    start(given) {
      controller = given;
    },
  });
  const add = (...sequences: number[]) =>
    controller?.enqueue(new TextEncoder().encode(sequences.map(line).join("")));
  return { answer: new Response(body), add };
}

it("is one stream for all who watch, and each event once", async () => {
  const made: ReturnType<typeof stream>[] = [];
  const paths: string[] = [];
  const history = new EventHistory((path) => {
    const next = stream();
    made.push(next);
    paths.push(path);
    return Promise.resolve(next.answer);
  });
  const sequences = () => history.now.events.map(({ sequence }) => sequence);
  const first = history.watch(() => undefined);
  const second = history.watch(() => undefined);
  await vi.waitFor(() => expect(history.now.state).toBe("open"));
  made[0]?.add(1, 2);
  await vi.waitFor(() => expect(sequences()).toEqual([1, 2]));
  made[0]?.add(2, 3);
  await vi.waitFor(() => expect(sequences()).toEqual([1, 2, 3]));
  first();
  second();
  // Watched again it goes on behind what is known.
  const third = history.watch(() => undefined);
  expect(paths).toEqual(["/v1/xnode/events?follow=true&from=1", "/v1/xnode/events?follow=true&from=4"]);
  history.again();
  expect(sequences()).toEqual([]);
  expect(paths.at(-1)).toBe("/v1/xnode/events?follow=true&from=1");
  third();
});
