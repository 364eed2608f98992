import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import type { AliveView } from "../wire/records.js";
import type { PackedVersions } from "../wire/versions.js";
import type { Effects } from "./effects.js";
import { judgeVersions, VersionVerdict } from "./versions.js";

/** Which claims may be considered at all, whatever they claim; counts those that may not. */
export class Gate {
  /** Alives that were dropped for their versions. */
  incompatible = 0;
  impossible = 0;
  /** Claims of an address where no member may be. */
  disallowed = 0;
  /** Claims of a name that no member may have. */
  misnamed = 0;
  readonly #metaMaxBytes: number;
  readonly #self: { readonly handle: MemberHandle; readonly versions: PackedVersions };
  readonly #effects: Effects;
  readonly #ip = new Uint8Array(16);

  constructor(
    metaMaxBytes: number,
    self: { readonly handle: MemberHandle; readonly versions: PackedVersions },
    effects: Effects,
  ) {
    this.#metaMaxBytes = metaMaxBytes;
    this.#self = self;
    this.#effects = effects;
  }

  get refusals() {
    const { incompatible, impossible, disallowed, misnamed } = this;
    return { incompatibleVersions: incompatible, impossibleVersions: impossible, disallowed, misnamed };
  }

  /** Of others' metadata what is too long is not cut but ignored (E-26). */
  takesMeta(meta: Uint8Array | null): boolean {
    return meta === null || meta.length <= this.#metaMaxBytes;
  }

  /** What of our own comes back to us is not judged: the answer to a former life is a new incarnation. */
  takesVersions(subject: MemberHandle, versions: PackedVersions): boolean {
    const verdict = judgeVersions(this.#self.versions, versions);
    if (verdict === VersionVerdict.impossible) this.impossible++;
    else if (verdict === VersionVerdict.incompatible && subject !== this.#self.handle) this.incompatible++;
    else return true;
    return false;
  }

  /** Takes a reference on the address of the record; 0 when no member may be there. */
  addressOf(alive: AliveView): AddressHandle {
    const port = alive.ip(this.#ip);
    if (this.#effects.mayBeAt?.(this.#ip) === false) {
      this.disallowed++;
      return 0;
    }
    return this.#effects.directory.internAddress(this.#ip, port);
  }

  /**
   * Takes a reference on the member of the record; 0 when no member may have its name, or there is no room.
   * @param subject 0 when its name is new. Nobody may refer to it any more, and the name be another handle's.
   */
  memberOf(subject: MemberHandle, alive: AliveView): MemberHandle {
    const { directory } = this.#effects;
    const isHeld = subject !== 0 && directory.retain(subject);
    const name = isHeld ? directory.nameOf(subject) : alive.name();
    if (this.#effects.mayBeCalled?.(name) === false) {
      this.misnamed++;
      if (isHeld) directory.release(subject);
      return 0;
    }
    return isHeld ? subject : directory.intern(name);
  }
}
