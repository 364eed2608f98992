import { describe, expect, it } from "vitest";
import type { MemberClaim } from "../src/delegates.js";
import { allSee, closeAfterEach, errorOf, newNode, until } from "./support/nodes.js";

closeAfterEach();

const range = (min: number, max: number, current: number) => ({ applicationVersion: { min, max, current } });

describe("versions of nodes (M-017, M-065, T-010)", () => {
  it("show on members, by gossip and by sync alike", async () => {
    const seed = await newNode("seed", range(1, 3, 2));
    const b = await newNode("b", range(2, 5, 3));
    const c = await newNode("c", range(0, 3, 2));
    await b.join([seed.self.address]);
    await c.join([seed.self.address]);
    await allSee([seed, b, c], 3);
    for (const node of [seed, b, c]) {
      expect(node.member("b")).toMatchObject({
        protocol: { min: 1, max: 1, current: 1 },
        application: { min: 2, max: 5, current: 3 },
      });
      expect(node.member("c")?.application).toEqual({ min: 0, max: 3, current: 2 });
    }
    expect(seed.self.application).toEqual({ min: 1, max: 3, current: 2 });
  });

  it("are those of the default when nothing is given", async () => {
    expect((await newNode("a")).self).toMatchObject({
      protocol: { min: 1, max: 1, current: 1 },
      application: { min: 0, max: 0, current: 0 },
    });
  });

  it("that do not fit refuse the joiner, who learns both ranges, and nobody else (M-154, E-07)", async () => {
    const asked: MemberClaim[] = [];
    const seed = await newNode("seed", range(1, 3, 2), {
      allowMerge: (claims) => void asked.push(...claims),
      allowAlive: (claim) => asked.push(claim) > 0,
    });
    const odd = await newNode("odd", range(5, 6, 5));
    const error = await errorOf(() => odd.join([seed.self.address]));
    expect(error.cause).toMatchObject({
      code: "TATTLER_JOIN_REFUSED",
      message: expect.stringMatching(/odd speaks 5 and understands 5 to 6, seed speaks 2 and understands 1 to 3/),
    });
    expect([asked, seed.memberCount, odd.memberCount]).toEqual([[], 1, 1]);
    expect(seed.stats.streams.refused).toBe(1);
    const even = await newNode("even", range(1, 3, 2));
    await even.join([seed.self.address]);
    await allSee([seed, even], 2);
  });

  it("that fit some members and not others keep a member from those only, and block no join or sync", async () => {
    const old = await newNode("old", { ...range(1, 1, 1), pushPullIntervalMs: 100 });
    const both = await newNode("both", { ...range(1, 2, 1), pushPullIntervalMs: 100 });
    const fresh = await newNode("fresh", { ...range(1, 2, 2), pushPullIntervalMs: 100 });
    await both.join([old.self.address]);
    await fresh.join([both.self.address]);
    await until(() => old.stats.incompatibleVersions > 0 && fresh.stats.incompatibleVersions > 0, "both refusals");
    const late = await newNode("late", range(1, 2, 1));
    await late.join([both.self.address]);
    await until(() => [old, fresh].every((node) => node.memberCount === 3) && both.memberCount === 4, "all others");
    const [before, refused] = [both.stats.syncsMerged, both.stats.syncsFailed];
    await until(() => both.stats.syncsMerged > before + 3, "syncs with the odd ones about");
    expect(both.stats.syncsFailed).toBe(refused);
    expect([old.member("fresh"), fresh.member("old")]).toEqual([undefined, undefined]);
  });

  it("are in what the delegates are asked about", async () => {
    const claims: MemberClaim[] = [];
    const seed = await newNode("seed", range(1, 3, 2), { allowMerge: (given) => void claims.push(...given) });
    await (await newNode("b", range(2, 5, 3))).join([seed.self.address]);
    expect(claims).toMatchObject([{ name: "b", application: { min: 2, max: 5, current: 3 } }]);
  });
});
