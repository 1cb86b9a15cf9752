import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { draftsBelongTo, forgetDrafts, useDraft, useDraftReducer } from "./draft";

afterEach(() => {
  cleanup();
  forgetDrafts();
});

const written = (key = "document") => {
  const { result, unmount } = renderHook(() => useDraft(key, () => "begin"));
  const [text, write] = result.current;
  return { text, write: (next: string) => act(() => write(next)), now: () => result.current[0], unmount };
};

it("keeps what was written for when the page is there again", () => {
  draftsBelongTo("0xAA");
  const first = written();
  expect(first.text).toBe("begin");
  first.write("version: 1");
  expect(first.now()).toBe("version: 1");
  first.unmount();
  // The same wallet after a session that has ended.
  draftsBelongTo("0xaa");
  expect(written().text).toBe("version: 1");
  expect(written("another").text).toBe("begin");
});

it("gives it to nobody else, and forgets what was done", () => {
  draftsBelongTo("0xaa");
  written().write("secret plans");
  draftsBelongTo("0xbb");
  expect(written().text).toBe("begin");
  written().write("done");
  written("another").write("stays");
  forgetDrafts("document");
  expect([written().text, written("another").text]).toEqual(["begin", "stays"]);
});

it("keeps what acts have made of a state", () => {
  draftsBelongTo("0xaa");
  const counted = () =>
    renderHook(() =>
      useDraftReducer(
        "count",
        (state: number, by: number) => state + by,
        () => 1,
      ),
    );
  const first = counted();
  act(() => first.result.current[1](4));
  expect(first.result.current[0]).toBe(5);
  first.unmount();
  expect(counted().result.current[0]).toBe(5);
  forgetDrafts("count");
  expect(counted().result.current[0]).toBe(1);
});
