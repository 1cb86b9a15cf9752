/** Sizes with their units, by the rules of the document: exact, and a unit is always needed. */

const UNITS: readonly [string, bigint][] = [
  ["TiB", 1n << 40n],
  ["GiB", 1n << 30n],
  ["MiB", 1n << 20n],
  ["KiB", 1n << 10n],
  ["TB", 1_000_000_000_000n],
  ["GB", 1_000_000_000n],
  ["MB", 1_000_000n],
  ["kB", 1_000n],
  ["B", 1n],
];

/** Largest size: 2^64 - 1 bytes, as in the document. */
const SIZE_BYTES_MAX = (1n << 64n) - 1n;
/** Digits before and behind the point that a size may have, as the agent reads them. */
const DIGITS_MAX = 20;
const PLACES_MAX = 12;

/** A size in bytes, or what is wrong with its text. */
export function readSize(written: string): { bytes: bigint } | { wrong: string } {
  const text = written.trim();
  const match = /^(\d+)(?:\.(\d+))? *(\p{L}*)$/u.exec(text);
  const [, whole = "", part = "", unit = ""] = match ?? [];
  if (!match || whole.length > DIGITS_MAX || part.length > PLACES_MAX)
    return { wrong: "A size is a number with its unit, such as 512MiB or 1.5GiB." };
  if (unit === "") return { wrong: `The unit is missing: ${text}MiB, for example.` };
  const factor = UNITS.find(([name]) => name === unit)?.[1];
  if (factor === undefined)
    return { wrong: `${unit} is no unit; one of ${UNITS.map(([name]) => name).join(", ")} is expected.` };
  const scaled = BigInt(whole + part) * factor;
  const divisor = 10n ** BigInt(part.length);
  if (scaled % divisor !== 0n) return { wrong: "This is finer than a byte." };
  const bytes = scaled / divisor;
  return bytes > SIZE_BYTES_MAX ? { wrong: "This is larger than 2^64 - 1 bytes." } : { bytes };
}

/** Bytes in binary units, as the agent's plans have them: `12.5 MiB`. */
export function binary(bytes: number): string {
  const [unit, factor] = UNITS.slice(0, 4)
    .map(([name, size]) => [name, Number(size)] as const)
    .find(([, size]) => bytes >= size) ?? ["B", 1];
  return `${(Math.floor((bytes * 10) / factor) / 10).toFixed(1).replace(/\.0$/, "")} ${unit}`;
}
