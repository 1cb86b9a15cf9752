import { cleanup, render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { afterEach, expect, it } from "vitest";
import { inFront, nameOfStamp } from "../../api/explorer";
import type { StampInfo } from "../../api/types";
import { isOfSource } from "./IncidentPage";
import { valueOf } from "./ParametersPage";
import { firstOf } from "./StampPage";
import { Note, proofPath } from "./StampTable";

afterEach(cleanup);

const stamp = (height: number, number: number): StampInfo => ({
  hash: "ab".repeat(32),
  cid: "bafkrei",
  topic: "xnode.drill",
  account: "0x1111111111111111111111111111111111111111",
  note: "",
  height,
  number,
  time: "2026-01-31T12:00:00Z",
  transaction: "cd".repeat(32),
});

it("takes the stamp of the lowest block, and there of the lowest number, for the first one", () => {
  expect(firstOf([stamp(9, 0), stamp(3, 2), stamp(3, 1), stamp(4, 0)])).toEqual(stamp(3, 1));
  expect(firstOf([])).toBeNull();
});

it("puts what is new in front, each once", () => {
  const items = [stamp(5, 0), stamp(4, 1)];
  expect(inFront(items, stamp(6, 0), nameOfStamp).map(nameOfStamp)).toEqual(["6-0", "5-0", "4-1"]);
  expect(inFront(items, stamp(4, 1), nameOfStamp).map(nameOfStamp)).toEqual(["4-1", "5-0"]);
});

it("takes the window of a source that is not registered any more for a window, and no height", () => {
  expect(["gone", "consensus", "", undefined].filter(isOfSource)).toEqual(["gone"]);
});

it("leads to the proof of one stamp", () => {
  const path = new URL(proofPath(stamp(3, 1)), "http://node");
  expect(path.pathname).toBe(`/v1/stamps/${"ab".repeat(32)}/proof`);
  expect(Object.fromEntries(path.searchParams)).toEqual({
    topic: "xnode.drill",
    account: stamp(3, 1).account,
    height: "3",
  });
});

it("links the CIDs of a note and leaves its words as they are", () => {
  const cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
  render(
    <MemoryRouter>
      <p>
        <Note text={`see ${cid} <b>`} />
      </p>
    </MemoryRouter>,
  );
  expect(screen.getByRole("link").getAttribute("href")).toBe(`/search?text=${cid}`);
  expect(screen.getByText(/^see/).textContent).toMatch(/^see .* <b>$/);
});

it("shows the value of a parameter in its own unit", () => {
  expect(valueOf({ value: "1000000000000000", unit: "10^-18 OPEN" })).toBe("0.001 OPEN");
  expect(valueOf({ value: "3600000", unit: "ms" })).toBe("1 h");
  expect(valueOf({ value: "2097152", unit: "bytes" })).toBe("2.1 MB");
  expect(valueOf({ value: "336", unit: "epochs" })).toBe("336 epochs");
  expect(valueOf({ value: "1024", unit: null })).toBe("1,024");
  expect(valueOf({ value: "live", unit: null })).toBe("live");
});
