import type { Random } from "../random.js";
import type { MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { Streams } from "./effects.js";
import type { Roster } from "./roster.js";

/** M-150: a state sync happens every interval x this, so that its cost per member stays bounded. */
export function syncScale(members: number): number {
  const threshold = 32;
  if (members <= threshold) return 1;
  return Math.ceil(Math.log2(members) - Math.log2(threshold)) + 1;
}

const never = Number.POSITIVE_INFINITY;

/**
 * While all views are one, one in so many syncs takes place: all it could repair is what is known of the gone, which
 * digests leave out.
 */
const syncsInOne = 4;

/** The periodic trade of whole states with a random member (M-150). */
export class PushPull {
  readonly #intervalMs: number;
  readonly #self: MemberHandle;
  readonly #roster: Roster;
  readonly #streams: Streams;
  #fromMs = 0;
  #atMs = never;
  #scale = 1;
  #leftOut = 0;
  readonly #isAgreed: () => boolean;

  /**
   * @param intervalMs 0: never.
   * @param isAgreed whether others have the view that we have.
   */
  constructor(intervalMs: number, self: MemberHandle, roster: Roster, streams: Streams, isAgreed: () => boolean) {
    this.#intervalMs = intervalMs;
    this.#isAgreed = isAgreed;
    this.#self = self;
    this.#roster = roster;
    this.#streams = streams;
  }

  /** The first is at a random point of the interval (M-101). */
  start(nowMs: number, random: Random): void {
    if (this.#intervalMs > 0) this.#schedule(nowMs, random.nextFloat() * this.#intervalMs, 1);
  }

  stop(): void {
    this.#atMs = never;
  }

  nextTickMs(): number {
    return this.#atMs;
  }

  tick(nowMs: number): void {
    if (this.#atMs > nowMs) return;
    const scale = syncScale(this.#roster.liveCount);
    // The cluster has grown since this was scheduled: without this all who joined together would sync together.
    if (scale > this.#scale) return this.#schedule(this.#fromMs, ((nowMs - this.#fromMs) * scale) / this.#scale, scale);
    this.#schedule(nowMs, this.#intervalMs * scale, scale);
    if (this.#mayBeLeftOut()) return;
    this.#leftOut = 0;
    const isPeer = (member: MemberHandle): boolean =>
      member !== this.#self && this.#roster.stateOf(member) === MemberState.alive;
    const [peer] = this.#roster.sample(1, isPeer);
    if (peer !== undefined) this.#streams.sync(this.#roster.addressOf(peer), peer);
  }

  #mayBeLeftOut(): boolean {
    return this.#isAgreed() && !this.#streams.carriesState() && ++this.#leftOut < syncsInOne;
  }

  #schedule(fromMs: number, afterMs: number, scale: number): void {
    this.#fromMs = fromMs;
    this.#atMs = fromMs + afterMs;
    this.#scale = scale;
  }
}
