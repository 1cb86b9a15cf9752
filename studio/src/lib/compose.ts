/** Compose files: what is one, and the variables that are put into it. */

/** A text is a compose file where it has services and no applications. */
export const isCompose = (text: string): boolean => /^services\s*:/m.test(text) && !/^applications\s*:/m.test(text);

/** Variables as an `.env` file has them: `NAME=value` a line, comments behind `#` at its begin. Wrong lines by number. */
export function readVariables(text: string): { values: Record<string, string>; wrong: number[] } {
  const values: Record<string, string> = {};
  const wrong: number[] = [];
  text.split("\n").forEach((line, at) => {
    if (/^\s*(#.*)?$/.test(line)) return;
    const [, name, value = ""] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line) ?? [];
    if (name === undefined) wrong.push(at + 1);
    else values[name] = unquoted(value.trim());
  });
  return { values, wrong };
}

const unquoted = (value: string): string => /^(["'])(.*)\1$/.exec(value)?.[2] ?? value;
