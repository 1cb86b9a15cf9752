import { describe, expect, it } from "vitest";
import { changed, oneOf } from "./urlState";

describe("state in the address", () => {
  it("sets, takes out and leaves alone", () => {
    const before = new URLSearchParams("kind=gap&window=kraken:5");
    expect(changed(before, { kind: "", source: "okx" }).toString()).toBe("window=kraken%3A5&source=okx");
    expect(before.toString()).toBe("kind=gap&window=kraken%3A5");
  });
  it("survives text with anything in it", () => {
    const query = "select '&=#%' from trades\nlimit 1";
    const written = changed(new URLSearchParams(), { q: query }).toString();
    expect(new URLSearchParams(written).get("q")).toBe(query);
  });
  it("takes only known words", () => {
    expect(oneOf("5m", ["1m", "5m"], "1m")).toBe("5m");
    expect(oneOf("7m", ["1m", "5m"], "1m")).toBe("1m");
    expect(oneOf(null, ["1m", "5m"], "1m")).toBe("1m");
  });
});
