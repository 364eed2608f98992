import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, describe, expect, it } from "vitest";
import { resolveConfig } from "../../src/config.js";
import { DropWatch } from "../../src/io/drops.js";
import { Log } from "../../src/io/log.js";
import { Past } from "../../src/io/past.js";
import { newStreamStats } from "../../src/io/stream_limits.js";
import { Witness } from "../../src/io/witness.js";
import type { Logger } from "../../src/options.js";
import { ProbeEnd, unheardOf } from "../../src/swim/observer.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { Lines } from "../support/lines.js";
import { FakeDirectory } from "../support/recorder.js";

class Scene {
  readonly lines = new Lines();
  readonly directory = new FakeDirectory();
  readonly waiting: (() => void)[] = [];
  readonly witness: Witness;

  constructor(isSilent = false) {
    const drops = new DropWatch({ counters: () => ({}) as never, streams: newStreamStats(), unknownOrigins: () => 0 });
    const log = new Log(isSilent ? null : this.lines, "self");
    const later = (call: () => void): void => void this.waiting.push(call);
    const past = new Past({ directory: this.directory, nowMs: () => 0, maxMembers: 0 });
    this.witness = new Witness({ node: "self", self: 1, directory: this.directory, log, drops, past, later });
  }

  /** The core comes to rest. */
  rest(): string[] {
    for (const call of this.waiting.splice(0)) call();
    return this.lines.lines.splice(0).map(({ level, event }) => `${level} ${event}`);
  }
}

const stop: (() => void)[] = [];
afterEach(() => {
  for (const end of stop.splice(0)) end();
});

function heardOn(name: string): unknown[] {
  const messages: unknown[] = [];
  const hear = (message: unknown): void => void messages.push(message);
  subscribe(`tattler:${name}`, hear);
  stop.push(() => unsubscribe(`tattler:${name}`, hear));
  return messages;
}

const suspicionOf = (subject: number, from: number, confirmations: number) => ({
  subject,
  from,
  incarnation: 7,
  evidence: Evidence.timeout,
  confirmations,
  expected: 2,
  timeoutMs: 400,
});

describe("what a core does is told", () => {
  it("to nobody, at no cost, while there is neither a logger nor a subscriber", () => {
    const { witness, waiting, directory } = new Scene(true);
    // No such handles: to look a name up would throw.
    witness.probeStarted(5, 0);
    witness.probeEnded(5, ProbeEnd.failed, -1, 1);
    witness.suspected(0, suspicionOf(5, 6, 0));
    witness.refuted(0, 6, 1, Evidence.timeout, 2);
    witness.became(0, 5, { before: unheardOf, after: 0, incarnation: 1, by: 6, evidence: 0 });
    witness.healthChanged(0, 1);
    witness.quarantined(true);
    witness.conflict(0, () => ({ name: directory.nameOf(5), address: "", claimedBy: "" }));
    witness.settle();
    expect(waiting).toEqual([]);
  });

  it("when the core is at rest, by the names of that time", () => {
    const scene = new Scene();
    const messages = heardOn("suspicion");
    const member = scene.directory.intern("m");
    scene.witness.suspected(0, suspicionOf(member, 0, 1));
    scene.directory.release(member);
    expect([messages, scene.lines.lines]).toEqual([[], []]);
    scene.rest();
    const accusation = { member: "m", kind: "confirmed", accusedBy: "", evidence: "timeout", incarnation: 7 };
    const timing = { confirmations: 1, expectedConfirmations: 2, timeoutMs: 400 };
    expect(messages).toEqual([{ node: "self", ...accusation, ...timing }]);
  });

  it("as an error, when we stay out because our links are bad, and as good news when we are back", () => {
    const { witness, lines, waiting } = new Scene();
    for (const isOn of [true, false]) witness.quarantined(isOn);
    for (const call of waiting) call();
    expect(lines.lines.map(({ level, event }) => [level, event])).toEqual([
      ["error", "quarantine"],
      ["info", "quarantine_over"],
    ]);
  });

  it("as lines: who accuses us, that UDP seems blocked, that we are deaf and no longer", () => {
    const { witness, directory, lines, waiting } = new Scene();
    const [a, b] = [directory.intern("a"), directory.intern("b")];
    witness.refuted(0, a, 3, Evidence.expired, 4);
    witness.probeEnded(b, ProbeEnd.tcp, 120, 0);
    witness.healthChanged(0, 2);
    for (const end of [ProbeEnd.inconclusive, ProbeEnd.gone, ProbeEnd.inconclusive, ProbeEnd.failed]) {
      witness.probeEnded(b, end, -1, 2);
    }
    for (const call of waiting) call();
    const told = lines.lines.filter(({ event }) => event !== "probe");
    expect(told.map(({ message: _, ...fields }) => fields)).toEqual([
      {
        level: "warn",
        event: "refuted",
        node: "self",
        accusedBy: "a",
        evidence: "expired",
        accusedIncarnation: 3,
        incarnation: 4,
      },
      { level: "warn", event: "udp_blocked", node: "self", member: "b" },
      { level: "debug", event: "health", node: "self", health: 2, before: 0 },
      { level: "warn", event: "deaf", node: "self" },
      { level: "info", event: "hearing", node: "self" },
    ]);
    expect(lines.of("probe").map(({ how }) => how)).toEqual(["tcp", "inconclusive", "gone", "inconclusive", "failed"]);
  });

  it("as state messages that say why", () => {
    const scene = new Scene();
    const messages = heardOn("state") as { from: string; to: string; why: string; by: string }[];
    const [m, by] = [scene.directory.intern("m"), scene.directory.intern("b")];
    const { alive, suspect, dead, left } = MemberState;
    const became = (before: number, after: MemberState, from = 0, evidence = Evidence.hearsay): void =>
      scene.witness.became(0, m, { before, after, incarnation: 1, by: from, evidence });
    became(unheardOf, alive);
    became(alive, suspect, by, Evidence.timeout);
    became(suspect, alive);
    became(alive, dead, by, Evidence.expired);
    became(dead, alive);
    became(alive, left, m, Evidence.farewell);
    became(left, alive);
    scene.rest();
    expect(messages.map(({ from, to, why, by }) => `${from} ${to} ${why} ${by}`)).toEqual([
      "null alive new ",
      "alive suspect timeout b",
      "suspect alive refuted ",
      "alive dead expired b",
      "dead alive recovered ",
      "alive left farewell m",
      "left alive returned ",
    ]);
    expect(messages[0]).toEqual({
      node: "self",
      member: "m",
      from: null,
      to: "alive",
      incarnation: 1,
      why: "new",
      by: "",
    });
  });

  it("as one line every 10 s about claims of a name, with their number", () => {
    const { witness, lines, waiting } = new Scene();
    const claim = () => ({ name: "m", address: "10.0.0.1:1", claimedBy: "10.0.0.2:1" });
    for (const nowMs of [0, 1, 9_999, 10_000, 10_001]) witness.conflict(nowMs, claim);
    for (const call of waiting) call();
    expect(lines.lines.map(({ event, member, claims }) => [event, member, claims])).toEqual([
      ["name_conflict", "m", 1],
      ["name_conflict", "m", 3],
    ]);
  });
});

describe("a logger", () => {
  const failing = (fail: () => unknown) => ({ trace: fail, debug: fail, info: fail, warn: fail, error: fail });

  it("that throws or rejects is ignored", async () => {
    const throws = new Log(
      failing(() => {
        throw new Error("full disk");
      }),
      "self",
    );
    expect(throws.warn("drops", {}, "")).toBe(undefined);
    const rejects = new Log(
      failing(() => Promise.reject(new Error("no network"))),
      "self",
    );
    // An unhandled rejection would fail the run.
    rejects.info("start", {}, "");
    await new Promise((resolve) => setImmediate(resolve));
  });

  it.each([null, "pino", {}, { ...failing(() => {}), warn: undefined }])("must have all methods: not %j", (logger) => {
    const create = () => resolveConfig({ name: "a", logger: logger as unknown as Logger });
    expect(create).toThrow(/^option logger: it has no method (trace|warn); give one with trace, debug,/);
  });

  it("keeps its `this`", () => {
    class Counting {
      lines = 0;
      info(): void {
        this.lines++;
      }
      trace = this.info;
      debug = this.info;
      warn = this.info;
      error = this.info;
    }
    const logger = new Counting();
    new Log(logger, "self").info("start", {}, "");
    expect(logger.lines).toBe(1);
  });
});

describe("drops are summed up", () => {
  it("as what changed since the last summary, at most every 10 s", () => {
    const counters = { dropReplay: 0, dropMagic: 0, datagramsSent: 5, sendErrors: 0 };
    const streams = newStreamStats();
    const watch = new DropWatch({ counters: () => counters as never, streams, unknownOrigins: () => 0 });
    expect(watch.take(0)).toBe(null);
    counters.dropReplay = 3;
    streams.rejectedSeal = 1;
    expect(watch.take(999)).toBe(null);
    expect(watch.take(1000)).toEqual({ dropReplay: 3, "streams.rejectedSeal": 1 });
    counters.dropReplay = 5;
    counters.sendErrors = 2;
    expect(watch.take(10_999)).toBe(null);
    expect(watch.take(11_000)).toEqual({ dropReplay: 2, sendErrors: 2 });
    counters.datagramsSent = 9;
    expect(watch.take(30_000)).toBe(null);
  });
});
