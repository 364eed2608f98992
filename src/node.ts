import { type Config, checkMeta, type GossipOptions, resolveConfig } from "./config.js";
import type { Delegates, Member, NodeEvent, NodeEventName, NodeEvents } from "./delegates.js";
import { tattlerError } from "./errors.js";
import { EventHub } from "./event_stream.js";
import { formatIp, parseAddress } from "./io/address.js";
import type { Driver } from "./io/driver.js";
import type { Host } from "./io/host.js";
import { type JoinResult, joinAll } from "./io/join.js";
import { loadAddon } from "./io/native.js";
import { type OpenedNode, openNode } from "./io/open.js";
import { resolve } from "./io/resolve.js";
import type { StreamStats } from "./io/streams.js";
import type { SwimStats } from "./swim/swim.js";
import { Counter } from "./wire/generated/wire/counter.js";

/** Names of the native counters, as `stats.counters` lists them. */
export type CounterName = Exclude<keyof typeof Counter, "count">;

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
}

export interface SendOptions {
  /** Over TCP with a receipt instead of one datagram. Default false. */
  readonly reliable?: boolean;
  /** Deadline of a reliable send, in milliseconds. Default streamTimeoutMs. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface JoinOptions {
  /** Deadline for each address, in milliseconds. Default streamTimeoutMs. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Events that an iterator holds back for a slow reader. */
const iteratorCapacity = 1024;

/** A member of a gossip cluster: knows the others, tells when one fails, carries messages. */
export class GossipNode {
  readonly #config: Config;
  readonly #opened: OpenedNode;
  readonly #events: EventHub;
  #closing: Promise<void> | null = null;
  #leaving: Promise<boolean> | null = null;

  private constructor(config: Config, opened: OpenedNode, events: EventHub) {
    this.#config = config;
    this.#opened = opened;
    this.#events = events;
  }

  /**
   * Opens a UDP and a TCP socket on the same port and starts the protocol. Alone until join(), or until another joins.
   * Errors: TATTLER_OPTION_*, TATTLER_BIND_FAILED, TATTLER_ADDON_MISSING, TATTLER_ADVERTISE_MISSING.
   */
  static async create(options: GossipOptions, delegates: Delegates = {}): Promise<GossipNode> {
    const config = resolveConfig(options);
    const events = new EventHub();
    const opened = await openNode(config, delegates, (event, detail) => events.emit(event, detail));
    return new GossipNode(config, opened, events);
  }

  /** This node as the others see it. */
  get self(): Member {
    const { host, self } = this.#alive();
    return host.snapshot(self);
  }

  /** Everybody alive or suspected, this node included, as frozen snapshots. */
  get members(): readonly Member[] {
    const { host } = this.#alive();
    const members: Member[] = [];
    for (const member of host.swim.roster.members()) {
      if (host.swim.roster.isLive(member)) members.push(host.snapshot(member));
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
    const handle = driver.hub.find(name);
    return host.swim.roster.has(handle) ? host.snapshot(handle) : undefined;
  }

  /** Counters and gauges. Costs some microseconds. */
  get stats(): NodeStats {
    const { host, driver, streams } = this.#alive();
    return {
      ...host.swim.stats(),
      counters: readCounters(driver, host),
      streams: { ...streams.stats },
      queueDepth: host.endpoint.queueDepth(),
      messageDepth: host.endpoint.messageDepth(),
      duplicates: host.once.duplicates,
    };
  }

  /**
   * Contacts the addresses (`host[:port]`, `[ipv6]:port`, `name/host:port`; the port defaults to our own) and trades
   * states with each. Resolves when at least one succeeded, with the fate of each; our own address is skipped.
   * Errors: TATTLER_JOIN_FAILED, TATTLER_ADDRESS_INVALID.
   */
  join(addresses: readonly string[], options: JoinOptions = {}): Promise<JoinResult> {
    return joinAll(this.#alive(), this.#config, addresses, options);
  }

  /** Replaces our metadata and tells everybody. Errors: TATTLER_OPTION_INVALID when it is longer than metaMaxBytes. */
  updateMeta(meta: Uint8Array | string): void {
    const { host, driver } = this.#alive();
    const bytes = checkMeta(meta, this.#config.metaMaxBytes);
    driver.perform(host, (nowMs) => host.swim.updateMeta(nowMs, bytes));
  }

  /**
   * Gossips a payload to all members; each gets it once, with high probability, none twice.
   * Errors: TATTLER_DATAGRAM_TOO_LARGE (the most is `maxBroadcastBytes`).
   */
  broadcast(payload: Uint8Array): void {
    const { host, driver } = this.#alive();
    const isQueued = driver.perform(host, () => host.broadcast(payload));
    if (!isQueued) throw this.#tooLarge(payload);
  }

  /** Longest payload of broadcast() and of an unreliable send(), in bytes; follows from datagramBytes. */
  get maxBroadcastBytes(): number {
    return this.#alive().host.endpoint.maxMessageBytes();
  }

  /**
   * Sends a payload to one member, by name, or to an address `ip:port`. Unreliable: one datagram, may get lost.
   * Reliable: resolves on the receipt; after an error it may have arrived all the same.
   * Errors: TATTLER_MEMBER_UNKNOWN, TATTLER_DATAGRAM_TOO_LARGE, TATTLER_BUSY; reliable: TATTLER_STREAM_*,
   * TATTLER_MESSAGE_TOO_LARGE, TATTLER_ABORTED.
   */
  async send(to: string | Member, payload: Uint8Array, options: SendOptions = {}): Promise<void> {
    const { streams } = this.#alive();
    const target = await this.#resolveTarget(typeof to === "string" ? to : to.address);
    if (options.reliable === true) {
      const timeoutMs = options.timeoutMs ?? this.#config.streamTimeoutMs;
      const { signal } = options;
      return streams.sendMessage(
        formatIp(target.ip),
        target.port,
        payload,
        signal ? { timeoutMs, signal } : { timeoutMs },
      );
    }
    this.#sendDatagram(target.ip, target.port, payload);
  }

  /** Calls the listener for every such event. Listeners run after the protocol's work, in order. */
  on<E extends NodeEventName>(event: E, listener: (detail: NodeEvents[E]) => void): this {
    this.#events.add(event, listener);
    return this;
  }

  off<E extends NodeEventName>(event: E, listener: (detail: NodeEvents[E]) => void): this {
    this.#events.remove(event, listener);
    return this;
  }

  /** All events from now on, until close() or the loop is left. A slow reader loses the oldest beyond 1,024. */
  events(): AsyncIterableIterator<NodeEvent> & { readonly dropped: number } {
    this.#alive();
    return this.#events.stream(iteratorCapacity);
  }

  /**
   * Tells the cluster that this node leaves and waits until that has spread, at most `timeoutMs` (default
   * leaveTimeoutMs). Resolves to whether it has. The node keeps its sockets until close().
   */
  leave(options: { readonly timeoutMs?: number } = {}): Promise<boolean> {
    const { host, driver } = this.#alive();
    this.#leaving ??= new Promise((resolve) => {
      const timer = setTimeout(() => finish(false), options.timeoutMs ?? this.#config.leaveTimeoutMs);
      const finish = (isSpread: boolean): void => {
        clearTimeout(timer);
        host.onSettle = null;
        host.onClose = null;
        resolve(isSpread);
      };
      host.onSettle = () => {
        if (host.swim.isLeaveSpread()) finish(true);
      };
      host.onClose = () => finish(false);
      driver.perform(host, (nowMs) => host.swim.leave(nowMs));
    });
    return this.#leaving;
  }

  /** Closes sockets and stops. Without leave() the others will see a failure. Idempotent; never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
    await this.close();
  }

  async #shutDown(): Promise<void> {
    await this.#opened.close();
    this.#events.end();
  }

  #alive(): OpenedNode {
    if (this.#closing !== null) throw tattlerError("TATTLER_CLOSED");
    return this.#opened;
  }

  #sendDatagram(ip: Uint8Array, port: number, payload: Uint8Array): void {
    const { host, driver } = this.#alive();
    if (payload.length > host.endpoint.maxMessageBytes()) throw this.#tooLarge(payload);
    const address = driver.hub.internAddress(ip, port);
    const isSent = host.endpoint.message(address, payload);
    driver.hub.releaseAddress(address);
    driver.hub.flush();
    if (!isSent) throw tattlerError("TATTLER_BUSY");
  }

  async #resolveTarget(to: string): Promise<{ ip: Uint8Array; port: number }> {
    const known = this.member(to);
    const text = known?.address ?? to;
    if (known === undefined && !/[:.]/.test(to)) throw tattlerError("TATTLER_MEMBER_UNKNOWN", [to]);
    const { host, port } = parseAddress(text, { defaultPort: this.#opened.port });
    const [first] = await resolve(host, port);
    if (first === undefined) throw tattlerError("TATTLER_MEMBER_UNKNOWN", [to]);
    return first;
  }

  #tooLarge(payload: Uint8Array): Error {
    return tattlerError("TATTLER_DATAGRAM_TOO_LARGE", [String(payload.length), String(this.maxBroadcastBytes)]);
  }
}

function readCounters(driver: Driver, host: Host): Record<CounterName, number> {
  const perEndpoint = loadAddon().layout.countersPerEndpoint;
  const first = host.endpoint.index * perEndpoint;
  const counters: Partial<Record<CounterName, number>> = {};
  for (let i = 0; i < perEndpoint; i++) {
    counters[Counter[i] as CounterName] = Number(driver.counters[first + i]);
  }
  return counters as Record<CounterName, number>;
}
