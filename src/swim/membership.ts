import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import { Evidence } from "../wire/generated/wire/evidence.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { AliveView } from "../wire/records.js";
import type { Awareness } from "./awareness.js";
import type { Effects } from "./effects.js";
import { EventKind, eventOfAlive } from "./events.js";
import { RefusedEvidence } from "./evidence.js";
import { Gate } from "./gate.js";
import type { Hearing } from "./hearing.js";
import { Claim, isSameMeta, stateOfClaim, supersedes } from "./member.js";
import { News } from "./news.js";
import { Seen, unheardOf } from "./observer.js";
import type { Quarantine } from "./quarantine.js";
import type { Roster } from "./roster.js";
import type { RoundTrips } from "./rtt.js";
import { OwnRecord, type Self } from "./self.js";
import type { Suspicions } from "./suspicion.js";
import type { UrgentLane } from "./urgent.js";
import { type VerdictConfig, Verdicts } from "./verdict.js";

export interface MembershipConfig extends VerdictConfig {
  readonly deadReclaimMs: number;
  readonly metaMaxBytes: number;
  readonly refusedConfirmations: number;
  readonly digestSyncIntervalMs: number;
}

/** An accusation, or a farewell when `from` is the subject itself. */
export interface Accusation {
  readonly subject: MemberHandle;
  readonly from: MemberHandle;
  readonly incarnation: number;
  readonly evidence: Evidence;
  /** Where it lies in the receive ring; -1 when it came by stream or is our own. */
  readonly ringIndex: number;
}

/** Who is a member and in what state: applies claims, then reacts (spread, suspect, refute, notify). */
export class Membership {
  suspicionsRaised = 0;
  conflicts = 0;
  readonly gate: Gate;
  readonly own: OwnRecord;

  readonly #config: MembershipConfig;
  readonly #self: Self;
  readonly #roster: Roster;
  readonly #suspicions: Suspicions;
  readonly #verdicts: Verdicts;
  readonly #effects: Effects;
  readonly #seen: Seen;
  readonly #news: News;
  readonly #quarantine: Quarantine;
  readonly #refused = new RefusedEvidence();

  constructor(config: MembershipConfig, self: Self, parts: MembershipParts) {
    this.#config = config;
    this.#self = self;
    this.#roster = parts.roster;
    this.#suspicions = parts.suspicions;
    this.#verdicts = new Verdicts(config, { self: self.handle, ...parts });
    this.#quarantine = parts.quarantine;
    this.#effects = parts.effects;
    this.#seen = new Seen(parts);
    this.#news = new News(config.digestSyncIntervalMs > 0, parts);
    this.gate = new Gate(config.metaMaxBytes, self, parts.effects);
    this.own = new OwnRecord(self, parts);
  }

  /** Puts ourselves on the roster and tells the cluster. */
  introduceSelf(nowMs: number): void {
    this.own.introduce(nowMs);
    this.#news.announceSize();
  }

  /** An alive from a datagram (`alive.ringIndex` >= 0) or a sync. `subject` is 0 when its name is new. */
  handleAlive(nowMs: number, subject: MemberHandle, incarnation: number, alive: AliveView): void {
    if (incarnation === 0) return; // E-09: a ghost
    if (!this.gate.takesMeta(alive.meta()) || !this.gate.takesVersions(subject, alive.versions())) return;
    const address = this.gate.addressOf(alive);
    if (address === 0) return;
    if (!this.#roster.has(subject)) this.#admit(nowMs, subject, address, incarnation, alive, MemberState.alive);
    else if (subject === this.#self.handle) this.own.handleAlive(nowMs, address, incarnation, alive);
    else this.#applyAlive(nowMs, subject, address, incarnation, alive);
    this.#effects.directory.releaseAddress(address);
  }

  handleSuspect(nowMs: number, accusation: Accusation): void {
    const { subject, incarnation } = accusation;
    if (!this.#roster.has(subject)) return;
    if (subject === this.#self.handle) return this.own.handleAccused(nowMs, accusation, false);
    const state = this.#roster.stateOf(subject);
    if (state === MemberState.suspect) this.#confirm(nowMs, accusation);
    else if (supersedes(Claim.suspect, incarnation, state, this.#roster.incarnationOf(subject)))
      this.#suspect(nowMs, accusation);
    if (accusation.evidence === Evidence.refused) this.#weighRefusal(nowMs, accusation);
  }

  /** The member's host refused a datagram of ours. Whether that is the first time at this incarnation. */
  handleRefused(nowMs: number, subject: MemberHandle): boolean {
    const incarnation = this.#roster.incarnationOf(subject);
    const from = this.#self.handle;
    const before = this.#refused.observers(subject, incarnation);
    this.handleSuspect(nowMs, { subject, from, incarnation, evidence: Evidence.refused, ringIndex: -1 });
    return this.#refused.observers(subject, incarnation) > before;
  }

  handleDeath(nowMs: number, accusation: Accusation): void {
    const { subject, from, incarnation } = accusation;
    if (!this.#roster.has(subject)) return;
    if (subject === this.#self.handle) return this.own.handleAccused(nowMs, accusation, true);
    const claim = from === subject ? Claim.farewell : Claim.death;
    const before = this.#roster.stateOf(subject);
    if (!supersedes(claim, incarnation, before, this.#roster.incarnationOf(subject))) return;
    this.#suspicions.end(subject);
    this.#roster.become(subject, stateOfClaim(claim), incarnation, nowMs);
    this.#seen.state(nowMs, before, subject, from, accusation.evidence);
    this.#news.spreadDeath(accusation, before <= MemberState.suspect);
    this.#news.announceSize();
    if (before === stateOfClaim(claim) || this.#roster.isHearsay(subject)) return;
    if (claim === Claim.farewell) return this.#notify(EventKind.leave, subject, 0, Evidence.farewell);
    // It had come back, which we missed: one who left does not fail.
    if (before === MemberState.left) this.#notify(EventKind.join, subject, 0, accusation.evidence);
    this.#notify(EventKind.fail, subject, from, accusation.evidence);
  }

  /** Records a member that others know as dead or left, so that an old alive cannot revive it (E-12). No event. */
  admitGone(nowMs: number, state: MemberState, subject: MemberHandle, alive: AliveView, incarnation: number): void {
    if (incarnation === 0 || !this.gate.takesMeta(alive.meta())) return;
    const address = this.gate.addressOf(alive);
    if (address === 0) return;
    this.#admit(nowMs, subject, address, incarnation, alive, state);
    this.#effects.directory.releaseAddress(address);
  }

  /** A peer knows one who is dead here as dead at a later incarnation. Both agree, so nobody is told. */
  raiseDead(nowMs: number, subject: MemberHandle, incarnation: number): void {
    if (!supersedes(Claim.death, incarnation, MemberState.dead, this.#roster.incarnationOf(subject))) return;
    this.#roster.become(subject, MemberState.dead, incarnation, nowMs);
  }

  /** Others have judged a suspect already. Whether that is new to us. */
  hasten(nowMs: number, subject: MemberHandle): boolean {
    return this.#verdicts.hasten(nowMs, subject);
  }

  /** Turns suspicions that ran out by `drainedThroughMs` into deaths (M-118). */
  advance(nowMs: number, drainedThroughMs: number): void {
    for (const subject of this.#verdicts.due(nowMs, drainedThroughMs)) {
      const incarnation = this.#roster.incarnationOf(subject);
      this.#suspicions.end(subject);
      const from = this.#self.handle;
      this.handleDeath(nowMs, { subject, from, incarnation, evidence: Evidence.expired, ringIndex: -1 });
    }
  }

  /** Our quarantine is over. */
  comeBack(nowMs: number): void {
    this.#verdicts.resume(nowMs);
    this.own.comeBack(nowMs);
  }

  /** Somebody answered a ping, perhaps one that looked once more at a suspect. */
  handleAck(from: MemberHandle, seq: number): void {
    this.#verdicts.handleAck(from, seq);
  }

  /** Leaves: tells the cluster that we go (M-010, M-214). */
  leave(nowMs: number): void {
    const { handle } = this.#self;
    const before = this.#roster.stateOf(handle);
    this.own.leave(nowMs);
    this.#seen.state(nowMs, before, handle, handle, Evidence.farewell);
    this.#news.announceSize();
  }

  #admit(
    nowMs: number,
    subject: MemberHandle,
    address: AddressHandle,
    incarnation: number,
    alive: AliveView,
    state: MemberState,
  ): void {
    const member = this.gate.memberOf(subject, alive);
    if (member === 0) return;
    if (!this.#roster.has(member)) {
      this.#roster.add(member, address, state, incarnation, nowMs);
      this.#roster.setMeta(member, alive.meta());
      this.#roster.setVersions(member, alive.versions());
      this.#seen.state(nowMs, unheardOf, member, 0, Evidence.hearsay);
      if (state !== MemberState.alive) this.#roster.noteHearsay(member);
      else {
        this.#news.announceSize();
        this.#news.spreadAlive(member, alive, false);
        this.#notify(EventKind.join, member, 0, Evidence.timeout);
      }
    }
    this.#effects.directory.release(member);
  }

  #applyAlive(
    nowMs: number,
    subject: MemberHandle,
    address: AddressHandle,
    incarnation: number,
    alive: AliveView,
  ): void {
    const before = this.#roster.stateOf(subject);
    const moved = this.#roster.addressOf(subject) !== address;
    const reclaims = moved && this.#mayReclaim(subject, nowMs);
    if (moved && !reclaims) {
      this.conflicts++;
      return this.#effects.notifyConflict?.(subject, address);
    }
    const known = this.#roster.incarnationOf(subject);
    if (!reclaims && !supersedes(Claim.alive, incarnation, before, known)) return;
    const told = this.#toldState(subject);
    this.#suspicions.end(subject);
    this.#refused.handleBack(nowMs, subject);
    if (moved) this.#roster.moveTo(subject, address);
    this.#roster.become(subject, MemberState.alive, incarnation, nowMs);
    this.#seen.state(nowMs, before, subject, 0, Evidence.hearsay);
    const changed = this.#takeDetails(subject, alive);
    if (!changed && before <= MemberState.suspect) this.#quarantine.noteRefutation(nowMs);
    this.#news.spreadAlive(subject, alive, before === MemberState.suspect || before === MemberState.dead);
    this.#news.announceSize();
    const kind = eventOfAlive(told, changed);
    if (kind !== null) this.#notify(kind, subject, 0, Evidence.timeout);
  }

  /** The state that the application knows of: for it, who was gone when we first heard of it was never there. */
  #toldState(subject: MemberHandle): MemberState {
    return this.#roster.isHearsay(subject) ? MemberState.left : this.#roster.stateOf(subject);
  }

  /** Metadata and versions; whether either is another one. */
  #takeDetails(subject: MemberHandle, alive: AliveView): boolean {
    const meta = alive.meta();
    const versions = alive.versions();
    if (isSameMeta(this.#roster.metaOf(subject), meta) && this.#roster.versionsOf(subject) === versions) return false;
    this.#roster.setMeta(subject, meta);
    this.#roster.setVersions(subject, versions);
    return true;
  }

  /** M-171: a left member's name is free at once, a dead one's after deadReclaimMs (0: never). */
  #mayReclaim(subject: MemberHandle, nowMs: number): boolean {
    const state = this.#roster.stateOf(subject);
    if (state === MemberState.left) return true;
    const { deadReclaimMs } = this.#config;
    const deadForMs = nowMs - this.#roster.changedAtMs(subject);
    return state === MemberState.dead && deadReclaimMs > 0 && deadForMs >= deadReclaimMs;
  }

  #suspect(nowMs: number, accusation: Accusation): void {
    const { subject, from, incarnation } = accusation;
    const told = this.#toldState(subject);
    const before = this.#roster.stateOf(subject);
    this.#roster.become(subject, MemberState.suspect, incarnation, nowMs);
    this.#verdicts.startSuspicion(nowMs, subject, from);
    this.#seen.state(nowMs, before, subject, from, accusation.evidence);
    this.#seen.suspicion(nowMs, accusation);
    this.suspicionsRaised++;
    this.#news.spreadSuspicion(accusation);
    this.#news.announceSize();
    const back = eventOfAlive(told, false);
    if (back !== null) this.#notify(back, subject, 0, accusation.evidence);
    this.#notify(EventKind.suspect, subject, from, accusation.evidence);
  }

  #confirm(nowMs: number, accusation: Accusation): void {
    const { subject, from, incarnation } = accusation;
    const known = this.#roster.incarnationOf(subject);
    const isAhead = supersedes(Claim.suspect, incarnation, MemberState.suspect, known);
    if (!isAhead && incarnation !== known) return;
    if (isAhead) {
      // It refuted the old suspicion, which we missed: the new one has its whole time.
      this.#roster.become(subject, MemberState.suspect, incarnation, nowMs);
      this.#suspicions.end(subject);
      this.#verdicts.startSuspicion(nowMs, subject, from);
      this.#seen.suspicion(nowMs, accusation);
      return this.#news.spreadSuspicion(accusation);
    }
    // Hearsay of a state sync is somebody's summary, not an observation of its own (E-11).
    const isNew = accusation.evidence !== Evidence.hearsay && this.#suspicions.confirm(subject, from);
    if (!isNew) return;
    this.#seen.suspicion(nowMs, accusation);
    this.#news.spreadSuspicion(accusation); // M-117
  }

  /** Enough independent observers of a refusal: the process is gone, and its host says so (ARCHITECTURE 5.7). */
  #weighRefusal(nowMs: number, { subject, from, incarnation }: Accusation): void {
    const { refusedConfirmations } = this.#config;
    if (refusedConfirmations === 0 || from === 0 || !this.#roster.isLive(subject)) return;
    if (this.#roster.incarnationOf(subject) !== incarnation) return;
    const observers = this.#refused.note(nowMs, subject, from, incarnation);
    // Nobody but us could see it in a cluster of two.
    if (observers < Math.min(refusedConfirmations, Math.max(1, this.#roster.liveCount - 1))) return;
    const evidence = Evidence.refused;
    this.handleDeath(nowMs, { subject, from: this.#self.handle, incarnation, evidence, ringIndex: -1 });
  }

  #notify(kind: EventKind, member: MemberHandle, from: MemberHandle, evidence: Evidence): void {
    this.#effects.notify({ kind, member, incarnation: this.#roster.incarnationOf(member), from, evidence });
  }
}

export interface MembershipParts {
  readonly roster: Roster;
  readonly suspicions: Suspicions;
  readonly awareness: Awareness;
  readonly hearing: Hearing;
  readonly roundTrips: RoundTrips;
  readonly effects: Effects;
  readonly nextSeq: () => number;
  readonly urgent: UrgentLane;
  readonly quarantine: Quarantine;
}
