import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import type { MemberPages } from "./member_pages.js";

/**
 * Who lives at an address: the last live member to come there, and those that it came after. Several are rare, so only
 * they have links; linked both ways, so that a hostile crowd at one address goes as fast as it came.
 */
export class Residents {
  readonly #pages: MemberPages;
  readonly #before = new Map<MemberHandle, MemberHandle>();
  readonly #after = new Map<MemberHandle, MemberHandle>();

  constructor(pages: MemberPages) {
    this.#pages = pages;
  }

  /** The last to come there of those who are still there; 0: nobody is. */
  at(address: AddressHandle): MemberHandle {
    return this.#pages.residentAt(address);
  }

  come(address: AddressHandle, member: MemberHandle): void {
    this.#link(this.at(address), member);
    this.#pages.setResident(address, member);
  }

  go(address: AddressHandle, member: MemberHandle): void {
    const before = this.#before.get(member) ?? 0;
    const after = this.#after.get(member) ?? 0;
    this.#before.delete(member);
    this.#after.delete(member);
    if (after === 0) this.#pages.setResident(address, before);
    this.#link(before, after);
  }

  clear(): void {
    this.#before.clear();
    this.#after.clear();
  }

  /** Makes them neighbours; 0: there is nobody on that side. */
  #link(before: MemberHandle, after: MemberHandle): void {
    if (before !== 0) put(this.#after, before, after);
    if (after !== 0) put(this.#before, after, before);
  }
}

function put(links: Map<MemberHandle, MemberHandle>, from: MemberHandle, to: MemberHandle): void {
  if (to === 0) links.delete(from);
  else links.set(from, to);
}
