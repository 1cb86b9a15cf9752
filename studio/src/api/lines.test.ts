// @vitest-environment node
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { follow, LineCutter, renewStreams, type LinesState } from "./lines";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** An answer that gives its parts, and then ends or breaks. */
function answer(parts: string[], end: "ends" | "breaks" | "stays" = "ends"): Response {
  const encoder = new TextEncoder();
  const rest = [...parts];
  const body = new ReadableStream<Uint8Array>({
    // Asked for one part after the other: a break comes after what was read before it.
    pull(controller) {
      const part = rest.shift();
      if (part !== undefined) controller.enqueue(encoder.encode(part));
      else if (end === "ends") controller.close();
      else if (end === "breaks") controller.error(new Error("the connection is gone"));
      else return new Promise<void>(() => undefined);
      return undefined;
    },
  });
  return new Response(body);
}

/** Follows answers that come one after the other; asks for no more than there are. */
function following(answers: (() => Response)[]) {
  const paths: string[] = [];
  const values: number[] = [];
  const states: LinesState[] = [];
  const rest = [...answers];
  const stop = follow<{ n: number }>(
    {
      path: () => `/v1/xnode/events?from=${values.length + 1}`,
      onValues: (found) => values.push(...found.map(({ n }) => n)),
      onState: (state) => states.push(state),
    },
    (path) => {
      paths.push(path);
      const next = rest.shift();
      return next ? Promise.resolve(next()) : new Promise(() => undefined);
    },
  );
  return { paths, values, states, stop };
}

it("cuts lines wherever the parts end", () => {
  const cutter = new LineCutter();
  expect([cutter.cut('{"n":'), cutter.cut('1}\n{"n":2}\n\n{"n'), cutter.cut('":3}\n')]).toEqual([
    [],
    ['{"n":1}', '{"n":2}'],
    ['{"n":3}'],
  ]);
});

it("refuses a line without an end", () => {
  const cutter = new LineCutter();
  expect(() => cutter.cut("x".repeat((4 << 20) + 1))).toThrow(/no end/);
});

it("asks again from where it broke off, and does not tell half a line", async () => {
  const { paths, values, states, stop } = following([
    () => answer(['{"n":1}\n{"n":2}\n{"n":'], "breaks"),
    () => answer(['{"n":3}\n'], "stays"),
  ]);
  await vi.waitFor(() => expect(states).toContain("lost"));
  await vi.advanceTimersByTimeAsync(11_000);
  await vi.waitFor(() => expect(values).toEqual([1, 2, 3]));
  expect(paths).toEqual(["/v1/xnode/events?from=1", "/v1/xnode/events?from=3"]);
  expect(states.at(-1)).toBe("open");
  stop();
});

it("asks again when the agent has ended the answer", async () => {
  const { paths, values, stop } = following([
    () => answer(['{"n":1}\n']),
    () => answer(['{"n":2}\n'], "stays"),
  ]);
  await vi.waitFor(() => expect(values).toEqual([1]));
  await vi.advanceTimersByTimeAsync(11_000);
  await vi.waitFor(() => expect(values).toEqual([1, 2]));
  expect(paths).toEqual(["/v1/xnode/events?from=1", "/v1/xnode/events?from=2"]);
  stop();
});

it("does not ask again for what is refused, but for what is not there at the moment", async () => {
  const refused = following([
    () => Response.json({ code: "no_application", message: "no web" }, { status: 404 }),
  ]);
  await vi.waitFor(() => expect(refused.states).toEqual(["refused"]));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(refused.paths).toHaveLength(1);
  const away = following([
    () => Response.json({ code: "no_agent", message: "no agent" }, { status: 502 }),
    () => answer(['{"n":1}\n'], "stays"),
  ]);
  await vi.waitFor(() => expect(away.states).toEqual(["lost"]));
  await vi.advanceTimersByTimeAsync(11_000);
  await vi.waitFor(() => expect(away.values).toEqual([1]));
  away.stop();
});

it("tells nothing after it was left", async () => {
  const { values, states, stop } = following([() => answer(['{"n":1}\n'], "stays")]);
  stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([values, states]).toEqual([[], []]);
});

it("asks anew at once when it is told that nothing was heard for a while", async () => {
  // A connection that has died and looks open: nothing comes, and nothing breaks.
  const { paths, values, states, stop } = following([
    () => answer(['{"n":1}\n'], "stays"),
    () => answer(['{"n":2}\n'], "stays"),
  ]);
  await vi.waitFor(() => expect(values).toEqual([1]));
  renewStreams();
  await vi.waitFor(() => expect(values).toEqual([1, 2]));
  expect(paths).toEqual(["/v1/xnode/events?from=1", "/v1/xnode/events?from=2"]);
  expect(states).not.toContain("lost");
  stop();
  renewStreams();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(paths).toHaveLength(2);
});

it("does not wait any longer when it is told to ask anew", async () => {
  const { values, states, stop } = following([
    () => Response.json({ code: "no_agent", message: "no agent" }, { status: 502 }),
    () => answer(['{"n":1}\n'], "stays"),
  ]);
  await vi.waitFor(() => expect(states).toEqual(["lost"]));
  renewStreams();
  await vi.waitFor(() => expect(values).toEqual([1]));
  stop();
});
