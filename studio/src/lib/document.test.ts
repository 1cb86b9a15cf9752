import { expect, it } from "vitest";
import { namesIn, otherKeys, partOf, withDocument, withPart, withWish } from "./document";

const DOCUMENT = `version: 1
machine:
  name: attic
applications:
  db:
    image: "postgres:16"
    wish: stopped
  web:
    image: nginx
    ports:
      http:
        port: 80
`;

it("finds the applications of a document in blocks", () => {
  expect(namesIn(DOCUMENT)).toEqual(["db", "web"]);
  expect(namesIn("version: 1\napplications: {}\n")).toEqual([]);
  expect(partOf(DOCUMENT, "web")).toBe("web:\n  image: nginx\n  ports:\n    http:\n      port: 80\n");
  expect(partOf(DOCUMENT, "cache")).toBeNull();
});

it("leaves alone what it does not read", () => {
  for (const text of [
    "---\napplications:\n  a:\n    image: b\n",
    "applications:\n\tweb:\n",
    "applications:\n    web:\n      image: a\n  db:\n    image: b\n",
    "applications:\n  ? web\n  : image\n",
  ])
    expect([text, namesIn(text)]).toEqual([text, null]);
});

it("finds the applications of a document in another form", () => {
  expect(namesIn('{"version":1,"applications":{}}')).toEqual([]);
  expect(namesIn('{\r\n\t"applications": {"web": {"image": "nginx"}, "db": {}}\r\n}')).toEqual(["web", "db"]);
  expect(namesIn("applications: {web: {image: nginx}}")).toEqual(["web"]);
  expect(namesIn("version: 1\n")).toEqual([]);
  expect(otherKeys('{"machine": {"name": "attic"}, "version": 1}')).toEqual(["machine"]);
});

it("adds applications of a document in JSON as the agent would print them, and knows their lines", () => {
  const added = `{
  "version": 1,
  "applications": {
    "cache": {"image": "redis:7", "ports": {"redis": {"port": 6379}}, "links": ["db"]},
    "web": {
      "image": "yes"
    }
  }
}
`;
  const merged = withDocument(DOCUMENT, added);
  expect(merged?.text).toBe(
    `${DOCUMENT.slice(0, DOCUMENT.indexOf("  web:"))}  web:
    image: "yes"
  cache:
    image: redis:7
    ports:
      redis:
        port: 6379
    links:
      - db
`,
  );
  expect(merged?.origins.filter((origin) => origin !== null)).toEqual([5, 6, 4, 4, 4, 4, 4, 4, 4]);
  expect(withDocument("", '{"version":1,"applications":{"a":{"image":"b"}}}')?.text).toBe(
    "version: 1\napplications:\n  a:\n    image: b\n",
  );
  expect(withDocument(DOCUMENT, '{"applications": {"a": &x 1}}')).toBeNull();
});

it("puts an application in, behind the others or in its own place", () => {
  const put = withPart(DOCUMENT, "cache:\n  image: redis\n");
  expect(put?.text.endsWith("        port: 80\n  cache:\n    image: redis\n")).toBe(true);
  expect(put?.origins.slice(-3)).toEqual([null, 1, 2]);
  const replaced = withPart(DOCUMENT, "db:\n  image: mysql\n");
  expect(namesIn(replaced?.text ?? "")).toEqual(["db", "web"]);
  expect(replaced?.text).toContain("  db:\n    image: mysql\n  web:\n");
  expect(replaced?.text).not.toContain("postgres");
  expect(withPart("", "a:\n  image: b")?.text).toBe("version: 1\napplications:\n  a:\n    image: b\n");
  expect(withPart("version: 1\nmachine:\n  name: attic\n", "a:\n  image: b")?.text).toBe(
    "version: 1\nmachine:\n  name: attic\napplications:\n  a:\n    image: b\n",
  );
  expect(withPart('{"version": 1}', "a:\n  image: b")).toBeNull();
  expect(withPart(DOCUMENT, "a:\n  image: b\nc:\n  image: d\n")).toBeNull();
  expect(withPart(DOCUMENT, "nothing of that kind")).toBeNull();
});

it("keeps what stands behind the applications", () => {
  const text = "applications:\n  a:\n    image: b\n\n# the machine\nmachine:\n  name: attic\nversion: 1\n";
  expect(withPart(text, "c:\n  image: d\n")?.text).toBe(
    "applications:\n  a:\n    image: b\n  c:\n    image: d\n\n# the machine\nmachine:\n  name: attic\nversion: 1\n",
  );
});

it("gives back a document when a part is put in its own place", () => {
  for (const name of namesIn(DOCUMENT) ?? [])
    expect(withPart(DOCUMENT, partOf(DOCUMENT, name) ?? "")?.text).toBe(DOCUMENT);
});

it("joins two documents, and knows who wrote each line", () => {
  const added =
    "# mine\nversion: 1\napplications:\n    web:\n        image: caddy\n    cache:\n        image: redis\n";
  const merged = withDocument(DOCUMENT, added);
  expect(namesIn(merged?.text ?? "")).toEqual(["db", "web", "cache"]);
  const lines = (merged?.text ?? "").trimEnd().split("\n");
  const written = added.split("\n");
  expect(merged?.origins).toHaveLength(lines.length);
  merged?.origins.forEach((origin, at) => {
    if (origin !== null) expect(lines[at]?.trim()).toBe(written[origin - 1]?.trim());
  });
  expect(merged?.origins.filter((origin) => origin !== null)).toEqual([4, 5, 6, 7]);
  expect(withDocument(DOCUMENT, '{"version":1}')).toBeNull();
  expect(withDocument("", added)?.text.startsWith("version: 1\napplications:\n")).toBe(true);
});

it("knows what else a document says", () => {
  expect(otherKeys(DOCUMENT)).toEqual(["machine"]);
  expect(otherKeys("version: 1\napplications: {}\n")).toEqual([]);
});

it("changes the wish of one application alone", () => {
  expect(withWish(DOCUMENT, "db", "running")).toBe(DOCUMENT.replace("    wish: stopped\n", ""));
  expect(withWish(DOCUMENT, "web", "paused")).toBe(`${DOCUMENT}    wish: paused\n`);
  expect(withWish(DOCUMENT, "db", "paused")).toBe(DOCUMENT.replace("wish: stopped", "wish: paused"));
  expect(withWish(DOCUMENT, "cache", "stopped")).toBeNull();
});

it("reads a document behind a byte order mark as the document itself", () => {
  const mark = "\ufeff";
  const compact = "applications:\n  cache:\n    image: redis\n";
  for (const text of [DOCUMENT, compact, '{"applications": {"web": {}}, "machine": {}}']) {
    expect(namesIn(mark + text)).toEqual(namesIn(text));
    expect(otherKeys(mark + text)).toEqual(otherKeys(text));
    expect(withDocument(mark + DOCUMENT, mark + text)).toEqual(withDocument(DOCUMENT, text));
  }
  expect(partOf(mark + compact, "cache")).toBe("cache:\n  image: redis\n");
  expect(withPart(mark + compact, "web:\n  image: nginx\n")).toEqual(
    withPart(compact, "web:\n  image: nginx\n"),
  );
});
