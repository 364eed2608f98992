import type { MemberHandle } from "../wire/addon.js";
import { type PackedVersions, unknownVersions } from "../wire/versions.js";
import { grown } from "./grown.js";

/** In place of an index: the versions are among the rare ones. */
const rare = 255;

/** The versions of all members, a byte each: a cluster has few different ones, and nearly always one. */
export class VersionColumn {
  #kinds = new Uint8Array(16);
  readonly #kindsOf = new Map<PackedVersions, number>([[unknownVersions, 0]]);
  readonly #versions: PackedVersions[] = [unknownVersions];
  /** When there have been more kinds than a byte can tell. */
  readonly #rare = new Map<MemberHandle, PackedVersions>();

  /** Makes room for members up to this one. */
  reserve(member: MemberHandle): void {
    if (member >= this.#kinds.length) this.#kinds = grown(this.#kinds, Uint8Array, member + 1);
  }

  of(member: MemberHandle): PackedVersions {
    const kind = this.#kinds[member] ?? 0;
    return (kind === rare ? this.#rare.get(member) : this.#versions[kind]) as PackedVersions;
  }

  set(member: MemberHandle, versions: PackedVersions): void {
    this.reserve(member);
    const kind = this.#kindOf(versions);
    if (this.#kinds[member] === rare) this.#rare.delete(member);
    if (kind === rare) this.#rare.set(member, versions);
    this.#kinds[member] = kind;
  }

  #kindOf(versions: PackedVersions): number {
    const known = this.#kindsOf.get(versions);
    if (known !== undefined || this.#versions.length === rare) return known ?? rare;
    this.#kindsOf.set(versions, this.#versions.length);
    return this.#versions.push(versions) - 1;
  }
}
