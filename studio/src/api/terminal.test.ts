// @vitest-environment node
import { expect, it } from "vitest";
import { Terminal, terminalProtocols, type TerminalView } from "./terminal";

/** A socket whose other side the test is. */
class FakeSocket {
  sent: unknown[] = [];
  binaryType = "blob";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  isClosed = false;
  send(data: unknown): void {
    this.sent.push(data);
  }
  close(): void {
    this.isClosed = true;
  }
  /** Output of the process, behind the byte that names its stream. */
  output(text: string, stream = 1): void {
    const bytes = new TextEncoder().encode(text);
    this.onmessage?.({ data: new Uint8Array([stream, ...bytes]).buffer });
  }
  say(event: unknown): void {
    this.onmessage?.({ data: JSON.stringify(event) });
  }
}

function terminal(frame: (draw: () => void) => void = (draw) => draw()) {
  const socket = new FakeSocket();
  const views: TerminalView[] = [];
  const made = new Terminal(
    "ws://agent/terminal",
    { terminal: [20, 3] },
    (view) => views.push(view),
    () => socket as unknown as WebSocket,
    (draw) => frame(draw),
  );
  socket.onopen?.();
  const text = () =>
    (views.at(-1)?.lines ?? [])
      .map((line) => line.map((run) => run.text).join(""))
      .join("\n")
      .trimEnd();
  return { socket, made, text, last: () => views.at(-1) };
}
const typed = (sent: unknown) => new TextDecoder().decode(sent as Uint8Array);

it("asks for a shell, shows what it writes, and sends what is typed", () => {
  const { socket, made, text, last } = terminal();
  expect(socket.sent).toEqual(['{"terminal":[20,3]}']);
  made.type("too early");
  expect(socket.sent).toHaveLength(1);
  socket.say({ started: { instance: "r1/0" } });
  socket.output("$ ");
  made.type("ls\r");
  expect(typed(socket.sent[1])).toBe("ls\r");
  socket.output("ls\r\nfile\r\n");
  expect(text()).toBe("$ ls\nfile");
  expect(last()).toMatchObject({ state: "open", instance: "r1/0", cursor: { row: 2, column: 0 } });
});

it("puts characters together that come in parts", () => {
  const { socket, text } = terminal();
  const [first, ...rest] = new TextEncoder().encode("ä");
  socket.onmessage?.({ data: new Uint8Array([1, first ?? 0]).buffer });
  socket.output("e", 2);
  socket.onmessage?.({ data: new Uint8Array([1, ...rest]).buffer });
  expect(text()).toBe("eä");
});

it("answers the program where the cursor is", () => {
  const { socket } = terminal();
  socket.say({ started: { instance: "r1/0" } });
  socket.output("ab\x1b[6n");
  expect(typed(socket.sent[1])).toBe("\x1b[1;3R");
});

it("says how it ended, and why", () => {
  const ended = terminal();
  ended.socket.say({ ended: { code: 3 } });
  ended.socket.onclose?.({ code: 1000, reason: "" });
  expect(ended.last()).toMatchObject({ state: "over", words: "It ended with code 3." });
  const revoked = terminal();
  revoked.socket.onclose?.({ code: 1008, reason: "the session is over" });
  expect(revoked.last()?.words).toMatch(/sign in again/);
  const refused = terminal();
  refused.socket.say({ refused: { reason: "no instance runs" } });
  expect(refused.last()?.words).toBe("no instance runs");
  const gone = terminal();
  gone.socket.onclose?.({ code: 1006, reason: "" });
  expect(gone.last()?.words).toMatch(/connection is gone/);
});

it("tells nothing after it was left", () => {
  const { socket, made, last } = terminal();
  made.close();
  socket.output("late");
  expect([socket.isClosed, last()]).toEqual([true, undefined]);
});

it("sends a token along only where there is one", () => {
  expect(terminalProtocols(null)).toEqual([]);
  expect(terminalProtocols("oms_1")).toEqual(["openmesh.v1", "openmesh.bearer.oms_1"]);
});

it("draws the screen once for all that came since the last picture", () => {
  const due: (() => void)[] = [];
  const { socket, text } = terminal((draw) => due.push(draw));
  socket.say({ started: { instance: "r1/0" } });
  for (let n = 0; n < 100; n += 1) socket.output("y\r\n");
  expect([due.length, text()]).toEqual([1, ""]);
  due[0]?.();
  expect(text()).toMatch(/^y\ny/);
  socket.output("last");
  due[1]?.();
  expect(text()).toMatch(/last$/);
});

it("tells the program of another size, also of one that came before it began", () => {
  const { socket, made } = terminal();
  made.resize(20, 3);
  made.resize(30, 4);
  expect(socket.sent).toHaveLength(1);
  socket.say({ started: { instance: "r1/0" } });
  made.resize(40, 5);
  made.resize(40, 5);
  expect(socket.sent.slice(1)).toEqual(['{"window":[30,4]}', '{"window":[40,5]}']);
});
