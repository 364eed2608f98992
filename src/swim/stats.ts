import { MemberState } from "../wire/generated/wire/member-state.js";
import type { Awareness } from "./awareness.js";
import type { CatchUp } from "./catch_up.js";
import type { Errands } from "./errand.js";
import type { Membership } from "./membership.js";
import type { Prober } from "./prober.js";
import type { Quarantine } from "./quarantine.js";
import type { Reconciler } from "./reconcile.js";
import type { Reconnect } from "./reconnect.js";
import type { Roster } from "./roster.js";
import type { Sync } from "./sync.js";

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
  /** Times that this node stayed out because its links were bad, and whether it does now: 1 or 0. */
  readonly quarantines: number;
  readonly quarantined: number;
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
  /** Records told to members that a digest showed to be just behind. */
  readonly caughtUp: number;
  /** Dead members that are tried again now and then. */
  readonly remembered: number;
  /** How often one of them was tried. */
  readonly reconnects: number;
  readonly syncsFailed: number;
  readonly refusals: number;
}

/** The parts of a core that count. */
export interface Counting {
  readonly roster: Roster;
  readonly awareness: Awareness;
  readonly prober: Prober;
  readonly membership: Membership;
  readonly quarantine: Quarantine;
  readonly errands: Errands;
  readonly sync: Sync;
  readonly catchUp: CatchUp;
  readonly reconciler: Reconciler;
  readonly reconnect: Reconnect;
  readonly syncsFailed: number;
  readonly refusals: number;
}

export function statsOf(parts: Counting): SwimStats {
  const { awareness, prober, membership, quarantine, errands, sync, reconciler, reconnect } = parts;
  return {
    ...countsOf(parts.roster),
    health: awareness.score,
    probes: prober.started,
    failedProbes: prober.failed,
    inconclusiveProbes: prober.inconclusive,
    refutations: membership.own.refutations,
    suspicionsRaised: membership.suspicionsRaised,
    conflicts: membership.conflicts + membership.own.conflicts,
    quarantines: quarantine.entered,
    quarantined: quarantine.isOn ? 1 : 0,
    ...membership.gate.refusals,
    errandsRefused: errands.refused,
    syncsMerged: sync.merged,
    reconciliations: reconciler.started,
    caughtUp: parts.catchUp.told,
    remembered: reconnect.size,
    reconnects: reconnect.tried,
    syncsFailed: parts.syncsFailed,
    refusals: parts.refusals,
  };
}

/** Members by state. */
function countsOf(roster: Roster): Pick<SwimStats, "members" | "alive" | "suspect" | "dead" | "left"> {
  return {
    members: roster.liveCount,
    alive: roster.count(MemberState.alive),
    suspect: roster.count(MemberState.suspect),
    dead: roster.count(MemberState.dead),
    left: roster.count(MemberState.left),
  };
}
