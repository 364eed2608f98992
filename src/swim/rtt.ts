/** RFC 6298, section 2: weights of a new sample in the mean and in its variation. */
const meanWeight = 1 / 8;
const variationWeight = 1 / 4;

/** The round trip to other members, smoothed (RFC 6298): one figure for all, since each is probed rarely. */
export class RoundTrips {
  #meanMs = -1;
  #variationMs = 0;
  readonly #leastMs: number;
  readonly #mostMs: number;

  /** Bounds of the time-out; no `probeTimeoutMinMs` (0): it is always the longest. */
  constructor({ probeTimeoutMinMs, probeTimeoutMs }: { probeTimeoutMinMs: number; probeTimeoutMs: number }) {
    this.#leastMs = probeTimeoutMinMs || probeTimeoutMs;
    this.#mostMs = probeTimeoutMs;
  }

  note(rttMs: number): void {
    if (this.#meanMs < 0) {
      this.#meanMs = rttMs;
      this.#variationMs = rttMs / 2;
      return;
    }
    this.#variationMs += variationWeight * (Math.abs(rttMs - this.#meanMs) - this.#variationMs);
    this.#meanMs += meanWeight * (rttMs - this.#meanMs);
  }

  /** How long to wait for an answer: mean + 4 x variation, within bounds; the longest while nothing is known. */
  get timeoutMs(): number {
    if (this.#meanMs < 0) return this.#mostMs;
    return Math.min(this.#mostMs, Math.max(this.#leastMs, this.#meanMs + 4 * this.#variationMs));
  }
}
