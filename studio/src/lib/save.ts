/** Hands texts or bytes to the person as a file. */
export function save(name: string, parts: (string | Uint8Array<ArrayBuffer>)[], type = "text/plain"): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
