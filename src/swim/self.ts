import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import { Evidence } from "../wire/generated/wire/evidence.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { AliveView } from "../wire/records.js";
import { type PackedVersions, unknownVersions } from "../wire/versions.js";
import type { Awareness } from "./awareness.js";
import type { Effects } from "./effects.js";
import { aliveJump, incarnationDistance, isSameMeta, nextIncarnation, refutationJump } from "./member.js";
import type { Accusation } from "./membership.js";
import type { Quarantine } from "./quarantine.js";
import type { Roster } from "./roster.js";
import type { UrgentLane } from "./urgent.js";

/** The node itself, which is in the roster like everybody else. */
export interface Self {
  readonly handle: MemberHandle;
  readonly address: AddressHandle;
  readonly versions: PackedVersions;
  meta: Uint8Array;
  incarnation: number;
  isLeaving: boolean;
}

export interface OwnRecordParts {
  readonly roster: Roster;
  readonly awareness: Awareness;
  readonly quarantine: Quarantine;
  readonly urgent: UrgentLane;
  readonly effects: Effects;
}

/** What we say of ourselves, and what we answer to what others say of us. */
export class OwnRecord {
  refutations = 0;
  conflicts = 0;
  readonly #self: Self;
  readonly #parts: OwnRecordParts;

  constructor(self: Self, parts: OwnRecordParts) {
    this.#self = self;
    this.#parts = parts;
  }

  /** Puts ourselves on the roster and tells the cluster. */
  introduce(nowMs: number): void {
    const { handle, address, meta, incarnation, versions } = this.#self;
    const { roster } = this.#parts;
    roster.add(handle, address, MemberState.alive, incarnation, nowMs);
    roster.setMeta(handle, meta);
    roster.setVersions(handle, versions);
    this.#announce(false);
  }

  updateMeta(nowMs: number, meta: Uint8Array): void {
    this.#self.meta = meta.slice();
    this.#parts.roster.setMeta(this.#self.handle, meta);
    // In quarantine an alive would bring us back: it is said when that ends.
    if (!this.#self.isLeaving && !this.#parts.quarantine.isOn) this.#raise(nowMs, this.#self.incarnation, false);
  }

  /** What state syncs say of us: who was told that we are gone long ago may have forgotten it. */
  get toldState(): MemberState {
    const { quarantine, roster } = this.#parts;
    return quarantine.isOn && !this.#self.isLeaving ? MemberState.dead : roster.stateOf(this.#self.handle);
  }

  /** Tells the cluster that we go (M-010, M-214). */
  leave(nowMs: number): void {
    const { handle, incarnation } = this.#self;
    const { roster, effects, urgent } = this.#parts;
    this.#self.isLeaving = true;
    roster.become(handle, MemberState.left, incarnation, nowMs);
    effects.broadcasts.queueDeath(handle, handle, incarnation, Evidence.farewell, true);
    urgent.noteNews();
  }

  /** The quarantine is over. */
  comeBack(nowMs: number): void {
    if (this.#self.isLeaving) return;
    this.#parts.effects.observer?.quarantined(false);
    this.#raise(nowMs, this.#self.incarnation, true);
  }

  /** Somebody says we are alive at an incarnation or with data that are not ours: a former life (M-173). */
  handleAlive(nowMs: number, address: AddressHandle, incarnation: number, alive: AliveView): void {
    const self = this.#self;
    if (self.isLeaving) return; // M-174
    if (address !== self.address) {
      this.conflicts++;
      return this.#parts.effects.notifyConflict?.(self.handle, address);
    }
    const ahead = incarnationDistance(self.incarnation, incarnation);
    if (ahead < 0 || ahead > aliveJump || this.#parts.quarantine.isOn) return;
    const versions = alive.versions();
    const isOurs = versions === unknownVersions || versions === self.versions;
    if (ahead === 0 && isOurs && isSameMeta(self.meta, alive.meta())) return;
    this.#raise(nowMs, incarnation, true);
  }

  /** We are said to be suspect or dead: refutes it (M-172), unless it is true. */
  handleAccused(nowMs: number, accusation: Accusation, isDeath: boolean): void {
    const { from, incarnation, evidence } = accusation;
    const { awareness, quarantine, effects } = this.#parts;
    if (this.#self.isLeaving) return;
    const ahead = incarnationDistance(this.#self.incarnation, incarnation);
    if (ahead < 0 || ahead > refutationJump) return;
    const wasOn = quarantine.isOn;
    const isConceded = quarantine.handleAccused(nowMs, from === this.#self.handle ? 0 : from, evidence) || wasOn;
    if (isConceded) return this.#concede(nowMs, accusation, isDeath, wasOn);
    this.refutations++;
    awareness.apply(1);
    this.#raise(nowMs, incarnation, true);
    effects.observer?.refuted(nowMs, from, incarnation, evidence, this.#self.incarnation);
  }

  /** Passes the accusation on as a verdict: whoever holds us for alive is to know at once. */
  #concede(nowMs: number, { from, incarnation }: Accusation, isDeath: boolean, wasOn: boolean): void {
    const { effects, urgent, roster } = this.#parts;
    const { handle } = this.#self;
    if (!wasOn) effects.observer?.quarantined(true);
    this.#self.incarnation = incarnation;
    roster.become(handle, MemberState.alive, incarnation, nowMs);
    if (isDeath || from === 0 || from === handle) return;
    effects.broadcasts.queueDeath(handle, from, incarnation, Evidence.conceded, true);
    urgent.noteNews();
  }

  #raise(nowMs: number, atLeast: number, isUrgent: boolean): void {
    const { roster } = this.#parts;
    const self = this.#self;
    self.incarnation = nextIncarnation(incarnationDistance(self.incarnation, atLeast) > 0 ? atLeast : self.incarnation);
    roster.become(self.handle, MemberState.alive, self.incarnation, nowMs);
    this.#announce(isUrgent);
  }

  #announce(isUrgent: boolean): void {
    const { handle, address, meta, incarnation, versions } = this.#self;
    const { effects, urgent } = this.#parts;
    effects.broadcasts.queueAlive(handle, address, incarnation, meta, versions, isUrgent);
    if (isUrgent) urgent.noteNews();
  }
}
