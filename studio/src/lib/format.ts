/** Words for numbers, sizes, times and ages. Decimals stay text: a price never passes through a float to be shown. */

const whole = new Intl.NumberFormat("en-GB");

export function count(value: number): string {
  return whole.format(value);
}

/** Groups the whole part of a decimal text, and leaves its fraction as it is. */
export function decimal(text: string): string {
  const match = /^(-?)(\d+)(\.\d+)?$/.exec(text);
  if (!match) return text;
  return `${match[1] ?? ""}${(match[2] ?? "").replace(/\B(?=(\d{3})+$)/g, ",")}${match[3] ?? ""}`;
}

export function rate(perSecond: number): string {
  return perSecond >= 100 ? whole.format(Math.round(perSecond)) : perSecond.toFixed(1);
}

export function bytes(size: number): string {
  if (size < 1_000) return `${size} B`;
  if (size < 1_000_000) return `${(size / 1_000).toFixed(1)} kB`;
  if (size < 1_000_000_000) return `${(size / 1_000_000).toFixed(1)} MB`;
  return `${(size / 1_000_000_000).toFixed(1)} GB`;
}

/** Milliseconds since 1970 of an RFC 3339 text, of SQL's timestamp text, or of decimal seconds. */
export function instant(text: string | null | undefined): number | null {
  if (!text) return null;
  if (/^-?\d+(\.\d+)?$/.test(text)) return Math.round(Number(text) * 1_000);
  const zoned = /(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`;
  const parsed = Date.parse(zoned.replace(" ", "T"));
  return Number.isNaN(parsed) ? null : parsed;
}

/** How long ago, coarser the longer. A clock that runs ahead of ours counts as now. */
export function age(ms: number): string {
  if (ms < 1_000) return "now";
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 60) return `${seconds} s ago`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60 === 0 ? "" : `${minutes % 60} min `}ago`;
  return `${Math.floor(hours / 24)} days ago`;
}

/** `14:03:07`, with a date where it is not today. In UTC, as the ledger, the tables and the charts have it. */
export function clock(ms: number, now: number): string {
  const at = new Date(ms).toISOString();
  const time = at.slice(11, 19);
  return at.slice(0, 10) === new Date(now).toISOString().slice(0, 10) ? time : `${at.slice(0, 10)} ${time}`;
}

export function duration(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  if (ms < 60_000) return `${trim(ms / 1_000)} s`;
  if (ms < 3_600_000) return `${trim(ms / 60_000)} min`;
  if (ms < 48 * 3_600_000) return `${trim(ms / 3_600_000)} h`;
  return `${trim(ms / (24 * 3_600_000))} days`;
}

/** For how long something has lasted, in whole seconds, then minutes, then hours: it ticks while one looks. */
export function lasting(ms: number): string {
  const seconds = Math.floor(Math.max(0, ms) / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const trim = (value: number) => value.toFixed(2).replace(/\.?0+$/, "");

export function shortAddress(address: string): string {
  return `${address.slice(0, 6)}…${address.slice(-4)}`;
}

/** 10^-18 OPEN as OPEN, exactly. */
export function open(amount: string): string {
  const digits = amount.padStart(19, "0");
  const fraction = digits.slice(-18).replace(/0+$/, "");
  return `${decimal(digits.slice(0, -18))}${fraction ? `.${fraction}` : ""} OPEN`;
}

/** Compares two decimal texts exactly. Text that is no decimal comes last. */
export function compareDecimals(a: string, b: string): number {
  const left = parts(a);
  const right = parts(b);
  if (!left || !right) return left ? -1 : right ? 1 : a < b ? -1 : a > b ? 1 : 0;
  if (left.negative !== right.negative) return left.negative ? -1 : 1;
  const length = Math.max(left.whole.length, right.whole.length);
  const scale = Math.max(left.fraction.length, right.fraction.length);
  const x = left.whole.padStart(length, "0") + left.fraction.padEnd(scale, "0");
  const y = right.whole.padStart(length, "0") + right.fraction.padEnd(scale, "0");
  const order = x < y ? -1 : x > y ? 1 : 0;
  return left.negative ? -order || 0 : order;
}

function parts(text: string): { negative: boolean; whole: string; fraction: string } | null {
  const plain = /e/i.test(text) && Number.isFinite(Number(text)) ? Number(text).toFixed(18) : text;
  const match = /^(-?)0*(\d+)(?:\.(\d+))?$/.exec(plain);
  if (!match) return null;
  const wholePart = match[2] ?? "0";
  const fraction = (match[3] ?? "").replace(/0+$/, "");
  const zero = /^0*$/.test(wholePart) && fraction === "";
  return { negative: match[1] === "-" && !zero, whole: wholePart, fraction };
}
