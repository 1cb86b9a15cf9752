import { useEffect, useState, type RefObject } from "react";

export interface TerminalSize {
  columns: number;
  rows: number;
}

/** Sizes that programs can work with, and that no screen exceeds. */
const COLUMNS_MIN = 20;
const COLUMNS_MAX = 240;
const ROWS_MIN = 8;
const ROWS_MAX = 80;

/** Characters that are measured together, since one alone is rounded. */
const PROBE_CHARS = 20;

const within = (value: number, least: number, most: number) =>
  Math.min(most, Math.max(least, Math.floor(value)));

/** How many characters an element has room for; it is measured again whenever the element has another size. */
export function useTerminalSize(element: RefObject<HTMLElement | null>): TerminalSize | null {
  const [size, setSize] = useState<TerminalSize | null>(null);
  useEffect(() => {
    const box = element.current;
    if (!box) return;
    const observer = new ResizeObserver(() => {
      // A block, which is as high as a line; text within a line is lower than that.
      const probe = document.createElement("div");
      probe.style.display = "inline-block";
      probe.textContent = "0".repeat(PROBE_CHARS);
      box.append(probe);
      const { width, height } = probe.getBoundingClientRect();
      probe.remove();
      const style = getComputedStyle(box);
      const inner = box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
      const high = box.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
      const columns = within(inner / (width / PROBE_CHARS || 8), COLUMNS_MIN, COLUMNS_MAX);
      const rows = within(high / (height || 17), ROWS_MIN, ROWS_MAX);
      setSize((before) => (before?.columns === columns && before.rows === rows ? before : { columns, rows }));
    });
    observer.observe(box);
    return () => observer.disconnect();
  }, [element]);
  return size;
}
