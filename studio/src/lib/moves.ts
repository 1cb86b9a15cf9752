/** Moves between machines: what a person writes to begin one, and the field that a refusal is about. */

/** A field of the form. */
export type MoveField = "to" | "key" | "root";

/** What is wrong with the address of an agent, as the agent has it (`crates/agent/src/moves/wire.rs`); `null` where nothing is. */
export function faultOfAddress(written: string): string | null {
  const url = parsed(written.trim());
  if (url === null || url.hostname === "") return "This is no address; `https://xnode.example.org` is one.";
  if (url.username !== "" || url.password !== "") return "An agent's address has no user before its host.";
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") return "An agent's address has no path.";
  if (url.protocol === "https:") return null;
  if (url.protocol !== "http:") return "An agent is asked by https.";
  return isLoopback(url.hostname)
    ? null
    : "It is not encrypted, and the key would be read on its way: write https.";
}

function parsed(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host);

/** The field that a refusal of the agent is about; `null` where it is about the move as a whole. */
export function fieldOf({ code, message }: { code: string; message: string }): MoveField | null {
  if (code === "other_away") return "to";
  if (code === "other_key") return "key";
  if (code !== "value") return null;
  // The address is named between backticks at its beginning.
  return message.startsWith("`") ? "to" : message.startsWith("the root is ") ? "root" : null;
}
