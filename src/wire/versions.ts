/**
 * What a member speaks and understands: six bytes on the wire, here one whole number, so that the record of a member
 * in a table of thousands costs 8 bytes and comparing two is comparing numbers.
 */
import type { Versions } from "./generated/wire/versions.js";

/** Lowest and highest version a member understands, and the one it speaks. Each 0 to 255. */
export interface VersionRange {
  readonly min: number;
  readonly max: number;
  readonly current: number;
}

export interface MemberVersions {
  readonly protocol: VersionRange;
  readonly application: VersionRange;
}

/** The six bytes in the order of the schema, the first the lowest; or unknownVersions. */
export type PackedVersions = number;

/** The member did not say. Never the same as zeros (E-07). */
export const unknownVersions: PackedVersions = -1;

/** The gossip protocols that this code understands, and the one it speaks unless told otherwise (M-046, M-158). */
export const ownProtocol: VersionRange = Object.freeze({ min: 1, max: 1, current: 1 });

const threeBytes = 2 ** 24;

let lastPacked: PackedVersions = unknownVersions;
let lastUnpacked: MemberVersions | null = null;

export function packVersions({ protocol, application }: MemberVersions): PackedVersions {
  return packRange(protocol) + packRange(application) * threeBytes;
}

/** Null when they are unknown. Frozen, because almost all members have the same and so share one. */
export function unpackVersions(packed: PackedVersions): MemberVersions | null {
  if (packed === unknownVersions) return null;
  if (packed !== lastPacked || lastUnpacked === null) {
    const [protocol, application] = [unpackRange(packed % threeBytes), unpackRange(Math.floor(packed / threeBytes))];
    lastUnpacked = Object.freeze({ protocol, application });
    lastPacked = packed;
  }
  return lastUnpacked;
}

/** The struct of a record, which is null where the member said nothing. */
export function readVersions(versions: Versions | null): PackedVersions {
  if (versions === null) return unknownVersions;
  const protocol = versions.protocolMin() + versions.protocolMax() * 256 + versions.protocol() * 65_536;
  const application = versions.applicationMin() + versions.applicationMax() * 256 + versions.application() * 65_536;
  return protocol + application * threeBytes;
}

function packRange({ min, max, current }: VersionRange): number {
  return min + max * 256 + current * 65_536;
}

function unpackRange(bytes: number): VersionRange {
  return Object.freeze({ min: bytes & 255, max: (bytes >> 8) & 255, current: bytes >> 16 });
}
