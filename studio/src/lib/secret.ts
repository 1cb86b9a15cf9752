/** Secrets that are made in the browser. */

const CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** Letters and digits, each as likely as any other: a byte that would favour the first ones is thrown away. */
export function generated(
  length: number,
  random: (bytes: Uint8Array<ArrayBuffer>) => void = (bytes) => crypto.getRandomValues(bytes),
): string {
  const fair = 256 - (256 % CHARS.length);
  const bytes = new Uint8Array(64);
  let text = "";
  while (text.length < length) {
    random(bytes);
    for (const byte of bytes)
      if (byte < fair && text.length < length) text += CHARS[byte % CHARS.length] ?? "";
  }
  return text;
}
