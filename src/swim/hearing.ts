/**
 * "Deaf members judge nobody" (ARCHITECTURE 5.2): who has heard from no one since its ping left has learnt
 * something about itself only. While deaf, suspicion clocks stand still; they run in hearing time.
 */
export class Hearing {
  /** When the oldest ping left that nothing has been heard since; Infinity when something was. */
  #unheardSinceMs = Number.POSITIVE_INFINITY;
  #lastHeardMs = Number.NEGATIVE_INFINITY;
  #frozenMs = 0;
  readonly #limitMs: number;
  readonly #quietMs: number;

  /**
   * @param limitMs after so long a member may be the last one standing, and judges again.
   * @param quietMs silence up to this stops no clock: in a quiet cluster nobody may have anything to say for a while.
   */
  constructor(limitMs: number, quietMs: number) {
    this.#limitMs = limitMs;
    this.#quietMs = quietMs;
  }

  get lastHeardMs(): number {
    return this.#lastHeardMs;
  }

  notePing(nowMs: number): void {
    if (nowMs < this.#unheardSinceMs) this.#unheardSinceMs = nowMs;
  }

  /** An authenticated datagram of another member arrived at `atMs`. True when it sets clocks going that stood still. */
  noteHeard(atMs: number): boolean {
    if (atMs <= this.#lastHeardMs) return false;
    this.#lastHeardMs = atMs;
    if (atMs < this.#unheardSinceMs) return false;
    const stoodStillMs = this.#stoodStillMs(atMs);
    this.#frozenMs += stoodStillMs;
    this.#unheardSinceMs = Number.POSITIVE_INFINITY;
    return stoodStillMs > 0;
  }

  isDeaf(nowMs: number): boolean {
    return nowMs >= this.#unheardSinceMs && nowMs - this.#unheardSinceMs < this.#limitMs;
  }

  /** When a deaf member starts judging again although it hears nothing. */
  deafUntilMs(): number {
    return this.#unheardSinceMs + this.#limitMs;
  }

  /** Milliseconds that suspicion clocks have stood still so far. */
  frozenMs(nowMs: number): number {
    if (nowMs < this.#unheardSinceMs) return this.#frozenMs;
    return this.#frozenMs + this.#stoodStillMs(nowMs);
  }

  #stoodStillMs(nowMs: number): number {
    const unheardMs = nowMs - this.#unheardSinceMs;
    return unheardMs <= this.#quietMs ? 0 : Math.min(unheardMs, this.#limitMs);
  }
}
