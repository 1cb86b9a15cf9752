import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { seldom } from "./seldom";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("makes the first call at once, and one for all of a burst", () => {
  const does = vi.fn();
  const { call } = seldom(does, 100);
  for (let n = 0; n < 1_000; n += 1) call();
  expect(does).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(100);
  expect(does).toHaveBeenCalledTimes(2);
  vi.advanceTimersByTime(1_000);
  expect(does).toHaveBeenCalledTimes(2);
  call();
  expect(does).toHaveBeenCalledTimes(3);
});

it("makes none after it was stopped", () => {
  const does = vi.fn();
  const { call, stop } = seldom(does, 100);
  call();
  call();
  stop();
  vi.advanceTimersByTime(1_000);
  expect(does).toHaveBeenCalledTimes(1);
});
