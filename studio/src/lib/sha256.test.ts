// @vitest-environment node
import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { hashOf, PART_BYTES, Sha256 } from "./sha256";

const of = (text: string) => new Sha256().update(new TextEncoder().encode(text)).finish();

it("gives the published hashes", () => {
  // FIPS 180-4, examples.
  expect(of("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect(of("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).toBe(
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
  );
});

it("agrees with another implementation for every length around a block, in whatever parts", () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, at) => (at * 37 + 11) & 255);
  for (let length = 0; length <= bytes.length; length += 1) {
    const whole = bytes.subarray(0, length);
    const expected = createHash("sha256").update(whole).digest("hex");
    for (const size of [1, 7, 64, 65, 300]) {
      const hash = new Sha256();
      for (let from = 0; from < length; from += size) hash.update(whole.subarray(from, from + size));
      expect(hash.finish(), `${length} bytes in parts of ${size}`).toBe(expected);
    }
  }
});

it("hashes a file of several parts and tells how far it is", async () => {
  const bytes = new Uint8Array(2 * PART_BYTES + 5).fill(7);
  const told: number[] = [];
  const hash = await hashOf(new Blob([bytes]), (done) => told.push(done));
  expect(hash).toBe(createHash("sha256").update(bytes).digest("hex"));
  expect(told).toEqual([PART_BYTES, 2 * PART_BYTES, bytes.length]);
  expect(await hashOf(new Blob([]))).toBe(createHash("sha256").digest("hex"));
});

it("stops when it is told to", async () => {
  const stop = new AbortController();
  const hashing = hashOf(new Blob([new Uint8Array(3 * PART_BYTES)]), () => stop.abort(), stop.signal);
  await expect(hashing).rejects.toThrow();
});
