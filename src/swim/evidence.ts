import type { MemberHandle } from "../wire/addon.js";

/** What a member is accused of by hosts that refused datagrams for it, at one incarnation. */
interface Refusals {
  readonly incarnation: number;
  readonly observers: Set<MemberHandle>;
}

/** After a member came back from refusals, further ones count for nothing until this time. */
interface Distrust {
  readonly untilMs: number;
  readonly spanMs: number;
}

/**
 * Its process may be restarting, or its port closed to some of us by a firewall that rejects: then it would be declared
 * dead again and again, so the time doubles with each return that follows soon.
 */
const distrustMs = 60_000;
const mostDistrustMs = 3_600_000;

/**
 * Strong evidence (ARCHITECTURE 5.7): the host of a member says that nobody listens at its port. Counts independent
 * observers, for each member and incarnation.
 */
export class RefusedEvidence {
  readonly #refusals = new Map<MemberHandle, Refusals>();
  readonly #distrust = new Map<MemberHandle, Distrust>();

  /** How many have seen it, this one included; 0 while the member's refusals count for nothing. */
  note(nowMs: number, member: MemberHandle, observer: MemberHandle, incarnation: number): number {
    if ((this.#distrust.get(member)?.untilMs ?? 0) > nowMs) return 0;
    let refusals = this.#refusals.get(member);
    if (refusals?.incarnation !== incarnation) {
      refusals = { incarnation, observers: new Set() };
      this.#refusals.set(member, refusals);
    }
    refusals.observers.add(observer);
    return refusals.observers.size;
  }

  /** How many have seen it so far. */
  observers(member: MemberHandle, incarnation: number): number {
    const refusals = this.#refusals.get(member);
    return refusals?.incarnation === incarnation ? refusals.observers.size : 0;
  }

  /** The member is there after all. */
  handleBack(nowMs: number, member: MemberHandle): void {
    if (!this.#refusals.delete(member)) return;
    for (const [other, { untilMs, spanMs }] of this.#distrust) {
      if (nowMs - untilMs > spanMs) this.#distrust.delete(other);
    }
    const lastMs = this.#distrust.get(member)?.spanMs ?? 0;
    const spanMs = Math.min(Math.max(2 * lastMs, distrustMs), mostDistrustMs);
    this.#distrust.set(member, { untilMs: nowMs + spanMs, spanMs });
  }
}
