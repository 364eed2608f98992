import type { MemberHandle } from "../wire/addon.js";
import { Evidence } from "../wire/generated/wire/evidence.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import { sharedIp } from "../wire/ip.js";
import type { AliveView, MemberRecord } from "../wire/records.js";
import { type PackedVersions, unknownVersions } from "../wire/versions.js";
import { fingerprintOf } from "./digest.js";
import type { Directory } from "./effects.js";
import { FingerprintTable } from "./fingerprints.js";
import type { Membership } from "./membership.js";
import type { Roster } from "./roster.js";

/** Members asked to refute in one merge. */
const mostAsked = 16;

/** What comes of comparing two views. */
export interface Comparison {
  readonly records: MemberRecord[];
  readonly wanted: Uint32Array;
}

/**
 * Anti-entropy with full states (M-150 to M-152), or with what differs (ARCHITECTURE 5.11): one side tells the
 * fingerprints of its records, the other answers with the records whose fingerprints are missing there and with those
 * it misses itself, and gets these in a third turn.
 */
export class Sync {
  merged = 0;
  readonly self: MemberHandle;
  readonly #roster: Roster;
  readonly #membership: Membership;
  readonly #directory: Directory;
  readonly #ask: (member: MemberHandle) => void;
  readonly #ip = new Uint8Array(16);
  #asked = 0;

  /** @param ask has a member that we hold for dead refute that, if it can. */
  constructor(
    self: MemberHandle,
    roster: Roster,
    membership: Membership,
    directory: Directory,
    ask: (member: MemberHandle) => void,
  ) {
    this.self = self;
    this.#ask = ask;
    this.#roster = roster;
    this.#membership = membership;
    this.#directory = directory;
  }

  /** Everybody we know, the dead and the left included whom we knew before they went. */
  localRecords(): MemberRecord[] {
    return this.#recordsWhere(this.#tellable(), () => true);
  }

  /** One number for each of localRecords(). */
  fingerprints(salt: number): Uint32Array {
    const members = this.#tellable();
    const fingerprints = new Uint32Array(members.length);
    for (let i = 0; i < members.length; i++) fingerprints[i] = this.#fingerprint(members[i] as MemberHandle, salt);
    return fingerprints;
  }

  /** What a peer of these fingerprints lacks of ours, and the fingerprints of what we lack of its. */
  compare(salt: number, theirs: Uint32Array): Comparison {
    const table = new FingerprintTable(this.fingerprints(salt));
    const wanted = table.meet(theirs);
    return { records: this.#recordsWhere(this.#tellable(), (place) => !table.isMet(place)), wanted };
  }

  /** Our records of these fingerprints. Such as have changed since are left out: their news is on its way. */
  recordsOf(salt: number, wanted: Uint32Array): MemberRecord[] {
    const table = new FingerprintTable(this.fingerprints(salt));
    table.meet(wanted);
    const members = this.#tellable();
    const records = this.#recordsWhere(members, (place) => table.isMet(place));
    // What it told us may have made us refute: that it must know.
    if (!table.isMet(members.indexOf(this.self))) records.push(this.#recordOf(this.self));
    return records;
  }

  /**
   * Applies a peer's state (M-152): its dead and suspects are only suspected here ("prefer suspicion to declaring
   * dead"), as hearsay of the peer. Alive records first, so that a joiner knows whom the rest is about.
   */
  merge(nowMs: number, peerName: string, records: readonly MemberRecord[]): void {
    this.merged++;
    this.#asked = 0;
    for (const record of records) {
      if (record.state === MemberState.alive || record.state === MemberState.suspect)
        this.#mergeLive(nowMs, peerName, record);
    }
    // Not before: a joiner learns the name of its peer from the peer.
    const peer = this.#directory.find(peerName);
    for (const record of records) {
      if (record.state !== MemberState.alive) this.#mergeAccused(nowMs, peer, record);
    }
  }

  #tellable(): Uint32Array {
    // Who stays out has missed what others know, and would revive those whom they have forgotten.
    if (this.#membership.own.toldState === MemberState.dead) return Uint32Array.of(this.self);
    return this.#roster.firsthand();
  }

  #recordsWhere(members: Uint32Array, isTold: (place: number) => boolean): MemberRecord[] {
    const records: MemberRecord[] = [];
    for (let place = 0; place < members.length; place++) {
      if (isTold(place)) records.push(this.#recordOf(members[place] as MemberHandle));
    }
    return records;
  }

  #fingerprint(member: MemberHandle, salt: number): number {
    const incarnation = this.#roster.incarnationOf(member);
    return fingerprintOf(this.#directory, member, incarnation, this.#toldStateOf(member), salt);
  }

  #recordOf(member: MemberHandle): MemberRecord {
    const port = this.#directory.addressOf(this.#roster.addressOf(member), this.#ip);
    const ip = sharedIp(this.#ip);
    const name = this.#directory.nameOf(member);
    const incarnation = this.#roster.incarnationOf(member);
    const state = this.#toldStateOf(member);
    const meta = this.#roster.metaOf(member);
    const versions = this.#roster.versionsOf(member);
    if (versions === unknownVersions) return { name, ip, port, incarnation, state, meta };
    return { name, ip, port, incarnation, state, meta, versions };
  }

  #toldStateOf(member: MemberHandle): MemberState {
    return member === this.self ? this.#membership.own.toldState : this.#roster.stateOf(member);
  }

  /** Whoever is suspected was alive at that incarnation; without this a joiner would not learn of it (E-12). */
  #mergeLive(nowMs: number, peerName: string, record: MemberRecord): void {
    const view = new RecordView(record, peerName);
    const known = this.#directory.find(record.name);
    if (record.state === MemberState.suspect && this.#roster.has(known)) return;
    if (this.#contradicts(known, record)) {
      this.#asked++;
      return this.#ask(known);
    }
    this.#membership.handleAlive(nowMs, known, record.incarnation, view);
  }

  /**
   * Whether the peer holds for alive at that very incarnation whom we hold for dead. Neither can convince the other:
   * only the member itself can, by refuting. After a partition that is so for a whole side, of which some are enough.
   */
  #contradicts(known: MemberHandle, { state, incarnation }: MemberRecord): boolean {
    const roster = this.#roster;
    if (state !== MemberState.alive || this.#asked >= mostAsked || !roster.has(known)) return false;
    return roster.stateOf(known) === MemberState.dead && roster.incarnationOf(known) === incarnation;
  }

  #mergeAccused(nowMs: number, peer: MemberHandle, record: MemberRecord): void {
    const subject = this.#directory.find(record.name);
    const { incarnation, state } = record;
    const isGone = state === MemberState.dead || state === MemberState.left;
    if (isGone && !this.#roster.has(subject)) {
      this.#membership.admitGone(nowMs, state, subject, new RecordView(record, ""), incarnation);
    } else if (state === MemberState.dead && this.#roster.stateOf(subject) === MemberState.dead) {
      this.#membership.raiseDead(nowMs, subject, incarnation);
    } else if (state === MemberState.left) {
      const accusation = { subject, from: subject, incarnation, evidence: Evidence.farewell, ringIndex: -1 };
      this.#membership.handleDeath(nowMs, accusation);
    } else {
      const accusation = { subject, from: peer, incarnation, evidence: Evidence.hearsay, ringIndex: -1 };
      this.#membership.handleSuspect(nowMs, accusation);
      if (state === MemberState.dead) this.#lookAtOnce(nowMs, subject, incarnation);
    }
  }

  /** The peer has waited for a refutation already: we look ourselves, and wait no longer than after confirmations. */
  #lookAtOnce(nowMs: number, subject: MemberHandle, incarnation: number): void {
    const roster = this.#roster;
    if (this.#asked >= mostAsked || !roster.has(subject) || roster.incarnationOf(subject) !== incarnation) return;
    if (roster.stateOf(subject) === MemberState.suspect && this.#membership.hasten(nowMs, subject)) this.#asked++;
  }
}

/** Lets a record of a sync be handled like one in the receive ring. */
class RecordView implements AliveView {
  readonly ringIndex = -1;
  readonly isHearsay: boolean;
  readonly #record: MemberRecord;

  constructor(record: MemberRecord, peerName: string) {
    this.#record = record;
    this.isHearsay = record.name !== peerName;
  }

  name(): string {
    return this.#record.name;
  }

  ip(into: Uint8Array): number {
    into.set(this.#record.ip);
    return this.#record.port;
  }

  meta(): Uint8Array | null {
    return this.#record.meta.length === 0 ? null : this.#record.meta;
  }

  versions(): PackedVersions {
    return this.#record.versions ?? unknownVersions;
  }
}
