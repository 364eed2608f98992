/**
 * The only dice. Seeded, so that a failing run is a number in a log.
 *
 * sfc32 by Chris Doty-Humphrey (PractRand), seeded through splitmix32.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param seed any finite number; its lower 32 bits and its upper part both count. */
  constructor(seed: number) {
    const mix = splitmix32((seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32) >>> 0, 0x9e3779b9));
    this.#a = mix();
    this.#b = mix();
    this.#c = mix();
    for (let i = 0; i < 12; i++) this.nextUint32();
  }

  nextUint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** A number in [0, 1). */
  nextFloat(): number {
    return this.nextUint32() / 2 ** 32;
  }

  /** An integer in [0, bound), each as likely as the other. `bound` from 1 to 2^32. */
  below(bound: number): number {
    // Lemire's rejection by the remainder: values below it would favour the small results.
    const reject = 2 ** 32 % bound;
    for (;;) {
      const value = this.nextUint32();
      if (value >= reject) return value % bound;
    }
  }

  /** Fisher-Yates over the first `length` elements, in place. */
  shuffle<T>(items: { [index: number]: T }, length: number): void {
    for (let i = length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const kept = items[i] as T;
      items[i] = items[j] as T;
      items[j] = kept;
    }
  }

  /** An independent generator; one seed replays a whole cluster. */
  child(): Random {
    return new Random(this.nextUint32() * 2 ** 20 + (this.nextUint32() >>> 12));
  }
}

function splitmix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) | 0;
  };
}
