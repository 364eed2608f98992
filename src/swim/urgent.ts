import type { Datagrams } from "./effects.js";
import type { Rings } from "./rings.js";
import type { Roster } from "./roster.js";

/** Datagrams to all successors that may leave at once, and how long until one more may (EXPERIMENTS C). */
const mostTokens = 4;
const tokenMs = 25;
/** Until more is tried while the send queue is behind. */
const busyMs = 2;

const never = Number.POSITIVE_INFINITY;

/**
 * The urgent lane (ARCHITECTURE 5.9): who first learns of a death, a leave or a refutation forwards it to its ring
 * successors at once, and leaves the rest to the gossip ticks. Paced by a small token bucket, and by the send queue, so
 * that a mass failure cannot storm.
 */
export class UrgentLane {
  readonly #fanout: number;
  readonly #rings: Rings;
  readonly #roster: Roster;
  readonly #datagrams: Datagrams;
  #hasNews = false;
  #tokens = mostTokens;
  #refilledAtMs = 0;
  #retryAtMs = never;

  /** @param fanout successors told at once; 0: nobody, news waits for the tick. */
  constructor(fanout: number, rings: Rings, roster: Roster, datagrams: Datagrams) {
    this.#fanout = fanout;
    this.#rings = rings;
    this.#roster = roster;
    this.#datagrams = datagrams;
  }

  /** Something urgent has been queued. */
  noteNews(): void {
    this.#hasNews = this.#fanout > 0;
  }

  /** When flush() has something to do next. */
  nextDeadlineMs(): number {
    return this.#hasNews ? this.#retryAtMs : never;
  }

  /** Sends what is queued, as far as pace allows. Called when all that arrived together has been handled. */
  flush(nowMs: number): void {
    if (!this.#hasNews) return;
    this.#refill(nowMs);
    const targets = this.#targets();
    while (this.#tokens >= 1) {
      const sent = targets.length === 0 ? 0 : this.#datagrams.sendUrgent(targets, targets.length);
      if (sent === 0) {
        this.#hasNews = false;
        return;
      }
      if (sent < 0) {
        this.#retryAtMs = nowMs + busyMs;
        return;
      }
      this.#tokens--;
    }
    this.#retryAtMs = nowMs + (1 - this.#tokens) * tokenMs;
  }

  #refill(nowMs: number): void {
    const grown = this.#tokens + (nowMs - this.#refilledAtMs) / tokenMs;
    this.#tokens = Math.min(mostTokens, grown);
    this.#refilledAtMs = nowMs;
  }

  #targets(): Uint32Array {
    const roster = this.#roster;
    return Uint32Array.from(this.#rings.successors(this.#fanout, roster), (member) => roster.addressOf(member));
  }
}
