/** Compose files: what is one, and the variables that are put into it. */

/** A text is a compose file where it has services and no applications. */
export const isCompose = (text: string): boolean =>
  /^\ufeff?services\s*:/m.test(text) && !/^\ufeff?applications\s*:/m.test(text);

/** Pairs that were read, and the numbers of the lines that are none. */
export interface Pairs {
  values: Record<string, string>;
  wrong: number[];
}

/** Variables as an `.env` file has them: `NAME=value` a line, comments behind `#` at its begin. */
export const readVariables = (text: string): Pairs =>
  readPairs(text, /^\s*(?:export\s+)?([A-Za-z_]\w*)=(.*)$/);

/** Images by service: `SERVICE=image` a line. */
export const readImages = (text: string): Pairs =>
  readPairs(text, /^\s*([A-Za-z0-9][\w.-]*)\s*=\s*(\S+)\s*$/);

function readPairs(text: string, pair: RegExp): Pairs {
  const found: Pairs = { values: {}, wrong: [] };
  text.split("\n").forEach((line, at) => {
    if (/^\s*(#.*)?$/.test(line)) return;
    const [, name, value = ""] = pair.exec(line) ?? [];
    if (name === undefined) found.wrong.push(at + 1);
    else found.values[name] = unquoted(value.trim());
  });
  return found;
}

const unquoted = (value: string): string => /^(["'])(.*)\1$/.exec(value)?.[2] ?? value;
