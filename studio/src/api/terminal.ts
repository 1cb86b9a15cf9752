/** A terminal in an application: a WebSocket to a process, and the screen that it writes on. */
import { Screen, type Run } from "../lib/screen";
import { tokenNow } from "./token";
import type { Exec, ExecEvent } from "./xnode";

/** What a page shows of a terminal. */
export interface TerminalView {
  state: "connecting" | "open" | "over";
  /** How it ended, or why there is none. */
  words: string | null;
  instance: string | null;
  lines: readonly Run[][];
  /** Lines above the screen. */
  above: number;
  cursor: { row: number; column: number };
  title: string;
}

/** Sub-protocols by which the token goes along: a page can set no header of a WebSocket. */
const PROTOCOL = "openmesh.v1";
const BEARER = "openmesh.bearer.";
/** Closes with a meaning (RFC 6455, 7.4.1), as the agent uses them. */
const CLOSES: Record<number, string | undefined> = {
  1000: "It is over.",
  1001: "The agent leaves; connect again when it is back.",
  1008: "Your session is over: sign in again.",
};

const EMPTY: TerminalView = {
  state: "connecting",
  words: null,
  instance: null,
  lines: [],
  above: 0,
  cursor: { row: 0, column: 0 },
  title: "",
};

export const terminalProtocols = (token: string | null): string[] =>
  token === null ? [] : [PROTOCOL, `${BEARER}${token}`];

export const terminalUrl = (name: string): string =>
  `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/xnode/applications/${encodeURIComponent(name)}/terminal`;

export class Terminal {
  #screen: Screen;
  #socket: WebSocket;
  #view: TerminalView = EMPTY;
  #onView: (view: TerminalView) => void;
  // A character may come in parts, of each stream by itself.
  #decoders = { 1: new TextDecoder(), 2: new TextDecoder() };
  #frame: (draw: () => void) => void;
  #isDue = false;
  #asked: [number, number];

  constructor(
    url: string,
    wish: Exec & { terminal: [number, number] },
    onView: (view: TerminalView) => void,
    open: (url: string, protocols: string[]) => WebSocket = (at, protocols) => new WebSocket(at, protocols),
    frame: (draw: () => void) => void = (draw) => void requestAnimationFrame(draw),
  ) {
    this.#frame = frame;
    this.#asked = wish.terminal;
    this.#screen = new Screen(...wish.terminal);
    this.#onView = onView;
    const socket = open(url, terminalProtocols(tokenNow()));
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify(wish));
    socket.onmessage = ({ data }: MessageEvent<unknown>) => this.#heard(data);
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
  }

  /** Sends what a person types. */
  type(text: string): void {
    if (this.#view.state === "open") this.#socket.send(new TextEncoder().encode(text));
  }

  /** Takes another size, and tells the program of it. */
  resize(columns: number, rows: number): void {
    if (columns === this.#screen.columns && rows === this.#screen.rows) return;
    this.#screen.resize(columns, rows);
    if (this.#view.state === "open") this.#socket.send(JSON.stringify({ window: [columns, rows] }));
    this.#draw();
  }

  /** Leaves: the agent ends the process. */
  close(): void {
    this.#onView = () => undefined;
    this.#socket.close();
  }

  #heard(data: unknown): void {
    if (data instanceof ArrayBuffer) return this.#output(new Uint8Array(data));
    let event: ExecEvent;
    try {
      event = JSON.parse(String(data)) as ExecEvent;
    } catch {
      return;
    }
    if (event.started) this.#begun(event.started.instance);
    if (event.refused) this.#tell({ state: "over", words: event.refused.reason });
    if (event.ended) this.#tell({ state: "over", words: `It ended with code ${event.ended.code}.` });
  }

  #begun(instance: string): void {
    this.#tell({ state: "open", instance });
    const { columns, rows } = this.#screen;
    const [askedColumns, askedRows] = this.#asked;
    // It was asked for with the size of that moment.
    if (columns !== askedColumns || rows !== askedRows)
      this.#socket.send(JSON.stringify({ window: [columns, rows] }));
  }

  #output(bytes: Uint8Array): void {
    const decoder = bytes[0] === 2 ? this.#decoders[2] : this.#decoders[1];
    this.#screen.write(decoder.decode(bytes.subarray(1), { stream: true }));
    const answers = this.#screen.answers();
    if (answers !== "") this.type(answers);
    // A program may write faster than anybody can look: the screen is drawn once for each picture of the browser.
    if (this.#isDue) return;
    this.#isDue = true;
    this.#frame(() => this.#draw());
  }

  #draw(): void {
    this.#isDue = false;
    this.#tell({
      lines: this.#screen.lines(),
      above: this.#screen.above,
      cursor: this.#screen.cursor,
      title: this.#screen.title,
    });
  }

  #closed(code: number, reason: string): void {
    const words =
      this.#view.words ?? CLOSES[code] ?? (reason || "The connection is gone, and the process with it.");
    this.#tell({ state: "over", words });
  }

  #tell(part: Partial<TerminalView>): void {
    this.#view = { ...this.#view, ...part };
    this.#onView(this.#view);
  }
}
