import type { MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { Directory } from "./effects.js";
import type { LiveWatcher } from "./roster.js";

/** Rings beyond those that news travels on: their keys are two hashes of an id. */
const lowRing = 4;
const highRing = 5;

/** Changes that are remembered. */
const keptChanges = 16;

/**
 * A 64-bit hash over (id, incarnation) of everybody live, in any order (ARCHITECTURE 5.11): two members whose digests
 * are equal know the same. A suspect counts as alive, and the gone count as absent, since they are forgotten at
 * different times.
 */
export class ViewDigest implements LiveWatcher {
  low = 0;
  high = 0;
  /** Since it was last published. */
  isChanged = false;
  /** What we were before each of the last changes, and whose they were; the oldest is overwritten. */
  readonly #lowBefore = new Uint32Array(keptChanges);
  readonly #highBefore = new Uint32Array(keptChanges);
  readonly #changed = new Uint32Array(keptChanges);
  #changes = 0;
  readonly #directory: Pick<Directory, "ringKey">;

  constructor(directory: Pick<Directory, "ringKey">) {
    this.#directory = directory;
  }

  handleCame(member: MemberHandle, incarnation: number): void {
    this.#remember(member);
    this.#toggle(member, incarnation);
  }

  handleWent(member: MemberHandle, incarnation: number): void {
    this.#remember(member);
    this.#toggle(member, incarnation);
  }

  handleRaised(member: MemberHandle, before: number, incarnation: number): void {
    this.#remember(member);
    this.#toggle(member, before);
    this.#toggle(member, incarnation);
  }

  equals(low: number, high: number): boolean {
    return low === this.low && high === this.high;
  }

  /**
   * Whom the last changes concerned since the digest was this one: what its sender has missed; null when there are
   * more than `most`, or when we never were what it is.
   */
  changedSince(low: number, high: number, most: number): MemberHandle[] | null {
    const members = new Set<MemberHandle>();
    for (let change = this.#changes - 1; change >= Math.max(0, this.#changes - keptChanges); change--) {
      const at = change % keptChanges;
      members.add(this.#changed[at] as MemberHandle);
      if (members.size > most) return null;
      if (this.#lowBefore[at] === low && this.#highBefore[at] === high) return [...members];
    }
    return null;
  }

  #remember(member: MemberHandle): void {
    const at = this.#changes++ % keptChanges;
    this.#lowBefore[at] = this.low;
    this.#highBefore[at] = this.high;
    this.#changed[at] = member;
  }

  /** Puts a live member in, or takes it out. */
  #toggle(member: MemberHandle, incarnation: number): void {
    this.low = (this.low ^ mixed(this.#directory.ringKey(member, lowRing), incarnation)) >>> 0;
    this.high = (this.high ^ mixed(this.#directory.ringKey(member, highRing), ~incarnation)) >>> 0;
    this.isChanged = true;
  }
}

/**
 * 32 bits for who, at what incarnation, and live, dead or left. The salt is another one each time, so that two that
 * collide do so once.
 */
export function fingerprintOf(
  directory: Pick<Directory, "ringKey">,
  member: MemberHandle,
  incarnation: number,
  state: MemberState,
  salt: number,
): number {
  const kind = state === MemberState.suspect ? MemberState.alive : state;
  return mixed(directory.ringKey(member, lowRing) ^ Math.imul(salt, 0x9e3779b1), Math.imul(incarnation, 4) + kind);
}

/** The finalizer of MurmurHash3. */
function mixed(key: number, value: number): number {
  let hash = key ^ Math.imul(value, 0xcc9e2d51);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
