import type { Config } from "../config.js";
import { scaledSuspicionMs } from "../swim/suspicion.js";

/** Different digests in a row before views are compared (src/swim/reconcile.ts), and the probes that bring them. */
const probesToNotice = 5;
/** The dead are tried once in 10 s or in a tenth of the time that they are dead (src/swim/reconnect.ts). */
const reconnectGapMs = 10_000;
/** Tries are random: so many mean gaps pass without one in e^-7, a thousandth. */
const gapsToMeet = 7;

/** Half of the probes that a quarantine looks at were failed ones, and its longest is so many times the first. */
const probesToClear = 20;
const mostQuarantines = 16;

/** Suspicions of one member end after so long at the latest (M-114, Lifeguard section IV.B). */
export function suspicionBoundMs(config: Config, members: number): number {
  const { suspicionMult, suspicionMinMs, suspicionMaxTimeoutMult, probeIntervalMs } = config;
  const leastMs = suspicionMinMs || scaledSuspicionMs(suspicionMult, members, probeIntervalMs);
  return suspicionMaxTimeoutMult * leastMs;
}

/**
 * News is everywhere after so long: gossiped until every holder has sent it as often as its transmit limit says
 * (M-130), one datagram a tick to each target, and then compared by whoever missed it (ARCHITECTURE 5.11).
 */
export function spreadBoundMs(config: Config, members: number): number {
  const { gossipIntervalMs, retransmitMult, probeIntervalMs, digestSyncIntervalMs } = config;
  const gossipMs = gossipIntervalMs * retransmitMult * Math.ceil(Math.log10(members + 1));
  return gossipMs + probesToNotice * probeIntervalMs + digestSyncIntervalMs;
}

/** A death has to reach its member, and the refutation everybody else. */
export function refutationBoundMs(config: Config, members: number): number {
  return 2 * spreadBoundMs(config, members);
}

/** Good links for its time bring a member back (src/swim/quarantine.ts), twice the time with every one before. */
export function quarantineBoundMs(config: Config, faultyMs: number): number {
  const { quarantineMs, probeIntervalMs } = config;
  if (quarantineMs === 0) return 0;
  const times = Math.ceil(faultyMs / quarantineMs);
  // The last bad probe was begun in the last faulty moment; health may have scaled its time-outs.
  return quarantineMs * Math.min(2 ** times, mostQuarantines) + probesToClear * probeIntervalMs;
}

/**
 * After faults that lasted so long, all views are equal: whoever is gone is probed within one sweep and suspected for
 * as long as can be, meanwhile the parts find each other (ARCHITECTURE 5.12), and what they say of each other is
 * refuted.
 */
export function healBoundMs(config: Config, members: number, faultyMs: number): number {
  const judgedMs = members * config.probeIntervalMs + suspicionBoundMs(config, members);
  const metMs = gapsToMeet * Math.max(reconnectGapMs, faultyMs / 10);
  return Math.max(judgedMs, metMs) + refutationBoundMs(config, members);
}
