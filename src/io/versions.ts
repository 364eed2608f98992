/** Versions between the options of a node, the wire and what users see (M-017, M-065, M-154). */
import type { Config } from "../config.js";
import { explainVersions } from "../swim/versions.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { MemberRecord } from "../wire/records.js";
import {
  ownProtocol,
  type PackedVersions,
  packVersions,
  unknownVersions,
  unpackVersions,
  type VersionRange,
} from "../wire/versions.js";

export function versionsOfConfig({ protocolVersion, applicationVersion }: Config): PackedVersions {
  return packVersions({ protocol: { ...ownProtocol, current: protocolVersion }, application: applicationVersion });
}

/** As snapshots and claims show them. */
export function rangesOf(versions: PackedVersions): {
  readonly protocol: VersionRange | null;
  readonly application: VersionRange | null;
} {
  return unpackVersions(versions) ?? { protocol: null, application: null };
}

/**
 * Why we trade no states with the peer that sent these records, or null. Only its own record counts, and only while
 * it is live (E-08); what it knows of others is judged one by one when it is merged.
 */
export function versionMismatch(config: Config, peer: string, records: readonly MemberRecord[]): string | null {
  const record = records.find(({ name, state }) => name === peer && state <= MemberState.suspect);
  const own = { name: config.name, versions: versionsOfConfig(config) };
  return explainVersions(own, { name: peer, versions: record?.versions ?? unknownVersions });
}
