import type { MemberHandle } from "../wire/addon.js";
import type { AliveView } from "../wire/records.js";
import type { Effects } from "./effects.js";
import type { Accusation } from "./membership.js";
import type { Roster } from "./roster.js";
import type { UrgentLane } from "./urgent.js";

export interface NewsParts {
  readonly roster: Roster;
  readonly urgent: UrgentLane;
  readonly effects: Pick<Effects, "broadcasts">;
}

/** What is told on, and how: relayed as it came, or as a record of our own. */
export class News {
  readonly #comparesViews: boolean;
  readonly #parts: NewsParts;
  /** The sizes that have as many digits as the one announced last: from the first to before the second. */
  #announced = [0, 0] as readonly [number, number];

  /** @param comparesViews whether members whose views differ notice, and trade what differs (ARCHITECTURE 5.11). */
  constructor(comparesViews: boolean, parts: NewsParts) {
    this.#comparesViews = comparesViews;
    this.#parts = parts;
  }

  spreadSuspicion({ subject, from, incarnation, evidence, ringIndex }: Accusation): void {
    const { broadcasts } = this.#parts.effects;
    if (ringIndex >= 0) broadcasts.relay(ringIndex, false);
    else broadcasts.queueSuspect(subject, from, incarnation, evidence);
  }

  spreadDeath({ subject, from, incarnation, evidence, ringIndex }: Accusation, isUrgent: boolean): void {
    const { effects, urgent } = this.#parts;
    if (isUrgent) urgent.noteNews();
    if (ringIndex >= 0) effects.broadcasts.relay(ringIndex, isUrgent);
    else effects.broadcasts.queueDeath(subject, from, incarnation, evidence, isUrgent);
  }

  /**
   * Hearsay of a state sync is no news to its peer, and whoever else lacks it is told when views are compared. Gossip
   * of it would crowd out what nobody knows yet: when all join at once it is nearly everything.
   */
  spreadAlive(member: MemberHandle, alive: AliveView, isUrgent: boolean): void {
    const { effects, roster, urgent } = this.#parts;
    if (alive.isHearsay && this.#comparesViews && !isUrgent) return;
    if (isUrgent) urgent.noteNews();
    if (alive.ringIndex >= 0) return effects.broadcasts.relay(alive.ringIndex, isUrgent);
    const [incarnation, address] = [roster.incarnationOf(member), roster.addressOf(member)];
    const versions = roster.versionsOf(member);
    effects.broadcasts.queueAlive(member, address, incarnation, alive.meta(), versions, isUrgent);
  }

  /** Transmit limits grow with the digits of the number of live members (M-130): a call into the addon for each. */
  announceSize(): void {
    const { liveCount } = this.#parts.roster;
    const [least, beyond] = this.#announced;
    if (liveCount >= least && liveCount < beyond) return;
    this.#announced = sizesLike(liveCount);
    this.#parts.effects.broadcasts.setClusterSize(liveCount);
  }
}

/** The sizes of as many digits as this one, of which 0 has none: from the first to before the second. */
function sizesLike(size: number): readonly [number, number] {
  let beyond = 1;
  while (beyond <= size) beyond *= 10;
  return [Math.floor(beyond / 10), beyond];
}
