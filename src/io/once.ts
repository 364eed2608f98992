import type { MemberHandle } from "../wire/addon.js";

/** So many starts of one origin have a window: copies of what the last one sent may still be on their way. */
const startsWithWindow = 2;
/** And of so many starts that had one, the highest counter is kept: their copies must not count as new. */
const startsEnded = 8;

interface Window {
  high: number;
  readonly seen: Uint32Array;
}

/** What is known of one origin. */
interface Starts {
  /** The starts that have a window, the one heard last at the end. */
  readonly open: number[];
  /** Start and highest counter of those that had one, in pairs, the one that ended last at the end. */
  readonly ended: number[];
}

/**
 * Delivers each broadcast once. A broadcast is known by its origin, by a number that is random per start of the
 * origin, and by a counter; a window slides over the counter. What is too old to tell counts as a duplicate.
 *
 * A start that loses its window is not forgotten at once: taken for a new one, its copies would be passed on anew, cost
 * another start its window, and so keep each other alive for ever.
 */
export class OnceFilter {
  duplicates = 0;
  readonly #windows = new Map<number, Window>();
  readonly #origins = new Map<MemberHandle, Starts>();
  readonly #maxWindows: number;
  readonly #windowBits: number;

  /**
   * @param maxWindows starts of origins that have a window; then the one longest unheard loses it. Of 16 times as many
   * origins something is remembered.
   * @param reach how far behind the highest counter of its origin a broadcast is still told apart; rounded up to a
   * power of two of at least 1,024. An eighth of it in bytes is kept for each window.
   */
  constructor(maxWindows: number, reach: number) {
    this.#maxWindows = maxWindows;
    this.#windowBits = 2 ** Math.ceil(Math.log2(Math.max(reach, 1024)));
  }

  /** Windows in memory. */
  get size(): number {
    return this.#windows.size;
  }

  /** True the first time. */
  accept(origin: MemberHandle, boot: number, counter: number): boolean {
    const window = this.#windowOf(origin, boot, counter);
    const isFresh = window !== null && take(window, counter);
    if (!isFresh) this.duplicates++;
    return isFresh;
  }

  /** Null for a copy of what came before its start lost its window. */
  #windowOf(origin: MemberHandle, boot: number, counter: number): Window | null {
    const key = keyOf(origin, boot);
    const known = this.#windows.get(key);
    if (known !== undefined) {
      const { open } = this.#origins.get(origin) as Starts;
      if (open.at(-1) !== boot) open.push(...open.splice(open.indexOf(boot), 1));
      // A Map keeps insertion order: the first key is the one longest unheard.
      this.#windows.delete(key);
      this.#windows.set(key, known);
      return known;
    }
    const starts = this.#startsOf(origin);
    const ended = placeOf(starts, boot);
    const high = ended < 0 ? null : (starts.ended[ended + 1] as number);
    if (high !== null && ((counter - high) | 0) <= 0) return null;
    if (ended >= 0) starts.ended.splice(ended, 2);
    return this.#open(origin, boot, starts, high, counter);
  }

  #open(origin: MemberHandle, boot: number, starts: Starts, endedAt: number | null, counter: number): Window {
    // A member that restarts all day must not cost us a window each time.
    if (starts.open.length >= startsWithWindow) this.#end(origin, starts.open[0] as number);
    if (this.#windows.size >= this.#maxWindows) {
      const [oldest] = this.#windows.keys();
      if (oldest !== undefined) this.#end(Math.floor(oldest / 2 ** 32), oldest % 2 ** 32);
    }
    const window = { high: endedAt ?? counter, seen: new Uint32Array(this.#windowBits / 32) };
    // Nobody knows any more which of those below had come.
    if (endedAt !== null) window.seen.fill(0xffffffff);
    starts.open.push(boot);
    this.#windows.set(keyOf(origin, boot), window);
    return window;
  }

  /** Takes a start's window, and remembers how far it had come. */
  #end(origin: MemberHandle, boot: number): void {
    const starts = this.#origins.get(origin) as Starts;
    const key = keyOf(origin, boot);
    const { high } = this.#windows.get(key) as Window;
    this.#windows.delete(key);
    starts.open.splice(starts.open.indexOf(boot), 1);
    if (starts.ended.length >= 2 * startsEnded) starts.ended.splice(0, 2);
    starts.ended.push(boot, high);
  }

  #startsOf(origin: MemberHandle): Starts {
    const known = this.#origins.get(origin);
    if (known !== undefined) return known;
    if (this.#origins.size >= 16 * this.#maxWindows) this.#forgetOne();
    const starts = { open: [], ended: [] };
    this.#origins.set(origin, starts);
    return starts;
  }

  /** The origin known longest of those without a window. */
  #forgetOne(): void {
    for (const [origin, { open }] of this.#origins) {
      if (open.length === 0) return void this.#origins.delete(origin);
    }
  }
}

/** Where a start is in `ended`; -1 when it is not. */
function placeOf({ ended }: Starts, boot: number): number {
  for (let place = 0; place < ended.length; place += 2) if (ended[place] === boot) return place;
  return -1;
}

/** Whether the counter is new to the window, which then knows it. */
function take(window: Window, counter: number): boolean {
  const ahead = (counter - window.high) | 0;
  if (ahead > 0) slide(window, counter, ahead);
  return -ahead < bitsOf(window) && mark(window, counter);
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
