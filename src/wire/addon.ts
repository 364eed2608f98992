/**
 * The shape of the native addon: what C++ offers to TypeScript. native/README.md is the contract in prose.
 *
 * Members and socket addresses are small integers ("handles") interned in a hub; 0 means unknown.
 * All methods must be called on the thread that created the hub.
 */

import type { PackedVersions } from "./versions.js";

/** A member name, interned. Dense from 1; reused only after every reader of the old meaning is done. */
export type MemberHandle = number;
/** A socket address (IP and port), interned. */
export type AddressHandle = number;

/** Numbers of the memory layout, exported by the addon so that they are written down once. */
export interface Layout {
  /** 32-bit words of one descriptor. */
  readonly recordWords: number;
  readonly kind: number;
  readonly endpoint: number;
  /** Member the record is about. */
  readonly subject: number;
  /** Accuser, origin of a message, or sender of a ping, ack, nack or ping request. */
  readonly from: number;
  readonly incarnation: number;
  readonly seq: number;
  readonly flags: number;
  /** Where the datagram came from; for `refused` the destination that refused. */
  readonly source: number;
  /** Slab offset of the FlatBuffer table or struct; of the payload bytes for messages and acks. */
  readonly offset: number;
  readonly length: number;
  /** Address of a ping request's target, or of the known member an alive is about; 0 when it is not interned. */
  readonly address: number;
  /** Slab offset of the datagram's prefix: 16 bytes of IP (IPv4 mapped into IPv6), 2 bytes of port (little endian). */
  readonly prefix: number;
  /** Index, in units of 8 bytes, of the receive time inside the record. */
  readonly receivedAtFloat64: number;
  /** Digest of a ping or ack; sequence of a message. */
  readonly wideLow: number;
  readonly wideHigh: number;
  readonly flagAnswered: number;
  readonly flagDirect: number;
  /** Evidence sits in flags >> evidenceShift. */
  readonly evidenceShift: number;
  /** The hops of a message sit in flags >> hopsShift. */
  readonly hopsShift: number;
  readonly headerBytes: number;
  readonly tagBytes: number;
  readonly countersPerEndpoint: number;
  readonly maxAckPayloadBytes: number;
}

export interface HubOptions {
  /** `linux` and `posix` start an I/O thread with that back end; `manual` has no thread and no socket. */
  readonly backend: "linux" | "posix" | "manual";
  /** Descriptor ring; ringRecords x recordWords x 4 bytes, ringRecords a power of two. */
  readonly ring: ArrayBuffer;
  readonly slab: ArrayBuffer;
  /** maxEndpoints x countersPerEndpoint x 8 bytes. */
  readonly counters: ArrayBuffer;
  /** maxEndpoints x 8 bytes: when each endpoint last opened a datagram of another member. */
  readonly heard: ArrayBuffer;
  readonly maxEndpoints: number;
  /** Capacity of the transmit ring in bytes. */
  readonly transmitBytes: number;
  /** Largest datagram sent or received, header and tag included. */
  readonly maxDatagramBytes: number;
  /** Overwrite slab bytes once consumed, so that a kept view shows. For tests. */
  readonly poison: boolean;
}

export interface EndpointOptions {
  /** 16 bytes; IPv4 mapped into IPv6. Ignored by a manual hub. */
  readonly ip: Uint8Array;
  /** 0 picks a free one. */
  readonly port: number;
  readonly self: MemberHandle;
  readonly cluster: string;
  readonly keyring: Keyring | null;
  /** Milliseconds without a drain by JS after which pings stay unanswered; 0 = JS answers. */
  readonly stallToleranceMs: number;
  /** Pings and ping requests of one source per second that are served, with bursts of twice as many; 0: all. */
  readonly pingsPerSecond: number;
  /** Bytes of one datagram, header and tag included. */
  readonly datagramBytes: number;
  readonly retransmitMult: number;
  /** Most records the broadcast queue holds per class before the most sent are pruned. */
  readonly queueRecords: number;
  /** Share of each gossip datagram kept for user messages while some wait, 0 to 1. */
  readonly messageShare: number;
  /** Whether news starts with half its transmits, and hearing it counts as one more. Default false. */
  readonly gossipFeedback?: boolean;
  /** Members that everybody forwards urgent news to at once: heard from as many, it is out. Default 0. */
  readonly urgentFanout?: number;
  /** Networks that datagrams may come from, 17 bytes each: prefix, and length in bits of 128. Left out: any. */
  readonly networks?: Uint8Array | undefined;
}

export interface Hub {
  /** Monotonic milliseconds, the clock of every receive time. A manual hub returns what deliver() last gave. */
  nowMs(): number;
  /** Descriptors ready to be read, from ring index readIndex() on (modulo the ring size). */
  poll(): number;
  readIndex(): number;
  /** Gives the first `count` descriptors and their slab bytes back. Views into them end here. */
  consume(count: number): void;
  /** Every datagram that reached a socket of this hub before this time is in the ring, and no send waits. */
  drainedThroughMs(): number;
  /** Asks the I/O thread to empty all sockets; it wakes JS when drainedThroughMs() has moved past now. */
  requestDrain(): void;
  /** Lets the I/O thread send what the endpoints composed. */
  flush(): void;

  /** Handle of a name, created on first use; adds one reference. 0 when the hub is full. */
  intern(name: string): MemberHandle;
  /** Handle of a known name, without a reference, or 0. */
  find(name: string): MemberHandle;
  /** False, and nothing is taken, of a released handle: a descriptor may still have one. */
  retain(member: MemberHandle): boolean;
  release(member: MemberHandle): void;
  nameOf(member: MemberHandle): string;
  idOf(member: MemberHandle): bigint;
  /** A hash of (id, ring), 32 bits. */
  ringKey(member: MemberHandle, ring: number): number;

  /** `ip` is 16 bytes, IPv4 mapped. Adds one reference. 0 when the hub is full. */
  internAddress(ip: Uint8Array, port: number): AddressHandle;
  retainAddress(address: AddressHandle): void;
  releaseAddress(address: AddressHandle): void;
  /** Writes the 16 bytes of IP into `ip` and returns the port. */
  addressOf(address: AddressHandle, ip: Uint8Array): number;

  open(options: EndpointOptions): Endpoint;
  /** Closes every endpoint, joins the I/O thread. Idempotent. */
  close(): void;

  /** Manual hub: hands a datagram to an endpoint as if received. False when it was dropped (see its counters). */
  deliver(
    endpoint: number,
    source: AddressHandle,
    datagram: Uint8Array,
    nowMs: number,
    /** False: pings in it have been acknowledged before, by answer(). Default true. */
    answers?: boolean,
  ): boolean;
  /** Manual hub: acknowledges the ping in a datagram that is to be delivered later. False when there is none. */
  answer(endpoint: number, source: AddressHandle, datagram: Uint8Array): boolean;
  /** Manual hub: copies the next outgoing datagram into `into`, fills info = [endpoint, address, length]. */
  takeOutgoing(into: Uint8Array, info: Uint32Array): boolean;
  /** Manual hub: forwards a plain body to the verifier and parser only, for fuzzing and benches. */
  parse(endpoint: number, body: Uint8Array, nowMs: number): boolean;
}

/** One socket, one identity, one broadcast queue. Sends return false when the transmit ring is full. */
export interface Endpoint {
  readonly index: number;
  readonly port: number;
  /** What the system granted for the socket's receive buffer. */
  readonly receiveBufferBytes: number;

  ping(to: AddressHandle, target: MemberHandle, seq: number): boolean;
  /** A ping that carries a suspicion of its target, so that it can refute at once. */
  pingAndAccuse(to: AddressHandle, target: MemberHandle, seq: number, incarnation: number, evidence: number): boolean;
  /** @param isOwn carries the ack payload; one that is passed on for another does not. */
  ack(to: AddressHandle, seq: number, isOwn: boolean): boolean;
  nack(to: AddressHandle, seq: number): boolean;
  pingRequest(to: AddressHandle, target: MemberHandle, targetAddress: AddressHandle, seq: number): boolean;
  /** One datagram filled from the broadcast queue. Returns the records in it; 0 = nothing to send, -1 = ring full. */
  gossip(to: AddressHandle): number;
  /**
   * One datagram of the queued urgent news, to each of the first `count` addresses. Returns the records in it; 0 =
   * none waits, -1 = too much of what was sent before has not left yet.
   */
  sendUrgent(targets: Uint32Array, count: number): number;
  /** A user payload to one address, not relayed. */
  message(to: AddressHandle, payload: Uint8Array): boolean;
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

  /** `versions` are packed (src/wire/versions.ts); negative or left out, none are sent. */
  queueAlive(
    subject: MemberHandle,
    address: AddressHandle,
    incarnation: number,
    meta: Uint8Array | null,
    versions?: PackedVersions,
    /** A refutation: keeps its whole transmit limit, and sendUrgent() forwards it. Default false. */
    isUrgent?: boolean,
  ): void;
  queueSuspect(subject: MemberHandle, from: MemberHandle, incarnation: number, evidence: number): void;
  queueDeath(
    subject: MemberHandle,
    from: MemberHandle,
    incarnation: number,
    evidence: number,
    isUrgent?: boolean,
  ): void;
  /**
   * A user broadcast of `origin`; false when it can never fit a datagram. A token other than 0 is reported by
   * takeFinished() once it is no longer sent; at most one queued message has it.
   */
  queueMessage(
    origin: MemberHandle,
    sequenceLow: number,
    sequenceHigh: number,
    payload: Uint8Array,
    token: number,
  ): boolean;
  /** Stops sending the queued message with this token, which is reported as replaced. False when it has ended. */
  withdrawMessage(token: number): boolean;
  /** Pairs of token and BroadcastEnd since the last call, in order. */
  takeFinished(): Uint32Array;
  /** Queues the alive, suspect, death or message at this ring index without decoding it. */
  relay(ringIndex: number, isUrgent?: boolean): void;
  /** True while a membership record about the member waits in the queue. */
  isQueued(subject: MemberHandle): boolean;
  /** Membership records waiting. */
  queueDepth(): number;
  messageDepth(): number;
  /** Whether either waits, in one call: it is asked for all the time. */
  hasNews(): boolean;
  /** Largest payload that message() and queueMessage() accept. */
  maxMessageBytes(): number;
  /** Members known; sets the transmit limit retransmitMult x ceil(log10(n + 1)) (M-130). */
  setClusterSize(members: number): void;
  setDigest(low: number, high: number): void;
  /** Copied into every ack of ours from now on, the instant ones too; null: none. At most maxAckPayloadBytes. */
  setAckPayload(payload: Uint8Array | null): void;
  /** Staged roll-out (M-061): whether plaintext is refused, and whether we seal what we send. Needs a keyring. */
  setEncryption(verifyIncoming: boolean, encryptOutgoing: boolean): void;

  /** Seals (or checksums) a Frame for a stream; `context` is authenticated with it. */
  seal(frame: Uint8Array, context: Uint8Array): Uint8Array;
  /** Opens and verifies a sealed Frame; the Counter of the reason when it is refused. */
  open(chunk: Uint8Array, context: Uint8Array): Uint8Array | number;
  /** Whether the bytes are a sound Frame; open() has checked what it returns, but not what is packed inside. */
  verifyFrame(frame: Uint8Array): boolean;

  /** Idempotent. */
  close(): void;
}

/** Keys of 16, 24 or 32 bytes. Changes take effect with the next datagram. */
export interface Keyring {
  /** Adds a key; the first becomes primary. Returns its key id. */
  add(key: Uint8Array): number;
  /** Makes an installed key the one to seal with. */
  use(keyId: number): boolean;
  /** Removes a key; false for the primary or an unknown one. */
  remove(keyId: number): boolean;
  /** Key ids, primary first. */
  ids(): number[];
}

export interface Addon {
  readonly layout: Layout;
  /** `onWake` is called again while it leaves something in the ring, unless it returns true: it comes by itself. */
  readonly Hub: new (
    options: HubOptions,
    onWake: () => unknown,
  ) => Hub;
  readonly Keyring: new () => Keyring;
  /** First 4 bytes of BLAKE2b(name): the cluster tag in every header. */
  clusterTag(cluster: string): number;
}
