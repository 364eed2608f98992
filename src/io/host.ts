import { randomBytes } from "node:crypto";
import type { Config } from "../config.js";
import type { Delegates, Member, MemberClaim, MemberStateName, Message, NodeEvents } from "../delegates.js";
import { Random } from "../random.js";
import type { Effects } from "../swim/effects.js";
import type { MemberEvent } from "../swim/events.js";
import { Swim } from "../swim/swim.js";
import type { AddressHandle, Endpoint, MemberHandle } from "../wire/addon.js";
import type { RingReader } from "../wire/receive.js";
import type { MemberRecord } from "../wire/records.js";
import { formatAddress, formatIp } from "./address.js";
import type { Driver, Hosted } from "./driver.js";
import { OnceFilter } from "./once.js";
import type { Streams } from "./streams.js";

/** Tells user code what happened. Called only while no core is at work. */
export type Emit = <E extends keyof NodeEvents>(event: E, detail: NodeEvents[E]) => void;

export interface HostParts {
  readonly config: Config;
  readonly driver: Driver;
  readonly endpoint: Endpoint;
  readonly streams: Streams;
  readonly self: MemberHandle;
  readonly selfAddress: AddressHandle;
  readonly delegates: Delegates;
  readonly emit: Emit;
}

/** Broadcast origins whose counters are remembered at once. */
const onceWindows = 4096;

/** One node inside the driver: joins its core, its socket and its streams. */
export class Host implements Hosted {
  heapIndex = -1;
  deadlineMs = Number.POSITIVE_INFINITY;
  isTouched = false;
  isClosed = false;
  readonly endpoint: Endpoint;
  readonly swim: Swim;
  readonly once = new OnceFilter(onceWindows);
  /** Called after every turn that touched the node. */
  onSettle: (() => void) | null = null;
  onClose: (() => void) | null = null;
  /** Broadcasts of origins that no node here knows; they cannot be told apart. */
  unknownOrigins = 0;

  readonly #parts: HostParts;
  readonly #boot = randomBytes(4).readUInt32LE();
  readonly #ip = new Uint8Array(16);
  #sequence = 0;
  #pending: (() => void)[] = [];

  constructor(parts: HostParts) {
    const { config, self, selfAddress } = parts;
    this.#parts = parts;
    this.endpoint = parts.endpoint;
    const seed = config.seed ?? randomBytes(6).readUIntLE(0, 6);
    const identity = { handle: self, address: selfAddress, meta: config.meta };
    this.swim = new Swim(config, identity, this.#effects(), new Random(seed));
  }

  /** Queues a call into user code for when the core is at rest. */
  later(call: () => void): void {
    this.#pending.push(call);
  }

  // --- Hosted

  handleMessage(reader: RingReader): void {
    if (reader.isDirect) return this.#deliver(reader.from, reader.payload(), true);
    if (reader.from === 0) {
      this.unknownOrigins++;
      return;
    }
    if (reader.from === this.#parts.self) return;
    if (!this.once.accept(reader.from, reader.sequenceHigh, reader.sequenceLow)) return;
    this.endpoint.relay(reader.ringIndex);
    this.#deliver(reader.from, reader.payload(), false);
  }

  allowsAlive(reader: RingReader): boolean {
    const { delegates } = this.#parts;
    if (delegates.allowAlive === undefined) return true;
    const port = reader.ip(this.#ip);
    const meta = reader.meta()?.slice() ?? new Uint8Array(0);
    const claim = { name: reader.name(), address: formatAddress(this.#ip, port), state: "alive", meta } as const;
    return this.asks(() => delegates.allowAlive?.(claim) ?? true, false);
  }

  handleRoundTrip(reader: RingReader, rttMs: number): void {
    const { delegates, driver } = this.#parts;
    if (delegates.onRoundTrip === undefined) return;
    const name = driver.hub.nameOf(reader.from);
    this.later(() => delegates.onRoundTrip?.(name, rttMs));
  }

  settle(): void {
    if (this.isClosed) return;
    const pending = this.#pending;
    if (pending.length > 0) {
      this.#pending = [];
      for (const call of pending) this.asks(call, undefined);
    }
    this.onSettle?.();
  }

  // --- user payloads

  /** Returns false when the payload can never fit a datagram. */
  broadcast(payload: Uint8Array): boolean {
    const counter = this.#sequence;
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.endpoint.queueMessage(this.#parts.self, counter, this.#boot, payload);
  }

  handleReliableMessage(from: string, payload: Uint8Array): void {
    const message: Message = { from, payload, direct: true, reliable: true };
    this.later(() => this.#parts.emit("message", message));
  }

  // --- state syncs

  /** A peer's records as this node may merge them, or why it does not. */
  vet(records: readonly MemberRecord[], join: boolean): readonly MemberRecord[] | string {
    const { delegates } = this.#parts;
    if (join && delegates.allowMerge !== undefined) {
      const claims = records.map(claimOf);
      const refusal = this.asks(() => delegates.allowMerge?.(claims), "the merge delegate failed");
      if (refusal !== undefined) return refusal;
    }
    if (delegates.allowAlive === undefined) return records;
    return records.filter((record) => this.asks(() => delegates.allowAlive?.(claimOf(record)) ?? true, false));
  }

  localState(join: boolean): Uint8Array {
    const { delegates } = this.#parts;
    return this.asks(() => delegates.localState?.(join), undefined) ?? new Uint8Array(0);
  }

  merge(nowMs: number, peer: string, records: readonly MemberRecord[], state: Uint8Array, join: boolean): void {
    this.swim.handleSync(nowMs, peer, records);
    const { delegates } = this.#parts;
    if (state.length > 0) this.later(() => delegates.mergeRemoteState?.(state, join));
  }

  /** Runs user code; what it throws is reported and changes nothing. */
  asks<T>(question: () => T, otherwise: T): T {
    try {
      return question();
    } catch (error) {
      this.#parts.emit("error", error instanceof Error ? error : new Error(String(error)));
      return otherwise;
    }
  }

  // --- snapshots

  snapshot(member: MemberHandle): Member {
    const { hub } = this.#parts.driver;
    const { roster } = this.swim;
    return Object.freeze({
      name: hub.nameOf(member),
      address: this.addressText(roster.addressOf(member)),
      state: stateNames[roster.stateOf(member)] as MemberStateName,
      incarnation: roster.incarnationOf(member),
      meta: roster.metaOf(member).slice(),
    });
  }

  addressText(address: AddressHandle): string {
    const port = this.#parts.driver.hub.addressOf(address, this.#ip);
    return formatAddress(this.#ip, port);
  }

  // --- effects

  #effects(): Effects {
    const { endpoint, driver } = this.#parts;
    return {
      datagrams: endpoint,
      broadcasts: endpoint,
      directory: driver.hub,
      streams: {
        sync: (to) => void this.#sync(to),
        ping: (to, target, seq, timeoutMs) => void this.#streamPing(to, target, seq, timeoutMs),
      },
      notify: (event) => this.#notify(event),
      notifyConflict: (member, claimedBy) => this.#notifyConflict(member, claimedBy),
    };
  }

  #notify(event: MemberEvent): void {
    const member = this.snapshot(event.member);
    this.later(() => this.#parts.emit(event.kind, member));
  }

  #notifyConflict(member: MemberHandle, claimedBy: AddressHandle): void {
    const { delegates, driver } = this.#parts;
    if (delegates.onConflict === undefined) return;
    const name = driver.hub.nameOf(member);
    const address = this.addressText(this.swim.roster.addressOf(member));
    const conflict = { name, address, claimedBy: this.addressText(claimedBy) };
    this.later(() => delegates.onConflict?.(conflict));
  }

  async #sync(to: AddressHandle): Promise<void> {
    const { streams, driver, config } = this.#parts;
    const { host, port } = this.#hostPort(to);
    try {
      const reply = await streams.sync(host, port, {
        records: () => this.swim.localRecords(),
        userState: this.localState(false),
        join: false,
        timeoutMs: config.streamTimeoutMs,
      });
      if (this.isClosed) return;
      const records = this.vet(reply.records, false);
      if (typeof records === "string") return;
      driver.perform(this, (nowMs) => this.merge(nowMs, reply.peer, records, reply.userState, false));
    } catch {
      // Counted; the next sync takes another member.
      if (!this.isClosed) driver.perform(this, () => this.swim.handleSyncFailed());
    }
  }

  async #streamPing(to: AddressHandle, target: MemberHandle, seq: number, timeoutMs: number): Promise<void> {
    const { streams, driver } = this.#parts;
    const { host, port } = this.#hostPort(to);
    const name = driver.hub.nameOf(target);
    const answered = await streams.ping(host, port, name, seq, timeoutMs);
    if (answered && !this.isClosed) driver.perform(this, (nowMs) => this.swim.handleStreamAck(nowMs, seq));
  }

  #hostPort(address: AddressHandle): { host: string; port: number } {
    const port = this.#parts.driver.hub.addressOf(address, this.#ip);
    return { host: formatIp(this.#ip), port };
  }

  #deliver(from: MemberHandle, payload: Uint8Array, direct: boolean): void {
    const message: Message = { from: this.#parts.driver.hub.nameOf(from), payload, direct, reliable: false };
    this.later(() => this.#parts.emit("message", message));
  }
}

const stateNames: readonly MemberStateName[] = ["alive", "suspect", "dead", "left"];

function claimOf(record: MemberRecord): MemberClaim {
  const { name, ip, port, state, meta } = record;
  return { name, address: formatAddress(ip, port), state: stateNames[state] as MemberStateName, meta };
}
