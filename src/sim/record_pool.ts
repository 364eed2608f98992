import { isSameMeta } from "../swim/member.js";
import type { MemberRecord } from "../wire/records.js";

/**
 * One object for what many say alike. When thousands join at the same instant as many answers are under way, each with
 * thousands of records; on a network they would be bytes.
 */
export class RecordPool {
  readonly #latest = new Map<string, MemberRecord>();

  shared(records: readonly MemberRecord[]): MemberRecord[] {
    return records.map((record) => {
      const known = this.#latest.get(record.name);
      if (known !== undefined && isSame(known, record)) return known;
      this.#latest.set(record.name, record);
      return record;
    });
  }
}

function isSame(known: MemberRecord, { ip, port, incarnation, state, meta, versions }: MemberRecord): boolean {
  if (known.incarnation !== incarnation || known.state !== state || known.port !== port) return false;
  if (known.versions !== versions || !isSameMeta(known.meta, meta)) return false;
  for (let i = 0; i < 16; i++) if (known.ip[i] !== ip[i]) return false;
  return true;
}
