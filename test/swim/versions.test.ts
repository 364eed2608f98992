import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { explainVersions, judgeVersions } from "../../src/swim/versions.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { packVersions, unknownVersions, unpackVersions, type VersionRange } from "../../src/wire/versions.js";
import { ipOf, recordOf, Stage } from "../support/recorder.js";

type Bytes = readonly [min: number, max: number, current: number];

const rangeOf = ([min, max, current]: Bytes): VersionRange => ({ min, max, current });
const versions = (protocol: Bytes, application: Bytes): number =>
  packVersions({ protocol: rangeOf(protocol), application: rangeOf(application) });
/** Speaks 1 and understands only that; the application's versions as given. */
const app = (...application: Bytes): number => versions([1, 1, 1], application);

const own = app(1, 3, 2);

describe("the versions of a member (M-154, M-158, M-159, T-010, T-034, T-042)", () => {
  const matrix: [what: string, ours: number, theirs: number, verdict: string][] = [
    ["the same", own, own, "compatible"],
    ["a newer one that still understands ours", own, app(2, 9, 3), "compatible"],
    ["an older one that we still understand", own, app(0, 2, 1), "compatible"],
    ["one that speaks what we do not understand", own, app(1, 4, 4), "incompatible"],
    ["one that does not understand what we speak", own, app(3, 3, 3), "incompatible"],
    ["one of another time altogether", own, app(200, 255, 255), "incompatible"],
    ["another protocol", own, versions([2, 2, 2], [1, 3, 2]), "incompatible"],
    ["another protocol that understands ours, but speaks its own", own, versions([1, 2, 2], [1, 3, 2]), "incompatible"],
    ["a protocol of both, spoken as ours", own, versions([1, 2, 1], [1, 3, 2]), "compatible"],
    ["protocol 0, which is a version like another", own, versions([0, 0, 0], [1, 3, 2]), "incompatible"],
    ["one that did not say (E-07)", own, unknownVersions, "compatible"],
    ["whatever, when we did not say", unknownVersions, app(9, 9, 9), "compatible"],
    ["swapped ends", own, app(3, 1, 2), "impossible"],
    ["speaking below its range", own, app(2, 3, 1), "impossible"],
    ["speaking above its range", own, app(1, 2, 3), "impossible"],
    ["swapped ends of the protocol", own, versions([2, 1, 1], [1, 3, 2]), "impossible"],
    ["impossible, even when we did not say", unknownVersions, app(3, 1, 2), "impossible"],
  ];
  it.each(matrix)("%s", (_, ours, theirs, verdict) => {
    expect(judgeVersions(ours, theirs)).toBe(verdict);
  });

  const anyRange = fc
    .tuple(fc.nat(255), fc.nat(255), fc.nat(255))
    .map((bytes) => [...bytes].sort((a, b) => a - b))
    .map(([min, current, max]) => ({ min, max, current }) as VersionRange);
  const anyVersions = fc.record({ protocol: anyRange, application: anyRange });

  it("are judged alike by both", () => {
    fc.assert(
      fc.property(anyVersions, anyVersions, (a, b) => {
        expect(judgeVersions(packVersions(a), packVersions(b))).toBe(judgeVersions(packVersions(b), packVersions(a)));
      }),
    );
  });

  it("are one number and back", () => {
    fc.assert(
      fc.property(anyVersions, (given) => {
        expect(unpackVersions(packVersions(given))).toEqual(given);
      }),
    );
    expect([unpackVersions(unknownVersions), unpackVersions(0)?.protocol]).toEqual([
      null,
      { min: 0, max: 0, current: 0 },
    ]);
    expect(packVersions({ protocol: rangeOf([1, 2, 3]), application: rangeOf([4, 5, 6]) })).toBe(0x060504030201);
  });

  it("that do not fit are named, both ranges", () => {
    const explain = (theirs: number) =>
      explainVersions({ name: "us", versions: own }, { name: "them", versions: theirs });
    expect(explain(app(5, 6, 5))).toBe(
      "application versions do not fit: them speaks 5 and understands 5 to 6, us speaks 2 and understands 1 to 3",
    );
    expect(explain(versions([2, 2, 2], [1, 3, 2]))).toMatch(
      /^protocol versions do not fit: them speaks 2 .* us speaks 1/,
    );
    expect(explain(app(3, 1, 2))).toMatch(
      /^them has impossible versions: .*application speaks 2 and understands 3 to 1/,
    );
    expect([explain(own), explain(unknownVersions)]).toEqual([null, null]);
  });
});

describe("a member", () => {
  const newStage = () => new Stage({}, 1, new Uint8Array(0), own).started();

  it("that does not fit is not admitted, not relayed and counted, by gossip and by sync alike (M-154)", () => {
    const stage = newStage();
    stage.alive("m1", { versions: app(5, 6, 5) });
    stage.sync("peer", recordOf("m1", { versions: app(5, 6, 5) }));
    stage.sync("peer", recordOf("m1", { versions: app(5, 6, 5), state: MemberState.suspect }));
    expect([stage.view("m1"), stage.recorder.take(), stage.events()]).toEqual(["unknown", [], []]);
    expect(stage.swim.stats()).toMatchObject({ incompatibleVersions: 3, impossibleVersions: 0 });
    expect(stage.heldAfterStop()).toEqual([]);
  });

  it("of an impossible range is dropped and counted (M-159, T-034)", () => {
    const stage = newStage();
    stage.alive("m1", { versions: app(3, 1, 2) });
    stage.sync("peer", recordOf("m1", { versions: app(1, 2, 3) }));
    expect([stage.view("m1"), stage.recorder.take()]).toEqual(["unknown", []]);
    expect(stage.swim.stats()).toMatchObject({ incompatibleVersions: 0, impossibleVersions: 2 });
  });

  it("that does not fit leaves everybody else's record of the same sync alone (E-07, E-08)", () => {
    const stage = newStage();
    stage.sync(
      "peer",
      recordOf("m1", { versions: app(5, 6, 5) }),
      recordOf("m2", { versions: app(2, 9, 3) }),
      recordOf("m3"),
      recordOf("m4", { versions: app(9, 9, 9), state: MemberState.dead }),
      recordOf("m5", { versions: app(9, 9, 9), state: MemberState.left }),
    );
    const views = ["m1", "m2", "m3", "m4", "m5"].map((name) => stage.view(name));
    expect(views).toEqual(["unknown", "alive 1", "alive 1", "dead 1", "left 1"]);
    stage.sync("peer", recordOf("m6", { versions: own }));
    expect(stage.view("m6")).toBe("alive 1");
  });

  it("is told on with its versions, and without any when it gave none (never zeros)", () => {
    const stage = newStage();
    stage.sync("peer", recordOf("m1", { versions: app(2, 9, 3) }), recordOf("m2"));
    const queued = stage.recorder.take("queueAlive").map(({ versions: told }) => told);
    expect(queued).toEqual([app(2, 9, 3), undefined]);
    const told = new Map(stage.swim.sync.localRecords().map((record) => [record.name, record.versions]));
    expect([told.get("m1"), told.get("m2"), told.get("self")]).toEqual([app(2, 9, 3), undefined, own]);
  });

  it("changes its versions with a new incarnation only, and that is an update", () => {
    const stage = newStage();
    stage.alive("m1", { versions: app(1, 3, 2) });
    stage.alive("m1", { versions: app(1, 4, 3) });
    expect(stage.swim.roster.versionsOf(stage.handle("m1"))).toBe(app(1, 3, 2));
    stage.alive("m1", { versions: app(1, 4, 3), incarnation: 2 });
    expect(stage.swim.roster.versionsOf(stage.handle("m1"))).toBe(app(1, 4, 3));
    expect(stage.events()).toEqual(["join m1", "update m1"]);
  });

  it("that left and comes back without versions has none, not the old ones", () => {
    const stage = newStage();
    stage.alive("m1", { versions: app(1, 3, 2) });
    stage.farewell("m1");
    stage.alive("m1", { incarnation: 2, ip: ipOf(9) });
    expect(stage.swim.roster.versionsOf(stage.handle("m1"))).toBe(unknownVersions);
  });

  it("which is ourselves with other versions is a former life, answered with a new incarnation (M-173)", () => {
    const stage = newStage();
    stage.alive("self", { versions: app(1, 3, 1) });
    expect(stage.recorder.take("queueAlive")).toMatchObject([{ incarnation: 2, versions: own }]);
    stage.alive("self", { versions: app(7, 7, 7), incarnation: 5 });
    expect(stage.recorder.take("queueAlive")).toMatchObject([{ incarnation: 6, versions: own }]);
    stage.alive("self", { incarnation: 6 });
    stage.alive("self", { incarnation: 6, versions: own });
    expect(stage.recorder.take()).toEqual([]);
    expect(stage.swim.stats().incompatibleVersions).toBe(0);
  });
});
