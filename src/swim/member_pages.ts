import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";

/** In place of a state: no such member. */
export const absent = 255;

const pageBits = 9;
const pageSize = 1 << pageBits;
const indexMask = pageSize - 1;
/** A float64, three uint32 and two uint8. */
const entryBytes = 22;

/** Columns of 512 handles in a row, in one piece of memory. */
class Page {
  readonly changedAtMs: Float64Array;
  readonly incarnations: Uint32Array;
  readonly addresses: Uint32Array;
  /** By address handle: which live member came there last. */
  readonly residents: Uint32Array;
  readonly states: Uint8Array;
  readonly versionKinds: Uint8Array;
  /** The only one who may write; null: nobody. */
  owner: MemberPages | null;
  readonly #bytes: Uint8Array;

  constructor(owner: MemberPages | null, source?: Page) {
    this.owner = owner;
    const memory = new ArrayBuffer(pageSize * entryBytes);
    this.#bytes = new Uint8Array(memory);
    this.changedAtMs = new Float64Array(memory, 0, pageSize);
    this.incarnations = new Uint32Array(memory, 8 * pageSize, pageSize);
    this.addresses = new Uint32Array(memory, 12 * pageSize, pageSize);
    this.residents = new Uint32Array(memory, 16 * pageSize, pageSize);
    this.states = new Uint8Array(memory, 20 * pageSize, pageSize);
    this.versionKinds = new Uint8Array(memory, 21 * pageSize, pageSize);
    if (source === undefined) this.states.fill(absent);
    else this.#bytes.set(source.#bytes);
  }
}

const emptyPage = new Page(null);

/**
 * What a roster knows of each member, by handle: 22 bytes a member, and ten objects for 512 of them. Handles are small
 * and dense (native/interner.h). Rosters that know the same can share the pages: who writes to one that others have
 * gets a copy of it. Handles that nothing was written of are absent; a page of them costs a pointer.
 */
export class MemberPages {
  #pages: Page[] = [];

  /** Pages that are nobody else's. */
  get owned(): number {
    return this.#pages.filter(({ owner }) => owner === this).length;
  }

  /** Shares all that `other` knows, in place of what was known here. */
  adopt(other: MemberPages): void {
    for (const page of other.#pages) page.owner = null;
    this.#pages = other.#pages.slice();
  }

  /** Writes down what `other` knows of a member, where that differs; its address is the same. */
  copy(other: MemberPages, member: MemberHandle): void {
    const [state, changedAtMs] = [other.stateOf(member), other.changedAtMs(member)];
    if (this.stateOf(member) !== state || this.changedAtMs(member) !== changedAtMs)
      this.setState(member, state as MemberState, changedAtMs);
    this.setIncarnation(member, other.incarnationOf(member));
    this.setVersionKind(member, other.versionKindOf(member));
  }

  clear(): void {
    this.#pages = [];
  }

  stateOf(member: MemberHandle): number {
    return this.#page(member).states[member & indexMask] as number;
  }

  incarnationOf(member: MemberHandle): number {
    return this.#page(member).incarnations[member & indexMask] as number;
  }

  changedAtMs(member: MemberHandle): number {
    return this.#page(member).changedAtMs[member & indexMask] as number;
  }

  addressOf(member: MemberHandle): AddressHandle {
    return this.#page(member).addresses[member & indexMask] as AddressHandle;
  }

  versionKindOf(member: MemberHandle): number {
    return this.#page(member).versionKinds[member & indexMask] as number;
  }

  /** 0: nobody. */
  residentAt(address: AddressHandle): MemberHandle {
    return this.#page(address).residents[address & indexMask] as MemberHandle;
  }

  setState(member: MemberHandle, state: MemberState, nowMs: number): void {
    const page = this.#writable(member);
    page.states[member & indexMask] = state;
    page.changedAtMs[member & indexMask] = nowMs;
  }

  setAbsent(member: MemberHandle): void {
    this.#writable(member).states[member & indexMask] = absent;
  }

  setIncarnation(member: MemberHandle, incarnation: number): void {
    if (this.incarnationOf(member) !== incarnation)
      this.#writable(member).incarnations[member & indexMask] = incarnation;
  }

  setAddress(member: MemberHandle, address: AddressHandle): void {
    this.#writable(member).addresses[member & indexMask] = address;
  }

  setVersionKind(member: MemberHandle, kind: number): void {
    if (this.versionKindOf(member) !== kind) this.#writable(member).versionKinds[member & indexMask] = kind;
  }

  setResident(address: AddressHandle, member: MemberHandle): void {
    this.#writable(address).residents[address & indexMask] = member;
  }

  #page(handle: number): Page {
    return this.#pages[handle >>> pageBits] ?? emptyPage;
  }

  #writable(handle: number): Page {
    const page = this.#page(handle);
    return page.owner === this ? page : this.#own(handle >>> pageBits, page);
  }

  #own(index: number, page: Page): Page {
    while (this.#pages.length < index) this.#pages.push(emptyPage);
    return (this.#pages[index] = new Page(this, page));
  }
}

/** Everybody alive since the beginning, at an address of its own, for rosters to adopt(). */
export function everybodyAlive(
  members: readonly { readonly self: MemberHandle; readonly address: AddressHandle }[],
): MemberPages {
  const pages = new MemberPages();
  for (const { self, address } of members) {
    pages.setState(self, MemberState.alive, 0);
    pages.setIncarnation(self, 1);
    pages.setAddress(self, address);
    pages.setResident(address, self);
  }
  return pages;
}
