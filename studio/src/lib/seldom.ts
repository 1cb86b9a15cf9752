/** Calls that come in bursts, made seldom: at once, and once more at the end of each span in which others came. */
export function seldom(does: () => void, ms: number): { call: () => void; stop: () => void } {
  let timer: ReturnType<typeof setTimeout> | null = null;
  let isDue = false;
  const over = () => {
    timer = null;
    if (isDue) call();
  };
  const call = () => {
    isDue = timer !== null;
    if (isDue) return;
    timer = setTimeout(over, ms);
    does();
  };
  const stop = () => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    isDue = false;
  };
  return { call, stop };
}
