import type { MemberHandle } from "../wire/addon.js";
import type { ViewDigest } from "./digest.js";
import type { Streams } from "./effects.js";
import type { Roster } from "./roster.js";

/**
 * Different digests in a row before views are compared (EXPERIMENTS F): news on its way makes them differ for a moment
 * all the time. Until we first agreed with some others one is enough: we have just joined, and know little.
 */
const differencesInARow = 4;
/**
 * Who shares our ignorance agrees with us, and a neighbour on the rings says so every second: each agrees but once
 * with the view that we have, and only more than so many prove that it is everybody's.
 */
const twins = 3;
/**
 * Who has more to do than time for it, as in a process of many nodes that all join, leaves the news to gossip, which is
 * cheaper a record: the pause between two comparisons grows with the square of the lateness of our ticks over this.
 */
const toleratedLagMs = 40;
/** What is left of a lateness one gossip tick later. */
const lagDecay = 0.9;
/** A view that has been the same for so many gossip intervals gets no more by gossip, and is compared all the same. */
const restInGossipIntervals = 4;

export interface ReconcileParts {
  readonly self: MemberHandle;
  readonly digest: ViewDigest;
  readonly roster: Roster;
  readonly streams: Streams;
}

/** Notices by the digests in pings and acks that a peer knows something else, and has the two views compared (5.11). */
export class Reconciler {
  started = 0;
  readonly #intervalMs: number;
  readonly #restMs: number;
  readonly #parts: ReconcileParts;
  #differences = 0;
  #hasAgreed = false;
  #isAgreed = false;
  /** Who has agreed since our view last changed. */
  readonly #agreed = new Set<MemberHandle>();
  #startedAtMs = Number.NEGATIVE_INFINITY;
  #lagMs = 0;
  #changedAtMs = 0;
  #low = 0;
  #high = 0;

  /** @param intervalMs at most one comparison is begun in this time; 0: none. */
  constructor(intervalMs: number, gossipIntervalMs: number, parts: ReconcileParts) {
    this.#intervalMs = intervalMs;
    this.#restMs = restInGossipIntervals * gossipIntervalMs;
    this.#parts = parts;
  }

  handleDigest(nowMs: number, from: MemberHandle, low: number, high: number): void {
    const { self, digest, roster, streams } = this.#parts;
    if (this.#intervalMs === 0 || from === self || !roster.isLive(from)) return;
    this.#noteChange(nowMs);
    if (digest.equals(low, high)) return this.#handleAgreement(from);
    this.#differences++;
    this.#isAgreed = false;
    if (
      this.#differences < (this.#hasAgreed ? differencesInARow : 1) ||
      nowMs < this.#startedAtMs + this.#pauseMs(nowMs)
    )
      return;
    this.#differences = 0;
    this.#startedAtMs = nowMs;
    this.started++;
    streams.reconcile(roster.addressOf(from), from);
  }

  /** Whether our view as it is now is everybody's, as far as others have said, of whom the last one agreed. */
  get isAgreed(): boolean {
    return this.#isAgreed && this.#parts.digest.equals(this.#low, this.#high);
  }

  /** A gossip tick ran so late. */
  noteLag(lagMs: number): void {
    this.#lagMs = Math.max(lagMs, this.#lagMs * lagDecay);
  }

  #handleAgreement(from: MemberHandle): void {
    if (this.#agreed.has(from)) return;
    this.#differences = 0;
    this.#agreed.add(from);
    if (this.#agreed.size <= Math.min(twins, this.#parts.roster.liveCount - 2)) return;
    this.#hasAgreed = true;
    this.#isAgreed = true;
    this.#agreed.clear();
  }

  /** Changes are seen when pings and acks come, a few times a second. */
  #noteChange(nowMs: number): void {
    const { digest } = this.#parts;
    if (digest.equals(this.#low, this.#high)) return;
    [this.#low, this.#high] = [digest.low, digest.high];
    this.#changedAtMs = nowMs;
    this.#isAgreed = false;
    this.#agreed.clear();
  }

  #pauseMs(nowMs: number): number {
    if (nowMs - this.#changedAtMs >= this.#restMs) return this.#intervalMs;
    return this.#intervalMs * (1 + (this.#lagMs / toleratedLagMs) ** 2);
  }
}
