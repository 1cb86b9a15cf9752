/**
 * Leads connections from one place to another: from a port of loopback to a socket that is a file, or the other way. Run by itself (`within FOLDER PORT...`) it
 * does so in the network namespace that it is started in, and ends with whoever has started it.
 */
import { connect, createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";

/** Takes connections at a place, and leads each to another one. What comes back ends all of it. */
export function lead(from, to) {
  const open = new Set();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = connect({ ...to, allowHalfOpen: true, noDelay: true });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      open.add(one);
      one.pipe(other);
      one.on("error", () => other.destroy());
      // What is on its way to the other side still gets there.
      one.on("close", () => {
        open.delete(one);
        other.destroySoon();
      });
    }
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(from, () => {
      resolve(() => {
        for (const socket of open) socket.destroy();
        server.close();
      });
    });
  });
}

const [word, folder = "", ...ports] = process.argv.slice(2);
if (word === "within") {
  await Promise.all(
    ports.map((port) => lead({ host: "127.0.0.1", port: Number(port) }, { path: join(folder, port) })),
  );
  process.stdout.write("ready\n");
  process.stdin.on("end", () => process.exit(0)).resume();
}
