import type { VersionRange } from "./options.js";

/**
 * What the application may plug into a node. All methods are optional and run on the JavaScript thread. What one throws
 * becomes an `error` event. The questions (`allow...` and `localState`) must be answered at once, and without calling
 * the node: one that returns a promise has failed. The others may return promises, but for the simulator, whose time
 * stands still while they run.
 */
export interface Delegates {
  /**
   * The application's state, sent with every state sync in both directions (M-084); at most maxMessageBytes. Nothing is
   * sent, and an `error` event tells of it, when it throws or returns anything else.
   * @param join whether the sync is a join.
   */
  localState?(join: boolean): Uint8Array;
  /** The other side's application state, after the memberships were merged. Not called when it is empty. */
  mergeRemoteState?(state: Uint8Array, join: boolean): void;
  /**
   * Asked on both ends of a join, before anything is merged on either and before the joiner learns of us (E-75).
   * Return a reason to refuse, return nothing to agree. One that throws refuses.
   */
  allowMerge?(members: readonly MemberClaim[]): string | undefined;
  /** Asked for every alive that would change something. False drops it (M-088). */
  allowAlive?(member: MemberClaim): boolean;
  /** Asked before an unresponsive member is pinged over TCP, while tcpPing is on (M-056). One that throws agrees. */
  allowTcpPing?(member: string): boolean;
  /**
   * A known name is claimed by another address; the claim was ignored (M-086). Told by gossip and by syncs, again and
   * again while both run, and sometimes of one who has just come back at another address, by news of before.
   */
  onConflict?(conflict: Conflict): void;
  /**
   * A probe was answered directly, after so many milliseconds (M-089).
   * @param payload what the member gave to setAckPayload(); mostly empty.
   */
  onRoundTrip?(member: string, rttMs: number, payload: Uint8Array): void;
}

/** A member as somebody else claims it to be. */
export interface MemberClaim {
  readonly name: string;
  /** `ip:port`. */
  readonly address: string;
  readonly state: MemberStateName;
  readonly meta: Uint8Array;
  /** The gossip protocol it speaks and those it understands; null when it did not say. */
  readonly protocol: VersionRange | null;
  /** The same of the application's own protocol (`applicationVersion`). */
  readonly application: VersionRange | null;
}

export interface Conflict {
  readonly name: string;
  /** Where we know the member to be. */
  readonly address: string;
  /** Where the other one claims to be. */
  readonly claimedBy: string;
}

export type MemberStateName = "alive" | "suspect" | "dead" | "left";

/**
 * Why a member is accused. `timeout`: it did not answer a probe. `refused`: its host says that nobody listens.
 * `hearsay`: learnt from a state sync. `farewell`: it said itself that it leaves. `expired`: a suspicion ran out.
 * `conceded`: it found itself that its links are bad, and stays out until they are good (quarantineMs).
 */
export type EvidenceName = "timeout" | "refused" | "hearsay" | "farewell" | "expired" | "conceded";

/** A member that was suspected or declared dead. */
export interface AccusedMember extends Member {
  /** Who accused it or declared it dead; empty when that is no known member. */
  readonly accusedBy: string;
  readonly evidence: EvidenceName;
}

/** A member as this node knows it: a frozen snapshot. */
export interface Member {
  readonly name: string;
  /** `ip:port`, for UDP and TCP. */
  readonly address: string;
  readonly state: MemberStateName;
  /** Grows with every change that the member announces about itself. */
  readonly incarnation: number;
  readonly meta: Uint8Array;
  /** The gossip protocol it speaks and those it understands; null when it did not say. */
  readonly protocol: VersionRange | null;
  /** The same of the application's own protocol (`applicationVersion`). */
  readonly application: VersionRange | null;
}

/** A user payload. */
export interface Message {
  /** Name of the sender, or of the origin of a broadcast; empty when the sender of a datagram is no known member. */
  readonly from: string;
  readonly payload: Uint8Array;
  /** Sent to this node alone, not broadcast. */
  readonly direct: boolean;
  /** Came over TCP; its sender got a receipt. */
  readonly reliable: boolean;
}

/**
 * What became of a broadcast: `sent` as often as retransmitMult asks for, which is not a receipt; `replaced` by a newer
 * one; `pruned` from a full queue; `closed` with the node.
 */
export type BroadcastOutcome = "sent" | "replaced" | "pruned" | "closed";

/** A broadcast on its way. */
export interface Broadcast {
  /** Settles when this node no longer sends it (M-083); alone in the cluster that takes until somebody joins. */
  readonly finished: Promise<BroadcastOutcome>;
}

/** Events of a node and what their listeners get. */
export interface NodeEvents {
  /** A member is new, or is back after it left. */
  join: Member;
  /** A member changed its metadata. */
  update: Member;
  /** A member left in good order. */
  leave: Member;
  /** A member is suspected; it may refute. For observers. */
  suspect: AccusedMember;
  /** A member was declared dead. */
  fail: AccusedMember;
  /** A member that was declared dead is alive. */
  recover: Member;
  message: Message;
  /** A listener or delegate threw, or a background exchange failed in a way worth knowing. */
  error: Error;
}

export type NodeEventName = keyof NodeEvents;

/** One event as the async iterator gives it. */
export type NodeEvent = { [E in NodeEventName]: { readonly type: E; readonly detail: NodeEvents[E] } }[NodeEventName];
