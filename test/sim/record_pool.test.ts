import { expect, it } from "vitest";
import { RecordPool } from "../../src/sim/record_pool.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import type { MemberRecord } from "../../src/wire/records.js";
import { ipOf } from "../support/recorder.js";

const { alive, dead } = MemberState;
const record = (changes: Partial<MemberRecord> = {}): MemberRecord => {
  return { name: "a", ip: ipOf(1), port: 1, incarnation: 1, state: alive, meta: Uint8Array.of(1), ...changes };
};

it("gives one object for what is said twice, and what was given for what differs in anything", () => {
  const pool = new RecordPool();
  const [first] = pool.shared([record()]);
  expect(pool.shared([record(), record({ name: "b" }), record()])).toEqual([record(), record({ name: "b" }), record()]);
  expect(pool.shared([record()])[0]).toBe(first);
  const different: Partial<MemberRecord>[] = [
    { ip: ipOf(2) },
    { port: 2 },
    { incarnation: 2 },
    { state: dead },
    { meta: Uint8Array.of(2) },
    { versions: 5 },
  ];
  for (const changes of different) {
    const given = record(changes);
    expect(pool.shared([given])[0]).toBe(given);
    expect(pool.shared([record()])).toEqual([record()]);
  }
});
