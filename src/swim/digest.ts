import type { MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { Directory } from "./effects.js";
import type { LiveWatcher } from "./roster.js";

/** Rings beyond those that news travels on: their keys are two hashes of an id. */
const lowRing = 4;
const highRing = 5;

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
  readonly #directory: Pick<Directory, "ringKey">;

  constructor(directory: Pick<Directory, "ringKey">) {
    this.#directory = directory;
  }

  handleCame(member: MemberHandle, incarnation: number): void {
    this.#toggle(member, incarnation);
  }

  handleWent(member: MemberHandle, incarnation: number): void {
    this.#toggle(member, incarnation);
  }

  handleRaised(member: MemberHandle, before: number, incarnation: number): void {
    this.#toggle(member, before);
    this.#toggle(member, incarnation);
  }

  equals(low: number, high: number): boolean {
    return low === this.low && high === this.high;
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
