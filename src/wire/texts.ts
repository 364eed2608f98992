export const mostTexts = 16_384;

/**
 * ASCII texts by their bytes. Every sync brings the names of the cluster again, to a process of many nodes thousands of
 * times: one string for all costs no decoding, no garbage, and no hashing where it is looked up. When there are too
 * many, all are forgotten.
 */
export class AsciiTexts {
  /** By a hash of the bytes; of two with one hash the later. */
  readonly #texts = new Map<number, string>();

  get size(): number {
    return this.#texts.size;
  }

  /** Null when other characters are in it. */
  of(bytes: Uint8Array): string | null {
    let hash = bytes.length;
    let all = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      all |= byte;
      hash = (Math.imul(hash, 31) + byte) & 0x3fff_ffff;
    }
    if (all > 0x7f) return null;
    const known = this.#texts.get(hash);
    return known !== undefined && isTextOf(bytes, known) ? known : this.#keep(hash, String.fromCharCode(...bytes));
  }

  #keep(hash: number, text: string): string {
    if (this.#texts.size >= mostTexts) this.#texts.clear();
    this.#texts.set(hash, text);
    return text;
  }
}

function isTextOf(bytes: Uint8Array, text: string): boolean {
  if (text.length !== bytes.length) return false;
  for (let i = 0; i < bytes.length; i++) if (text.charCodeAt(i) !== bytes[i]) return false;
  return true;
}
