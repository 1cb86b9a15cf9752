import { describe, expect, it } from "vitest";
import type { Lending, Loan } from "../api/xnode";
import { formOf, guestPlace, lenderState, loansOf, NEW_LOAN, readLoan, roomOf, standingOf } from "./lending";

const GIB = 2 ** 30;
const KEY = "ab".repeat(32);
const READER = "cd".repeat(32);

const loan = (name: string, more: Partial<Loan> = {}): Loan => ({
  name,
  keys: [KEY],
  readers: [],
  room_bytes: GIB,
  used_bytes: 0,
  held_bytes: 0,
  objects: 0,
  until: null,
  held_days: 14,
  standing: "lent",
  connections: 0,
  seen: null,
  trouble: null,
  brings_back: false,
  by: "mia",
  at: "1796000000",
  ...more,
});

const lending = (more: Partial<Lending> = {}): Lending => ({
  key: "ef".repeat(32),
  listens: ["[::]:7791"],
  troubles: [],
  shut: true,
  disk_free_bytes: null,
  loans: [loan("ann")],
  ...more,
});

describe("loans", () => {
  it("are found by name, key and giver, and by their standing", () => {
    const all = [loan("ann"), loan("bob", { keys: [READER], standing: "ended", by: "0x12" })];
    const found = (text: string, standing = "") => loansOf(all, { text, standing }).map(({ name }) => name);
    expect(found("")).toEqual(["ann", "bob"]);
    expect(found("B")).toEqual(["ann", "bob"]);
    expect(found("bo")).toEqual(["bob"]);
    expect(found(READER.slice(0, 16))).toEqual(["bob"]);
    expect(found("mia ann")).toEqual(["ann"]);
    expect(found("mia bob")).toEqual([]);
    expect(found("", "ended")).toEqual(["bob"]);
    expect([standingOf("over").words, standingOf("on_hold").words]).toEqual(["over", "on hold"]);
  });

  it("are as full as what is there and what is withheld make them", () => {
    expect(roomOf(loan("ann", { used_bytes: GIB / 4 }))).toEqual({ share: 0.25, words: "256 MiB of 1 GiB" });
    const held = roomOf(loan("ann", { used_bytes: GIB / 4, held_bytes: GIB / 2 }));
    expect(held).toEqual({ share: 0.75, words: "256 MiB of 1 GiB, and 512 MiB that were removed" });
    expect(roomOf(loan("ann", { used_bytes: 2 * GIB })).share).toBe(1);
    expect(roomOf(loan("ann", { room_bytes: 0 })).share).toBe(1);
  });
});

it("says how the lender stands, the worst first", () => {
  const state = (more: Partial<Lending>) => lenderState(lending(more)).tone;
  expect(state({})).toBe("good");
  expect(state({ loans: [], shut: null })).toBe("plain");
  expect(state({ shut: null, troubles: ["its disk is away"] })).toBe("bad");
  expect(state({ troubles: ["it cannot listen"] })).toBe("bad");
  expect(state({ shut: false })).toBe("warn");
});

it("tells a guest what it writes into its document", () => {
  const key = "ef".repeat(32);
  expect(guestPlace(lending(), "attic.lan")).toBe(
    `attic: { kind: peer, address: "attic.lan:7791", node: ${key} }`,
  );
  expect(guestPlace(lending({ listens: [] }), "127.0.0.1")).toContain('"THIS-MACHINE:7790"');
  expect(guestPlace(lending(), "[fd00::7]")).toContain('"[fd00::7]:7791"');
});

describe("the form of a loan", () => {
  const form = { ...NEW_LOAN, name: "ann", keys: `${KEY}\n${KEY}`, room: "200GiB" };
  const wrong = (more: Partial<typeof form>) => {
    const read = readLoan({ ...form, ...more }, null);
    return "wrong" in read ? Object.keys(read.wrong) : [];
  };

  it("is read as a wish", () => {
    expect(readLoan(form, null)).toEqual({
      wish: { keys: [KEY], readers: [], room_bytes: 200 * GIB, until: null, held_days: 14 },
    });
    const whole = { ...form, readers: READER, until: "2027-06-30", days: "0" };
    expect(readLoan(whole, null)).toEqual({
      wish: {
        keys: [KEY],
        readers: [READER],
        room_bytes: 200 * GIB,
        until: String(Date.UTC(2027, 5, 30) / 1_000),
        held_days: 0,
      },
    });
  });

  it("says what is wrong with each field", () => {
    expect(wrong({})).toEqual([]);
    expect(wrong({ name: "Ann" })).toEqual(["name"]);
    expect(wrong({ keys: "" })).toEqual(["keys"]);
    expect(wrong({ keys: KEY.toUpperCase() })).toEqual(["keys"]);
    const nine = Array.from({ length: 9 }, (_, at) => `${at}`.repeat(64));
    expect(wrong({ keys: nine.join(" ") })).toEqual(["keys"]);
    expect(wrong({ readers: KEY })).toEqual(["readers"]);
    expect(wrong({ readers: "age1qqq" })).toEqual(["readers"]);
    expect(wrong({ room: "200" })).toEqual(["room"]);
    expect(wrong({ room: "1023KiB" })).toEqual(["room"]);
    expect(wrong({ room: "9000000TiB" })).toEqual(["room"]);
    expect(wrong({ until: "30.06.2027" })).toEqual(["until"]);
    expect(wrong({ until: "2027-13-30" })).toEqual(["until"]);
    expect(wrong({ days: "366" })).toEqual(["days"]);
    expect(wrong({ days: "-1" })).toEqual(["days"]);
    expect(wrong({ keys: "x", room: "", days: "" })).toEqual(["keys", "room", "days"]);
  });

  it("of a loan that is there changes nothing that nobody changed", () => {
    for (const until of [null, "1814313600", "1814313612.5"])
      for (const room of [GIB, 3 * 2 ** 40, GIB + 1]) {
        const before = loan("ann", { readers: [READER], room_bytes: room, until, held_days: 30 });
        expect(readLoan(formOf(before), before)).toEqual({
          wish: { keys: [KEY], readers: [READER], room_bytes: room, until, held_days: 30 },
        });
      }
  });
});
