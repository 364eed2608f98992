/** A running hash over everything that happens: two runs with the same hash were the same run. */
export class Trace {
  #low = 0x811c9dc5;
  #high = 0xcbf29ce4;
  readonly #float = new Float64Array(1);
  readonly #words = new Uint32Array(this.#float.buffer);
  /** Events hashed so far. */
  events = 0;

  note(atMs: number, ...numbers: readonly number[]): void {
    this.events++;
    this.#float[0] = atMs;
    this.#mix(this.#words[0] as number);
    this.#mix(this.#words[1] as number);
    for (const number of numbers) this.#mix(number);
  }

  noteText(atMs: number, text: string): void {
    this.note(atMs, text.length);
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
  }

  /** 16 hex digits. */
  get hash(): string {
    const half = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");
    return half(this.#high) + half(this.#low);
  }

  /** Two multiply-xor lanes that feed each other (after FNV-1a and the finaliser of MurmurHash3). */
  #mix(word: number): void {
    this.#low = Math.imul(this.#low ^ word, 0x01000193);
    this.#low ^= this.#low >>> 15;
    this.#high = Math.imul(this.#high ^ this.#low, 0x85ebca6b);
    this.#high ^= this.#high >>> 13;
    this.#low = (this.#low + this.#high) | 0;
  }
}

/** One hash for several runs: that of a single one is its own. */
export function mixHashes(hashes: readonly string[]): string {
  const mixed = hashes.reduce((sum, hash) => (sum * 0x100000001b3n) ^ BigInt(`0x${hash}`), 0n);
  return BigInt.asUintN(64, mixed).toString(16).padStart(16, "0");
}
