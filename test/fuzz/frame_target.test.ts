import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { Random } from "../../src/random.js";
import { decodeFrame, encodeFrame, encodeTurn, FrameRejection, packedIn } from "../../src/wire/frames.js";
import { FrameKind } from "../../src/wire/generated/wire/frame-kind.js";
import { TestHub } from "../support/hub.js";
import { recordOf } from "../support/recorder.js";
import { FrameMutator } from "./frame_mutator.js";
import { cluster, FrameTarget } from "./frame_target.js";

const folder = fileURLToPath(new URL("corpus/frame_fuzz/", import.meta.url));
const corpus = readdirSync(folder).map((file) => new Uint8Array(readFileSync(folder + file)));
const hub = new TestHub("manual");
const endpoint = hub.open("fuzz");
const verify = (frame: Uint8Array): boolean => endpoint.verifyFrame(frame);
afterAll(() => hub.close());

/** A clock that stands still: how long a turn takes is no matter of these tests. */
function target(nowMs = (): number => 0): FrameTarget {
  return new FrameTarget(verify, nowMs);
}

async function signatures(frames: Iterable<readonly Uint8Array[]>): Promise<Set<string>> {
  const under = target();
  const seen = new Set<string>();
  for (const turn of frames) seen.add((await under.run(turn)).signature);
  under.endLife();
  return seen;
}

function* hostile(seed: number, turns: number): Generator<Uint8Array[]> {
  const mutator = new FrameMutator(new Random(seed), [...corpus]);
  for (let i = 0; i < turns; i++) yield mutator.turn();
}

describe("the corpus", () => {
  it("has a valid frame of every kind, and a packed one", () => {
    const limits = { maxMembers: 1000, maxMetaBytes: 512 };
    const kinds = corpus.filter((frame) => packedIn(frame) === null).map((frame) => decodeFrame(frame, limits));
    const all = Object.values(FrameKind).filter((kind) => typeof kind === "number");
    const found = kinds.map((frame) => (frame instanceof FrameRejection ? frame.message : frame.kind));
    expect(found.sort()).toEqual(all.sort());
    expect(corpus.length).toBe(kinds.length + 1);
  });

  it("is applied, every frame of it", async () => {
    const under = target();
    for (const frame of corpus) expect(await under.run([frame])).toMatchObject({ isApplied: true });
    under.endLife();
  });
});

describe("hostile turns", () => {
  it("are refused or change the membership, and nothing else, in a great many ways", async () => {
    const seen = await signatures(hostile(1, 6000));
    expect(seen.size).toBeGreaterThan(100);
    for (const kind of ["syncRequest", "syncReply", "digest", "digestReply", "digestFill"]) {
      expect(
        [...seen].some((way) => way.startsWith(kind)),
        kind,
      ).toBe(true);
    }
  });

  it("that name another cluster put nothing of theirs into a log but a line", async () => {
    const frame = encodeFrame({ kind: FrameKind.syncReply, cluster: `\u001b[2J\n${"x".repeat(9000)}`, source: "m1" });
    expect(await target().run([frame])).toEqual({ isApplied: false, signature: "cluster #" });
  });

  it("are the same from the same seed", () => {
    const [one, two, other] = [1, 1, 2].map((seed) => [...hostile(seed, 50)]);
    expect(two).toEqual(one);
    expect(other).not.toEqual(one);
  });
});

describe("the target", () => {
  const record = recordOf("m1", { incarnation: 3 });
  const head = { kind: FrameKind.syncReply, cluster, source: "m1" };
  const sync = [...encodeTurn(head, [record], new Uint8Array(0))];

  it("finds a turn that takes too long", async () => {
    let nowMs = 0;
    const slow = target(() => (nowMs += 5000));
    await expect(slow.run(sync)).rejects.toThrow("a turn that takes 5000 ms");
  });

  it("finds an error that is no fault of the stream", async () => {
    const broken = new FrameTarget(() => {
      throw new RangeError("out of bounds");
    }, Date.now);
    await expect(broken.run(sync)).rejects.toThrow(RangeError);
  });

  it("finds that we tell what others cannot verify", async () => {
    let asked = 0;
    const broken = new FrameTarget(() => asked++ < 1, Date.now);
    const digest = [...encodeTurn({ ...head, kind: FrameKind.digest }, [], new Uint8Array(4))];
    await expect(broken.run(digest)).rejects.toThrow("we encode what does not verify");
  });
});
