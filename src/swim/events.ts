import type { MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";

export const EventKind = {
  join: "join",
  update: "update",
  leave: "leave",
  fail: "fail",
  recover: "recover",
  suspect: "suspect",
} as const;
export type EventKind = (typeof EventKind)[keyof typeof EventKind];

/** What changed, told once per change. `suspect` is for observers; applications act on the other five. */
export interface MemberEvent {
  readonly kind: EventKind;
  readonly member: MemberHandle;
  readonly incarnation: number;
  /** Who accused, for suspect and fail; 0 otherwise. */
  readonly from: MemberHandle;
  /** Evidence of the accusation, for suspect and fail. */
  readonly evidence: number;
}

/** What an alive is to the application, which knew the member in the state `told`; null: nothing new. */
export function eventOfAlive(told: MemberState, changed: boolean): EventKind | null {
  if (told === MemberState.dead) return EventKind.recover;
  if (told === MemberState.left) return EventKind.join;
  return changed ? EventKind.update : null;
}
