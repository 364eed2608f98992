import { describe, expect, it } from "vitest";
import { resolveConfig } from "../../src/config.js";
import { Checker, type CheckerOptions } from "../../src/sim/checker.js";
import { backwardStep } from "../../src/sim/precedence.js";
import { type SimEvent, Simulation } from "../../src/sim/simulation.js";
import { type ObservedChange, unheardOf } from "../../src/swim/observer.js";
import { Counter } from "../../src/wire/generated/wire/counter.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";

const { alive, suspect, dead, left } = MemberState;

/** What the checker reads of a node; everything is in order, but for what is given. */
interface FakeNode {
  queue?: number;
  messages?: number;
  members?: number;
  sent?: number;
  state?: string;
}

class Scene {
  nowMs = 0;
  readonly nodes: object[] = [];
  readonly checker: Checker;

  constructor(options: Partial<CheckerOptions> = {}, fake: FakeNode = {}) {
    const { queue = 0, messages = 0, members = 3, sent = 0, state = "alive" } = fake;
    const counters = new Map<number, number>([
      [Counter.recordsQueued, 2],
      [Counter.recordsSent, sent],
    ]);
    const node = {
      name: "a",
      address: 1,
      self: 1,
      config: resolveConfig({ name: "a" }),
      endpoint: { queueDepth: () => queue, messageDepth: () => messages },
      swim: { roster: { size: members, addressOf: () => 1 } },
      counter: (counter: number) => counters.get(counter),
      stateOf: () => state,
    };
    this.nodes.push(node);
    const given = { members: 9, healthySinceMs: () => 0, graceMs: 1000, refutationMs: 500, ...options };
    this.checker = new Checker(this as unknown as Simulation, given);
  }

  node(): object {
    return this.nodes[0] as object;
  }

  tell(kind: string, incarnation = 1, payload = "x"): this {
    const event = { atMs: this.nowMs, node: "a", about: "b", kind, incarnation, payload: Buffer.from(payload) };
    this.checker.handleEvent(event as unknown as SimEvent);
    return this;
  }

  check(atMs: number): this {
    this.nowMs = atMs;
    this.checker.check();
    return this;
  }

  get rules(): string[] {
    return this.checker.violations.map(({ rule }) => rule);
  }
}

function change(before: ObservedChange["before"], after: MemberState, incarnation: number): ObservedChange {
  return { before, after, incarnation, by: 0, evidence: 0 };
}

describe("the checker of simulations", () => {
  it.each([
    [["join", "suspect", "fail", "recover", "update", "leave", "join"], []],
    [["join", "join"], ["order"]],
    [["fail"], ["order"]],
    [["join", "fail", "fail"], ["order"]],
    [["leave"], ["order"]],
    [["join", "leave", "leave"], ["order"]],
    [["join", "recover"], ["order"]],
    [["join", "leave", "update"], ["order"]],
  ])("finds in %j %j", (kinds, rules) => {
    const scene = new Scene({ healthySinceMs: () => null });
    for (const kind of kinds) scene.tell(kind);
    expect(scene.rules).toEqual(rules);
  });

  it("finds an incarnation that runs backwards, but for one who joins anew", () => {
    expect(new Scene().tell("join", 4).tell("update", 3).rules).toEqual(["precedence"]);
    expect(new Scene().tell("join", 4).tell("leave", 4).tell("join", 1).rules).toEqual([]);
  });

  it("finds a state that runs backwards, told or not", () => {
    const { checker, rules } = new Scene();
    checker.handleState("a", "b", change(unheardOf, alive, 5));
    checker.handleState("a", "b", change(alive, dead, 5));
    checker.handleState("c", "b", change(unheardOf, alive, 5));
    expect([checker.found, rules]).toEqual([0, []]);
    checker.handleState("a", "b", change(dead, alive, 5));
    expect(checker.violations).toMatchObject([{ rule: "precedence", text: "a: b dead 5 became alive 5" }]);
    checker.forget("a");
    checker.handleState("a", "b", change(alive, alive, 1));
    expect(checker.found).toBe(1);
  });

  it.each([
    [alive, 5, alive, suspect, 5, true],
    [alive, 5, alive, suspect, 4, false],
    [suspect, 5, suspect, alive, 5, false],
    [suspect, 5, suspect, alive, 6, true],
    [dead, 5, dead, left, 5, true],
    [left, 5, left, dead, 5, false],
    [left, 5, left, alive, 1, true],
    [dead, 5, unheardOf, alive, 1, true],
  ])("takes state %d at %d, then from %d to %d at %d, for in order: %s", (was, at, before, after, incarnation, ok) => {
    const last = change(unheardOf, was, at);
    expect(backwardStep(last, change(before as ObservedChange["before"], after, incarnation)) === null).toBe(ok);
  });

  it("counts healthy members that are declared dead, and finds those that stay so", () => {
    const scene = new Scene({}, { state: "dead" });
    scene.nowMs = 2000;
    scene.tell("join").tell("fail");
    expect([scene.checker.falseFailures, scene.check(2500).rules, scene.check(2501).rules]).toEqual([
      1,
      [],
      ["false death"],
    ]);
    const refuted = new Scene();
    refuted.nowMs = 2000;
    expect(refuted.tell("join").tell("fail").check(9000).rules).toEqual([]);
    const young = new Scene({}, { state: "dead" });
    young.nowMs = 999;
    young.tell("join").tell("fail").check(9000);
    expect([young.checker.falseFailures, young.rules]).toEqual([0, []]);
  });

  it("finds a message that comes twice", () => {
    expect(new Scene().tell("message", 1, "x").tell("message", 1, "y").rules).toEqual([]);
    expect(new Scene().tell("message", 1, "x").tell("message", 1, "x").rules).toEqual(["at most once"]);
  });

  it("finds queues, rosters and transmissions beyond their bounds", () => {
    const { queueRecords } = resolveConfig({ name: "a" });
    expect(new Scene({}, { queue: queueRecords, messages: queueRecords, members: 9 }).check(1).rules).toEqual([]);
    expect(new Scene({}, { queue: queueRecords + 1 }).check(1).rules).toEqual(["bounds"]);
    expect(new Scene({}, { messages: queueRecords + 1 }).check(1).rules).toEqual(["bounds"]);
    expect(new Scene({}, { members: 10 }).check(1).rules).toEqual(["bounds"]);
    // Two records, each 4 x ceil(log10(9 + 1)) times, and at once to four ring successors.
    expect(new Scene({}, { sent: 16 }).check(1).rules).toEqual([]);
    expect(new Scene({}, { sent: 17 }).check(1).rules).toEqual(["budget"]);
    // Messages 4 x 3 times.
    expect(new Scene({}, { sent: 32 }).tell("message").check(1).rules).toEqual([]);
    expect(new Scene({}, { sent: 33 }).tell("message").check(1).rules).toEqual(["budget"]);
  });

  it("can see what is still held when nodes are closed", () => {
    const sim = new Simulation({ seed: 1 });
    const [a, b] = [sim.open("a"), sim.open("b")];
    b.join("a");
    sim.run(5000);
    a.close();
    expect(sim.leftovers()).toEqual(["a", "b"]);
    b.close();
    expect(sim.leftovers()).toEqual([]);
    sim.close();
  });
});
