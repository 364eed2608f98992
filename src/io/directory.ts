import type { Directory } from "../swim/effects.js";
import type { AddressHandle, Hub, MemberHandle } from "../wire/addon.js";
import { isMappedIpv4 } from "../wire/ip.js";
import { formatAddress } from "./address.js";

/** The rings that Rings (0 to 3) and ViewDigest (4 and 5) ask for. */
const ringCount = 6;

interface Address {
  readonly ip: Uint8Array;
  readonly port: number;
  readonly key: number;
  /** Made when it is first asked for. */
  text: string | null;
}

/** References by handle; small, as they are touched for each pair of nodes that know each other. */
class References {
  #counts = new Uint32Array(16);

  /** Whether anybody here refers to it: the hub has one reference for all of them. */
  has(handle: number): boolean {
    return (this.#counts[handle] ?? 0) > 0;
  }

  /** The first reference. */
  begin(handle: number): void {
    if (handle >= this.#counts.length) {
      const larger = new Uint32Array(2 * handle);
      larger.set(this.#counts);
      this.#counts = larger;
    }
    this.#counts[handle] = 1;
  }

  /** One more; false when it would be the first. */
  retain(handle: number): boolean {
    if (!this.has(handle)) return false;
    this.#counts[handle] = (this.#counts[handle] as number) + 1;
    return true;
  }

  /** One less; whether it was the last. False of what nobody refers to, such as 0, of a hub that is full. */
  release(handle: number): boolean {
    if (!this.has(handle)) return false;
    this.#counts[handle] = (this.#counts[handle] as number) - 1;
    return !this.has(handle);
  }
}

/**
 * The hub's names and addresses for all nodes of a thread or a simulation: n nodes hold n references on each of n
 * members, and hash and look up what others have before, so that doing it here, without a call into the addon each, is
 * what makes thousands affordable. What nobody here refers to is asked of the hub, whose queues may still hold it: so
 * handles end when they would without this. All references of a hub's JavaScript have to be taken and given back here.
 */
export class CountedDirectory implements Directory {
  readonly #hub: Hub;
  readonly #nameReferences = new References();
  readonly #names: (string | undefined)[] = [];
  /** By member, then ring: all of them stay in the processor's cache. */
  #ringKeys = new Uint32Array(ringCount * 16);
  readonly #byName = new Map<string, MemberHandle>();
  readonly #addressReferences = new References();
  readonly #addresses: (Address | undefined)[] = [];
  readonly #byKey = new Map<number, AddressHandle>();

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  // --- members

  intern(name: string): MemberHandle {
    const known = this.#byName.get(name);
    const member = known ?? this.#hub.intern(name);
    if (known !== undefined) this.retain(known);
    else if (member !== 0) this.#enter(member, name);
    return member;
  }

  find(name: string): MemberHandle {
    return this.#byName.get(name) ?? this.#hub.find(name);
  }

  retain(member: MemberHandle): boolean {
    if (this.#nameReferences.retain(member)) return true;
    if (!this.#hub.retain(member)) return false;
    this.#enter(member, this.#hub.nameOf(member));
    return true;
  }

  release(member: MemberHandle): void {
    if (!this.#nameReferences.release(member)) return;
    this.#byName.delete(this.#names[member] as string);
    this.#names[member] = undefined;
    this.#hub.release(member);
  }

  nameOf(member: MemberHandle): string {
    return this.#names[member] ?? this.#hub.nameOf(member);
  }

  ringKey(member: MemberHandle, ring: number): number {
    if (!this.#nameReferences.has(member)) return this.#hub.ringKey(member, ring);
    return this.#ringKeys[ringCount * member + ring] as number;
  }

  // --- addresses

  internAddress(ip: Uint8Array, port: number): AddressHandle {
    const key = keyOf(ip, port);
    let address = this.#byKey.get(key) ?? 0;
    if (address !== 0) {
      this.retainAddress(address);
      return address;
    }
    address = this.#hub.internAddress(ip, port);
    // Others than IPv4 have no key, and may be here already.
    if (this.#addresses[address] !== undefined) {
      this.retainAddress(address);
      this.#hub.releaseAddress(address);
    } else if (address !== 0) this.#enterAddress(address, ip.slice(), port);
    return address;
  }

  retainAddress(address: AddressHandle): void {
    if (this.#addressReferences.retain(address)) return;
    this.#hub.retainAddress(address);
    const ip = new Uint8Array(16);
    this.#enterAddress(address, ip, this.#hub.addressOf(address, ip));
  }

  releaseAddress(address: AddressHandle): void {
    if (!this.#addressReferences.release(address)) return;
    this.#byKey.delete((this.#addresses[address] as Address).key);
    this.#addresses[address] = undefined;
    this.#hub.releaseAddress(address);
  }

  addressOf(address: AddressHandle, ip: Uint8Array): number {
    const entry = this.#addresses[address];
    if (entry === undefined) return this.#hub.addressOf(address, ip);
    for (let i = 0; i < 16; i++) ip[i] = entry.ip[i] as number;
    return entry.port;
  }

  /** "1.2.3.4:7946" or "[::1]:7946". */
  addressText(address: AddressHandle): string {
    const entry = this.#addresses[address];
    if (entry !== undefined) return (entry.text ??= formatAddress(entry.ip, entry.port));
    const ip = new Uint8Array(16);
    const port = this.#hub.addressOf(address, ip);
    return formatAddress(ip, port);
  }

  #enter(member: MemberHandle, name: string): void {
    const first = ringCount * member;
    if (first >= this.#ringKeys.length) {
      const larger = new Uint32Array(2 * first);
      larger.set(this.#ringKeys);
      this.#ringKeys = larger;
    }
    for (let ring = 0; ring < ringCount; ring++) this.#ringKeys[first + ring] = this.#hub.ringKey(member, ring);
    this.#nameReferences.begin(member);
    this.#names[member] = name;
    this.#byName.set(name, member);
  }

  #enterAddress(address: AddressHandle, ip: Uint8Array, port: number): void {
    const key = keyOf(ip, port);
    this.#addressReferences.begin(address);
    this.#addresses[address] = { ip, port, key, text: null };
    if (key >= 0) this.#byKey.set(key, address);
  }
}

/** An IPv4 address and its port as one number; -1 for others. */
function keyOf(ip: Uint8Array, port: number): number {
  if (!isMappedIpv4(ip)) return -1;
  const high = (ip[12] as number) * 256 + (ip[13] as number);
  const low = (ip[14] as number) * 256 + (ip[15] as number);
  return (high * 65_536 + low) * 65_536 + port;
}
