import type { MemberHandle } from "../wire/addon.js";

/** Of one origin so many starts are remembered: copies of what the last one sent may still be on their way. */
const startsRemembered = 2;

interface Window {
  high: number;
  readonly seen: Uint32Array;
}

/**
 * Delivers each broadcast once. A broadcast is known by its origin, by a number that is random per start of the
 * origin, and by a counter; a window slides over the counter. What is too old to tell counts as a duplicate.
 */
export class OnceFilter {
  duplicates = 0;
  readonly #windows = new Map<number, Window>();
  /** The starts that have a window, by origin, the latest known last. */
  readonly #starts = new Map<MemberHandle, number[]>();
  readonly #maxWindows: number;
  readonly #windowBits: number;

  /**
   * @param maxWindows origins remembered; then the one longest unheard is forgotten.
   * @param reach how far behind the highest counter of its origin a broadcast is still told apart; rounded up to a
   * power of two of at least 1,024. An eighth of it in bytes is kept for each origin.
   */
  constructor(maxWindows: number, reach: number) {
    this.#maxWindows = maxWindows;
    this.#windowBits = 2 ** Math.ceil(Math.log2(Math.max(reach, 1024)));
  }

  get size(): number {
    return this.#windows.size;
  }

  /** True the first time. */
  accept(origin: MemberHandle, boot: number, counter: number): boolean {
    const window = this.#windowOf(origin, boot, counter);
    const ahead = (counter - window.high) | 0;
    if (ahead > 0) slide(window, counter, ahead);
    const isFresh = -ahead < this.#windowBits && mark(window, counter);
    if (!isFresh) this.duplicates++;
    return isFresh;
  }

  #windowOf(origin: MemberHandle, boot: number, counter: number): Window {
    const key = keyOf(origin, boot);
    const known = this.#windows.get(key);
    if (known !== undefined) {
      // A Map keeps insertion order: the first key is the one longest unheard.
      this.#windows.delete(key);
      this.#windows.set(key, known);
      return known;
    }
    if (this.#windows.size >= this.#maxWindows) {
      const [oldest] = this.#windows.keys();
      if (oldest !== undefined) this.#forget(Math.floor(oldest / 2 ** 32), oldest % 2 ** 32);
    }
    const starts = this.#starts.get(origin) ?? [];
    // A member that restarts all day must not cost us a window each time.
    if (starts.length >= startsRemembered) this.#forget(origin, starts[0] as number);
    this.#starts.set(origin, [...(this.#starts.get(origin) ?? []), boot]);
    const window = { high: counter, seen: new Uint32Array(this.#windowBits / 32) };
    this.#windows.set(key, window);
    return window;
  }

  #forget(origin: MemberHandle, boot: number): void {
    this.#windows.delete(keyOf(origin, boot));
    const left = (this.#starts.get(origin) ?? []).filter((one) => one !== boot);
    if (left.length > 0) this.#starts.set(origin, left);
    else this.#starts.delete(origin);
  }
}

function keyOf(origin: MemberHandle, boot: number): number {
  return origin * 2 ** 32 + boot;
}

/** Moves the window up and clears the places of numbers that were skipped. */
function slide(window: Window, counter: number, ahead: number): void {
  if (ahead >= bitsOf(window)) window.seen.fill(0);
  else for (let i = 1; i <= ahead; i++) clear(window, window.high + i);
  window.high = counter;
}

function bitsOf(window: Window): number {
  return 32 * window.seen.length;
}

function mark(window: Window, counter: number): boolean {
  const bit = counter & (bitsOf(window) - 1);
  const word = window.seen[bit >>> 5] as number;
  const mask = 1 << (bit & 31);
  if ((word & mask) !== 0) return false;
  window.seen[bit >>> 5] = word | mask;
  return true;
}

function clear(window: Window, counter: number): void {
  const bit = counter & (bitsOf(window) - 1);
  window.seen[bit >>> 5] = (window.seen[bit >>> 5] as number) & ~(1 << (bit & 31));
}
