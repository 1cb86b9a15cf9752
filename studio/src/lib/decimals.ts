/** Exact arithmetic on decimal texts: a price or a size never passes through a float. */

interface Scaled {
  digits: bigint;
  /** Number of digits behind the point. */
  scale: number;
}

function read(text: string): Scaled | null {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (!match) return null;
  const fraction = match[3] ?? "";
  const digits = BigInt(`${match[2] ?? "0"}${fraction}`);
  return { digits: match[1] === "-" ? -digits : digits, scale: fraction.length };
}

function write({ digits, scale }: Scaled): string {
  const text = (digits < 0n ? -digits : digits).toString().padStart(scale + 1, "0");
  const whole = text.slice(0, text.length - scale);
  return `${digits < 0n ? "-" : ""}${whole}${scale > 0 ? `.${text.slice(-scale)}` : ""}`;
}

const raised = ({ digits, scale }: Scaled, to: number) => digits * 10n ** BigInt(to - scale);

function combined(a: string, b: string, how: (x: bigint, y: bigint) => bigint): string | null {
  const [left, right] = [read(a), read(b)];
  if (!left || !right) return null;
  const scale = Math.max(left.scale, right.scale);
  return write({ digits: how(raised(left, scale), raised(right, scale)), scale });
}

/** `null` where one of them is no decimal. */
export const add = (a: string, b: string) => combined(a, b, (x, y) => x + y);
export const subtract = (a: string, b: string) => combined(a, b, (x, y) => x - y);

export function fractionDigits(text: string): number {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}

/** Digits behind the point up to which at least one of the numbers has more than zeros. */
export const digitsThatMatter = (texts: readonly string[]): number =>
  Math.max(0, ...texts.map((text) => fractionDigits(text.replace(/(\.\d*?)0+$/, "$1"))));

/** Zeros behind, or fewer of them, so that a column of numbers stands point under point. Only zeros are cut. */
export function padded(text: string, digits: number): string {
  if (read(text) === null) return text;
  const missing = digits - fractionDigits(text);
  if (missing > 0) return `${text}${text.includes(".") ? "" : "."}${"0".repeat(missing)}`;
  const zeros = /0*$/.exec(text)?.[0].length ?? 0;
  const kept = missing < 0 ? text.slice(0, text.length - Math.min(zeros, -missing)) : text;
  return kept.endsWith(".") ? kept.slice(0, -1) : kept;
}

/** Digits behind the point of one OPEN. */
const OPEN_DIGITS = 18;

/** An amount of OPEN as a person writes it, in units of 10^-18; `null` where it is none, or finer than a unit. */
export function units(text: string): string | null {
  const value = read(text.trim());
  if (!value || value.digits < 0n) return null;
  const fraction = value.scale - OPEN_DIGITS;
  if (fraction <= 0) return raised(value, OPEN_DIGITS).toString();
  const factor = 10n ** BigInt(fraction);
  return value.digits % factor === 0n ? (value.digits / factor).toString() : null;
}
