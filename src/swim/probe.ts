import type { MemberHandle } from "../wire/addon.js";
import { Evidence } from "../wire/generated/wire/evidence.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { Awareness } from "./awareness.js";
import type { Effects } from "./effects.js";
import type { Hearing } from "./hearing.js";
import type { Accusation } from "./membership.js";
import { ProbeEnd } from "./observer.js";
import type { Roster } from "./roster.js";
import type { RoundTrips } from "./rtt.js";
import type { Suspicions } from "./suspicion.js";
import { leastToBeDeaf } from "./verdict.js";

export interface ProbeConfig {
  readonly probeIntervalMs: number;
  readonly indirectTimeoutMs: number;
  readonly indirectChecks: number;
  readonly tcpPing: boolean;
  readonly gossipToTheDeadMs: number;
}

export interface ProbeParts {
  readonly self: MemberHandle;
  readonly roster: Roster;
  readonly awareness: Awareness;
  readonly hearing: Hearing;
  readonly suspicions: Suspicions;
  readonly effects: Effects;
  readonly roundTrips: RoundTrips;
  /** Whom to probe next; 0: nobody. */
  readonly nextTarget: (nowMs: number) => MemberHandle;
  /** Sequence numbers are shared by everything that pings. */
  readonly nextSeq: () => number;
  readonly accuse: (nowMs: number, accusation: Accusation) => void;
  readonly ended: (atMs: number, how: ProbeEnd, target: MemberHandle) => void;
}

/** Helpers asked to look for themselves when a host refuses: one would do, but one may be gone as well. */
const witnesses = 2;

const idle = Number.POSITIVE_INFINITY;

/** A nack sooner than this share of the indirect time-out says only that the helper is there: it has not waited. */
const soonestNackShare = 0.5;

/**
 * The one probe in flight (M-100 to M-110): a direct ping; after a time-out that follows the round trip (ARCHITECTURE
 * 5.8; at most probeTimeoutMs) indirect pings through helpers and a TCP ping; indirectTimeoutMs x (health + 1) after
 * that a verdict, or without that option probeIntervalMs x (health + 1) from the start.
 */
export class Probe {
  started = 0;
  failed = 0;
  /** Probes whose verdict fell while we were deaf. */
  inconclusive = 0;

  #target: MemberHandle = 0;
  #seq = 0;
  #sentAtMs = 0;
  #escalateAtMs = idle;
  #verdictAtMs = idle;
  #escalatedAtMs = 0;
  readonly #helpers = new Set<MemberHandle>();
  /** Helpers that could not reach the target either. */
  readonly #nackers: MemberHandle[] = [];
  #helpersAsked = 0;

  readonly #config: ProbeConfig;
  readonly #parts: ProbeParts;

  constructor(config: ProbeConfig, parts: ProbeParts) {
    this.#config = config;
    this.#parts = parts;
  }

  /** Who is being probed; 0: nobody. */
  get target(): MemberHandle {
    return this.#target;
  }

  get isInFlight(): boolean {
    return this.#verdictAtMs !== idle;
  }

  /** When the next step is due that judges somebody. */
  nextVerdictMs(): number {
    return Math.min(this.#escalateAtMs, this.#verdictAtMs);
  }

  /** Probes whose turn it is. Does nothing while a probe is in flight (probes never overlap). */
  start(nowMs: number): void {
    if (this.isInFlight) return;
    const { roster, awareness, hearing, roundTrips } = this.#parts;
    const { probeIntervalMs, indirectTimeoutMs } = this.#config;
    const target = this.#parts.nextTarget(nowMs);
    if (target === 0) return;
    this.started++;
    this.#target = target;
    this.#seq = this.#parts.nextSeq();
    this.#sentAtMs = nowMs;
    this.#escalateAtMs = nowMs + roundTrips.timeoutMs;
    this.#verdictAtMs =
      indirectTimeoutMs > 0
        ? this.#escalateAtMs + awareness.scale(indirectTimeoutMs)
        : nowMs + awareness.scale(probeIntervalMs);
    this.#helpers.clear();
    this.#nackers.length = 0;
    this.#helpersAsked = 0;
    // Two members cannot tell deafness from the other's death (ARCHITECTURE 5.2).
    if (roster.liveCount >= leastToBeDeaf) hearing.notePing(nowMs);
    this.#parts.effects.observer?.probeStarted(target, awareness.score);
    this.#ping();
  }

  /** Judges what is due at `drainedThroughMs`, the time up to which everything received has been processed. */
  advance(nowMs: number, drainedThroughMs: number): void {
    if (this.#escalateAtMs <= drainedThroughMs) this.#escalate(nowMs);
    if (this.#verdictAtMs <= drainedThroughMs) this.#judge(nowMs);
  }

  /** Returns the round trip when this was the direct answer to the probe, else -1. */
  handleAck(receivedAtMs: number, from: MemberHandle, seq: number): number {
    if (!this.isInFlight || seq !== this.#seq) return -1;
    const isDirect = from === this.#target && this.#escalateAtMs !== idle;
    const how = from === this.#target ? ProbeEnd.direct : ProbeEnd.indirect;
    const rttMs = this.#succeed(receivedAtMs, how);
    if (how === ProbeEnd.direct) this.#parts.roundTrips.note(rttMs);
    return isDirect ? rttMs : -1;
  }

  /** The target answered over TCP. */
  handleStreamAck(receivedAtMs: number, seq: number): void {
    if (this.isInFlight && seq === this.#seq) this.#succeed(receivedAtMs, ProbeEnd.tcp);
  }

  /** A helper could not reach the target either, but is there itself. */
  handleNack(receivedAtMs: number, from: MemberHandle, seq: number): void {
    if (!this.isInFlight || seq !== this.#seq || !this.#helpers.delete(from)) return;
    const waitedMs = receivedAtMs - this.#escalatedAtMs;
    if (waitedMs >= soonestNackShare * this.#config.indirectTimeoutMs) this.#nackers.push(from);
  }

  /** The target's host says that nobody listens: do not wait for the time-out to ask others. */
  handleRefused(nowMs: number, member: MemberHandle): void {
    if (member === this.#target && this.#escalateAtMs !== idle) this.#escalate(nowMs);
  }

  #succeed(atMs: number, how: ProbeEnd): number {
    const rttMs = atMs - this.#sentAtMs;
    const target = this.#target;
    this.#parts.awareness.apply(-1);
    this.#end();
    this.#tell(atMs, target, how, rttMs);
    return rttMs;
  }

  #tell(atMs: number, target: MemberHandle, how: ProbeEnd, rttMs = -1): void {
    this.#parts.ended(atMs, how, target);
    this.#parts.effects.observer?.probeEnded(target, how, rttMs, this.#parts.awareness.score);
  }

  /** Asks helpers about a member whose host refused us: of the running probe if it is its target, else for once. */
  askAbout(nowMs: number, member: MemberHandle): void {
    if (member === this.#target && this.#escalateAtMs !== idle) return this.#escalate(nowMs);
    const { effects, roster, nextSeq } = this.#parts;
    const address = roster.addressOf(member);
    for (const helper of this.#sampleHelpers(member, witnesses)) {
      effects.datagrams.pingRequest(roster.addressOf(helper), member, address, nextSeq());
    }
  }

  #sampleHelpers(target: MemberHandle, count: number): MemberHandle[] {
    const { roster, self } = this.#parts;
    const isHelper = (member: MemberHandle): boolean =>
      member !== self && member !== target && roster.stateOf(member) === MemberState.alive;
    return roster.sample(count, isHelper);
  }

  #ping(): void {
    const { self, roster, effects, suspicions } = this.#parts;
    const address = roster.addressOf(this.#target);
    if (roster.stateOf(this.#target) === MemberState.alive) {
      effects.datagrams.ping(address, this.#target, this.#seq);
      return;
    }
    // M-103: tell the accused, so that it can refute at once.
    const incarnation = roster.incarnationOf(this.#target);
    const evidence = suspicions.evidenceOf(this.#target, self);
    effects.datagrams.pingAndAccuse(address, this.#target, this.#seq, incarnation, evidence);
  }

  #escalate(nowMs: number): void {
    // Whoever asks late, after a stall of its own, waits for the answers all the same.
    this.#verdictAtMs += Math.max(0, nowMs - this.#escalateAtMs);
    this.#escalateAtMs = idle;
    this.#escalatedAtMs = nowMs;
    const { roster, effects } = this.#parts;
    if (!roster.isLive(this.#target)) return this.#giveUp(nowMs);
    const address = roster.addressOf(this.#target);
    for (const helper of this.#sampleHelpers(this.#target, this.#config.indirectChecks)) {
      this.#helpers.add(helper);
      this.#helpersAsked++;
      effects.datagrams.pingRequest(roster.addressOf(helper), this.#target, address, this.#seq);
    }
    if (!this.#config.tcpPing) return;
    const leftMs = this.#verdictAtMs - nowMs;
    if (leftMs > 0) effects.streams.ping(address, this.#target, this.#seq, leftMs);
  }

  #judge(nowMs: number): void {
    const { roster, awareness, hearing, self } = this.#parts;
    const target = this.#target;
    const silentHelpers = this.#helpers.size;
    this.#end();
    if (roster.liveCount >= leastToBeDeaf && hearing.isDeaf(nowMs)) {
      this.inconclusive++;
      awareness.apply(1);
      return this.#tell(nowMs, target, ProbeEnd.inconclusive);
    }
    this.failed++;
    // M-112: helpers that sent a nack prove that we hear; silent ones are a sign against ourselves.
    awareness.apply(this.#helpersAsked > 0 ? silentHelpers : 1);
    this.#tell(nowMs, target, ProbeEnd.failed);
    if (!roster.isLive(target)) return;
    const incarnation = roster.incarnationOf(target);
    const accusation = { subject: target, incarnation, evidence: Evidence.timeout, ringIndex: -1 };
    this.#parts.accuse(nowMs, { ...accusation, from: self });
    // A helper that failed as well is an observer of its own (ARCHITECTURE 5.4).
    if (this.#config.indirectTimeoutMs === 0) return;
    for (const from of this.#nackers) this.#parts.accuse(nowMs, { ...accusation, from });
  }

  #giveUp(nowMs: number): void {
    const target = this.#target;
    this.#end();
    this.#tell(nowMs, target, ProbeEnd.gone);
  }

  #end(): void {
    this.#target = 0;
    this.#escalateAtMs = idle;
    this.#verdictAtMs = idle;
  }
}
