import { MemberState } from "../wire/generated/wire/member-state.js";
import type { Roster } from "./roster.js";

/** What the core counts. All since start, but for the member counts and health. */
export interface SwimStats {
  readonly members: number;
  readonly alive: number;
  readonly suspect: number;
  readonly dead: number;
  readonly left: number;
  /** Lifeguard's local health score, 0 = healthy. */
  readonly health: number;
  readonly probes: number;
  readonly failedProbes: number;
  readonly inconclusiveProbes: number;
  readonly refutations: number;
  readonly suspicionsRaised: number;
  readonly conflicts: number;
  /** Alives dropped because we and their member do not understand each other (M-154). */
  readonly incompatibleVersions: number;
  /** Alives dropped because no member can have such versions (M-159). */
  readonly impossibleVersions: number;
  /** Claims of an address outside `allow`, which were ignored. */
  readonly disallowed: number;
  /** Claims of a name with control characters, or one that `validateNames` forbids, which were ignored. */
  readonly misnamed: number;
  readonly errandsRefused: number;
  readonly syncsMerged: number;
  /** Comparisons of views that this node began because a digest differed. */
  readonly reconciliations: number;
  /** Dead members that are tried again now and then. */
  readonly remembered: number;
  /** How often one of them was tried. */
  readonly reconnects: number;
  readonly syncsFailed: number;
  readonly refusals: number;
}

/** Members by state. */
export function countsOf(roster: Roster): Pick<SwimStats, "members" | "alive" | "suspect" | "dead" | "left"> {
  return {
    members: roster.liveCount,
    alive: roster.count(MemberState.alive),
    suspect: roster.count(MemberState.suspect),
    dead: roster.count(MemberState.dead),
    left: roster.count(MemberState.left),
  };
}
