import { describe, expect, it } from "vitest";
import { refutationJump } from "../../src/swim/member.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { ipOf, recordOf, Stage } from "../support/recorder.js";

const meta = Uint8Array.of(7);

/** What the node says of itself. */
function announcement(stage: Stage, incarnation: number, bytes: number[] = []) {
  return { verb: "queueAlive", subject: stage.self, address: stage.selfAddress, incarnation, meta: bytes };
}

describe("a start", () => {
  it("puts the node on its own roster and announces it, with its metadata and no event", () => {
    const stage = new Stage({}, 1, meta);
    stage.swim.start(1000);
    expect([stage.view("self"), stage.swim.selfIncarnation, stage.events()]).toEqual(["alive 1", 1, []]);
    expect(stage.recorder.take()).toEqual([announcement(stage, 1, [7])]);
    expect([stage.recorder.clusterSize, stage.swim.stats().members]).toEqual([1, 1]);
    expect(stage.heldAfterStop()).toEqual([]);
  });

  it("keeps its own copy of the metadata", () => {
    const bytes = Uint8Array.of(7);
    const stage = new Stage({}, 1, bytes);
    stage.swim.start(1000);
    bytes[0] = 9;
    stage.recorder.take();
    stage.suspect("self", "self", 1);
    expect(stage.recorder.take()).toEqual([announcement(stage, 2, [7])]);
  });
});

describe("a refutation (M-172, T-037 to T-039)", () => {
  it.each([
    ["suspect", 1],
    ["suspect", 2],
    ["death", 1],
    ["death", 40],
    ["death", 65_537],
  ] as const)("answers a %s at %d with a higher incarnation, and costs health", (kind, accused) => {
    const stage = new Stage({}, 1, meta).started().knows("m1");
    stage[kind]("self", "m1", accused);
    expect(stage.view("self")).toBe(`alive ${accused + 1}`);
    expect(stage.swim.selfIncarnation).toBe(accused + 1);
    expect(stage.recorder.take()).toEqual([announcement(stage, accused + 1, [7])]);
    expect(stage.swim.stats()).toMatchObject({ refutations: 1, health: 1 });
    expect(stage.events()).toEqual([]);
  });

  it("answers a farewell in our own name too, as of a former life", () => {
    const stage = new Stage().started();
    stage.farewell("self", 4);
    expect([stage.view("self"), stage.swim.stats().refutations]).toEqual(["alive 5", 1]);
  });

  it("is not made of what an earlier one answered already", () => {
    const stage = new Stage().started().knows("m1");
    stage.suspect("self", "m1", 1);
    stage.suspect("self", "m1", 1);
    stage.death("self", "m1", 1);
    expect([stage.swim.selfIncarnation, stage.swim.stats().refutations]).toEqual([2, 1]);
  });

  it("answers for a former life that counted for months", () => {
    const stage = new Stage().started();
    stage.sync("m1", recordOf("self", { incarnation: 10_000_000, state: MemberState.dead }));
    expect(stage.swim.selfIncarnation).toBe(10_000_001);
  });

  it("is not forced out of the others' reach by accusations that they never heard (E-03)", () => {
    const stage = new Stage().started().knows("m1");
    const others = new Stage().started().knows("m9");
    for (let i = 0; i < 60; i++) stage.death("self", "m1", stage.swim.selfIncarnation + refutationJump);
    expect(stage.swim.selfIncarnation).toBe(1 + 60 * (refutationJump + 1));
    others.alive("m9", { incarnation: stage.swim.selfIncarnation });
    expect(others.view("m9")).toBe(`alive ${stage.swim.selfIncarnation}`);
  });

  it("is not made of nonsense that is beyond every bound", () => {
    const stage = new Stage().started().knows("m1");
    for (const accused of [refutationJump + 2, 2 ** 31, 0xffff_ffff]) stage.death("self", "m1", accused);
    expect([stage.swim.selfIncarnation, stage.swim.stats().health]).toEqual([1, 0]);
  });

  it("counts on past the wrap without using 0", () => {
    const stage = new Stage().started().knows("m1");
    for (let i = 0; i < 5; i++) {
      const own = stage.swim.selfIncarnation;
      stage.alive("self", { incarnation: Math.min(0xffff_fffe, own + 2 ** 29 * 2 - 1) });
    }
    expect(stage.swim.selfIncarnation).toBe(0xffff_ffff);
    stage.suspect("self", "m1", 0xffff_ffff);
    expect(stage.swim.selfIncarnation).toBe(1);
  });
});

describe("an alive about ourselves (section 2.1, M-173)", () => {
  it("as we said it ourselves changes nothing", () => {
    const stage = new Stage({}, 1, meta).started();
    stage.alive("self", { incarnation: 1, meta });
    expect([stage.recorder.take(), stage.view("self")]).toEqual([[], "alive 1"]);
  });

  it.each([
    [1, [8], 2],
    [1, [], 2],
    [3, [7], 4],
    [3, [8], 4],
  ])("of a former life (incarnation %d, metadata %j) is overtaken", (incarnation, bytes, after) => {
    const stage = new Stage({}, 1, meta).started();
    stage.alive("self", { incarnation, meta: Uint8Array.from(bytes) });
    expect(stage.recorder.take()).toEqual([announcement(stage, after, [7])]);
    expect(stage.view("self")).toBe(`alive ${after}`);
  });

  it("that is older is no news", () => {
    const stage = new Stage({}, 1, meta).started().knows("m1");
    stage.suspect("self", "m1", 5);
    stage.forget();
    stage.alive("self", { incarnation: 5, meta: Uint8Array.of(9) });
    expect([stage.recorder.take(), stage.view("self")]).toEqual([[], "alive 6"]);
  });

  it("at another address is a conflict, which is told and answered by nothing (M-170)", () => {
    const stage = new Stage().started();
    stage.alive("self", { incarnation: 9, ip: ipOf(99) });
    expect([stage.view("self"), stage.recorder.take()]).toEqual(["alive 1", []]);
    expect(stage.recorder.conflicts.map(({ member }) => member)).toEqual([stage.self]);
    expect(stage.heldAfterStop()).toEqual([]);
  });
});

describe("an update of metadata (T-015)", () => {
  it("is announced at the next incarnation, and costs no health", () => {
    const stage = new Stage().started();
    const bytes = Uint8Array.of(1, 2);
    stage.swim.updateMeta(2000, bytes);
    bytes[0] = 9;
    expect(stage.recorder.take()).toEqual([announcement(stage, 2, [1, 2])]);
    expect([...stage.swim.roster.metaOf(stage.self)]).toEqual([1, 2]);
    expect(stage.swim.stats()).toMatchObject({ health: 0, refutations: 0 });
  });

  it("does not bring back a node that is leaving (M-174)", () => {
    const stage = new Stage().started().knows("m1");
    stage.swim.leave(2000);
    stage.forget();
    stage.swim.updateMeta(2001, meta);
    expect([stage.view("self"), stage.recorder.take()]).toEqual(["left 1", []]);
  });
});

describe("a leave (M-010, M-174, M-214)", () => {
  function leaving(): Stage {
    const stage = new Stage().started().knows("m1", "m2");
    stage.swim.leave(stage.nowMs);
    return stage;
  }

  it("is announced as a farewell, and the node counts itself out", () => {
    const stage = leaving();
    const self = stage.self;
    expect(stage.recorder.take()).toEqual([
      { verb: "queueDeath", subject: self, from: self, incarnation: 1, evidence: 3 },
    ]);
    expect([stage.view("self"), stage.swim.roster.liveCount, stage.events()]).toEqual(["left 1", 2, []]);
  });

  it("is announced once", () => {
    const stage = leaving();
    stage.recorder.take();
    stage.swim.leave(stage.nowMs + 1);
    expect(stage.recorder.take()).toEqual([]);
  });

  it("is guarded: nothing that others say of us is answered any more", () => {
    const stage = leaving();
    stage.recorder.take();
    stage.alive("self", { incarnation: 9 });
    stage.alive("self", { ip: ipOf(99) });
    stage.suspect("self", "m1", 1);
    stage.death("self", "m1", 2);
    stage.sync("m1", recordOf("self", { incarnation: 4, state: MemberState.dead }));
    expect([stage.view("self"), stage.recorder.take()]).toEqual(["left 1", []]);
    expect(stage.swim.stats()).toMatchObject({ refutations: 0, health: 0, conflicts: 0 });
  });

  it("ends probes and syncs, but not gossip, which has to carry it", () => {
    const stage = leaving();
    stage.recorder.take();
    stage.runTo(stage.nowMs + 120_000);
    const verbs = new Set(stage.recorder.take().map((call) => call.verb));
    expect([...verbs]).toEqual(["gossip"]);
  });

  it("is spread when it waits in the queue no longer, or when nobody is left to hear it", () => {
    const stage = leaving();
    expect(stage.swim.isLeaveSpread()).toBe(false);
    stage.recorder.queued.clear();
    expect(stage.swim.isLeaveSpread()).toBe(true);
    stage.recorder.queued.add(stage.self);
    stage.farewell("m1");
    expect(stage.swim.isLeaveSpread()).toBe(false);
    stage.death("m2", "m1");
    expect(stage.swim.isLeaveSpread()).toBe(true);
  });

  it("of a node that is alone is spread at once", () => {
    const stage = new Stage().started();
    stage.swim.leave(2000);
    expect(stage.swim.isLeaveSpread()).toBe(true);
    expect(stage.heldAfterStop()).toEqual([]);
  });
});
