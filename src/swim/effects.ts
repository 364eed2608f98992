import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import type { PackedVersions } from "../wire/versions.js";
import type { MemberEvent } from "./events.js";
import type { Observer } from "./observer.js";

/**
 * The single outlet of the protocol core. Production, the in-memory transport and the simulator are three
 * implementations of these verbs; none of them may call back into the core before it returned.
 */
export interface Effects {
  readonly datagrams: Datagrams;
  readonly broadcasts: Broadcasts;
  readonly streams: Streams;
  readonly directory: Directory;
  /** Queued by the driver and given to user code after the core returned. */
  notify(event: MemberEvent): void;
  /** Whether a member may be at this address (M-183). Left out: anywhere. */
  mayBeAt?(ip: Uint8Array): boolean;
  /** Whether a new member may have this name (S-059). Left out: any. */
  mayBeCalled?(name: string): boolean;
  /** Another address claims the name of a known member (M-170). */
  notifyConflict?(member: MemberHandle, claimedBy: AddressHandle): void;
  /** For logs, diagnostics and history; nobody by default. */
  readonly observer?: Observer | undefined;
}

/** Best effort. A false return means the datagram was dropped here; the core treats it like loss. */
export interface Datagrams {
  ping(to: AddressHandle, target: MemberHandle, seq: number): boolean;
  pingAndAccuse(to: AddressHandle, target: MemberHandle, seq: number, incarnation: number, evidence: number): boolean;
  /** @param isOwn not an ack of another that is passed on: it carries the application's ack payload (M-089). */
  ack(to: AddressHandle, seq: number, isOwn: boolean): boolean;
  nack(to: AddressHandle, seq: number): boolean;
  pingRequest(to: AddressHandle, target: MemberHandle, targetAddress: AddressHandle, seq: number): boolean;
  /** Returns the records sent, 0 when the queue is empty, -1 when dropped. */
  gossip(to: AddressHandle): number;
  /**
   * One datagram of the urgent news queued, to each of the first `count` addresses. Returns the records sent; 0: none
   * waits; -1: too much of what was sent before has not left yet.
   */
  sendUrgent(targets: Uint32Array, count: number): number;
  /** One record to one member, past the queue. */
  tellAlive(
    to: AddressHandle,
    subject: MemberHandle,
    address: AddressHandle,
    incarnation: number,
    meta: Uint8Array | null,
    versions: PackedVersions,
  ): boolean;
  tellDeath(
    to: AddressHandle,
    subject: MemberHandle,
    from: MemberHandle,
    incarnation: number,
    evidence: number,
  ): boolean;
}

/**
 * The transmit-limited queue. A record replaces the queued one about the same subject. Urgent ones (deaths, leaves and
 * refutations that are news) also wait for sendUrgent().
 */
export interface Broadcasts {
  queueAlive(
    subject: MemberHandle,
    address: AddressHandle,
    incarnation: number,
    meta: Uint8Array | null,
    versions: PackedVersions,
    isUrgent: boolean,
  ): void;
  queueSuspect(subject: MemberHandle, from: MemberHandle, incarnation: number, evidence: number): void;
  queueDeath(subject: MemberHandle, from: MemberHandle, incarnation: number, evidence: number, isUrgent: boolean): void;
  /** Passes the received record at this ring index on, unchanged. */
  relay(ringIndex: number, isUrgent: boolean): void;
  isQueued(subject: MemberHandle): boolean;
  /** Whether membership records or user messages wait. */
  hasNews(): boolean;
  /** Called only when the number of digits changes, which is what transmit limits depend on. */
  setClusterSize(members: number): void;
  /** What pings and acks say of our view from now on; 0 and 0: nothing. */
  setDigest(low: number, high: number): void;
}

/** Reliable exchanges. Results come back through handleSync, handleSyncFailed and handleStreamAck. */
export interface Streams {
  /** Sends our state to the member and merges its answer. */
  sync(to: AddressHandle, member: MemberHandle): void;
  /** Compares our view with the member's, and trades what either lacks (see Sync). */
  reconcile(to: AddressHandle, member: MemberHandle): void;
  /** The TCP fallback ping; silence is the only sign of failure. */
  ping(to: AddressHandle, target: MemberHandle, seq: number, timeoutMs: number): void;
  /** Whether the application has a state of its own, which only syncs carry. */
  carriesState(): boolean;
}

/** Names and addresses as integers; every reference taken is given back. */
export interface Directory {
  intern(name: string): MemberHandle;
  /** Without taking a reference; 0 when unknown. */
  find(name: string): MemberHandle;
  /** False, and nothing is taken, of a handle that nobody refers to any more: a descriptor may still have one. */
  retain(member: MemberHandle): boolean;
  release(member: MemberHandle): void;
  nameOf(member: MemberHandle): string;
  /** Where the member stands on a ring, from 0 to 2^32 - 1: the same for every node (ARCHITECTURE 5.5). */
  ringKey(member: MemberHandle, ring: number): number;
  internAddress(ip: Uint8Array, port: number): AddressHandle;
  retainAddress(address: AddressHandle): void;
  releaseAddress(address: AddressHandle): void;
  /** Writes the 16 bytes of IP and returns the port. */
  addressOf(address: AddressHandle, ip: Uint8Array): number;
}
