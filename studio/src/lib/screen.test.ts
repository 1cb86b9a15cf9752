import { expect, it } from "vitest";
import { keyBytes, Screen } from "./screen";

function screen(...written: string[]): Screen {
  const made = new Screen(10, 3);
  for (const text of written) made.write(text);
  return made;
}
const key = (name: string, more: { ctrlKey?: boolean; altKey?: boolean; metaKey?: boolean } = {}) =>
  keyBytes({ key: name, ctrlKey: false, altKey: false, metaKey: false, ...more });

it("shows what a shell writes", () => {
  expect(screen("$ ls\r\na  b\r\n$ ").text()).toBe("$ ls\na  b\n$");
  expect(screen("abc\rX").text()).toBe("Xbc");
  expect(screen("abc\b\bX").text()).toBe("aXc");
  expect(screen("a\tb").text()).toBe("a       b");
});

it("breaks long lines, and keeps those that leave above", () => {
  const made = screen("0123456789abc\r\nsecond\r\nthird\r\n");
  expect(made.text()).toBe("second\nthird");
  expect(made.above).toBe(2);
  expect(made.lines()[0]?.[0]?.text).toBe("0123456789");
  // The last column does not break by itself: only the next character does.
  expect(screen("0123456789").cursor).toEqual({ row: 0, column: 9 });
  expect(screen("0123456789\r\nx").text()).toBe("0123456789\nx");
});

it("moves, erases and inserts as it is told", () => {
  expect(screen("abcdef\x1b[3D\x1b[K").text()).toBe("abc");
  expect(screen("abcdef\x1b[1;3H\x1b[1K").text()).toBe("   def");
  expect(screen("a\r\nb\r\nc\x1b[2;1H\x1b[J").text()).toBe("a");
  expect(screen("a\r\nb\x1b[2Jc").text()).toBe("\n c");
  expect(screen("abc\x1b[1G\x1b[2P").text()).toBe("c");
  expect(screen("abc\x1b[1G\x1b[2@").text()).toBe("  abc");
  expect(screen("a\r\nb\r\nc\x1b[1;1H\x1b[L").text()).toBe("\na\nb");
  expect(screen("a\r\nb\r\nc\x1b[1;1H\x1b[M").text()).toBe("b\nc");
  expect(screen("a\x1b[99;99Hz").cursor).toEqual({ row: 2, column: 9 });
});

it("puts a command together that comes in parts, and gives up on one without an end", () => {
  expect(screen("ab\x1b", "[", "1", "Dx").text()).toBe("ax");
  expect(screen("\x1b]0;a title", "\x07ok").text()).toBe("ok");
  expect(screen("\x1b]0;a title\x1b\\ok").title).toBe("a title");
  expect(screen(`\x1b]0;${"x".repeat(300)}`, "ok").text()).toBe("ok");
  expect(screen("\x1b(Bok\x1b=").text()).toBe("ok");
});

it("gives an editor a screen of its own, and the first one back", () => {
  const made = screen("$ vi", "\x1b[?1049h", "~ file");
  expect(made.text()).toBe("~ file");
  made.write("\x1b[?1049l");
  expect(made.text()).toBe("$ vi");
  expect(made.cursor).toEqual({ row: 0, column: 4 });
});

it("keeps colours and weight in runs", () => {
  const [first, second, third] = screen("\x1b[1;31mred\x1b[0m no \x1b[97mw").lines()[0] ?? [];
  expect(first).toEqual({ text: "red", style: { bold: true, inverse: false, color: 1 } });
  expect(second).toEqual({ text: " no ", style: { bold: false, inverse: false, color: null } });
  expect(third?.style.color).toBe(15);
});

it("passes over the numbers of colours that it does not have", () => {
  const color = (codes: string) => screen(`\x1b[${codes}mx`).lines()[0]?.[0]?.style;
  expect(color("38;5;9")?.color).toBe(9);
  expect(color("38;5;31;1")).toEqual({ bold: true, inverse: false, color: null });
  expect(color("48;2;31;32;33;34")?.color).toBe(4);
  expect(color("38;2;31;32;33")?.color).toBeNull();
});

it("answers where the cursor is", () => {
  const made = screen("ab\x1b[6n");
  expect(made.answers()).toBe("\x1b[1;3R");
  expect(made.answers()).toBe("");
});

it("survives anything", () => {
  let state = 7;
  const made = new Screen(10, 3);
  for (let at = 0; at < 20_000; at += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    made.write("\x1b[;?0123456789ABCDHJKLMPX@mhn]\r\n\b\tab"[(state >> 8) % 36] ?? "");
  }
  const { row, column } = made.cursor;
  expect([row >= 0 && row < 3, column >= 0 && column < 10]).toEqual([true, true]);
  expect(made.lines().every((line) => line.map(({ text }) => text).join("").length <= 10)).toBe(true);
});

it("sends keys as terminals do, and leaves the browser its own", () => {
  expect([key("a"), key("ä"), key("Enter"), key("ArrowUp"), key("Backspace")]).toEqual([
    "a",
    "ä",
    "\r",
    "\x1b[A",
    "\x7f",
  ]);
  expect([key("c", { ctrlKey: true }), key("d", { ctrlKey: true }), key("b", { altKey: true })]).toEqual([
    "\x03",
    "\x04",
    "\x1bb",
  ]);
  expect(key("@", { ctrlKey: true, altKey: true })).toBe("@");
  expect([key("c", { metaKey: true }), key("F5"), key("Shift"), key("Tab")]).toEqual([
    null,
    null,
    null,
    null,
  ]);
});

it("takes another size, and loses no line that was written", () => {
  const made = screen("one\r\ntwo\r\nthree");
  made.resize(10, 2);
  expect([made.text(), made.above, made.cursor]).toEqual(["two\nthree", 1, { row: 1, column: 5 }]);
  made.resize(4, 4);
  expect([made.text(), made.cursor]).toEqual(["two\nthree", { row: 1, column: 3 }]);
  made.write("\r\n01234");
  expect(made.text()).toBe("two\nthree\n0123\n4");
  // A cursor further up: what is empty below it goes.
  const low = screen("top");
  low.resize(10, 1);
  expect([low.text(), low.above]).toEqual(["top", 0]);
  // The first screen has its size too when an editor leaves the second.
  const edited = screen("shell\x1b[?1049h");
  edited.resize(10, 5);
  edited.write("text\x1b[?1049l\r\n\n\n\nend");
  expect(edited.text()).toBe("shell\n\n\n\nend");
});
