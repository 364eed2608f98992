import type { MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { Effects } from "./effects.js";
import type { Hearing } from "./hearing.js";
import type { Roster } from "./roster.js";
import type { RoundTrips } from "./rtt.js";
import { expectedConfirmations, type Suspicions, type SuspicionTiming, scaledSuspicionMs } from "./suspicion.js";

export interface VerdictConfig {
  readonly suspicionMult: number;
  readonly suspicionMaxTimeoutMult: number;
  readonly suspicionMinMs: number;
  readonly probeIntervalMs: number;
}

export interface VerdictParts {
  readonly self: MemberHandle;
  readonly roster: Roster;
  readonly suspicions: Suspicions;
  readonly hearing: Hearing;
  readonly roundTrips: RoundTrips;
  readonly effects: Effects;
  readonly nextSeq: () => number;
}

/** Fewer members judge however little they hear: two cannot tell deafness from the other's death (ARCHITECTURE 5.2). */
export const leastToBeDeaf = 3;

/** What suspicions are measured by where probes are off: others do probe, and their accusations need time. */
const intervalWithoutProbesMs = 1000;

/**
 * A suspicion from its start to the verdict. A short one (suspicionMinMs, ARCHITECTURE 5.8) is made safe by three
 * things: the accused is told at once, so that it refutes within a round trip; clocks stand still while we are deaf;
 * and before the verdict we look ourselves once more.
 */
export class Verdicts {
  readonly #config: VerdictConfig;
  readonly #parts: VerdictParts;

  constructor(config: VerdictConfig, parts: VerdictParts) {
    this.#config = config;
    this.#parts = parts;
  }

  startSuspicion(nowMs: number, subject: MemberHandle, from: MemberHandle): void {
    const { suspicions, hearing, self } = this.#parts;
    suspicions.start(subject, from, nowMs - hearing.frozenMs(nowMs), this.#timing());
    if (from === self && this.#isShort) this.#accuseToItsFace(nowMs, subject);
  }

  /** Gives a suspect no more than the shortest time, and asks it. Whether it had more. */
  hasten(nowMs: number, subject: MemberHandle): boolean {
    if (!this.#isShort || !this.#parts.suspicions.hasten(subject)) return false;
    this.#accuseToItsFace(nowMs, subject);
    return true;
  }

  /** We judge again: who is still suspected may have refuted it while we compared our view with nobody. */
  resume(nowMs: number): void {
    const { suspicions, hearing } = this.#parts;
    suspicions.renew(nowMs - hearing.frozenMs(nowMs));
  }

  /** Whose suspicion has run out by `drainedThroughMs` and who did not answer when we looked once more. */
  due(nowMs: number, drainedThroughMs: number): MemberHandle[] {
    const { suspicions, hearing } = this.#parts;
    const expired = suspicions.expired(drainedThroughMs, hearing.frozenMs(nowMs));
    return this.#isShort ? expired.filter((member) => !this.#looksOnceMore(nowMs, member)) : expired;
  }

  /** The answer of a suspect that we looked at once more: it has the time to refute again, as it is there. */
  handleAck(from: MemberHandle, seq: number): void {
    const { suspicions } = this.#parts;
    const suspicion = suspicions.of(from);
    if (suspicion === undefined || suspicion.checkSeq !== seq) return;
    suspicion.checkSeq = 0;
    suspicions.postpone(from, suspicion.minMs);
  }

  get #isShort(): boolean {
    return this.#config.suspicionMinMs > 0;
  }

  #looksOnceMore(nowMs: number, member: MemberHandle): boolean {
    const { suspicions, roundTrips } = this.#parts;
    const suspicion = suspicions.of(member);
    if (suspicion === undefined || suspicion.checkSeq !== 0) return false;
    suspicion.checkSeq = this.#accuseToItsFace(nowMs, member);
    this.#listen(member);
    suspicions.postpone(member, roundTrips.timeoutMs);
    return true;
  }

  /** Pings somebody who is there, so that we know within a round trip whether we hear. */
  #listen(suspect: MemberHandle): void {
    const { self, roster, effects, nextSeq } = this.#parts;
    const isThere = (member: MemberHandle): boolean =>
      member !== self && member !== suspect && roster.stateOf(member) === MemberState.alive;
    for (const member of roster.sample(1, isThere)) {
      effects.datagrams.ping(roster.addressOf(member), member, nextSeq());
    }
  }

  #accuseToItsFace(nowMs: number, member: MemberHandle): number {
    const { self, roster, hearing, effects, suspicions, nextSeq } = this.#parts;
    const seq = nextSeq();
    if (roster.liveCount >= leastToBeDeaf) hearing.notePing(nowMs);
    const incarnation = roster.incarnationOf(member);
    const evidence = suspicions.evidenceOf(member, self);
    effects.datagrams.pingAndAccuse(roster.addressOf(member), member, seq, incarnation, evidence);
    return seq;
  }

  #timing(): SuspicionTiming {
    const { suspicionMult, suspicionMaxTimeoutMult, suspicionMinMs, probeIntervalMs } = this.#config;
    const members = this.#parts.roster.liveCount;
    const scaledMs = scaledSuspicionMs(suspicionMult, members, probeIntervalMs || intervalWithoutProbesMs);
    const minMs = suspicionMinMs || scaledMs;
    return { minMs, maxMs: minMs * suspicionMaxTimeoutMult, expected: expectedConfirmations(suspicionMult, members) };
  }
}
