import type { MemberHandle } from "../wire/addon.js";

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
