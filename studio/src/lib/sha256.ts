/**
 * SHA-256 (FIPS 180-4) over parts that come one after the other. The browser's own digest wants a whole file in memory, and is there only
 * on pages that came over HTTPS or from this machine; a node of one's own is often neither.
 */

/** First 32 bits of the fractional parts of the cube roots of the first 64 primes. */
const ROUND = new Uint32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
  0xc67178f2,
]);

/** Bytes of a block. */
const BLOCK = 64;
/** Bytes of a file that are read and hashed at once: between two of them the page can draw. */
export const PART_BYTES = 1 << 20;

const turn = (word: number, bits: number) => (word >>> bits) | (word << (32 - bits));

export class Sha256 {
  #state = new Uint32Array([
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
  ]);
  #words = new Uint32Array(64);
  #rest = new Uint8Array(BLOCK);
  #filled = 0;
  #length = 0;

  /** Takes the next part. */
  update(part: Uint8Array): this {
    this.#length += part.length;
    let at = 0;
    while (at < part.length) {
      const taken = Math.min(BLOCK - this.#filled, part.length - at);
      this.#rest.set(part.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      at += taken;
      if (this.#filled === BLOCK) {
        this.#block();
        this.#filled = 0;
      }
    }
    return this;
  }

  /** The hash over all parts, in hexadecimal. Nothing can be taken after it. */
  finish(): string {
    const bits = this.#length * 8;
    const padding = new Uint8Array((this.#filled < 56 ? 56 : 120) - this.#filled + 8);
    padding[0] = 0x80;
    const end = new DataView(padding.buffer);
    // A length in bits fits in a float's 53 for every file that a browser opens.
    end.setUint32(padding.length - 8, Math.floor(bits / 2 ** 32));
    end.setUint32(padding.length - 4, bits >>> 0);
    this.update(padding);
    return [...this.#state].map((word) => word.toString(16).padStart(8, "0")).join("");
  }

  #block(): void {
    const words = this.#words;
    const bytes = new DataView(this.#rest.buffer);
    for (let at = 0; at < 16; at += 1) words[at] = bytes.getUint32(at * 4);
    const word = (at: number) => words[at] ?? 0;
    for (let at = 16; at < 64; at += 1) {
      const early = word(at - 15);
      const late = word(at - 2);
      const first = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3);
      const second = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10);
      words[at] = word(at - 16) + first + word(at - 7) + second;
    }
    let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = this.#state;
    for (let at = 0; at < 64; at += 1) {
      const second = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
      const chosen = (e & f) ^ (~e & g);
      const one = (h + second + chosen + (ROUND[at] ?? 0) + word(at)) | 0;
      const first = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const most = (a & b) ^ (a & c) ^ (b & c);
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = b;
      b = a;
      a = (one + first + most) | 0;
    }
    const added = [a, b, c, d, e, f, g, h];
    this.#state.forEach((before, at) => {
      this.#state[at] = before + (added[at] ?? 0);
    });
  }
}

/**
 * The SHA-256 of a file, read part by part: the file never leaves the browser. `onPart` hears how many bytes are done; it stops, with the
 * signal's reason, when that is aborted.
 */
export async function hashOf(
  file: Blob,
  onPart: (bytes: number) => void = () => undefined,
  signal?: AbortSignal,
): Promise<string> {
  const hash = new Sha256();
  for (let from = 0; from < file.size; from += PART_BYTES) {
    const part = await file.slice(from, from + PART_BYTES).arrayBuffer();
    signal?.throwIfAborted();
    hash.update(new Uint8Array(part));
    onPart(Math.min(from + PART_BYTES, file.size));
  }
  return hash.finish();
}
