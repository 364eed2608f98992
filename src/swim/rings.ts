import type { MemberHandle } from "../wire/addon.js";
import type { Directory } from "./effects.js";
import type { LiveWatcher } from "./roster.js";

/**
 * Ring k orders all members by a hash of (id, k). Four random rings make an expander: news passed along them reaches
 * everybody in about log4(n) hops, and each member hears it about four times (EXPERIMENTS A).
 */
export const ringCount = 4;

interface Neighbours {
  readonly size: number;
  members(): IterableIterator<MemberHandle>;
  isLive(member: MemberHandle): boolean;
}

/**
 * The live member that follows us on each ring. A comparison when somebody comes; all are looked through again only
 * after a successor went, when its ring is next asked for.
 */
export class Rings implements LiveWatcher {
  readonly #self: MemberHandle;
  readonly #directory: Pick<Directory, "ringKey">;
  readonly #successors = new Uint32Array(ringCount);
  /** From us to the successor, in ring order. */
  readonly #distances = new Uint32Array(ringCount);
  readonly #keys = new Uint32Array(ringCount);
  #isStale = true;

  constructor(self: MemberHandle, directory: Pick<Directory, "ringKey">) {
    this.#self = self;
    this.#directory = directory;
    for (let ring = 0; ring < ringCount; ring++) this.#keys[ring] = directory.ringKey(self, ring);
  }

  /** The successor on a ring; 0 when we are alone. */
  successor(ring: number, roster: Neighbours): MemberHandle {
    if (this.#isStale) this.#lookThrough(roster);
    return this.#successors[ring] as MemberHandle;
  }

  /** The different successors on the first rings. */
  successors(rings: number, roster: Neighbours): MemberHandle[] {
    const different: MemberHandle[] = [];
    for (let ring = 0; ring < Math.min(rings, ringCount); ring++) {
      const member = this.successor(ring, roster);
      if (member !== 0 && !different.includes(member)) different.push(member);
    }
    return different;
  }

  handleCame(member: MemberHandle): void {
    if (!this.#isStale && member !== this.#self) this.#compare(member);
  }

  handleWent(member: MemberHandle): void {
    if (this.#successors.includes(member)) this.#isStale = true;
  }

  #lookThrough(roster: Neighbours): void {
    this.#isStale = false;
    this.#successors.fill(0);
    for (const member of roster.members()) {
      if (member !== this.#self && roster.isLive(member)) this.#compare(member);
    }
  }

  #compare(member: MemberHandle): void {
    for (let ring = 0; ring < ringCount; ring++) {
      const distance = (this.#directory.ringKey(member, ring) - (this.#keys[ring] as number)) >>> 0;
      if (this.#successors[ring] !== 0 && distance >= (this.#distances[ring] as number)) continue;
      this.#successors[ring] = member;
      this.#distances[ring] = distance;
    }
  }
}
