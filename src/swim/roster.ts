import type { Random } from "../random.js";
import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import { type PackedVersions, unknownVersions } from "../wire/versions.js";
import type { Directory } from "./effects.js";
import { grown } from "./grown.js";
import { absent, MemberPages } from "./member_pages.js";
import { Residents } from "./residents.js";
import { VersionColumn } from "./version_column.js";

const emptyMeta = new Uint8Array(0);

/** Told of everybody who becomes alive or suspect, and of who no longer is. */
export interface LiveWatcher {
  handleCame(member: MemberHandle, incarnation: number): void;
  handleWent(member: MemberHandle, incarnation: number): void;
  /** One who stays has another incarnation. */
  handleRaised?(member: MemberHandle, before: number, incarnation: number): void;
}

/** Handles that fit the small kind of list. */
const smallHandles = 0x1_0000;

/**
 * All members, about 26 bytes each, in pages and a list, so that one process may host 10,000 nodes that know 10,000
 * members each. What few have, such as metadata, is kept apart. Holds one reference on each member and its address.
 */
export class Roster {
  readonly #pages = new MemberPages();
  readonly #versions = new VersionColumn(this.#pages);
  readonly #live = new Residents(this.#pages);
  readonly #metas = new Map<MemberHandle, Uint8Array>();
  readonly #counts = new Uint32Array(4);
  /** Of the dead and left: those that were gone when a state sync first told of them. */
  readonly #hearsay = new Set<MemberHandle>();

  /** In the order in which they are probed. */
  #list: Uint16Array | Uint32Array = new Uint16Array(16);
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
    return this.#pages.stateOf(member) !== absent;
  }

  /** Only for members that has() knows. */
  stateOf(member: MemberHandle): MemberState {
    return this.#pages.stateOf(member) as MemberState;
  }

  incarnationOf(member: MemberHandle): number {
    return this.#pages.incarnationOf(member);
  }

  addressOf(member: MemberHandle): AddressHandle {
    return this.#pages.addressOf(member);
  }

  changedAtMs(member: MemberHandle): number {
    return this.#pages.changedAtMs(member);
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
    return this.#pages.stateOf(member) <= MemberState.suspect; // absent is more
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
    const list = new Uint32Array(this.#list.subarray(0, this.#size));
    return this.#hearsay.size === 0 ? list : list.filter((member) => !this.isHearsay(member));
  }

  /** Adds a member at a random place of the probe order (M-100). Takes its own references. */
  add(member: MemberHandle, address: AddressHandle, state: MemberState, incarnation: number, nowMs: number): void {
    this.#pages.setState(member, state, nowMs);
    this.#pages.setIncarnation(member, incarnation);
    this.#pages.setAddress(member, address);
    if (state <= MemberState.suspect) this.#live.come(address, member);
    this.#enlist(member);
  }

  /**
   * Adds members as add() would, one by one, but shares what is known of them with whoever adopts the same, until it
   * changes. Each is to have an address of its own. Whom we know already are to be among them, live and at that
   * address; they stay what they are.
   */
  adopt(pages: MemberPages, members: Iterable<MemberHandle>): void {
    const before = new MemberPages();
    before.adopt(this.#pages);
    this.#pages.adopt(pages);
    const known = new Set(this.members());
    for (const member of known) this.#pages.copy(before, member);
    for (const member of members) if (!known.has(member)) this.#enlist(member);
  }

  become(member: MemberHandle, state: MemberState, incarnation: number, nowMs: number): void {
    const before = this.stateOf(member);
    const known = this.incarnationOf(member);
    this.#pages.setIncarnation(member, incarnation);
    const [wasLive, isLive] = [before <= MemberState.suspect, state <= MemberState.suspect];
    if (wasLive && isLive && known !== incarnation) this.#raised(member, known, incarnation);
    if (before === state) return;
    if (isLive) this.#hearsay.delete(member);
    if (!wasLive && isLive) this.#live.come(this.addressOf(member), member);
    if (wasLive && !isLive) this.#live.go(this.addressOf(member), member);
    this.#bump(before, -1);
    this.#bump(state, 1);
    this.#pages.setState(member, state, nowMs);
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
    this.#pages.setAddress(member, address);
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
        this.#random.shuffle(this.#list, this.#size);
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
    this.#pages.clear();
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
      if (!this.isLive(member) && this.changedAtMs(member) < beforeMs) this.#remove(member, i);
    }
  }

  /** Takes references of its own and its place in the list. */
  #enlist(member: MemberHandle): void {
    const state = this.stateOf(member);
    this.#directory.retain(member);
    this.#directory.retainAddress(this.addressOf(member));
    this.#bump(state, 1);
    this.#makeRoom(member);
    this.#list[this.#size++] = member;
    this.#swap(this.#random.below(this.#size), this.#size - 1);
    if (state <= MemberState.suspect) this.#came(member, this.incarnationOf(member));
  }

  #remove(member: MemberHandle, place: number): void {
    const wasLive = this.isLive(member);
    const incarnation = this.incarnationOf(member);
    if (wasLive) this.#live.go(this.addressOf(member), member);
    this.#swap(place, --this.#size);
    this.#bump(this.stateOf(member), -1);
    this.#metas.delete(member);
    this.#versions.set(member, unknownVersions);
    this.#pages.setAbsent(member);
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

  #swap(a: number, b: number): void {
    const kept = this.#list[a] as MemberHandle;
    this.#list[a] = this.#list[b] as MemberHandle;
    this.#list[b] = kept;
  }

  #bump(state: MemberState, by: number): void {
    this.#counts[state] = (this.#counts[state] as number) + by;
  }

  /** For one more. A list that has held a handle of more than 16 bits stays a wide one. */
  #makeRoom(member: MemberHandle): void {
    if (member >= smallHandles && this.#list instanceof Uint16Array) this.#list = new Uint32Array(this.#list);
    if (this.#size < this.#list.length) return;
    const least = this.#size + 1;
    this.#list =
      this.#list instanceof Uint16Array ? grown(this.#list, Uint16Array, least) : grown(this.#list, Uint32Array, least);
  }
}
