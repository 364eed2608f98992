import type { Directory } from "../swim/effects.js";
import type { AddressHandle } from "../wire/addon.js";
import { writeMappedIpv4 } from "../wire/ip.js";

export const simulatedPort = 7946;
/** 10.0.0.0; a number is added. */
const firstIp = 0x0a000000;

/** Where each name is or was last. Every address has a reference: a node that comes back has its old one. */
export class Addresses {
  readonly #directory: Pick<Directory, "internAddress" | "releaseAddress">;
  readonly #byName = new Map<string, AddressHandle>();
  readonly #names = new Map<AddressHandle, string>();
  #usedIps = 0;

  constructor(directory: Pick<Directory, "internAddress" | "releaseAddress">) {
    this.#directory = directory;
  }

  /** Every name that was ever used. */
  names(): string[] {
    return [...this.#byName.keys()];
  }

  nameAt(address: AddressHandle): string | null {
    return this.#names.get(address) ?? null;
  }

  /** @param isNew another one than the name had before. */
  of(name: string, isNew: boolean): AddressHandle {
    const old = this.#byName.get(name);
    if (old !== undefined && !isNew) return old;
    if (old !== undefined) {
      this.#names.delete(old);
      this.#directory.releaseAddress(old);
    }
    const ip = new Uint8Array(16);
    writeMappedIpv4(firstIp + ++this.#usedIps, ip);
    const address = this.#directory.internAddress(ip, simulatedPort);
    this.#byName.set(name, address);
    this.#names.set(address, name);
    return address;
  }
}
