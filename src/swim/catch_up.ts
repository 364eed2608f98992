import type { MemberHandle } from "../wire/addon.js";
import { Evidence } from "../wire/generated/wire/evidence.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { ViewDigest } from "./digest.js";
import type { Datagrams } from "./effects.js";
import type { Roster } from "./roster.js";

/** Who is behind by more than this compares views. */
const mostTold = 4;
/** A death is told like gossip, which is believed, only while it may still be on its way as gossip. */
const freshDeathMs = 5000;

export interface CatchUpParts {
  readonly self: MemberHandle;
  readonly digest: ViewDigest;
  readonly roster: Roster;
  readonly datagrams: Pick<Datagrams, "tellAlive" | "tellDeath">;
}

/**
 * A peer whose digest was ours a moment ago has missed exactly what changed since: it is told that, in a datagram a
 * record, instead of comparing whole views a few seconds later. So gossip may stop early, and lost datagrams are made
 * good by the next ping or ack, either way.
 */
export class CatchUp {
  told = 0;
  readonly #isOn: boolean;
  readonly #parts: CatchUpParts;

  /** @param isOn whether members tell their digests. */
  constructor(isOn: boolean, parts: CatchUpParts) {
    this.#isOn = isOn;
    this.#parts = parts;
  }

  /** What a ping or an ack said of its sender's view. Whether that is now on its way to ours. */
  handleDigest(nowMs: number, from: MemberHandle, low: number, high: number): boolean {
    const { self, digest, roster } = this.#parts;
    if (!this.#isOn || from === self || !roster.isLive(from) || digest.equals(low, high)) return false;
    const missed = digest.changedSince(low, high, mostTold);
    if (missed === null || missed.some((member) => !this.#mayTell(nowMs, member))) return false;
    for (const member of missed) this.#tell(from, member);
    this.told += missed.length;
    return true;
  }

  #mayTell(nowMs: number, member: MemberHandle): boolean {
    const { roster } = this.#parts;
    if (!roster.has(member) || roster.isHearsay(member)) return false;
    return roster.stateOf(member) !== MemberState.dead || nowMs - roster.changedAtMs(member) <= freshDeathMs;
  }

  #tell(to: MemberHandle, member: MemberHandle): void {
    const { self, roster, datagrams } = this.#parts;
    const [address, incarnation, state] = [roster.addressOf(to), roster.incarnationOf(member), roster.stateOf(member)];
    if (state === MemberState.dead) {
      datagrams.tellDeath(address, member, self, incarnation, Evidence.hearsay);
    } else if (state === MemberState.left) {
      datagrams.tellDeath(address, member, member, incarnation, Evidence.farewell);
    } else {
      const [meta, versions] = [roster.metaOf(member), roster.versionsOf(member)];
      datagrams.tellAlive(address, member, roster.addressOf(member), incarnation, meta, versions);
    }
  }
}
