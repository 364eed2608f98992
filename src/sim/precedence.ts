import type { ObservedChange, Observer } from "../swim/observer.js";
import { unheardOf } from "../swim/observer.js";
import type { MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";

/** Of what a core tells, only what becomes of members. */
export class StateObserver implements Observer {
  readonly #tell: (member: MemberHandle, change: ObservedChange) => void;

  constructor(tell: (member: MemberHandle, change: ObservedChange) => void) {
    this.#tell = tell;
  }

  became(_nowMs: number, member: MemberHandle, change: ObservedChange): void {
    this.#tell(member, change);
  }

  probeStarted(): void {}
  probeEnded(): void {}
  suspected(): void {}
  refuted(): void {}
  healthChanged(): void {}
  quarantined(): void {}
}

/**
 * What is wrong with a change of state after the last one of the same member at the same node, or null. Within an
 * incarnation it goes from alive to suspect to dead to left, never back; a later incarnation may be anything. A name
 * that was free to take begins anew (M-171), as does one that was forgotten.
 */
export function backwardStep(last: ObservedChange | undefined, change: ObservedChange): string | null {
  const { before, after, incarnation } = change;
  if (last === undefined || before === unheardOf) return null;
  if (before === MemberState.left && after === MemberState.alive) return null;
  const isLater = incarnation > last.incarnation || (incarnation === last.incarnation && after > last.after);
  if (isLater) return null;
  const [from, to] = [last.after, after].map((state) => MemberState[state]);
  return `${from} ${last.incarnation} became ${to} ${incarnation}`;
}
