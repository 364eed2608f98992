import type { MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import { RecordKind } from "../wire/generated/wire/record-kind.js";
import { incarnationDistance } from "./member.js";
import type { Roster } from "./roster.js";

/**
 * Whether an alive, suspect or death of another member would change nothing: two reads, and in a large
 * cluster the answer for almost all gossip. Says no when in doubt.
 */
export function isStale(roster: Roster, kind: RecordKind, subject: MemberHandle, incarnation: number): boolean {
  if (!roster.has(subject)) return false;
  const distance = incarnationDistance(roster.incarnationOf(subject), incarnation);
  const state = roster.stateOf(subject);
  switch (kind) {
    case RecordKind.alive:
      // A left or dead member's name may be reclaimed at any incarnation.
      return distance <= 0 && state <= MemberState.suspect;
    case RecordKind.suspect:
      return distance < 0 || (distance === 0 && state > MemberState.suspect);
    case RecordKind.death:
      return distance < 0 || (distance === 0 && state === MemberState.left);
    default:
      return false;
  }
}
