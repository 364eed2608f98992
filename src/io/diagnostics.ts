import { channel } from "node:diagnostics_channel";
import type { EvidenceName, MemberStateName } from "../delegates.js";

/** On `tattler:probe`: a probe starts, or how it ended. */
export interface ProbeMessage {
  /** Name of the node that tells this. */
  readonly node: string;
  readonly member: string;
  /**
   * `direct`, `indirect` (through another member) and `tcp` are answers; `inconclusive`: nothing was heard from
   * anybody; `gone`: the member left or was declared dead meanwhile.
   */
  readonly how: "started" | "direct" | "indirect" | "tcp" | "failed" | "inconclusive" | "gone";
  /** Milliseconds from the first ping to the answer; null without one. */
  readonly rttMs: number | null;
  /** Lifeguard's local health score after it; 0 is healthy. */
  readonly health: number;
}

/** On `tattler:suspicion`: an accusation that counts. */
export interface SuspicionMessage {
  readonly node: string;
  /** The accused. */
  readonly member: string;
  /** `refuted`: it was about ourselves, and we refuted it. */
  readonly kind: "suspected" | "confirmed" | "refuted";
  /** Empty when the accuser is no known member. */
  readonly accusedBy: string;
  readonly evidence: EvidenceName;
  readonly incarnation: number;
  /** Independent accusers after the first. */
  readonly confirmations: number;
  /** Confirmations that bring the time-out down to its minimum. */
  readonly expectedConfirmations: number;
  /** Time from the first accusation to the verdict, as it now stands, in milliseconds; 0 when refuted. */
  readonly timeoutMs: number;
}

/** On `tattler:state`: a member, perhaps the node itself, came to another state. */
export interface StateMessage {
  readonly node: string;
  readonly member: string;
  /** Null: the node had not heard of it. */
  readonly from: MemberStateName | null;
  readonly to: MemberStateName;
  readonly incarnation: number;
  /** For alive `new`, `refuted`, `recovered` or `returned`; the evidence otherwise. */
  readonly why: "new" | "refuted" | "recovered" | "returned" | EvidenceName;
  /** Who accused it or declared it dead; the member itself when it left; empty otherwise. */
  readonly by: string;
}

/** On `tattler:drop`: what a node lost since the last such message, at most every 10 s. */
export interface DropMessage {
  readonly node: string;
  /** By the name of the counter in `node.stats.counters`; of `node.stats.streams` with `streams.` before it. */
  readonly drops: Readonly<Record<string, number>>;
}

/** Nothing is built for a channel that nobody subscribed to. */
export const channels = {
  probe: channel("tattler:probe"),
  suspicion: channel("tattler:suspicion"),
  state: channel("tattler:state"),
  drop: channel("tattler:drop"),
} as const;
