/** Places that a fingerprint may have. */
const mostSteps = 32;

/**
 * Tells a peer's fingerprints from our own. A hash table without objects, since both ends of a comparison fill one. It
 * stays so empty that of hashes hardly any ever finds all its places taken. Of fingerprints that somebody made to
 * collide the rest is not found, which costs a record each, and no time.
 */
export class FingerprintTable {
  readonly #own: Uint32Array;
  /** By hash: place among our own, plus 1. */
  readonly #slots: Uint32Array;
  readonly #isMet: Uint8Array;

  constructor(own: Uint32Array) {
    this.#own = own;
    this.#isMet = new Uint8Array(own.length);
    let size = 2 * mostSteps;
    while (size < 4 * own.length) size *= 2;
    this.#slots = new Uint32Array(size);
    for (let place = 0; place < own.length; place++) this.#put(own[place] as number, place);
  }

  /** Notes which of our own are among theirs. Returns the others, in their order. */
  meet(theirs: Uint32Array): Uint32Array {
    const others = new Uint32Array(theirs.length);
    let count = 0;
    for (let i = 0; i < theirs.length; i++) {
      const place = this.#placeOf(theirs[i] as number);
      if (place < 0) others[count++] = theirs[i] as number;
      else this.#isMet[place] = 1;
    }
    return others.slice(0, count);
  }

  isMet(place: number): boolean {
    return this.#isMet[place] === 1;
  }

  #put(fingerprint: number, place: number): void {
    const mask = this.#slots.length - 1;
    for (let step = 0; step < mostSteps; step++) {
      const slot = (fingerprint + step) & mask;
      if (this.#slots[slot] !== 0) continue;
      this.#slots[slot] = place + 1;
      return;
    }
  }

  #placeOf(fingerprint: number): number {
    const mask = this.#slots.length - 1;
    for (let step = 0; step < mostSteps; step++) {
      const place = (this.#slots[(fingerprint + step) & mask] as number) - 1;
      if (place < 0 || this.#own[place] === fingerprint) return place;
    }
    return -1;
  }
}
