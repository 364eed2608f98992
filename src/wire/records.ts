import type { MemberState } from "./generated/wire/member-state.js";
import type { PackedVersions } from "./versions.js";

/** One member as a state sync carries it. Its bytes stay as they are. */
export interface MemberRecord {
  readonly name: string;
  /** 16 bytes, IPv4 mapped into IPv6, so that one address has one form (E-10). */
  readonly ip: Uint8Array;
  readonly port: number;
  readonly incarnation: number;
  readonly state: MemberState;
  readonly meta: Uint8Array;
  /** Left out: unknown. */
  readonly versions?: PackedVersions;
}

/** An alive record read in place over the slab; valid until the handler it was given to returns. */
export interface AliveView {
  /** For Broadcasts.relay. */
  readonly ringIndex: number;
  /** Told in a state sync by somebody else than the member itself. */
  readonly isHearsay: boolean;
  name(): string;
  /** Copies the 16 bytes of IP and returns the port. */
  ip(into: Uint8Array): number;
  /** A view, not a copy; null when empty. */
  meta(): Uint8Array | null;
  versions(): PackedVersions;
}
