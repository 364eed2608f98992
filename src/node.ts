import { type Config, checkMeta, type GossipOptions, resolveConfig } from "./config.js";
import type { Broadcast, Delegates, Member, NodeEvent, NodeEventName, NodeEvents } from "./delegates.js";
import { tattlerError } from "./errors.js";
import { EventHub } from "./event_stream.js";
import { formatIp, parseAddress } from "./io/address.js";
import { type CounterName, readCounters } from "./io/counters.js";
import { depart } from "./io/depart.js";
import { type JoinResult, joinAll } from "./io/join.js";
import { loadAddon } from "./io/native.js";
import { type OpenedNode, openNode } from "./io/open.js";
import type { HistoryEntry } from "./io/past.js";
import type { PingReply } from "./io/pings.js";
import { type NameServer, resolve } from "./io/resolve.js";
import type { StreamStats } from "./io/streams.js";
import { NodeKeyring } from "./keyring.js";
import type { SwimStats } from "./swim/stats.js";

export type { CounterName } from "./io/counters.js";

export interface NodeStats extends SwimStats {
  /** Datagrams, bytes, drops by reason and more, since the node was created. See native/README.md. */
  readonly counters: Readonly<Record<CounterName, number>>;
  readonly streams: Readonly<StreamStats>;
  /** Membership records waiting to be gossiped. */
  readonly queueDepth: number;
  /** User broadcasts waiting to be gossiped. */
  readonly messageDepth: number;
  /** Copies of broadcasts that were not delivered again. */
  readonly duplicates: number;
  /** Broadcasts dropped because their origin is not a known member (yet): copies could not be told apart. */
  readonly unknownOrigins: number;
}

export interface SendOptions {
  /** Over TCP with a receipt instead of one datagram. Default false. */
  readonly reliable?: boolean;
  /** Deadline of a reliable send, in milliseconds. Default streamTimeoutMs. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface BroadcastOptions {
  /**
   * This node stops sending its earlier broadcast of the same name (M-022), of which some members then hear nothing:
   * for news where only the latest counts. Default: none is replaced.
   */
  readonly replaces?: string;
}

export interface PingOptions {
  /** How long to wait, in milliseconds. Default probeTimeoutMs. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface JoinOptions {
  /** Deadline for each look-up and for each address, in milliseconds. Default streamTimeoutMs. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Look-ups and addresses under way at the same time. Range 1 to 1,024. Default 8. */
  readonly parallel?: number;
  /**
   * Name server to ask, such as a `Resolver` of node:dns/promises with setServers(["127.0.0.1:8600"]). Default: the
   * system's resolver, hosts file included; for SRV records the name servers of the system.
   */
  readonly resolver?: NameServer;
}

/** Events that an iterator holds back for a slow reader. */
const iteratorCapacity = 1024;
const mostParallel = 1024;
const longestTimerMs = 0x7fffffff;

/**
 * A member of a gossip cluster: knows the others, tells when one fails, carries messages.
 *
 * Everything but close() fails with TATTLER_CLOSED once the node is closed.
 */
export class GossipNode {
  /** The keys of this node, to be rotated while it runs. */
  readonly keyring: NodeKeyring;
  readonly #config: Config;
  readonly #opened: OpenedNode;
  readonly #events: EventHub;
  #closing: Promise<void> | null = null;
  #leaving: Promise<boolean> | null = null;

  private constructor(config: Config, keyring: NodeKeyring, opened: OpenedNode, events: EventHub) {
    this.#config = config;
    this.keyring = keyring;
    this.#opened = opened;
    this.#events = events;
  }

  /**
   * Opens a UDP and a TCP socket on the same port and starts the protocol. Alone until join(), or until another joins.
   * Errors: TATTLER_OPTION_*, TATTLER_KEYRING_*, TATTLER_BIND_FAILED, TATTLER_ADDON_MISSING, TATTLER_ADVERTISE_MISSING.
   */
  static async create(options: GossipOptions, delegates: Delegates = {}): Promise<GossipNode> {
    const config = resolveConfig(options);
    const events = new EventHub();
    const keyring = await NodeKeyring.open(config, options.passphrase);
    const opened = await openNode(config, keyring.ring, delegates, (event, detail) => events.emit(event, detail));
    return new GossipNode(config, keyring, opened, events);
  }

  /** This node as the others see it. */
  get self(): Member {
    const { host, self } = this.#alive();
    return host.application.snapshot(self);
  }

  /** Everybody alive or suspected, this node included, as frozen snapshots. */
  get members(): readonly Member[] {
    const { host } = this.#alive();
    const members: Member[] = [];
    for (const member of host.swim.roster.members()) {
      if (host.swim.roster.isLive(member)) members.push(host.application.snapshot(member));
    }
    return members;
  }

  /** How many `members` there are; cheap. */
  get memberCount(): number {
    return this.#alive().host.swim.roster.liveCount;
  }

  /** One member by name, the dead and the left included as long as they are remembered. */
  member(name: string): Member | undefined {
    const { host, driver } = this.#alive();
    const handle = driver.directory.find(name);
    return host.swim.roster.has(handle) ? host.application.snapshot(handle) : undefined;
  }

  /**
   * The last 8 accusations of a member and what came of them, oldest first, as this node heard of them; also of one
   * that is no longer remembered as a member. Empty for who was never accused. Kept of `historyMembers` members.
   */
  history(name: string): readonly HistoryEntry[] {
    return this.#alive().host.past.entriesOf(name);
  }

  /** One line that says how a member is and, if it was declared dead, why: by whom, after what accusations. */
  explain(name: string): string {
    const { host } = this.#alive();
    return host.past.explain(name, host.swim.roster);
  }

  /** Counters and gauges. Costs some microseconds. */
  get stats(): NodeStats {
    const { host, driver, streams } = this.#alive();
    return {
      ...host.swim.stats(),
      counters: readCounters(driver, host.endpoint),
      streams: { ...streams.stats },
      queueDepth: host.endpoint.queueDepth(),
      messageDepth: host.endpoint.messageDepth(),
      duplicates: host.payloads.duplicates,
      unknownOrigins: host.payloads.unknownOrigins,
    };
  }

  /**
   * Trades states with the members at these addresses: `host[:port]`, `[ipv6]:port`, the port defaulting to our own;
   * `name/host:port`, where another member than the one of that name is refused and nothing traded; a service in DNS,
   * `_gossip._tcp.example.org` or `srv:<name>`, whose SRV records have hosts and ports. A host name stands for all its
   * IPv4 and IPv6 addresses. Resolves when at least one succeeded, with the fate of each; an address that leads to
   * ourselves is skipped. Errors: TATTLER_JOIN_FAILED with every reason, TATTLER_ABORTED, TATTLER_ADDRESS_INVALID,
   * TATTLER_ARGUMENT_INVALID, TATTLER_LEFT.
   */
  async join(addresses: readonly string[], options: JoinOptions = {}): Promise<JoinResult> {
    const isList = Array.isArray(addresses) && addresses.every((address) => typeof address === "string");
    if (!isList)
      throw badArgument("addresses", "it is not an array of texts", 'give an array such as ["10.0.0.7:7946"]');
    const { parallel = 1 } = options;
    if (!(Number.isInteger(parallel) && parallel >= 1 && parallel <= mostParallel))
      throw badArgument("parallel", `${parallel} is out of range`, `give a whole number from 1 to ${mostParallel}`);
    return joinAll(this.#staying(), this.#config, addresses, options);
  }

  /**
   * Replaces our metadata and tells everybody.
   * Errors: TATTLER_OPTION_INVALID when it is longer than metaMaxBytes, TATTLER_LEFT.
   */
  updateMeta(meta: Uint8Array | string): void {
    const { host, driver } = this.#staying();
    const bytes = checkMeta(meta, this.#config.metaMaxBytes);
    driver.perform(host, (nowMs) => host.swim.updateMeta(nowMs, bytes));
  }

  /**
   * What this node puts into its acks from now on, for the onRoundTrip delegates of those who probe it (M-089).
   * Errors: TATTLER_ARGUMENT_INVALID beyond 256 bytes.
   */
  setAckPayload(payload: Uint8Array): void {
    const { host } = this.#alive();
    checkPayload(payload);
    const most = loadAddon().layout.maxAckPayloadBytes;
    if (payload.length > most) throw badArgument("payload", `it has ${payload.length} bytes`, `give at most ${most}`);
    host.endpoint.setAckPayload(payload);
  }

  /**
   * Takes a step of a roll-out of encryption (M-188) without a restart; starts out as the options of these names say.
   * Without keys it changes nothing. Errors: TATTLER_ARGUMENT_INVALID unless both are given.
   */
  setEncryption(step: { readonly verifyIncoming: boolean; readonly encryptOutgoing: boolean }): void {
    const { endpoint } = this.#alive().host;
    const { verifyIncoming, encryptOutgoing } = step;
    // What is left out must not count as false: that would send plaintext.
    if (typeof verifyIncoming !== "boolean" || typeof encryptOutgoing !== "boolean") {
      throw badArgument("step", "it lacks one of its two booleans", "give { verifyIncoming, encryptOutgoing }");
    }
    endpoint.setEncryption(verifyIncoming, encryptOutgoing);
  }

  /**
   * Gossips a payload to all members; each gets it once, with high probability, none twice. Not to ourselves.
   * `finished` of the result tells when this node no longer sends it.
   * Errors: TATTLER_DATAGRAM_TOO_LARGE (the most is `maxBroadcastBytes`), TATTLER_ARGUMENT_INVALID.
   */
  broadcast(payload: Uint8Array, options: BroadcastOptions = {}): Broadcast {
    const { host, driver } = this.#alive();
    checkPayload(payload);
    const broadcast = driver.perform(host, () => host.payloads.broadcast(payload, options.replaces));
    if (broadcast === null) throw this.#tooLarge(payload);
    return broadcast;
  }

  /** Longest payload of broadcast() and of an unreliable send(), in bytes; follows from datagramBytes. */
  get maxBroadcastBytes(): number {
    return this.#alive().host.endpoint.maxMessageBytes();
  }

  /**
   * Sends a payload to one member, by name, or to an address `host:port`. Unreliable: one datagram, may get lost, and
   * is lost when it is to ourselves. Reliable: resolves on the receipt; after an error it may have arrived anyway.
   * Errors: TATTLER_MEMBER_UNKNOWN, TATTLER_ADDRESS_INVALID, TATTLER_ADDRESS_UNRESOLVED, TATTLER_ARGUMENT_INVALID,
   * TATTLER_ABORTED; unreliable: TATTLER_DATAGRAM_TOO_LARGE, TATTLER_BUSY; reliable: TATTLER_MESSAGE_TOO_LARGE,
   * TATTLER_BACKLOG_FULL, TATTLER_STREAM_*.
   */
  async send(to: string | Member, payload: Uint8Array, options: SendOptions = {}): Promise<void> {
    const { streams } = this.#alive();
    checkPayload(payload);
    const { signal, timeoutMs = this.#config.streamTimeoutMs } = options;
    const { ip, port } = await this.#resolveTarget(typeof to === "string" ? to : to.address, signal);
    if (options.reliable !== true) return this.#sendDatagram(ip, port, payload);
    return streams.sendMessage(formatIp(ip), port, payload, { timeoutMs, signal });
  }

  /**
   * Asks one member for a sign of life, once, over UDP, and resolves to the round trip; nothing follows from silence
   * but the error. Errors: TATTLER_MEMBER_UNKNOWN, TATTLER_PING_TIMEOUT, TATTLER_BUSY, TATTLER_ABORTED,
   * TATTLER_ARGUMENT_INVALID when it is this node itself.
   */
  async ping(member: string | Member, options: PingOptions = {}): Promise<PingReply> {
    const { host, driver, self } = this.#alive();
    const name = typeof member === "string" ? member : member.name;
    const target = driver.directory.find(name);
    if (!host.swim.roster.has(target)) throw tattlerError("TATTLER_MEMBER_UNKNOWN", [name]);
    if (target === self) throw badArgument("member", "it is this node itself", "name another member");
    const { timeoutMs = this.#config.probeTimeoutMs, signal } = options;
    return driver.perform(host, () => host.pings.ping(target, Math.min(timeoutMs, longestTimerMs), signal));
  }

  /**
   * Calls the listener for every such event. Listeners run after the protocol's work, in order; one that is added
   * twice is called once. What a listener throws becomes an `error` event, or a process warning if nobody listens.
   */
  on<E extends NodeEventName>(event: E, listener: (detail: NodeEvents[E]) => void): this {
    this.#events.add(event, listener);
    return this;
  }

  /** Calls the listener for the next such event only. */
  once<E extends NodeEventName>(event: E, listener: (detail: NodeEvents[E]) => void): this {
    this.#events.add(event, listener, true);
    return this;
  }

  /** Takes a listener of on() or once() away. */
  off<E extends NodeEventName>(event: E, listener: (detail: NodeEvents[E]) => void): this {
    this.#events.remove(event, listener);
    return this;
  }

  /**
   * All events from now on, until close() or the loop is left. A slow reader loses the oldest beyond 1,024, and
   * `dropped` counts them.
   */
  events(): AsyncIterableIterator<NodeEvent> & { readonly dropped: number } {
    this.#alive();
    return this.#events.stream(iteratorCapacity);
  }

  /**
   * Tells the cluster that this node leaves and waits until that has spread, and two gossip intervals more
   * for the last to hear, at most `timeoutMs` (default leaveTimeoutMs). Resolves to whether it has spread, alone at
   * once. The node keeps its sockets until close(), and passes on what it hears. Called again it gives the same
   * promise.
   */
  async leave(options: { readonly timeoutMs?: number } = {}): Promise<boolean> {
    const { host, driver } = this.#alive();
    const { leaveTimeoutMs, gossipIntervalMs } = this.#config;
    this.#leaving ??= depart(host, driver, { timeoutMs: options.timeoutMs ?? leaveTimeoutMs, gossipIntervalMs });
    return this.#leaving;
  }

  /** Closes sockets and stops. Without leave() the others will see a failure. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  /** leave(), then close(). Does nothing more to a node that is closed already. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing === null) await this.leave();
    await this.close();
  }

  async #shutDown(): Promise<void> {
    try {
      await this.#opened.close();
    } finally {
      this.#events.end();
    }
  }

  #alive(): OpenedNode {
    if (this.#closing !== null) throw tattlerError("TATTLER_CLOSED");
    return this.#opened;
  }

  #staying(): OpenedNode {
    const opened = this.#alive();
    if (this.#leaving !== null) throw tattlerError("TATTLER_LEFT");
    return opened;
  }

  #sendDatagram(ip: Uint8Array, port: number, payload: Uint8Array): void {
    const { host, driver } = this.#alive();
    if (payload.length > host.endpoint.maxMessageBytes()) throw this.#tooLarge(payload);
    const address = driver.directory.internAddress(ip, port);
    const isSent = host.endpoint.message(address, payload);
    driver.directory.releaseAddress(address);
    driver.hub.flush();
    if (!isSent) throw tattlerError("TATTLER_BUSY");
  }

  async #resolveTarget(to: string, signal: AbortSignal | undefined): Promise<{ ip: Uint8Array; port: number }> {
    const known = this.member(to);
    const text = known?.address ?? to;
    if (known === undefined && !/[:.]/.test(to)) throw tattlerError("TATTLER_MEMBER_UNKNOWN", [to]);
    const { host, port } = parseAddress(text, { defaultPort: this.#opened.port });
    const [first] = await resolve(host, port, { signal });
    if (first === undefined) throw tattlerError("TATTLER_MEMBER_UNKNOWN", [to]);
    return first;
  }

  #tooLarge(payload: Uint8Array): Error {
    return tattlerError("TATTLER_DATAGRAM_TOO_LARGE", [String(payload.length), String(this.maxBroadcastBytes)]);
  }
}

function checkPayload(payload: Uint8Array): void {
  if (payload instanceof Uint8Array) return;
  throw badArgument("payload", "it is not a Uint8Array", "encode text with new TextEncoder().encode(text)");
}

function badArgument(name: string, problem: string, remedy: string): Error {
  return tattlerError("TATTLER_ARGUMENT_INVALID", [name, problem, remedy]);
}
