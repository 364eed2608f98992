import { type PackedVersions, unpackVersions, type VersionRange } from "../wire/versions.js";

/** What a member's versions mean to us. */
export const VersionVerdict = {
  /** Each understands what the other speaks, or one of the two did not say. */
  compatible: "compatible",
  /** One speaks what the other does not understand. */
  incompatible: "incompatible",
  /** No member can have such a range: its ends are swapped, or it does not hold what the member speaks (M-159). */
  impossible: "impossible",
} as const;
export type VersionVerdict = (typeof VersionVerdict)[keyof typeof VersionVerdict];

/**
 * Whether a live member can be one of ours: protocol and application must fit, both ways. Judged between the two
 * alone. memberlist intersects the ranges of everybody it knows, the dead and those without a range too, so that one
 * odd record refuses every join and sync of the cluster (E-07, E-08); here it refuses nobody but itself.
 */
export function judgeVersions(own: PackedVersions, theirs: PackedVersions): VersionVerdict {
  const them = unpackVersions(theirs);
  if (them === null) return VersionVerdict.compatible;
  if (!isPossible(them.protocol) || !isPossible(them.application)) return VersionVerdict.impossible;
  const us = unpackVersions(own);
  if (us === null) return VersionVerdict.compatible;
  const fits = areMutual(us.protocol, them.protocol) && areMutual(us.application, them.application);
  return fits ? VersionVerdict.compatible : VersionVerdict.incompatible;
}

/** Says, for the one that is refused, what does not fit; null when all does. */
export function explainVersions(
  own: { readonly name: string; readonly versions: PackedVersions },
  theirs: { readonly name: string; readonly versions: PackedVersions },
): string | null {
  const verdict = judgeVersions(own.versions, theirs.versions);
  const us = unpackVersions(own.versions);
  const them = unpackVersions(theirs.versions);
  if (verdict === VersionVerdict.compatible || them === null) return null;
  if (verdict === VersionVerdict.impossible || us === null) {
    const [protocol, application] = [textOf(them.protocol), textOf(them.application)];
    return `${theirs.name} has impossible versions: protocol ${protocol}, application ${application}`;
  }
  const kind = areMutual(us.protocol, them.protocol) ? "application" : "protocol";
  return `${kind} versions do not fit: ${theirs.name} ${textOf(them[kind])}, ${own.name} ${textOf(us[kind])}`;
}

function isPossible({ min, max, current }: VersionRange): boolean {
  return min <= current && current <= max;
}

function areMutual(a: VersionRange, b: VersionRange): boolean {
  return understands(a, b.current) && understands(b, a.current);
}

function understands({ min, max }: VersionRange, version: number): boolean {
  return min <= version && version <= max;
}

function textOf({ min, max, current }: VersionRange): string {
  return `speaks ${current} and understands ${min} to ${max}`;
}
