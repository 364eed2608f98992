import type { Effects } from "./effects.js";

/**
 * Lifeguard's local health multiplier (section IV.A): how far this node distrusts itself. 0 is healthy; every
 * time-out that judges others grows by (score + 1).
 */
export class Awareness {
  #score = 0;
  readonly #max: number;
  readonly #effects: Pick<Effects, "observer">;

  /** @param maxMultiplier the score stays in [0, maxMultiplier - 1] (M-111). */
  constructor(maxMultiplier: number, effects: Pick<Effects, "observer"> = {}) {
    this.#max = maxMultiplier - 1;
    this.#effects = effects;
  }

  get score(): number {
    return this.#score;
  }

  /** Adds a delta of M-112: -1 for a successful probe, positive for signs that we are slow. */
  apply(delta: number): void {
    const before = this.#score;
    this.#score = Math.min(this.#max, Math.max(0, before + delta));
    if (this.#score !== before) this.#effects.observer?.healthChanged(before, this.#score);
  }

  /** A task ran so late: we are slow, and that is measured, not guessed (ARCHITECTURE 5.4). One for each time-out. */
  noteLag(lagMs: number, timeoutMs: number): void {
    if (lagMs >= timeoutMs) this.apply(Math.floor(lagMs / timeoutMs));
  }

  scale(ms: number): number {
    return ms * (this.#score + 1);
  }
}
