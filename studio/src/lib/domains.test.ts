import { expect, it } from "vitest";
import { readDomains, withDomains, type DomainRoute } from "./domains";
import { partOf } from "./document";

const WALLET = "0x52908400098527886E0F7030069857D2E4169EE7";
const DOCUMENT = `version: 1
applications:
  db:
    image: postgres:16
  site:
    image: nginx
    domains:
      admin.example.org:
        port: http
        audience: wallets
        wallets:
          - "${WALLET}"
      "*.example.org":
        port: http
    ports:
      http:
        port: 80
`;
const admin: DomainRoute = {
  domain: "admin.example.org",
  port: "http",
  audience: "wallets",
  wallets: [WALLET],
};
const all: DomainRoute = { domain: "*.example.org", port: "http", audience: "everybody", wallets: [] };
const found = (text: string | null, name = "site") => readDomains(partOf(text ?? "", name) ?? "");

it("reads the domains of an application as the agent writes them", () => {
  expect(found(DOCUMENT)).toEqual([admin, all]);
  expect(found(DOCUMENT, "db")).toEqual([]);
  expect(readDomains("site:\n  image: a\n  domains: {}\n")).toEqual([]);
});

it("leaves alone what is in another form", () => {
  for (const text of [
    "site:\n  domains: { a.org: { port: http } }\n",
    "site:\n  domains:\n    a.org: { port: http }\n",
    "site:\n  domains:\n    a.org:\n      port: http\n      later: key\n",
    "site:\n  domains:\n    a.org:\n      audience: everybody\n",
  ]) {
    expect([text, readDomains(text)]).toEqual([text, null]);
    expect(withDomains(`applications:\n${text.replace(/^/gm, "  ").trimEnd()}\n`, "site", [])).toBeNull();
  }
});

it("writes domains, and leaves all else as it was", () => {
  const changed = withDomains(DOCUMENT, "site", [{ ...admin, wallets: [WALLET, WALLET.toLowerCase()] }]);
  expect(found(changed)).toEqual([{ ...admin, wallets: [WALLET, WALLET.toLowerCase()] }]);
  expect(changed).toContain("      http:\n        port: 80\n");
  expect(partOf(changed ?? "", "db")).toBe(partOf(DOCUMENT, "db"));
  expect(found(withDomains(DOCUMENT, "db", [all]), "db")).toEqual([all]);
  const none = withDomains(DOCUMENT, "site", []);
  expect(none).not.toContain("domains");
  expect(withDomains(none ?? "", "site", [admin, all])).toContain(
    '      "*.example.org":\n        port: http\n',
  );
  expect(withDomains(DOCUMENT, "cache", [all])).toBeNull();
});
