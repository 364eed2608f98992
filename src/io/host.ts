import { randomBytes } from "node:crypto";
import { type Config, isFitName } from "../config.js";
import type {
  AccusedMember,
  Conflict,
  Delegates,
  Member,
  MemberClaim,
  MemberStateName,
  Message,
  NodeEvents,
} from "../delegates.js";
import { tattlerError } from "../errors.js";
import { Random } from "../random.js";
import type { Effects } from "../swim/effects.js";
import { EventKind, type MemberEvent } from "../swim/events.js";
import { Swim } from "../swim/swim.js";
import type { AddressHandle, Endpoint, MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import { RecordKind } from "../wire/generated/wire/record-kind.js";
import type { RingReader } from "../wire/receive.js";
import type { MemberRecord } from "../wire/records.js";
import { unknownVersions } from "../wire/versions.js";
import { formatAddress, formatIp } from "./address.js";
import type { AllowList } from "./allow_list.js";
import { readCounters } from "./counters.js";
import type { Driver, Hosted } from "./driver.js";
import { DropWatch } from "./drops.js";
import { Log, logFailure, logRefusal } from "./log.js";
import { Past } from "./past.js";
import { Payloads } from "./payloads.js";
import { Pings } from "./pings.js";
import { reconcileWith } from "./reconcile.js";
import type { Streams, SyncReply } from "./streams.js";
import { rangesOf, versionMismatch, versionsOfConfig } from "./versions.js";
import { evidenceName, Witness } from "./witness.js";

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
  isClosed = false;
  readonly endpoint: Endpoint;
  readonly swim: Swim;
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
    this.payloads = new Payloads(endpoint, self, randomBytes(4).readUInt32LE(), config.queueRecords);
    this.log = new Log(config.logger, config.name);
    const { hub } = parts.driver;
    this.past = new Past({ directory: hub, nowMs: () => hub.nowMs(), maxMembers: config.historyMembers });
    this.witness = this.#makeWitness();
    const seed = config.seed ?? randomBytes(6).readUIntLE(0, 6);
    const identity = { handle: self, address: selfAddress, meta: config.meta, versions: versionsOfConfig(config) };
    this.swim = new Swim(config, identity, this.#effects(), new Random(seed));
    this.pings = new Pings(parts.driver.hub, endpoint, this.swim);
  }

  /** Queues a call into user code for when the core is at rest. */
  later(call: () => void): void {
    this.#pending.push(call);
  }

  // --- Hosted

  handleMessage(reader: RingReader): void {
    if (!this.payloads.accept(reader)) return;
    const from = this.#parts.driver.hub.nameOf(reader.from);
    const message: Message = { from, payload: reader.payload(), direct: reader.isDirect, reliable: false };
    this.later(() => this.#parts.emit("message", message));
  }

  allowsAlive(reader: RingReader): boolean {
    const { delegates } = this.#parts;
    const versions = reader.versions();
    // Who is no match is dropped by the core; nobody need be asked.
    if (delegates.allowAlive === undefined || !this.swim.fitsVersions(versions)) return true;
    const port = reader.ip(this.#ip);
    const meta = reader.meta()?.slice() ?? new Uint8Array(0);
    const claim = { name: reader.name(), address: formatAddress(this.#ip, port), state: "alive", meta } as const;
    return this.#allows({ ...claim, ...rangesOf(versions) });
  }

  handleRoundTrip(reader: RingReader, rttMs: number): void {
    const { delegates, driver } = this.#parts;
    if (delegates.onRoundTrip === undefined) return;
    const name = driver.hub.nameOf(reader.from);
    const payload = reader.payload();
    this.later(() => delegates.onRoundTrip?.(name, rttMs, payload));
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
    for (let i = 0; i < pending.length && !this.isClosed; i++) this.asks(pending[i] as () => void, undefined);
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

  /** A peer's records as this node may merge them, or why it does not. */
  vet(peer: string, records: readonly MemberRecord[], join: boolean): readonly MemberRecord[] | string {
    const { delegates, config } = this.#parts;
    const mismatch = versionMismatch(config, peer, records);
    if (mismatch !== null) return mismatch;
    if (join && delegates.allowMerge !== undefined) {
      const claims = records.map(claimOf);
      const refusal = this.asks(() => delegates.allowMerge?.(claims), "the merge delegate failed");
      if (refusal !== undefined) return refusal;
    }
    if (delegates.allowAlive === undefined) return records;
    return records.filter((record) => !this.#isNews(record) || this.#allows(claimOf(record)));
  }

  /** What the delegate gives; nothing, and a report, when it is no state that a sync can carry. */
  localState(join: boolean): Uint8Array {
    const { delegates, config } = this.#parts;
    const question = (): Uint8Array => checkState(delegates.localState?.(join), config.maxMessageBytes);
    return this.asks(question, new Uint8Array(0));
  }

  merge(nowMs: number, peer: string, records: readonly MemberRecord[], state: Uint8Array, join: boolean): void {
    if (this.isClosed) return; // by a delegate that was asked about it
    this.swim.handleSync(nowMs, peer, records);
    const { delegates } = this.#parts;
    if (state.length > 0) this.later(() => delegates.mergeRemoteState?.(state, join));
  }

  /** Runs user code; what it throws is reported and changes nothing. */
  asks<T>(question: () => T, otherwise: T): T {
    try {
      return question();
    } catch (error) {
      this.report(error);
      return otherwise;
    }
  }

  /** Tells the user of an error, in its turn. */
  report(thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const tell = (): void => {
      this.log.error("delegate_error", { err: error }, "a delegate failed; nothing has changed by that");
      this.#parts.emit("error", error);
    };
    this.#parts.driver.perform(this, () => this.later(tell));
  }

  // --- snapshots

  snapshot(member: MemberHandle): Member {
    const { hub } = this.#parts.driver;
    const { roster } = this.swim;
    const meta = roster.metaOf(member);
    return Object.freeze({
      name: hub.nameOf(member),
      address: this.addressText(roster.addressOf(member)),
      state: stateNames[roster.stateOf(member)] as MemberStateName,
      incarnation: roster.incarnationOf(member),
      meta: meta.length === 0 ? meta : meta.slice(),
      ...rangesOf(roster.versionsOf(member)),
    });
  }

  addressText(address: AddressHandle): string {
    const port = this.#parts.driver.hub.addressOf(address, this.#ip);
    return formatAddress(this.#ip, port);
  }

  // --- effects

  #effects(): Effects {
    const { endpoint, driver, allow, config } = this.#parts;
    return {
      datagrams: endpoint,
      broadcasts: endpoint,
      directory: driver.hub,
      streams: {
        sync: (to) => this.#syncLater(to),
        reconcile: (to) => this.#reconcileLater(to),
        ping: (to, target, seq, timeoutMs) => this.#streamPingLater(to, target, seq, timeoutMs),
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
    return new Witness({ node: config.name, self, directory: driver.hub, log, drops, past, later });
  }

  #notify(event: MemberEvent): void {
    const member = this.snapshot(event.member);
    const isAccused = event.kind === EventKind.suspect || event.kind === EventKind.fail;
    const detail = isAccused ? this.#accused(member, event) : member;
    this.later(() => {
      this.witness.memberEvent(event.kind, detail);
      this.#parts.emit(event.kind, detail as AccusedMember);
    });
  }

  #accused(member: Member, { from, evidence }: MemberEvent): AccusedMember {
    const accusedBy = from === 0 ? "" : this.#parts.driver.hub.nameOf(from);
    return Object.freeze({ ...member, accusedBy, evidence: evidenceName(evidence) });
  }

  #notifyConflict(member: MemberHandle, claimedBy: AddressHandle): void {
    const { delegates, driver } = this.#parts;
    const conflictOf = (): Conflict => ({
      name: driver.hub.nameOf(member),
      address: this.addressText(this.swim.roster.addressOf(member)),
      claimedBy: this.addressText(claimedBy),
    });
    this.witness.conflict(driver.hub.nowMs(), conflictOf);
    if (delegates.onConflict === undefined) return;
    const conflict = conflictOf();
    this.later(() => delegates.onConflict?.(conflict));
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
    const request = { records, userState: this.localState(false), join: false, timeoutMs: config.streamTimeoutMs };
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
    const accepted = this.vet(reply.peer, reply.records, false);
    if (typeof accepted === "string") return logRefusal(this.log, reply.peer, accepted);
    driver.perform(this, (nowMs) => this.merge(nowMs, reply.peer, accepted, reply.userState, false));
  }

  /** Begins when the core is at rest, because the delegate is asked whether it may. */
  #streamPingLater(to: AddressHandle, target: MemberHandle, seq: number, timeoutMs: number): void {
    const { delegates, driver } = this.#parts;
    const { host, port } = this.#hostPort(to);
    const name = driver.hub.nameOf(target);
    this.later(() => {
      const mayPing = this.asks(() => delegates.allowTcpPing?.(name) ?? true, true);
      if (mayPing && !this.isClosed) void this.#streamPing(host, port, name, seq, timeoutMs);
    });
  }

  async #streamPing(host: string, port: number, name: string, seq: number, timeoutMs: number): Promise<void> {
    const { streams, driver } = this.#parts;
    const answered = await streams.ping(host, port, name, seq, timeoutMs);
    if (answered && !this.isClosed) driver.perform(this, (nowMs) => this.swim.handleStreamAck(nowMs, seq));
  }

  #hostPort(address: AddressHandle): { host: string; port: number } {
    const port = this.#parts.driver.hub.addressOf(address, this.#ip);
    return { host: formatIp(this.#ip), port };
  }

  /** Whether an alive in a sync would change something; the dead are never asked about. */
  #isNews({ name, state, incarnation, versions = unknownVersions }: MemberRecord): boolean {
    if (state > MemberState.suspect || !this.swim.fitsVersions(versions)) return false;
    return !this.swim.isStale(RecordKind.alive, this.#parts.driver.hub.find(name), incarnation);
  }

  #allows(claim: MemberClaim): boolean {
    const isAllowed = this.asks(() => this.#parts.delegates.allowAlive?.(claim) ?? true, false);
    return isAllowed && !this.isClosed;
  }
}

const stateNames: readonly MemberStateName[] = ["alive", "suspect", "dead", "left"];

function checkState(state: unknown, maxBytes: number): Uint8Array {
  if (state === undefined) return new Uint8Array(0);
  if (!(state instanceof Uint8Array)) {
    throw tattlerError("TATTLER_ARGUMENT_INVALID", ["localState", "it returned no Uint8Array", "encode the state"]);
  }
  if (state.length <= maxBytes) return state;
  throw tattlerError("TATTLER_MESSAGE_TOO_LARGE", [String(state.length), String(maxBytes)]);
}

function claimOf(record: MemberRecord): MemberClaim {
  const { name, ip, port, state, meta, versions = unknownVersions } = record;
  const address = formatAddress(ip, port);
  return { name, address, state: stateNames[state] as MemberStateName, meta, ...rangesOf(versions) };
}
