import type { Random } from "../random.js";
import type { MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { Broadcasts, Effects } from "./effects.js";
import type { Roster } from "./roster.js";

export interface GossipConfig {
  readonly gossipNodes: number;
  readonly gossipToTheDeadMs: number;
}

/**
 * Who runs late gossips less often, and fuller datagrams: each tick comes by so many times its predecessor's lateness
 * later. Urgent news does not wait for ticks.
 */
const lateFactor = 4;
/** Of the ticks that find nothing to tell only every so many-th is woken for, to see whether we run late. */
const idleTicks = 5;

const never = Number.POSITIVE_INFINITY;

/** When the node gossips. */
export class GossipTicks {
  readonly #intervalMs: number;
  readonly #broadcasts: Pick<Broadcasts, "hasNews">;
  #atMs = never;
  /** The last tick that found nothing to tell; never when the last one found something. */
  #idleSinceMs = never;

  /** @param intervalMs 0: never. */
  constructor(intervalMs: number, broadcasts: Pick<Broadcasts, "hasNews">) {
    this.#intervalMs = intervalMs;
    this.#broadcasts = broadcasts;
  }

  /** The first is at a random point of the interval (M-101). */
  start(nowMs: number, random: Random): void {
    if (this.#intervalMs > 0) this.#atMs = nowMs + random.nextFloat() * this.#intervalMs;
  }

  stop(): void {
    this.#atMs = never;
    this.#idleSinceMs = never;
  }

  /** When the next is due: news that came meanwhile leaves when it would have if no tick had been left out. */
  nextTickMs(nowMs: number): number {
    if (this.#idleSinceMs === never || !this.#broadcasts.hasNews()) return this.#atMs;
    const passed = Math.ceil((nowMs - this.#idleSinceMs) / this.#intervalMs);
    this.#atMs = Math.min(this.#atMs, this.#idleSinceMs + Math.max(1, passed) * this.#intervalMs);
    this.#idleSinceMs = never;
    return this.#atMs;
  }

  /** Runs the tick that is due; how late it is, or -1 when none is. */
  take(nowMs: number): number {
    const atMs = this.nextTickMs(nowMs);
    if (atMs > nowMs) return -1;
    const lagMs = nowMs - atMs;
    const isIdle = !this.#broadcasts.hasNews();
    this.#idleSinceMs = isIdle ? nowMs : never;
    const afterMs = this.#intervalMs + lateFactor * Math.min(lagMs, this.#intervalMs);
    this.#atMs = nowMs + (isIdle ? Math.max(afterMs, idleTicks * this.#intervalMs) : afterMs);
    return lagMs;
  }
}

/** One datagram from the queue to each of a few random members (M-134). */
export function gossipRound(
  nowMs: number,
  self: MemberHandle,
  { gossipNodes, gossipToTheDeadMs }: GossipConfig,
  roster: Roster,
  { broadcasts, datagrams }: Pick<Effects, "broadcasts" | "datagrams">,
): void {
  if (!broadcasts.hasNews()) return;
  // The recently dead too, so that one who is not dead can refute.
  const isTarget = (member: MemberHandle): boolean => {
    if (member === self) return false;
    if (roster.isLive(member)) return true;
    return roster.stateOf(member) === MemberState.dead && nowMs - roster.changedAtMs(member) <= gossipToTheDeadMs;
  };
  for (const member of roster.sample(gossipNodes, isTarget)) {
    if (datagrams.gossip(roster.addressOf(member)) === 0) return;
  }
}
