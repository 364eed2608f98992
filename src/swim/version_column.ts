import type { MemberHandle } from "../wire/addon.js";
import { type PackedVersions, unknownVersions } from "../wire/versions.js";
import type { MemberPages } from "./member_pages.js";

/** In place of an index: the versions are among the rare ones. */
const rare = 255;

/** The versions of all members, a byte each: a cluster has few different ones, and nearly always one. */
export class VersionColumn {
  readonly #pages: MemberPages;
  readonly #kindsOf = new Map<PackedVersions, number>([[unknownVersions, 0]]);
  readonly #versions: PackedVersions[] = [unknownVersions];
  /** When there have been more kinds than a byte can tell. */
  readonly #rare = new Map<MemberHandle, PackedVersions>();

  constructor(pages: MemberPages) {
    this.#pages = pages;
  }

  of(member: MemberHandle): PackedVersions {
    const kind = this.#pages.versionKindOf(member);
    return (kind === rare ? this.#rare.get(member) : this.#versions[kind]) as PackedVersions;
  }

  set(member: MemberHandle, versions: PackedVersions): void {
    const kind = this.#kindOf(versions);
    if (this.#pages.versionKindOf(member) === rare) this.#rare.delete(member);
    if (kind === rare) this.#rare.set(member, versions);
    this.#pages.setVersionKind(member, kind);
  }

  #kindOf(versions: PackedVersions): number {
    const known = this.#kindsOf.get(versions);
    if (known !== undefined || this.#versions.length === rare) return known ?? rare;
    this.#kindsOf.set(versions, this.#versions.length);
    return this.#versions.push(versions) - 1;
  }
}
