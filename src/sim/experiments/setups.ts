import { type GossipOptions, memberlistRules } from "../../config.js";

/** How the members of an experiment are configured. */
export interface Setup {
  readonly name: string;
  readonly options: Partial<GossipOptions>;
  readonly buddy?: boolean;
}

/** Another setup with some options changed, and what that means in words. */
export function changed(base: Setup, what: string, options: Setup["options"]): Setup {
  return { ...base, name: `${base.name}, ${what}`, options: { ...base.options, ...options } };
}

/** What only tattler has, turned off. */
const without = { ...memberlistRules, deafLimitMs: 0, stallToleranceMs: 0 } as const;

/** The rules and timings of memberlist's DefaultLANConfig. */
export const memberlist: Setup = { name: "memberlist's rules", options: without };

/** What tattler began with: memberlist's timings, refusals as evidence, and nobody judges who is deaf. */
export const before: Setup = { name: "tattler before", options: { ...memberlistRules, refusedConfirmations: 2 } };

/** The defaults. */
export const tattler: Setup = { name: "tattler", options: {} };

/** Lifeguard's baseline: memberlist with a fixed suspicion time-out (alpha 5) and without local health. */
const fixed = { suspicionMult: 5, suspicionMaxTimeoutMult: 1 } as const;
const unaware = { awarenessMaxMultiplier: 1 } as const;

/** Lifeguard, section V: alpha 5, beta 6, K 3. */
export const swim: Setup = { name: "SWIM", options: { ...without, ...fixed, ...unaware }, buddy: false };
export const lhaProbe: Setup = { name: "LHA-Probe", options: { ...without, ...fixed }, buddy: false };
export const lhaSuspicion: Setup = {
  name: "LHA-Suspicion",
  options: { ...without, ...unaware, suspicionMult: 5 },
  buddy: false,
};
export const buddySystem: Setup = { name: "Buddy System", options: { ...without, ...fixed, ...unaware } };
export const lifeguard: Setup = { name: "Lifeguard", options: { ...without, suspicionMult: 5 } };

/** Memberlist's rules with a suspicion of 2 x log(n) periods: 4.2 s at 128 members (EXPERIMENTS E). */
export const hasty: Setup = changed(memberlist, "suspicion 4.2 s", { suspicionMult: 2 });

/** Full Lifeguard with other timings (table VII); alpha at least 3 for a confirmation to count. */
export function tuned(alpha: number, beta: number): Setup {
  const options = { ...without, suspicionMult: alpha, suspicionMaxTimeoutMult: beta };
  return { name: `Lifeguard, alpha ${alpha}, beta ${beta}`, options };
}

/**
 * SWIM as published in 2002: news travels on probes only, one helper, no TCP, a suspicion of 3 x log(n) periods. Its
 * members take the next in a shuffled round (section 4.3).
 */
export const swim2002: Setup = {
  name: "SWIM 2002",
  options: {
    ...without,
    ...unaware,
    gossipIntervalMs: 0,
    pushPullIntervalMs: 0,
    tcpPing: false,
    indirectChecks: 1,
    retransmitMult: 3,
    suspicionMult: 3,
    suspicionMaxTimeoutMult: 1,
  },
  buddy: false,
};

export const rivals: readonly Setup[] = [memberlist, tattler];
/** Where rules of our own are weighed. */
export const steps: readonly Setup[] = [memberlist, before, tattler];
