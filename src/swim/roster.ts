import type { Random } from "../random.js";
import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import { type PackedVersions, unknownVersions } from "../wire/versions.js";
import type { Directory } from "./effects.js";
import { grown } from "./grown.js";
import { Residents } from "./residents.js";
import { VersionColumn } from "./version_column.js";

/** In place of a state: no such member. */
const absent = 255;

const emptyMeta = new Uint8Array(0);

/** Told of everybody who becomes alive or suspect, and of who no longer is. */
export interface LiveWatcher {
  handleCame(member: MemberHandle, incarnation: number): void;
  handleWent(member: MemberHandle, incarnation: number): void;
  /** One who stays has another incarnation. */
  handleRaised?(member: MemberHandle, before: number, incarnation: number): void;
}

/**
 * All members, as a struct of typed arrays indexed by member handle: 30 bytes a member and nothing for the garbage
 * collector to walk, so that one process may host 10,000 nodes that know 10,000 members each. Handles are small
 * and dense (native/interner.h). What few have, such as metadata, is kept apart. Holds one reference on each member and
 * its address.
 */
export class Roster {
  #states = new Uint8Array(16).fill(absent);
  #incarnations = new Uint32Array(16);
  #changedAtMs = new Float64Array(16);
  #addresses = new Uint32Array(16);
  /** Place in the probe list, plus 1. */
  #places = new Uint32Array(16);
  readonly #versions = new VersionColumn();
  readonly #live = new Residents();
  readonly #metas = new Map<MemberHandle, Uint8Array>();
  readonly #counts = new Uint32Array(4);
  /** Of the dead and left: those that were gone when a state sync first told of them. */
  readonly #hearsay = new Set<MemberHandle>();

  #list = new Uint32Array(16);
  #size = 0;
  #cursor = 0;

  readonly #directory: Directory;
  readonly #random: Random;
  readonly #watchers: readonly LiveWatcher[];

  constructor(directory: Directory, random: Random, watchers: readonly LiveWatcher[] = []) {
    this.#directory = directory;
    this.#random = random;
    this.#watchers = watchers;
  }

  /** Members known, in whatever state. */
  get size(): number {
    return this.#size;
  }

  count(state: MemberState): number {
    return this.#counts[state] as number;
  }

  noteHearsay(member: MemberHandle): void {
    this.#hearsay.add(member);
  }

  /** Whether the member is known only as somebody who is gone: it is not told on, lest it go round for ever. */
  isHearsay(member: MemberHandle): boolean {
    return this.#hearsay.has(member);
  }

  /** Alive or suspect: what the cluster counts as members (E-13: the dead do not inflate time-outs). */
  get liveCount(): number {
    return this.count(MemberState.alive) + this.count(MemberState.suspect);
  }

  has(member: MemberHandle): boolean {
    return member < this.#states.length && this.#states[member] !== absent;
  }

  /** Only for members that has() knows. */
  stateOf(member: MemberHandle): MemberState {
    return this.#states[member] as MemberState;
  }

  incarnationOf(member: MemberHandle): number {
    return this.#incarnations[member] as number;
  }

  addressOf(member: MemberHandle): AddressHandle {
    return this.#addresses[member] as AddressHandle;
  }

  changedAtMs(member: MemberHandle): number {
    return this.#changedAtMs[member] as number;
  }

  metaOf(member: MemberHandle): Uint8Array {
    return this.#metas.get(member) ?? emptyMeta;
  }

  versionsOf(member: MemberHandle): PackedVersions {
    return this.#versions.of(member);
  }

  setVersions(member: MemberHandle, versions: PackedVersions): void {
    this.#versions.set(member, versions);
  }

  isLive(member: MemberHandle): boolean {
    return this.has(member) && this.stateOf(member) <= MemberState.suspect;
  }

  /** The live member at this address, or 0; of several the one that was last to come there. */
  findByAddress(address: AddressHandle): MemberHandle {
    return this.#live.at(address);
  }

  *members(): IterableIterator<MemberHandle> {
    for (let i = 0; i < this.#size; i++) yield this.#list[i] as MemberHandle;
  }

  /** All but those known by hearsay, in the order of members(). */
  firsthand(): Uint32Array {
    const list = this.#list.slice(0, this.#size);
    return this.#hearsay.size === 0 ? list : list.filter((member) => !this.isHearsay(member));
  }

  /** Makes room for handles up to this one, so that to add many members copies nothing. */
  reserve(handle: number): void {
    this.#reserve(handle);
    this.#live.reserve(handle);
  }

  /** Adds a member at a random place of the probe order (M-100). Takes its own references. */
  add(member: MemberHandle, address: AddressHandle, state: MemberState, incarnation: number, nowMs: number): void {
    this.#reserve(member);
    this.#directory.retain(member);
    this.#directory.retainAddress(address);
    this.#states[member] = state;
    this.#incarnations[member] = incarnation;
    this.#changedAtMs[member] = nowMs;
    this.#addresses[member] = address;
    if (state <= MemberState.suspect) this.#live.come(address, member);
    this.#bump(state, 1);
    this.#put(this.#size++, member);
    this.#swap(this.#random.below(this.#size), this.#size - 1);
    if (state <= MemberState.suspect) this.#came(member, incarnation);
  }

  become(member: MemberHandle, state: MemberState, incarnation: number, nowMs: number): void {
    const before = this.stateOf(member);
    const known = this.incarnationOf(member);
    this.#incarnations[member] = incarnation;
    const [wasLive, isLive] = [before <= MemberState.suspect, state <= MemberState.suspect];
    if (wasLive && isLive && known !== incarnation) this.#raised(member, known, incarnation);
    if (before === state) return;
    if (isLive) this.#hearsay.delete(member);
    if (!wasLive && isLive) this.#live.come(this.addressOf(member), member);
    if (wasLive && !isLive) this.#live.go(this.addressOf(member), member);
    this.#bump(before, -1);
    this.#bump(state, 1);
    this.#states[member] = state;
    this.#changedAtMs[member] = nowMs;
    if (!wasLive && isLive) this.#came(member, incarnation);
    if (wasLive && !isLive) this.#went(member, known);
  }

  moveTo(member: MemberHandle, address: AddressHandle): void {
    this.#directory.retainAddress(address);
    if (this.isLive(member)) {
      this.#live.go(this.addressOf(member), member);
      this.#live.come(address, member);
    }
    this.#directory.releaseAddress(this.addressOf(member));
    this.#addresses[member] = address;
  }

  /** Keeps a copy. */
  setMeta(member: MemberHandle, meta: Uint8Array | null): void {
    if (meta === null || meta.length === 0) this.#metas.delete(member);
    else this.#metas.set(member, meta.slice());
  }

  /**
   * The next live member in round-robin order, never `self`; 0 when there is none. At the end of the list the
   * dead and left that changed before `forgetBeforeMs` are forgotten and the rest is shuffled (M-100).
   */
  nextProbeTarget(self: MemberHandle, forgetBeforeMs: number): MemberHandle {
    // Twice round: the rest of this sweep, and the whole next one, which is in another order.
    for (let left = 2 * this.#size; left > 0; left--) {
      if (this.#cursor >= this.#size) {
        this.forget(forgetBeforeMs);
        this.#shuffle();
        this.#cursor = 0;
      }
      if (this.#size === 0) return 0;
      const member = this.#list[this.#cursor++] as MemberHandle;
      if (member !== self && this.isLive(member)) return member;
    }
    return 0;
  }

  /** Up to `count` different members that `accepts`, each as likely as the other (M-137). */
  sample(count: number, accepts: (member: MemberHandle) => boolean): MemberHandle[] {
    const picked: MemberHandle[] = [];
    if (this.#size < 3 * count) {
      const order = Array.from(this.#list.subarray(0, this.#size));
      this.#random.shuffle(order, order.length);
      for (const member of order) if (picked.length < count && accepts(member)) picked.push(member);
      return picked;
    }
    for (let draw = 0; draw < 3 * this.#size && picked.length < count; draw++) {
      const member = this.#list[this.#random.below(this.#size)] as MemberHandle;
      if (!picked.includes(member) && accepts(member)) picked.push(member);
    }
    return picked;
  }

  /** Gives every reference back, and tells no watcher: this is the end. */
  clear(): void {
    for (const member of this.members()) {
      this.#directory.releaseAddress(this.addressOf(member));
      this.#directory.release(member);
    }
    this.#states.fill(absent);
    this.#live.clear();
    this.#metas.clear();
    this.#hearsay.clear();
    this.#counts.fill(0);
    this.#size = 0;
  }

  /** Forgets the dead and left that changed before `beforeMs`. */
  forget(beforeMs: number): void {
    for (let i = this.#size - 1; i >= 0; i--) {
      const member = this.#list[i] as MemberHandle;
      if (!this.isLive(member) && this.changedAtMs(member) < beforeMs) this.#remove(member);
    }
  }

  #remove(member: MemberHandle): void {
    const wasLive = this.isLive(member);
    const incarnation = this.incarnationOf(member);
    if (wasLive) this.#live.go(this.addressOf(member), member);
    const place = (this.#places[member] as number) - 1;
    this.#swap(place, --this.#size);
    this.#bump(this.stateOf(member), -1);
    this.#states[member] = absent;
    this.#places[member] = 0;
    this.#metas.delete(member);
    this.#versions.set(member, unknownVersions);
    this.#hearsay.delete(member);
    if (wasLive) this.#went(member, incarnation);
    this.#directory.releaseAddress(this.addressOf(member));
    this.#directory.release(member);
  }

  #came(member: MemberHandle, incarnation: number): void {
    for (const watcher of this.#watchers) watcher.handleCame(member, incarnation);
  }

  #went(member: MemberHandle, incarnation: number): void {
    for (const watcher of this.#watchers) watcher.handleWent(member, incarnation);
  }

  #raised(member: MemberHandle, before: number, incarnation: number): void {
    for (const watcher of this.#watchers) watcher.handleRaised?.(member, before, incarnation);
  }

  #shuffle(): void {
    this.#random.shuffle(this.#list, this.#size);
    for (let i = 0; i < this.#size; i++) this.#places[this.#list[i] as number] = i + 1;
  }

  #swap(a: number, b: number): void {
    const kept = this.#list[a] as MemberHandle;
    this.#put(a, this.#list[b] as MemberHandle);
    this.#put(b, kept);
  }

  #put(place: number, member: MemberHandle): void {
    this.#list[place] = member;
    this.#places[member] = place + 1;
  }

  #bump(state: MemberState, by: number): void {
    this.#counts[state] = (this.#counts[state] as number) + by;
  }

  #reserve(member: MemberHandle): void {
    if (member < this.#states.length) return;
    const before = this.#states.length;
    this.#states = grown(this.#states, Uint8Array, member + 1);
    this.#states.fill(absent, before);
    this.#incarnations = grown(this.#incarnations, Uint32Array, member + 1);
    this.#changedAtMs = grown(this.#changedAtMs, Float64Array, member + 1);
    this.#addresses = grown(this.#addresses, Uint32Array, member + 1);
    this.#places = grown(this.#places, Uint32Array, member + 1);
    this.#versions.reserve(member);
    // No more members than handles.
    this.#list = grown(this.#list, Uint32Array, member + 1);
  }
}
