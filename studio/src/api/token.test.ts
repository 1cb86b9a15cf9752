import { afterEach, expect, it } from "vitest";
import { authorization, hasCookie, keepNodeToken, keepToken, nodeTokenNow, tokenNow } from "./token";

afterEach(() => sessionStorage.clear());

it("gives each token to the paths of whoever gave it alone", () => {
  keepToken("oms_1");
  keepNodeToken("abc");
  expect([tokenNow(), nodeTokenNow()]).toEqual(["oms_1", "abc"]);
  for (const path of ["/v1/xnode", "/v1/xnode?a=b", "/v1/xnode/access/me"])
    expect(authorization(path)).toEqual({ authorization: "Bearer oms_1" });
  for (const path of ["/v1/auth/session", "/v1/auth/sign-in"])
    expect(authorization(path)).toEqual({ authorization: "Bearer abc" });
  for (const path of ["/v1/status", "/v1/xnodes", "/v1/authority", "//evil.example/v1/auth/session"])
    expect(authorization(path)).toEqual({});
  keepToken(null);
  expect([authorization("/v1/xnode"), nodeTokenNow()]).toEqual([{}, "abc"]);
  keepNodeToken(null);
  expect(authorization("/v1/auth/session")).toEqual({});
});

it("expects a cookie under a name with TLS that is not of loopback", () => {
  const at = (protocol: string, hostname: string) => hasCookie({ protocol, hostname });
  expect(at("https:", "studio.example")).toBe(true);
  expect(at("http:", "studio.example")).toBe(false);
  for (const name of ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
    expect([name, at("https:", name)]).toEqual([name, false]);
  expect(at("https:", "localhost.example")).toBe(true);
});
