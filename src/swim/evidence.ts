import type { MemberHandle } from "../wire/addon.js";

/** What a member is accused of by hosts that refused datagrams for it, at one incarnation. */
interface Refusals {
  readonly incarnation: number;
  readonly observers: Set<MemberHandle>;
}

/**
 * How long refusals of a member count for nothing after it came back from them: its port may be closed to some of us by
 * a firewall that rejects, and its process may be restarting.
 */
const distrustMs = 60_000;

/**
 * Strong evidence (ARCHITECTURE 5.7): the host of a member says that nobody listens at its port. Counts independent
 * observers, for each member and incarnation.
 */
export class RefusedEvidence {
  readonly #refusals = new Map<MemberHandle, Refusals>();
  readonly #distrustedUntilMs = new Map<MemberHandle, number>();

  /** How many have seen it, this one included; 0 while the member's refusals count for nothing. */
  note(nowMs: number, member: MemberHandle, observer: MemberHandle, incarnation: number): number {
    if ((this.#distrustedUntilMs.get(member) ?? 0) > nowMs) return 0;
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
    for (const [other, untilMs] of this.#distrustedUntilMs) {
      if (untilMs <= nowMs) this.#distrustedUntilMs.delete(other);
    }
    this.#distrustedUntilMs.set(member, nowMs + distrustMs);
  }
}
