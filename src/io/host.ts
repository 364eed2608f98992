import { randomBytes } from "node:crypto";
import { type Config, isFitName } from "../config.js";
import type { AccusedMember, Delegates, Message, NodeEvents } from "../delegates.js";
import { Random } from "../random.js";
import type { Effects } from "../swim/effects.js";
import type { MemberEvent } from "../swim/events.js";
import { Swim } from "../swim/swim.js";
import type { AddressHandle, Endpoint, MemberHandle } from "../wire/addon.js";
import type { RingReader } from "../wire/receive.js";
import type { MemberRecord } from "../wire/records.js";
import { formatIp } from "./address.js";
import type { AllowList } from "./allow_list.js";
import { Application } from "./application.js";
import { readCounters } from "./counters.js";
import type { Driver, Hosted } from "./driver.js";
import { DropWatch } from "./drops.js";
import { Log, logFailure, logRefusal } from "./log.js";
import { Past } from "./past.js";
import { Payloads } from "./payloads.js";
import { Pings } from "./pings.js";
import { reconcileWith } from "./reconcile.js";
import type { Streams, SyncReply } from "./streams.js";
import { versionsOfConfig } from "./versions.js";
import { Witness } from "./witness.js";

/** Tells user code what happened. Called only while no core is at work. */
export type Emit = <E extends keyof NodeEvents>(event: E, detail: NodeEvents[E]) => void;

export interface HostParts {
  readonly config: Config;
  readonly driver: Driver;
  readonly endpoint: Endpoint;
  readonly streams: Streams;
  readonly self: MemberHandle;
  readonly selfAddress: AddressHandle;
  readonly allow: AllowList | null;
  readonly delegates: Delegates;
  readonly emit: Emit;
}

/** One node inside the driver: joins its core, its socket and its streams. */
export class Host implements Hosted {
  heapIndex = -1;
  deadlineMs = Number.POSITIVE_INFINITY;
  isTouched = false;
  isScheduled = false;
  isClosed = false;
  readonly endpoint: Endpoint;
  readonly swim: Swim;
  readonly application: Application;
  readonly payloads: Payloads;
  readonly pings: Pings;
  readonly log: Log;
  readonly past: Past;
  readonly witness: Witness;
  /** Called after every turn that touched the node. */
  onSettle: (() => void) | null = null;
  onClose: (() => void) | null = null;

  readonly #parts: HostParts;
  readonly #ip = new Uint8Array(16);
  readonly #pending: (() => void)[] = [];
  #isSettling = false;

  constructor(parts: HostParts) {
    const { config, endpoint, self, selfAddress } = parts;
    this.#parts = parts;
    this.endpoint = endpoint;
    this.payloads = new Payloads(
      endpoint,
      self,
      randomBytes(4).readUInt32LE(),
      config.queueRecords,
      () => this.swim.roster.liveCount,
    );
    this.log = new Log(config.logger, config.name);
    const { hub, directory } = parts.driver;
    this.past = new Past({ directory, nowMs: () => hub.nowMs(), maxMembers: config.historyMembers });
    this.witness = this.#makeWitness();
    this.application = this.#makeApplication();
    const seed = config.seed ?? randomBytes(6).readUIntLE(0, 6);
    const identity = { handle: self, address: selfAddress, meta: config.meta, versions: versionsOfConfig(config) };
    this.swim = new Swim(config, identity, this.#effects(), new Random(seed));
    this.pings = new Pings(hub, directory, endpoint, this.swim);
  }

  /** Queues a call into user code for when the core is at rest. */
  later(call: () => void): void {
    this.#pending.push(call);
  }

  // --- Hosted

  handleMessage(reader: RingReader): void {
    if (!this.payloads.accept(reader)) return;
    const from = this.#parts.driver.directory.nameOf(reader.from);
    const message: Message = { from, payload: reader.payload(), direct: reader.isDirect, reliable: false };
    this.later(() => this.#parts.emit("message", message));
  }

  allowsAlive(reader: RingReader): boolean {
    return this.application.allowsAlive(reader);
  }

  handleRoundTrip(reader: RingReader, rttMs: number): void {
    this.application.roundTrip(reader, rttMs);
  }

  handlePong(reader: RingReader): void {
    this.pings.handleAck(reader);
  }

  /** Calls in order; what a call brings about comes after what was waiting already. */
  settle(): void {
    if (this.#isSettling || this.isClosed) return;
    this.payloads.settle();
    this.#isSettling = true;
    const pending = this.#pending;
    for (let i = 0; i < pending.length && !this.isClosed; i++)
      this.application.asks(pending[i] as () => void, undefined);
    pending.length = 0;
    this.#isSettling = false;
    if (this.isClosed) return;
    this.witness.settle();
    this.onSettle?.();
  }

  handleReliableMessage(from: string, payload: Uint8Array): void {
    const message: Message = { from, payload, direct: true, reliable: true };
    this.later(() => this.#parts.emit("message", message));
  }

  // --- state syncs

  merge(nowMs: number, peer: string, records: readonly MemberRecord[], state: Uint8Array, join: boolean): void {
    if (this.isClosed) return; // by a delegate that was asked about it
    this.swim.handleSync(nowMs, peer, records);
    this.application.mergeRemoteState(state, join);
  }

  // --- effects

  #effects(): Effects {
    const { endpoint, driver, allow, config } = this.#parts;
    return {
      datagrams: endpoint,
      broadcasts: endpoint,
      directory: driver.directory,
      streams: {
        sync: (to) => this.#syncLater(to),
        reconcile: (to) => this.#reconcileLater(to),
        ping: (to, target, seq, timeoutMs) => this.#streamPingLater(to, target, seq, timeoutMs),
        carriesState: () => this.application.hasState,
      },
      mayBeCalled: (name) => isFitName(name, config.validateNames),
      mayBeAt: (ip) => allow === null || allow.allows(ip),
      notify: (event) => this.#notify(event),
      notifyConflict: (member, claimedBy) => this.#notifyConflict(member, claimedBy),
      observer: this.witness,
    };
  }

  #makeWitness(): Witness {
    const { config, driver, endpoint, streams, self } = this.#parts;
    const drops = new DropWatch({
      counters: () => readCounters(driver, endpoint),
      streams: streams.stats,
      unknownOrigins: () => this.payloads.unknownOrigins,
    });
    const later = (call: () => void): void => this.later(call);
    const { log, past } = this;
    return new Witness({ node: config.name, self, directory: driver.directory, log, drops, past, later });
  }

  #makeApplication(): Application {
    const { config, delegates, driver } = this.#parts;
    return new Application({
      config,
      delegates,
      directory: driver.directory,
      swim: () => this.swim,
      isClosed: () => this.isClosed,
      later: (call) => this.later(call),
      report: (error) => this.#report(error),
      isVirtual: false,
    });
  }

  #report(error: Error): void {
    const tell = (): void => {
      this.log.error("delegate_error", { err: error }, "a delegate failed; nothing has changed by that");
      this.#parts.emit("error", error);
    };
    this.#parts.driver.perform(this, () => this.later(tell));
  }

  #notify(event: MemberEvent): void {
    const detail = this.application.detailOf(event);
    this.later(() => {
      this.witness.memberEvent(event.kind, detail);
      this.#parts.emit(event.kind, detail as AccusedMember);
    });
  }

  #notifyConflict(member: MemberHandle, claimedBy: AddressHandle): void {
    const conflictOf = () => this.application.conflictOf(member, claimedBy);
    this.witness.conflict(this.#parts.driver.hub.nowMs(), conflictOf);
    this.application.conflict(member, claimedBy);
  }

  /** Begins when the core is at rest, because the delegate is asked for its state. */
  #syncLater(to: AddressHandle): void {
    const { host, port } = this.#hostPort(to);
    this.later(() => void this.#sync(host, port));
  }

  #reconcileLater(to: AddressHandle): void {
    const { driver, streams, config } = this.#parts;
    const address = this.#hostPort(to);
    this.later(() => void reconcileWith(this, driver, streams, config, address));
  }

  async #sync(host: string, port: number): Promise<void> {
    const { streams, driver, config } = this.#parts;
    const records = () => this.swim.sync.localRecords();
    const request = {
      records,
      userState: this.application.localState(false),
      join: false,
      timeoutMs: config.streamTimeoutMs,
    };
    let reply: SyncReply;
    try {
      reply = await streams.sync(host, port, request);
    } catch (error) {
      if (this.isClosed) return;
      // The next sync takes another member.
      driver.perform(this, () => this.swim.handleSyncFailed());
      return logFailure(this.log, "sync_failed", host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`, error);
    }
    if (this.isClosed) return;
    const accepted = this.application.vet(reply.peer, reply.records, false);
    if (typeof accepted === "string") return logRefusal(this.log, reply.peer, accepted);
    driver.perform(this, (nowMs) => this.merge(nowMs, reply.peer, accepted, reply.userState, false));
  }

  /** Begins when the core is at rest, because the delegate is asked whether it may. */
  #streamPingLater(to: AddressHandle, target: MemberHandle, seq: number, timeoutMs: number): void {
    const { host, port } = this.#hostPort(to);
    const name = this.#parts.driver.directory.nameOf(target);
    this.later(() => {
      const mayPing = this.application.allowsTcpPing(name);
      if (mayPing && !this.isClosed) void this.#streamPing(host, port, name, seq, timeoutMs);
    });
  }

  async #streamPing(host: string, port: number, name: string, seq: number, timeoutMs: number): Promise<void> {
    const { streams, driver } = this.#parts;
    const answered = await streams.ping(host, port, name, seq, timeoutMs);
    if (answered && !this.isClosed) driver.perform(this, (nowMs) => this.swim.handleStreamAck(nowMs, seq));
  }

  #hostPort(address: AddressHandle): { host: string; port: number } {
    const port = this.#parts.driver.directory.addressOf(address, this.#ip);
    return { host: formatIp(this.#ip), port };
  }
}
