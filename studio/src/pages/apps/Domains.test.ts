import { expect, it } from "vitest";
import type { DomainRoute } from "../../lib/domains";
import { wrongRoute } from "./Domains";

const route = (more: Partial<DomainRoute>): DomainRoute => ({
  domain: "shop.example.org",
  port: "http",
  audience: "everybody",
  wallets: [],
  ...more,
});

it("says what is wrong with a domain before it is planned", () => {
  expect(wrongRoute(route({}), [])).toBeUndefined();
  expect(wrongRoute(route({ domain: "*.example.org" }), [])).toBeUndefined();
  for (const domain of ['a"b.org', "a b.org", "-a.org", "10.0.0.1", "a..org", "a.org:\n  x"])
    expect([domain, wrongRoute(route({ domain }), [])]).toEqual([
      domain,
      "A domain is expected, such as shop.example.org",
    ]);
  expect(wrongRoute(route({}), ["shop.example.org"])).toMatch(/already/);
  expect(wrongRoute(route({ audience: "wallets" }), [])).toMatch(/needs the wallets/);
  expect(wrongRoute(route({ audience: "wallets", wallets: ["0x1"] }), [])).toMatch(/0x1 is no address/);
});
